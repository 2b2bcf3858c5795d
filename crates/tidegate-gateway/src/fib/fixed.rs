//! A world that a file describes, and that never changes: for links that the kernel knows nothing of, and for tests.
//!
//! An address brings with it what the kernel would make of it: it is the host's, its network is on the interface, and
//! its broadcast or anycast address is the host's, too. Whoever isn't listed as a neighbour can't be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Deserialize;
use tidegate_engine::fib::{Port, PortId};
use tidegate_wire::packet::MacAddr;

use super::World;
use super::link::{Address, Link};
use super::neighbour::Neighbour;
use super::policy::{LOCAL, MAIN};
use super::remembered::Remembered;
use super::table::{Hop, Kind, Prefix, Route};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct FixedWorld {
    world: World,
    pub(super) remembered: Remembered,
}

/// What a file says.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// The interfaces.
    #[serde(default, rename = "link")]
    pub links: Vec<FixedLink>,
    /// Routes to what is not on an interface's network.
    #[serde(default, rename = "route")]
    pub routes: Vec<FixedRoute>,
    /// Who is where.
    #[serde(default, rename = "neighbour")]
    pub neighbours: Vec<FixedNeighbour>,
}

/// An interface.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FixedLink {
    /// Its name.
    pub name: String,
    /// The largest datagram that may leave by it.
    #[serde(default = "usual_mtu")]
    pub mtu: u32,
    /// Its hardware address.
    pub mac: Option<Mac>,
    /// Its addresses with the lengths of their networks' prefixes.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
}

/// A route.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FixedRoute {
    /// To where.
    pub to: IpNet,
    /// By which interface.
    pub port: String,
    /// By which router.
    pub via: Option<IpAddr>,
}

/// A neighbour.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FixedNeighbour {
    /// On which interface.
    pub port: String,
    /// His address.
    pub address: IpAddr,
    /// His hardware address.
    pub mac: Mac,
}

/// A hardware address, as `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Mac(pub MacAddr);

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        let bytes: Option<Vec<u8>> = bytes.collect();
        let bytes = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| format!("`{text}' is no hardware address"))?;
        Ok(Self(MacAddr(bytes)))
    }
}

fn usual_mtu() -> u32 {
    1500
}

/// What a description contradicts itself in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FixedError {
    /// Two interfaces have this name.
    Twice(String),
    /// There is no interface of this name.
    NoLink(String),
    /// The router of this route is of the other family.
    OtherFamily(IpNet),
    /// There are too many interfaces.
    TooMany,
}

impl std::fmt::Display for FixedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Twice(name) => write!(f, "there are two links `{name}'"),
            Self::NoLink(name) => write!(f, "there is no link `{name}'"),
            Self::OtherFamily(to) => write!(f, "the router of {to} is of the other family"),
            Self::TooMany => f.write_str("there are more than 65,535 links"),
        }
    }
}

impl std::error::Error for FixedError {}

impl FixedWorld {
    /// Makes the world of a description.
    ///
    /// # Errors
    /// It names what it doesn't have.
    pub fn new(description: &Description) -> Result<Self, FixedError> {
        let mut found = Self { world: World::default(), remembered: Remembered::default() };
        for (number, link) in description.links.iter().enumerate() {
            found.add_link(number, link)?;
        }
        for FixedRoute { to, port, via } in &description.routes {
            if via.is_some_and(|via| via.is_ipv4() != to.addr().is_ipv4()) {
                return Err(FixedError::OtherFamily(*to));
            }
            let port = found.named(port)?;
            found.add_route(MAIN, to.addr(), to.prefix_len(), (Kind::Unicast, port, *via));
        }
        for FixedNeighbour { port, address, mac } in &description.neighbours {
            let port = found.named(port)?;
            found.world.neighbours.set(port, *address, Neighbour::At(mac.0));
        }
        Ok(found)
    }

