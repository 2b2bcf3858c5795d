//! Which tuple a flow has: computed from its number, never stored.
//!
//! Ten million clients behind one router talk to servers outside. All flows differ in the part that
//! survives source NAT (client's port, server, server's port), so that a translated flow keeps its
//! port and its answers can be computed as well.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_engine::tuple::Tuple;
use tidegate_wire::Family;

/// Where an address lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Behind the router: 10.0.0.0/8, fd00::/96.
    Client,
    /// Outside: 198.18.0.0/15 and what follows, 2001:db8:1::/96.
    Server,
    /// The router's address outside, by which translated flows go.
    Gateway,
    /// Outside and hostile: any IPv4 address by its number, 2001:db8:bad::/96.
    Outsider,
}

/// An address: a side, and a host's number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The side.
    pub side: Side,
    /// The lowest 32 bits, of which IPv4 has only those that the side leaves free.
    pub host: u32,
}

impl Place {
    /// The address itself in IPv4.
    #[inline]
    #[must_use]
    pub fn v4(self) -> u32 {
        match self.side {
            Side::Client => 10 << 24 | self.host,
            Side::Server => (198 << 24 | 18 << 16) + self.host,
            Side::Gateway => 203 << 24 | 113 << 8 | 1,
            Side::Outsider => self.host,
        }
    }

    /// The upper 96 bits of the address in IPv6; the host's number follows them.
    #[inline]
    #[must_use]
    pub fn v6_prefix(self) -> [u16; 6] {
        match self.side {
            Side::Client => [0xfd00, 0, 0, 0, 0, 0],
            Side::Server => [0x2001, 0xdb8, 1, 0, 0, 0],
            Side::Gateway => [0x2001, 0xdb8, 2, 0, 0, 0],
            Side::Outsider => [0x2001, 0xdb8, 0xbad, 0, 0, 0],
        }
    }

    /// The address, in a family.
    #[inline]
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::from_bits(self.v4()).into(),
            Family::V6 => {
                let [a, b, c, d, e, f] = self.v6_prefix();
                let (high, low) = ((self.host >> 16) as u16, self.host as u16);
                Ipv6Addr::new(a, b, c, d, e, f, high, low).into()
            }
        }
    }
}

/// The router's own address outside.
pub const GATEWAY: Place = Place { side: Side::Gateway, host: 1 };

/// Both ends of a flow as its first packet shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who speaks first.
    pub client: Place,
    /// To whom.
    pub server: Place,
    /// The client's port.
    pub client_port: u16,
    /// The server's port.
    pub server_port: u16,
}

impl Ends {
    /// The tuple of the first packet.
    #[must_use]
    pub fn tuple(&self, family: Family, proto: u8) -> Tuple {
        Tuple {
            src: self.client.address(family),
            dst: self.server.address(family),
            sport: self.client_port,
            dport: self.server_port,
            proto,
        }
    }

    /// The same ends, the other one speaking.
    #[inline]
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            client: self.server,
            server: self.client,
            client_port: self.server_port,
            server_port: self.client_port,
        }
    }
}

/// The rule by which numbers become tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// 131,072 servers, 8 ports each, 4,096 ports of the clients: 2^32 flows.
    Spread,
    /// As many flows towards one port of one server as 16,384, so that behind one address most
    /// find their port taken: three in four.
    Crowded,
}

impl Plan {
    /// The ends of a flow.
    #[inline]
    #[must_use]
    pub fn ends(self, flow: u32) -> Ends {
        match self {
            Self::Spread => spread(flow),
            Self::Crowded => crowded(flow),
        }
    }
}

#[inline]
fn spread(flow: u32) -> Ends {
    let mixed = scatter(flow);
    let client_port = 1024 + (mixed >> 20) as u16 * 15;
    let client = Place { side: Side::Client, host: mixed.wrapping_mul(0x2c1b_3c6d) >> 8 | 1 };
    let server = Place { side: Side::Server, host: mixed & 0x1_ffff };
    Ends { client, server, client_port, server_port: PORTS[(mixed >> 17) as usize & 7] }
}

/// The low 14 bits say which of a server's flows it is: 12 of them the client's port, 2 the client.
#[inline]
fn crowded(flow: u32) -> Ends {
    let within = scatter(flow) & 0x3fff;
    let server = Place { side: Side::Server, host: (flow >> 14) + 1 };
    let client = Place { side: Side::Client, host: within >> 12 | (flow >> 14) << 2 | 1 << 22 };
    Ends { client, server, client_port: 1024 + (within as u16 & 0xfff) * 15, server_port: 443 }
}

/// A bijection of 32-bit numbers, and of their low 14 bits. (Its steps carry only upwards, and the
/// shifts that would carry down come from bits below 14 alone.)
#[inline]
fn scatter(number: u32) -> u32 {
    let x = number.wrapping_mul(0x9e37_79b1);
    let x = x ^ (x & 0x3fff) >> 7;
    x.wrapping_mul(0x85eb_ca6b)
}

const PORTS: [u16; 8] = [443, 80, 53, 123, 8443, 993, 5222, 51_820];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_flows_have_the_same_tuple() {
        for plan in [Plan::Spread, Plan::Crowded] {
            for family in [Family::V4, Family::V6] {
                let tuples: HashSet<Tuple> =
                    (0..300_000).map(|flow| plan.ends(flow).tuple(family, 6)).collect();
                assert_eq!(tuples.len(), 300_000, "{plan:?} {family:?}");
            }
        }
    }

    #[test]
    fn spread_flows_keep_their_port_behind_one_address() {
        let seen: HashSet<(u32, u16, u16)> = (0..300_000)
            .map(|flow| Plan::Spread.ends(flow))
            .map(|ends| (ends.server.host, ends.server_port, ends.client_port))
            .collect();
        assert_eq!(seen.len(), 300_000);
    }

    #[test]
    fn crowded_flows_share_their_ports() {
        let seen: HashSet<(u32, u16)> = (0..16_384)
            .map(|flow| Plan::Crowded.ends(flow))
            .map(|ends| (ends.server.host, ends.client_port))
            .collect();
        assert_eq!(seen.len(), 4096);
    }
}
