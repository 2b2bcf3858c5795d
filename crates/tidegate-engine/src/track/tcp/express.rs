//! The usual segment, taken on the table's own words.
//!
//! [`Usual`] knows what nearly every segment is: an acknowledgement, with data or without, of an
//! established connection, within both windows and without selective acknowledgements. Of that it
//! changes what `judge` would change, to the bit; for whatever else `judge` is asked.
//! The property test below holds the two against each other. Only the arithmetic of
//! `window` is repeated here, on the cells' words and bytes instead of two [`Peer`](super::Peer)s: four words
//! and the flags of each side, and what is kept of the segment before.

use super::state::PeerFlags;
use super::{SegmentKind, TcpState};
use crate::limits::{Limits, Timeout};
use crate::rules::ExpressProto;
use crate::track::{Cells, Express, Plain};
use crate::tuple::Direction;

/// How old an acknowledgement may be; see `window`.
const MAX_ACK_WINDOW: u32 = 66_000;

const ESTABLISHED: u8 = TcpState::Established as u8;

/// A side's flags.
const SACK_PERM: u8 = PeerFlags::SACK_PERM.bits();
const UNACKNOWLEDGED: u8 = PeerFlags::DATA_UNACKNOWLEDGED.bits();
const MAXACK_SET: u8 = PeerFlags::MAXACK_SET.bits();

/// Usual segments that fit.
pub(crate) enum Usual {}

/// What the header says.
struct Header {
    seq: u32,
    ack: u32,
    end: u32,
    window: u16,
    has_options: bool,
}

/// What a side's words say.
#[derive(Clone, Copy)]
struct Side {
    end: u32,
    max_end: u32,
    window: u32,
    max_ack: u32,
}

/// What is to be changed.
struct News {
    sender: Side,
    receiver: Side,
    /// Flags that are set, of the sender's.
    raised: u8,
    /// Flags that are cleared, of the receiver's.
    lowered: u8,
}

impl Express for Usual {
    const PROTO: ExpressProto = ExpressProto::Tcp;
    const HEADER: usize = 20;

    /// Has ACK and none of SYN, FIN and RST.
    #[inline(always)]
    fn may_take(upper: &[u8]) -> bool {
        const FIN_SYN_RST_ACK: u8 = 0x17;
        const ACK: u8 = 0x10;
        upper.get(13).is_some_and(|flags| flags & FIN_SYN_RST_ACK == ACK)
    }

    #[inline(always)]
    fn is_up(cells: &Cells) -> bool {
        cells.state & 0x0f == ESTABLISHED
    }

    #[inline(always)]
    fn take(cells: &mut Cells, segment: &Plain<'_>) -> Option<Timeout> {
        take(cells, segment.payload, segment.dir, segment.limits)
    }
}

/// Sides are found by place and changed without branches: whose turn it is, and whether there is
/// anything new, nobody can guess. Never inlined, as it needs all registers there are.
#[inline(never)]
fn take(cells: &mut Cells, payload: &[u8], dir: Direction, limits: &Limits) -> Option<Timeout> {
    const KIND: u8 = (SegmentKind::Ack as u8 + 1) << 4;
    let (sides, last) = cells.words.as_chunks_mut();
    let [len_low, len_high, retrans, scales, flags @ ..] = &mut cells.bytes;
    let (own, others) = (dir.index(), dir.opposite().index());
    let (sender, receiver) = (Side::of(sides[own]), Side::of(sides[others]));
    let header = read(payload)?;
    let sacks = flags[others] & SACK_PERM != 0;
    if sacks && header.has_options || !fits(&sender, &receiver, &header) {
        return None;
    }

    // Nothing has changed so far.
    let window = u32::from(header.window) << (*scales >> (4 * own) & 15);
    let news = learn(&sender, &receiver, &header, window, flags[own]);
    [sides[own][0], _, sides[own][2], sides[own][3]] = news.sender.words();
    [_, sides[others][1], sides[others][2], _] = news.receiver.words();
    flags[own] |= news.raised;
    flags[others] &= !news.lowered;
    let is_again = last == [header.seq, header.ack]
        && [*len_low, *len_high] == header.len()
        && (cells.state >> 7, cells.window) == (dir as u8, header.window);
    *retrans = if is_again { retrans.wrapping_add(1) } else { 0 };
    last.copy_from_slice(&[header.seq, header.ack]);
    [*len_low, *len_high] = header.len();
    cells.state = ESTABLISHED | KIND | (dir as u8) << 7;
    cells.window = header.window;
    let unacknowledged = (flags[own] | flags[others]) & UNACKNOWLEDGED != 0;
    Some(timeout(limits, *retrans, unacknowledged, header.window))
}

