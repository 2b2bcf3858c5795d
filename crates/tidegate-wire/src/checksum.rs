//! The Internet checksum: computed from scratch (RFC 1071) and incrementally (RFC 1624).
//!
//! [`Sum`] adds pieces up, [`Delta`] collects what an edit changes so that one addition fixes the
//! field. Both work in ones' complement, where the order of additions does not matter. Nothing here
//! knows where a checksum field lies, nor that UDP writes a zero as all ones: the views of
//! [`packet`](crate::packet) do.

use core::net::IpAddr;

use crate::family::Family;

/// The ones' complement sum of the pieces given so far, all seen as big-endian 16-bit words. Carries
/// are folded in at the end: 64 bits have room for 2^32 pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Adds `bytes`; an odd last byte is padded with a zero on its right, so only the last piece
    /// may be odd.
    #[inline]
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        self.word(fold(little_endian(bytes)).swap_bytes())
    }

    /// Adds one word, in host order.
    #[inline]
    #[must_use]
    pub fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds one double word, in host order.
    #[inline]
    #[must_use]
    pub fn dword(self, dword: u32) -> Self {
        Self(self.0 + u64::from(dword))
    }

    /// Adds an address.
    #[must_use]
    pub fn addr(self, addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => self.dword(v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                [96, 64, 32, 0].into_iter().fold(self, |sum, at| sum.dword((bits >> at) as u32))
            }
        }
    }

    /// The sum itself, not complemented: what a checksum field holds while its completion is left
    /// to hardware.
    #[inline]
    pub fn partial(self) -> u16 {
        fold(self.0)
    }

    /// The checksum: the complement of the sum, in host order.
    #[inline]
    pub fn finish(self) -> u16 {
        !self.partial()
    }
}

/// The sum of the pseudo header of RFC 9293 section 3.1 and RFC 8200 section 8.1. `len` is that of
/// the upper-layer header and its data, in bytes.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, proto: u8, len: usize) -> Sum {
    let sum = Sum::new().addr(src).addr(dst).word(u16::from(proto));
    match Family::of(src) {
        Family::V4 => sum.word(len as u16),
        Family::V6 => sum.dword(len as u32),
    }
}

/// The checksum over the pseudo header and `segment` as it is: with the field zeroed, the value to
/// write into it; with the field filled in, 0 means that it is right.
pub fn transport(src: IpAddr, dst: IpAddr, proto: u8, segment: &[u8]) -> u16 {
    pseudo_header(src, dst, proto, segment.len()).bytes(segment).finish()
}

/// What an edit changes in a checksum: for each word `m` that becomes `m'`, `~m + m'` (RFC 1624
/// equation 3).
#[derive(Clone, Copy, Debug, Default)]
pub struct Delta(Sum);

impl Delta {
    /// No change.
    pub const fn new() -> Self {
        Self(Sum::new())
    }

    /// A word changes.
    #[must_use]
    pub fn word(self, old: u16, new: u16) -> Self {
        Self(self.0.word(!old).word(new))
    }

    /// A double word changes.
    #[must_use]
    pub fn dword(self, old: u32, new: u32) -> Self {
        Self(self.0.dword(!old).dword(new))
    }

    /// An address changes.
    #[must_use]
    pub fn addr(self, old: IpAddr, new: IpAddr) -> Self {
        Self(self.0.word(!Sum::new().addr(old).partial()).addr(new))
    }

    /// Both changes.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Sum(self.0.0 + other.0.0))
    }

    /// The checksum field after the change, given what it held before.
    #[must_use]
    pub fn apply(self, check: u16) -> u16 {
        self.0.word(!check).finish()
    }
}

/// Whether a checksum is right that covers `bytes`, which may be odd in number, and a pseudo header's
/// protocol and length.
#[inline(always)]
pub fn is_right(bytes: &[u8], proto: u8, len: u16) -> bool {
    let rest = u64::from(u16::from(proto).swap_bytes()) + u64::from(len.swap_bytes());
    is_complete(add_bytes(rest, bytes))
}

/// Whether a sum of words, not all of them zero, and among them the checksum, is what it must be: all
/// ones once it is folded. Folding leaves the remainder of a division by 0xffff as it is, and the words
/// may be wider, for 0xffff divides every power of 0x10000 with the remainder one.
#[inline(always)]
pub fn is_complete(sum: u64) -> bool {
    // A division by an odd number is a multiplication: what that number divides, and only that, is brought
    // below the number of its multiples.
    const MULTIPLES: u64 = u64::MAX / 0xffff;
    const INVERSE: u64 = MULTIPLES.wrapping_neg();
    const { assert!(INVERSE.wrapping_mul(0xffff) == 1) };
    sum.wrapping_mul(INVERSE) <= MULTIPLES
}

/// What it means to a checksum that covered bytes of the sum `old` become others of the sum `new`, both as
/// [`little_endian`] gives them: the second less the first, in ones' complement. Zero only if all was ones and is zero.
#[inline(always)]
pub fn change(old: u64, new: u64) -> u16 {
    fold(add(!old, new))
}

