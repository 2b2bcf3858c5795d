//! What is in a set: an address or network, perhaps with a port, or a port alone.

use core::net::IpAddr;

use tidegate_wire::{Headers, proto};

use super::Sight;
use crate::rules::prefix_of;

/// Which end of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Source,
    Destination,
}

impl Direction {
    pub(super) fn address(self, headers: &Headers) -> IpAddr {
        match self {
            Self::Source => headers.src,
            Self::Destination => headers.dst,
        }
    }
}

/// The ends that make an element, in the order of its parts; at most six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Directions {
    parts: [Direction; Self::MOST],
    len: usize,
}

impl Directions {
    const MOST: usize = 6;

    /// `None`: there is none, or there are too many.
    pub(crate) fn new(directions: impl IntoIterator<Item = Direction>) -> Option<Self> {
        let mut all = Self { parts: [Direction::Source; Self::MOST], len: 0 };
        for direction in directions {
            *all.parts.get_mut(all.len)? = direction;
            all.len += 1;
        }
        (all.len > 0).then_some(all)
    }

    pub(crate) fn as_slice(&self) -> &[Direction] {
        &self.parts[..self.len]
    }
}

/// A port, with the protocol whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Port {
    pub(super) proto: u8,
    pub(super) number: u16,
}

impl Port {
    /// A packet's; of ICMP type and code, of protocols without ports 0. `None`: it is in another fragment, or the
    /// header is cut off. Linux: `ip_set_get_ip4_port`.
    pub(super) fn of(sight: &Sight<'_>, direction: Direction) -> Option<Self> {
        let proto = sight.headers.proto;
        let payload = sight.headers.payload(sight.datagram);
        let number = match proto {
            proto::TCP | proto::UDP | proto::SCTP | proto::UDPLITE => {
                let [a, b, c, d] = *payload.get(..header_len(proto))?.first_chunk()?;
                match direction {
                    Direction::Source => u16::from_be_bytes([a, b]),
                    Direction::Destination => u16::from_be_bytes([c, d]),
                }
            }
            // Either kind in either family: Linux doesn't ask.
            proto::ICMP | proto::ICMPV6 => {
                u16::from_be_bytes(*payload.get(..header_len(proto))?.first_chunk()?)
            }
            _ => 0,
        };
        Some(Self { proto, number })
    }

    pub(super) fn is_of_tcp_or_udp(&self) -> bool {
        matches!(self.proto, proto::TCP | proto::UDP)
    }
}

/// An element as a set keeps it. The order is that of length first, so that networks of a length lie together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    /// Of the prefix.
    pub(super) length: u32,
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<Port>,
}

impl Element {
    /// A network, or a host if `length` is the address's.
    pub(super) fn network(address: IpAddr, length: u32, port: Option<Port>) -> Self {
        Self { length, address: Some(prefix_of(address, length)), port }
    }

    /// A port, whatever its protocol.
    pub(super) fn port(number: u16) -> Self {
        Self { length: 0, address: None, port: Some(Port { proto: 0, number }) }
    }

    /// The same with a shorter prefix.
    pub(super) fn shortened(&self, length: u32) -> Self {
        let address = self.address.map(|address| prefix_of(address, length));
        Self { length, address, ..*self }
    }
}

/// The bytes that Linux wants to see of a protocol's header before it believes the ports.
fn header_len(proto: u8) -> usize {
    match proto {
        proto::TCP => 20,
        proto::SCTP => 12,
        _ => 8,
    }
}

/// The bits of an address.
pub(super) fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}
