//! ICMP: queries and their answers; errors belong to the flow they quote.
//!
//! Only echo, timestamp, information and address mask requests begin a flow.
//! What an error is about is resolved by the caller, which has the table; this
//! file tells what kind of message it is. Linux: `nf_conntrack_proto_icmp.c`.

use tidegate_wire::Family;
use tidegate_wire::packet::icmp::{Icmp, is_error};

use super::{InvalidReason, Judgement, Segment, renew};
use crate::flow::Flow;

/// The highest type that Linux knows (`NR_ICMP_TYPES`); RFC 1122 3.2.2 wants
/// unknown types discarded.
const HIGHEST_TYPE: u8 = 18;

/// What kind of ICMP message a packet is, before any look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpClass {
    /// A query or an answer: looked up by its own tuple.
    Query,
    /// An error: looked up by the datagram quoted at this offset of the ICMP
    /// message.
    Error(usize),
    /// Never tracked.
    Untracked,
    /// Refused.
    Invalid(InvalidReason),
}

pub(crate) fn classify(segment: &Segment<'_>) -> IcmpClass {
    let Some(icmp) = Icmp::new(segment.payload()) else {
        return IcmpClass::Invalid(InvalidReason::IcmpShort);
    };
    if segment.has_bad_checksum() {
        return IcmpClass::Invalid(InvalidReason::BadChecksum);
    }
    match icmp.kind() {
        kind if kind > HIGHEST_TYPE => IcmpClass::Invalid(InvalidReason::IcmpType),
        kind if is_error(kind) => IcmpClass::Error(8),
        _ => IcmpClass::Query,
    }
}

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    let at_home = flow.orig.family() == Family::V4;
    if !at_home || !matches!(flow.orig.icmp_type(), 8 | 13 | 15 | 17) {
        return Judgement::Invalid(InvalidReason::IcmpNew);
    }
    renew(flow, segment, segment.limits.timeouts.icmp.as_duration());
    Judgement::Accept
}
