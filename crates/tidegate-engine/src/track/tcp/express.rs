//! The usual segment, judged on the table's own words.
//!
//! [`go_on`] is `judge` for what nearly every segment is: an acknowledgement, with data or without,
//! of an established connection, within both windows and without selective acknowledgements. It
//! changes what `judge` would change, to the bit, and gives up before it has changed anything at
//! whatever else: the property test below holds the two against each other. Only the arithmetic of
//! `window` is repeated here, on twelve words instead of two [`Peer`](super::Peer)s.

use super::state::PeerFlags;
use super::{SegmentKind, TcpState};
use crate::limits::{Limits, Timeout};
use crate::track::{Cells, Plain};
use crate::tuple::Direction;

/// How old an acknowledgement may be; see `window`.
const MAX_ACK_WINDOW: u32 = 66_000;

const SACK_PERM: u8 = PeerFlags::SACK_PERM.bits();
const UNACKNOWLEDGED: u8 = PeerFlags::DATA_UNACKNOWLEDGED.bits();
const MAXACK_SET: u8 = PeerFlags::MAXACK_SET.bits();

/// What the header says.
struct Header {
    seq: u32,
    ack: u32,
    end: u32,
    window: u16,
}

/// What a segment in the middle of an established connection changes, and for how long it renews the
/// flow. `None`: ask `judge`.
#[inline(always)]
pub(crate) fn go_on(cells: &Cells, segment: &Plain<'_>) -> Option<(Cells, Timeout)> {
    const ESTABLISHED: u8 = TcpState::Established as u8;
    let mut cells = *cells;
    let [.., flags_word] = cells.words;
    let [flags_one, flags_other, ..] = flags_word.to_le_bytes();
    if cells.state & 0x0f != ESTABLISHED {
        return None;
    }
    let (mut sender_flags, mut receiver_flags) = match segment.dir {
        Direction::Original => (flags_one, flags_other),
        Direction::Reply => (flags_other, flags_one),
    };
    let header = read(segment, receiver_flags & SACK_PERM != 0)?;
    let [.., scales] = cells.words[10].to_le_bytes();
    let [one, other, ..] = cells.words.as_chunks_mut().0 else { return None };
    let (sender, receiver, scale) = match segment.dir {
        Direction::Original => (one, other, scales & 15),
        Direction::Reply => (other, one, scales >> 4),
    };
    if !fits(sender, receiver, &header) {
        return None;
    }
    learn((sender, &mut sender_flags), (receiver, &mut receiver_flags), &header, scale);
    let retrans = count_repeats(&mut cells, segment.dir, &header);
    let [.., last_flags, last_scale] = flags_word.to_le_bytes();
    let [one, other] = match segment.dir {
        Direction::Original => [sender_flags, receiver_flags],
        Direction::Reply => [receiver_flags, sender_flags],
    };
    cells.words[11] = u32::from_le_bytes([one, other, last_flags, last_scale]);
    let unacknowledged = (one | other) & UNACKNOWLEDGED != 0;
    Some((cells, timeout(segment.limits, retrans, unacknowledged, header.window)))
}

/// Reads a whole header with ACK and none of SYN, FIN and RST, and a right checksum; options only if
/// there can be none that count.
#[inline(always)]
fn read(segment: &Plain<'_>, sacks: bool) -> Option<Header> {
    const FIN_SYN_RST_ACK: u8 = 0x17;
    const ACK: u8 = 0x10;
    let payload = segment.payload;
    let header: &[u8; 20] = payload.first_chunk()?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let header_len = usize::from(header[12] >> 4) * 4;
    let has_room = header_len >= 20 && header_len <= payload.len();
    let is_plain_ack = header[13] & FIN_SYN_RST_ACK == ACK;
    if !has_room || !is_plain_ack || sacks && header_len > 20 {
        return None;
    }
    if segment.has_bad_checksum() {
        return None;
    }
    let (seq, ack) = (word(4), word(8));
    let end = seq.wrapping_add((payload.len() - header_len) as u32);
    Some(Header { seq, ack, end, window: u16::from_be_bytes([header[14], header[15]]) })
}

