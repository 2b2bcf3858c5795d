//! The tuple: what identifies one direction of a flow.
//!
//! A tuple holds both addresses, the upper-layer protocol and two 16-bit words
//! whose meaning is the protocol's: ports (TCP, UDP, UDP-Lite, SCTP), identifier
//! and type/code (ICMP, ICMPv6), keys (GRE), or nothing. A flow has two of them;
//! the reply tuple starts as the inverse of the original one, and NAT is an edit
//! of the reply tuple. This module knows no table and no tracker.

use core::fmt;
use core::net::IpAddr;

use tidegate_wire::{Family, proto};

/// The direction of a packet relative to the flow's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The way of the flow's first packet.
    Original,
    /// The way back.
    Reply,
}

impl Direction {
    /// The other direction.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Original => Self::Reply,
            Self::Reply => Self::Original,
        }
    }

    /// 0 for original, 1 for reply: an index into per-direction arrays.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// One direction of a flow, as it looks on the wire.
///
/// `sport` and `dport` hold host-order values: ports for TCP, UDP, UDP-Lite and
/// SCTP; identifier and `type << 8 | code` for ICMP and ICMPv6; the sender's and
/// the receiver's key for GRE; zero otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, of the same family.
    pub dst: IpAddr,
    /// Source port, the ICMP identifier or the sender's key.
    pub sport: u16,
    /// Destination port, the ICMP type and code or the receiver's key.
    pub dport: u16,
    /// Upper-layer protocol number.
    pub proto: u8,
}

impl Tuple {
    /// The address family of both addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.src)
    }

    /// ICMP type, for the two ICMP protocols.
    #[must_use]
    pub fn icmp_type(&self) -> u8 {
        (self.dport >> 8) as u8
    }

    /// ICMP code, for the two ICMP protocols.
    #[must_use]
    pub fn icmp_code(&self) -> u8 {
        self.dport as u8
    }

    /// What the second word of an ICMP tuple holds.
    #[must_use]
    pub fn icmp_word(kind: u8, code: u8) -> u16 {
        u16::from(kind) << 8 | u16::from(code)
    }

    /// Whether the two words are ports.
    #[must_use]
    pub fn has_ports(&self) -> bool {
        has_ports(self.proto)
    }

    /// The tuple of the answer, or `None` where an answer has no meaning: an
    /// ICMP type without a counterpart. Linux: `nf_ct_invert_tuple`.
    #[must_use]
    pub fn invert(&self) -> Option<Self> {
        let (sport, dport) = match self.proto {
            proto::ICMP => (self.sport, self.answered_by(icmp_counterpart)?),
            proto::ICMPV6 => (self.sport, self.answered_by(icmpv6_counterpart)?),
            _ => (self.dport, self.sport),
        };
        Some(Self { src: self.dst, dst: self.src, sport, dport, proto: self.proto })
    }

    /// For an ICMP answer the tuple of its question, for everything else the tuple
    /// itself.
    #[must_use]
    pub(crate) fn question(&self) -> Self {
        let answers = match self.proto {
            proto::ICMP => matches!(self.icmp_type(), 0 | 14 | 16 | 18),
            proto::ICMPV6 => matches!(self.icmp_type(), 129 | 140),
            _ => false,
        };
        if answers { self.invert().unwrap_or(*self) } else { *self }
    }

    fn answered_by(&self, counterpart: fn(u8) -> Option<u8>) -> Option<u16> {
        counterpart(self.icmp_type()).map(|kind| Self::icmp_word(kind, self.icmp_code()))
    }
}

impl fmt::Display for Tuple {
    /// As conntrack(8) prints it: `src= dst= sport= dport=`, or `type= code= id=`,
    /// or `srckey= dstkey=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src={} dst={}", self.src, self.dst)?;
        match self.proto {
            proto::ICMP | proto::ICMPV6 => {
                write!(f, " type={} code={} id={}", self.icmp_type(), self.icmp_code(), self.sport)
            }
            proto::GRE => write!(f, " srckey={:#x} dstkey={:#x}", self.sport, self.dport),
            _ if self.has_ports() => write!(f, " sport={} dport={}", self.sport, self.dport),
            _ => Ok(()),
        }
    }
}

/// [`Tuple::has_ports`] of a protocol.
pub(crate) const fn has_ports(proto: u8) -> bool {
    matches!(proto, proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP)
}