impl Side {
    #[inline(always)]
    fn of([end, max_end, window, max_ack]: [u32; 4]) -> Self {
        Self { end, max_end, window, max_ack }
    }

    #[inline(always)]
    fn words(self) -> [u32; 4] {
        [self.end, self.max_end, self.window, self.max_ack]
    }
}

impl Header {
    /// How many numbers the segment takes, as far as that is kept.
    #[inline(always)]
    fn len(&self) -> [u8; 2] {
        (self.end.wrapping_sub(self.seq).min(0xffff) as u16).to_le_bytes()
    }
}

/// Reads a whole header.
#[inline(always)]
fn read(payload: &[u8]) -> Option<Header> {
    let header: &[u8; 20] = payload.first_chunk()?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let header_len = usize::from(header[12] >> 4) * 4;
    let has_room = header_len >= 20 && header_len <= payload.len();
    if !has_room {
        return None;
    }
    let (seq, ack) = (word(4), word(8));
    let end = seq.wrapping_add((payload.len() - header_len) as u32);
    let window = u16::from_be_bytes([header[14], header[15]]);
    Some(Header { seq, ack, end, window, has_options: header_len > 20 })
}

/// Whether `a` comes after `b`.
#[inline(always)]
fn after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() < 0
}

/// The four bounds of `window`, for sides that have begun.
#[inline(always)]
fn fits(sender: &Side, receiver: &Side, header: &Header) -> bool {
    let oldest_ack = sender.window.max(MAX_ACK_WINDOW);
    // What is left to each bound; beyond one it is negative.
    let left = sender.max_end.wrapping_sub(header.seq)
        | receiver.end.wrapping_sub(header.ack)
        | header.end.wrapping_sub(sender.end).wrapping_add(receiver.window)
        | header.ack.wrapping_sub(receiver.end).wrapping_add(oldest_ack);
    sender.window != 0 && receiver.window != 0 && left.cast_signed() >= 0
}

/// Moves the edges along. `flags` are the sender's.
#[inline(always)]
fn learn(sender: &Side, receiver: &Side, header: &Header, window: u32, flags: u8) -> News {
    let is_new = after(header.end, sender.end);
    let is_late = flags & MAXACK_SET != 0 && !after(header.ack, sender.max_ack);
    let beyond = header.end.wrapping_sub(sender.max_end).cast_signed().max(0).cast_unsigned();
    let allowed = header.ack.wrapping_add(window);
    let is_less = after(receiver.max_end, allowed);
    News {
        sender: Side {
            end: if is_new { header.end } else { sender.end },
            window: sender.window.max(window),
            max_ack: if is_late { sender.max_ack } else { header.ack },
            ..*sender
        },
        receiver: Side {
            max_end: if is_less {
                receiver.max_end
            } else {
                allowed.wrapping_add(u32::from(window == 0))
            },
            window: receiver.window.wrapping_add(beyond),
            ..*receiver
        },
        raised: MAXACK_SET | if is_new { UNACKNOWLEDGED } else { 0 },
        lowered: if header.ack == receiver.end { UNACKNOWLEDGED } else { 0 },
    }
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
