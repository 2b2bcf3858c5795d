//! Packets as the kernel's NFLOG hands them out, which captures keep with link type 239: `tcpdump -i nflog:GROUP`.
//!
//! A frame is a header of four bytes (address family, version 0, the group in network byte order) and attributes, each
//! with its length and its type in the byte order of the machine that captured, filled up to four bytes. The numbers
//! are those of `linux/netfilter/nfnetlink_log.h`. Source: the LINKTYPE_NFLOG registry entry of tcpdump.org.

use core::ops::Range;
use std::vec::Vec;

use super::read::Order;
use crate::family::Family;
use crate::packet::ethernet;

/// A packet that a rule copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied<'a> {
    /// The family of the rules.
    pub family: Family,
    /// The rule's group.
    pub group: u16,
    /// The rule's words.
    pub prefix: &'a str,
    /// The hook, as netfilter numbers them: PREROUTING is 0, POSTROUTING 4.
    pub hook: u8,
    /// The index of the interface it came in by, from 1.
    pub in_index: Option<u32>,
    /// The index of the interface it will leave by, from 1.
    pub out_index: Option<u32>,
    /// Its mark; 0 for none.
    pub mark: u32,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
    /// The datagram, or its beginning.
    pub payload: &'a [u8],
}

impl Copied<'_> {
    /// Makes the frame, in little-endian order and with the attributes in the kernel's order.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::with_capacity(FRAME_LEN + self.payload.len());
        let [high, low] = match self.family {
            Family::V4 => ethernet::IPV4.to_be_bytes(),
            Family::V6 => ethernet::IPV6.to_be_bytes(),
        };
        frame.extend([self.family.number(), VERSION]);
        frame.extend(self.group.to_be_bytes());
        attribute(&mut frame, PACKET_HDR, &[&[high, low, self.hook, 0]]);
        if !self.prefix.is_empty() {
            attribute(&mut frame, PREFIX, &[self.prefix.as_bytes(), &[0]]);
        }
        for (kind, index) in [(INDEV, self.in_index), (OUTDEV, self.out_index)] {
            if let Some(index) = index {
                attribute(&mut frame, kind, &[&index.to_be_bytes()]);
            }
        }
        if self.mark != 0 {
            attribute(&mut frame, MARK, &[&self.mark.to_be_bytes()]);
        }
        let (seconds, micros) = (self.time_ns / 1_000_000_000, self.time_ns / 1000 % 1_000_000);
        attribute(&mut frame, TIMESTAMP, &[&seconds.to_be_bytes(), &micros.to_be_bytes()]);
        attribute(&mut frame, PAYLOAD, &[self.payload]);
        frame
    }
}

/// Where a frame's payload is, and of which family; `None` if there is none.
pub(super) fn payload(frame: &[u8]) -> Option<(Range<usize>, Family)> {
    let &[family, version, _, _, _, _, _, last] = frame.first_chunk()?;
    let family = Family::ALL.into_iter().find(|known| known.number() == family)?;
    if version != VERSION {
        return None;
    }
    // All types are below 256, so that the first one shows the order.
    let order = if last == 0 { Order::Little } else { Order::Big };
    let mut at = HEADER_LEN;
    loop {
        let head = frame.get(at..)?.first_chunk::<ATTRIBUTE_LEN>()?;
        let (len, kind) = (usize::from(order.u16_at(head, 0)), order.u16_at(head, 2));
        if len < ATTRIBUTE_LEN {
            return None;
        }
        if kind == PAYLOAD {
            // The capture may have cut the frame.
            return Some((at + ATTRIBUTE_LEN..frame.len().min(at + len), family));
        }
        at += len.next_multiple_of(4);
    }
}

/// One attribute, its value in parts. A datagram of nearly 64 KiB loses the bytes that the length can't count.
fn attribute(frame: &mut Vec<u8>, kind: u16, parts: &[&[u8]]) {
    let len = ATTRIBUTE_LEN + parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    frame.extend(len.to_le_bytes());
    frame.extend(kind.to_le_bytes());
    frame.extend(parts.iter().copied().flatten().take(usize::from(len) - ATTRIBUTE_LEN));
    frame.resize(frame.len().next_multiple_of(4), 0);
}

const VERSION: u8 = 0;
/// Room for all attributes but the payload's value.
const FRAME_LEN: usize = 160;
const HEADER_LEN: usize = 4;
const ATTRIBUTE_LEN: usize = 4;

const PACKET_HDR: u16 = 1;
const MARK: u16 = 2;
const TIMESTAMP: u16 = 3;
const INDEV: u16 = 4;
const OUTDEV: u16 = 5;
const PAYLOAD: u16 = 9;
const PREFIX: u16 = 10;

#[cfg(test)]
mod tests;
