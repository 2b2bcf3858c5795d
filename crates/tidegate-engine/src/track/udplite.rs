//! UDP-Lite: as UDP, but a stream as soon as it was answered.
//!
//! The checksum is mandatory and covers what the header says. Linux:
//! `nf_conntrack_udplite_packet`.

use tidegate_wire::checksum::pseudo_header;
use tidegate_wire::packet::udplite::UdpLite as Header;
use tidegate_wire::{Family, proto};

use super::{InvalidReason, Judgement, Segment, renew_conversation};
use crate::flow::Flow;

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    if let Err(reason) = check(segment) {
        return Judgement::Invalid(reason);
    }
    let timeouts = &segment.limits.timeouts;
    let (single, stream) = (timeouts.udp.as_duration(), timeouts.udp_stream.as_duration());
    renew_conversation(flow, segment, single, stream);
    Judgement::Accept
}

/// Linux verifies with UDP's number in the pseudo header instead of UDP-Lite's
/// (RFC 3828 section 3.2), and in IPv4 with the lowest byte of the length alone
/// (`nf_ip_checksum_partial` hands over number and length in each other's place).
/// So what RFC-conforming senders send is INVALID unless
/// `nf_conntrack_checksum` is off; that is kept, because rules see it.
fn check(segment: &Segment<'_>) -> Result<(), InvalidReason> {
    let header = Header::new(segment.payload()).ok_or(InvalidReason::UdpShort)?;
    let covered = header.covered().ok_or(InvalidReason::UdpLiteCoverage)?;
    if header.checksum() == 0 {
        return Err(InvalidReason::UdpLiteNoChecksum);
    }
    let (src, dst) = (segment.headers.src, segment.headers.dst);
    let len = match segment.headers.family {
        Family::V4 => segment.payload().len() & 0xff,
        Family::V6 => segment.payload().len(),
    };
    let sum = pseudo_header(src, dst, proto::UDP, len).bytes(covered).finish();
    if segment.verify_checksum && segment.headers.checksum.is_in_doubt() && sum != 0 {
        return Err(InvalidReason::BadChecksum);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
