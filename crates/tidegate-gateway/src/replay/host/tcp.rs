//! TCP: every port is closed, so every segment but a reset gets a reset
//! (RFC 9293 section 3.10.7.1). Linux: `tcp_v4_send_reset`, `tcp_v6_send_reset`.

use tidegate_wire::packet::{Tcp, TcpFlags, TcpRepr, tcp};
use tidegate_wire::{SeqNum, proto};

use super::{Answer, Question};

// Kinds of options (RFC 9293 section 3.1, RFC 2385).
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MD5_SIGNATURE: u8 = 19;
const MD5_SIGNATURE_LEN: usize = 18;

/// The ECN bits of a traffic class, which a reset does not copy.
const ECN: u8 = 0x03;

/// The reset that answers a segment to a closed port.
pub(super) fn reset(question: &Question<'_>) -> Option<Answer> {
    let segment = Tcp::new(question.payload)?;
    let header_is_whole =
        (tcp::HEADER_LEN..=question.payload.len()).contains(&segment.header_len());
    if !header_is_whole || segment.flags().contains(TcpFlags::RST) {
        return None;
    }
    let options = &question.payload[tcp::HEADER_LEN..segment.header_len()];
    if !question.to_host_alone || !question.sum_is_right(question.payload) || !may_be_reset(options)
    {
        return None;
    }
    let mut payload = vec![0; tcp::HEADER_LEN];
    reset_to(&segment, question.payload.len()).emit(&mut payload);
    Tcp::new(&mut payload[..])?.fill_checksum(question.own, question.headers.src);
    let answer = question.answer(proto::TCP, payload);
    let traffic_class = question.traffic_class() & !ECN;
    Some(Answer { traffic_class, dont_fragment: true, ..answer })
}

/// Whether the options are well-formed and have no signature, for which nobody here has a key. The
/// search ends where there is no room for one. Linux: `tcp_do_parse_auth_options`.
fn may_be_reset(mut options: &[u8]) -> bool {
    while options.len() >= MD5_SIGNATURE_LEN {
        let len = match options[..2] {
            [END_OF_OPTIONS, _] => return true,
            [NO_OPERATION, _] => 1,
            [MD5_SIGNATURE, _] => return false,
            [_, len] if len >= 2 => usize::from(len),
            _ => return false,
        };
        match options.get(len..) {
            Some(rest) => options = rest,
            None => return false,
        }
    }
    true
}

/// A reset takes its sequence number from the segment's acknowledgement; where
/// there is none it acknowledges what the segment occupies, from zero.
fn reset_to(segment: &Tcp<&[u8]>, len: usize) -> TcpRepr {
    let flags = segment.flags();
    let (seq, ack, extra) = if flags.contains(TcpFlags::ACK) {
        (segment.ack(), SeqNum(0), TcpFlags::empty())
    } else {
        (SeqNum(0), segment.seq() + occupied(segment, len), TcpFlags::ACK)
    };
    TcpRepr {
        src_port: segment.dst_port(),
        dst_port: segment.src_port(),
        seq,
        ack,
        flags: TcpFlags::RST | extra,
        window: 0,
    }
}

/// How much of the sequence space the segment takes.
fn occupied(segment: &Tcp<&[u8]>, len: usize) -> u32 {
    let controls = [TcpFlags::SYN, TcpFlags::FIN];
    let controls = controls.iter().filter(|flag| segment.flags().contains(**flag)).count();
    (len - segment.header_len() + controls) as u32
}
