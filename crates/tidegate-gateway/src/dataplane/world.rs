//! What a forwarder asks of the world beside routes: who a neighbour is, what a port's hardware is called.
//!
//! A world follows what changes and never waits. [`StaticWorld`] is one that never changes.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use tidegate_engine::Engine;
use tidegate_engine::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use tidegate_engine::time::Instant;
use tidegate_wire::Family;
use tidegate_wire::packet::ethernet::MacAddr;

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// His hardware address.
    Known(MacAddr),
    /// Nothing yet: somebody must [`ask`](World::ask).
    Unknown,
    /// He was asked for, and there is no such neighbour.
    Absent,
}

/// A port as its link sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// The interface's number; 0 if it was removed.
    pub index: u32,
    /// Its hardware address, if it has any.
    pub address: Option<MacAddr>,
    /// Whether it is up, and has a carrier.
    pub is_up: bool,
}

/// Routes ([`Fib`]), and what a forwarder asks beside.
pub trait World: Fib {
    /// Takes in what has changed since the last call, and tells the engine of addresses and links that are gone.
    ///
    /// # Errors
    /// Changes can no longer be followed.
    fn turn(&mut self, engine: &mut Engine, now: Instant) -> io::Result<()>;

    /// What an operator should know of the world, once each.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// What can be polled for reading; readable if something has changed.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// How many ports there are: their numbers are those below.
    fn ports(&self) -> u16;

    /// A port's hardware, as it is now.
    fn hardware(&self, port: PortId) -> Hardware;

    /// Who a neighbour is. Called for every packet that leaves. Multicast and broadcast have an answer of their own
    /// (RFC 1112 section 6.4, RFC 2464 section 7), for which nobody need be asked.
    fn neighbour(&self, port: PortId, next_hop: IpAddr) -> Neighbour;

    /// Has a neighbour asked for, even one who was absent. The answer comes by [`World::turn`].
    fn ask(&mut self, port: PortId, next_hop: IpAddr);

    /// Nobody has said in time what became of a question.
    fn give_up(&mut self, _port: PortId, _next_hop: IpAddr) {}

    /// A packet was sent to a neighbour who is known: he is in use, and must not be forgotten. Called at most once a
    /// second for each.
    fn confirm(&mut self, port: PortId, next_hop: IpAddr);
}

/// The port of a name.
#[must_use]
pub fn port_named(world: &impl World, name: &str) -> Option<PortId> {
    (0..world.ports()).map(PortId).find(|port| world.port(*port).name == name)
}

/// Ports, routes and neighbours that never change.
#[derive(Clone, Debug, Default)]
pub struct StaticWorld {
    ports: Vec<(Port, Hardware)>,
    addresses: Vec<(PortId, IpAddr, u8)>,
    routes: Vec<(IpAddr, u8, PortId, Option<IpAddr>)>,
    neighbours: BTreeMap<(PortId, IpAddr), MacAddr>,
}

impl StaticWorld {
    /// Adds a port, which gets the next number.
    pub fn add_port(&mut self, name: &str, mtu: u32, hardware: Hardware) -> PortId {
        self.ports.push((Port { name: name.to_owned(), mtu, loopback: false }, hardware));
        PortId(self.ports.len() as u16 - 1)
    }

    /// Adds an address of the host's own, and the route to the network that it is in.
    pub fn add_address(&mut self, port: PortId, addr: IpAddr, prefix: u8) {
        self.addresses.push((port, addr, prefix));
        self.routes.push((addr, prefix, port, None));
    }

    /// Adds a route.
    pub fn add_route(&mut self, net: IpAddr, prefix: u8, port: PortId, via: Option<IpAddr>) {
        self.routes.push((net, prefix, port, via));
    }

    /// Adds a neighbour.
    pub fn add_neighbour(&mut self, port: PortId, addr: IpAddr, address: MacAddr) {
        self.neighbours.insert((port, addr), address);
    }

    fn is_own(&self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.addresses.iter().any(|(_, own, _)| *own == addr)
    }

    fn is_broadcast(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr else { return false };
        let is_directed = |own: &IpAddr, prefix: u8| match own {
            IpAddr::V4(own) if prefix < 31 => {
                own.to_bits() | u32::MAX.unbounded_shr(prefix.into()) == addr.to_bits()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => false,
        };
        addr.is_broadcast()
            || self.addresses.iter().any(|(_, own, prefix)| is_directed(own, *prefix))
    }

    fn lookup(&self, dst: IpAddr) -> Option<(PortId, IpAddr)> {
        let fitting = self.routes.iter().filter(|(net, prefix, ..)| is_in(dst, *net, *prefix));
        let (_, _, port, via) = fitting.max_by_key(|(_, prefix, ..)| *prefix)?;
        Some((*port, via.unwrap_or(dst)))
    }
}

fn is_in(addr: IpAddr, net: IpAddr, prefix: u8) -> bool {
    let prefix = u32::from(prefix);
    match (addr, net) {
        (IpAddr::V4(addr), IpAddr::V4(net)) => {
            (addr.to_bits() ^ net.to_bits()) & !u32::MAX.unbounded_shr(prefix) == 0
        }
        (IpAddr::V6(addr), IpAddr::V6(net)) => {
            (addr.to_bits() ^ net.to_bits()) & !u128::MAX.unbounded_shr(prefix) == 0
        }
        _ => false,
    }
}

impl Fib for StaticWorld {
    fn route(&self, query: &RouteQuery) -> Route {
        match self.addr_type(query.dst, None) {
            AddrType::Local => return Route::Local { broadcast: false },
            AddrType::Broadcast => return Route::Local { broadcast: true },
            AddrType::Multicast => return Route::Blackhole,
            _ => {}
        }
        if query.in_port.is_some() && self.is_own(query.src) {
            return Route::Blackhole;
        }
        let found = self.lookup(query.dst);
        found.map_or(Route::Unreachable, |(port, next_hop)| Route::Forward { port, next_hop })
    }

    fn addr_type(&self, addr: IpAddr, _: Option<PortId>) -> AddrType {
        match addr {
            _ if self.is_own(addr) => AddrType::Local,
            _ if self.is_broadcast(addr) => AddrType::Broadcast,
            _ if addr.is_multicast() => AddrType::Multicast,
            _ => AddrType::Unicast,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        &self.ports[usize::from(port.0)].0
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        let port = port.or_else(|| Some(self.lookup(peer)?.0))?;
        let own = || self.addresses.iter().filter(|(on, ..)| *on == port);
        let near = own().find(|(_, addr, prefix)| is_in(peer, *addr, *prefix));
        let any = || own().find(|(_, addr, _)| Family::of(*addr) == Family::of(peer));
        near.or_else(any).map(|(_, addr, _)| *addr)
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        let mut own = self.addresses.iter().filter(|(on, ..)| *on == port);
        own.find(|(_, addr, _)| Family::of(*addr) == family).map(|(_, addr, _)| *addr)
    }
}

impl World for StaticWorld {
    fn turn(&mut self, _: &mut Engine, _: Instant) -> io::Result<()> {
        Ok(())
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn ports(&self) -> u16 {
        self.ports.len() as u16
    }

    fn hardware(&self, port: PortId) -> Hardware {
        self.ports[usize::from(port.0)].1
    }

    fn neighbour(&self, port: PortId, next_hop: IpAddr) -> Neighbour {
        self.neighbours
            .get(&(port, next_hop))
            .map_or(Neighbour::Absent, |mac| Neighbour::Known(*mac))
    }

    fn ask(&mut self, _: PortId, _: IpAddr) {}

    fn confirm(&mut self, _: PortId, _: IpAddr) {}
}
