//! Sequence adjustment: what one end sends and the other acknowledges is counted differently once a
//! helper has changed the length of a segment.
//!
//! Sequence number, acknowledgement and SACK blocks are corrected at the last hook, after the helper.
//! Linux: `nf_ct_seq_adjust`.

use tidegate_wire::SeqNum;
use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::tcp::{self, Tcp, TcpFlags};

use crate::flow::Correction;

const END: u8 = 0;
const NOP: u8 = 1;
const SACK: u8 = 5;
const BLOCK_LEN: usize = 8;

/// The segment's header, or an option of it, is cut off.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutOff;

/// Corrects a segment, with what holds for the sender's numbers and for those of the other end, and its checksum, which
/// covers all of them unless it is partial.
pub(crate) fn adjust(
    segment: &mut [u8],
    checksum: Checksum,
    sender: &Correction,
    other: &Correction,
) -> Result<(), CutOff> {
    let mut tcp = Tcp::new(&mut *segment).ok_or(CutOff)?;
    let (seq, ack) = (tcp.seq(), tcp.ack());
    let new_seq = SeqNum(seq.0.wrapping_add_signed(sender.of(seq)));
    tcp.set_seq(new_seq);
    mend(&mut tcp, checksum, Delta::new().dword(seq.0, new_seq.0));
    if !tcp.flags().contains(TcpFlags::ACK) {
        return Ok(());
    }
    let new_ack = restored(ack, other);
    tcp.set_ack(new_ack);
    mend(&mut tcp, checksum, Delta::new().dword(ack.0, new_ack.0));
    if segment.len() < tcp::HEADER_LEN.max(Tcp::new(&*segment).map_or(0, |tcp| tcp.header_len())) {
        return Err(CutOff);
    }
    adjust_sack(segment, checksum, other)
}

fn mend(tcp: &mut Tcp<&mut [u8]>, checksum: Checksum, delta: Delta) {
    tcp.set_checksum(checksum.mended(tcp.checksum(), Delta::new(), delta));
}

/// A number that the receiver of corrected segments tells, in the numbers of their sender.
fn restored(seq: SeqNum, correction: &Correction) -> SeqNum {
    let before = SeqNum(seq.0.wrapping_add_signed(correction.before.wrapping_neg()));
    let offset =
        if before.after(correction.position) { correction.after } else { correction.before };
    SeqNum(seq.0.wrapping_add_signed(offset.wrapping_neg()))
}

/// The checksum is corrected word by word as Linux does it, wherever in the segment a block lies.
fn adjust_sack(segment: &mut [u8], checksum: Checksum, other: &Correction) -> Result<(), CutOff> {
    let end = Tcp::new(&*segment).map_or(0, |tcp| tcp.header_len());
    let mut at = tcp::HEADER_LEN;
    while at < end {
        let len = match segment[at] {
            END => return Ok(()),
            NOP => 1,
            kind => {
                let len = segment.get(at + 1).map_or(0, |len| usize::from(*len));
                if at + 1 == end || at + len > end || len < 2 {
                    return Err(CutOff);
                }
                if kind == SACK && len > 2 && (len - 2).is_multiple_of(BLOCK_LEN) {
                    adjust_blocks(segment, at + 2..at + len, checksum, other);
                }
                len
            }
        };
        at += len;
    }
    Ok(())
}

fn adjust_blocks(
    segment: &mut [u8],
    blocks: core::ops::Range<usize>,
    checksum: Checksum,
    other: &Correction,
) {
    let mut delta = Delta::new();
    let (edges, _) = segment[blocks].as_chunks_mut::<4>();
    for edge in edges {
        let old = u32::from_be_bytes(*edge);
        let new = restored(SeqNum(old), other).0;
        *edge = new.to_be_bytes();
        delta = delta.dword(old, new);
    }
    if let Some(mut tcp) = Tcp::new(segment) {
        mend(&mut tcp, checksum, delta);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use tidegate_wire::checksum::transport;
    use tidegate_wire::proto;

    use super::*;

    const SENDER: Correction = Correction { position: SeqNum(1000), before: 0, after: 3 };
    const OTHER: Correction = Correction { position: SeqNum(5000), before: 2, after: -4 };

    fn segment(seq: u32, ack: u32, options: &[u8]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; 20 + options.len()];
        bytes[4..8].copy_from_slice(&seq.to_be_bytes());
        bytes[8..12].copy_from_slice(&ack.to_be_bytes());
        bytes[12] = (bytes.len() as u8 / 4) << 4;
        bytes[13] = TcpFlags::ACK.bits();
        bytes[20..].copy_from_slice(options);
        let [src, dst] = ends();
        Tcp::new(&mut bytes[..]).unwrap().fill_checksum(src, dst);
        bytes
    }

    fn ends() -> [core::net::IpAddr; 2] {
        ["10.0.0.1", "10.0.0.2"].map(|addr| addr.parse().unwrap())
    }

    #[test]
    fn numbers_are_corrected_by_where_they_are() {
        let rows = [
            ("the segment that grew", 1000, 5002, (1000, 5000)),
            ("one behind it", 1001, 5003, (1004, 5007)),
            ("an old acknowledgement", 999, 4000, (999, 3998)),
        ];
        for (what, seq, ack, expected) in rows {
            let mut bytes = segment(seq, ack, &[]);
            adjust(&mut bytes, Checksum::Full, &SENDER, &OTHER).unwrap();
            let tcp = Tcp::new(&bytes[..]).unwrap();
            assert_eq!((tcp.seq().0, tcp.ack().0), expected, "{what}");
            let [src, dst] = ends();
            assert_eq!(transport(src, dst, proto::TCP, &bytes), 0, "{what}: checksum");
        }
    }

    #[test]
    fn sack_blocks_are_corrected_and_cut_options_refused() {
        let mut options = alloc::vec![NOP, NOP, SACK, 10];
        options.extend_from_slice(&5003u32.to_be_bytes());
        options.extend_from_slice(&5100u32.to_be_bytes());
        let mut bytes = segment(1001, 5003, &options);
        adjust(&mut bytes, Checksum::Full, &SENDER, &OTHER).unwrap();
        let tcp = Tcp::new(&bytes[..]).unwrap();
        let blocks: Vec<_> = tcp.sack_blocks().map(|(left, right)| (left.0, right.0)).collect();
        assert_eq!(blocks, [(5007, 5104)]);
        let [src, dst] = ends();
        assert_eq!(transport(src, dst, proto::TCP, &bytes), 0);
        for options in [[NOP, NOP, NOP, SACK], [NOP, NOP, SACK, 10], [SACK, 1, 0, 0]] {
            let mut bytes = segment(1, 1, &options);
            assert_eq!(
                adjust(&mut bytes, Checksum::Full, &SENDER, &OTHER),
                Err(CutOff),
                "{options:?}"
            );
        }
        for len in 0..20 {
            let mut bytes = segment(1, 1, &[]);
            assert_eq!(
                adjust(&mut bytes[..len], Checksum::Full, &SENDER, &OTHER),
                Err(CutOff),
                "{len}"
            );
        }
    }
}
