//! The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks, each with its length at both
//! ends.
//!
//! Only what matters for replaying is read: section headers, interface descriptions and packets.
//! Every other block is skipped unread. Options are read as tolerantly as they come: a list without
//! its end marker, or one cut off by the block's end, gives what can be read of it.

use core::str;
use std::io::Read;
use std::vec::Vec;

use super::input::Input;
use super::read::{Interface, MAX_PACKET, Order, Record, Stop};
use super::{CaptureError, Field, LinkType};

pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Described>,
    /// Time of the frame before, in ns: what a simple packet gets.
    time: u64,
}

impl Pcapng {
    pub(super) fn starts_with(magic: [u8; 4]) -> bool {
        u32::from_be_bytes(magic) == SECTION_HEADER
    }

    /// Reads the first section header.
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self, CaptureError> {
        let have = input.peek(SECTION_HEADER_LEN)?.len();
        let cut = CaptureError::HeaderCutShort { need: SECTION_HEADER_LEN, have };
        let mut this = Self { order: Order::Little, interfaces: Vec::new(), time: 0 };
        match this.block(input) {
            Ok(_) => Ok(this),
            Err(Stop::CutShort(_)) => Err(cut),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    pub(super) fn interface(&self, number: u32) -> Option<&Interface> {
        self.interfaces.get(number as usize).map(|described| &described.interface)
    }

    #[inline]
    pub(super) fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Record>, Stop> {
        while !input.peek(1)?.is_empty() {
            if let Some(record) = self.block(input)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Consumes one block, and returns its packet if it is one.
    #[inline]
    fn block<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Record>, Stop> {
        let offset = input.offset();
        let (kind, len) = self.frame(input)?;
        let block = input.peek(len)?;
        if block.len() < len {
            return Err(Stop::CutShort(offset));
        }
        let (start, end) = (self.order.u32_at(block, 4), self.order.u32_at(block, len - 4));
        if start != end {
            return Err(CaptureError::LengthMismatch { offset, start, end }.into());
        }
        let body = Body { order: self.order, bytes: &block[8..len - 4], offset };
        let record = match kind {
            ENHANCED_PACKET => Some(self.enhanced_packet(body)?),
            SIMPLE_PACKET => Some(self.simple_packet(body)?),
            OBSOLETE_PACKET => Some(self.obsolete_packet(body)?),
            INTERFACE_DESCRIPTION => {
                self.interfaces.push(Described::parse(body)?);
                None
            }
            SECTION_HEADER => {
                self.section_header(body)?;
                None
            }
            _ => None,
        };
        input.consume(len);
        Ok(record)
    }

    /// The next block's type and length. A section header sets the byte order, its own length's
    /// included.
    #[inline]
    fn frame<R: Read>(&mut self, input: &mut Input<R>) -> Result<(u32, usize), Stop> {
        let offset = input.offset();
        let start = input.peek(BLOCK_OVERHEAD)?;
        let Some(start) = start.first_chunk::<BLOCK_OVERHEAD>() else {
            return Err(Stop::CutShort(offset));
        };
        let [.., a, b, c, d] = *start;
        let kind = self.order.u32_at(start, 0);
        if kind == SECTION_HEADER {
            self.order =
                byte_order([a, b, c, d]).ok_or_else(|| bad_byte_order(offset, [a, b, c, d]))?;
        }
        let len = self.order.u32_at(start, 4);
        if !(BLOCK_OVERHEAD as u32..=MAX_BLOCK).contains(&len) {
            return Err(bad_field(
                offset,
                Field::BlockLength,
                len,
                BLOCK_OVERHEAD as u32..=MAX_BLOCK,
            ));
        }
        if !len.is_multiple_of(4) {
            return Err(bad_field(offset, Field::BlockAlignment, len % 4, 0..=0));
        }
        Ok((kind, len as usize))
    }

    fn section_header(&mut self, body: Body<'_>) -> Result<(), Stop> {
        body.at_least(SECTION_HEADER_LEN - BLOCK_OVERHEAD)?;
        let major = body.u16_at(4);
        if major != 1 {
            return Err(bad_field(body.offset, Field::MajorVersion, u32::from(major), 1..=1));
        }
        self.interfaces.clear();
        Ok(())
    }

    #[inline]
    fn enhanced_packet(&mut self, body: Body<'_>) -> Result<Record, Stop> {
        body.at_least(PACKET_HEADER)?;
        let time = Some((body.u32_at(4), body.u32_at(8)));
        self.packet(body, body.u32_at(0), time, PACKET_HEADER)
    }

    fn obsolete_packet(&mut self, body: Body<'_>) -> Result<Record, Stop> {
        body.at_least(PACKET_HEADER)?;
        let time = Some((body.u32_at(4), body.u32_at(8)));
        self.packet(body, u32::from(body.u16_at(0)), time, PACKET_HEADER)
    }

    fn simple_packet(&mut self, body: Body<'_>) -> Result<Record, Stop> {
        body.at_least(SIMPLE_PACKET_HEADER)?;
        self.packet(body, 0, None, SIMPLE_PACKET_HEADER)
    }

    /// The packet whose bytes start at `data_at` in its block. `stamp` holds the upper and the
    /// lower half of its time; without one it is a simple packet, which doesn't say either how much
    /// of it was captured.
    #[inline]
    fn packet(
        &mut self,
        body: Body<'_>,
        interface: u32,
        stamp: Option<(u32, u32)>,
        data_at: usize,
    ) -> Result<Record, Stop> {
        let offset = body.offset;
        let Some(described) = self.interfaces.get(interface as usize) else {
            let described = self.interfaces.len();
            return Err(CaptureError::UnknownInterface { offset, interface, described }.into());
        };
        let orig_len = body.u32_at(data_at - 4);
        let captured = match stamp {
            Some(_) => body.u32_at(data_at - 8),
            None => described.captured(orig_len),
        };
        let most = (body.bytes.len() - data_at) as u32;
        if captured > most {
            return Err(bad_field(offset, Field::CapturedLength, captured, 0..=most));
        }
        if let Some((high, low)) = stamp {
            self.time = described.clock.nanoseconds(u64::from(high) << 32 | u64::from(low));
        }
        let link = described.interface.link;
        let trailer = (most - captured) as usize + 4;
        Ok(Record { time: self.time, link, interface, orig_len, len: captured as usize, trailer })
    }
}

/// An interface description block.
struct Described {
    interface: Interface,
    clock: Clock,
}

impl Described {
    fn parse(body: Body<'_>) -> Result<Self, Stop> {
        body.at_least(INTERFACE_HEADER)?;
        let link = LinkType::from_number(body.u16_at(0));
        let mut this = Self {
            interface: Interface::new(None, link, body.u32_at(4)),
            clock: Clock::MICROSECONDS,
        };
        for (code, value) in body.options(INTERFACE_HEADER) {
            this.option(code, value, body.order);
        }
        Ok(this)
    }

    fn option(&mut self, code: u16, value: &[u8], order: Order) {
        match (code, value) {
            (OPT_NAME, name) => {
                let Interface { link, snap_len, .. } = self.interface;
                self.interface = Interface::new(str::from_utf8(name).ok(), link, snap_len);
            }
            (OPT_RESOLUTION, [resolution, ..]) => self.clock.unit = Unit::parse(*resolution),
            (OPT_OFFSET, [_, _, _, _, _, _, _, _, ..]) => {
                let (first, second) = (order.u32_at(value, 0), order.u32_at(value, 4));
                let (high, low) = match order {
                    Order::Big => (first, second),
                    Order::Little => (second, first),
                };
                self.clock.offset = (u64::from(high) << 32 | u64::from(low)).cast_signed();
            }
            _ => {}
        }
    }

    /// How much of a simple packet was captured.
    fn captured(&self, orig_len: u32) -> u32 {
        match self.interface.snap_len {
            0 => orig_len,
            limit => orig_len.min(limit),
        }
    }
}

/// How an interface's time stamps become nanoseconds since 1970.
struct Clock {
    unit: Unit,
    /// Seconds to add.
    offset: i64,
}

impl Clock {
    const MICROSECONDS: Self = Self { unit: Unit::Times(1000), offset: 0 };

    /// Saturates at both ends of what 64 bits of nanoseconds can say.
    #[inline]
    fn nanoseconds(&self, stamp: u64) -> u64 {
        let since = self.unit.nanoseconds(stamp);
        if self.offset == 0 {
            return since;
        }
        let time = i128::from(since) + i128::from(self.offset) * i128::from(NANOSECONDS);
        u64::try_from(time.max(0)).unwrap_or(u64::MAX)
    }
}

/// The unit of a time stamp.
enum Unit {
    /// So many nanoseconds.
    Times(u64),
    /// One nanosecond through so many.
    Part(u64),
    /// A second through two to this power.
    Binary(u8),
    /// Too small for 64 bits of them to be a nanosecond.
    Nothing,
}

impl Unit {
    /// Option if_tsresol: a negative power of 10, or of 2 with the highest bit set.
    fn parse(resolution: u8) -> Self {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return Self::Binary(resolution & 0x7f);
        }
        match power.checked_sub(9) {
            None => Self::Times(10u64.pow(9 - power)),
            Some(finer) => 10u64.checked_pow(finer).map_or(Self::Nothing, Self::Part),
        }
    }

    #[inline]
    fn nanoseconds(&self, stamp: u64) -> u64 {
        match *self {
            Self::Times(unit) => stamp.saturating_mul(unit),
            Self::Part(part) => stamp / part,
            Self::Binary(power) => {
                let scaled = (u128::from(stamp) * u128::from(NANOSECONDS)) >> power;
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
            Self::Nothing => 0,
        }
    }
}

/// A block without its type and lengths.
#[derive(Clone, Copy)]
struct Body<'a> {
    order: Order,
    bytes: &'a [u8],
    /// Where the block starts in the file.
    offset: u64,
}

impl<'a> Body<'a> {
    #[inline]
    fn at_least(&self, len: usize) -> Result<(), Stop> {
        if self.bytes.len() >= len {
            return Ok(());
        }
        let (found, least) = (self.bytes.len() + BLOCK_OVERHEAD, len + BLOCK_OVERHEAD);
        Err(bad_field(self.offset, Field::BlockLength, found as u32, least as u32..=MAX_BLOCK))
    }

    #[inline]
    fn u16_at(&self, at: usize) -> u16 {
        self.order.u16_at(self.bytes, at)
    }

    #[inline]
    fn u32_at(&self, at: usize) -> u32 {
        self.order.u32_at(self.bytes, at)
    }

    fn options(&self, at: usize) -> Options<'a> {
        Options { order: self.order, left: self.bytes.get(at..).unwrap_or_default() }
    }
}

/// The options of a block: code and value.
struct Options<'a> {
    order: Order,
    left: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (header, rest) = self.left.split_at_checked(4)?;
        let (code, len) = (self.order.u16_at(header, 0), usize::from(self.order.u16_at(header, 2)));
        let value = rest.get(..len)?;
        self.left = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        (code != OPT_END).then_some((code, value))
    }
}

