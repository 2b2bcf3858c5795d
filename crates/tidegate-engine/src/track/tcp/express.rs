//! The usual segment, judged on the table's own words.
//!
//! [`usual`] knows what nearly every segment is: an acknowledgement, with data or without, of an
//! established connection, within both windows and without selective acknowledgements. For that
//! [`Usual::apply`] changes what `judge` would change, to the bit; for whatever else `judge` is asked.
//! The property test below holds the two against each other. Only the arithmetic of
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

/// A usual segment that fits; what it changes is still to be changed.
pub(crate) struct Usual {
    header: Header,
    dir: Direction,
}

/// Whether this is a usual segment of an established connection. `None`: ask `judge`.
#[inline(always)]
pub(crate) fn usual(cells: &Cells, segment: &Plain<'_>) -> Option<Usual> {
    const ESTABLISHED: u8 = TcpState::Established as u8;
    if cells.state & 0x0f != ESTABLISHED {
        return None;
    }
    let [one, other, ..] = cells.words.as_chunks().0 else { return None };
    let [flags_one, flags_other, ..] = cells.words[11].to_le_bytes();
    let (sender, receiver, receiver_flags) = match segment.dir {
        Direction::Original => (one, other, flags_other),
        Direction::Reply => (other, one, flags_one),
    };
    let header = read(segment, receiver_flags & SACK_PERM != 0)?;
    fits(sender, receiver, &header).then_some(Usual { header, dir: segment.dir })
}

impl Usual {
    /// Changes what the segment changes; for how long it renews the flow.
    #[inline(always)]
    pub(crate) fn apply(self, cells: &mut Cells, limits: &Limits) -> Timeout {
        let Self { header, dir } = self;
        let [flags_one, flags_other, last_flags, last_scale] = cells.words[11].to_le_bytes();
        let [.., scales] = cells.words[10].to_le_bytes();
        let [one, other, ..] = cells.words.as_chunks_mut().0 else { return Timeout(0) };
        let (one, other) = ((one, flags_one), (other, flags_other));
        let [one, other] = match dir {
            Direction::Original => learn(one, other, &header, scales & 15),
            Direction::Reply => {
                let [other, one] = learn(other, one, &header, scales >> 4);
                [one, other]
            }
        };
        cells.words[11] = u32::from_le_bytes([one, other, last_flags, last_scale]);
        let retrans = count_repeats(cells, dir, &header);
        let unacknowledged = (one | other) & UNACKNOWLEDGED != 0;
        timeout(limits, retrans, unacknowledged, header.window)
    }
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

/// Moves the edges along; the flags of both sides afterwards.
#[inline(always)]
fn learn(
    (sender, mut sender_flags): (&mut [u32; 4], u8),
    (receiver, mut receiver_flags): (&mut [u32; 4], u8),
    header: &Header,
    scale: u8,
) -> [u8; 2] {
    let [sender_end, max_end, sender_window, max_ack] = *sender;
    let [receiver_end, receiver_max_end, mut receiver_window, _] = *receiver;
    let window = u32::from(header.window) << scale;
    sender[2] = sender_window.max(window);
    if after(header.end, sender_end) {
        sender[0] = header.end;
        sender_flags |= UNACKNOWLEDGED;
    }
    if sender_flags & MAXACK_SET == 0 || after(header.ack, max_ack) {
        sender[3] = header.ack;
        sender_flags |= MAXACK_SET;
    }
    if receiver_window != 0 && after(header.end, max_end) {
        receiver_window = receiver_window.wrapping_add(header.end.wrapping_sub(max_end));
        receiver[2] = receiver_window;
    }
    let allowed = header.ack.wrapping_add(window);
    if !after(receiver_max_end, allowed) {
        receiver[1] = allowed.wrapping_add(u32::from(window == 0));
    }
    if header.ack == receiver_end {
        receiver_flags &= !UNACKNOWLEDGED;
    }
    [sender_flags, receiver_flags]
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
