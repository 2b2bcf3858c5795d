//! The world around the engine under test: clients behind one port, everybody else behind another.
//!
//! Its answers are those of a router with two routes, and cost next to nothing: what a real routing
//! table costs is not what is measured.

use core::net::IpAddr;

use tidegate_engine::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use tidegate_wire::Family;

use crate::plan::GATEWAY;
use crate::ring::{LAN, WAN};

/// The router's routes and ports.
pub struct World {
    lan: Port,
    wan: Port,
}

impl Default for World {
    fn default() -> Self {
        let port = |name: &str| Port { name: name.to_owned(), mtu: 1500, loopback: false };
        Self { lan: port("lan"), wan: port("wan") }
    }
}

impl Fib for World {
    #[inline]
    fn route(&self, query: &RouteQuery) -> Route {
        let port = match query.dst {
            IpAddr::V4(dst) if dst.octets()[0] == 10 => LAN,
            IpAddr::V6(dst) if dst.octets()[0] == 0xfd => LAN,
            IpAddr::V4(_) | IpAddr::V6(_) => WAN,
        };
        Route::Forward { port, next_hop: query.dst }
    }

    fn addr_type(&self, addr: IpAddr, _: Option<PortId>) -> AddrType {
        let own = addr == GATEWAY.address(Family::of(addr));
        if own { AddrType::Local } else { AddrType::Unicast }
    }

    #[inline]
    fn port(&self, port: PortId) -> &Port {
        if port == LAN { &self.lan } else { &self.wan }
    }

    fn source_for(&self, peer: IpAddr, _: Option<PortId>) -> Option<IpAddr> {
        Some(GATEWAY.address(Family::of(peer)))
    }

    fn primary_address(&self, _: PortId, family: Family) -> Option<IpAddr> {
        Some(GATEWAY.address(family))
    }
}
