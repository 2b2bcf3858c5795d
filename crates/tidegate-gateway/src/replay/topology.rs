//! The world that a replay tells the engine: ports, addresses and routes.
//!
//! There are two worlds.
//!
//! - [`Router`] is the router of the scenario format: ports `in0` (LAN) and
//!   `out0` (WAN), two addresses each, connected subnets and a default route by
//!   `out0`. Every next hop resolves at once. Broadcast addresses are local;
//!   multicast is not forwarded, and of the multicast groups only those that a
//!   forwarding Linux host joins by itself are local. Sources that Linux calls
//!   martian are refused: loopback, `0.0.0.0`, the router's own addresses.
//! - [`Passage`] is for a plain capture, which says nothing of ports or
//!   addresses: every packet comes in by `in0` and leaves by `out0`, nothing is
//!   local, no packet is too big, and what never left its host may come too. The host's own packets (answers of
//!   REJECT) leave by `in0`. The ports carry the router's addresses, so that
//!   MASQUERADE and REDIRECT have something to choose. Nor shall a packet die
//!   of old age here: the replay raises a TTL or hop limit of 0 or 1 to 2
//!   before it hands the packet to the engine, because captures are full of
//!   packets at the end of their way and what is asked is what conntrack thinks
//!   of them. A `-m ttl` rule therefore sees 2. Likewise it completes checksums
//!   that the sender had left to its network card.
//!
//! Neither changes while a replay runs, and neither keeps state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_engine::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use tidegate_wire::Family;
use tidegate_wire::packet::MacAddr;

/// The LAN side, `in0`.
pub const IN0: PortId = PortId(0);
/// The WAN side, `out0`.
pub const OUT0: PortId = PortId(1);
/// The LAN peer's address: frames from it come in by [`IN0`].
pub const LAN_PEER: MacAddr = MacAddr([0x02, 0, 0, 0, 0x01, 0x02]);
/// The WAN peer's address: frames from it come in by [`OUT0`].
pub const WAN_PEER: MacAddr = MacAddr([0x02, 0, 0, 0, 0x02, 0x02]);

/// What the engine is told about the world.
#[derive(Clone, Debug)]
pub enum World {
    /// The router of the scenario format.
    Router(Router),
    /// Everything passes.
    Passage(Passage),
}

impl World {
    /// Whether packets to `addr` are for more hosts than the router alone.
    #[must_use]
    pub fn is_broadcast(&self, addr: IpAddr) -> bool {
        matches!(self.addr_type(addr, None), AddrType::Broadcast | AddrType::Multicast)
    }

    /// Both ports, with their names.
    pub fn ports(&self) -> [(PortId, &Port); 2] {
        [(IN0, self.port(IN0)), (OUT0, self.port(OUT0))]
    }

    /// The port of a name; without one, the LAN side.
    pub fn port_of(&self, name: Option<&str>) -> Option<PortId> {
        match name {
            None => Some(IN0),
            Some(name) => self.ports().iter().find(|(_, port)| port.name == name).map(|one| one.0),
        }
    }
}

impl Fib for World {
    fn route(&self, query: &RouteQuery) -> Route {
        match self {
            Self::Router(router) => router.route(query),
            Self::Passage(passage) => passage.route(query),
        }
    }

    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
        match self {
            Self::Router(router) => router.addr_type(addr, port),
            Self::Passage(passage) => passage.addr_type(addr, port),
        }
    }

    fn port(&self, port: PortId) -> &Port {
        match self {
            Self::Router(router) => router.port(port),
            Self::Passage(passage) => passage.port(port),
        }
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        match self {
            Self::Router(router) => router.source_for(peer, port),
            Self::Passage(passage) => passage.source_for(peer, port),
        }
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        match self {
            Self::Router(router) => router.primary_address(port, family),
            Self::Passage(passage) => passage.primary_address(port, family),
        }
    }
}

/// The router of the scenario format, with the MTUs of its two ports.
#[derive(Clone, Debug)]
pub struct Router {
    ports: [Port; 2],
}

impl Default for Router {
    fn default() -> Self {
        Self { ports: ports(1500, false) }
    }
}

impl Router {
    /// Sets a port's MTU; whether there is a port of that name.
    pub fn set_mtu(&mut self, name: &str, mtu: u32) -> bool {
        match self.ports.iter_mut().find(|port| port.name == name) {
            Some(port) => {
                port.mtu = mtu;
                true
            }
            None => false,
        }
    }

