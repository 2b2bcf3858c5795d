//! What IPv4 decides about a packet: whether its addresses may be, and where it goes.
//!
//! The rules are those of `ip_route_input_slow`, `ip_mc_validate_source`, `fib_validate_source` and
//! `__ip_route_output_key`, with the settings `rp_filter`, `accept_local` and `route_localnet`.

use std::net::{IpAddr, Ipv4Addr};

use tidegate_engine::fib::{AddrType, PortId, Route as Way, RouteQuery};

use super::link::Link;
use super::policy::{Flow, LOCAL, Out};
use super::table::Kind;
use super::{World, refused};

/// The scope of what is on the same link.
const LINK: u8 = 253;

impl World {
    pub(super) fn route_v4(&self, query: &RouteQuery, src: Ipv4Addr, dst: Ipv4Addr) -> Way {
        match query.in_port {
            Some(port) => self.take_v4(port, query.mark, src, dst),
            None => self.send_v4(query.mark, src, dst),
        }
    }

    /// A packet that comes in.
    fn take_v4(&self, port: PortId, mark: u32, src: Ipv4Addr, dst: Ipv4Addr) -> Way {
        let link = self.links.link(port);
        if dst.is_multicast() {
            return self.take_group_v4(port, src, dst);
        }
        if !is_possible(link, src, dst) {
            return Way::Blackhole;
        }
        if dst.is_broadcast() || dst.is_unspecified() {
            return self.take_broadcast(port, src, dst, mark);
        }
        let flow =
            Flow { src: src.into(), dst: dst.into(), iif: &link.port.name, mark, out: Out::Any };
        let (route, hop) = match self.look_up(&flow) {
            Ok(found) => found,
            Err(refusal) => return refused(refusal),
        };
        match (route.kind, hop) {
            (Kind::Broadcast, _) => self.take_broadcast(port, src, dst, mark),
            (Kind::Local, _) if self.may_come_from(port, src, dst, None) => {
                Way::Local { broadcast: false }
            }
            (Kind::Unicast, Some(hop)) if self.may_come_from(port, src, dst, Some(hop.port)) => {
                Way::Forward { port: hop.port, next_hop: hop.gateway.unwrap_or(dst.into()) }
            }
            _ => Way::Blackhole,
        }
    }

    fn take_broadcast(&self, port: PortId, src: Ipv4Addr, dst: Ipv4Addr, _: u32) -> Way {
        if src.is_unspecified() || self.may_come_from(port, src, dst, None) {
            Way::Local { broadcast: true }
        } else {
            Way::Blackhole
        }
    }

    fn take_group_v4(&self, port: PortId, src: Ipv4Addr, dst: Ipv4Addr) -> Way {
        let link = self.links.link(port);
        let is_for_link = dst.octets()[..3] == [224, 0, 0];
        let is_possible = !src.is_multicast()
            && !src.is_broadcast()
            && (!src.is_loopback() || link.settings.route_localnet || link.port.loopback);
        let may = if src.is_unspecified() {
            is_for_link
        } else {
            self.may_come_from(port, src, Ipv4Addr::UNSPECIFIED, None)
        };
        if is_possible && may && self.is_joined(port, dst.into()) {
            Way::Local { broadcast: true }
        } else {
            Way::Blackhole
        }
    }

    /// Whether a source may be behind this interface, for a packet that leaves by `out`. Linux: `fib_validate_source`.
    fn may_come_from(
        &self,
        port: PortId,
        src: Ipv4Addr,
        dst: Ipv4Addr,
        out: Option<PortId>,
    ) -> bool {
        let settings = self.links.link(port).settings;
        if settings.rp_filter == 0 && !(settings.send_redirects && out == Some(port)) {
            if settings.accept_local {
                return true;
            }
            // Where routes may make any address the host's, a look at interfaces doesn't suffice.
            if !self.has_own_routes && self.has_usual_rules {
                return self.own.binary_search(&src).is_err();
            }
        }
        let iif = out.map_or("lo", |out| &self.links.link(out).port.name);
        let back = Flow { src: dst.into(), dst: src.into(), iif, mark: 0, out: Out::Any };
        let Ok((route, _)) = self.look_up(&back) else { return settings.rp_filter == 0 };
        let is_host =
            route.kind == Kind::Unicast || route.kind == Kind::Local && settings.accept_local;
        let leads_back = || route.hops.iter().any(|hop| hop.port == port);
        // An interface without an address can't be reached another way.
        let has_address =
            || self.links.link(port).addresses.iter().any(|address| address.local.is_ipv4());
        is_host
            && match settings.rp_filter {
                0 => true,
                1 => leads_back(),
                _ => leads_back() || has_address(),
            }
    }