fn byte_order(magic: [u8; 4]) -> Option<Order> {
    match u32::from_be_bytes(magic) {
        BYTE_ORDER_MAGIC => Some(Order::Big),
        swapped if swapped == BYTE_ORDER_MAGIC.swap_bytes() => Some(Order::Little),
        _ => None,
    }
}

fn bad_byte_order(offset: u64, magic: [u8; 4]) -> Stop {
    CaptureError::BadByteOrder { offset, magic }.into()
}

#[cold]
fn bad_field(offset: u64, field: Field, found: u32, range: core::ops::RangeInclusive<u32>) -> Stop {
    let (least, most) = (u64::from(*range.start()), u64::from(*range.end()));
    CaptureError::BadField { offset, field, found: u64::from(found), least, most }.into()
}

pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const ENHANCED_PACKET: u32 = 6;
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
pub(super) const OPT_END: u16 = 0;
pub(super) const OPT_NAME: u16 = 2;
pub(super) const OPT_RESOLUTION: u16 = 9;

const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const OPT_OFFSET: u16 = 14;

/// Type and both lengths: the bytes of the smallest block.
const BLOCK_OVERHEAD: usize = 12;
const SECTION_HEADER_LEN: usize = 28;
const INTERFACE_HEADER: usize = 8;
const PACKET_HEADER: usize = 20;
const SIMPLE_PACKET_HEADER: usize = 4;
const MAX_BLOCK: u32 = MAX_PACKET + 64 * 1024;
const NANOSECONDS: u64 = 1_000_000_000;
