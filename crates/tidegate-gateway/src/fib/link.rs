//! Interfaces and their addresses, and the numbers by which an engine knows interfaces.
//!
//! The kernel counts interfaces without a bound; an engine has 16 bits for them. An interface keeps the number that it
//! was given when it was first seen, under whatever name, until it is gone; then the number rests as long as others are
//! free, because flows may still remember it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use tidegate_engine::fib::{Port, PortId};
use tidegate_wire::Family;
use tidegate_wire::packet::MacAddr;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number of it (`ifindex`).
    pub index: u32,
    /// What rules and forwarding see of it.
    pub port: Port,
    /// Its hardware address, if it has one of six bytes.
    pub mac: Option<MacAddr>,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Whether there is somebody at the other end, as far as it can tell.
    pub has_carrier: bool,
    /// Whether neighbours need no hardware address (`NOARP`): tunnels, loopback.
    pub needs_no_neighbours: bool,
    /// The VLAN that it is, if it is one.
    pub vlan: Option<Vlan>,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<u32>,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<Address>,
    /// How it judges sources.
    pub settings: Settings,
}

/// A VLAN on another interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The interface below.
    pub parent: u32,
    /// The tag's number.
    pub id: u16,
}

/// What `net.ipv4.conf` says of an interface, with what it says of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `rp_filter`: 0 no check, 1 the way back must lead through this interface, 2 there must be one.
    pub rp_filter: u8,
    /// `accept_local`: packets may come from the host's own addresses.
    pub accept_local: bool,
    /// `route_localnet`: 127.0.0.0/8 is an ordinary network here.
    pub route_localnet: bool,
    /// `send_redirects`: what leaves where it came from is looked at more closely.
    pub send_redirects: bool,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address itself.
    pub local: IpAddr,
    /// The network that it is in: of a point-to-point link, that of the other end.
    pub network: IpAddr,
    /// The network's prefix length.
    pub prefix: u8,
    /// The network's broadcast address.
    pub broadcast: Option<Ipv4Addr>,
    /// How far it is good for, as the kernel counts: 0 everywhere, 253 the link, 254 the host.
    pub scope: u8,
    /// Not the first of its network (IPv4); made for a while, so that its user isn't known again (IPv6).
    pub is_secondary: bool,
    /// Not yet known to be nobody else's (IPv6), or known not to be.
    pub is_tentative: bool,
    /// Not to be chosen if there is another (IPv6).
    pub is_deprecated: bool,
}

impl Address {
    /// Whether `peer` is in the address's network.
    #[must_use]
    pub fn reaches(&self, peer: IpAddr) -> bool {
        match (self.network, peer) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                common_bits(u128::from(own.to_bits()) << 96, u128::from(peer.to_bits()) << 96)
                    >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => {
                common_bits(own.to_bits(), peer.to_bits()) >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

/// How many leading bits are the same.
pub(super) fn common_bits(a: u128, b: u128) -> u32 {
    (a ^ b).leading_zeros()
}

/// All interfaces.
#[derive(Clone, Debug, Default)]
pub struct Links {
    slots: Vec<Link>,
    /// By the kernel's number; what is not in here is gone.
    by_index: BTreeMap<u32, PortId>,
    /// Numbers of interfaces that are gone, in the order in which they went.
    free: VecDeque<PortId>,
}

impl Links {
    /// Adds an interface or replaces what was known of it, but for its addresses. `None`: there are 65,535 already.
    pub fn set(&mut self, link: Link) -> Option<PortId> {
        if let Some(port) = self.port(link.index) {
            let slot = &mut self.slots[usize::from(port.0)];
            let addresses = std::mem::take(&mut slot.addresses);
            *slot = Link { addresses, ..link };
            return Some(port);
        }
        let port = match u16::try_from(self.slots.len()) {
            Ok(number) => PortId(number),
            Err(_) => self.free.pop_front()?,
        };
        self.by_index.insert(link.index, port);
        match self.slots.get_mut(usize::from(port.0)) {
            Some(slot) => *slot = link,
            None => self.slots.push(link),
        }
        Some(port)
    }

    /// Forgets an interface; its number, if there was one. What it was can still be looked up by that.
    pub fn remove(&mut self, index: u32) -> Option<PortId> {
        let port = self.by_index.remove(&index)?;
        self.free.push_back(port);
        let link = &mut self.slots[usize::from(port.0)];
        link.is_up = false;
        link.addresses.clear();
        Some(port)
    }

    /// How many numbers have been given out: they are those below.
    #[must_use]
    pub fn count(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(u16::MAX)
    }

    /// The engine's number of an interface.
    #[must_use]
    pub fn port(&self, index: u32) -> Option<PortId> {
        self.by_index.get(&index).copied()
    }

    /// The interface with a number of the engine's. One that never was is nowhere, and down.
    #[must_use]
    pub fn link(&self, port: PortId) -> &Link {
        self.slots.get(usize::from(port.0)).unwrap_or(&NOWHERE)
    }

    /// The same, to be changed.
    pub fn link_mut(&mut self, port: PortId) -> Option<&mut Link> {
        self.slots.get_mut(usize::from(port.0))
    }

    /// The interface of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<PortId> {
        self.iter().find(|(_, link)| link.port.name == name).map(|(port, _)| port)
    }

    /// All that are there, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = (PortId, &Link)> {
        self.by_index.values().map(|port| (*port, self.link(*port)))
    }

    /// All addresses of a family with their interfaces.
    pub fn addresses(&self, family: Family) -> impl Iterator<Item = (PortId, &Address)> {
        self.iter().flat_map(move |(port, link)| {
            let of_family = move |address: &&Address| Family::of(address.local) == family;
            link.addresses.iter().filter(of_family).map(move |address| (port, address))
        })
    }
}

/// An interface that never was.
static NOWHERE: Link = Link {
    index: 0,
    port: Port { name: String::new(), mtu: 1500, loopback: false },
    mac: None,
    is_up: false,
    has_carrier: false,
    needs_no_neighbours: true,
    vlan: None,
    master: None,
    addresses: Vec::new(),
    settings: Settings {
        rp_filter: 0,
        accept_local: false,
        route_localnet: false,
        send_redirects: false,
    },
};