    /// A packet of the host's own.
    fn send_v4(&self, mark: u32, src: Ipv4Addr, dst: Ipv4Addr) -> Way {
        // No destination is the host itself.
        if dst.is_unspecified() {
            return Way::Local { broadcast: false };
        }
        let flow = Flow { src: src.into(), dst: dst.into(), iif: "lo", mark, out: Out::Any };
        match self.look_up(&flow) {
            Ok(_) if dst.is_broadcast() => Way::Local { broadcast: true },
            Ok((route, Some(hop))) => match route.kind {
                Kind::Local => Way::Local { broadcast: false },
                Kind::Broadcast => Way::Local { broadcast: true },
                _ if dst.is_multicast() => Way::Forward { port: hop.port, next_hop: dst.into() },
                _ => Way::Forward { port: hop.port, next_hop: hop.gateway.unwrap_or(dst.into()) },
            },
            Ok((_, None)) => Way::Unreachable,
            Err(refusal) => refused(refusal),
        }
    }

    /// Linux: `__inet_dev_addr_type`.
    pub(super) fn type_of_v4(&self, addr: Ipv4Addr, port: Option<PortId>) -> AddrType {
        if addr.is_broadcast() || addr.is_unspecified() {
            return AddrType::Broadcast;
        }
        if addr.is_multicast() {
            return AddrType::Multicast;
        }
        let found = self.tables[0].find(LOCAL, addr.into(), |routes| {
            let route = routes.first()?;
            let is_here =
                port.is_none_or(|port| route.hops.first().is_some_and(|hop| hop.port == port));
            Some(if is_here { route.kind } else { Kind::Unicast })
        });
        match found {
            Some((_, Kind::Local)) => AddrType::Local,
            Some((_, Kind::Broadcast)) => AddrType::Broadcast,
            _ => AddrType::Unicast,
        }
    }

    /// With a port, as MASQUERADE chooses (`nf_nat_masquerade_ipv4`); without, as an error of the host's own is sent
    /// (`icmp_route_lookup`, `fib_result_prefsrc`).
    pub(super) fn source_for_v4(&self, peer: Ipv4Addr, port: Option<PortId>) -> Option<Ipv4Addr> {
        let flow = Flow {
            src: Ipv4Addr::UNSPECIFIED.into(),
            dst: peer.into(),
            iif: "lo",
            mark: 0,
            out: Out::Any,
        };
        let found = self.look_up(&flow).ok().and_then(|(route, hop)| Some((route, hop?)));
        match (found, port) {
            (Some((_, hop)), Some(port)) if hop.port == port => {
                self.address_towards(port, gateway_v4(hop.gateway).or(Some(peer)), 0)
            }
            (_, Some(port)) => self.address_towards(port, Some(peer), 0),
            (Some((route, _)), None) if route.kind == Kind::Local => Some(peer),
            (Some((route, hop)), None) => gateway_v4(route.source)
                .or_else(|| self.address_towards(hop.port, gateway_v4(hop.gateway), route.scope)),
            (None, None) => None,
        }
    }

    /// The first address of an interface that is in a network with `peer`; or its first; or another interface's. Linux:
    /// `inet_select_addr`.
    fn address_towards(&self, port: PortId, peer: Option<Ipv4Addr>, scope: u8) -> Option<Ipv4Addr> {
        let link = self.links.link(port);
        let nearest = if link.settings.route_localnet { LINK } else { HOST };
        let mut usable = link.addresses.iter().filter_map(|address| match address.local {
            IpAddr::V4(addr) if !address.is_secondary => Some((addr, address)),
            _ => None,
        });
        let first = usable.clone().find(|(_, address)| address.scope.min(nearest) <= scope);
        let near = usable.find(|(_, address)| {
            address.scope.min(nearest) <= scope
                && peer.is_none_or(|peer| address.reaches(peer.into()))
        });
        near.or(first).map(|(addr, _)| addr).or_else(|| self.address_of_any(scope))
    }

    /// An address of whatever interface.
    fn address_of_any(&self, scope: u8) -> Option<Ipv4Addr> {
        let mut addresses = self.links.addresses(tidegate_wire::Family::V4);
        addresses.find_map(|(_, address)| match address.local {
            IpAddr::V4(addr)
                if !address.is_secondary && address.scope != LINK && address.scope <= scope =>
            {
                Some(addr)
            }
            _ => None,
        })
    }
}

/// Whether a packet with these addresses can have come by this interface at all.
fn is_possible(link: &Link, src: Ipv4Addr, dst: Ipv4Addr) -> bool {
    let takes_loopback = link.settings.route_localnet || link.port.loopback;
    let is_for_all = dst.is_broadcast() || dst.is_unspecified() && src.is_unspecified();
    let source = !src.is_multicast()
        && !src.is_broadcast()
        && (!src.is_unspecified() || is_for_all)
        && (!src.is_loopback() || takes_loopback);
    let target = is_for_all || !dst.is_unspecified() && (!dst.is_loopback() || takes_loopback);
    source && target
}

fn gateway_v4(addr: Option<IpAddr>) -> Option<Ipv4Addr> {
    match addr {
        Some(IpAddr::V4(addr)) => Some(addr),
        _ => None,
    }
}

/// The scope of what is in the host.
const HOST: u8 = 254;
