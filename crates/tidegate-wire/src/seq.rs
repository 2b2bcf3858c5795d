//! Sequence numbers of a space that wraps (RFC 9293 section 3.4, RFC 1982).
//!
//! A bare `u32` invites `<`, which is wrong across the wrap; [`SeqNum`] has no `Ord` on purpose.
//! "Before" means that the signed difference is negative, as in the kernel's `before()`. Two
//! numbers exactly 2^31 apart are each before the other; nothing here tries to be cleverer than
//! that.

use core::fmt;
use core::ops::{Add, AddAssign, Sub, SubAssign};

/// A sequence number modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// Whether `self` comes before `other`.
    pub fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0)).cast_signed() < 0
    }

    /// Whether `self` comes after `other`.
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Whether `self` is `other` or comes before it: `other` does not come before `self`.
    pub fn at_or_before(self, other: Self) -> bool {
        !self.after(other)
    }

    /// Whether `self` is `other` or comes after it.
    pub fn at_or_after(self, other: Self) -> bool {
        !self.before(other)
    }

    /// How far `self` lies after `earlier`, modulo 2^32.
    pub fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// The later of the two.
    pub fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of the two.
    pub fn min(self, other: Self) -> Self {
        if self.after(other) { other } else { self }
    }
}

impl Add<u32> for SeqNum {
    type Output = Self;

    fn add(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl AddAssign<u32> for SeqNum {
    fn add_assign(&mut self, bytes: u32) {
        *self = *self + bytes;
    }
}

impl Sub<u32> for SeqNum {
    type Output = Self;

    fn sub(self, bytes: u32) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }
}

impl SubAssign<u32> for SeqNum {
    fn sub_assign(&mut self, bytes: u32) {
        *self = *self - bytes;
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_across_the_wrap() {
        let rows = [
            ("next to each other", 1, 2, true),
            ("equal", 7, 7, false),
            ("the other way round", 2, 1, false),
            ("over the wrap", u32::MAX, 0, true),
            ("over the wrap, backwards", 0, u32::MAX, false),
            ("just under half the space", 0, 0x7fff_ffff, true),
            ("exactly half the space", 0, 0x8000_0000, true),
            ("exactly half the space, backwards", 0x8000_0000, 0, true),
            ("just over half the space", 0, 0x8000_0001, false),
        ];
        for (what, a, b, before) in rows {
            assert_eq!(SeqNum(a).before(SeqNum(b)), before, "{what}");
            assert_eq!(SeqNum(b).after(SeqNum(a)), before, "{what}");
            assert_eq!(SeqNum(a).at_or_after(SeqNum(b)), !before, "{what}");
        }
    }

    proptest! {
        #[test]
        fn moving_forward_is_after(start: u32, step in 1u32..0x8000_0000) {
            let (a, b) = (SeqNum(start), SeqNum(start) + step);
            prop_assert!(a.before(b) && b.after(a) && a.at_or_before(b) && b.at_or_after(a));
            prop_assert_eq!(b.since(a), step);
            prop_assert_eq!(b - step, a);
            prop_assert_eq!((a.max(b), b.max(a), a.min(b), b.min(a)), (b, b, a, a));
        }
    }
}
