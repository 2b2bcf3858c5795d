//! The classic pcap format: one header, then records of sixteen bytes and a frame each.

use std::io::Read;

use super::input::Input;
use super::read::{Interface, MAX_PACKET, Order, Record, Stop};
use super::{CaptureError, Field, LinkType};

pub(super) struct Classic {
    order: Order,
    /// Nanoseconds in one unit of a time stamp's fraction.
    unit: u64,
    pub(super) interface: Interface,
}

impl Classic {
    /// Reads the file header; `None` if `magic`, the file's first bytes, is none of this format's.
    pub(super) fn open<R: Read>(
        magic: [u8; 4],
        input: &mut Input<R>,
    ) -> Result<Option<Self>, CaptureError> {
        let Some((order, unit)) = byte_order(magic) else { return Ok(None) };
        let header = input.peek(FILE_HEADER)?;
        if header.len() < FILE_HEADER {
            return Err(CaptureError::HeaderCutShort { need: FILE_HEADER, have: header.len() });
        }
        // The upper half of the link-type field holds the length of the frame check sequence.
        let link = LinkType::from_number(order.u32_at(header, 20) as u16);
        let interface = Interface::new(None, link, order.u32_at(header, 16));
        input.consume(FILE_HEADER);
        Ok(Some(Self { order, unit, interface }))
    }

    #[inline]
    pub(super) fn next<R: Read>(&self, input: &mut Input<R>) -> Result<Option<Record>, Stop> {
        let offset = input.offset();
        let header = input.peek(RECORD_HEADER)?;
        let Some(header) = header.first_chunk::<RECORD_HEADER>() else {
            return if header.is_empty() { Ok(None) } else { Err(Stop::CutShort(offset)) };
        };
        let field = |at| self.order.u32_at(header, at);
        let time = u64::from(field(0)) * 1_000_000_000 + u64::from(field(4)) * self.unit;
        let (captured, orig_len) = (field(8), field(12));
        if captured > MAX_PACKET {
            return Err(bad_length(offset, captured));
        }
        let len = captured as usize;
        if input.peek(RECORD_HEADER + len)?.len() < RECORD_HEADER + len {
            return Err(Stop::CutShort(offset));
        }
        input.consume(RECORD_HEADER + len);
        let link = self.interface.link;
        Ok(Some(Record { time, link, interface: 0, orig_len, len, trailer: 0 }))
    }
}

/// The byte order, and the nanoseconds in a unit of the fraction.
fn byte_order(magic: [u8; 4]) -> Option<(Order, u64)> {
    match magic {
        [0xa1, 0xb2, 0xc3, 0xd4] => Some((Order::Big, 1000)),
        [0xd4, 0xc3, 0xb2, 0xa1] => Some((Order::Little, 1000)),
        [0xa1, 0xb2, 0x3c, 0x4d] => Some((Order::Big, 1)),
        [0x4d, 0x3c, 0xb2, 0xa1] => Some((Order::Little, 1)),
        _ => None,
    }
}

#[cold]
fn bad_length(offset: u64, found: u32) -> Stop {
    let (found, most) = (u64::from(found), u64::from(MAX_PACKET));
    CaptureError::BadField { offset, field: Field::CapturedLength, found, least: 0, most }.into()
}

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
