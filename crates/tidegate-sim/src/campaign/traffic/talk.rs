//! A conversation between two hosts, through whatever the router makes of their addresses.
//!
//! The client says what it wants to whom it believes to talk to. The server sees what came out of
//! the router, and answers that. Where NAT drew the port, the answer is told to follow the port
//! ([`Patch`]), because a replay draws another.

use std::collections::VecDeque;
use std::net::IpAddr;

use tidegate_wire::proto;

use super::bytes::{ACK, Envelope, Upper, addresses, datagram, upper_layer};
use super::mutate;
use super::places::{Endpoint, Places};
use super::script::{Announced, KINDS, Kind, Line, Role, script};
use super::services::{Scene, Sequel, Service};
use crate::campaign::dice::Dice;
use crate::campaign::experiment::{Original, Patch, Side};
use crate::campaign::kernel::Output;

/// One conversation.
pub(super) struct Talk {
    lines: VecDeque<Line>,
    /// What is said when all lines are said.
    sequel: Option<Sequel>,
    places: Places,
    seen: Option<Seen>,
    /// What was last heard of each side by the other.
    heard: [Vec<u8>; 2],
    /// By how much the router has lengthened what each side sent.
    growth: [u32; 2],
    /// What the last line announced, and who spoke it.
    announced: Vec<(Role, Announced)>,
    /// The protocol of the last line.
    last_proto: u8,
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
    /// Who spoke it, if it is unharmed: then it shows how it is seen by the other side.
    pub(super) spoken_by: Option<Role>,
}

impl Talk {
    /// The `number`th conversation of an experiment.
    pub(super) fn new(number: u32, dice: &mut Dice) -> Self {
        let mut kind = dice.weigh(&KINDS);
        // Nobody can follow a port that was drawn for these.
        let shares_ports = matches!(kind, Kind::Tcp | Kind::Udp | Kind::Echo);
        let service = if let Kind::Helped(service) = kind { Some(service) } else { None };
        let port = service.map(|service| service.port(dice));
        let mut places = Places::new(number, shares_ports, port, dice);
        // A kernel's complaint about what a helper rewrote on its way to the host quotes a checksum
        // that isn't finished.
        while service.is_some_and(Service::has_datagrams) && places.is_with_the_router() {
            places = Places::new(number, shares_ports, port, dice);
        }
        if kind == Kind::Query && places.is_with_the_router() {
            // It would tell the time of day.
            kind = Kind::Echo;
        }
        Self { sequel: service.map(Service::begin), ..Self::of(script(kind, dice), places, dice) }
    }

    /// A conversation of these lines.
    fn of(lines: Vec<Line>, places: Places, dice: &mut Dice) -> Self {
        Self {
            lines: lines.into(),
            sequel: None,
            places,
            seen: None,
            heard: [Vec::new(), Vec::new()],
            growth: [0; 2],
            announced: Vec::new(),
            last_proto: 0,
            ttl: if dice.chance(95) { 64 } else { dice.between(1..=3) as u8 },
            tos: if dice.chance(80) { 0 } else { dice.u8() },
            dont_fragment: dice.chance(60),
        }
    }

    /// The next packet; `None` when all is said.
    pub(super) fn next(&mut self, dice: &mut Dice) -> Option<Packet> {
        if self.lines.is_empty() {
            let sequel = self.sequel.take()?;
            let act = sequel(&self.scene(), dice);
            self.lines.extend(act.lines);
            self.sequel = act.then;
        }
        let line = self.lines.pop_front()?;
        self.last_proto = line.upper.proto(self.places.client.addr.is_ipv6());
        let packet = self.packet(line.from, &line.upper, dice);
        self.announced = line.opens.into_iter().map(|announced| (line.from, announced)).collect();
        Some(packet)
    }

    /// The conversations that the last packet announced, now that it is known how it was seen.
    pub(super) fn children(&mut self, dice: &mut Dice) -> Vec<Self> {
        let announced = std::mem::take(&mut self.announced);
        announced.into_iter().map(|(by, announced)| self.child(by, announced, dice)).collect()
    }

