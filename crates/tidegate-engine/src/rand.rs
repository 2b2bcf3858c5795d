//! Seeded randomness: the same seed gives the same decisions.
//!
//! The engine needs numbers that spread, not secrets: the offset at which a search for a free NAT
//! port starts, the jitter on the longest chain a bucket may grow, the draws of the `statistic`
//! match. They come from here, so that a replay with one seed repeats itself packet by packet.
//!
//! Not cryptographic. Whoever sees enough outputs can compute the rest, so nothing that must stay
//! unguessable (hash keys, SYN cookies) may be drawn from it. An embedder seeds it from the
//! system's entropy, with another seed for each worker; a test or a replay passes a constant.
//!
//! The generator is xoshiro256++ 1.0, its state filled by SplitMix64 as its authors advise (D.
//! Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47(4), 2021; G.
//! Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).

/// A deterministic generator of uniformly distributed numbers, with period 2^256 - 1.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// A generator whose whole sequence follows from `seed`; every seed is a good one, zero too.
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: core::array::from_fn(|_| split_mix(&mut mixer)) }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);

        let (s2, s3) = (s2 ^ s0, s3 ^ s1);
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3.rotate_left(45)];
        result
    }

    /// The next 32 bits: the upper, better half of a 64-bit step.
    pub fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// The next 16 bits: the uppermost quarter of a 64-bit step.
    pub fn u16(&mut self) -> u16 {
        (self.next_u64() >> 48) as u16
    }

    /// A number in `0..n`, each equally likely; 0 when `n` is 0.
    ///
    /// Multiply and shift instead of a division, rejecting the few draws that would favour some
    /// results (D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1),
    /// 2019). How many 64-bit steps it takes is therefore not fixed, but it follows from the seed
    /// like everything else.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let reject_under = n.wrapping_neg() % n;
            while (product as u32) < reject_under {
                product = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }
}

/// One step of SplitMix64.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_mix_matches_the_published_sequence_for_seed_zero() {
        let mut state = 0;
        let words = [(); 3].map(|()| split_mix(&mut state));
        assert_eq!(words, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn xoshiro_matches_the_sequence_of_the_reference_code() {
        let mut rng = Rng { state: [1, 2, 3, 4] };
        let expected = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
            9_228_616_714_210_784_205,
            9_973_669_472_204_895_162,
            14_011_001_112_246_962_877,
            12_406_186_145_184_390_807,
            15_849_039_046_786_891_736,
            10_450_023_813_501_588_000,
        ];
        assert_eq!([(); 10].map(|()| rng.next_u64()), expected);
    }

    #[test]
    fn one_seed_gives_one_sequence() {
        let (mut first, mut second, mut other) = (Rng::new(42), Rng::new(42), Rng::new(43));
        let draws = [(); 8].map(|()| first.next_u64());
        assert_eq!([(); 8].map(|()| second.next_u64()), draws);
        assert_ne!([(); 8].map(|()| other.next_u64()), draws);
    }

    #[test]
    fn narrow_draws_are_the_upper_bits() {
        let word = Rng::new(9).next_u64();
        assert_eq!(u64::from(Rng::new(9).next_u32()), word >> 32);
        assert_eq!(u64::from(Rng::new(9).u16()), word >> 48);
    }

    #[test]
    fn below_stays_below_at_the_edges() {
        let mut rng = Rng::new(1);
        for n in [1, 2, 3, 30, 64_512, 1 << 31, (1 << 31) + 1, u32::MAX] {
            assert!((0..1000).all(|_| rng.below(n) < n), "below({n})");
        }
        assert_eq!(rng.below(0), 0);
    }

    #[test]
    fn below_hits_every_value_about_equally_often() {
        let mut rng = Rng::new(2);
        let mut hits = [0u32; 30];
        for _ in 0..30_000 {
            hits[rng.below(30) as usize] += 1;
        }
        assert!(hits.iter().all(|&n| (850..1150).contains(&n)), "{hits:?}");
    }

    #[test]
    fn below_is_even_where_a_bare_multiply_shift_would_not_be() {
        // With n = 3 * 2^30, the values divisible by 3 would come twice as often as the others.
        let mut rng = Rng::new(3);
        let multiples = (0..30_000).filter(|_| rng.below(3 << 30).is_multiple_of(3)).count();
        assert!((9_500..10_500).contains(&multiples), "{multiples}");
    }
}
