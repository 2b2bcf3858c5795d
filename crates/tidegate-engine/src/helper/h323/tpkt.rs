//! Messages in a TCP stream (RFC 1006): each has a header of four octets with its length.
//!
//! A segment may hold several whole messages, or nothing but the header of one whose octets come in
//! the next segment. Any other that is cut is not read. Linux: `get_tpkt_data`.

use core::ops::Range;

use super::Call;
use crate::helper::{Hearing, Memory};

const VERSION: &[u8] = &[3, 0];
const HEADER_LEN: usize = 4;

/// The segment's first message, in its payload.
pub(super) fn first(hearing: &mut Hearing<'_, '_>) -> Option<Range<usize>> {
    let dir = hearing.dir.index();
    let mut call = Call::of(&hearing.care);
    let awaited = core::mem::take(&mut call.awaited[dir]);
    let (first, separate) = begin(hearing.message.data(), awaited);
    call.awaited[dir] = separate;
    hearing.care.memory = Memory::H323(call);
    first
}

/// The first message, and how long it is if it comes separately; `awaited` is what was told so.
pub(super) fn begin(data: &[u8], awaited: u16) -> (Option<Range<usize>>, u16) {
    let len = data.len();
    if len < HEADER_LEN || !data.starts_with(VERSION) {
        let awaited = usize::from(awaited);
        return ((1..=len).contains(&awaited).then_some(0..awaited), 0);
    }
    let total = total_len(data);
    if total > len && len == HEADER_LEN {
        return (None, (total - HEADER_LEN) as u16);
    }
    ((HEADER_LEN..=len).contains(&total).then_some(HEADER_LEN..total), 0)
}

/// The message behind the one that ends at `at`. A header alone at the end of a segment is lost.
pub(super) fn next(hearing: &mut Hearing<'_, '_>, at: usize) -> Option<Range<usize>> {
    let rest = hearing.message.data().get(at..)?;
    if rest.len() <= HEADER_LEN || !rest.starts_with(VERSION) {
        return None;
    }
    let total = total_len(rest);
    (HEADER_LEN..=rest.len()).contains(&total).then_some(at + HEADER_LEN..at + total)
}

fn total_len(data: &[u8]) -> usize {
    u16::from_be_bytes([data[2], data[3]]).into()
}
