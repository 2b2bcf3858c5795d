//! The arithmetic of `window`, on the table's own words.
//!
//! What `window` does to two [`Peer`](super::Peer)s is done here to a connection's [`Cells`]: four words
//! and the flags of each side, and what is kept of the segment before. It is for segments that are all that they
//! usually are, of sides that have begun; for whatever else `judge` is asked. [`Usual`](super::Usual) takes
//! segments that change no state this way, `step` those that do, and both are held against `judge` by
//! property tests.

use super::segment::SegmentKind;
use super::state::PeerFlags;
use crate::limits::{Limits, Timeout};
use crate::track::Cells;
use crate::tuple::Direction;

/// How old an acknowledgement may be; see `window`.
const MAX_ACK_WINDOW: u32 = 66_000;

/// Options that are a timestamp and nothing else, aligned as nearly everybody does (RFC 7323, appendix A).
const TIMESTAMP_ONLY: [u8; 4] = [1, 1, 8, 10];

/// A side's flags.
const SACK_PERM: u8 = PeerFlags::SACK_PERM.bits();
const UNACKNOWLEDGED: u8 = PeerFlags::DATA_UNACKNOWLEDGED.bits();
const MAXACK_SET: u8 = PeerFlags::MAXACK_SET.bits();

/// What the header says.
pub(super) struct Header {
    pub(super) seq: u32,
    pub(super) ack: u32,
    /// The number after the last octet of data. A SYN or FIN, which has one too, is for the caller to count.
    pub(super) end: u32,
    pub(super) window: u16,
    /// In bytes.
    pub(super) len: usize,
}

/// What a side's words say.
#[derive(Clone, Copy)]
pub(super) struct Side {
    pub(super) end: u32,
    pub(super) max_end: u32,
    pub(super) window: u32,
    pub(super) max_ack: u32,
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

impl Side {
    #[inline(always)]
    pub(super) fn of([end, max_end, window, max_ack]: [u32; 4]) -> Self {
        Self { end, max_end, window, max_ack }
    }

    #[inline(always)]
    pub(super) fn words(self) -> [u32; 4] {
        [self.end, self.max_end, self.window, self.max_ack]
    }
}

impl Header {
    /// Reads a whole header.
    #[inline(always)]
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        let header: &[u8; 20] = payload.first_chunk()?;
        let word = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let len = usize::from(header[12] >> 4) * 4;
        let has_room = len >= 20 && len <= payload.len();
        if !has_room {
            return None;
        }
        let (seq, ack) = (word(4), word(8));
        let end = seq.wrapping_add((payload.len() - len) as u32);
        let window = u16::from_be_bytes([header[14], header[15]]);
        Some(Self { seq, ack, end, window, len })
    }

    /// What lies between it and the data.
    #[inline(always)]
    pub(super) fn options<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        payload.get(20..self.len).unwrap_or_default()
    }

    /// How many numbers the segment takes, as far as that is kept.
    #[inline(always)]
    fn taken(&self) -> [u8; 2] {
        (self.end.wrapping_sub(self.seq).min(0xffff) as u16).to_le_bytes()
    }

    /// Whether it may acknowledge selectively: it has options, and not only a timestamp.
    #[inline(always)]
    fn may_sack(&self, payload: &[u8]) -> bool {
        self.len > 20 && !(self.len == 32 && payload.get(20..24) == Some(&TIMESTAMP_ONLY[..]))
    }
}

/// Moves both sides along with a segment of a side that has begun. `None`: nothing has changed, for it does not fit,
/// or it may acknowledge selectively.
#[inline(always)]
pub(super) fn slide(
    cells: &mut Cells,
    dir: Direction,
    header: &Header,
    payload: &[u8],
) -> Option<()> {
    let (sides, _) = cells.words.as_chunks();
    let [_, _, _, scales, flags @ ..] = cells.bytes;
    let (own, others) = (dir.index(), dir.opposite().index());
    let sacks = flags[others] & SACK_PERM != 0;
    if sacks && header.may_sack(payload)
        || !fits(Side::of(sides[own]), Side::of(sides[others]), header)
    {
        return None;
    }
    let window = u32::from(header.window) << (scales >> (4 * own) & 15);
    learn(cells, dir, header, window);
    Some(())
}

