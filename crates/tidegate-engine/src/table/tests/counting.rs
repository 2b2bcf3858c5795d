//! What flows of a table have counted, against numbers of 64 bits: of both families, entered in either way, counted where they lie
//! or as values, read and zeroed, and gone.

use alloc::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use tidegate_wire::proto;

use super::*;
use crate::event::EventMask;
use crate::flow::Counter;
use crate::table::counters::tests::numbers;
use crate::table::newcomer::Newcomer;
use crate::testkit::Host;
use crate::track::ProtoState;

/// What may happen to one of few flows.
#[derive(Clone, Debug)]
enum Op {
    /// It begins, with these counters or none: as a draft that is confirmed, or plainly.
    Begin {
        counters: Option<[Counter; 2]>,
        is_plain: bool,
    },
    /// So many packets come, which are counted where the flow lies, or in a copy of it that is saved.
    Count {
        dir: Direction,
        times: u32,
        bytes: usize,
        walks: bool,
    },
    /// Somebody sets its counters.
    Set([Counter; 2]),
    /// Somebody reads and zeroes them.
    Zero,
    End,
    /// The time of all is over.
    Expire,
}

fn ops() -> impl Strategy<Value = Op> {
    let begin = (prop::option::weighted(0.8, numbers()), any::<bool>());
    let dir = any::<bool>().prop_map(|is| if is { Direction::Reply } else { Direction::Original });
    let times = prop_oneof![3 => 1..9u32, 1 => 1000..2500u32];
    let lengths = prop_oneof![20..1500usize, 60_000..70_000usize];
    prop_oneof![
        3 => begin.prop_map(|(counters, is_plain)| Op::Begin { counters, is_plain }),
        4 => (dir, times, lengths, any::<bool>())
            .prop_map(|(dir, times, bytes, walks)| Op::Count { dir, times, bytes, walks }),
        1 => numbers().prop_map(Op::Set),
        1 => proptest::strategy::Just(Op::Zero),
        2 => proptest::strategy::Just(Op::End),
        1 => proptest::strategy::Just(Op::Expire),
    ]
}

/// A table, and what its flows have counted.
struct Bench {
    table: FlowTable,
    rng: Rng,
    now: Instant,
    known: BTreeMap<u32, (FlowId, Option<[Counter; 2]>)>,
}

/// The tuple of a flow: every other one of IPv6.
fn tuple(n: u32) -> Tuple {
    let family = Family::ALL[n as usize % 2];
    udp(Host::Client, 0).ports(n as u16, 53).tuple(family)
}

impl Bench {
    fn apply(&mut self, n: u32, op: &Op) {
        if matches!(op, Op::Expire) {
            return self.expire();
        }
        let Some((id, known)) = self.known.get_mut(&n) else {
            if let Op::Begin { counters, is_plain } = *op {
                let id = self.begin(n, counters, is_plain);
                self.known.insert(n, (id, counters));
            }
            return;
        };
        let id = *id;
        match *op {
            Op::Begin { .. } | Op::Expire => {}
            Op::Count { dir, times, bytes, walks } => {
                let counter = known.as_mut().map(|known| &mut known[dir.index()]);
                counter.into_iter().for_each(|one| (0..times).for_each(|_| one.count(bytes)));
                match tuple(n).src {
                    _ if walks => self.change(id, |flow| {
                        (0..times).for_each(|_| flow.account(dir, bytes));
                    }),
                    core::net::IpAddr::V4(_) => self.count::<Key4>(n, dir, times, bytes),
                    core::net::IpAddr::V6(_) => self.count::<Key6>(n, dir, times, bytes),
                }
            }
            Op::Set(counters) => self.set(n, counters),
            Op::Zero => self.set(n, Default::default()),
            Op::End => {
                self.table.kill(id, self.now, &mut EventQueue::new(0));
                self.known.remove(&n);
            }
        }
    }

    fn expire(&mut self) {
        self.now += Duration::from_secs(31);
        self.table.expire(self.now, &mut { usize::MAX }, &mut EventQueue::new(0));
        assert_eq!(self.table.len(), 0);
        self.known.clear();
    }

    fn begin(&mut self, n: u32, counters: Option<[Counter; 2]>, is_plain: bool) -> FlowId {
        let deadline = self.now + Duration::from_secs(30);
        if !is_plain {
            // Some have more than their record and counters.
            let status = if n.is_multiple_of(2) { Status::SRC_NAT_DONE } else { Status::empty() };
            let flow = Flow { acct: counters, deadline, mark: n % 3, status, ..flow(tuple(n)) };
            let outcome = self.table.confirm(self.now, &mut Draft(flow), &mut self.rng, None);
            return outcome.expect("room");
        }
        match tuple(n).src {
            core::net::IpAddr::V4(_) => self.welcome::<Key4>(n, counters, deadline),
            core::net::IpAddr::V6(_) => self.welcome::<Key6>(n, counters, deadline),
        }
    }

    fn welcome<K: Shelved>(
        &mut self,
        n: u32,
        counters: Option<[Counter; 2]>,
        deadline: Instant,
    ) -> FlowId {
        let key = K::of(&tuple(n));
        let cells = ProtoState::None.pack(proto::UDP);
        let announced = EventMask::all();
        let newcomer = Newcomer { key, cells, deadline, announced, counters, birth: None };
        let hash = self.table.hash_of(key, proto::UDP);
        self.table.welcome(self.now, &newcomer, hash, &mut self.rng)
    }

    fn count<K: Shelved>(&mut self, n: u32, dir: Direction, times: u32, bytes: usize) {
        let original = K::of(&tuple(n));
        let key = if dir == Direction::Original { original } else { original.swapped() };
        let mut glance = Glance::NOTHING;
        glance.hash = self.table.hash_of(key, proto::UDP);
        let counted = self.table.with_seat((key, proto::UDP), &glance, |mut seat| {
            (0..times).for_each(|_| seat.count(bytes));
            seat.dir
        });
        assert_eq!(counted, Some(dir));
    }

    fn change(&mut self, id: FlowId, change: impl FnOnce(&mut Flow)) {
        let mut flow = self.table.load(id).expect("a flow that is known");
        change(&mut flow);
        self.table.save(id, &flow);
    }

    /// Of a flow that does not count there is nothing to be set.
    fn set(&mut self, n: u32, counters: [Counter; 2]) {
        if let Some((id, Some(known))) = self.known.get_mut(&n) {
            *known = counters;
            let id = *id;
            self.change(id, |flow| flow.acct = Some(counters));
        }
    }

    fn check(&self) {
        for (id, known) in self.known.values() {
            assert_eq!(self.table.load(*id).map(|flow| flow.acct), Some(*known));
        }
    }

    /// How many flows have a place.
    fn taken(&self) -> [usize; 2] {
        [self.table.slab.v4.counters.taken(), self.table.slab.v6.counters.taken()]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn flows_count_in_64_bits_and_inherit_nothing(
        steps in prop::collection::vec((0..6u32, ops()), 1..80),
    ) {
        let (table, rng) = table_of(1 << 10);
        let mut bench = Bench { table, rng, now: Instant::ZERO, known: BTreeMap::new() };
        for (n, op) in steps {
            bench.apply(n, &op);
            bench.check();
        }
        (0..6).for_each(|n| bench.apply(n, &Op::End));
        assert_eq!(bench.taken(), [0; 2], "what the last flow had was not given back");
    }
}
