//! A plain datagram, read and rewritten at fixed places.
//!
//! What plain means is told and decided in [`super::glance`]; nobody may come here with any other
//! datagram. There are no options in front of the upper layer, so every field has one place in each
//! family, and what `wire::packet` and `nat::rewrite` find step by step is a load or a store here.
//! `engine/tests/express.rs` compares the bytes with theirs.

use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::{Family, Headers};

use crate::nat::Manip;
use crate::rules::ExpressProto;
use crate::table::express::Shelved;
use crate::table::key::{Key, Key4, Key6};

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
    /// Has the datagram begin, or end, where this tuple does.
    fn set_end(self, bytes: &mut [u8], how: Upper, manip: Manip);
    /// Takes one hop off.
    fn take_hop(bytes: &mut [u8]);
}

impl Layout for Key4 {
    const FAMILY: Family = Family::V4;
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
            proto: bytes[9],
            l4: Some(Self::L4),
            len: Self::len(bytes),
            ip_header_len: Self::L4,
            fragment: None,
            checksum: Checksum::Full,
        }
    }

    #[inline(always)]
    fn set_end(self, bytes: &mut [u8], how: Upper, manip: Manip) {
        const HEADER_CHECKSUM: usize = 10;
        let place = place(manip);
        let at = Self::TUPLE + 4 * place;
        let (old, new) = (word(bytes, at), word(&self.addresses, 4 * place));
        let delta = Delta::new().dword(old, new);
        put_word(bytes, at, new);
        put_half(bytes, HEADER_CHECKSUM, delta.apply(half(bytes, HEADER_CHECKSUM)));
        set_port(&mut bytes[Self::L4..], how, (2 * place, half(&self.ports, 2 * place)), delta);
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        if let Some(mut ip) = Ipv4::new(bytes) {
            ip.decrement_ttl();
        }
    }
}

impl Layout for Key6 {
    const FAMILY: Family = Family::V6;
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
            proto: bytes[6],
            l4: Some(Self::L4),
            len: Self::len(bytes),
            ip_header_len: Self::L4,
            fragment: None,
            checksum: Checksum::Full,
        }
    }

    #[inline(always)]
    fn set_end(self, bytes: &mut [u8], how: Upper, manip: Manip) {
        let place = place(manip);
        let addr = match manip {
            Manip::Src => self.src,
            Manip::Dst => self.dst,
        };
        let own = &mut bytes[Self::TUPLE + 16 * place..][..16];
        let changes = [0, 4, 8, 12].map(|at| (word(own, at), word(&addr, at)));
        let delta = changes.iter().fold(Delta::new(), |delta, (old, new)| delta.dword(*old, *new));
        own.copy_from_slice(&addr);
        set_port(&mut bytes[Self::L4..], how, (2 * place, half(&self.ports, 2 * place)), delta);
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        bytes[7] -= 1;
    }
}

/// Which of the two ends.
#[inline(always)]
fn place(manip: Manip) -> usize {
    match manip {
        Manip::Src => 0,
        Manip::Dst => 1,
    }
}

/// Sets a port, and the checksum for it and for the addresses. A UDP checksum of zero means that there
/// is none; one that becomes zero is sent as all ones (RFC 768).
#[inline(always)]
fn set_port(segment: &mut [u8], how: Upper, (at, port): (usize, u16), addresses: Delta) {
    let delta = addresses.word(half(segment, at), port);
    put_half(segment, at, port);
    if how.checksum.is_partial() {
        return mend_partial(segment, how.proto, addresses);
    }
    match how.proto {
        ExpressProto::Tcp => put_half(segment, 16, delta.apply(half(segment, 16))),
        ExpressProto::Udp => match half(segment, 6) {
            0 => {}
            old => put_half(
                segment,
                6,
                Some(delta.apply(old)).filter(|new| *new != 0).unwrap_or(0xffff),
            ),
        },
    }
}

/// A partial checksum knows of no ports, and a zero in it is nothing special.
#[inline(never)]
fn mend_partial(segment: &mut [u8], proto: ExpressProto, addresses: Delta) {
    let field = match proto {
        ExpressProto::Tcp => 16,
        ExpressProto::Udp => 6,
    };
    let old = half(segment, field);
    put_half(segment, field, Checksum::Partial.mended(old, addresses, Delta::new()));
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
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[inline(always)]
fn put_half(bytes: &mut [u8], at: usize, half: u16) {
    bytes[at..at + 2].copy_from_slice(&half.to_be_bytes());
}

#[inline(always)]
fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}
