//! What IPv6 decides about a packet: whether its addresses may be, and where it goes.
//!
//! The rules are those of `ipv6_rcv`, `ip6_route_input`, `ip6_mc_input` and `ip6_forward`. Link-local destinations are
//! looked for on the interface that the packet came in by and nowhere else.

use std::net::{IpAddr, Ipv6Addr};

use tidegate_engine::fib::{AddrType, PortId, Route as Way, RouteQuery};

use super::policy::{Flow, Out};
use super::table::Kind;
use super::{World, refused};

impl World {
    pub(super) fn route_v6(&self, query: &RouteQuery, src: Ipv6Addr, dst: Ipv6Addr) -> Way {
        match query.in_port {
            Some(port) => self.take_v6(port, query.mark, src, dst),
            None => self.send_v6(query.mark, src, dst),
        }
    }

    /// A packet that comes in.
    fn take_v6(&self, port: PortId, mark: u32, src: Ipv6Addr, dst: Ipv6Addr) -> Way {
        let link = self.links.link(port);
        let is_inside = src.is_loopback() || dst.is_loopback();
        if src.is_multicast() || is_inside && !link.port.loopback {
            return Way::Blackhole;
        }
        if dst.is_multicast() {
            return if self.is_joined(port, dst.into()) {
                Way::Local { broadcast: true }
            } else {
                Way::Blackhole
            };
        }
        let is_near = dst.is_unicast_link_local() || dst.is_loopback();
        let out = if is_near { Out::Only(port) } else { Out::Rather(port) };
        let flow = Flow { src: src.into(), dst: dst.into(), iif: &link.port.name, mark, out };
        match self.look_up(&flow) {
            Ok((route, Some(hop))) => match route.kind {
                Kind::Local | Kind::Anycast => Way::Local { broadcast: false },
                Kind::Unicast if may_be_forwarded(src) => {
                    Way::Forward { port: hop.port, next_hop: hop.gateway.unwrap_or(dst.into()) }
                }
                _ => Way::Blackhole,
            },
            Ok((_, None)) => Way::Unreachable,
            Err(refusal) => refused(refusal),
        }
    }

    /// A packet of the host's own.
    fn send_v6(&self, mark: u32, src: Ipv6Addr, dst: Ipv6Addr) -> Way {
        let own =
            src.is_unicast_link_local() && (dst.is_unicast_link_local() || dst.is_multicast());
        let port = if own { self.port_with(src) } else { None };
        let flow = Flow {
            src: src.into(),
            dst: dst.into(),
            iif: "lo",
            mark,
            out: port.map_or(Out::Any, Out::Only),
        };
        match self.look_up(&flow) {
            Ok((route, Some(hop))) => match route.kind {
                Kind::Local | Kind::Anycast => Way::Local { broadcast: false },
                _ if dst.is_multicast() => Way::Forward { port: hop.port, next_hop: dst.into() },
                _ => Way::Forward { port: hop.port, next_hop: hop.gateway.unwrap_or(dst.into()) },
            },
            Ok((_, None)) => Way::Unreachable,
            Err(refusal) => refused(refusal),
        }
    }

    /// The interface that has this address.
    fn port_with(&self, addr: Ipv6Addr) -> Option<PortId> {
        let mut addresses = self.links.addresses(tidegate_wire::Family::V6);
        addresses.find(|(_, address)| address.local == IpAddr::V6(addr)).map(|(port, _)| port)
    }

    /// Linux: `match_lookup_rt6` of `xt_addrtype`, to which what has no route is unreachable.
    pub(super) fn type_of_v6(&self, addr: Ipv6Addr, port: Option<PortId>) -> AddrType {
        if addr.is_unspecified() {
            return AddrType::Unspec;
        }
        if addr.is_multicast() {
            return AddrType::Multicast;
        }
        let is_here = |port| {
            let addresses = &self.links.link(port).addresses;
            addresses.iter().any(|one| one.local == IpAddr::V6(addr) && !one.is_tentative)
        };
        if port.is_some_and(is_here) {
            return AddrType::Local;
        }
        let flow = Flow {
            src: Ipv6Addr::UNSPECIFIED.into(),
            dst: addr.into(),
            iif: "lo",
            mark: 0,
            out: port.map_or(Out::Any, Out::Only),
        };
        match self.look_up(&flow) {
            Ok((route, _)) => match route.kind {
                Kind::Local if port.is_none() => AddrType::Local,
                Kind::Anycast => AddrType::Anycast,
                _ => AddrType::Unicast,
            },
            Err(_) => AddrType::Unreachable,
        }
    }

    /// With a port, as MASQUERADE chooses; without, by the route.
    pub(super) fn source_for_v6(&self, peer: Ipv6Addr, port: Option<PortId>) -> Option<Ipv6Addr> {
        if let Some(port) = port {
            return self.best_source(peer, port);
        }
        let src = Ipv6Addr::UNSPECIFIED.into();
        let flow = Flow { src, dst: peer.into(), iif: "lo", mark: 0, out: Out::Any };
        let (route, hop) = self.look_up(&flow).ok()?;
        match (route.kind, route.source) {
            (Kind::Local, _) => Some(peer),
            (_, Some(IpAddr::V6(source))) => Some(source),
            _ => self.best_source(peer, hop?.port),
        }
    }
}

/// Linux: the checks of `ip6_forward`.
fn may_be_forwarded(src: Ipv6Addr) -> bool {
    !src.is_unspecified() && !src.is_unicast_link_local() && !src.is_loopback()
}
