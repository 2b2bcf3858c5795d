//! The TCP header and its options (RFC 9293).
//!
//! The option parser forgives what the kernel's forgives (`tcp_options`, `tcp_sack` of
//! nf_conntrack): it takes what it can and stops, without an error, at the first option that makes
//! no sense.

use core::fmt;
use core::net::IpAddr;
use core::ops::BitOr;

use super::{clamped, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::{self, Delta};
use crate::proto;
use crate::seq::SeqNum;

/// A view of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<T>(T);

impl<T: AsRef<[u8]>> Tcp<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`].
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The source port.
    pub fn src_port(&self) -> u16 {
        u16_at(self.bytes(), SRC_PORT)
    }

    /// The destination port.
    pub fn dst_port(&self) -> u16 {
        u16_at(self.bytes(), DST_PORT)
    }

    /// The sequence number.
    pub fn seq(&self) -> SeqNum {
        SeqNum(u32_at(self.bytes(), SEQ))
    }

    /// The acknowledgement number, whether or not ACK is set.
    pub fn ack(&self) -> SeqNum {
        SeqNum(u32_at(self.bytes(), ACK))
    }

    /// Length of the header with its options, in bytes, as the header says: anything from 0 to 60.
    pub fn header_len(&self) -> usize {
        usize::from(self.bytes()[DATA_OFFSET] >> 4) * 4
    }

    /// The control bits.
    pub fn flags(&self) -> TcpFlags {
        TcpFlags(self.bytes()[FLAGS])
    }

    /// The window, unscaled.
    pub fn window(&self) -> u16 {
        u16_at(self.bytes(), WINDOW)
    }

    /// The checksum as it stands.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// The urgent pointer.
    pub fn urgent(&self) -> u16 {
        u16_at(self.bytes(), URGENT)
    }

    /// The options in order, without NOPs.
    pub fn options(&self) -> TcpOptions<'_> {
        TcpOptions { left: self.option_bytes() }
    }

    /// The options as they are: what lies between the fixed header and the payload.
    pub fn option_bytes(&self) -> &[u8] {
        clamped(self.bytes(), HEADER_LEN, self.header_len())
    }

    /// The window scale offered, at most [`MAX_WINDOW_SCALE`]. Of several options the last counts,
    /// as for the kernel.
    pub fn window_scale(&self) -> Option<u8> {
        let scales = self.options().filter(|option| option.kind == OPT_WINDOW_SCALE);
        let data = scales.filter(|option| option.data.len() == 1).last()?.data;
        data.first().map(|scale| (*scale).min(MAX_WINDOW_SCALE))
    }

    /// Whether the sender says that it understands selective acknowledgements.
    pub fn sack_permitted(&self) -> bool {
        self.options().any(|option| option.kind == OPT_SACK_PERMITTED && option.data.is_empty())
    }

    /// The maximum segment size offered; of several the first.
    pub fn mss(&self) -> Option<u16> {
        let data =
            self.options().find(|option| option.kind == OPT_MSS && option.data.len() == 2)?.data;
        Some(u16_at(data, 0))
    }

    /// The blocks acknowledged selectively, (left edge, right edge), of all SACK options whose
    /// length is a whole number of blocks.
    pub fn sack_blocks(&self) -> impl Iterator<Item = (SeqNum, SeqNum)> + '_ {
        self.options().filter(|option| option.kind == OPT_SACK).flat_map(|option| {
            let (blocks, rest) = option.data.as_chunks::<8>();
            let blocks = if rest.is_empty() { blocks } else { &[] };
            blocks.iter().map(|block| (SeqNum(u32_at(block, 0)), SeqNum(u32_at(block, 4))))
        })
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), self.header_len(), usize::MAX)
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Tcp<T> {
    /// Sets the source port.
    pub fn set_src_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), SRC_PORT, port);
    }

    /// Sets the destination port.
    pub fn set_dst_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), DST_PORT, port);
    }

    /// Sets the sequence number.
    pub fn set_seq(&mut self, seq: SeqNum) {
        put_u32(self.0.as_mut(), SEQ, seq.0);
    }

    /// Sets the acknowledgement number.
    pub fn set_ack(&mut self, ack: SeqNum) {
        put_u32(self.0.as_mut(), ACK, ack.0);
    }

    /// Sets the control bits.
    pub fn set_flags(&mut self, flags: TcpFlags) {
        self.0.as_mut()[FLAGS] = flags.0;
    }

    /// Sets the window, unscaled.
    pub fn set_window(&mut self, window: u16) {
        put_u16(self.0.as_mut(), WINDOW, window);
    }

    /// Sets the checksum.
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.0.as_mut(), CHECKSUM, checksum);
    }

    /// Corrects the checksum by what has changed.
    pub fn adjust(&mut self, delta: Delta) {
        self.set_checksum(delta.apply(self.checksum()));
    }

    /// Computes the checksum from scratch. => the view ends where the segment ends
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr) {
        self.set_checksum(0);
        self.set_checksum(checksum::transport(src, dst, proto::TCP, self.bytes()));
    }

    /// Writes options behind the fixed header, and how long it is with them. => their length is a
    /// multiple of four, at most 40, and there is room for them
    pub fn set_options(&mut self, options: &[u8]) {
        let len = HEADER_LEN + options.len();
        self.0.as_mut()[DATA_OFFSET] = ((len / 4) as u8) << 4;
        self.0.as_mut()[HEADER_LEN..len].copy_from_slice(options);
    }

    /// The options' bytes, for writing.
    pub fn options_mut(&mut self) -> &mut [u8] {
        let end = self.header_len().min(self.bytes().len());
        self.0.as_mut().get_mut(HEADER_LEN..end).unwrap_or_default()
    }
}

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];

    /// No bit set.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The bits of the header's octet 13.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits as octet 13 of the header holds them.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether no bit is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those of `other`; `|` in constants.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Display for TcpFlags {
    /// As iptables writes a set of flags: `SYN,ACK`, or `NONE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("NONE");
        }
        let set = Self::NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        for (nth, (_, name)) in set.enumerate() {
            f.write_str(if nth == 0 { "" } else { "," })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpFlags({self})")
    }
}

