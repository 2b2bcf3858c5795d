//! Messages in a datagram: `struct nlmsghdr`, and behind it `struct nfgenmsg`.
//!
//! A datagram holds messages one after the other, each padded to four bytes. A request is answered
//! by messages with its sequence number: what was asked for, then [`Control::Done`] if it was a
//! dump, or [`Control::Error`], whose code 0 says that all is well.

use alloc::vec::Vec;
use core::fmt;

use bitflags::bitflags;

use super::answer::Answer;
use super::attr::Attrs;

bitflags! {
    /// The flags of a message; some bits mean one thing in requests for data and another in requests to make
    /// something.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Flags: u16 {
        /// A request.
        const REQUEST = 0x1;
        /// One of several messages that end with [`Control::Done`].
        const MULTI = 0x2;
        /// An answer is wanted even if all is well.
        const ACK = 0x4;
        /// The event that the request causes is wanted back.
        const ECHO = 0x8;
        /// The dump may be inconsistent: something changed meanwhile.
        const DUMP_INTR = 0x10;
        /// The dump was filtered as asked.
        const DUMP_FILTERED = 0x20;
        /// Get: all.
        const DUMP = 0x300;
        /// New: replace what is there.
        const REPLACE = 0x100;
        /// New: fail if it is there.
        const EXCL = 0x200;
        /// New: make it if it isn't there.
        const CREATE = 0x400;
        /// New: at the end of the list.
        const APPEND = 0x800;
        /// In an answer: only the request's header is repeated.
        const CAPPED = 0x100;
        /// In an answer: details follow.
        const ACK_TLVS = 0x200;
        const _ = !0;
    }
}

/// Length of a message's header.
pub const HEADER_LEN: usize = 16;

/// A message's header, but for its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is: below 16 a [`Control`], else subsystem and number.
    pub kind: u16,
    /// See [`Flags`].
    pub flags: Flags,
    /// The request's number, repeated in its answers; 0 in events.
    pub seq: u32,
    /// Whose socket asked; in events, who caused it.
    pub pid: u32,
}

/// A subsystem of netfilter: the upper byte of a message's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Subsystem {
    /// Flows.
    Conntrack = 1,
    /// Expectations.
    Expect = 2,
    /// Timeout policies.
    Timeout = 8,
    /// What only Tidegate can say; no kernel has a subsystem of this number.
    Tidegate = 127,
}

impl Subsystem {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Conntrack, Self::Expect, Self::Timeout, Self::Tidegate];

    /// The one of that number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|subsystem| *subsystem as u8 == number)
    }
}

impl Header {
    /// Reads a header, and the length that it gives its message, which is one at least.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), FrameError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(FrameError::Header(0))?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let len = word(0);
        if (len as usize) < HEADER_LEN {
            return Err(FrameError::Length(0, len));
        }
        let flags = Flags::from_bits_retain(half(6));
        let header = Self { kind: half(4), flags, seq: word(8), pid: word(12) };
        Ok((header, len as usize))
    }

    /// The kind of a subsystem's message.
    #[must_use]
    pub const fn kind_of(subsystem: Subsystem, number: u8) -> u16 {
        (subsystem as u16) << 8 | number as u16
    }

    /// The subsystem's number and the message's in it; `None` for a [`Control`].
    #[must_use]
    pub fn subsystem(&self) -> Option<(u8, u8)> {
        (self.kind >= 16).then_some(((self.kind >> 8) as u8, self.kind as u8))
    }
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// What follows it, without padding.
    pub payload: &'a [u8],
}

/// A message of netlink itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Nothing.
    Noop,
    /// The request failed with this errno; 0: it succeeded.
    Error(i32),
    /// The dump is complete, or was broken off with this errno.
    Done(i32),
    /// Something was lost.
    Overrun,
}

const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;

impl<'a> Message<'a> {
    /// What the message says of the exchange itself, if it is of that kind.
    #[must_use]
    pub fn control(&self) -> Option<Control> {
        let code = || {
            self.payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code).wrapping_neg())
        };
        Some(match self.header.kind {
            NOOP => Control::Noop,
            ERROR => Control::Error(code()),
            DONE => Control::Done(code()),
            OVERRUN => Control::Overrun,
            _ => return None,
        })
    }

    /// Whose flows it is about, and the attributes.
    ///
    /// # Errors
    /// The message is too short.
    pub fn body(&self) -> Result<(Family, Attrs<'a>), FrameError> {
        let (head, rest) = self.payload.split_first_chunk().ok_or(FrameError::NoFamily)?;
        let [family, version, high, low] = *head;
        let family = Family { family, version, resource: u16::from_be_bytes([high, low]) };
        Ok((family, Attrs::new(rest)))
    }
}

/// `struct nfgenmsg`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Family {
    /// The address family's number: [`Family::ANY`], [`Family::V4`] or [`Family::V6`].
    pub family: u8,
    /// 0.
    pub version: u8,
    /// In per-CPU statistics, the CPU.
    pub resource: u16,
}

impl Family {
    /// `AF_UNSPEC`.
    pub const ANY: u8 = 0;
    /// `AF_INET`.
    pub const V4: u8 = 2;
    /// `AF_INET6`.
    pub const V6: u8 = 10;

