//! A conversation between two hosts, through whatever the router makes of their addresses.
//!
//! The client says what it wants to whom it believes to talk to. The server sees what came out of
//! the router, and answers that. Where NAT drew the port, the answer is told to follow the port
//! ([`Patch`]), because a replay draws another.

use std::collections::VecDeque;
use std::net::IpAddr;

use tidegate_wire::proto;

use super::bytes::{Envelope, Upper, addresses, datagram, upper_layer};
use super::mutate;
use super::places::{Endpoint, Places};
use super::script::{KINDS, Kind, Line, Role, script};
use crate::campaign::dice::Dice;
use crate::campaign::experiment::{Patch, Side};
use crate::campaign::kernel::Output;

/// One conversation.
#[derive(Debug)]
pub(super) struct Talk {
    lines: VecDeque<Line>,
    places: Places,
    seen: Option<Seen>,
    ttl: u8,
    tos: u8,
    dont_fragment: bool,
}

/// The conversation as it looks behind the router.
#[derive(Debug, Clone, Copy)]
struct Seen {
    client: Endpoint,
    server: Endpoint,
    side: Side,
    /// The packet that showed it, and which of its outputs.
    step: usize,
    out: usize,
}

/// A packet that is about to be sent.
#[derive(Debug, Clone)]
pub(super) struct Packet {
    pub(super) side: Side,
    pub(super) datagram: Vec<u8>,
    pub(super) patches: Vec<Patch>,
    /// Whether it shows the server where the client is: it is the client's own, unharmed.
    pub(super) is_clients: bool,
}

impl Talk {
    /// The `number`th conversation of an experiment.
    pub(super) fn new(number: u32, dice: &mut Dice) -> Self {
        let mut kind = dice.weigh(&KINDS);
        // Nobody can follow a port that was drawn for these.
        let shares_ports = matches!(kind, Kind::Tcp | Kind::Udp | Kind::Echo);
        let places = Places::new(number, shares_ports, dice);
        if kind == Kind::Query && places.is_with_the_router() {
            // It would tell the time of day.
            kind = Kind::Echo;
        }
        Self {
            lines: script(kind, dice).into(),
            places,
            seen: None,
            ttl: if dice.chance(95) { 64 } else { dice.between(1..=3) as u8 },
            tos: if dice.chance(80) { 0 } else { dice.u8() },
            dont_fragment: dice.chance(60),
        }
    }

    /// The next packet; `None` when all is said.
    pub(super) fn next(&mut self, dice: &mut Dice) -> Option<Packet> {
        let line = self.lines.pop_front()?;
        Some(self.packet(line.from, &line.upper, dice))
    }

    /// The packet that comes next, its fields changed; `None` if there is nothing to be changed.
    pub(super) fn mutant(&self, dice: &mut Dice) -> Option<Packet> {
        let line = self.lines.front()?;
        let Upper::Tcp(segment) = &line.upper else { return None };
        let mut segment = segment.clone();
        mutate::segment(&mut segment, dice);
        let mutant = self.packet(line.from, &Upper::Tcp(segment), dice);
        Some(Packet { is_clients: false, ..mutant })
    }

    /// Learns from what the client's packet number `step` became.
    pub(super) fn hear(&mut self, step: usize, left: &[Output]) {
        let forwarded = left.iter().enumerate().find(|(_, output)| output.is_forwarded);
        let Some((out, output)) = forwarded else { return };
        let found = endpoints(&output.datagram);
        if let Some((client, server)) = found {
            self.seen = Some(Seen { client, server, side: output.side, step, out });
        }
    }

    fn packet(&self, from: Role, upper: &Upper, dice: &mut Dice) -> Packet {
        let places = &self.places;
        let is_v6 = places.client.addr.is_ipv6();
        let (side, src, dst) = match (from, self.seen) {
            (Role::Client, _) => (places.side, places.client, places.server),
            (Role::Server, Some(seen)) => (seen.side, seen.server, self.followable(seen)),
            (Role::Server, None) => (places.side.opposite(), places.server, places.client),
        };
        let envelope = Envelope {
            src: src.addr,
            dst: dst.addr,
            proto: upper.proto(is_v6),
            ttl: self.ttl,
            tos: self.tos,
            id: dice.u16(),
            dont_fragment: self.dont_fragment,
        };
        let datagram = datagram(&envelope, &upper.bytes(src.port, dst.port, is_v6));
        let patches = if from == Role::Server { self.patches(upper) } else { Vec::new() };
        Packet { side, datagram, patches, is_clients: from == Role::Client }
    }

    /// Where an answer goes. IPv6 can't follow a port that was drawn: what comes back goes to the
    /// client's own.
    fn followable(&self, seen: Seen) -> Endpoint {
        let Endpoint { addr, port } = seen.client;
        Endpoint { addr, port: if addr.is_ipv4() { port } else { self.places.client.port } }
    }

    fn patches(&self, upper: &Upper) -> Vec<Patch> {
        let Some(seen) = self.seen.filter(|seen| seen.client.addr.is_ipv4()) else {
            return Vec::new();
        };
        let follow = |set, field| Patch { set, step: seen.step, out: seen.out, field };
        let mut patches = Vec::new();
        match upper {
            Upper::Tcp(_) | Upper::Udp(_) => {
                if seen.client.port != self.places.client.port {
                    patches.push(follow("dport", "sport"));
                }
                if seen.server.port != self.places.server.port {
                    patches.push(follow("sport", "dport"));
                }
            }
            Upper::Echo { .. } if seen.client.port != self.places.client.port => {
                patches.push(follow("id", "id"));
            }
            _ => {}
        }
        patches
    }
}

/// Who sent a datagram to whom. ICMP's identifier counts as the port of both.
pub(super) fn endpoints(datagram: &[u8]) -> Option<(Endpoint, Endpoint)> {
    let (src, dst): (IpAddr, IpAddr) = addresses(datagram)?;
    let (at, proto) = upper_layer(datagram)?;
    let number = |at: usize| Some(u16::from_be_bytes(*datagram.get(at..)?.first_chunk()?));
    let (sport, dport) = match proto {
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP => (number(at)?, number(at + 2)?),
        proto::ICMP | proto::ICMPV6 => (number(at + 4)?, number(at + 4)?),
        _ => (0, 0),
    };
    Some((Endpoint { addr: src, port: sport }, Endpoint { addr: dst, port: dport }))
}