/// One TCP option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOption<'a> {
    /// Its kind.
    pub kind: u8,
    /// Its data, without kind and length.
    pub data: &'a [u8],
}

/// The options of a segment. Ends at the end-of-list option, at a length below 2, and at an option
/// longer than what is left.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions<'a> {
    left: &'a [u8],
}

impl<'a> TcpOptions<'a> {
    /// Parses a list of options that is already cut out of its header.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    fn parse(&mut self) -> Option<TcpOption<'a>> {
        while let [OPT_NOP, rest @ ..] = self.left {
            self.left = rest;
        }
        let [kind, len, ..] = *self.left else { return None };
        if kind == OPT_END || len < 2 {
            return None;
        }
        let (option, left) = self.left.split_at_checked(usize::from(len))?;
        self.left = left;
        Some(TcpOption { kind, data: &option[2..] })
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        let option = self.parse();
        if option.is_none() {
            self.left = &[];
        }
        option
    }
}

/// A TCP header without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: SeqNum,
    /// Acknowledgement number.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window, unscaled.
    pub window: u16,
}

impl TcpRepr {
    /// Writes the header into the first [`HEADER_LEN`] bytes of `buf`, its checksum and urgent
    /// pointer zero: the checksum is for [`Tcp::fill_checksum`] once the payload stands.
    /// => `buf.len() >= HEADER_LEN`
    pub fn emit(&self, buf: &mut [u8]) {
        put_u16(buf, SRC_PORT, self.src_port);
        put_u16(buf, DST_PORT, self.dst_port);
        put_u32(buf, SEQ, self.seq.0);
        put_u32(buf, ACK, self.ack.0);
        buf[DATA_OFFSET] = ((HEADER_LEN / 4) as u8) << 4;
        buf[FLAGS] = self.flags.0;
        put_u16(buf, WINDOW, self.window);
        put_u32(buf, CHECKSUM, 0);
    }
}

/// Length of a header without options, in bytes.
pub const HEADER_LEN: usize = 20;
/// The largest window scale in use (RFC 7323 section 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// Option kind: end of the list.
pub const OPT_END: u8 = 0;
/// Option kind: padding.
pub const OPT_NOP: u8 = 1;
/// Option kind: maximum segment size.
pub const OPT_MSS: u8 = 2;
/// Option kind: window scale.
pub const OPT_WINDOW_SCALE: u8 = 3;
/// Option kind: selective acknowledgement permitted.
pub const OPT_SACK_PERMITTED: u8 = 4;
/// Option kind: selective acknowledgement.
pub const OPT_SACK: u8 = 5;
/// Option kind: time stamps.
pub const OPT_TIMESTAMPS: u8 = 8;

const SRC_PORT: usize = 0;
const DST_PORT: usize = 2;
const SEQ: usize = 4;
const ACK: usize = 8;
const DATA_OFFSET: usize = 12;
const FLAGS: usize = 13;
const WINDOW: usize = 14;
const CHECKSUM: usize = 16;
const URGENT: usize = 18;
