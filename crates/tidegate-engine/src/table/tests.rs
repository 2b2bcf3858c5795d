//! The table against a list that is searched from end to end.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tidegate_wire::{Family, proto};

use super::*;
use crate::event::EventKind;
use crate::testkit::{flow, udp};
use crate::tuple::ZoneScope;

/// No more than that, so that no chain gets too long.
const MOST: usize = 20;

/// What may happen to a table; indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    /// A flow wants in, for that many seconds.
    Confirm {
        tuple: Tuple,
        mapped: Option<u16>,
        zone: Zone,
        seconds: u64,
    },
    /// Somebody asks.
    Lookup {
        tuple: Tuple,
        zone: Zone,
    },
    /// Somebody asks, and puts away what has expired.
    Sweep {
        tuple: Tuple,
        zone: Zone,
    },
    Kill {
        nth: usize,
    },
    /// The clock goes on, and nobody looks.
    Wait {
        seconds: u64,
    },
    /// The wheel is asked.
    Expire,
    /// A packet changed a flow's deadline.
    Deadline {
        nth: usize,
        seconds: u64,
    },
    Flush,
    Resize {
        buckets: u32,
    },
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::sample::select(&[
        Zone { id: 0, scope: ZoneScope::Both },
        Zone { id: 5, scope: ZoneScope::Both },
        Zone { id: 5, scope: ZoneScope::Original },
        Zone { id: 5, scope: ZoneScope::Reply },
    ])
}

/// Few enough to meet often, in both directions and families.
fn tuples() -> impl Strategy<Value = Tuple> {
    let (hosts, ports) = (1..3u8, 1..3u16);
    (hosts.clone(), hosts, ports.clone(), ports, any::<bool>()).prop_map(
        |(src, dst, sport, dport, v4)| {
            let host = |n: u8| -> core::net::IpAddr {
                if v4 { [10, 0, 0, n].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, n.into()].into() }
            };
            Tuple { src: host(src), dst: host(dst), sport, dport, proto: proto::UDP }
        },
    )
}

fn ops() -> impl Strategy<Value = Op> {
    let confirm = (tuples(), prop::option::weighted(0.6, 1..3u16), zones(), 1..40u64);
    prop_oneof![
        6 => confirm.prop_map(|(tuple, mapped, zone, seconds)| {
            Op::Confirm { tuple, mapped, zone, seconds }
        }),
        3 => (tuples(), zones()).prop_map(|(tuple, zone)| Op::Lookup { tuple, zone }),
        1 => (tuples(), zones()).prop_map(|(tuple, zone)| Op::Sweep { tuple, zone }),
        1 => any::<usize>().prop_map(|nth| Op::Kill { nth }),
        2 => (0..20u64).prop_map(|seconds| Op::Wait { seconds }),
        2 => Just(Op::Expire),
        3 => (any::<usize>(), 0..60u64).prop_map(|(nth, seconds)| Op::Deadline { nth, seconds }),
        1 => (1..9u32).prop_map(|buckets| Op::Resize { buckets }),
    ]
}

/// What the table should be: flows in the order of their arrival.
#[derive(Default)]
struct Model {
    flows: Vec<(FlowId, Flow)>,
}

impl Model {
    /// The newest flow that is filed under the tuple and the zone's number for `filed`.
    fn owner(
        &self,
        tuple: &Tuple,
        zone: Zone,
        filed: Direction,
        now: Instant,
    ) -> Option<(FlowId, Direction)> {
        let number = zone.id_in(filed);
        for (id, flow) in self.flows.iter().rev() {
            for dir in [Direction::Reply, Direction::Original] {
                let same_zone = flow.zone.id_in(dir) == number && zone.id_in(dir) == number;
                if flow.tuple(dir) == tuple && same_zone && flow.deadline > now {
                    return Some((*id, dir));
                }
            }
        }
        None
    }

    fn lookup(&self, tuple: &Tuple, zone: Zone, now: Instant) -> Option<(FlowId, Direction)> {
        let owner = |filed| self.owner(tuple, zone, filed, now);
        owner(Direction::Original).or_else(|| owner(Direction::Reply))
    }

    fn nth(&mut self, nth: usize) -> Option<&mut (FlowId, Flow)> {
        let len = self.flows.len();
        self.flows.get_mut(nth.checked_rem(len)?)
    }
}

/// The table, the list, and a clock for both.
struct Bench {
    table: FlowTable,
    model: Model,
    rng: Rng,
    events: EventQueue,
    now: Instant,
    gone: Vec<FlowId>,
}

