//! The index against a model that cannot be wrong, a list of pairs, and against its own rules.

use alloc::collections::BTreeSet;
use alloc::vec;

use proptest::prelude::*;

use super::array::PAD;
use super::*;

/// A hash that looks random: the steps of `splitmix64`.
fn spread(id: u32) -> u32 {
    let mixed = (u64::from(id) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ mixed >> 31) >> 32) as u32
}

fn filled(ids: u32) -> Lines {
    let mut lines = Lines::new();
    (0..ids).for_each(|id| lines.insert(spread(id), id));
    lines
}

fn ids(lines: &Lines, hash: u32) -> Vec<u32> {
    let mut ids: Vec<u32> = lines.candidates(hash).collect();
    ids.sort_unstable();
    ids
}

fn sorted(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_unstable();
    entries
}

/// Fails if the index breaks a rule of its own. That every entry can be found is not among them:
/// the model sees to that.
fn check(lines: &Lines) {
    let (young, old) = (&lines.young, &lines.drain.array);
    let next = lines.drain.next();
    let mut count = lines.stash.len() + check_array(young, 0);
    assert!(young.range(0, u32::MAX).all(|(hash, _)| !lines.drain.holds(hash)));
    if lines.drain.is_idle() {
        assert!(young.homes() == MIN_HOMES || lines.len * 20 >= slots(young) * 7);
        assert!(lines.len * 8 <= slots(young) * 7);
    } else {
        assert_eq!(lines.drain.frontier(), old.lowest_hash(next));
        count += check_array(old, next);
        assert!(lines.len <= slots(young), "the next growth is overdue");
    }
    assert_eq!(count, lines.len);
}

fn slots(array: &Array) -> usize {
    array.homes() as usize * SLOTS
}

/// Compares what the lines of an array count with what passed them, and looks at the order. How
/// many entries there are.
fn check_array(array: &Array, from: usize) -> usize {
    let end = array.homes() as usize + PAD;
    let mut passed = vec![0; end];
    let (mut count, mut below) = (0, 0);
    for at in from..end {
        let hashes: Vec<u32> =
            array.line(at).entries_within(0, u32::MAX).map(|(hash, _)| hash).collect();
        assert!(hashes.is_sorted(), "line {at}");
        for hash in &hashes {
            let home = array.home(*hash);
            assert!((from..=at).contains(&home), "line {at}, home {home}, frontier {from}");
            assert!(at - home <= PAD && *hash >= below, "line {at}, home {home}");
            passed[home..at].iter_mut().for_each(|passed| *passed += 1);
        }
        count += hashes.len();
        below = hashes.into_iter().max().unwrap_or(below);
    }
    for (at, passed) in passed.into_iter().enumerate().skip(from) {
        let line = array.line(at);
        assert_eq!(line.passed(), passed, "line {at}");
        assert!(line.len() == SLOTS || passed == 0, "line {at}");
    }
    count
}

#[test]
fn an_empty_index_has_nothing_to_say() {
    let mut lines = Lines::new();
    assert_eq!(lines.len(), 0);
    assert_eq!(lines.candidates(7).next(), None);
    assert_eq!(lines.home_line(7).first(7), None);
    assert!(lines.has_none(7));
    assert_eq!(lines.range(0, u32::MAX).next(), None);
    assert!(!lines.remove(7, 7));
    assert!(!lines.is_stressed());
    assert!(lines.begin_rekey());
    assert!(!lines.is_rekeying());
    check(&lines);
}

#[test]
fn every_entry_is_found_while_the_index_grows_and_shrinks() {
    let mut lines = Lines::new();
    let all = 30_000;
    let look = |lines: &Lines, mut ids: core::ops::Range<u32>| {
        check(lines);
        assert!(ids.all(|id| lines.candidates(spread(id)).any(|other| other == id)));
    };
    for id in 0..all {
        lines.insert(spread(id), id);
        if id % 997 == 0 {
            look(&lines, 0..id + 1);
        }
    }
    assert!(!lines.is_stressed());
    for id in 0..all {
        assert!(lines.remove(spread(id), id), "{id}");
        assert!(!lines.remove(spread(id), id), "{id}");
        if id % 997 == 0 {
            look(&lines, id + 1..all);
        }
    }
    assert_eq!((lines.len(), lines.lines()), (0, MIN_HOMES));
}

/// Some insertions find the index in every stage of a move, and a move in every stage of growth.
#[test]
fn a_range_is_whole_at_every_moment_of_a_move() {
    let mut lines = filled(9000);
    let mut moving = 0;
    for id in 9000..11_000 {
        lines.insert(spread(id), id);
        moving += usize::from(!lines.drain.is_idle());
        let around = lines.drain.frontier().min(u64::from(u32::MAX)) as u32;
        let (lo, hi) = (around.saturating_sub(0x0100_0000), around.saturating_add(0x0100_0000));
        let known = (0..=id).map(|id| (spread(id), id)).filter(|e| (lo..=hi).contains(&e.0));
        assert_eq!(sorted(lines.range(lo, hi)), sorted(known));
    }
    assert!(moving > 100);
}

