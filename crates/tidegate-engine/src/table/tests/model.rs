//! The table against a list that is searched from end to end.

use alloc::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tidegate_wire::proto;

use super::*;
use crate::event::EventMask;
use crate::fib::PortId;
use crate::flow::Labels;
use crate::flow::{Counter, Lifetime};
use crate::limits::PolicyId;
use crate::path::BURST;
use crate::track::{Cells, ProtoState};

/// No more than that, so that no chain gets too long.
const MOST: usize = 20;

/// What may happen to a table; indices are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    /// A flow wants in, for that many milliseconds.
    Confirm {
        tuple: Tuple,
        mapped: Option<Mapped>,
        zone: Zone,
        millis: u64,
        extra: Extra,
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
        millis: u64,
    },
    /// The wheel is asked until it has no more to say, in so many steps each time.
    Expire {
        steps: usize,
    },
    /// The wheel is asked once.
    ExpireOne {
        steps: usize,
    },
    /// A packet changed a flow's deadline.
    Deadline {
        nth: usize,
        millis: u64,
    },
    /// A packet changed everything else that may change.
    Change {
        nth: usize,
        extra: Extra,
    },
    Flush,
    Resize {
        buckets: u32,
    },
}

/// Another port for the source of a reply, its destination, or both.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    port: u16,
    ends: [bool; 2],
}

/// What is not the same in most flows.
#[derive(Clone, Copy, Debug)]
struct Extra {
    mark: u32,
    masquerade_port: Option<PortId>,
    pending: EventMask,
    announced: EventMask,
    /// Counters, and times.
    switches: [bool; 2],
    /// Bits of the status.
    bits: u8,
    cells: u32,
}

fn extras() -> impl Strategy<Value = Extra> {
    let masks = |usual| prop_oneof![4 => Just(usual), 1 => (0..1024u16).prop_map(EventMask::from_bits_truncate)];
    let announced = prop_oneof![masks(EventMask::all()), masks(EventMask::empty())];
    let mark = prop_oneof![2 => Just(0), 1 => any::<u32>()];
    let port = prop::option::weighted(0.2, any::<u16>().prop_map(PortId));
    let rest = (any::<[bool; 2]>(), any::<u8>(), any::<u32>());
    (mark, port, masks(EventMask::empty()), announced, rest).prop_map(
        |(mark, masquerade_port, pending, announced, (switches, bits, cells))| Extra {
            mark,
            masquerade_port,
            pending,
            announced,
            switches,
            bits,
            cells,
        },
    )
}

impl Extra {
    /// Writes what a packet may change.
    fn write(self, flow: &mut Flow) {
        flow.mark = self.mark;
        flow.labels = Labels::NONE;
        (0..32).filter(|bit| self.mark & 1 << bit != 0).for_each(|bit| flow.labels.set(4 * bit));
        flow.policy = (self.mark % 5 == 1).then_some(PolicyId(self.mark as u16 >> 1));
        flow.masquerade_port = self.masquerade_port;
        flow.pending = self.pending;
        flow.announced = self.announced;
        let seen = [Status::SEEN_REPLY, Status::ASSURED, Status::FIXED_TIMEOUT, Status::HELPER];
        for (nth, bit) in seen.into_iter().enumerate() {
            flow.status.set(bit, self.bits & 1 << nth != 0);
        }
        let cells = flow.proto.pack(flow.orig.proto);
        flow.proto = ProtoState::unpack(&Cells {
            words: [self.cells; 10],
            bytes: [self.cells as u8; 8],
            ..cells
        });
        if let Some(acct) = &mut flow.acct {
            acct[usize::from(self.bits & 1)].packets += 1;
            acct[1].bytes += u64::from(self.cells);
        }
    }
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
    let protos = prop::sample::select(&[proto::UDP, proto::UDP, proto::UDP, proto::TCP]);
    (hosts.clone(), hosts, ports.clone(), ports, any::<bool>(), protos).prop_map(
        |(src, dst, sport, dport, v4, proto)| {
            let host = |n: u8| -> core::net::IpAddr {
                if v4 { [10, 0, 0, n].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, n.into()].into() }
            };
            Tuple { src: host(src), dst: host(dst), sport, dport, proto }
        },
    )
}

/// Milliseconds: mostly less than a minute, now and then more than the wheel files ahead.
fn spans() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..40_000u64, 1 => 0..3u64, 1 => 200_000..2_000_000u64]
}

