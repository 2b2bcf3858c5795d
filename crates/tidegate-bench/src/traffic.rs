//! Traffic: bursts of packets, each computed from its number.
//!
//! A traffic writes datagrams and sees no answer. It is copied to be measured alone: the copy writes
//! the same packets into the same buffers, and its time is subtracted.

use core::ops::Range;

use tidegate_wire::proto;

use crate::order::{Draws, Permutation, Zipf};
use crate::plan::{Ends, GATEWAY, Plan};
use crate::ring::{ACK, BURST, Body, DATA, FIN, PSH, Ring, SYN};

/// Packets without end.
pub trait Traffic: Clone {
    /// Writes the next burst into the ring in place of the last one.
    fn burst(&mut self, ring: &mut Ring);
}

/// The way of a packet through its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// How packets of a flow look on the router's outside.
#[derive(Clone, Copy, Debug)]
struct Wire {
    proto: u8,
    plan: Plan,
    translated: bool,
    /// Whether segments with data carry a timestamp.
    stamped: bool,
}

impl Wire {
    fn new(proto: u8, plan: Plan, translated: bool) -> Self {
        Self { proto, plan, translated, stamped: false }
    }

    /// The ends of a packet as it reaches the router.
    #[inline]
    fn ends(self, flow: u32, way: Way) -> Ends {
        let ends = self.plan.ends(flow);
        match way {
            Way::There => ends,
            Way::Back if self.translated => Ends { client: GATEWAY, ..ends }.reversed(),
            Way::Back => ends.reversed(),
        }
    }

    /// A packet with data, when `sent` such packets went before it and `heard` came from the other
    /// side: each is in sequence and acknowledges all that was said.
    #[inline]
    fn data(self, flow: u32, way: Way, sent: u32, heard: u32) -> Body {
        if self.proto == proto::UDP {
            return Body::Udp;
        }
        let seq = first_number(flow, way).wrapping_add(1 + sent * DATA);
        let ack = first_number(flow, opposite(way)).wrapping_add(1 + heard * DATA);
        if self.stamped {
            return Body::Stamped { seq, ack };
        }
        Body::Tcp { flags: ACK | PSH, seq, ack }
    }

    /// One of the three packets that make a flow established.
    fn opening(self, flow: u32, step: u32) -> Body {
        let (client, server) = (first_number(flow, Way::There), first_number(flow, Way::Back));
        match step {
            _ if self.proto == proto::UDP => Body::Udp,
            0 => Body::Tcp { flags: SYN, seq: client, ack: 0 },
            1 => Body::Tcp { flags: SYN | ACK, seq: server, ack: client.wrapping_add(1) },
            _ => bare(ACK, client.wrapping_add(1), server.wrapping_add(1)),
        }
    }
}

/// Established flows, each once a round in a random order that is the same each round, and in every
/// round the other way.
#[derive(Clone, Debug)]
pub struct Steady {
    wire: Wire,
    order: Permutation,
    flows: u32,
    position: u32,
    round: u32,
}

impl Steady {
    /// Traffic of the flows `0..flows`, which are established and have not carried data yet.
    #[must_use]
    pub fn new(proto: u8, plan: Plan, flows: u32, translated: bool) -> Self {
        let wire = Wire::new(proto, plan, translated);
        Self { wire, order: Permutation::new(flows, ORDER), flows, position: 0, round: 0 }
    }

    /// The same segments, each with a timestamp.
    #[must_use]
    pub fn stamped(self) -> Self {
        Self { wire: Wire { stamped: true, ..self.wire }, ..self }
    }

    /// How often all flows have had a packet.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.round
    }

    /// The next flow, and the tuple's way.
    #[inline]
    fn next(&mut self) -> (u32, Way) {
        let flow = self.order.at(self.position);
        let way = if (flow ^ self.round) & 1 == 0 { Way::There } else { Way::Back };
        (flow, way)
    }

    #[inline]
    fn advance(&mut self) {
        self.position += 1;
        if self.position == self.flows {
            self.position = 0;
            self.round += 1;
        }
    }

    /// The ends of the next packet, without writing it.
    #[inline]
    pub fn ends(&mut self) -> Ends {
        let (flow, way) = self.next();
        self.advance();
        self.wire.ends(flow, way)
    }
}

impl Traffic for Steady {
    #[inline]
    fn burst(&mut self, ring: &mut Ring) {
        ring.clear();
        for _ in 0..BURST {
            let (flow, way) = self.next();
            // Of the rounds so far every other one was this way.
            let (sent, heard) = (self.round / 2, self.round.div_ceil(2));
            ring.push(&self.wire.ends(flow, way), self.wire.data(flow, way, sent, heard));
            self.advance();
        }
    }
}

/// Established UDP flows, some far more often than others, each packet either way.
#[derive(Clone, Debug)]
pub struct Skewed {
    wire: Wire,
    order: Permutation,
    ranks: Zipf,
    draws: Draws,
}