#[test]
fn a_large_index_is_loaded_well_and_grows_by_an_eighth() {
    let mut lines = filled(10_000);
    let mut sizes = BTreeSet::from([lines.lines()]);
    for id in 10_000..60_000 {
        lines.insert(spread(id), id);
        sizes.insert(lines.lines());
        let load = lines.len() as u64 * 1000 / (u64::from(lines.lines()) * SLOTS as u64);
        assert!((770..=875).contains(&load), "{load} of 1000 after {id}");
    }
    let sizes: Vec<u32> = sizes.into_iter().collect();
    assert!(sizes.len() > 10);
    assert!(sizes.windows(2).all(|pair| pair[1] == pair[0] + pair[0] / 8));
}

#[test]
fn growth_ends_long_before_the_next_one_is_due() {
    let mut lines = filled(10_000);
    let (mut moving, mut resting) = (0, 0);
    for id in 10_000..60_000 {
        lines.insert(spread(id), id);
        if lines.drain.is_idle() { resting += 1 } else { moving += 1 }
    }
    assert!(resting > moving, "{moving} insertions moved lines, {resting} did not");
}

#[test]
fn coming_and_going_at_a_threshold_moves_nothing_after_the_first_time() {
    let mut lines = filled(30_000);
    let mut next = 30_000;
    let before = lines.lines();
    while lines.lines() == before {
        lines.insert(spread(next), next);
        next += 1;
    }
    let grown = lines.lines();
    for _ in 0..20 {
        (next - 2000..next).for_each(|id| assert!(lines.remove(spread(id), id)));
        (next - 2000..next).for_each(|id| lines.insert(spread(id), id));
    }
    assert_eq!(lines.lines(), grown);
    assert!(lines.drain.is_idle());
}

#[test]
fn what_travels_too_far_is_stashed_and_found() {
    for hash in [0, 1, 0x8000_0000, u32::MAX] {
        let mut lines = Lines::new();
        (0..2000).for_each(|id| lines.insert(hash, id));
        check(&lines);
        assert!(lines.is_stressed());
        assert_eq!(ids(&lines, hash), Vec::from_iter(0..2000));
        assert_eq!(lines.range(hash, hash).count(), 2000);
        assert_eq!(lines.candidates(hash ^ 1).next(), None);
        (0..2000).for_each(|id| assert!(lines.remove(hash, id), "{id}"));
        assert_eq!(lines.len(), 0);
        assert!(!lines.is_stressed());
        check(&lines);
    }
}

#[test]
fn the_same_calls_give_the_same_order() {
    let [one, other] = [filled(5000), filled(5000)];
    assert!(one.iter().eq(other.iter()));
}

#[test]
fn a_guess_reads_the_home_only_and_is_right_as_a_rule() {
    let lines = filled(50_000);
    let guesses: Vec<Option<u32>> =
        (0..50_000).map(|id| lines.home_line(spread(id)).first(spread(id))).collect();
    let right = guesses.iter().zip(0..).filter(|(guess, id)| **guess == Some(*id)).count();
    assert!((35_000..50_000).contains(&right), "{right} of 50,000");
}

#[test]
fn rekeying_moves_every_entry_once_and_finds_it_all_the_time() {
    let mut lines = filled(20_000);
    let new_hash = |id: u32| spread(!id);
    assert!(lines.begin_rekey());
    assert!(!lines.begin_rekey());
    (20_000..21_000).for_each(|id| lines.insert(new_hash(id), id));
    let (mut moved, mut removed) = (0, 0);
    while lines.rekey_step(|id, old| {
        assert_eq!(old, spread(id));
        moved += 1;
        new_hash(id)
    }) {
        check(&lines);
        assert!(lines.remove_from_both(new_hash(removed), spread(removed), removed));
        removed += 1;
        let mut rest = removed..21_000;
        assert!(rest.all(|id| {
            id % 13 != 0 || lines.candidates_of_both(new_hash(id), spread(id)).any(|c| c == id)
        }));
        assert_eq!(lines.len() as u32, 21_000 - removed);
    }
    assert!(removed > 50 && moved <= 20_000);
    check(&lines);
    assert_eq!(sorted(lines.iter()), sorted((removed..21_000).map(|id| (new_hash(id), id))));
}