    fn child(&self, by: Role, announced: Announced, dice: &mut Dice) -> Self {
        let Places { client, server, side } = self.places;
        let (own, peer, side) = match (by, self.seen) {
            (Role::Server, _) => (client, server, side),
            (Role::Client, Some(seen)) => (seen.server, seen.client, seen.side),
            (Role::Client, None) => (server, client, side.opposite()),
        };
        let port = announced.from_port.unwrap_or(30_000 + dice.u16() % 5000);
        let server = Endpoint {
            addr: announced.addr.unwrap_or(peer.addr),
            port: announced.port.unwrap_or(peer.port),
        };
        let places = Places { client: Endpoint { addr: own.addr, port }, server, side };
        Self::of(announced.lines, places, dice)
    }

    /// What those who speak know.
    fn scene(&self) -> Scene<'_> {
        let Places { client, server, .. } = self.places;
        Scene {
            client,
            server: self.seen.map_or(server, |seen| seen.server),
            client_as_seen: self.seen.map_or(client, |seen| seen.client),
            server_as_seen: server,
            heard: &self.heard,
        }
    }

    /// The original tuple of its entry, if it has ports.
    pub(super) fn original(&self) -> Option<Original> {
        let l4 = match self.last_proto {
            proto::TCP => "tcp",
            proto::UDP => "udp",
            proto::SCTP => "sctp",
            _ => return None,
        };
        let Places { client, server, .. } = self.places;
        let (src, dst, sport, dport) = (client.addr, server.addr, client.port, server.port);
        Some(Original { l4, src, dst, sport, dport })
    }

    /// The packet that comes next, its fields changed; `None` if there is nothing to be changed.
    pub(super) fn mutant(&self, dice: &mut Dice) -> Option<Packet> {
        let line = self.lines.front()?;
        let Upper::Tcp(segment) = &line.upper else { return None };
        let mut segment = segment.clone();
        mutate::segment(&mut segment, dice);
        let mutant = self.packet(line.from, &Upper::Tcp(segment), dice);
        Some(Packet { spoken_by: None, ..mutant })
    }

    /// Learns from what became of packet number `step`, which `from` spoke as `sent`.
    pub(super) fn hear(&mut self, from: Role, sent: &[u8], step: usize, left: &[Output]) {
        let forwarded = left.iter().enumerate().find(|(_, output)| output.is_forwarded);
        let Some((out, output)) = forwarded else { return };
        if let Some(payload) = payload(&output.datagram).filter(|payload| !payload.is_empty()) {
            self.heard[from.index()] = payload.to_vec();
        }
        if let (Some(sent), Some(left)) = (end(sent), end(&output.datagram)) {
            self.growth[from.index()] = left.wrapping_sub(sent);
        }
        let found = endpoints(&output.datagram).filter(|_| from == Role::Client);
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
        let upper = &self.adjusted(from, upper);
        let datagram = datagram(&envelope, &upper.bytes(src.port, dst.port, is_v6));
        let patches = if from == Role::Server { self.patches(upper) } else { Vec::new() };
        Packet { side, datagram, patches, spoken_by: Some(from) }
    }

    /// Acknowledges what was heard, which is more than was said if the router has lengthened it.
    fn adjusted(&self, from: Role, upper: &Upper) -> Upper {
        let mut upper = upper.clone();
        if let Upper::Tcp(segment) = &mut upper
            && segment.flags & ACK != 0
        {
            segment.ack = segment.ack.wrapping_add(self.growth[from.other().index()]);
        }
        upper
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

/// What a TCP segment or UDP datagram carries.
fn payload(datagram: &[u8]) -> Option<&[u8]> {
    let (at, proto) = upper_layer(datagram)?;
    let header = match proto {
        proto::TCP => usize::from(datagram.get(at + 12)? >> 4) * 4,
        proto::UDP => 8,
        _ => return None,
    };
    datagram.get(at + header..)
}

/// The sequence number behind a TCP segment's payload.
fn end(datagram: &[u8]) -> Option<u32> {
    let (at, _) = upper_layer(datagram).filter(|(_, proto)| *proto == proto::TCP)?;
    let seq = u32::from_be_bytes(*datagram.get(at + 4..)?.first_chunk()?);
    Some(seq.wrapping_add(payload(datagram)?.len() as u32))
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
