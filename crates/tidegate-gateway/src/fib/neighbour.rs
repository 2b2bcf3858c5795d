//! Neighbours: which hardware address an on-link address has.
//!
//! The kernel speaks ARP and neighbour discovery; here is what it found out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tidegate_engine::fib::PortId;
use tidegate_wire::packet::MacAddr;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// It is there.
    At(MacAddr),
    /// It was there a while ago, and will be asked as soon as somebody needs it.
    Stale(MacAddr),
    /// It is being asked.
    Asked,
    /// It doesn't answer.
    Failed,
}

/// All neighbours.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    known: BTreeMap<(PortId, IpAddr), Neighbour>,
}

impl Neighbours {
    /// What is known of one.
    #[must_use]
    pub fn find(&self, port: PortId, addr: IpAddr) -> Option<Neighbour> {
        self.known.get(&(port, addr)).copied()
    }

    /// Notes what has become known.
    pub fn set(&mut self, port: PortId, addr: IpAddr, neighbour: Neighbour) {
        self.known.insert((port, addr), neighbour);
    }

    /// Forgets one.
    pub fn remove(&mut self, port: PortId, addr: IpAddr) {
        self.known.remove(&(port, addr));
    }

    /// Forgets those of an interface.
    pub fn forget(&mut self, port: PortId) {
        self.known.retain(|(at, _), _| *at != port);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.known.clear();
    }
}

/// The hardware address of a group or a broadcast, which needs no asking (RFC 1112 section 6.4, RFC 2464 section 7).
#[must_use]
pub fn group_address(addr: IpAddr) -> Option<MacAddr> {
    match addr {
        IpAddr::V4(addr) if addr.is_broadcast() => Some(MacAddr([0xff; 6])),
        IpAddr::V4(addr) if addr.is_multicast() => {
            let [_, b, c, d] = addr.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(addr) if addr.is_multicast() => {
            let [.., a, b, c, d] = addr.octets();
            Some(MacAddr([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}
