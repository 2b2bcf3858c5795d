//! Who talks to whom: hosts on both sides of the router, and the router itself.
//!
//! The grammar of rules names the same hosts and ports, or its rules would match nothing.

use std::net::IpAddr;

use crate::campaign::dice::Dice;
use crate::campaign::experiment::Side;

/// An address and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) addr: IpAddr,
    pub(super) port: u16,
}

/// The two ends of a conversation, as the client knows them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    /// Where the client is.
    pub(super) side: Side,
}

impl Places {
    /// Those of conversation `number`. Few ports are shared by all who may share them, so that
    /// they clash.
    pub(super) fn new(
        number: u32,
        shares_ports: bool,
        service: Option<u16>,
        dice: &mut Dice,
    ) -> Self {
        let hosts = if dice.chance(65) { &V4 } else { &V6 };
        let (side, server) = match dice.between(0..=99) {
            0..=69 => (Side::Lan, *dice.pick(&hosts.wan)),
            70..=84 => (Side::Wan, hosts.router[1]),
            85..=89 => (Side::Wan, *dice.pick(&hosts.lan)),
            90..=94 => (Side::Lan, hosts.router[0]),
            _ => (Side::Lan, hosts.router[1]),
        };
        let clients = if side == Side::Lan { &hosts.lan } else { &hosts.wan };
        let own = 20_000 + (number % 5000) as u16 * 7;
        let port = match dice.between(0..=9) {
            0..=3 if shares_ports => 40_000 + dice.between(0..=3) as u16,
            4 if shares_ports => 500 + dice.between(0..=2) as u16,
            _ => own,
        };
        let endpoint = |addr: &str, port| Endpoint { addr: parse(addr), port };
        let client: &str = dice.pick::<&str>(clients);
        let client = endpoint(client, port);
        let service = service.unwrap_or(*dice.pick(&SERVICES));
        Self { client, server: endpoint(server, service), side }
    }
}

impl Places {
    /// Whether the server is the router itself.
    pub(super) fn is_with_the_router(&self) -> bool {
        [V4.router, V6.router].as_flattened().iter().any(|own| parse(own) == self.server.addr)
    }
}

/// A stranger of the same family as `addr`, on its way.
pub(super) fn stranger(addr: IpAddr, side: Side) -> IpAddr {
    parse(match (addr.is_ipv4(), side) {
        (true, Side::Lan) => "10.0.1.99",
        (true, Side::Wan) => "203.0.113.9",
        (false, Side::Lan) => "fd00:1::99",
        (false, Side::Wan) => "2001:db8:1::9",
    })
}

fn parse(addr: &str) -> IpAddr {
    addr.parse().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
}

/// Ports that servers listen on.
pub(in crate::campaign) const SERVICES: [u16; 12] =
    [21, 22, 53, 69, 80, 443, 1723, 2000, 5060, 6667, 8000, 8080];

/// The hosts of a family.
pub(in crate::campaign) struct Hosts {
    pub(in crate::campaign) lan: [&'static str; 4],
    pub(in crate::campaign) wan: [&'static str; 4],
    /// By its ports: LAN, WAN.
    pub(in crate::campaign) router: [&'static str; 2],
}

pub(in crate::campaign) const V4: Hosts = Hosts {
    lan: ["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.9"],
    wan: ["203.0.113.2", "203.0.113.3", "198.51.100.1", "198.51.100.2"],
    router: ["10.0.1.1", "203.0.113.1"],
};

pub(in crate::campaign) const V6: Hosts = Hosts {
    lan: ["fd00:1::2", "fd00:1::3", "fd00:1::4", "fd00:1::9"],
    wan: ["2001:db8:1::2", "2001:db8:1::3", "2001:db8:2::1", "2001:db8:2::2"],
    router: ["fd00:1::1", "2001:db8:1::1"],
};
