//! Thousands of flows: the index grows and shrinks, segments are made and given back.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::{Family, proto};

use super::*;
use crate::path::BURST;
use crate::table::column::Column;
use crate::table::record::Record;
use crate::track::ProtoState;

/// Flows by their number.
struct Crowd {
    table: FlowTable,
    rng: Rng,
    events: EventQueue,
    now: Instant,
    flows: BTreeMap<u32, (FlowId, Flow)>,
}

/// The flow of a number: either family, TCP or UDP, every fifth with NAT (of its source, of both ends, or of its
/// destination), every seventh in a zone.
fn nth(n: u32, now: Instant) -> Flow {
    let ends: [IpAddr; 2] = if n.is_multiple_of(2) {
        [0x0a00_0000 + n, 0xcb00_7100].map(|bits| Ipv4Addr::from_bits(bits).into())
    } else {
        [u128::from(n) << 64 | 1, 2].map(|bits| Ipv6Addr::from_bits(0xfd << 120 | bits).into())
    };
    let proto = if n.is_multiple_of(3) { proto::TCP } else { proto::UDP };
    let tuple =
        Tuple { src: ends[0], dst: ends[1], sport: 1000 + (n % 7) as u16, dport: 53, proto };
    let mut flow = flow(tuple);
    if n.is_multiple_of(5) {
        let port = 1 + (n % 1000) as u16;
        match n / 5 % 4 {
            0 => (flow.reply.sport, flow.reply.dport) = (port, port),
            1 => flow.reply.sport = port,
            _ => flow.reply.dport = port,
        }
        flow.status |= Status::SRC_NAT_DONE;
    }
    if n.is_multiple_of(7) {
        flow.zone = Zone { id: 9, scope: ZoneScope::Both };
    }
    flow.deadline = now + Duration::from_millis(u64::from(n.wrapping_mul(7919) % 500_000));
    flow
}

impl Crowd {
    fn new() -> Self {
        let (table, rng) = table_of(1 << 20);
        let (events, now) = (EventQueue::new(0), Instant::ZERO);
        Self { table, rng, events, now, flows: BTreeMap::new() }
    }

    fn enter(&mut self, n: u32) {
        let flow = nth(n, self.now);
        let mut draft = Draft(flow.clone());
        let id = self.table.confirm(self.now, &mut draft, &mut self.rng, None).expect("room");
        let (deadline, status) = (kept(flow.deadline), flow.status | Status::CONFIRMED);
        let proto = ProtoState::unpack(&flow.proto.pack(flow.orig.proto));
        self.flows.insert(n, (id, Flow { deadline, status, proto, ..flow }));
    }

    fn kill(&mut self, n: u32) {
        let (id, _) = self.flows.remove(&n).expect("a flow of the crowd");
        self.table.kill(id, self.now, &mut self.events);
    }

    /// Puts away all that has expired, a few steps at a time.
    fn expire(&mut self) {
        let mut idle = false;
        while !idle {
            let mut steps = 100;
            self.table.expire(self.now, &mut steps, &mut self.events);
            idle = steps > 0;
        }
        self.flows.retain(|_, (_, flow)| flow.deadline > kept(self.now));
    }

    /// The flows that have ended, in the order in which that was told.
    fn ended(&mut self) -> Vec<FlowId> {
        let events = core::iter::from_fn(|| self.events.pop());
        let ended =
            events.filter(|event| event.flow().is_some_and(|told| told.kind == EventKind::Destroy));
        ended.filter_map(Event::into_flow).map(|told| told.id).collect()
    }

    fn check(&mut self) {
        assert_eq!(self.table.len(), self.flows.len());
        for (id, flow) in self.flows.values() {
            assert_eq!(self.table.load(*id).map(|flow| described(&flow)), Some(described(flow)));
            if flow.deadline <= kept(self.now) {
                continue;
            }
            for dir in [Direction::Original, Direction::Reply] {
                let tuple = flow.tuple(dir);
                assert_eq!(self.table.lookup(self.now, tuple, flow.zone), Some((*id, dir)));
                let hint = guess(&self.table, tuple);
                let seen = express(&mut self.table, self.now, tuple, hint);
                let default = flow.zone == Zone::default();
                assert_eq!(seen, default.then_some((*id, dir, true)));
            }
        }
        Family::ALL.iter().for_each(|family| self.check_bursts(*family));
        self.check_guesses();
        let entries = self.flows.values().map(|(_, flow)| 1 + usize::from(record::is_mapped(flow)));
        assert_eq!(self.table.index.len(), entries.sum::<usize>());
    }
}