#[test]
fn rehashing_empties_the_stash() {
    let mut lines = Lines::new();
    (0..5000).for_each(|id| lines.insert(u32::MAX, id));
    lines.rehash(|id, old| if old == u32::MAX { spread(id) } else { 0 });
    assert!(!lines.is_stressed());
    check(&lines);
    assert_eq!(sorted(lines.iter()), sorted((0..5000).map(|id| (spread(id), id))));
}

/// What is done to the index; a number picks an entry from those that there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u32),
    /// Many of one kind.
    InsertRow(u32, u32, u32),
    Remove(usize),
    RemoveMany(usize, usize),
    Look(u32),
    Range(u32, u32),
    Rehash(u32),
}

/// Hashes as an attacker would like them, among decent ones.
fn hashes() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => any::<u32>(),
        1 => Just(0),
        1 => Just(u32::MAX),
        2 => 0u32..100,
        2 => u32::MAX - 100..=u32::MAX,
        2 => 0x7000_0000u32..0x7010_0000,
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => hashes().prop_map(Step::Insert),
        3 => (hashes(), 0u32..0x0100_0000, 0u32..700).prop_map(|(h, d, n)| Step::InsertRow(h, d, n)),
        4 => any::<usize>().prop_map(Step::Remove),
        3 => (any::<usize>(), 0usize..700).prop_map(|(at, n)| Step::RemoveMany(at, n)),
        4 => hashes().prop_map(Step::Look),
        4 => (hashes(), hashes()).prop_map(|(a, b)| Step::Range(a, b)),
        1 => any::<u32>().prop_map(Step::Rehash),
    ]
}

/// The index and the model of it.
struct Pair {
    lines: Lines,
    model: Vec<Entry>,
    next: u32,
}

impl Pair {
    fn step(&mut self, step: Step) {
        match step {
            Step::Insert(hash) => self.insert(hash),
            Step::InsertRow(hash, distance, n) => {
                (0..n).for_each(|k| self.insert(hash.wrapping_add(distance.wrapping_mul(k))));
            }
            Step::Remove(at) => self.remove(at),
            Step::RemoveMany(at, n) => (0..n).for_each(|_| self.remove(at)),
            Step::Look(hash) => self.look(hash),
            Step::Range(lo, hi) => self.range(lo.min(hi), lo.max(hi)),
            Step::Rehash(key) => {
                let new_hash = |id: u32, old: u32| spread(id ^ key) ^ old & 0xff;
                self.lines.rehash(new_hash);
                self.model.iter_mut().for_each(|(hash, id)| *hash = new_hash(*id, *hash));
            }
        }
    }

    fn insert(&mut self, hash: u32) {
        self.lines.insert(hash, self.next);
        self.model.push((hash, self.next));
        self.next += 1;
    }

    fn remove(&mut self, at: usize) {
        if self.model.is_empty() {
            return;
        }
        let (hash, id) = self.model.swap_remove(at % self.model.len());
        assert!(!self.lines.remove(hash ^ 1, id));
        assert!(self.lines.remove(hash, id));
    }

    fn look(&self, hash: u32) {
        let known = self.model.iter().filter(|(h, _)| *h == hash).map(|(_, id)| (hash, *id));
        let found = self.lines.candidates(hash).map(|id| (hash, id));
        let known = sorted(known);
        assert_eq!(self.lines.has_none(hash), known.is_empty());
        assert_eq!(sorted(found), known);
        let home = self.lines.home_line(hash);
        assert!(core::ptr::eq(self.lines.homes().line(hash), home));
        let guess = home.first(hash);
        assert!(guess.is_none() || guess == self.lines.candidates(hash).next());
    }

    fn range(&self, lo: u32, hi: u32) {
        let known = self.model.iter().copied().filter(|(hash, _)| (lo..=hi).contains(hash));
        assert_eq!(sorted(self.lines.range(lo, hi)), sorted(known));
    }

    fn check(&self) {
        check(&self.lines);
        assert_eq!(self.lines.len(), self.model.len());
        assert_eq!(sorted(self.lines.iter()), sorted(self.model.iter().copied()));
        self.model.iter().for_each(|(hash, id)| {
            assert!(self.lines.candidates(*hash).any(|other| other == *id));
        });
    }
}

proptest! {
    #[test]
    fn does_what_a_list_of_pairs_does(steps in prop::collection::vec(steps(), 1..60)) {
        let mut pair = Pair { lines: Lines::new(), model: Vec::new(), next: 0 };
        for step in steps {
            pair.step(step);
            check(&pair.lines);
        }
        pair.check();
    }

    #[test]
    fn an_order_of_hashes_is_an_order_of_homes(homes in 1u32.., hash: u32) {
        let array = Array::new(homes);
        let home = array.home(hash);
        prop_assert!(home < homes as usize);
        prop_assert!(array.lowest_hash(home) <= u64::from(hash));
        prop_assert!(array.lowest_hash(home + 1) > u64::from(hash));
    }
}
