//! Which of its IPv6 addresses a host speaks from (RFC 6724 section 5).
//!
//! The order of rules, and what is asked of an address at all, is that of Linux's `ipv6_dev_get_saddr`. Left out is what
//! needs a socket or a mobile host: home addresses and temporary ones that a socket has asked for.

use std::net::{IpAddr, Ipv6Addr};

use tidegate_engine::fib::PortId;
use tidegate_wire::Family;

use super::World;
use super::link::{Address, common_bits};

/// How good an address is: of two, the first difference decides, and the larger is better.
type Merit = (bool, u32, bool, bool, bool, bool, u32);

impl World {
    /// The address from which a packet to `peer` leaves by `port`.
    pub(super) fn best_source(&self, peer: Ipv6Addr, port: PortId) -> Option<Ipv6Addr> {
        let is_near = peer.is_multicast() || peer.is_unicast_link_local();
        let mut best: Option<(Merit, Ipv6Addr)> = None;
        for (at, address) in self.links.addresses(Family::V6) {
            let IpAddr::V6(addr) = address.local else { continue };
            if is_near && at != port || address.is_tentative {
                continue;
            }
            let merit = merit(peer, addr, address, at == port);
            // Of equals the first stays.
            if best.is_none_or(|(known, _)| merit > known) {
                best = Some((merit, addr));
            }
        }
        best.map(|(_, addr)| addr)
    }
}

fn merit(peer: Ipv6Addr, addr: Ipv6Addr, address: &Address, is_on_port: bool) -> Merit {
    let (own, wanted) = (scope(addr), scope(peer));
    // The smallest scope that suffices; failing that, the largest.
    let scope = if own >= wanted { 64 - own } else { own };
    let prefix = common_bits(addr.to_bits(), peer.to_bits()).min(address.prefix.into());
    let is_alike = label(addr) == label(peer);
    let (is_preferred, is_public) = (!address.is_deprecated, !address.is_secondary);
    (addr == peer, scope, is_preferred, is_on_port, is_alike, is_public, prefix)
}

/// How far an address is good for (RFC 4291 section 2.7).
fn scope(addr: Ipv6Addr) -> u32 {
    if addr.is_multicast() {
        u32::from(addr.octets()[1] & 0xf)
    } else if addr.is_loopback() || addr.is_unicast_link_local() {
        2
    } else if addr.segments()[0] & 0xffc0 == 0xfec0 {
        5
    } else {
        14
    }
}

/// The labels that a kernel starts with (`ip addrlabel`).
fn label(addr: Ipv6Addr) -> u32 {
    let of = |(net, length, _): &&(Ipv6Addr, u32, u32)| {
        common_bits(net.to_bits(), addr.to_bits()) >= *length
    };
    LABELS.iter().find(of).map_or(1, |(_, _, label)| *label)
}

/// The longest prefixes first.
const LABELS: [(Ipv6Addr, u32, u32); 9] = [
    (Ipv6Addr::LOCALHOST, 128, 0),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 4),
    (Ipv6Addr::UNSPECIFIED, 96, 3),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 6),
    (Ipv6Addr::new(0x2001, 0x10, 0, 0, 0, 0, 0, 0), 28, 7),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 12),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 2),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 11),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 5),
];