    /// That of an address family.
    #[must_use]
    pub fn of(family: crate::Family) -> Self {
        let family = match family {
            crate::Family::V4 => Self::V4,
            crate::Family::V6 => Self::V6,
        };
        Self { family, ..Self::default() }
    }
}

/// Why a datagram is not messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A header is cut off, this far into the datagram.
    Header(usize),
    /// A message says that it has this length, this far into the datagram: less than its header, or more than there
    /// is.
    Length(usize, u32),
    /// A message doesn't say whose flows it is about.
    NoFamily,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(at) => write!(f, "byte {at}: the message's header is cut off"),
            Self::Length(at, len) => write!(f, "byte {at}: a message can't have {len} bytes"),
            Self::NoFamily => f.write_str("the message names no address family"),
        }
    }
}

impl core::error::Error for FrameError {}

impl FrameError {
    /// The same, in a datagram in which what was read begins at `start`.
    fn further(self, start: usize) -> Self {
        match self {
            Self::Header(at) => Self::Header(start + at),
            Self::Length(at, len) => Self::Length(start + at, len),
            Self::NoFamily => Self::NoFamily,
        }
    }
}

/// The messages of a datagram. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    datagram: &'a [u8],
    at: usize,
}

impl<'a> Messages<'a> {
    /// Those of a datagram.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { datagram, at: 0 }
    }

    fn read(&self) -> Result<(Message<'a>, usize), FrameError> {
        let rest = &self.datagram[self.at..];
        let (header, len) = Header::parse(rest).map_err(|error| error.further(self.at))?;
        let payload = rest.get(HEADER_LEN..len);
        let payload = payload.ok_or(FrameError::Length(self.at, len as u32))?;
        Ok((Message { header, payload }, len.next_multiple_of(4)))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.datagram.len() {
            return None;
        }
        let read = self.read();
        self.at = read.as_ref().map_or(self.datagram.len(), |(_, len)| self.at + len);
        Some(read.map(|(message, _)| message))
    }
}

/// Writes messages behind each other into a buffer.
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// Writes behind what is in `out`.
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        Self { out }
    }

    /// How much is written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// A message about a family's flows; `body` writes its attributes.
    pub fn message(&mut self, header: Header, family: Family, body: impl FnOnce(&mut Self)) {
        self.framed(header, |writer| {
            let [high, low] = family.resource.to_be_bytes();
            writer.out.extend([family.family, family.version, high, low]);
            body(writer);
        });
    }

    /// A message with this payload.
    pub fn raw(&mut self, header: Header, payload: &[u8]) {
        self.framed(header, |writer| writer.put(payload));
    }

    /// The end of a dump.
    pub fn done(&mut self, seq: u32, pid: u32) {
        self.done_with(0, seq, pid);
    }

    /// The end of a dump that was broken off with this errno; 0: it is complete.
    pub fn done_with(&mut self, errno: i32, seq: u32, pid: u32) {
        let header = Header { kind: DONE, flags: Flags::MULTI, seq, pid };
        self.framed(header, |writer| writer.out.extend(errno.wrapping_neg().to_ne_bytes()));
    }

    /// The answer to a request that succeeded (errno 0) or failed. `is_capped`: the asker doesn't want the request's
    /// payload back, as after success.
    pub fn error(&mut self, request: &Message<'_>, errno: i32, is_capped: bool) {
        self.answer(&Answer::to(*request, errno, !is_capped));
    }

    /// What netlink itself says, outside of any exchange.
    pub fn control(&mut self, control: Control) {
        let (kind, code) = match control {
            Control::Noop => (NOOP, None),
            Control::Error(errno) => (ERROR, Some(errno)),
            Control::Done(errno) => (DONE, Some(errno)),
            Control::Overrun => (OVERRUN, None),
        };
        let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
        let code = code.map(|errno| errno.wrapping_neg().to_ne_bytes());
        self.framed(header, |writer| writer.out.extend(code.into_iter().flatten()));
    }

    /// An answer to the request of this number, from this socket.
    pub(super) fn framed_error(
        &mut self,
        (seq, pid): (u32, u32),
        flags: Flags,
        body: impl FnOnce(&mut Self),
    ) {
        self.framed(Header { kind: ERROR, flags, seq, pid }, body);
    }

    fn framed(&mut self, header: Header, body: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.header(header, 0);
        body(self);
        let len = (self.out.len() - start) as u32;
        self.out[start..start + 4].copy_from_slice(&len.to_ne_bytes());
        self.pad();
    }

    pub(super) fn header(&mut self, header: Header, payload: usize) {
        let Header { kind, flags, seq, pid } = header;
        self.out.extend(((HEADER_LEN + payload) as u32).to_ne_bytes());
        self.out.extend(kind.to_ne_bytes());
        self.out.extend(flags.bits().to_ne_bytes());
        self.out.extend(seq.to_ne_bytes());
        self.out.extend(pid.to_ne_bytes());
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    pub(super) fn set(&mut self, at: usize, bytes: [u8; 2]) {
        self.out[at..at + 2].copy_from_slice(&bytes);
    }

    pub(super) fn pad(&mut self) {
        self.out.resize(self.out.len().next_multiple_of(4), 0);
    }
}
