//! ICMPv6: echo and node information; neighbours and routers are not tracked.
//!
//! Types below 128 are errors even where nobody knows them. Multicast listener,
//! neighbour and router discovery messages pass as UNTRACKED. A redirect quotes
//! its datagram in an option. Linux: `nf_conntrack_proto_icmpv6.c`.

use core::net::IpAddr;

use tidegate_wire::Family;
use tidegate_wire::packet::icmpv6::Icmpv6;
use tidegate_wire::packet::ipv6::Ipv6;

use super::icmp::IcmpClass;
use super::{InvalidReason, Judgement, Segment, renew};
use crate::flow::{Flow, Status};

const REDIRECT: u8 = 137;
/// Header, target and destination of a redirect (RFC 4861 4.5).
const REDIRECT_LEN: usize = 40;
const OPTION_REDIRECTED_HEADER: u8 = 4;

pub(crate) fn classify(segment: &Segment<'_>) -> IcmpClass {
    let message = segment.payload();
    let Some(icmp) = Icmpv6::new(message) else {
        return IcmpClass::Invalid(InvalidReason::IcmpShort);
    };
    if segment.has_bad_checksum() {
        return IcmpClass::Invalid(InvalidReason::BadChecksum);
    }
    match icmp.kind() {
        130..=136 | 143 | 151 | 152 => IcmpClass::Untracked,
        REDIRECT => classify_redirect(segment, message, icmp.code()),
        128.. => IcmpClass::Query,
        _ => IcmpClass::Error(8),
    }
}

fn classify_redirect(segment: &Segment<'_>, message: &[u8], code: u8) -> IcmpClass {
    if message.len() < REDIRECT_LEN {
        return IcmpClass::Invalid(InvalidReason::IcmpShortRedirect);
    }
    if code != 0 {
        return IcmpClass::Query;
    }
    if !is_from_on_link_router(segment) {
        return IcmpClass::Invalid(InvalidReason::IcmpRedirect);
    }
    match message.get(REDIRECT_LEN..REDIRECT_LEN + 2) {
        None | Some([_, 0]) => IcmpClass::Invalid(InvalidReason::IcmpRedirectOptions),
        Some([OPTION_REDIRECTED_HEADER, _]) => IcmpClass::Error(REDIRECT_LEN + 8),
        Some(_) => IcmpClass::Query,
    }
}

/// A router on the link has a link-local address, and a hop limit of 255
/// proves that no other router forwarded the packet (RFC 4861 8.1).
fn is_from_on_link_router(segment: &Segment<'_>) -> bool {
    let hop_limit = Ipv6::new(segment.datagram).map(|ip| ip.hop_limit());
    let link_local = matches!(segment.headers.src, IpAddr::V6(a) if a.is_unicast_link_local());
    hop_limit == Some(255) && link_local
}

pub(super) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    let at_home = flow.orig.family() == Family::V6;
    let begins = matches!(flow.orig.icmp_type(), 128 | 139);
    if !at_home || !flow.is(Status::CONFIRMED) && !begins {
        return Judgement::Invalid(InvalidReason::IcmpNew);
    }
    renew(flow, segment, segment.limits.timeouts.icmpv6.as_duration());
    Judgement::Accept
}