fn ops() -> impl Strategy<Value = Op> {
    let ends = prop::sample::select(&[[false, true], [false, true], [true, false], [true, true]]);
    let mapped = (1..3u16, ends).prop_map(|(port, ends)| Mapped { port, ends });
    let mapped = prop::option::weighted(0.6, mapped);
    let confirm = (tuples(), mapped, zones(), spans(), extras());
    prop_oneof![
        6 => confirm.prop_map(|(tuple, mapped, zone, millis, extra)| {
            Op::Confirm { tuple, mapped, zone, millis, extra }
        }),
        3 => (tuples(), zones()).prop_map(|(tuple, zone)| Op::Lookup { tuple, zone }),
        1 => (tuples(), zones()).prop_map(|(tuple, zone)| Op::Sweep { tuple, zone }),
        1 => any::<usize>().prop_map(|nth| Op::Kill { nth }),
        2 => spans().prop_map(|millis| Op::Wait { millis: millis / 2 }),
        2 => prop::sample::select(&[1, 3, usize::MAX]).prop_map(|steps| Op::Expire { steps }),
        1 => (0..4usize).prop_map(|steps| Op::ExpireOne { steps }),
        3 => (any::<usize>(), spans()).prop_map(|(nth, millis)| Op::Deadline { nth, millis }),
        3 => (any::<usize>(), extras()).prop_map(|(nth, extra)| Op::Change { nth, extra }),
        1 => (1..9u32).prop_map(|buckets| Op::Resize { buckets }),
    ]
}

