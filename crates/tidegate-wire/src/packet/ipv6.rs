//! The IPv6 header and its extension headers (RFC 8200).
//!
//! [`Extensions`] walks the chain exactly as far as Linux does (`ipv6_skip_exthdr`): it does not
//! interpret a header, only its length, and ESP ends it because nothing behind ESP can be read.

use core::net::Ipv6Addr;

use super::{clamped, put_u16, put_u32, u16_at, u32_at};
use crate::proto;

/// A view of an IPv6 header and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6<T>(T);

impl<T: AsRef<[u8]>> Ipv6<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`]. The version is not checked.
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The IP version.
    pub fn version(&self) -> u8 {
        self.bytes()[0] >> 4
    }

    /// Traffic class: DSCP and ECN.
    pub fn traffic_class(&self) -> u8 {
        (u16_at(self.bytes(), 0) >> 4) as u8
    }

    /// The flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        u32_at(self.bytes(), 0) & 0x000f_ffff
    }

    /// Bytes after the fixed header, extension headers included, as the header says. 0 in a
    /// jumbogram.
    pub fn payload_len(&self) -> u16 {
        u16_at(self.bytes(), PAYLOAD_LEN)
    }

    /// What follows: an extension header or the upper layer.
    pub fn next_header(&self) -> u8 {
        self.bytes()[NEXT_HEADER]
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.bytes()[HOP_LIMIT]
    }

    /// The source address.
    pub fn src(&self) -> Ipv6Addr {
        address_at(self.bytes(), SRC)
    }

    /// The destination address.
    pub fn dst(&self) -> Ipv6Addr {
        address_at(self.bytes(), DST)
    }

    /// All bytes under the view.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes()
    }

    /// What follows the fixed header, up to the datagram's own length.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), HEADER_LEN, HEADER_LEN + usize::from(self.payload_len()))
    }

    /// The extension headers.
    pub fn extensions(&self) -> Extensions<'_> {
        Extensions {
            datagram: self.bytes(),
            next: self.next_header(),
            at: HEADER_LEN,
            named_at: NEXT_HEADER,
        }
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv6<T> {
    /// Sets the traffic class.
    pub fn set_traffic_class(&mut self, class: u8) {
        let word = u16_at(self.bytes(), 0) & 0xf00f | u16::from(class) << 4;
        put_u16(self.0.as_mut(), 0, word);
    }

    /// Sets the flow label from the low 20 bits of `label`.
    pub fn set_flow_label(&mut self, label: u32) {
        let dword = u32_at(self.bytes(), 0) & 0xfff0_0000 | label & 0x000f_ffff;
        put_u32(self.0.as_mut(), 0, dword);
    }

    /// Sets the number of bytes after the fixed header.
    pub fn set_payload_len(&mut self, len: u16) {
        put_u16(self.0.as_mut(), PAYLOAD_LEN, len);
    }

    /// Sets what follows the fixed header.
    pub fn set_next_header(&mut self, next_header: u8) {
        self.0.as_mut()[NEXT_HEADER] = next_header;
    }

    /// Sets the hop limit.
    pub fn set_hop_limit(&mut self, hop_limit: u8) {
        self.0.as_mut()[HOP_LIMIT] = hop_limit;
    }

    /// Sets the source address.
    pub fn set_src(&mut self, src: Ipv6Addr) {
        self.0.as_mut()[SRC..SRC + 16].copy_from_slice(&src.octets());
    }

    /// Sets the destination address.
    pub fn set_dst(&mut self, dst: Ipv6Addr) {
        self.0.as_mut()[DST..DST + 16].copy_from_slice(&dst.octets());
    }

    /// What follows the fixed header, for writing, up to the datagram's own length.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = (HEADER_LEN + usize::from(self.payload_len())).min(self.bytes().len());
        self.0.as_mut().get_mut(HEADER_LEN..end).unwrap_or_default()
    }
}

/// One extension header, found by [`Extensions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionHeader {
    /// Which one: its protocol number.
    pub kind: u8,
    /// Where it starts in the datagram.
    pub at: usize,
    /// Its length in bytes as it says itself; it may end beyond the datagram.
    pub len: usize,
    /// Where the "next header" byte lies that announced it: what defragmentation rewrites.
    pub named_at: usize,
    /// What it says comes next.
    pub next_header: u8,
}

/// The walk along a datagram's extension headers. It stops at the upper layer, at "no next header",
/// and where fewer than two bytes (four for a fragment or routing header) are left to read.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a> {
    datagram: &'a [u8],
    next: u8,
    at: usize,
    named_at: usize,
}

impl Extensions<'_> {
    /// What comes next: after the walk the upper layer, or the header at which it had to stop.
    pub fn next_header(&self) -> u8 {
        self.next
    }

    /// Where the upper layer starts, once the walk has come to it. The last header's length may put
    /// it beyond the datagram: Linux tracks such a datagram all the same, as one without data.
    pub fn upper_layer(&self) -> Option<usize> {
        (!proto::is_ipv6_extension(self.next)).then_some(self.at)
    }
}

impl Iterator for Extensions<'_> {
    type Item = ExtensionHeader;

    fn next(&mut self) -> Option<ExtensionHeader> {
        if self.next == proto::NO_NEXT_HEADER || !proto::is_ipv6_extension(self.next) {
            return None;
        }
        let least = match self.next {
            proto::IPV6_FRAGMENT | proto::IPV6_ROUTING => 4,
            _ => 2,
        };
        let start = self.datagram.get(self.at..self.at + least)?;
        let found = ExtensionHeader {
            kind: self.next,
            at: self.at,
            len: extension_len(self.next, start[1]),
            named_at: self.named_at,
            next_header: start[0],
        };
        (self.next, self.named_at) = (found.next_header, self.at);
        self.at += found.len;
        Some(found)
    }
}

fn extension_len(kind: u8, len: u8) -> usize {
    match kind {
        proto::IPV6_FRAGMENT => FRAGMENT_HEADER_LEN,
        // RFC 4302 section 2.2: 4-byte units, minus two.
        proto::AH => (usize::from(len) + 2) * 4,
        _ => (usize::from(len) + 1) * 8,
    }
}

/// => `at + 16 <= bytes.len()`
fn address_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    Ipv6Addr::from_octets(octets)
}

/// An IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
    /// What follows the header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class.
    pub traffic_class: u8,
    /// Flow label; the low 20 bits count.
    pub flow_label: u32,
    /// Bytes after the header, at most 65535.
    pub payload_len: usize,
}

impl Ipv6Repr {
    /// Writes the header into the first [`HEADER_LEN`] bytes of `buf`.
    /// => `buf.len() >= HEADER_LEN`
    pub fn emit(&self, buf: &mut [u8]) {
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label & 0x000f_ffff;
        put_u32(buf, 0, first);
        put_u16(buf, PAYLOAD_LEN, self.payload_len as u16);
        buf[NEXT_HEADER] = self.next_header;
        buf[HOP_LIMIT] = self.hop_limit;
        buf[SRC..SRC + 16].copy_from_slice(&self.src.octets());
        buf[DST..DST + 16].copy_from_slice(&self.dst.octets());
    }
}

/// Length of the fixed header, in bytes.
pub const HEADER_LEN: usize = 40;
/// Length of a fragment header, in bytes.
pub const FRAGMENT_HEADER_LEN: usize = 8;

const PAYLOAD_LEN: usize = 4;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT: usize = 7;
const SRC: usize = 8;
const DST: usize = 24;
