//! Matches on addresses beyond a mask: ranges, routing types, and the link layer's. Linux: `xt_iprange`,
//! `xt_addrtype`, `xt_mac`.

use core::net::{IpAddr, Ipv6Addr};

use super::super::ast::{AddressTypes, AddrtypeMatch, IprangeMatch, LimitIface, Term};
use super::super::eval::RuleContext;
use crate::fib::{AddrType, Fib, PortId};
use crate::packet::LinkHeader;

/// `-m iprange`, of a packet's addresses.
pub(in crate::rules) fn iprange(wanted: &IprangeMatch, src: IpAddr, dst: IpAddr) -> bool {
    wanted.source.is_none_or(|term| term.holds(term.value.contains(src)))
        && wanted.destination.is_none_or(|term| term.holds(term.value.contains(dst)))
}

/// Fails without an Ethernet header, even negated.
pub(super) fn mac(wanted: &Term<[u8; 6]>, link: Option<LinkHeader>) -> bool {
    link.is_some_and(|link| wanted.holds(link.src.0 == wanted.value))
}

pub(super) fn addrtype<F: Fib>(wanted: &AddrtypeMatch, ctx: &RuleContext<'_, F>) -> bool {
    let port = match wanted.limit_iface {
        Some(LimitIface::In) => ctx.in_port,
        Some(LimitIface::Out) => ctx.out_port,
        None => None,
    };
    let fits = |term: Option<Term<AddressTypes>>, address| {
        term.is_none_or(|term| term.holds(has_type(term.value, address, port, ctx.fib)))
    };
    fits(wanted.source, ctx.headers.src) && fits(wanted.destination, ctx.headers.dst)
}

fn has_type(wanted: AddressTypes, address: IpAddr, port: Option<PortId>, fib: &impl Fib) -> bool {
    match address {
        IpAddr::V4(_) => wanted.intersects(type_bit(fib.addr_type(address, port))),
        IpAddr::V6(v6) => {
            has_form(wanted, v6)
                && (!wanted.intersects(ROUTED)
                    || wanted.intersects(route_bit(fib.addr_type(address, port))))
        }
    }
}

/// The types that IPv6 tells from the address alone. Unlike IPv4's, those of a list must hold all at once.
fn has_form(wanted: AddressTypes, address: Ipv6Addr) -> bool {
    (!wanted.contains(AddressTypes::MULTICAST) || address.is_multicast())
        && (!wanted.contains(AddressTypes::UNICAST) || is_unicast(address))
        && (!wanted.contains(AddressTypes::UNSPEC) || address.is_unspecified())
}

/// Linux: `ipv6_addr_type`, to which an IPv4-mapped address isn't unicast.
fn is_unicast(address: Ipv6Addr) -> bool {
    !address.is_multicast() && !address.is_unspecified() && address.to_ipv4_mapped().is_none()
}

/// What IPv6's routing tells: every route that refuses is "unreachable".
fn route_bit(kind: AddrType) -> AddressTypes {
    match kind {
        AddrType::Blackhole | AddrType::Unreachable | AddrType::Prohibit => {
            AddressTypes::UNREACHABLE
        }
        AddrType::Local | AddrType::Anycast => type_bit(kind),
        AddrType::Unicast | AddrType::Broadcast | AddrType::Multicast | AddrType::Unspec => {
            AddressTypes::empty()
        }
    }
}

fn type_bit(kind: AddrType) -> AddressTypes {
    match kind {
        AddrType::Unicast => AddressTypes::UNICAST,
        AddrType::Local => AddressTypes::LOCAL,
        AddrType::Broadcast => AddressTypes::BROADCAST,
        AddrType::Anycast => AddressTypes::ANYCAST,
        AddrType::Multicast => AddressTypes::MULTICAST,
        AddrType::Unspec => AddressTypes::UNSPEC,
        AddrType::Blackhole => AddressTypes::BLACKHOLE,
        AddrType::Unreachable => AddressTypes::UNREACHABLE,
        AddrType::Prohibit => AddressTypes::PROHIBIT,
    }
}

/// The types for which IPv6 asks its routing.
const ROUTED: AddressTypes =
    AddressTypes::LOCAL.union(AddressTypes::ANYCAST).union(AddressTypes::UNREACHABLE);