/// Whether `a` comes after `b`.
#[inline(always)]
fn after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() < 0
}

/// The four bounds of `window`, for a side that has begun.
#[inline(always)]
fn fits(sender: &[u32; 4], receiver: &[u32; 4], header: &Header) -> bool {
    let [sender_end, sender_max_end, sender_window, _] = *sender;
    let [receiver_end, _, receiver_window, _] = *receiver;
    let oldest_end = sender_end.wrapping_sub(receiver_window).wrapping_sub(1);
    let oldest_ack = receiver_end.wrapping_sub(sender_window.max(MAX_ACK_WINDOW)).wrapping_sub(1);
    sender_window != 0
        && !after(header.seq, sender_max_end)
        && !after(header.ack, receiver_end)
        && (receiver_window == 0 || after(header.end, oldest_end))
        && after(header.ack, oldest_ack)
}

/// Moves the edges along.
#[inline(always)]
fn learn(
    (sender, sender_flags): (&mut [u32; 4], &mut u8),
    (receiver, receiver_flags): (&mut [u32; 4], &mut u8),
    header: &Header,
    scale: u8,
) {
    let window = u32::from(header.window) << scale;
    let max_end = sender[1];
    sender[2] = sender[2].max(window);
    if after(header.end, sender[0]) {
        sender[0] = header.end;
        *sender_flags |= UNACKNOWLEDGED;
    }
    if *sender_flags & MAXACK_SET == 0 || after(header.ack, sender[3]) {
        sender[3] = header.ack;
        *sender_flags |= MAXACK_SET;
    }
    if receiver[2] != 0 && after(header.end, max_end) {
        receiver[2] = receiver[2].wrapping_add(header.end.wrapping_sub(max_end));
    }
    let allowed = header.ack.wrapping_add(window);
    if !after(receiver[1], allowed) {
        receiver[1] = if window == 0 { allowed.wrapping_add(1) } else { allowed };
    }
    if header.ack == receiver[0] {
        *receiver_flags &= !UNACKNOWLEDGED;
    }
}

/// Counts repetitions of the very same ACK, and remembers this one; how many there were.
#[inline(always)]
fn count_repeats(cells: &mut Cells, dir: Direction, header: &Header) -> u8 {
    const KIND: u8 = (SegmentKind::Ack as u8 + 1) << 4;
    let [len_low, len_high, retrans, scales] = cells.words[10].to_le_bytes();
    let len = header.end.wrapping_sub(header.seq).min(0xffff) as u16;
    let is_same = cells.state >> 7 == dir as u8
        && cells.words[8] == header.seq
        && cells.words[9] == header.ack
        && u16::from_le_bytes([len_low, len_high]) == len
        && cells.window == header.window;
    let retrans = if is_same { retrans.wrapping_add(1) } else { 0 };
    let [len_low, len_high] = len.to_le_bytes();
    cells.state = TcpState::Established as u8 | KIND | (dir as u8) << 7;
    cells.window = header.window;
    cells.words[8] = header.seq;
    cells.words[9] = header.ack;
    cells.words[10] = u32::from_le_bytes([len_low, len_high, retrans, scales]);
    retrans
}

/// See `Tcp::timeout`.
#[inline(always)]
fn timeout(limits: &Limits, retrans: u8, unacknowledged: bool, window: u16) -> Timeout {
    let timeouts = &limits.timeouts.tcp;
    let own = timeouts.established;
    if retrans >= limits.tcp.max_retrans && own > timeouts.max_retrans {
        timeouts.max_retrans
    } else if unacknowledged && own > timeouts.unacknowledged {
        timeouts.unacknowledged
    } else if window == 0 && own > timeouts.max_retrans {
        timeouts.max_retrans
    } else {
        own
    }
}

#[cfg(test)]
mod tests;
