//! The largest groups of a stream, in bounded memory.
//!
//! Lossy counting: when there are too many groups the small ones are forgotten, and how large one of those may have
//! been is remembered as the *floor*. A group that comes later may have been forgotten before, so its true size lies
//! between its count and its count plus the floor of that moment. The floor is at most the stream's length divided by
//! the room, and the groups that matter come early: theirs is 0, and their counts exact.

use std::collections::HashMap;
use std::hash::Hash;

use super::Tally;

/// Groups of flows by a key.
#[derive(Clone, Debug)]
pub(crate) struct Heavy<K, T = Tally> {
    groups: HashMap<K, Group<T>>,
    room: usize,
    floor: u64,
}

/// A group of flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group<T = Tally> {
    /// How many were counted.
    pub(crate) flows: u64,
    /// What is known of them.
    pub(crate) tally: T,
    /// How many at most were not, before the group was noticed.
    pub(crate) missed: u64,
}

impl<K: Eq + Hash + Ord, T: Default> Heavy<K, T> {
    /// Room for so many groups that are sure to be kept.
    pub(crate) fn new(room: usize) -> Self {
        Self { groups: HashMap::new(), room, floor: 0 }
    }

    /// Counts a flow of a key's group, which is made if need be, and hands over what is known of the group.
    pub(crate) fn count(&mut self, key: K) -> &mut T {
        if self.groups.len() >= 2 * self.room && !self.groups.contains_key(&key) {
            self.forget();
        }
        let missed = self.floor;
        let entry = self.groups.entry(key);
        let group = entry.or_insert_with(|| Group { flows: 0, tally: T::default(), missed });
        group.flows += 1;
        &mut group.tally
    }

    /// Forgets the smaller half, and all that are as small as the largest of it.
    fn forget(&mut self) {
        let mut sizes: Vec<u64> = self.groups.values().map(Group::most).collect();
        let middle = sizes.len() - self.room;
        let (_, floor, _) = sizes.select_nth_unstable(middle);
        self.floor = *floor;
        let floor = self.floor;
        self.groups.retain(|_, group| group.most() > floor);
    }

    /// The groups of which `is_wanted` holds, the largest first, at most `limit`; equal ones in the order of keys.
    pub(crate) fn largest(
        &self,
        limit: usize,
        is_wanted: impl Fn(&K, &Group<T>) -> bool,
    ) -> Vec<(&K, &Group<T>)> {
        let mut groups: Vec<_> =
            self.groups.iter().filter(|(key, group)| is_wanted(key, group)).collect();
        groups.sort_unstable_by(|(a, b), (c, d)| d.flows.cmp(&b.flows).then(a.cmp(c)));
        groups.truncate(limit);
        groups
    }

    /// The number of groups; `None` if some were forgotten.
    pub(crate) fn len(&self) -> Option<usize> {
        (self.floor == 0).then_some(self.groups.len())
    }
}

impl<T> Group<T> {
    fn most(&self) -> u64 {
        self.flows + self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_are_forgotten_and_large_ones_counted_exactly() {
        let mut heavy: Heavy<u32, ()> = Heavy::new(100);
        for number in 0..100_000_u32 {
            // Every fourth is of the large group, all others are alone.
            let key = if number.is_multiple_of(4) { 0 } else { number };
            heavy.count(key);
            assert!(heavy.groups.len() <= 200);
        }
        let (key, group) = heavy.largest(1, |_, _| true)[0];
        assert_eq!((*key, group.flows, group.missed), (0, 25_000, 0));
        assert_eq!(heavy.len(), None);
    }

    #[test]
    fn a_group_s_true_size_lies_within_its_bounds() {
        let (mut heavy, mut truth): (Heavy<u64, ()>, _) = (Heavy::new(10), HashMap::new());
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = ((state >> 33) % 64).min((state >> 40) % 64);
            heavy.count(key);
            *truth.entry(key).or_insert(0_u64) += 1;
        }
        for (key, group) in heavy.largest(10, |_, _| true) {
            let count = group.flows;
            assert!((count..=count + group.missed).contains(&truth[key]), "{key}");
            assert!(group.missed <= 20_000 / 10);
        }
    }
}