/// Whether a flow's last tick has begun.
fn is_over(flow: &Flow, now: Instant) -> bool {
    flow.deadline <= kept(now)
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
                if flow.tuple(dir) == tuple && same_zone && !is_over(flow, now) {
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
            Op::Confirm { tuple, mapped, zone, millis, extra } => {
                let mut new = Flow { zone: *zone, ..flow(*tuple) };
                new.deadline = self.now + Duration::from_millis(*millis);
                if let Some(Mapped { port, ends: [src, dst] }) = *mapped {
                    new.reply.sport = if src { port } else { new.reply.sport };
                    new.reply.dport = if dst { port } else { new.reply.dport };
                    new.status = Status::SRC_NAT_DONE;
                }
                let [counts, tells_times] = extra.switches;
                new.acct = counts.then_some([Counter::default(); 2]);
                new.lifetime = tells_times.then_some(Lifetime::default());
                extra.write(&mut new);
                self.confirm(new);
            }
            Op::Lookup { tuple, zone } => self.compare_lookup(tuple, *zone),
            Op::Sweep { tuple, zone } => self.sweep(tuple, *zone),
            Op::Kill { nth } => self.kill(*nth),
            Op::Wait { millis } => self.now += Duration::from_millis(*millis),
            Op::Expire { steps } => self.expire(*steps),
            Op::ExpireOne { steps } => _ = self.expire_one(*steps),
            Op::Deadline { nth, millis } => self.set_deadline(*nth, *millis),
            Op::Change { nth, extra } => self.change(*nth, *extra),
            Op::Flush => self.flush(),
            Op::Resize { buckets } => self.table.resize(*buckets),
        }
    }

    fn confirm(&mut self, mut new: Flow) {
        if self.model.flows.len() >= MOST {
            return;
        }
        let taken = [Direction::Original, Direction::Reply]
            .into_iter()
            .find_map(|dir| self.model.owner(new.tuple(dir), new.zone, dir, self.now));
        let outcome = self.table.confirm(self.now, &mut Draft(new.clone()), &mut self.rng, None);
        match (outcome, taken) {
            (Ok(id), None) => {
                new.status |= Status::CONFIRMED;
                new.deadline = kept(new.deadline);
                if let Some(lifetime) = &mut new.lifetime {
                    lifetime.start = Some(self.now);
                }
                self.model.flows.push((id, new));
            }
            (Err(error), Some((id, dir))) => assert_eq!(error, ConfirmError::Taken(id, dir)),
            (outcome, taken) => panic!("{outcome:?}, but {taken:?}"),
        }
    }

    fn compare_lookup(&mut self, tuple: &Tuple, zone: Zone) {
        let found = self.table.lookup(self.now, tuple, zone);
        assert_eq!(found, self.model.lookup(tuple, zone, self.now));
        let mut hints = [Hint::NOTHING; BURST];
        self.table.expect_all(&[*tuple], zone, &mut hints);
        assert_eq!(self.table.lookup_expected(self.now, tuple, zone, hints[0]), found);
        self.compare_burst(tuple, zone);
        if zone == Zone::default() {
            self.compare_express(tuple, found);
        }
    }

    /// Many at once are found as each alone: twice the same, inverses, others of the same family, and of both.
    fn compare_burst(&self, tuple: &Tuple, zone: Zone) {
        let others = self.model.flows.iter().map(|(_, flow)| flow.reply).take(BURST - 4);
        let mut burst = alloc::vec![*tuple, tuple.invert().unwrap_or(*tuple), *tuple];
        burst.extend(others);
        let (alike, all) = (|one: &Tuple| one.family() == tuple.family(), |_: &Tuple| true);
        for is_wanted in [&alike as &dyn Fn(&Tuple) -> bool, &all] {
            let tuples: Vec<Tuple> = burst.iter().copied().filter(is_wanted).collect();
            let mut found = Vec::new();
            self.table.lookup_all(self.now, &tuples, zone, |number, one| found.push((number, one)));
            let alone = tuples.iter().map(|one| self.table.lookup(self.now, one, zone));
            assert_eq!(found, alone.enumerate().collect::<Vec<_>>(), "{tuples:?}");
        }
    }

    /// The express path takes only who is found in the walk, whatever it guessed, and everybody who
    /// has the tuple for himself.
    fn compare_express(&mut self, tuple: &Tuple, found: Option<(FlowId, Direction)>) {
        let holds = |(_, flow): &&(FlowId, Flow)| flow.orig == *tuple || flow.reply == *tuple;
        let mut holders = self.model.flows.iter().filter(holds);
        let plain = holders.next().is_some_and(|(_, flow)| flow.zone == Zone::default());
        let alone = plain && holders.next().is_none();
        let other = self.model.flows.first().map(|(id, _)| id.slot);
        for hint in [guess(&self.table, tuple), other, Some(77), None] {
            let seen = express(&mut self.table, self.now, tuple, hint);
            let taken = seen.filter(|(_, _, is_eligible)| *is_eligible);
            let taken = taken.map(|(id, dir, _)| (id, dir));
            assert!(taken.is_none_or(|taken| found == Some(taken)), "{taken:?}, but {found:?}");
            let seen = seen.map(|(id, dir, _)| (id, dir));
            assert!(!alone || found.is_none_or(|found| seen == Some(found)), "{found:?} is missed");
        }
    }

    fn sweep(&mut self, tuple: &Tuple, zone: Zone) {
        let expected = self.model.lookup(tuple, zone, self.now);
        let found = self.table.find_or_evict(self.now, (tuple, zone), None, &mut self.events);
        assert_eq!(found, expected);
        self.forget_the_dead();
    }

    /// Takes out of the list what has left the table, which only expired flows may do by themselves.
    fn forget_the_dead(&mut self) {
        let (table, now, gone) = (&self.table, self.now, &mut self.gone);
        self.model.flows.retain(|(id, flow)| {
            let stays = table.has(*id);
            assert!(stays || is_over(flow, now), "a living flow has left");
            if !stays {
                gone.push(*id);
            }
            stays
        });
    }

    fn kill(&mut self, nth: usize) {
        let Some((id, _)) = self.model.nth(nth).cloned() else { return };
        self.table.kill(id, self.now, &mut self.events);
        assert!(!self.table.has(id));
        self.model.flows.retain(|(other, _)| *other != id);
        self.gone.push(id);
    }

    /// The wheel gives exactly those whose time is up, however few steps it may take at a time.
    fn expire(&mut self, steps: usize) {
        let mut asked = 0;
        while !self.expire_one(steps) {
            asked += 1;
            assert!(asked < 10_000, "the wheel does not come to an end");
        }
        let overdue = self.model.flows.iter().find(|(_, flow)| is_over(flow, self.now));
        assert!(overdue.is_none(), "{overdue:?} was not expired");
    }

    /// One call; whether there is nothing left to do.
    fn expire_one(&mut self, steps: usize) -> bool {
        let mut left = steps;
        self.table.expire(self.now, &mut left, &mut self.events);
        self.forget_the_dead();
        left > 0
    }

    /// A packet renews only what is alive; a deadline that comes closer is told to the wheel.
    fn set_deadline(&mut self, nth: usize, millis: u64) {
        let now = self.now;
        let Some((id, flow)) = self.model.nth(nth).filter(|(_, flow)| !is_over(flow, now)) else {
            return;
        };
        let deadline = now + Duration::from_millis(millis);
        flow.deadline = kept(deadline);
        let id = *id;
        let mut flow = self.table.load(id).expect("a flow of the list");
        flow.deadline = deadline;
        self.table.save(id, &flow);
    }

    /// A packet changes what is not its place in the table.
    fn change(&mut self, nth: usize, extra: Extra) {
        let Some((id, flow)) = self.model.nth(nth) else { return };
        extra.write(flow);
        let id = *id;
        let mut flow = self.table.load(id).expect("a flow of the list");
        extra.write(&mut flow);
        self.table.save(id, &flow);
    }

    fn flush(&mut self) {
        for (id, _) in core::mem::take(&mut self.model.flows) {
            self.table.kill(id, self.now, &mut self.events);
            self.gone.push(id);
        }
    }

    fn check(&mut self) {
        let seen: BTreeMap<FlowId, String> =
            self.table.iter().map(|(id, flow)| (id, described(&flow))).collect();
        let expected: BTreeMap<FlowId, String> =
            self.model.flows.iter().map(|(id, flow)| (*id, described(flow))).collect();
        assert_eq!(seen, expected);
        assert_eq!(self.table.len(), expected.len());
        for (_, flow) in &self.model.flows.clone() {
            self.compare_lookup(&flow.orig, flow.zone);
            self.compare_lookup(&flow.reply, flow.zone);
            self.compare_lookup(&flow.reply, Zone::default());
            self.compare_sources(flow);
        }
        assert!(
            self.gone.iter().all(|id| !self.table.has(*id) && self.table.load(*id).is_none()),
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
fn source(flow: &Flow) -> (core::net::IpAddr, u16, u8, u16, bool) {
    let (orig, zone) = (&flow.orig, flow.zone);
    let both = zone.scope == ZoneScope::Both && zone.id != 0;
    (orig.src, orig.sport, orig.proto, zone.id_in(Direction::Original), both)
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
