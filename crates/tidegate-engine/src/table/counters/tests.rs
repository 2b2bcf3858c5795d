//! Counters against numbers of 64 bits: cell by cell here, flows of both families through the table in
//! `table/tests/counting.rs`.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::*;

const BOTH: [Direction; 2] = [Direction::Original, Direction::Reply];

fn counter(packets: u64, bytes: u64) -> Counter {
    Counter { packets, bytes }
}

impl Counters {
    /// How many places are somebody's, where flows of the family count that have outgrown their cells.
    pub(in crate::table) fn taken(&self) -> usize {
        let Places { counters, vacant, .. } = &self.places;
        let exists = |place: u32| (place != NIL).then_some(place);
        let next = |place: &u32| exists(counters.at(*place)[0].packets as u32);
        counters.len() as usize - core::iter::successors(exists(*vacant), next).count()
    }
}

#[test]
fn a_cell_holds_what_fits_and_no_more() {
    let [packets, bytes] = [2047, (1 << 20) - 1];
    let rows = [
        (0, 0, true),
        (packets, 0, true),
        (0, bytes, true),
        (packets, bytes, true),
        (packets + 1, 0, false),
        (0, bytes + 1, false),
        (1 << 32, 0, false),
        (0, 1 << 32, false),
        (u64::MAX, u64::MAX, false),
    ];
    for (packets, bytes, fits) in rows {
        let told = counter(packets, bytes);
        let cell = Cell::of(told);
        assert_eq!(cell.is_some(), fits, "{told:?}");
        assert!(cell.is_none_or(|cell| (cell.small(), cell.place()) == (told, None)), "{told:?}");
    }
}

#[test]
fn a_flow_gets_a_place_with_the_packet_that_is_too_much_for_a_cell() {
    let rows = [
        // What is there, the packet that comes, and whether there is a place then.
        (counter(2046, 5), 60, false),
        (counter(2047, 5), 60, true),
        (counter(7, (1 << 20) - 61), 60, false),
        (counter(7, (1 << 20) - 60), 60, true),
        (counter(2047, (1 << 20) - 1), 1, true),
        (counter(0, 0), 1 << 20, true),
        (counter(0, 9), usize::MAX, true),
    ];
    for (before, bytes, is_large) in rows {
        for dir in BOTH {
            let mut counters = Counters::default();
            counters.set(3, [before; 2]);
            assert_eq!(counters.taken(), 0, "{before:?}");
            counters.count(3, dir, bytes);
            let mut expected = [before; 2];
            expected[dir.index()].count(bytes);
            assert_eq!(counters.read(3), expected, "{before:?}, {bytes}");
            assert_eq!(counters.taken(), usize::from(is_large), "{before:?}, {bytes}");
        }
    }
}

/// Whoever begins sees to it that who grows large needs no memory.
#[test]
fn flows_that_begin_have_memory_ready_for_those_that_grow() {
    const LARGE: [Counter; 2] = [Counter { packets: 1 << 40, bytes: 0 }; 2];
    let segment = Column::<[Counter; 2]>::SEGMENT;
    let mut counters = Counters::default();
    let is_ready = |counters: &Counters| counters.places.ahead.is_some();
    counters.begin(0, Default::default());
    assert!(is_ready(&counters) && counters.places.counters.len() == 0);
    (0..segment).for_each(|at| counters.set(at, LARGE));
    assert!(!is_ready(&counters), "it is in use");
    counters.begin(segment, Default::default());
    assert!(is_ready(&counters));
    counters.set(segment, LARGE);
    assert!(!is_ready(&counters));
    assert!((0..=segment).all(|at| counters.read(at) == LARGE));
    assert_eq!(counters.taken(), segment as usize + 1);
}