impl Bench {
    fn new() -> Self {
        let mut rng = Rng::new(7);
        let limits = Limits { buckets: 3, ..Limits::default() };
        Self {
            table: FlowTable::new(&limits, &mut rng, Instant::ZERO),
            model: Model::default(),
            rng,
            events: EventQueue::new(1000),
            now: Instant::ZERO,
            gone: Vec::new(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Confirm { tuple, mapped, zone, seconds } => {
                self.confirm(tuple, *mapped, *zone, *seconds);
            }
            Op::Lookup { tuple, zone } => self.compare_lookup(tuple, *zone),
            Op::Sweep { tuple, zone } => self.sweep(tuple, *zone),
            Op::Kill { nth } => self.kill(*nth),
            Op::Wait { seconds } => self.now += Duration::from_secs(*seconds),
            Op::Expire => self.expire(),
            Op::Deadline { nth, seconds } => self.set_deadline(*nth, *seconds),
            Op::Flush => self.flush(),
            Op::Resize { buckets } => self.table.resize(*buckets),
        }
    }

    fn confirm(&mut self, tuple: &Tuple, mapped: Option<u16>, zone: Zone, seconds: u64) {
        if self.model.flows.len() >= MOST {
            return;
        }
        let mut new = Flow { zone, ..flow(*tuple) };
        new.deadline = self.now + Duration::from_secs(seconds);
        if let Some(port) = mapped {
            new.reply.dport = port;
            new.status = Status::SRC_NAT_DONE;
        }
        let taken = [Direction::Original, Direction::Reply]
            .into_iter()
            .find_map(|dir| self.model.owner(new.tuple(dir), zone, dir, self.now));
        let outcome = self.table.confirm(self.now, Draft(Box::new(new.clone())), &mut self.rng);
        match (outcome, taken) {
            (Ok(id), None) => {
                new.status |= Status::CONFIRMED;
                self.model.flows.push((id, new));
            }
            (Err(error), Some((id, dir))) => assert_eq!(error, ConfirmError::Taken(id, dir)),
            (outcome, taken) => panic!("{outcome:?}, but {taken:?}"),
        }
    }

    fn compare_lookup(&self, tuple: &Tuple, zone: Zone) {
        let found = self.table.lookup(self.now, tuple, zone);
        assert_eq!(found, self.model.lookup(tuple, zone, self.now));
    }

    fn sweep(&mut self, tuple: &Tuple, zone: Zone) {
        let expected = self.model.lookup(tuple, zone, self.now);
        let found = self.table.find_or_evict(self.now, tuple, zone, &mut self.events);
        assert_eq!(found, expected);
        self.table.bury();
        self.forget_the_dead();
    }

    /// Takes out of the list what has left the table, which only expired flows may do by themselves.
    fn forget_the_dead(&mut self) {
        let (table, now, gone) = (&self.table, self.now, &mut self.gone);
        self.model.flows.retain(|(id, flow)| {
            let stays = table.flow(*id).is_some();
            assert!(stays || flow.deadline <= now, "a living flow has left");
            if !stays {
                gone.push(*id);
            }
            stays
        });
    }

    fn kill(&mut self, nth: usize) {
        let Some((id, _)) = self.model.nth(nth).cloned() else { return };
        self.table.kill(id, self.now, &mut self.events);
        assert!(
            self.table.flow(id).is_some_and(|flow| flow.is(Status::DYING)),
            "until it's buried"
        );
        self.table.bury();
        self.model.flows.retain(|(other, _)| *other != id);
        self.gone.push(id);
    }

    /// The wheel gives exactly those whose time is up.
    fn expire(&mut self) {
        while let Some(id) = self.table.next_expired(self.now) {
            self.table.kill(id, self.now, &mut self.events);
        }
        self.table.bury();
        self.forget_the_dead();
        let overdue = self.model.flows.iter().find(|(_, flow)| flow.deadline <= self.now);
        assert!(overdue.is_none(), "{overdue:?} was not expired");
    }

    /// A packet renews only what is alive; a deadline that comes closer is told to the wheel.
    fn set_deadline(&mut self, nth: usize, seconds: u64) {
        let now = self.now;
        let Some((id, flow)) = self.model.nth(nth) else { return };
        if flow.deadline <= now {
            return;
        }
        let deadline = now + Duration::from_secs(seconds);
        let closer = deadline < flow.deadline;
        flow.deadline = deadline;
        let id = *id;
        self.table.flow_mut(id).expect("a flow of the list").deadline = deadline;
        if closer {
            self.table.rearm(id);
        }
    }

    fn flush(&mut self) {
        for (id, _) in core::mem::take(&mut self.model.flows) {
            self.table.kill(id, self.now, &mut self.events);
            self.gone.push(id);
        }
        self.table.bury();
    }

    fn check(&self) {
        let seen: BTreeMap<FlowId, String> =
            self.table.iter().map(|(id, flow)| (id, described(flow))).collect();
        let expected: BTreeMap<FlowId, String> =
            self.model.flows.iter().map(|(id, flow)| (*id, described(flow))).collect();
        assert_eq!(seen, expected);
        assert_eq!(self.table.len(), expected.len());
        for (_, flow) in &self.model.flows {
            self.compare_lookup(&flow.orig, flow.zone);
            self.compare_lookup(&flow.reply, flow.zone);
            self.compare_sources(flow);
        }
        assert!(
            self.gone.iter().all(|id| self.table.flow(*id).is_none()),
            "a stale id finds a flow"
        );
        let first = self.model.flows.iter().map(|(_, flow)| flow.deadline).min();
        match (self.table.next_deadline(), first) {
            (Some(due), Some(first)) => assert!(due <= first, "{due:?} is later than {first:?}"),
            (due, first) => assert_eq!(due, first),
        }
    }

    fn compare_sources(&self, of: &Flow) {
        let seen: Vec<(Tuple, Tuple)> =
            self.table.of_source(&of.orig, of.zone).map(|flow| (flow.orig, flow.reply)).collect();
        let filed = self.model.flows.iter().rev().map(|(_, flow)| flow);
        let expected: Vec<(Tuple, Tuple)> = filed
            .filter(|flow| flow.is(Status::SRC_NAT_DONE) && source(flow) == source(of))
            .map(|flow| (flow.orig, flow.reply))
            .collect();
        assert_eq!(seen, expected);
    }
}

/// What NAT calls the same source: a zone counts by its number for the original direction, and
/// whether it is one for both.
fn source(flow: &Flow) -> (core::net::IpAddr, u16, u16, bool) {
    let (orig, zone) = (&flow.orig, flow.zone);
    let both = zone.scope == ZoneScope::Both && zone.id != 0;
    (orig.src, orig.sport, zone.id_in(Direction::Original), both)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_table_is_what_the_list_is(
        ops in prop::collection::vec(ops(), 1..80),
        flush_after in 0..200usize,
    ) {
        let mut bench = Bench::new();
        for (nth, op) in ops.iter().enumerate() {
            bench.apply(op);
            if nth == flush_after {
                bench.apply(&Op::Flush);
            }
            bench.check();
        }
    }
}

fn numbered(port: u16) -> Tuple {
    udp(crate::testkit::Host::Client, 0).ports(port, 53).tuple(Family::V4)
}

/// A flow of that client port, with 30 seconds to live.
fn draft(port: u16, status: Status) -> Draft {
    let deadline = Instant::ZERO + Duration::from_secs(30);
    Draft(Box::new(Flow { status, deadline, ..flow(numbered(port)) }))
}

fn table_of(buckets: u32) -> (FlowTable, Rng) {
    let mut rng = Rng::new(1);
    let limits = Limits { buckets, ..Limits::default() };
    (FlowTable::new(&limits, &mut rng, Instant::ZERO), rng)
}

#[test]
fn a_chain_of_more_than_50_to_79_takes_no_more() {
    for seed in 0..20 {
        let (mut table, _) = table_of(1);
        let mut rng = Rng::new(seed);
        let refused = (1..100).find_map(|port| {
            table.confirm(Instant::ZERO, draft(port, Status::empty()), &mut rng).err()
        });
        assert_eq!(refused, Some(ConfirmError::ChainTooLong));
        let nodes = table.len() * 2;
        assert!((51..=80).contains(&nodes), "{nodes} nodes in the chain");
    }
}

#[test]
fn early_drop_takes_all_that_is_not_assured_in_one_bucket() {
    let (mut table, mut rng) = table_of(1);
    let mut events = EventQueue::new(100);
    for (port, status) in [(1, Status::ASSURED), (2, Status::empty()), (3, Status::empty())] {
        table.confirm(Instant::ZERO, draft(port, status), &mut rng).expect("room");
    }
    assert_eq!(table.early_drop(Instant::ZERO, &numbered(9), Zone::default(), &mut events), 2);
    let left: Vec<u16> = table.iter().map(|(_, flow)| flow.orig.sport).collect();
    assert_eq!(left, [1]);
    assert_eq!(table.early_drop(Instant::ZERO, &numbered(9), Zone::default(), &mut events), 0);
    let told: Vec<EventKind> = core::iter::from_fn(|| events.pop()).map(|e| e.kind).collect();
    assert_eq!(told, [EventKind::Destroy, EventKind::Destroy]);
}

#[test]
fn early_drop_collects_what_has_expired_but_that_is_no_victim() {
    let (mut table, mut rng) = table_of(1);
    let mut events = EventQueue::new(100);
    table.confirm(Instant::ZERO, draft(1, Status::ASSURED), &mut rng).expect("room");
    table.confirm(Instant::ZERO, draft(2, Status::empty()), &mut rng).expect("room");
    let later = Instant::ZERO + Duration::from_secs(30);
    assert_eq!(table.early_drop(later, &numbered(9), Zone::default(), &mut events), 0);
    assert_eq!(table.len(), 0);
}

#[test]
fn early_drop_looks_at_eight_buckets_from_its_own_on() {
    const BUCKETS: u32 = 64;
    let (mut table, mut rng) = table_of(BUCKETS);
    let mut events = EventQueue::new(100);
    let id = table.confirm(Instant::ZERO, draft(1, Status::empty()), &mut rng).expect("room");
    let flow = table.flow(id).expect("it is there").clone();
    let homes = [&flow.orig, &flow.reply].map(|tuple| table.index.bucket_of(tuple, 0));
    for port in 2..500 {
        let own = table.index.bucket_of(&numbered(port), 0);
        let near = homes.iter().any(|home| (home + BUCKETS - own) % BUCKETS < 8);
        let dropped =
            table.early_drop(Instant::ZERO, &numbered(port), Zone::default(), &mut events);
        assert_eq!(dropped == 1, near, "from bucket {own}, with the flow in {homes:?}");
        if dropped == 1 {
            table.bury();
            table.confirm(Instant::ZERO, draft(1, Status::empty()), &mut rng).expect("room");
        }
    }
}

#[test]
fn a_slot_that_is_used_again_has_another_id() {
    let (mut table, mut rng) = table_of(8);
    let mut events = EventQueue::new(100);
    let first = table.confirm(Instant::ZERO, draft(1, Status::empty()), &mut rng).expect("room");
    table.kill(first, Instant::ZERO, &mut events);
    table.kill(first, Instant::ZERO, &mut events);
    assert_eq!(table.len(), 0, "it dies only once");
    table.bury();
    let second = table.confirm(Instant::ZERO, draft(2, Status::empty()), &mut rng).expect("room");
    assert_eq!(first.slot, second.slot);
    assert!(table.flow(first).is_none());
    assert!(table.flow(second).is_some());
}

#[test]
fn a_flow_lives_up_to_its_deadline_and_no_nanosecond_longer() {
    let (mut table, mut rng) = table_of(8);
    let id = table.confirm(Instant::ZERO, draft(1, Status::empty()), &mut rng).expect("room");
    let deadline = Instant::ZERO + Duration::from_secs(30);
    let before = Instant::from_nanos(deadline.nanos() - 1);
    let found = |table: &FlowTable, now| table.lookup(now, &numbered(1), Zone::default());
    assert_eq!(found(&table, before), Some((id, Direction::Original)));
    assert_eq!(table.next_expired(before), None);
    assert_eq!(found(&table, deadline), None);
    assert_eq!(table.next_expired(deadline), Some(id));
}

#[test]
fn times_are_kept_where_they_are_wanted() {
    let (mut table, mut rng) = table_of(8);
    let mut events = EventQueue::new(100);
    let mut timed = draft(1, Status::empty());
    timed.0.lifetime = Some(Default::default());
    let start = Instant::from_nanos(5);
    let id = table.confirm(start, timed, &mut rng).expect("room");
    let late = Instant::ZERO + Duration::from_secs(40);
    table.kill(id, late, &mut events);
    let lifetime =
        table.flow(id).and_then(|flow| flow.lifetime.as_deref().copied()).expect("a lifetime");
    assert_eq!(lifetime.start, Some(start));
    let deadline = Instant::ZERO + Duration::from_secs(30);
    assert_eq!(lifetime.stop, Some(deadline), "it ended when it ran out, not when that was seen");
}

/// Everything about a flow but where the wheel has it filed, which the list does not know.
fn described(flow: &Flow) -> String {
    alloc::format!("{:?}", Flow { armed: Instant::ZERO, ..flow.clone() })
}