    fn route_v4(query: &RouteQuery, src: Ipv4Addr, dst: Ipv4Addr) -> Route {
        if query.in_port.is_some() && (is_martian_source(src, dst) || is_martian_target(src, dst)) {
            return Route::Blackhole;
        }
        match addr_type_v4(dst) {
            AddrType::Local => Route::Local { broadcast: false },
            AddrType::Broadcast if dst.is_unspecified() && query.in_port.is_none() => {
                Route::Blackhole
            }
            AddrType::Broadcast => Route::Local { broadcast: true },
            AddrType::Multicast if dst == ALL_HOSTS => Route::Local { broadcast: true },
            AddrType::Unicast => forward_v4(dst),
            _ => Route::Blackhole,
        }
    }

    fn route_v6(query: &RouteQuery, src: Ipv6Addr, dst: Ipv6Addr) -> Route {
        let loopback = src.is_loopback() || dst.is_loopback();
        if query.in_port.is_some() && loopback {
            return Route::Blackhole;
        }
        match addr_type_v6(dst) {
            AddrType::Local | AddrType::Anycast => Route::Local { broadcast: false },
            AddrType::Multicast if JOINED.contains(&dst) => Route::Local { broadcast: true },
            // To Linux `::` is a destination like any other.
            AddrType::Unicast | AddrType::Unspec if may_be_forwarded(query, src) => {
                forward_v6(query, dst)
            }
            _ => Route::Blackhole,
        }
    }
}

impl Fib for Router {
    fn route(&self, query: &RouteQuery) -> Route {
        match (query.src, query.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Self::route_v4(query, src, dst),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Self::route_v6(query, src, dst),
            // Not possible in one packet.
            _ => Route::Unreachable,
        }
    }

    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
        let (kind, here) = match addr {
            IpAddr::V4(addr) => {
                (addr_type_v4(addr), port.is_none_or(|port| is_of_port_v4(addr, port)))
            }
            IpAddr::V6(addr) => {
                (addr_type_v6(addr), port.is_none_or(|port| address_of(port, Family::V6) == addr))
            }
        };
        match kind {
            AddrType::Local | AddrType::Broadcast if !here => AddrType::Unicast,
            kind => kind,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        port_of(&self.ports, port)
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        let on_lan = match peer {
            IpAddr::V4(peer) => in_subnet_v4(peer, LAN_V4),
            IpAddr::V6(peer) => in_subnet_v6(peer, LAN_V6),
        };
        let port = port.unwrap_or(if on_lan { IN0 } else { OUT0 });
        Some(address_of(port, Family::of(peer)))
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        Some(address_of(port, family))
    }
}

/// The world of a plain capture: in by `in0`, out by `out0`.
#[derive(Clone, Debug)]
pub struct Passage {
    ports: [Port; 2],
}

impl Default for Passage {
    fn default() -> Self {
        Self { ports: ports(u32::MAX, true) }
    }
}

impl Fib for Passage {
    fn route(&self, query: &RouteQuery) -> Route {
        let port = if query.in_port.is_some() { OUT0 } else { IN0 };
        Route::Forward { port, next_hop: query.dst }
    }

