//! A pseudorandom function of a few words, and the scaling of a hash to a bucket count.
//!
//! SipHash-1-3 (J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT
//! 2012), written for inputs of a fixed number of 64-bit words. It makes cookies and the numbers that
//! are shown of flows, and what other secrets are made from. As long as the key stays secret, who sees
//! some of its values cannot tell the others. Tuples, and the sources that NAT asks about, have a
//! hash that is faster, and promises less: [`super::index_key`].
//!
//! This file knows words only: which fields are packed into them is the caller's business.

/// A 128-bit secret, drawn by the embedder from the system's entropy; a replay passes a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SipKey(pub(crate) [u64; 2]);

impl SipKey {
    /// SipHash-1-3 of the `8 * N` bytes that `words` make up in little-endian order.
    #[inline(always)]
    pub(crate) fn hash_words<const N: usize>(&self, words: [u64; N]) -> u64 {
        self.hash_with_rest(words, 0, 0)
    }

    /// SipHash-1-3 of the bytes of `words` and the `len` lowest ones of `rest`, at most seven: they
    /// share the last block with the length.
    #[inline(always)]
    pub(crate) fn hash_with_rest<const N: usize>(
        &self,
        words: [u64; N],
        rest: u64,
        len: usize,
    ) -> u64 {
        debug_assert!(len < 8 && rest >> (8 * len) == 0);
        let mut state = State::new(self.0);
        for word in words {
            state.absorb(word);
        }
        // The last block holds the length in bytes, modulo 256, at its top.
        state.absorb(((N * 8 + len) as u64) << 56 | rest);
        state.finish()
    }
}

/// The bucket, in `0..buckets`, that `hash` falls into: the upper half of the product of its upper
/// 32 bits and `buckets`, as the kernel's `reciprocal_scale` computes it. `buckets` need not be a
/// power of two; 0 gives 0.
pub(crate) fn scale(hash: u64, buckets: u32) -> u32 {
    (((hash >> 32) * u64::from(buckets)) >> 32) as u32
}

/// The four words v0..v3 of the SipHash paper.
struct State([u64; 4]);

impl State {
    #[inline(always)]
    fn new([k0, k1]: [u64; 2]) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// One compression round per block: the 1 of 1-3.
    #[inline(always)]
    fn absorb(&mut self, block: u64) {
        self.0[3] ^= block;
        self.round();
        self.0[0] ^= block;
    }

    /// Three finalisation rounds: the 3 of 1-3.
    #[inline(always)]
    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        self.round();
        self.round();
        self.round();
        self.0.iter().fold(0, |folded, word| folded ^ word)
    }

    #[inline(always)]
    fn round(&mut self) {
        let [v0, v1, v2, v3] = &mut self.0;
        half_round(v0, v1, v2, v3, [13, 16]);
        half_round(v2, v1, v0, v3, [17, 21]);
    }
}

/// Half a SipRound; the second half is the same with `a` and `c` exchanged.
#[inline(always)]
fn half_round(a: &mut u64, b: &mut u64, c: &mut u64, d: &mut u64, [rot_b, rot_d]: [u32; 2]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(rot_b) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(rot_d) ^ *c;
}

#[cfg(test)]
mod tests {
    use core::hash::Hasher;

    use proptest::prelude::*;
    use siphasher::sip::SipHasher13;

    use super::*;

    fn oracle(SipKey([k0, k1]): SipKey, words: &[u64]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        words.iter().for_each(|word| hasher.write(&word.to_le_bytes()));
        hasher.finish()
    }

    proptest! {
        #[test]
        fn agrees_with_an_independent_siphash_1_3(key: [u64; 2], words: [u64; 7]) {
            let key = SipKey(key);
            let [a, b, c, d, e, ..] = words;
            prop_assert_eq!(key.hash_words([]), oracle(key, &[]));
            prop_assert_eq!(key.hash_words([a]), oracle(key, &[a]));
            prop_assert_eq!(key.hash_words([a, b]), oracle(key, &[a, b]));
            prop_assert_eq!(key.hash_words([a, b, c]), oracle(key, &[a, b, c]));
            prop_assert_eq!(key.hash_words([a, b, c, d, e]), oracle(key, &[a, b, c, d, e]));
            prop_assert_eq!(key.hash_words(words), oracle(key, &words));
        }

        #[test]
        fn a_scaled_hash_is_a_bucket(hash: u64, buckets in 1u32..) {
            prop_assert!(scale(hash, buckets) < buckets);
        }
    }

    #[test]
    fn bytes_behind_the_words_share_the_last_block() {
        let key = SipKey([1, 2]);
        for len in 0..8 {
            let mut hasher = SipHasher13::new_with_keys(1, 2);
            hasher.write(&7u64.to_le_bytes());
            let rest = 0x0706_0504_0302_0100_u64.wrapping_mul(0x0101) & ((1 << (8 * len)) - 1);
            hasher.write(&rest.to_le_bytes()[..len]);
            assert_eq!(key.hash_with_rest([7], rest, len), hasher.finish(), "{len}");
        }
    }

    #[test]
    fn the_length_byte_wraps_at_256() {
        let key = SipKey([1, 2]);
        assert_eq!(key.hash_words([3; 33]), oracle(key, &[3; 33]));
    }

    #[test]
    fn scale_takes_the_upper_half() {
        let rows = [
            ("lowest hash, first bucket", 0, 262_144, 0),
            ("highest hash, last bucket", u64::MAX, 262_144, 262_143),
            ("the lower 32 bits do not matter", 0xffff_ffff, 262_144, 0),
            ("the middle of the range", 1 << 63, 1000, 500),
            ("no power of two needed", 0x5555_5556 << 32, 3, 1),
            ("no buckets", u64::MAX, 0, 0),
        ];
        for (name, hash, buckets, expected) in rows {
            assert_eq!(scale(hash, buckets), expected, "{name}");
        }
    }
}