/// [`change`], of sums of 32 bits.
#[inline(always)]
pub fn change_of_half(old: u32, new: u32) -> u16 {
    // Neither has room for more than one carry.
    let total = u64::from(!old) + u64::from(new);
    fold_half((total as u32).wrapping_add((total >> 32) as u32))
}

/// What a checksum field becomes, both as they lie in the packet, if a little-endian word that it covers becomes another,
/// and others [change] by so much. RFC 1624 equation 3, and everything in it complemented, so that nothing is
/// folded; a change that isn't zero is taken away last, which never leaves all ones, as that equation doesn't.
#[inline(always)]
pub fn replaced(field: [u8; 2], [old, new]: [u16; 2], change: u16) -> [u8; 2] {
    let (sum, carry) = u16::from_le_bytes(field).overflowing_add(old);
    less(less(sum + u16::from(carry), new), change).to_le_bytes()
}

/// A ones' complement difference.
#[inline(always)]
fn less(word: u16, other: u16) -> u16 {
    let (difference, borrow) = word.overflowing_sub(other);
    difference.wrapping_sub(u16::from(borrow))
}

/// The sum of bytes as little-endian words, an odd last one padded with a zero. It is the same in
/// either byte order, up to a swap at the end (RFC 1071 section 2 B), and may be taken over wider
/// words (section 2 C), with the carries out of the highest bit added at the lowest.
#[inline(always)]
pub fn little_endian(bytes: &[u8]) -> u64 {
    add_bytes(0, bytes)
}

/// The ones' complement sum with [`little_endian`] of some bytes.
#[inline(always)]
fn add_bytes(mut sum: u64, bytes: &[u8]) -> u64 {
    let (mut words, rest) = bytes.as_chunks::<8>();
    while let Some((block, behind)) = words.split_first_chunk::<8>() {
        sum = add_words(sum, block);
        words = behind;
    }
    // One jump, by the number of words.
    let sum = match words {
        [] => sum,
        [_] => add_words(sum, &words[..1]),
        [_, _] => add_words(sum, &words[..2]),
        [_, _, _] => add_words(sum, &words[..3]),
        [_, _, _, _] => add_words(sum, &words[..4]),
        [_, _, _, _, _] => add_words(sum, &words[..5]),
        [_, _, _, _, _, _] => add_words(sum, &words[..6]),
        _ => add_words(sum, &words[..7]),
    };
    if rest.is_empty() { sum } else { add(sum, last_word(bytes, rest)) }
}

/// The ones' complement sum with some words, whose carries are handed from one to the next. With a carry a sum is less
/// than all ones, so that the last one has room.
#[inline(always)]
fn add_words(sum: u64, words: &[[u8; 8]]) -> u64 {
    let (sum, carry) = words.iter().fold((sum, false), |(sum, carry), word| {
        sum.carrying_add(u64::from_le_bytes(*word), carry)
    });
    sum + u64::from(carry)
}

