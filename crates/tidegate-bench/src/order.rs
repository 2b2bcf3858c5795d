//! Random orders without memory: a permutation of numbers, and draws by Zipf's law.
//!
//! With a hundred million flows a shuffled list would itself be what is measured. A [`Permutation`]
//! is computed instead: a bijection of the next power of two, walked until it lands below the end.

use std::sync::Arc;

/// A fixed random order of the numbers `0..len`.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u32,
    mask: u32,
    shift: u32,
    key: u32,
}

impl Permutation {
    /// One of the orders of `0..len`, chosen by `key`.
    #[must_use]
    pub fn new(len: u32, key: u32) -> Self {
        let bits = len.next_power_of_two().trailing_zeros().max(2);
        Self { len, mask: u32::MAX >> (32 - bits), shift: bits / 2 + 1, key }
    }

    /// The number at a position. => `position < len`
    #[inline]
    #[must_use]
    pub fn at(&self, position: u32) -> u32 {
        let mut number = self.mix(position);
        while number >= self.len {
            number = self.mix(number);
        }
        number
    }

    /// A bijection of the numbers up to the mask: each step can be undone.
    #[inline]
    fn mix(&self, number: u32) -> u32 {
        let mut x = number.wrapping_add(self.key) & self.mask;
        x = x.wrapping_mul(0x9e37_79b1) & self.mask;
        x ^= x >> self.shift;
        x = x.wrapping_mul(0x85eb_ca6b) & self.mask;
        x ^= x >> self.shift;
        x.wrapping_mul(0xc2b2_ae35) & self.mask
    }
}

/// A sequence of random numbers (SplitMix64).
#[derive(Clone, Copy, Debug)]
pub struct Draws(pub u64);

impl Draws {
    /// The next number.
    #[inline]
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix64(self.0)
    }

    /// A number below `end`.
    #[inline]
    pub fn below(&mut self, end: u32) -> u32 {
        (((self.next_number() >> 32) * u64::from(end)) >> 32) as u32
    }

    /// A number from 0 up to, not including, 1.
    #[inline]
    pub fn fraction(&mut self) -> f64 {
        (self.next_number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Spreads the bits of a number over all of them, reversibly.
#[inline]
#[must_use]
pub fn mix64(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Ranks drawn so that the rank `k` comes in proportion to `k^-exponent`.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// The rank at each of evenly spaced cumulative shares: the inverse of the distribution.
    ranks: Arc<[f64]>,
    draws: Draws,
}

impl Zipf {
    /// Ranks `0..len`.
    #[must_use]
    pub fn new(len: u32, exponent: f64, seed: u64) -> Self {
        let mass = |rank: f64| mass(rank, exponent);
        let whole = mass(f64::from(len));
        let share = |step: usize| inverse(whole * step as f64 / STEPS as f64, exponent);
        Self { ranks: (0..=STEPS).map(share).collect(), draws: Draws(seed) }
    }

    /// The next rank.
    #[inline]
    pub fn rank(&mut self) -> u32 {
        let at = self.draws.fraction() * STEPS as f64;
        let step = at as usize;
        let (low, high) = (self.ranks[step], self.ranks[step + 1]);
        (low + (high - low) * (at - step as f64)) as u32
    }
}

/// The integral of `(x + 1)^-s` from 0 to `rank`: the sum of Zipf's weights, smoothed.
fn mass(rank: f64, s: f64) -> f64 {
    if (s - 1.0).abs() < 1e-9 {
        (rank + 1.0).ln()
    } else {
        ((rank + 1.0).powf(1.0 - s) - 1.0) / (1.0 - s)
    }
}

fn inverse(mass: f64, s: f64) -> f64 {
    if (s - 1.0).abs() < 1e-9 {
        mass.exp() - 1.0
    } else {
        (mass * (1.0 - s) + 1.0).powf((1.0 - s).recip()) - 1.0
    }
}

/// How finely the inverse is kept; 32 KB, less than a first-level cache.
const STEPS: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_names_every_number_once() {
        for len in [1, 2, 3, 7, 1000, 1024, 100_000] {
            let order = Permutation::new(len, 77);
            let mut seen: Vec<u32> = (0..len).map(|position| order.at(position)).collect();
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..len), "of {len}");
        }
    }

    #[test]
    fn neighbours_in_a_permutation_are_far_apart() {
        let order = Permutation::new(100_000, 1);
        let near = (1..100_000).filter(|at| order.at(*at).abs_diff(order.at(at - 1)) < 64).count();
        assert!(near < 300, "{near} of 100000 steps are short");
    }

    #[test]
    fn draws_by_zipf_s_law_have_its_shares() {
        for exponent in [0.8, 1.0, 1.2] {
            let mut zipf = Zipf::new(1000, exponent, 5);
            let mut hits = vec![0u32; 1000];
            for _ in 0..200_000 {
                hits[zipf.rank() as usize] += 1;
            }
            let expected = mass(10.0, exponent) / mass(1000.0, exponent);
            let found = f64::from(hits[..10].iter().sum::<u32>()) / 200_000.0;
            assert!((found - expected).abs() < 0.01, "{exponent}: {found} for {expected}");
        }
    }
}
