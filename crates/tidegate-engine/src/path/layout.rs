//! A plain datagram, read and rewritten at fixed places.
//!
//! What plain means is told and decided in [`super::glance`]; nobody may come here with any other
//! datagram. There are no options in front of the upper layer, so every field has one place in each
//! family, and what `wire::packet` and `nat::rewrite` find step by step is a load or a store here.
//! `engine/tests/express.rs` compares the bytes with theirs.

use tidegate_wire::checksum::{add as add_up, change, little_endian, replaced};
use tidegate_wire::offload::Checksum;
use tidegate_wire::{Family, Headers};

use crate::rules::ExpressProto;
use crate::table::express::Shelved;
use crate::table::key::{Key as _, Key4, Key6};

/// What the upper layer is, and how its checksum stands.
#[derive(Clone, Copy)]
pub(super) struct Upper {
    pub(super) proto: ExpressProto,
    pub(super) checksum: Checksum,
}

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
    /// Where the header's own checksum is, if it has one.
    const CHECKSUM: Option<usize>;
    /// The tuple.
    fn read(bytes: &[u8]) -> Self;
    /// The length, without padding.
    fn len(bytes: &[u8]) -> usize;
    /// The headers, as `wire::dissect` gives them.
    fn headers(bytes: &[u8]) -> Headers;
    /// The sums of addresses and ports, as checksums cover them.
    fn sums(self) -> (u64, u64);
    /// Writes the tuple, and nothing but the tuple.
    fn put(self, bytes: &mut [u8]);
    /// Takes one hop off.
    fn take_hop(bytes: &mut [u8]);
}

impl Layout for Key4 {
    const FAMILY: Family = Family::V4;
    const PROTO: usize = 9;
    const TUPLE: usize = 12;
    const L4: usize = 20;
    const CHECKSUM: Option<usize> = Some(10);

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
    fn sums(self) -> (u64, u64) {
        (u64::from_le_bytes(self.addresses), u64::from(u32::from_le_bytes(self.ports)))
    }

    #[inline(always)]
    fn put(self, bytes: &mut [u8]) {
        let bytes = &mut bytes[..24];
        bytes[12..20].copy_from_slice(&self.addresses);
        bytes[20..].copy_from_slice(&self.ports);
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
}

impl Layout for Key6 {
    const FAMILY: Family = Family::V6;
    const PROTO: usize = 6;
    const TUPLE: usize = 8;
    const L4: usize = 40;
    const CHECKSUM: Option<usize> = None;

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
    fn sums(self) -> (u64, u64) {
        let addresses = add_up(little_endian(&self.src), little_endian(&self.dst));
        (addresses, u64::from(u32::from_le_bytes(self.ports)))
    }

    #[inline(always)]
    fn put(self, bytes: &mut [u8]) {
        let bytes = &mut bytes[..44];
        bytes[8..24].copy_from_slice(&self.src);
        bytes[24..40].copy_from_slice(&self.dst);
        bytes[40..].copy_from_slice(&self.ports);
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        bytes[7] -= 1;
    }
}

/// Has a datagram, which begins and ends as `old` says, do so as `new` says, with its checksums. A UDP checksum of
/// zero means that there is none; one that becomes zero is sent as all ones (RFC 768).
#[inline(always)]
pub(super) fn rewrite<K: Layout>(bytes: &mut [u8], how: Upper, old: K, new: K) {
    let ((old_addresses, old_ports), (addresses, ports)) = (old.sums(), new.sums());
    new.put(bytes);
    let of_addresses = change(old_addresses, addresses);
    if let Some(at) = K::CHECKSUM {
        put(bytes, at, replaced(chunk(bytes, at), of_addresses));
    }
    let field = match how.proto {
        ExpressProto::Tcp => K::L4 + 16,
        ExpressProto::Udp => K::L4 + 6,
    };
    let check = chunk(bytes, field);
    if how.checksum.is_partial() {
        return put(bytes, field, partial(check, of_addresses));
    }
    let whole = add_up(of_addresses, change(old_ports, ports));
    match (how.proto, check, replaced(check, whole)) {
        (ExpressProto::Udp, [0, 0], _) => {}
        (ExpressProto::Udp, _, [0, 0]) => put(bytes, field, [0xff; 2]),
        (_, _, replaced) => put(bytes, field, replaced),
    }
}

/// A partial checksum knows of no ports, is not complemented, and a zero in it is nothing special.
#[inline(never)]
fn partial([a, b]: [u8; 2], change: u64) -> [u8; 2] {
    replaced([!a, !b], change).map(|byte| !byte)
}

#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut chunk = [0; N];
    chunk.copy_from_slice(&bytes[at..at + N]);
    chunk
}

#[inline(always)]
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
fn put<const N: usize>(bytes: &mut [u8], at: usize, chunk: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&chunk);
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
