//! The hash by which the index files tuples, and its secret; `sources` files by it, too, with a secret of its own.
//!
//! [`IndexKey::hash`] is *multilinear* in its *half multiplication* form: words are taken in halves of 32 bits, to each a
//! secret number is added, and the products of every two are added up modulo 2^64, of which the upper half is kept.
//! Then a bijection stirs that.
//!
//! What that is worth to the index, and to `sources` but for what is said there:
//!
//! * The first step is strongly universal (D. Lemire, O. Kaser, "Strongly universal string hashing is
//!   fast", The Computer Journal 57(11), 2014: MULTILINEAR-HM, for characters of 32 bits and keys of 64): the
//!   difference of two sums is linear in the key, with the difference of two characters as a factor, so the sums of any
//!   two different inputs of one family are independent and uniform in their upper 33 bits, over the choice of the key; those
//!   of an IPv4 and an IPv6 tuple, of which one has more products, but for one key in 2^90. A cut to
//!   32 bits and a bijection leave that as it is. So of any inputs that were chosen without knowledge of
//!   the key, each meets another one's line of the index as often as if both had been drawn by lot.
//!   By that a flood of an attacker's choice brings, on average over keys, no more entries home to the
//!   line of anybody else's flow than as many random flows do.
//! * Nothing is said of three inputs and more, nor of how many full lines may come to lie in a row: a few keys
//!   in a million may gather a long arithmetic progression. Then entries lie too far from home, and the index
//!   takes a new key.
//! * It is no pseudorandom function. Who sees hashes can compute the key. Nobody does: hashes leave
//!   the table in no message, and what is walked for others to see is in the order of slots, not of
//!   hashes. What shows something of them is which half-open flow an early drop ends (it looks in
//!   the neighbourhood of a new one), and how long a look-up takes: the same for all that lie
//!   at home, some nanoseconds more behind a full line. The stirring is for who learns from that:
//!   inputs at one distance from each other would else be neighbours all together, or not at all.
//!   It is a precaution and no proof. Where more must be secret than a place in a table,
//!   [`SipKey`] is used.

use core::array;

use super::hash::SipKey;

/// A secret; see the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexKey {
    offset: u64,
    /// What is added to the halves of each word.
    terms: [[u64; 2]; WORDS],
    /// Odd factors of 32 bits, each in a word of its own: read together they would have to be taken apart.
    stirring: [u64; 2],
}

/// Words of the longest input.
const WORDS: usize = 5;

impl IndexKey {
    /// The secret that follows from a shorter one.
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        const STIRRING: u64 = 1 + 2 * WORDS as u64;
        let word = |number: u64| SipKey(seed).hash_words([number]);
        Self {
            offset: word(0),
            terms: array::from_fn(|number| [1, 2].map(|half| word(2 * number as u64 + half))),
            // Odd factors can be divided by: no two words become one.
            stirring: [STIRRING, STIRRING + 1].map(|number| word(number) & u64::from(u32::MAX) | 1),
        }
    }

    /// The hash of some words, at most five.
    #[inline(always)]
    pub(crate) fn hash<const N: usize>(&self, words: [u64; N]) -> u32 {
        const { assert!(N <= WORDS) };
        let mut sum = self.offset;
        for (word, [low, high]) in words.iter().zip(&self.terms) {
            let (low, high) = (low.wrapping_add(word & 0xffff_ffff), high.wrapping_add(word >> 32));
            sum = sum.wrapping_add(low.wrapping_mul(high));
        }
        self.stir((sum >> 32) as u32)
    }

    #[inline(always)]
    fn stir(&self, mut word: u32) -> u32 {
        for factor in self.stirring {
            word = (word ^ word >> 16).wrapping_mul(factor as u32);
        }
        word
    }
}

#[cfg(test)]
mod tests;