    fn addr_type(&self, addr: IpAddr, _: Option<PortId>) -> AddrType {
        match addr {
            IpAddr::V4(addr) if is_broadcast_anywhere(addr) => AddrType::Broadcast,
            addr if addr.is_multicast() => AddrType::Multicast,
            addr if addr.is_unspecified() => AddrType::Unspec,
            _ => AddrType::Unicast,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        port_of(&self.ports, port)
    }

    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr> {
        Some(address_of(port.unwrap_or(IN0), Family::of(peer)))
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        Some(address_of(port, family))
    }
}

fn ports(mtu: u32, loopback: bool) -> [Port; 2] {
    ["in0", "out0"].map(|name| Port { name: name.to_owned(), mtu, loopback })
}

fn port_of(ports: &[Port; 2], port: PortId) -> &Port {
    &ports[usize::from(port == OUT0)]
}

fn address_of(port: PortId, family: Family) -> IpAddr {
    match (family, port) {
        (Family::V4, IN0) => LAN_V4.into(),
        (Family::V4, _) => WAN_V4.into(),
        (Family::V6, IN0) => LAN_V6.into(),
        (Family::V6, _) => WAN_V6.into(),
    }
}

/// Sources that Linux refuses on input with `rp_filter` off
/// (`ip_route_input_slow`, `ip_mc_validate_source`, `fib_validate_source`).
fn is_martian_source(src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    // A host without an address may ask for one by limited broadcast, and may
    // speak to link-local groups.
    let excused = dst.is_broadcast()
        || dst.is_unspecified() && src.is_unspecified()
        || dst.octets()[..3] == [224, 0, 0];
    src.is_multicast()
        || src.is_broadcast()
        || src.is_loopback()
        || src.is_unspecified() && !excused
        || [LAN_V4, WAN_V4].contains(&src)
}

fn is_martian_target(src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    dst.is_unspecified() && !src.is_unspecified() || dst.is_loopback()
}

fn addr_type_v4(addr: Ipv4Addr) -> AddrType {
    if [LAN_V4, WAN_V4].contains(&addr) || addr.is_loopback() {
        AddrType::Local
    } else if is_broadcast_anywhere(addr) || [LAN_V4, WAN_V4].map(subnet_broadcast).contains(&addr)
    {
        AddrType::Broadcast
    } else if addr.is_multicast() {
        AddrType::Multicast
    } else {
        AddrType::Unicast
    }
}

/// Broadcast on every port: the limited address, and 0.0.0.0, its form in 4.2BSD. Linux: `__inet_dev_addr_type`.
fn is_broadcast_anywhere(addr: Ipv4Addr) -> bool {
    addr.is_broadcast() || addr.is_unspecified()
}

/// Whether a local or broadcast address is one of this port's. That of loopback is no port's.
fn is_of_port_v4(addr: Ipv4Addr, port: PortId) -> bool {
    let own = if port == IN0 { LAN_V4 } else { WAN_V4 };
    is_broadcast_anywhere(addr) || [own, subnet_broadcast(own)].contains(&addr)
}

fn addr_type_v6(addr: Ipv6Addr) -> AddrType {
    if [LAN_V6, WAN_V6].contains(&addr) || addr.is_loopback() {
        AddrType::Local
    } else if [LAN_V6, WAN_V6].map(subnet_anycast).contains(&addr) {
        AddrType::Anycast
    } else if addr.is_multicast() {
        AddrType::Multicast
    } else if addr.is_unspecified() {
        AddrType::Unspec
    } else {
        AddrType::Unicast
    }
}

/// Linux: the checks of `ip6_forward`. The host's own packets may have any
/// source.
fn may_be_forwarded(query: &RouteQuery, src: Ipv6Addr) -> bool {
    let local_source = src.is_unspecified() || src.is_unicast_link_local();
    query.in_port.is_none() || !local_source
}

fn forward_v4(dst: Ipv4Addr) -> Route {
    let (port, next_hop) = if in_subnet_v4(dst, LAN_V4) {
        (IN0, dst)
    } else if in_subnet_v4(dst, WAN_V4) {
        (OUT0, dst)
    } else {
        (OUT0, GATEWAY_V4)
    };
    Route::Forward { port, next_hop: next_hop.into() }
}

/// A link-local address is looked for on the port of the query alone: of the two, WAN has the default route.
fn forward_v6(query: &RouteQuery, dst: Ipv6Addr) -> Route {
    if dst.is_unicast_link_local() && query.in_port != Some(OUT0) {
        return Route::Unreachable;
    }
    let (port, next_hop) = if in_subnet_v6(dst, LAN_V6) {
        (IN0, dst)
    } else if in_subnet_v6(dst, WAN_V6) {
        (OUT0, dst)
    } else {
        (OUT0, GATEWAY_V6)
    };
    Route::Forward { port, next_hop: next_hop.into() }
}

/// Whether `addr` shares the /24 of `own`.
fn in_subnet_v4(addr: Ipv4Addr, own: Ipv4Addr) -> bool {
    addr.octets()[..3] == own.octets()[..3]
}

/// Whether `addr` shares the /64 of `own`.
fn in_subnet_v6(addr: Ipv6Addr, own: Ipv6Addr) -> bool {
    addr.octets()[..8] == own.octets()[..8]
}

fn subnet_broadcast(own: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(own.to_bits() | 0xff)
}

/// The subnet-router anycast address (RFC 4291 section 2.6.1).
fn subnet_anycast(own: Ipv6Addr) -> Ipv6Addr {
    Ipv6Addr::from_bits(own.to_bits() >> 64 << 64)
}

const LAN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
const WAN_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);
const LAN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1);
const WAN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe);
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// The groups that a forwarding Linux host is in without having joined any:
/// all nodes and all routers of the link, all routers of the site.
const JOINED: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 2),
];

#[cfg(test)]
mod tests;
