//! The IPv4 header (RFC 791).
//!
//! Each setter corrects the header checksum incrementally (RFC 1624), so a wrong checksum stays
//! wrong: rewriting never launders a damaged header.

use core::net::Ipv4Addr;

use super::{clamped, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::{Delta, Sum};

/// A view of an IPv4 header and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4<T>(T);

impl<T: AsRef<[u8]>> Ipv4<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`]. The version is not checked.
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The IP version.
    pub fn version(&self) -> u8 {
        self.bytes()[0] >> 4
    }

    /// Length of the header with its options, in bytes, as the header says.
    pub fn header_len(&self) -> usize {
        usize::from(self.bytes()[0] & 0x0f) * 4
    }

    /// Length of the datagram, in bytes, as the header says.
    pub fn total_len(&self) -> u16 {
        u16_at(self.bytes(), TOTAL_LEN)
    }

    /// Type of service: DSCP and ECN.
    pub fn tos(&self) -> u8 {
        self.bytes()[TOS]
    }

    /// The identification that the fragments of a datagram share.
    pub fn id(&self) -> u16 {
        u16_at(self.bytes(), ID)
    }

    /// The DF bit.
    pub fn dont_fragment(&self) -> bool {
        u16_at(self.bytes(), FRAGMENT) & DONT_FRAGMENT != 0
    }

    /// The MF bit.
    pub fn more_fragments(&self) -> bool {
        u16_at(self.bytes(), FRAGMENT) & MORE_FRAGMENTS != 0
    }

    /// Where this fragment's payload starts in the whole one's, in bytes.
    pub fn fragment_offset(&self) -> u16 {
        (u16_at(self.bytes(), FRAGMENT) & OFFSET_MASK) * 8
    }

    /// Time to live.
    pub fn ttl(&self) -> u8 {
        self.bytes()[TTL]
    }

    /// The upper layer's protocol number.
    pub fn proto(&self) -> u8 {
        self.bytes()[PROTO]
    }

    /// The header checksum as it stands.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// Whether the header checksum is right.
    pub fn checksum_ok(&self) -> bool {
        Sum::new().bytes(clamped(self.bytes(), 0, self.header_len())).finish() == 0
    }

    /// The source address.
    pub fn src(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at(self.bytes(), SRC))
    }

    /// The destination address.
    pub fn dst(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32_at(self.bytes(), DST))
    }

    /// The options, uninterpreted.
    pub fn options(&self) -> &[u8] {
        clamped(self.bytes(), HEADER_LEN, self.header_len())
    }

    /// What follows the header, up to the datagram's own length.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), self.header_len(), usize::from(self.total_len()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv4<T> {
    /// Sets the time to live.
    pub fn set_ttl(&mut self, ttl: u8) {
        let proto = self.proto();
        self.set_word(TTL, u16::from_be_bytes([ttl, proto]));
    }

    /// Takes one hop off the time to live, if there is any.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let Some([ttl, _, high, low]) = self.0.as_mut().get_mut(TTL..CHECKSUM + 2) else { return };
        let Some(less) = ttl.checked_sub(1) else { return };
        *ttl = less;
        // One hop is the lowest bit of a word that is read from its other end. What becomes all ones
        // is written as zero, as `Delta` does.
        let sum = u32::from(u16::from_le_bytes([*high, *low])) + 1;
        [*high, *low] = ((sum + u32::from(sum >= 0xffff)) as u16).to_le_bytes();
    }

    /// Sets the type of service.
    pub fn set_tos(&mut self, tos: u8) {
        let first = self.bytes()[0];
        self.set_word(0, u16::from_be_bytes([first, tos]));
    }

    /// Sets the source address.
    pub fn set_src(&mut self, src: Ipv4Addr) {
        self.set_dword(SRC, src.to_bits());
    }

    /// Sets the destination address.
    pub fn set_dst(&mut self, dst: Ipv4Addr) {
        self.set_dword(DST, dst.to_bits());
    }

    /// Sets the datagram's length, in bytes.
    pub fn set_total_len(&mut self, total_len: u16) {
        self.set_word(TOTAL_LEN, total_len);
    }

    /// Sets the identification.
    pub fn set_id(&mut self, id: u16) {
        self.set_word(ID, id);
    }

    /// Sets the MF bit and the fragment offset (in bytes, a multiple of 8); DF stays.
    pub fn set_fragment(&mut self, offset: u16, more: bool) {
        let kept = u16_at(self.bytes(), FRAGMENT) & !(MORE_FRAGMENTS | OFFSET_MASK);
        let more = if more { MORE_FRAGMENTS } else { 0 };
        self.set_word(FRAGMENT, kept | more | (offset / 8));
    }

    /// Computes the header checksum from scratch.
    pub fn fill_checksum(&mut self) {
        put_u16(self.0.as_mut(), CHECKSUM, 0);
        let check = Sum::new().bytes(clamped(self.bytes(), 0, self.header_len())).finish();
        put_u16(self.0.as_mut(), CHECKSUM, check);
    }

    /// The payload, for writing, up to the datagram's own length.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let end = usize::from(self.total_len()).min(self.bytes().len());
        let start = self.header_len();
        self.0.as_mut().get_mut(start..end).unwrap_or_default()
    }

    fn set_word(&mut self, at: usize, word: u16) {
        let delta = Delta::new().word(u16_at(self.bytes(), at), word);
        put_u16(self.0.as_mut(), at, word);
        self.adjust(delta);
    }

    fn set_dword(&mut self, at: usize, dword: u32) {
        let delta = Delta::new().dword(u32_at(self.bytes(), at), dword);
        put_u32(self.0.as_mut(), at, dword);
        self.adjust(delta);
    }

    fn adjust(&mut self, delta: Delta) {
        let check = delta.apply(self.checksum());
        put_u16(self.0.as_mut(), CHECKSUM, check);
    }
}

/// An IPv4 header without options, of a datagram that is not a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
    /// The upper layer's protocol number.
    pub proto: u8,
    /// Time to live.
    pub ttl: u8,
    /// Type of service.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// The DF bit.
    pub dont_fragment: bool,
    /// Bytes after the header, at most 65515.
    pub payload_len: usize,
}

impl Ipv4Repr {
    /// Writes the header with its checksum into the first [`HEADER_LEN`] bytes of `buf`.
    /// => `buf.len() >= HEADER_LEN`
    pub fn emit(&self, buf: &mut [u8]) {
        buf[0] = 0x45;
        buf[TOS] = self.tos;
        put_u16(buf, TOTAL_LEN, (HEADER_LEN + self.payload_len) as u16);
        put_u16(buf, ID, self.id);
        put_u16(buf, FRAGMENT, if self.dont_fragment { DONT_FRAGMENT } else { 0 });
        buf[TTL] = self.ttl;
        buf[PROTO] = self.proto;
        put_u16(buf, CHECKSUM, 0);
        put_u32(buf, SRC, self.src.to_bits());
        put_u32(buf, DST, self.dst.to_bits());
        let check = Sum::new().bytes(&buf[..HEADER_LEN]).finish();
        put_u16(buf, CHECKSUM, check);
    }
}

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;

const TOS: usize = 1;
const TOTAL_LEN: usize = 2;
const ID: usize = 4;
const FRAGMENT: usize = 6;
const TTL: usize = 8;
const PROTO: usize = 9;
const CHECKSUM: usize = 10;
const SRC: usize = 12;
const DST: usize = 16;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;