/// Counts how often an acknowledgement is repeated, and keeps what there is to keep of it; but for whose it was,
/// which [`state_after`] has.
#[inline(always)]
pub(super) fn count_repeats(cells: &mut Cells, dir: Direction, header: &Header) {
    let (_, last) = cells.words.as_chunks_mut::<4>();
    let [len_low, len_high, retrans, ..] = &mut cells.bytes;
    let is_again = last == [header.seq, header.ack]
        && [*len_low, *len_high] == header.taken()
        && (cells.state >> 7, cells.window) == (dir as u8, header.window);
    *retrans = if is_again { retrans.wrapping_add(1) } else { 0 };
    last.copy_from_slice(&[header.seq, header.ack]);
    [*len_low, *len_high] = header.taken();
    cells.window = header.window;
}

/// A connection's first byte after a segment of this kind and direction: its state, the kind, the direction.
#[inline(always)]
pub(super) const fn state_after(state: u8, kind: SegmentKind, dir: Direction) -> u8 {
    state | (kind as u8 + 1) << 4 | (dir as u8) << 7
}

/// See `Tcp::timeout`; `own` is the state's.
#[inline(always)]
pub(super) fn timeout(cells: &Cells, limits: &Limits, own: Timeout) -> Timeout {
    let [_, _, retrans, _, one, other, ..] = cells.bytes;
    let timeouts = &limits.timeouts.tcp;
    if retrans >= limits.tcp.max_retrans && own > timeouts.max_retrans {
        timeouts.max_retrans
    } else if (one | other) & UNACKNOWLEDGED != 0 && own > timeouts.unacknowledged {
        timeouts.unacknowledged
    } else if cells.window == 0 && own > timeouts.max_retrans {
        timeouts.max_retrans
    } else {
        own
    }
}

/// Whether `a` comes after `b`.
#[inline(always)]
fn after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a).cast_signed() < 0
}

/// The four bounds of `window`, for sides that have begun.
#[inline(always)]
pub(super) fn fits(sender: Side, receiver: Side, header: &Header) -> bool {
    let oldest_ack = sender.window.max(MAX_ACK_WINDOW);
    // What is left to each bound; beyond one it is negative.
    let left = sender.max_end.wrapping_sub(header.seq)
        | receiver.end.wrapping_sub(header.ack)
        | header.end.wrapping_sub(sender.end).wrapping_add(receiver.window)
        | header.ack.wrapping_sub(receiver.end).wrapping_add(oldest_ack);
    sender.window != 0 && receiver.window != 0 && left.cast_signed() >= 0
}

/// Moves the edges along with a segment that fits, whose window, scaled, is `window`.
///
/// Sides are found by place and changed without branches: whose turn it is, and whether there is
/// anything new, nobody can guess.
#[inline(always)]
pub(super) fn learn(cells: &mut Cells, dir: Direction, header: &Header, window: u32) {
    let (sides, _) = cells.words.as_chunks_mut();
    let [_, _, _, _, flags @ ..] = &mut cells.bytes;
    let (own, others) = (dir.index(), dir.opposite().index());
    let news = news(Side::of(sides[own]), Side::of(sides[others]), header, window, flags[own]);
    [sides[own][0], _, sides[own][2], sides[own][3]] = news.sender.words();
    [_, sides[others][1], sides[others][2], _] = news.receiver.words();
    flags[own] |= news.raised;
    flags[others] &= !news.lowered;
}

/// What a segment that fits tells of both sides. `flags` are the sender's.
#[inline(always)]
fn news(sender: Side, receiver: Side, header: &Header, window: u32, flags: u8) -> News {
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
            ..sender
        },
        receiver: Side {
            max_end: if is_less {
                receiver.max_end
            } else {
                allowed.wrapping_add(u32::from(window == 0))
            },
            window: receiver.window.wrapping_add(beyond),
            ..receiver
        },
        raised: MAXACK_SET | if is_new { UNACKNOWLEDGED } else { 0 },
        lowered: if header.ack == receiver.end { UNACKNOWLEDGED } else { 0 },
    }
}
