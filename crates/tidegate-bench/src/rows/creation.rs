//! Flows that come and go: first packets, whole connections, expiry.
//!
//! New flows are made beside as many established ones as the size says, timed, and taken out again,
//! not timed unless that is the row. A first pass, which does not count, has touched the memory.

use core::ops::Range;
use core::time::Duration;
use std::hint::black_box;

use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::clock::timed;
use crate::plan::Plan;
use crate::ring::Ring;
use crate::rows::RowName;
use crate::rulesets::Rules;
use crate::session::Session;
use crate::subject::{Pass, Subject};
use crate::traffic::{Connections, Opening, Traffic};

/// All rows of this file.
pub fn run(session: &mut Session<'_>) {
    first_packets(session);
    translated(session);
    expiry(session);
}

/// New flows and connections beside established ones.
fn first_packets(session: &mut Session<'_>) {
    if !session.wants(&[RowName::UdpNew, RowName::TcpConnection]) {
        return;
    }
    let mut bed = Bed::new(session.family, session.flows + batch(session.flows), Rules::None);
    bed.lay(proto::TCP, Plan::Spread, session.flows, false);
    let flows = session.flows..session.flows + batch(session.flows);
    let mut new = Coming { bed: &mut bed, plan: Plan::Spread, flows: flows.clone() };
    session.record(RowName::UdpNew, &mut new, None);
    session.record(RowName::TcpConnection, &mut Connecting { bed: &mut bed, flows }, None);
}

/// New flows behind one address, most of whose ports are taken: as many are there before.
fn translated(session: &mut Session<'_>) {
    if !session.wants(&[RowName::UdpNewSnat]) {
        return;
    }
    let (flows, more) = (session.flows, batch(session.flows));
    let mut bed = Bed::new(session.family, flows + more, Rules::Snat);
    // What is there is to stay there, what comes is to go.
    bed.set("net.netfilter.nf_conntrack_udp_timeout", "432000");
    bed.send_first(proto::UDP, Plan::Crowded, 0..flows);
    bed.set("net.netfilter.nf_conntrack_udp_timeout", "30");
    let mut new = Coming { bed: &mut bed, plan: Plan::Crowded, flows: flows..flows + more };
    session.record(RowName::UdpNewSnat, &mut new, None);
}

fn expiry(session: &mut Session<'_>) {
    if session.wants(&[RowName::Expiry]) {
        let mut bed = Bed::new(session.family, session.flows, Rules::None);
        session.record(RowName::Expiry, &mut Leaving { bed: &mut bed, flows: session.flows }, None);
    }
}

/// How many flows come at a time: a multiple of what connections need.
fn batch(flows: u32) -> u32 {
    flows.clamp(Connections::AT_A_TIME, 131_072).next_multiple_of(Connections::AT_A_TIME)
}

/// First UDP packets of flows.
pub struct Coming<'a> {
    /// The bed.
    pub bed: &'a mut Bed,
    /// What the flows are.
    pub plan: Plan,
    /// Which flows.
    pub flows: Range<u32>,
}

impl Coming<'_> {
    /// Writes the packets and has nobody look at them.
    pub fn write(&self, ring: &mut Ring) {
        let mut opening = Opening::first_packets(proto::UDP, self.plan, self.flows.clone());
        while opening.is_left() {
            opening.burst(ring);
            black_box(&ring.packets());
        }
    }

    /// Has the engine process them; how many came through.
    pub fn process(&mut self, ring: &mut Ring) -> u64 {
        let mut opening = Opening::first_packets(proto::UDP, self.plan, self.flows.clone());
        let mut forwarded = 0;
        while opening.is_left() {
            opening.burst(ring);
            forwarded += self.bed.burst(ring).forwarded as u64;
        }
        forwarded
    }
}

impl Subject for Coming<'_> {
    fn pass(&mut self, items: u64) -> Pass {
        let mut ring = Ring::new(self.bed.family());
        let flows = self.flows.len() as u64;
        let (mut ns, mut allocs) = (0, 0);
        let rounds = items.div_ceil(flows);
        for _ in 0..rounds {
            let writing = timed(|| self.write(&mut ring));
            let before = allocations();
            let mut forwarded = 0;
            ns += timed(|| forwarded = self.process(&mut ring)).saturating_sub(writing);
            allocs += allocations() - before;
            assert_eq!(forwarded, flows, "a new flow was refused");
            self.bed.wait(UDP_LIFE);
            assert_eq!(self.bed.expire() as u64, flows, "a new flow did not expire");
        }
        Pass::of(rounds * flows, ns, allocs)
    }
}

/// Whole TCP connections, and their removal when TIME_WAIT is over.
pub struct Connecting<'a> {
    /// The bed.
    pub bed: &'a mut Bed,
    /// Which flows.
    pub flows: Range<u32>,
}

impl Connecting<'_> {
    /// Writes the segments and has nobody look at them.
    pub fn write(&self, ring: &mut Ring) {
        let mut connections = Connections::new(Plan::Spread, self.flows.clone());
        while connections.is_left() {
            connections.burst(ring);
            black_box(&ring.packets());
        }
    }

    /// Has the engine process them and expires the connections; how many segments came through.
    pub fn process(&mut self, ring: &mut Ring) -> u64 {
        let mut connections = Connections::new(Plan::Spread, self.flows.clone());
        let mut forwarded = 0;
        while connections.is_left() {
            connections.burst(ring);
            forwarded += self.bed.burst(ring).forwarded as u64;
        }
        self.bed.wait(TIME_WAIT);
        let expired = self.bed.expire();
        assert_eq!(expired, self.flows.len(), "a connection was not removed");
        forwarded
    }
}

impl Subject for Connecting<'_> {
    fn pass(&mut self, items: u64) -> Pass {
        let mut ring = Ring::new(self.bed.family());
        let flows = self.flows.len() as u64;
        let segments = u64::from(Connections::SEGMENTS);
        let rounds = items.div_ceil(flows * segments);
        let (mut ns, mut forwarded) = (0, 0);
        let before = allocations();
        for _ in 0..rounds {
            let writing = timed(|| self.write(&mut ring));
            ns += timed(|| forwarded += self.process(&mut ring)).saturating_sub(writing);
        }
        assert_eq!(forwarded, rounds * flows * segments, "a segment was refused");
        Pass::of(rounds * flows, ns, allocations() - before)
    }
}

/// UDP flows that were never answered, which all expire at once.
struct Leaving<'a> {
    bed: &'a mut Bed,
    flows: u32,
}

impl Subject for Leaving<'_> {
    fn pass(&mut self, items: u64) -> Pass {
        let rounds = (items / u64::from(self.flows)).clamp(1, 64);
        let mut ns = 0;
        let mut allocs = 0;
        for _ in 0..rounds {
            self.bed.send_first(proto::UDP, Plan::Spread, 0..self.flows);
            self.bed.wait(UDP_LIFE);
            let before = allocations();
            let mut expired = 0;
            ns += timed(|| expired = self.bed.expire());
            allocs += allocations() - before;
            assert_eq!(expired, self.flows as usize, "some flows did not expire");
        }
        Pass::of(rounds * u64::from(self.flows), ns, allocs)
    }
}

/// Longer than an unanswered UDP flow lives (30 s).
const UDP_LIFE: Duration = Duration::from_secs(32);
/// Longer than TIME_WAIT (120 s).
const TIME_WAIT: Duration = Duration::from_secs(122);