impl Crowd {
    /// Looks the tuples of a family up in bursts of all lengths, between those of flows others that no flow has.
    fn check_bursts(&self, family: Family) {
        let flows = self.flows.values().filter(|(_, flow)| flow.orig.family() == family);
        let both = flows.flat_map(|(id, flow)| {
            let is_found = flow.deadline > kept(self.now) && flow.zone == Zone::default();
            [Direction::Original, Direction::Reply]
                .map(|dir| (*flow.tuple(dir), is_found.then_some((*id, dir))))
        });
        let strange = |one: Tuple| Tuple { sport: one.sport ^ 0x8000, ..one };
        let asked: Vec<_> = both.flat_map(|pair| [pair, (strange(pair.0), None)]).collect();
        for (n, burst) in asked.chunks(BURST).enumerate() {
            let burst = &burst[..burst.len().min(1 + n % BURST)];
            let tuples: Vec<_> = burst.iter().map(|(tuple, _)| *tuple).collect();
            let mut found = Vec::new();
            let each = |number, one| found.push((number, one));
            self.table.lookup_all(self.now, &tuples, Zone::default(), each);
            assert_eq!(found, burst.iter().map(|(_, one)| *one).enumerate().collect::<Vec<_>>());
        }
    }

    /// Where the tuples of all flows are guessed to be, and of others that no flow has, is the same in bursts of all
    /// lengths as for each alone.
    fn check_guesses(&self) {
        let strange = |one: Tuple| Tuple { dport: one.dport ^ 0x8000, ..one };
        let asked = self.flows.values().flat_map(|(_, flow)| [flow.orig, strange(flow.reply)]);
        for (n, burst) in asked.collect::<Vec<_>>().chunks(BURST).enumerate() {
            let burst = &burst[..burst.len().min(1 + n % BURST)];
            let hash = |tuple| self.table.hash(tuple, Zone::default(), Direction::Original);
            let alone: Vec<_> = burst.iter().map(|tuple| self.table.guess(hash(tuple))).collect();
            assert_eq!(guesses(&self.table, burst), alone);
        }
    }
}

const V4_SEGMENT: u32 = Column::<Record<Key4>>::SEGMENT;
const V6_SEGMENT: u32 = Column::<Record<Key6>>::SEGMENT;

#[test]
fn thousands_come_and_go() {
    let mut crowd = Crowd::new();
    (0..36_000).for_each(|n| crowd.enter(n));
    crowd.check();
    assert!(crowd.table.slab.v4.records.len() > V4_SEGMENT, "two segments");
    assert!(crowd.table.slab.v6.records.len() > 2 * V6_SEGMENT, "three segments");
    assert!(crowd.table.index.lines() > 1000, "many lines");

    // Two of three go, and others take the lowest places.
    (0..36_000).filter(|n| n % 3 != 0).for_each(|n| crowd.kill(n));
    crowd.check();
    (40_000..48_000).for_each(|n| crowd.enter(n));
    crowd.check();

    while crowd.now < Instant::ZERO + Duration::from_secs(600) {
        crowd.now += Duration::from_secs(97);
        crowd.expire();
        crowd.check();
    }
    assert_eq!((crowd.table.len(), crowd.table.next_deadline()), (0, None));
    assert!(crowd.table.slab.v4.records.len() <= V4_SEGMENT, "the memory was given back");
    assert!(crowd.table.slab.v6.records.len() <= V6_SEGMENT, "the memory was given back");
    assert!(crowd.table.index.lines() < 500, "few lines are left");

    (0..3_000).for_each(|n| crowd.enter(n));
    crowd.check();
}

/// Nobody could tell that flows are found some at a time and then put away: what ends, in which order, and how many steps that
/// takes is as if each were put away before the next one is found.
#[test]
fn flows_end_in_the_same_order_however_many_steps_are_taken_at_a_time() {
    let [one, some, all] = [1, 50, usize::MAX].map(|at_a_time| {
        let mut crowd = Crowd::new();
        crowd.events = EventQueue::new(usize::MAX);
        (0..3000).for_each(|n| crowd.enter(n));
        // Timers that come twice: slots that are let again, and entries that became stale; some at the same tick.
        for n in (0..3000).step_by(5) {
            crowd.kill(n);
            crowd.enter(n);
        }
        assert_eq!(crowd.ended().len(), 600);
        for n in (0..3000).step_by(4) {
            let (id, mut flow) = crowd.flows[&n].clone();
            flow.deadline = crowd.now + Duration::from_millis(u64::from(n % 9) * 20);
            crowd.table.save(id, &flow);
        }
        let (mut ended, mut taken) = (Vec::new(), Vec::new());
        for seconds in [0, 1, 100, 101, 600] {
            crowd.now = Instant::ZERO + Duration::from_secs(seconds);
            let (mut left, mut steps) = (0, 0);
            while left == 0 {
                left = at_a_time;
                crowd.table.expire(crowd.now, &mut left, &mut crowd.events);
                steps += at_a_time - left;
            }
            ended.push(crowd.ended());
            taken.push(steps);
        }
        assert_eq!(crowd.table.len(), 0);
        (ended, taken)
    });
    assert_eq!(one.0.concat().len(), 3000);
    assert_eq!(one, some);
    assert_eq!(one, all);
}
