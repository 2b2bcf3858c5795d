//! The usual segment, taken on the table's own words.
//!
//! [`Usual`] knows what nearly every segment is: an acknowledgement, with data or without, of an
//! established connection, within both windows and without selective acknowledgements. Of that it
//! changes what `judge` would change, to the bit; for whatever else `judge` is asked.
//! The property test below holds the two against each other. Only the arithmetic of
//! `window` is repeated here, on twelve words instead of two [`Peer`](super::Peer)s: four of each side,
//! and four of the segment before, with the flags of both.

use super::state::PeerFlags;
use super::{SegmentKind, TcpState};
use crate::limits::{Limits, Timeout};
use crate::rules::ExpressProto;
use crate::track::{Cells, Express, Plain};
use crate::tuple::Direction;

/// How old an acknowledgement may be; see `window`.
const MAX_ACK_WINDOW: u32 = 66_000;

/// A side's flags, shifted by [`shift`] in the word of both.
const SACK_PERM: u32 = PeerFlags::SACK_PERM.bits() as u32;
const UNACKNOWLEDGED: u32 = PeerFlags::DATA_UNACKNOWLEDGED.bits() as u32;
const MAXACK_SET: u32 = PeerFlags::MAXACK_SET.bits() as u32;

/// Usual segments that fit.
pub(crate) enum Usual {}

/// What the header says.
struct Header {
    seq: u32,
    ack: u32,
    end: u32,
    window: u16,
}

impl Express for Usual {
    const PROTO: ExpressProto = ExpressProto::Tcp;

    #[inline(always)]
    fn take(cells: &mut Cells, segment: &Plain<'_>) -> Option<Timeout> {
        const ESTABLISHED: u8 = TcpState::Established as u8;
        const KIND: u8 = (SegmentKind::Ack as u8 + 1) << 4;
        let Plain { dir, limits, .. } = *segment;
        if cells.state & 0x0f != ESTABLISHED {
            return None;
        }
        let [one, other, last] = cells.words.as_chunks_mut().0 else { return None };
        let (sender, receiver) = match dir {
            Direction::Original => (one, other),
            Direction::Reply => (other, one),
        };
        let sacks = last[3] >> shift(dir.opposite()) & SACK_PERM != 0;
        let header = read(segment, sacks)?;
        if !fits(sender, receiver, &header) {
            return None;
        }

        // Nothing has changed so far.
        let scale = last[2] >> (24 + 4 * dir as u32) & 15;
        let window = u32::from(header.window) << scale;
        let flags = learn(sender, receiver, &header, window, (last[3], dir));
        last[3] = flags;
        let before = (dir as u8 == cells.state >> 7).then_some(cells.window);
        let retrans = count_repeats(last, &header, before);
        cells.state = ESTABLISHED | KIND | (dir as u8) << 7;
        cells.window = header.window;
        let unacknowledged = flags & (UNACKNOWLEDGED | UNACKNOWLEDGED << 8) != 0;
        Some(timeout(limits, retrans, unacknowledged, header.window))
    }
}

/// Where the flags of a direction's sender are.
#[inline(always)]
fn shift(dir: Direction) -> u32 {
    8 * dir as u32
}

/// Reads a whole header with ACK and none of SYN, FIN and RST; options only if
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

/// Moves the edges along; the flags of both sides afterwards.
#[inline(always)]
fn learn(
    sender: &mut [u32; 4],
    receiver: &mut [u32; 4],
    header: &Header,
    window: u32,
    (mut flags, dir): (u32, Direction),
) -> u32 {
    let (own, others) = (shift(dir), shift(dir.opposite()));
    let max_end = sender[1];
    sender[2] = sender[2].max(window);
    if after(header.end, sender[0]) {
        sender[0] = header.end;
        flags |= UNACKNOWLEDGED << own;
    }
    if flags & MAXACK_SET << own == 0 || after(header.ack, sender[3]) {
        sender[3] = header.ack;
        flags |= MAXACK_SET << own;
    }
    if receiver[2] != 0 && after(header.end, max_end) {
        receiver[2] = receiver[2].wrapping_add(header.end.wrapping_sub(max_end));
    }
    let allowed = header.ack.wrapping_add(window);
    if !after(receiver[1], allowed) {
        receiver[1] = allowed.wrapping_add(u32::from(window == 0));
    }
    if header.ack == receiver[0] {
        flags &= !(UNACKNOWLEDGED << others);
    }
    flags
}

/// Counts repetitions of the very same ACK, and remembers this one; how many there were. `before` is
/// the window of the last segment, if that had the same direction.
#[inline(always)]
fn count_repeats(last: &mut [u32; 4], header: &Header, before: Option<u16>) -> u8 {
    const SCALES: u32 = 0xff00_0000;
    let [seq, ack, rest, _] = *last;
    let len = header.end.wrapping_sub(header.seq).min(0xffff);
    let is_same = before == Some(header.window)
        && (seq, ack) == (header.seq, header.ack)
        && rest & 0xffff == len;
    let retrans = if is_same { ((rest >> 16) as u8).wrapping_add(1) } else { 0 };
    (last[0], last[1]) = (header.seq, header.ack);
    last[2] = rest & SCALES | u32::from(retrans) << 16 | len;
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
