//! The largest groups of a stream, in bounded memory.
//!
//! Lossy counting: when there are too many groups the small ones are forgotten, and how large one of those may have
//! been is remembered as the *floor*. A group that comes later may have been forgotten before, so its true size lies
//! between its count and its count plus the floor of that moment. The floor is at most the stream's length divided by
//! the room, and the groups that matter come early: theirs is 0, and their counts exact.

use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use super::Tally;

/// Groups of flows by a key.
///
/// Sizes lie apart from all else, close together: they are all that is looked at when groups are forgotten.
#[derive(Clone, Debug)]
pub(crate) struct Heavy<K, T = Tally> {
    /// Its hash is quick and seeded: who guesses the seed finds no more than twice the room to collide in.
    slots: HashMap<K, u32, RandomState>,
    sizes: Vec<Size>,
    tallies: Vec<T>,
    /// Slots that nobody has.
    free: Vec<u32>,
    room: usize,
    floor: u64,
}

/// How large a group is.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    flows: u64,
    missed: u64,
}

/// A group of flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a, T = Tally> {
    /// How many were counted.
    pub(crate) flows: u64,
    /// How many at most were not, before the group was noticed.
    pub(crate) missed: u64,
    /// What is known of those that were.
    pub(crate) tally: &'a T,
}

impl<K: Eq + Hash + Ord, T: Default> Heavy<K, T> {
    /// Room for so many groups that are sure to be kept.
    pub(crate) fn new(room: usize) -> Self {
        let (slots, sizes) = (HashMap::default(), Vec::new());
        Self { slots, sizes, tallies: Vec::new(), free: Vec::new(), room, floor: 0 }
    }

    /// Counts a flow of a key's group, which is made if need be, and hands over what is known of the group.
    pub(crate) fn count(&mut self, key: K) -> &mut T {
        let slot = match self.slots.get(&key) {
            Some(slot) => *slot as usize,
            None => self.add(key),
        };
        self.sizes[slot].flows += 1;
        &mut self.tallies[slot]
    }

    fn add(&mut self, key: K) -> usize {
        if self.slots.len() >= 2 * self.room {
            self.forget();
        }
        let size = Size { flows: 0, missed: self.floor };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.sizes[slot as usize] = size;
                self.tallies[slot as usize] = T::default();
                slot
            }
            None => {
                self.sizes.push(size);
                self.tallies.push(T::default());
                (self.sizes.len() - 1) as u32
            }
        };
        self.slots.insert(key, slot);
        slot as usize
    }

    /// Forgets the smaller half, and all that are as small as the largest of it.
    fn forget(&mut self) {
        let mut sizes: Vec<u64> = self.sizes.iter().map(Size::most).collect();
        let middle = sizes.len() - self.room;
        let (_, floor, _) = sizes.select_nth_unstable(middle);
        let floor = *floor;
        self.floor = floor;
        let Self { slots, sizes, free, .. } = self;
        slots.retain(|_, slot| {
            let is_kept = sizes[*slot as usize].most() > floor;
            if !is_kept {
                free.push(*slot);
            }
            is_kept
        });
    }

    /// The groups of which `is_wanted` holds, the largest first, at most `limit`; equal ones in the order of keys.
    pub(crate) fn largest(
        &self,
        limit: usize,
        is_wanted: impl Fn(&K, &Group<'_, T>) -> bool,
    ) -> Vec<(&K, Group<'_, T>)> {
        let groups = self.slots.iter().map(|(key, slot)| (key, self.group(*slot)));
        let mut groups: Vec<_> = groups.filter(|(key, group)| is_wanted(key, group)).collect();
        groups.sort_unstable_by(|(a, b), (c, d)| d.flows.cmp(&b.flows).then(a.cmp(c)));
        groups.truncate(limit);
        groups
    }

    fn group(&self, slot: u32) -> Group<'_, T> {
        let Size { flows, missed } = self.sizes[slot as usize];
        Group { flows, missed, tally: &self.tallies[slot as usize] }
    }

    /// The number of groups; `None` if some were forgotten.
    pub(crate) fn len(&self) -> Option<usize> {
        (self.floor == 0).then_some(self.slots.len())
    }
}

impl Size {
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
            assert!(heavy.slots.len() <= 200);
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
