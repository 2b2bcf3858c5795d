//! Tuples between netlink's form, where all may be missing, and the engine's. Linux: `ctnetlink_parse_tuple`.

use std::net::IpAddr;

use tidegate_engine::tuple::{Tuple, Zone, ZoneScope};
use tidegate_wire::netlink::tuple::Icmp;
use tidegate_wire::netlink::{self, Family};
use tidegate_wire::proto;

use super::errno::Errno;

/// An address family, of the two there are.
pub(super) fn family(number: u8) -> Option<tidegate_wire::Family> {
    match number {
        Family::V4 => Some(tidegate_wire::Family::V4),
        Family::V6 => Some(tidegate_wire::Family::V6),
        _ => None,
    }
}

/// A tuple that is said in full, of that family.
pub(super) fn heard(told: &netlink::Tuple, number: u8) -> Result<Tuple, Errno> {
    let family = family(number).ok_or(Errno::NOT_SUPPORTED)?;
    let of_family = |addr: Option<IpAddr>| {
        addr.filter(|addr| tidegate_wire::Family::of(*addr) == family).ok_or(Errno::INVALID)
    };
    let (src, dst) = (of_family(told.src)?, of_family(told.dst)?);
    let proto = told.proto.ok_or(Errno::INVALID)?;
    let (sport, dport) = words(told, proto).ok_or(Errno::INVALID)?;
    let tuple = Tuple { src, dst, sport, dport, proto };
    let is_icmp = matches!(proto, proto::ICMP | proto::ICMPV6);
    if is_icmp && tuple.invert().is_none() { Err(Errno::INVALID) } else { Ok(tuple) }
}

/// What stands in the places of the ports.
fn words(told: &netlink::Tuple, proto: u8) -> Option<(u16, u16)> {
    match proto {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::GRE => {
            Some((told.sport?, told.dport?))
        }
        proto::ICMP | proto::ICMPV6 => {
            let icmp = told.icmp.filter(|icmp| icmp.is_v6 == (proto == proto::ICMPV6))?;
            Some((icmp.id?, Tuple::icmp_word(icmp.kind?, icmp.code?)))
        }
        _ => Some((0, 0)),
    }
}

/// The zone that a request is about: its own, or that of a tuple, in the tuple's direction. There can't be two.
pub(super) fn zone_of(
    own: Option<u16>,
    original: Option<&netlink::Tuple>,
    reply: Option<&netlink::Tuple>,
) -> Result<Zone, Errno> {
    let mut zone = Zone { id: own.unwrap_or(0), scope: ZoneScope::Both };
    for (tuple, scope) in [(original, ZoneScope::Original), (reply, ZoneScope::Reply)] {
        if let Some(id) = tuple.and_then(|tuple| tuple.zone) {
            if zone.id != 0 {
                return Err(Errno::INVALID);
            }
            zone = Zone { id, scope };
        }
    }
    Ok(zone)
}

/// A tuple as the kernel tells it.
pub(super) fn told(tuple: &Tuple) -> netlink::Tuple {
    let Tuple { src, dst, sport, dport, proto } = *tuple;
    let mut told = netlink::Tuple {
        src: Some(src),
        dst: Some(dst),
        proto: Some(proto),
        ..netlink::Tuple::default()
    };
    match proto {
        proto::ICMP | proto::ICMPV6 => {
            told.icmp = Some(Icmp {
                is_v6: proto == proto::ICMPV6,
                id: Some(sport),
                kind: Some(tuple.icmp_type()),
                code: Some(tuple.icmp_code()),
            });
        }
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::GRE => {
            (told.sport, told.dport) = (Some(sport), Some(dport));
        }
        _ => {}
    }
    told
}
