//! A plain datagram, read and rewritten at fixed places.
//!
//! What plain means is told and decided in [`super::glance`]; nobody may come here with any other
//! datagram. There are no options in front of the upper layer, so every field has one place in each
//! family, and what `wire::packet` and `nat::rewrite` find step by step is a load or a store here.
//! `engine/tests/express.rs` compares the bytes with theirs.

use tidegate_wire::checksum::{change, change_of_half, little_endian, replaced};
use tidegate_wire::offload::Checksum;
use tidegate_wire::{Family, Headers};

use crate::table::express::Shelved;
use crate::table::key::{Key as _, Key4, Key6};

/// Where a family's plain datagrams have what.
pub(super) trait Layout: Shelved {
    /// The family.
    const FAMILY: Family;
    /// Where the upper layer's protocol is.
    const PROTO: usize;
    /// Where the tuple begins: both addresses, and right behind them the ports.
    const TUPLE: usize;
    /// Where the upper layer begins.
    const L4: usize;
    /// The tuple.
    fn read(bytes: &[u8]) -> Self;
    /// The length, without padding.
    fn len(bytes: &[u8]) -> usize;
    /// The headers, as `wire::dissect` gives them.
    fn headers(bytes: &[u8]) -> Headers;
    /// Turns over these bits of the destination, or else of the source, and changes nothing else; what that means to
    /// a checksum over the address, and the port before and after.
    fn flip_end(bytes: &mut [u8], is_dst: bool, flips: Self::End) -> (u16, [u16; 2]);
    /// Takes one hop off.
    fn take_hop(bytes: &mut [u8]);
    /// The same, if it is to be, in a header whose addresses have changed by so much.
    fn mend_header(bytes: &mut [u8], of_addresses: u16, takes_hop: bool);
}

impl Layout for Key4 {
    const FAMILY: Family = Family::V4;
    const PROTO: usize = 9;
    const TUPLE: usize = 12;
    const L4: usize = 20;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..24];
        Self { addresses: chunk(bytes, Self::TUPLE), ports: chunk(bytes, Self::L4) }
    }

    #[inline(always)]
    fn len(bytes: &[u8]) -> usize {
        usize::from(half(bytes, 2))
    }

    fn headers(bytes: &[u8]) -> Headers {
        let (src, dst) = Self::read(bytes).addresses();
        Headers {
            family: Family::V4,
            src,
            dst,
            proto: bytes[Self::PROTO],
            l4: Some(Self::L4),
            len: Self::len(bytes),
            ip_header_len: Self::L4,
            fragment: None,
            checksum: Checksum::Full,
        }
    }

    #[inline(always)]
    fn flip_end(bytes: &mut [u8], is_dst: bool, flips: Self::End) -> (u16, [u16; 2]) {
        let bytes = &mut bytes[..24];
        let second = usize::from(is_dst);
        let at = Self::TUPLE + 4 * second;
        let old = u32::from_le_bytes(chunk(bytes, at));
        let new = old ^ flips.address;
        put(bytes, at, new.to_le_bytes());
        let of_address = change_of_half(old, new);
        (of_address, flip_port(bytes, Self::L4 + 2 * second, flips.port))
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        // The hop is the lowest bit of a word read from its other end, and the checksum its upper half: one less and one
        // more. What becomes all ones is written as zero, with a carry, as `Ipv4::decrement_ttl` does.
        let word = u32::from_le_bytes(chunk(bytes, 8));
        let is_carried = word.checked_add(2 << 16).is_none();
        let less = word.wrapping_add((1 << 16) - 1).wrapping_add(u32::from(is_carried) << 16);
        put(bytes, 8, less.to_le_bytes());
    }

    #[inline(always)]
    fn mend_header(bytes: &mut [u8], of_addresses: u16, takes_hop: bool) {
        let bytes = &mut bytes[..24];
        bytes[8] -= u8::from(takes_hop);
        // A hop is the lowest bit of a little-endian word.
        let hops = [u16::from(takes_hop), 0];
        put(bytes, 10, replaced(chunk(bytes, 10), hops, of_addresses));
    }
}

impl Layout for Key6 {
    const FAMILY: Family = Family::V6;
    const PROTO: usize = 6;
    const TUPLE: usize = 8;
    const L4: usize = 40;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..44];
        Self { src: chunk(bytes, 8), dst: chunk(bytes, 24), ports: chunk(bytes, Self::L4) }
    }

    #[inline(always)]
    fn len(bytes: &[u8]) -> usize {
        usize::from(half(bytes, 4)) + Self::L4
    }

    fn headers(bytes: &[u8]) -> Headers {
        let (src, dst) = Self::read(bytes).addresses();
        Headers {
            family: Family::V6,
            src,
            dst,
            proto: bytes[Self::PROTO],
            l4: Some(Self::L4),
            len: Self::len(bytes),
            ip_header_len: Self::L4,
            fragment: None,
            checksum: Checksum::Full,
        }
    }

    #[inline(always)]
    fn flip_end(bytes: &mut [u8], is_dst: bool, flips: Self::End) -> (u16, [u16; 2]) {
        let bytes = &mut bytes[..44];
        let second = usize::from(is_dst);
        let at = Self::TUPLE + 16 * second;
        let old = chunk(bytes, at);
        let new = (u128::from_le_bytes(old) ^ flips.address).to_le_bytes();
        put(bytes, at, new);
        let of_address = change(little_endian(&old), little_endian(&new));
        (of_address, flip_port(bytes, Self::L4 + 2 * second, flips.port))
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        bytes[7] -= 1;
    }

    #[inline(always)]
    fn mend_header(bytes: &mut [u8], _: u16, takes_hop: bool) {
        bytes[7] -= u8::from(takes_hop);
    }
}

#[inline(always)]
pub(super) fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[at..at + N]);
    chunk
}

#[inline(always)]
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
pub(super) fn put<const N: usize>(bytes: &mut [u8], at: usize, chunk: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&chunk);
}

/// Turns over some bits of a port, which was the first and is the second.
#[inline(always)]
fn flip_port(bytes: &mut [u8], at: usize, flips: u16) -> [u16; 2] {
    let old = u16::from_le_bytes(chunk(bytes, at));
    let new = old ^ flips;
    put(bytes, at, new.to_le_bytes());
    [old, new]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tidegate_wire::packet::ipv4::Ipv4;

    use super::*;

    proptest! {
        #[test]
        fn a_hop_is_taken_as_the_view_takes_it(
            mut bytes: [u8; 24],
            ttl in 1u8..,
            sum in prop_oneof![any::<u16>(), 0xfff0..=0xffffu16, 0..16u16],
        ) {
            (bytes[0], bytes[8]) = (0x45, ttl);
            bytes[10..12].copy_from_slice(&sum.to_le_bytes());
            let mut other = bytes;
            Key4::take_hop(&mut bytes);
            Ipv4::new(&mut other).expect("a header").decrement_ttl();
            prop_assert_eq!(bytes, other);
        }
    }
}
