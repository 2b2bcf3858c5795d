//! IPv4's share (RFC 791): what a fragment says, the header of the whole, the headers of the parts.

use alloc::vec::Vec;

use tidegate_wire::Headers;
use tidegate_wire::packet::Ipv4;
use tidegate_wire::packet::ipv4::HEADER_LEN;
use tidegate_wire::proto;

use super::queue::{Arrival, Queue};
use super::{Datagram, Entry, FragmentError, FragmentPlan};

/// What a fragment brings; `None` if the datagram is whole. As Linux does, one that is followed by
/// more is trimmed to a multiple of 8 bytes.
pub(super) fn arrival<'a>(bytes: &'a [u8], headers: &Headers) -> Option<Arrival<'a>> {
    let fragment = headers.fragment?;
    let ip = Ipv4::new(bytes)?;
    let (header, data) = bytes.get(..headers.len)?.split_at_checked(headers.ip_header_len)?;
    let kept = if fragment.more { data.len() & !7 } else { data.len() };
    Some(Arrival {
        id: fragment.id,
        offset: usize::from(fragment.offset),
        more: fragment.more,
        header,
        data: &data[..kept],
        dont_fragment: ip.dont_fragment(),
        ecn: ip.tos() & ECN,
    })
}

/// Puts a complete datagram together: the first fragment's header with length, flags, congestion
/// mark and checksum of the whole. DF comes back if the largest fragment had it.
pub(super) fn assemble(queue: &Queue) -> Result<Datagram, FragmentError> {
    let congestion = queue.congestion()?;
    let header_len = queue.head().len();
    if header_len + queue.len() > usize::from(u16::MAX) {
        return Err(FragmentError::TooLong);
    }
    let mut bytes = queue.head().to_vec();
    queue.pieces().for_each(|data| bytes.extend_from_slice(data));
    bytes[TOS] |= congestion;
    seal(&mut bytes, if queue.dont_fragment() { DONT_FRAGMENT } else { 0 });
    let mut plan = FragmentPlan::of(queue, header_len, u32::from(id(&bytes)));
    if bytes[PROTO] == proto::TCP && queue.place().entry == Entry::Received {
        plan.make_contiguous(header_len + EARLY_DEMUX_TCP);
    }
    Ok(Datagram { bytes, plan })
}

/// Cuts `datagram` into fragments with `sizes` bytes of data each.
pub(super) fn cut(
    datagram: &[u8],
    header_len: usize,
    sizes: &[usize],
    dont_fragment: bool,
) -> Vec<Vec<u8>> {
    let Some((first_header, mut rest)) = datagram.split_at_checked(header_len) else {
        return Vec::new();
    };
    let later_header = without_uncopied_options(first_header);
    let flags = if dont_fragment { DONT_FRAGMENT } else { 0 };
    let mut fragments = Vec::with_capacity(sizes.len());
    let mut offset = 0;
    for size in sizes {
        let (data, after) = rest.split_at(rest.len().min(*size));
        let header = if offset == 0 { first_header } else { &later_header };
        let more = if after.is_empty() { 0 } else { MORE_FRAGMENTS };
        let mut fragment = [header, data].concat();
        seal(&mut fragment, flags | more | (offset / 8) as u16);
        fragments.push(fragment);
        offset += data.len();
        rest = after;
    }
    fragments
}

/// The header of the fragments after the first: options without the "copied" flag (RFC 791 section
/// 3.1) give way to "no operation", so that it keeps its length. Broken options stay as they are.
fn without_uncopied_options(header: &[u8]) -> Vec<u8> {
    let mut header = header.to_vec();
    let mut rest = header.get_mut(HEADER_LEN..).unwrap_or_default();
    loop {
        let len = match *rest {
            [] | [END_OF_OPTIONS, ..] => break,
            [NO_OPERATION, ..] => 1,
            [_, len, ..] if len >= 2 => usize::from(len),
            [..] => break,
        };
        let Some((option, after)) = rest.split_at_mut_checked(len) else { break };
        if option[0] & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        rest = after;
    }
    header
}

/// Writes what differs between a datagram and its fragments: length, flags and offset, checksum.
fn seal(bytes: &mut [u8], fragment: u16) {
    let len = bytes.len() as u16;
    bytes[FRAGMENT..FRAGMENT + 2].copy_from_slice(&fragment.to_be_bytes());
    if let Some(mut ip) = Ipv4::new(bytes) {
        ip.set_total_len(len);
        ip.fill_checksum();
    }
}

fn id(bytes: &[u8]) -> u16 {
    Ipv4::new(bytes).map_or(0, |ip| ip.id())
}

/// Linux pulls so much of a TCP segment together before routing (`tcp_v4_early_demux`).
const EARLY_DEMUX_TCP: usize = 20;

const TOS: usize = 1;
const FRAGMENT: usize = 6;
const PROTO: usize = 9;
const ECN: u8 = 0b11;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const COPIED: u8 = 0x80;
