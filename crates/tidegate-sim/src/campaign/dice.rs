//! Everything that is left to chance, from one seed.

use std::ops::RangeInclusive;

use tidegate_engine::rand::Rng;

/// Draws that follow from a seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Whether something happens that does so in `percent` of the cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.below(100) < percent
    }

    /// A number in `range`.
    pub(super) fn between(&mut self, range: RangeInclusive<u32>) -> u32 {
        range.start() + self.0.below(range.end() - range.start() + 1)
    }

    /// A number below `len`, to point into a list.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.0.below(len as u32) as usize
    }

    /// One of `choices`, each equally likely.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    /// One of `choices`, each as likely as the number beside it is large.
    pub(super) fn weigh<T: Copy>(&mut self, choices: &[(u32, T)]) -> T {
        let mut at = self.0.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *choice,
            }
        }
        choices[0].1
    }

    pub(super) fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub(super) fn u16(&mut self) -> u16 {
        self.0.u16()
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.0.next_u32() as u8
    }

    /// `len` bytes.
    pub(super) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.u8()).collect()
    }
}
