//! Eight words looked at together: which of them are as wanted, a bit for each.

use wide::u32x8;

/// Words of each kind in a line: always all of them are compared or moved, as two vectors.
pub(super) const LANES: usize = 8;

/// The lanes that are this word.
#[inline(always)]
pub(super) fn equal(lanes: &[u32; LANES], word: u32) -> u32 {
    u32x8::new(*lanes).simd_eq(u32x8::splat(word)).to_bitmask()
}

/// The lanes that are above this word.
#[inline(always)]
pub(super) fn above(lanes: &[u32; LANES], word: u32) -> u32 {
    u32x8::new(*lanes).simd_gt(u32x8::splat(word)).to_bitmask()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn each(lanes: &[u32; LANES], is_wanted: impl Fn(u32) -> bool) -> u32 {
        (0..)
            .zip(lanes)
            .fold(0, |bits, (number, lane)| bits | u32::from(is_wanted(*lane)) << number)
    }

    proptest! {
        #[test]
        fn all_lanes_are_compared_as_one_by_one(
            words in any::<[u32; LANES]>(),
            other: u32,
            near in -2..=2i32,
            lane in 0..LANES,
        ) {
            for word in [other, words[lane].wrapping_add_signed(near), 0, 1 << 31, u32::MAX] {
                prop_assert_eq!(equal(&words, word), each(&words, |one| one == word));
                prop_assert_eq!(above(&words, word), each(&words, |one| one > word));
            }
        }
    }
}
