//! What the engine must be told about the world: routes, addresses, ports.
//!
//! The engine decides nothing about routing. Its caller answers through this
//! narrow trait, from a static table, a kernel's routes, or a test's topology.

use core::net::IpAddr;

use tidegate_wire::Family;

/// Names an interface of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// What rules and forwarding need to know of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, as `-i` and `-o` match it.
    pub name: alloc::string::String,
    /// Largest L3 datagram that may leave by it, in bytes.
    pub mtu: u32,
    /// Whether packets that never left their host come by it. Only by such a port may IPv6 loopback addresses and
    /// interface-local multicast come in.
    pub loopback: bool,
}

/// The question to [`Fib::route`].
#[derive(Clone, Copy, Debug)]
pub struct RouteQuery {
    /// Destination address.
    pub dst: IpAddr,
    /// Source address.
    pub src: IpAddr,
    /// Where the packet came in; `None` for the host's own packets.
    pub in_port: Option<PortId>,
    /// The packet's mark, for policy routing.
    pub mark: u32,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the host itself; `broadcast` if the address is a broadcast or
    /// multicast one.
    Local {
        /// Not addressed to this host alone.
        broadcast: bool,
    },
    /// Out by a port, to a next hop.
    Forward {
        /// The outgoing port.
        port: PortId,
        /// The on-link neighbour it is handed to.
        next_hop: IpAddr,
    },
    /// No route: unreachable, answered by ICMP where the RFCs want it.
    Unreachable,
    /// Silently refused: martian source, multicast that is not forwarded.
    Blackhole,
}

/// The kinds of address that `-m addrtype` knows (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddrType {
    /// An ordinary remote address.
    Unicast,
    /// One of the host's own.
    Local,
    /// A broadcast address of an attached subnet, 255.255.255.255 or 0.0.0.0.
    Broadcast,
    /// An IPv6 anycast address of the host.
    Anycast,
    /// Multicast.
    Multicast,
    /// The unspecified address of IPv6, `::`.
    Unspec,
    /// Behind a blackhole route.
    Blackhole,
    /// Behind an unreachable route.
    Unreachable,
    /// Behind a prohibit route.
    Prohibit,
}

/// Routes, addresses and ports, as the caller knows them.
pub trait Fib {
    /// Where a packet goes.
    fn route(&self, query: &RouteQuery) -> Route;

    /// What kind of address this is; with `port`, as seen from that interface.
    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType;

    /// An interface's name and MTU.
    fn port(&self, port: PortId) -> &Port;

    /// The address by which the host would talk to `peer` through `port`, for
    /// MASQUERADE and for the host's own errors. `port` of `None`: by whatever
    /// port the route to `peer` says. An IPv6 error leaves by that route, but has
    /// the address of the port that the packet came in by.
    fn source_for(&self, peer: IpAddr, port: Option<PortId>) -> Option<IpAddr>;

    /// The first address of an interface, for REDIRECT.
    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr>;

    /// The mask of the interface's network whose broadcast address this is, for the helpers of
    /// protocols that ask by broadcast. Who sends no broadcasts of his own need not know.
    fn broadcast_mask(&self, port: PortId, addr: IpAddr) -> Option<IpAddr> {
        let _ = (port, addr);
        None
    }
}