    /// Gives the links the numbers that the kernel has for interfaces of their names, so that they can be opened.
    ///
    /// # Errors
    /// The name for which there is none.
    pub fn find_interfaces(&mut self, is_here: impl Fn(&str) -> bool) -> Result<(), String> {
        let (family, kind) = (rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM);
        let socket = rustix::net::socket(family, kind, None).map_err(|error| error.to_string())?;
        let links: Vec<PortId> = self.world.links.iter().map(|(port, _)| port).collect();
        for port in links {
            let name = self.world.links.link(port).port.name.clone();
            if !is_here(&name) {
                continue;
            }
            let index = rustix::net::netdevice::name_to_index(&socket, &name).map_err(|_| name)?;
            if let Some(link) = self.world.links.link_mut(port) {
                link.index = index;
            }
        }
        Ok(())
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    fn named(&self, name: &str) -> Result<PortId, FixedError> {
        self.world.links.named(name).ok_or_else(|| FixedError::NoLink(name.to_owned()))
    }

    fn add_link(&mut self, number: usize, said: &FixedLink) -> Result<(), FixedError> {
        if self.world.links.named(&said.name).is_some() {
            return Err(FixedError::Twice(said.name.clone()));
        }
        let link = Link {
            index: u32::try_from(number + 1).map_err(|_| FixedError::TooMany)?,
            port: Port { name: said.name.clone(), mtu: said.mtu, loopback: false },
            mac: said.mac.map(|mac| mac.0),
            is_up: true,
            has_carrier: true,
            needs_no_neighbours: said.mac.is_none(),
            vlan: None,
            master: None,
            addresses: Vec::new(),
            settings: Default::default(),
        };
        let port = self.world.set_link(link).ok_or(FixedError::TooMany)?;
        self.world.set_addresses(port, said.addresses.iter().map(address).collect());
        for net in &said.addresses {
            self.add_network(port, net);
        }
        self.world.groups.extend(JOINED_V4.map(|group| (port, group.into())));
        self.world.groups.extend(JOINED_V6.map(|group| (port, group.into())));
        Ok(())
    }

    /// What comes with an address.
    fn add_network(&mut self, port: PortId, net: &IpNet) {
        let (own, bits) = (net.addr(), net.max_prefix_len());
        self.add_route(LOCAL, own, bits, (Kind::Local, port, None));
        self.add_route(MAIN, net.network(), net.prefix_len(), (Kind::Unicast, port, None));
        let special = match net {
            IpNet::V4(net) if net.prefix_len() < 31 => {
                (IpAddr::V4(net.broadcast()), Kind::Broadcast)
            }
            IpNet::V6(net) if net.prefix_len() < 127 => (IpAddr::V6(net.network()), Kind::Anycast),
            IpNet::V4(_) | IpNet::V6(_) => return,
        };
        self.add_route(LOCAL, special.0, bits, (special.1, port, None));
    }

    fn add_route(
        &mut self,
        table: u32,
        to: IpAddr,
        length: u8,
        (kind, port, gateway): (Kind, PortId, Option<IpAddr>),
    ) {
        let Some(prefix) = Prefix::new(to, length) else { return };
        let hops = vec![Hop { port, gateway, weight: 1, is_dead: false }];
        let route = Route { kind, metric: 0, scope: 0, hops, source: None };
        self.world.tables_mut(prefix.family()).add(table, &prefix, route);
    }
}

fn address(net: &IpNet) -> Address {
    let broadcast = match net {
        IpNet::V4(net) if net.prefix_len() < 31 => Some(net.broadcast()),
        IpNet::V4(_) | IpNet::V6(_) => None,
    };
    Address {
        local: net.addr(),
        network: net.addr(),
        prefix: net.prefix_len(),
        broadcast,
        scope: 0,
        is_secondary: false,
        is_tentative: false,
        is_deprecated: false,
    }
}

/// The groups that a host is in without having joined any.
const JOINED_V4: [Ipv4Addr; 1] = [Ipv4Addr::new(224, 0, 0, 1)];
/// And a router, in IPv6.
const JOINED_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2),
];