/// The last one to seven bytes of some, with zeros behind them.
#[inline(always)]
fn last_word(bytes: &[u8], rest: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(last) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The ones' complement sum of two sums.
#[inline(always)]
fn add(one: u64, other: u64) -> u64 {
    let (sum, carry) = one.overflowing_add(other);
    sum + u64::from(carry)
}

/// Folds the carries back in until 16 bits are left. Zero only if `total` is zero. Both halves are added in either order
/// at once: what the lower sum carries over is what the upper one has lost.
#[inline(always)]
fn fold(total: u64) -> u16 {
    fold_half((total.wrapping_add(total.rotate_left(32)) >> 32) as u32)
}

#[inline(always)]
fn fold_half(total: u32) -> u16 {
    (total.wrapping_add(total.rotate_left(16)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 read literally: sixteen bits at a time, carries folded after each.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum: u32 = 0;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn a_sum_is_complete_if_it_is_a_multiple_of_all_ones(
            sum: u64,
            multiple in 0..=u64::MAX / 0xffff,
            near in 0..3u64,
        ) {
            for sum in [sum, (multiple * 0xffff).wrapping_add(near), u64::MAX - near] {
                prop_assert_eq!(is_complete(sum), sum % 0xffff == 0);
            }
        }

        #[test]
        fn what_is_right_is_what_has_the_checksum_zero(
            mut bytes in prop::collection::vec(any::<u8>(), 0..100),
            at in 0..48usize,
            proto: u8,
            len: u16,
        ) {
            let sum = |bytes: &[u8]| Sum::new().bytes(bytes).word(u16::from(proto)).word(len);
            if let Some(field) = bytes.get_mut(2 * at..2 * at + 2) {
                field.fill(0);
                let right = sum(&bytes).finish();
                bytes[2 * at..2 * at + 2].copy_from_slice(&right.to_be_bytes());
            }
            let is_nothing = proto == 0 && len == 0 && bytes.iter().all(|byte| *byte == 0);
            prop_assert!(is_nothing || is_right(&bytes, proto, len) == (sum(&bytes).finish() == 0));
        }
    }

    proptest! {
        #[test]
        fn a_replaced_field_is_what_a_delta_makes_of_it(
            check: u16,
            old: [u32; 3],
            new: [u32; 3],
            same: [u8; 12],
            word: [u16; 2],
        ) {
            let delta = old.iter().zip(&new).fold(Delta::new(), |all, (a, b)| all.dword(*a, *b));
            let sum = |words: [u32; 3]| {
                let words: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
                little_endian(&[&words[..], &same].concat())
            };
            let field = replaced(check.to_be_bytes(), word, change(sum(old), sum(new)));
            let delta = delta.word(word[0].swap_bytes(), word[1].swap_bytes());
            prop_assert_eq!(u16::from_be_bytes(field), delta.apply(check));
        }
    }

    #[test]
    fn known_sums() {
        let rows: [(&str, &[u8], u16); 5] = [
            ("nothing", &[], 0xffff),
            ("one byte is padded on the right", &[0x12], !0x1200),
            ("RFC 1071 section 3", &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7], !0xddf2),
            ("a carry out of the last fold", &[0xff, 0xff, 0xff, 0xff, 0x00, 0x01], !0x0001),
            (
                "an IPv4 header with its checksum in place",
                &[
                    0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xb8, 0x61, 0xc0,
                    0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
                ],
                0,
            ),
        ];
        for (what, bytes, want) in rows {
            assert_eq!(Sum::new().bytes(bytes).finish(), want, "{what}");
        }
    }

    #[test]
    fn a_real_udp_datagram_sums_to_zero() {
        let (src, dst) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        // 192.0.2.1:4096 > 192.0.2.2:53, "ab"; the sum worked out by hand.
        let segment = [0x10, 0x00, 0x00, 0x35, 0x00, 0x0a, 0x0a, 0x3f, 0x61, 0x62];
        assert_eq!(transport(src, dst, 17, &segment), 0);
        assert_ne!(
            transport(src, dst, 6, &segment),
            0,
            "the protocol is part of the pseudo header"
        );
    }

    fn addrs() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        prop_oneof![
            any::<(std::net::Ipv4Addr, std::net::Ipv4Addr)>()
                .prop_map(|(a, b)| (a.into(), b.into())),
            any::<(std::net::Ipv6Addr, std::net::Ipv6Addr)>()
                .prop_map(|(a, b)| (a.into(), b.into())),
        ]
    }

    proptest! {
        #[test]
        fn wide_equals_literal(bytes: Vec<u8>) {
            prop_assert_eq!(Sum::new().bytes(&bytes).finish(), slow(&bytes));
        }

        /// Where carries run through all the bits.
        #[test]
        fn wide_equals_literal_at_the_edge(
            bytes in prop::collection::vec(prop::sample::select(&[0, 1, 0xfe, 0xff, 0xff, 0xff]), 0..200),
        ) {
            prop_assert_eq!(Sum::new().bytes(&bytes).finish(), slow(&bytes));
        }

        #[test]
        fn pieces_equal_the_whole(bytes: Vec<u8>, cut in 0usize..64) {
            let cut = (cut * 2).min(bytes.len() & !1);
            let sum = Sum::new().bytes(&bytes[..cut]).bytes(&bytes[cut..]);
            prop_assert_eq!(sum.finish(), slow(&bytes));
        }

        #[test]
        fn incremental_equals_recomputed(
            mut bytes in prop::collection::vec(any::<u8>(), 8..128),
            at: usize,
            word: u16,
            dword: u32,
        ) {
            bytes.push(1); // all-zero data is the one case where +0 and -0 part
            let check = Sum::new().bytes(&bytes).finish();
            let at = at % (bytes.len() / 2 - 2) * 2;
            let old = u16::from_be_bytes([bytes[at], bytes[at + 1]]);
            bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
            let one = Delta::new().word(old, word).apply(check);
            prop_assert_eq!(one, Sum::new().bytes(&bytes).finish());

            let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
            bytes[at..at + 4].copy_from_slice(&dword.to_be_bytes());
            let two = Delta::new().dword(old, dword).apply(one);
            prop_assert_eq!(two, Sum::new().bytes(&bytes).finish());
        }

        #[test]
        fn an_address_swap_keeps_a_valid_sum_valid(
            (src, new) in addrs(),
            port: u16,
            new_port: u16,
            mut segment in prop::collection::vec(any::<u8>(), 20..64),
        ) {
            let dst = src;
            segment[..2].copy_from_slice(&port.to_be_bytes());
            segment[16..18].fill(0);
            let check = transport(src, dst, 6, &segment);
            segment[..2].copy_from_slice(&new_port.to_be_bytes());
            let fixed = Delta::new().addr(src, new).word(port, new_port).apply(check);
            prop_assert_eq!(fixed, transport(new, dst, 6, &segment));
        }
    }
}