impl Skewed {
    /// Traffic of the flows `0..flows`, of which the one of rank `k` has packets in proportion to
    /// `k^-exponent`.
    #[must_use]
    pub fn new(plan: Plan, flows: u32, exponent: f64) -> Self {
        let wire = Wire::new(proto::UDP, plan, false);
        let ranks = Zipf::new(flows, exponent, 1);
        Self { wire, order: Permutation::new(flows, ORDER), ranks, draws: Draws(2) }
    }
}

impl Traffic for Skewed {
    #[inline]
    fn burst(&mut self, ring: &mut Ring) {
        ring.clear();
        for _ in 0..BURST {
            let flow = self.order.at(self.ranks.rank());
            let way = if self.draws.next_number() & 1 == 0 { Way::There } else { Way::Back };
            ring.push(&self.wire.ends(flow, way), Body::Udp);
        }
    }
}

/// Flows on their way into the table: of each burst of flows the first packets, the answers, the
/// third ones.
#[derive(Clone, Debug)]
pub struct Opening {
    wire: Wire,
    flows: Range<u32>,
    step: u32,
    steps: u32,
}

impl Opening {
    /// The flows of that range, in the order of their numbers, until they are established.
    #[must_use]
    pub fn new(proto: u8, plan: Plan, flows: Range<u32>, translated: bool) -> Self {
        Self { wire: Wire::new(proto, plan, translated), flows, step: 0, steps: 3 }
    }

    /// Only their first packets.
    #[must_use]
    pub fn first_packets(proto: u8, plan: Plan, flows: Range<u32>) -> Self {
        Self { wire: Wire::new(proto, plan, false), flows, step: 0, steps: 1 }
    }

    /// Whether packets are left to be sent.
    #[must_use]
    pub fn is_left(&self) -> bool {
        !self.flows.is_empty()
    }
}

impl Traffic for Opening {
    fn burst(&mut self, ring: &mut Ring) {
        ring.clear();
        let way = if self.step == 1 { Way::Back } else { Way::There };
        let end = self.flows.end.min(self.flows.start + BURST as u32);
        for flow in self.flows.start..end {
            ring.push(&self.wire.ends(flow, way), self.wire.opening(flow, self.step));
        }
        self.step += 1;
        if self.step == self.steps {
            self.step = 0;
            self.flows.start = end;
        }
    }
}

/// Whole TCP connections without data: SYN, SYN/ACK, ACK, FIN, FIN, ACK. Eight bursts of them are
/// under way at a time, so that the segments of one are a thousand packets apart.
#[derive(Clone, Debug)]
pub struct Connections {
    wire: Wire,
    flows: Range<u32>,
    step: u32,
    burst: u32,
}

impl Connections {
    /// The connections of that range, whose length is a multiple of [`Connections::AT_A_TIME`].
    #[must_use]
    pub fn new(plan: Plan, flows: Range<u32>) -> Self {
        let wire = Wire::new(proto::TCP, plan, false);
        Self { wire, flows, step: 0, burst: 0 }
    }

    /// How many connections are under way at a time.
    pub const AT_A_TIME: u32 = BURSTS_AT_A_TIME * BURST as u32;

    /// How many segments a connection has.
    pub const SEGMENTS: u32 = 6;

    /// Whether packets are left to be sent.
    #[must_use]
    pub fn is_left(&self) -> bool {
        !self.flows.is_empty()
    }

    fn segment(&self, flow: u32) -> (Way, Body) {
        let client = first_number(flow, Way::There).wrapping_add(1);
        let server = first_number(flow, Way::Back).wrapping_add(1);
        match self.step {
            1 => (Way::Back, self.wire.opening(flow, 1)),
            0 | 2 => (Way::There, self.wire.opening(flow, self.step)),
            3 => (Way::There, bare(FIN | ACK, client, server)),
            4 => (Way::Back, bare(FIN | ACK, server, client.wrapping_add(1))),
            _ => (Way::There, bare(ACK, client.wrapping_add(1), server.wrapping_add(1))),
        }
    }

    fn advance(&mut self) {
        self.burst += 1;
        if self.burst == BURSTS_AT_A_TIME {
            self.burst = 0;
            self.step += 1;
        }
        if self.step == Self::SEGMENTS {
            self.step = 0;
            self.flows.start += Self::AT_A_TIME;
        }
    }
}

impl Traffic for Connections {
    fn burst(&mut self, ring: &mut Ring) {
        ring.clear();
        let first = self.flows.start + self.burst * BURST as u32;
        for flow in first..first + BURST as u32 {
            let (way, body) = self.segment(flow);
            ring.push(&self.wire.ends(flow, way), body);
        }
        self.advance();
    }
}

#[inline]
fn opposite(way: Way) -> Way {
    if way == Way::There { Way::Back } else { Way::There }
}

/// The initial sequence number of one side of a flow.
#[inline]
fn first_number(flow: u32, way: Way) -> u32 {
    flow.wrapping_mul(0x9e37_79b1) ^ if way == Way::There { 0x5bd1_e995 } else { 0x2545_f491 }
}

/// A segment without data.
fn bare(flags: u8, seq: u32, ack: u32) -> Body {
    Body::Tcp { flags, seq, ack }
}

const BURSTS_AT_A_TIME: u32 = 8;
/// Which of the random orders.
const ORDER: u32 = 0x0bad_cafe;
