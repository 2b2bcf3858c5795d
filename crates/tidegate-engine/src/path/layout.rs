//! A plain datagram, read and rewritten at fixed places.
//!
//! What plain means is told and decided in [`super::glance`]; nobody may come here with any other
//! datagram. There are no options in front of the upper layer, so every field has one place in each
//! family, and what `wire::packet` and `nat::rewrite` find step by step is a load or a store here.
//! `engine/tests/express.rs` compares the bytes with theirs.

use core::net::IpAddr;

use tidegate_wire::checksum::Delta;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::{Family, Headers};

use crate::nat::Manip;
use crate::rules::ExpressProto;
use crate::table::express::Shelved;
use crate::table::key::{Key4, Key6};

/// What the upper layer is, and how its checksum stands.
#[derive(Clone, Copy)]
pub(super) struct Upper {
    pub(super) proto: ExpressProto,
    pub(super) checksum: Checksum,
}

/// Where a family's plain datagrams have what.
pub(super) trait Layout: Shelved {
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
    const L4: usize = 20;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..24];
        Self {
            src: word(bytes, 12),
            dst: word(bytes, 16),
            sport: half(bytes, 20),
            dport: half(bytes, 22),
        }
    }

    #[inline(always)]
    fn len(bytes: &[u8]) -> usize {
        usize::from(half(bytes, 2))
    }

    fn headers(bytes: &[u8]) -> Headers {
        Headers {
            family: Family::V4,
            src: IpAddr::V4(word(bytes, 12).into()),
            dst: IpAddr::V4(word(bytes, 16).into()),
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
        let (at, addr) = match manip {
            Manip::Src => (12, self.src),
            Manip::Dst => (16, self.dst),
        };
        let delta = Delta::new().dword(word(bytes, at), addr);
        put_word(bytes, at, addr);
        put_half(bytes, HEADER_CHECKSUM, delta.apply(half(bytes, HEADER_CHECKSUM)));
        set_port(&mut bytes[Self::L4..], how, port(self.sport, self.dport, manip), delta);
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        if let Some(mut ip) = Ipv4::new(bytes) {
            ip.decrement_ttl();
        }
    }
}

impl Layout for Key6 {
    const L4: usize = 40;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..44];
        Self {
            src: words(bytes, 8),
            dst: words(bytes, 24),
            sport: half(bytes, 40),
            dport: half(bytes, 42),
        }
    }

    #[inline(always)]
    fn len(bytes: &[u8]) -> usize {
        usize::from(half(bytes, 4)) + Self::L4
    }

    fn headers(bytes: &[u8]) -> Headers {
        let addr = |at: usize| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&bytes[at..at + 16]);
            IpAddr::V6(octets.into())
        };
        Headers {
            family: Family::V6,
            src: addr(8),
            dst: addr(24),
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
        let (at, addr) = match manip {
            Manip::Src => (8, self.src),
            Manip::Dst => (24, self.dst),
        };
        let changes = words(bytes, at).into_iter().zip(addr);
        let delta = changes.fold(Delta::new(), |delta, (old, new)| delta.dword(old, new));
        for (number, new) in addr.into_iter().enumerate() {
            put_word(bytes, at + 4 * number, new);
        }
        set_port(&mut bytes[Self::L4..], how, port(self.sport, self.dport, manip), delta);
    }

    #[inline(always)]
    fn take_hop(bytes: &mut [u8]) {
        bytes[7] -= 1;
    }
}

/// A port, and its place in the upper layer's header.
#[inline(always)]
fn port(sport: u16, dport: u16, manip: Manip) -> (usize, u16) {
    match manip {
        Manip::Src => (0, sport),
        Manip::Dst => (2, dport),
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
pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

// Spelt out: a map over an array is not inlined here.
#[inline(always)]
fn words(bytes: &[u8], at: usize) -> [u32; 4] {
    [word(bytes, at), word(bytes, at + 4), word(bytes, at + 8), word(bytes, at + 12)]
}

#[inline(always)]
fn put_half(bytes: &mut [u8], at: usize, half: u16) {
    bytes[at..at + 2].copy_from_slice(&half.to_be_bytes());
}

#[inline(always)]
fn put_word(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}