#[test]
fn a_place_is_kept_until_its_counters_are_set_or_its_flow_is_gone() {
    let large = counter(1 << 40, u64::MAX);
    let mut counters = Counters::default();
    counters.forget(0);
    assert!(counters.is_empty());
    counters.set(0, [large; 2]);
    counters.set(1, [counter(1, 1), large]);
    assert_eq!((counters.taken(), counters.places.counters.len()), (2, 2));
    // Zeroed, they fit their cells.
    counters.set(0, Default::default());
    assert_eq!((counters.taken(), counters.read(0)), (1, [Counter::default(); 2]));
    // What was given back last is taken first, and nothing of it is inherited.
    counters.set(2, [counter(1 << 11, 0), counter(7, 9)]);
    assert_eq!((counters.taken(), counters.places.counters.len()), (2, 2));
    assert_eq!(counters.read(2), [counter(1 << 11, 0), counter(7, 9)]);
    [0, 1, 2, 3, 70_000].into_iter().for_each(|at| counters.forget(at));
    assert_eq!((counters.taken(), counters.places.counters.len()), (0, 2));
    assert_eq!(counters.read(1), [Counter::default(); 2]);
}

/// What may happen to one of few slots.
#[derive(Clone, Debug)]
enum Op {
    /// So many packets of one length come.
    Count {
        times: u32,
        bytes: usize,
    },
    Set([Counter; 2]),
    /// Somebody reads and zeroes.
    Zero,
    /// The flow goes; another may come with what it has counted.
    Forget {
        next: Option<[Counter; 2]>,
    },
}

/// Numbers about where a cell ends, and huge ones.
pub(in crate::table) fn numbers() -> impl Strategy<Value = [Counter; 2]> {
    let packets = prop_oneof![0..4u64, 2040..2050u64, any::<u64>(), u64::MAX - 3..=u64::MAX];
    let bytes = prop_oneof![0..99u64, (1 << 20) - 99..(1 << 20) + 9u64, any::<u64>()];
    let one = (packets, bytes).prop_map(|(packets, bytes)| Counter { packets, bytes });
    [one.clone(), one]
}

fn ops() -> impl Strategy<Value = Op> {
    let lengths = prop_oneof![20..1500usize, 60_000..70_000usize];
    let times = prop_oneof![3 => 1..20u32, 1 => 500..2500u32];
    prop_oneof![
        6 => (times, lengths).prop_map(|(times, bytes)| Op::Count { times, bytes }),
        2 => numbers().prop_map(Op::Set),
        1 => Just(Op::Zero),
        1 => prop::option::of(numbers()).prop_map(|next| Op::Forget { next }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn they_are_two_numbers_of_64_bits_each_way(
        steps in prop::collection::vec((0..5u32, any::<bool>(), ops()), 0..60),
    ) {
        let mut counters = Counters::default();
        let mut model: BTreeMap<u32, [Counter; 2]> = BTreeMap::new();
        let mut most = 0;
        for (at, is_reply, op) in steps {
            // Some in another page than others.
            let at = at * 40_000;
            let dir = BOTH[usize::from(is_reply)];
            match (op, model.get_mut(&at)) {
                (Op::Count { times, bytes }, Some(known)) => for _ in 0..times {
                    counters.count(at, dir, bytes);
                    known[dir.index()].count(bytes);
                },
                (Op::Set(told), _) | (Op::Forget { next: Some(told) }, None) => {
                    counters.set(at, told);
                    model.insert(at, told);
                }
                (Op::Zero, Some(known)) => {
                    counters.set(at, Default::default());
                    *known = Default::default();
                }
                (Op::Forget { next }, Some(_)) => {
                    counters.forget(at);
                    model.remove(&at);
                    if let Some(told) = next {
                        counters.set(at, told);
                        model.insert(at, told);
                    }
                }
                (_, None) => {}
            }
            model.iter().for_each(|(at, known)| assert_eq!(counters.read(*at), *known));
            let is_large = |both: &&[Counter; 2]| both.iter().any(|one| Cell::of(*one).is_none());
            let needed = model.values().filter(is_large).count();
            assert!(counters.taken() >= needed);
            most = most.max(counters.taken());
            assert_eq!(counters.places.counters.len() as usize, most, "places are taken again");
        }
        let ends: Vec<u32> = model.into_keys().collect();
        ends.into_iter().for_each(|at| counters.forget(at));
        assert_eq!(counters.taken(), 0);
    }
}
