//! UDP and UDP-Lite: every port is closed, so every good datagram gets a port
//! unreachable. Linux: `__udp4_lib_rcv`, `__udp6_lib_rcv`.

use tidegate_wire::packet::{Udp, udp};
use tidegate_wire::{Family, checksum, proto};

use super::{Answer, Question};

/// The answer to a UDP datagram.
pub(super) fn unreachable(question: &Question<'_>) -> Option<Answer> {
    let len = usize::from(Udp::new(question.payload)?.len());
    let jumbo = len == 0 && question.headers.family == Family::V6;
    let len = if jumbo { question.payload.len() } else { len };
    if len < udp::HEADER_LEN {
        return None;
    }
    let datagram = question.payload.get(..len)?;
    if !sum_is_right(question, datagram) {
        return None;
    }
    // Linux has cut off what lies behind the UDP datagram by now.
    let quoted_len = question.datagram.len() - (question.payload.len() - len);
    question.port_unreachable(&question.datagram[..quoted_len])
}

/// The answer to a UDP-Lite datagram (RFC 3828).
pub(super) fn lite_unreachable(question: &Question<'_>) -> Option<Answer> {
    let header = Udp::new(question.payload)?;
    let covered = match usize::from(header.len()) {
        0 => question.payload.len(),
        covered => covered,
    };
    if covered < udp::HEADER_LEN || header.checksum() == 0 {
        return None;
    }
    let (src, dst) = (question.headers.src, question.headers.dst);
    let sum = checksum::pseudo_header(src, dst, proto::UDPLITE, question.payload.len());
    let sum = sum.bytes(question.payload.get(..covered)?).finish();
    if sum == 0 { question.port_unreachable(question.datagram) } else { None }
}

/// A UDP checksum of 0 means "none" in IPv4 and is wrong in IPv6.
fn sum_is_right(question: &Question<'_>, datagram: &[u8]) -> bool {
    let absent = Udp::new(datagram).is_some_and(|header| header.checksum() == 0);
    match (absent, question.headers.family) {
        (true, family) => family == Family::V4,
        (false, _) => question.sum_is_right(datagram),
    }
}