/// The name that conntrack(8) has for an upper-layer protocol; `unknown` for
/// those that have no tracker in Linux.
#[must_use]
pub fn proto_name(proto: u8) -> &'static str {
    match proto {
        proto::ICMP => "icmp",
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::GRE => "gre",
        proto::ICMPV6 => "icmpv6",
        proto::SCTP => "sctp",
        proto::UDPLITE => "udplite",
        _ => "unknown",
    }
}

/// Echo, timestamp, information and address mask pair up (RFC 792, RFC 950).
fn icmp_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        8 => 0,
        0 => 8,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// Echo and node information pair up (RFC 4443, RFC 4620).
fn icmpv6_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        139 => 140,
        140 => 139,
        _ => return None,
    })
}

/// A conntrack zone: flows of different zones never meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zone {
    /// The zone's number; 0 is the default zone.
    pub id: u16,
    /// Which of the flow's tuples carry the number.
    pub scope: ZoneScope,
}

/// Which tuples a zone covers; the other ones live in zone 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ZoneScope {
    /// Both directions (`CT --zone`).
    #[default]
    Both,
    /// Only the original direction (`CT --zone-orig`).
    Original,
    /// Only the reply direction (`CT --zone-reply`).
    Reply,
}

impl Zone {
    /// The number that a tuple of direction `dir` carries.
    #[must_use]
    pub fn id_in(&self, dir: Direction) -> u16 {
        match (self.scope, dir) {
            (ZoneScope::Both, _)
            | (ZoneScope::Original, Direction::Original)
            | (ZoneScope::Reply, Direction::Reply) => self.id,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn tuple(proto: u8, sport: u16, dport: u16) -> Tuple {
        let [src, dst] = [[10, 0, 0, 1], [192, 0, 2, 1]].map(|a| IpAddr::V4(Ipv4Addr::from(a)));
        Tuple { src, dst, sport, dport, proto }
    }

    #[test]
    fn inversion_pairs_what_can_be_answered() {
        type Row = (&'static str, Tuple, Option<(u16, u16)>);
        let rows: [Row; 6] = [
            ("TCP swaps ports", tuple(6, 4000, 80), Some((80, 4000))),
            ("UDP swaps ports", tuple(17, 5, 6), Some((6, 5))),
            ("echo keeps the identifier", tuple(1, 7, 8 << 8), Some((7, 0))),
            ("an ICMP error has no answer", tuple(1, 7, 3 << 8), None),
            ("ICMPv6 echo", tuple(58, 9, 128 << 8), Some((9, 129 << 8))),
            ("neighbour solicitation has none", tuple(58, 0, 135 << 8), None),
        ];
        for (what, before, after) in rows {
            let inverse = before.invert();
            assert_eq!(inverse.map(|t| (t.sport, t.dport)), after, "{what}");
            if let Some(inverse) = inverse {
                assert_eq!((inverse.src, inverse.dst), (before.dst, before.src), "{what}");
                assert_eq!(inverse.invert(), Some(before), "{what}: back again");
            }
        }
    }

    #[test]
    fn inversion_swaps_ports_and_keys() {
        for proto in [proto::UDPLITE, proto::SCTP, proto::GRE] {
            let inverse = tuple(proto, 5, 6).invert().expect("an answer");
            assert_eq!((inverse.sport, inverse.dport), (6, 5), "{}", proto_name(proto));
        }
    }

    #[test]
    fn a_tuple_prints_what_its_protocol_means() {
        let rows = [
            (tuple(132, 5000, 6000), " sport=5000 dport=6000"),
            (tuple(136, 1, 2), " sport=1 dport=2"),
            (tuple(47, 0, 0x1234), " srckey=0x0 dstkey=0x1234"),
            (tuple(1, 7, 8 << 8), " type=8 code=0 id=7"),
            (tuple(50, 0, 0), ""),
        ];
        for (tuple, words) in rows {
            let line = alloc::format!("src=10.0.0.1 dst=192.0.2.1{words}");
            assert_eq!(alloc::format!("{tuple}"), line);
        }
    }

    #[test]
    fn a_one_sided_zone_leaves_the_other_side_in_zone_zero() {
        let zone = Zone { id: 6, scope: ZoneScope::Original };
        assert_eq!(zone.id_in(Direction::Original), 6);
        assert_eq!(zone.id_in(Direction::Reply), 0);
        assert_eq!(Zone { id: 6, scope: ZoneScope::Both }.id_in(Direction::Reply), 6);
    }
}
