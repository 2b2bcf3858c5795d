//! The timer wheel: which flow must be looked at next, without ever scanning the table.
//!
//! A packet of an established flow does not touch the wheel: it writes the flow's deadline only.
//! When the wheel says that a slot is due, the flow's real deadline is compared, and either the
//! flow is over or the slot is filed again (lazy refresh). So a busy flow costs the wheel one
//! operation per timeout, not one per packet.
//!
//! ## Shape
//!
//! Time is counted in ticks. Six levels of 256 buckets, one level for each 8-bit digit of a tick
//! count; a bucket of level L spans 256^L ticks. A timer lies at the level of the highest digit in
//! which its tick differs from the *cursor*, in the bucket of its own digit there. From that follow
//! the two facts that everything rests on: at any level the timers are earlier than those of every
//! higher level, and bucket numbers are in time order; and the cursor may move freely up to the
//! start of the earliest bucket. When the time reaches a bucket above level 0, it is *opened*: the
//! cursor moves to its start, and its timers spread over the levels below.
//!
//! A bucket is a queue of slot numbers, four bytes each, in chunks. Nothing is ever taken out of its
//! middle: the flow's record says for which tick it is armed, and an entry that does not agree with
//! the record is *stale* and thrown away when its bucket comes up. That may happen when a flow ended
//! early, or was armed anew for an earlier time. Because no timer is filed more than
//! [`HORIZON`] ahead, stale entries live no longer either; whoever has a later deadline is looked at
//! once in that time.
//!
//! ## Cost and order
//!
//! Arming is O(1) and writes where the last arming wrote; ending a flow costs the wheel nothing.
//! [`Wheel::pop_due`] counts its steps, moves included, so that the opening of a large bucket is
//! spread over as many calls as the caller likes. Slots are popped in order of their ticks, equal
//! ticks in the order in which they were filed there. The order follows from the calls alone.
//!
//! The wheel must not know flows, and must never drop a timer that is not stale.

use alloc::{boxed::Box, vec};

use super::column::Column;

/// How far ahead a timer is filed, in ticks: five minutes, if a tick is a millisecond.
pub(crate) const HORIZON: u64 = 300_000;

/// What the wheel asks of whoever keeps the slots.
pub(crate) trait Timers {
    /// The slot's timer; `None` if nobody has the slot.
    fn timer(&mut self, slot: u32) -> Option<Timer<'_>>;
    /// Notes for which tick, modulo 2^32, the slot is armed.
    fn set_armed(&mut self, slot: u32, tick: u32);
}

/// A slot's timer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Timer<'a> {
    /// The tick of its deadline.
    pub(crate) deadline: u64,
    /// For which tick, modulo 2^32, it is armed.
    pub(crate) armed: &'a mut u32,
}

/// Timers by slot number; see the module's documentation.
pub(crate) struct Wheel {
    /// No bucket but the one that is being opened holds anything earlier.
    cursor: u64,
    /// The bucket whose timers are being taken out; what is in it comes before all else.
    opening: Option<Bucket>,
    /// Bit B of level L: the bucket has entries.
    occupied: Occupied,
    queues: Box<[Queue]>,
    chunks: Chunks,
}

/// See [`Wheel::occupied`].
type Occupied = [[u64; BUCKETS / 64]; LEVELS];

/// One bucket's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    level: u8,
    digit: u8,
}

/// The entries of one bucket: a list of chunks, taken from at one end and filled at the other.
#[derive(Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
    /// How many entries of the first chunk are gone.
    taken: u32,
    /// How many entries of the last chunk are filled.
    filled: u32,
}

impl Wheel {
    /// An empty wheel whose cursor stands at tick `start`, the earliest the caller means to speak of.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            cursor: start,
            opening: None,
            occupied: [[0; BUCKETS / 64]; LEVELS],
            queues: vec![Queue::EMPTY; LEVELS * BUCKETS].into_boxed_slice(),
            chunks: Chunks::default(),
        }
    }

    /// Files `slot` to be looked at at `tick`, or at the horizon if that comes first. An entry that
    /// it has already becomes stale.
    pub(crate) fn arm(&mut self, timers: &mut impl Timers, slot: u32, tick: u64) {
        let tick = self.nearest(tick);
        timers.set_armed(slot, tick as u32);
        self.file(slot, tick);
    }

    /// The tick nearest to this one for which a timer can be filed.
    #[inline(always)]
    pub(crate) fn nearest(&self, tick: u64) -> u64 {
        tick.clamp(self.cursor, self.cursor + HORIZON)
    }

    /// Whether a timer armed for `armed` comes too late for a deadline.
    #[inline(always)]
    pub(crate) fn is_late(&self, armed: u32, deadline: u64) -> bool {
        armed.wrapping_sub(deadline as u32).cast_signed() > 0 && deadline <= self.cursor + HORIZON
    }

    /// When [`Wheel::pop_due`] must be called next: never later than the earliest tick for which a
    /// slot is armed, but maybe earlier. `None` when nothing is filed.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.earliest().map(|bucket| self.start_of(bucket).max(self.cursor))
    }

    /// Takes the next slots whose deadline is not after the tick `now` out of the wheel, in their order, as many as there are
    /// places in `due`; how many. Fewer when there are no more, or when no `steps` are left, which this counts down.
    pub(crate) fn pop_due(
        &mut self,
        timers: &mut impl Timers,
        now: u64,
        steps: &mut usize,
        due: &mut [u32],
    ) -> usize {
        let now = now.max(self.cursor);
        let mut found = 0;
        while found < due.len() {
            let next = self.earliest().map(|bucket| (bucket, self.start_of(bucket)));
            let Some((bucket, start)) = next.filter(|(_, start)| *start <= now) else {
                self.cursor = now;
                break;
            };
            if *steps == 0 {
                break;
            }
            self.cursor = self.cursor.max(start);
            found += self.open(timers, (bucket, start), now, steps, &mut due[found..]);
        }
        found
    }

    /// Takes entries of the bucket that time has come to, as many as steps are left and places for those that are due; how
    /// many are. Those that are not due are filed anew, stale ones thrown away. => there is an entry, and `start` is where
    /// the bucket begins
    #[inline(always)]
    fn open(
        &mut self,
        timers: &mut impl Timers,
        (bucket, start): (Bucket, u64),
        now: u64,
        steps: &mut usize,
        due: &mut [u32],
    ) -> usize {
        let (number, span) = (bucket.index(), bucket.span());
        let (mut found, mut is_empty) = (0, false);
        let mut slots = [0; FEW];
        while found < due.len() && !is_empty && *steps > 0 {
            let most = FEW.min(due.len() - found).min(*steps);
            let queue = &mut self.queues[number];
            let taken = queue.take(&mut self.chunks, &mut slots[..most]);
            is_empty = queue.is_empty();
            *steps -= taken;
            for slot in &slots[..taken] {
                let Some(timer) = timers.timer(*slot) else { continue };
                if u64::from(timer.armed.wrapping_sub(start as u32)) >= span {
                    // Stale.
                    continue;
                }
                if bucket.level == 0 && timer.deadline <= now {
                    due[found] = *slot;
                    found += 1;
                } else {
                    let tick = self.nearest(timer.deadline);
                    *timer.armed = tick as u32;
                    self.file(*slot, tick);
                }
            }
        }
        self.opening = (!is_empty).then_some(bucket);
        if is_empty {
            *bucket.word(&mut self.occupied) &= !bucket.bit();
        }
        found
    }

    /// Files a slot that is armed for this tick, which is one of those that are [nearest](Wheel::nearest).
    #[inline(always)]
    pub(crate) fn file(&mut self, slot: u32, tick: u64) {
        let bucket = Bucket::of(tick, self.cursor);
        let queue = &mut self.queues[bucket.index()];
        if queue.is_full() {
            queue.extend(&mut self.chunks);
            *bucket.word(&mut self.occupied) |= bucket.bit();
        }
        queue.push(&mut self.chunks, slot);
    }

    /// The bucket that holds the earliest timers.
    fn earliest(&self) -> Option<Bucket> {
        if self.opening.is_some() {
            return self.opening;
        }
        let level = self.occupied.iter().position(|words| words.iter().any(|word| *word != 0))?;
        let words = &self.occupied[level];
        let word = words.iter().position(|word| *word != 0)?;
        let digit = word as u32 * 64 + words[word].trailing_zeros();
        Some(Bucket { level: level as u8, digit: digit as u8 })
    }

    /// The first tick of an occupied bucket: the cursor's digits above the bucket's level, then the
    /// bucket's own.
    fn start_of(&self, bucket: Bucket) -> u64 {
        let shift = DIGIT_BITS * u32::from(bucket.level);
        let above = u64::MAX << (shift + DIGIT_BITS);
        (self.cursor & above) | (u64::from(bucket.digit) << shift)
    }
}

impl Bucket {
    /// Where a timer for `tick`, which is not before `cursor`, lies.
    fn of(tick: u64, cursor: u64) -> Self {
        let level = (tick ^ cursor).checked_ilog2().unwrap_or(0) / DIGIT_BITS;
        Self { level: level as u8, digit: (tick >> (DIGIT_BITS * level)) as u8 }
    }

    /// How many ticks it is long.
    fn span(self) -> u64 {
        1 << (DIGIT_BITS * u32::from(self.level))
    }

    fn index(self) -> usize {
        usize::from(self.level) * BUCKETS + usize::from(self.digit)
    }

    /// The bits of it and its neighbours.
    fn word(self, occupied: &mut Occupied) -> &mut u64 {
        &mut occupied[usize::from(self.level)][usize::from(self.digit / 64)]
    }

    /// Its own of them.
    fn bit(self) -> u64 {
        1 << (self.digit % 64)
    }
}

impl Queue {
    /// No chunk, and so none with room.
    const EMPTY: Self = Self { first: NONE, last: NONE, taken: 0, filled: CHUNK as u32 };

    fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Whether there is no room in the last chunk.
    fn is_full(&self) -> bool {
        self.filled as usize == CHUNK
    }

    /// Makes room behind the last entry.
    #[inline(never)]
    fn extend(&mut self, chunks: &mut Chunks) {
        let chunk = chunks.make();
        if self.is_empty() {
            (self.first, self.taken) = (chunk, 0);
        } else {
            chunks.all.at_mut(self.last).next = chunk;
        }
        (self.last, self.filled) = (chunk, 0);
    }

    /// Adds an entry. => it is not full
    #[inline(always)]
    fn push(&mut self, chunks: &mut Chunks, slot: u32) {
        chunks.all.at_mut(self.last).slots[self.filled as usize] = slot;
        self.filled += 1;
    }

    /// Takes first entries of a queue that has one, of one chunk, as many as there are places in `slots`; how many.
    #[inline(always)]
    fn take(&mut self, chunks: &mut Chunks, slots: &mut [u32]) -> usize {
        let end = if self.first == self.last { self.filled } else { CHUNK as u32 };
        let entries = &chunks.all.at(self.first).slots[self.taken as usize..end as usize];
        let count = entries.len().min(slots.len());
        slots[..count].copy_from_slice(&entries[..count]);
        self.taken += count as u32;
        if self.taken == end {
            self.shorten(chunks);
        }
        count
    }

    /// Gives the first chunk back, of which all entries are gone.
    #[inline(never)]
    fn shorten(&mut self, chunks: &mut Chunks) {
        let next = chunks.all.at(self.first).next;
        chunks.free(self.first);
        let was_last = self.first == self.last;
        *self = if was_last { Self::EMPTY } else { Self { first: next, taken: 0, ..*self } };
    }
}

/// The memory of all queues.
struct Chunks {
    all: Column<Chunk>,
    unused: u32,
}

/// A kibibyte of slot numbers.
#[derive(Clone, Copy)]
struct Chunk {
    slots: [u32; CHUNK],
    next: u32,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { all: Column::default(), unused: NONE }
    }
}

impl Chunks {
    fn make(&mut self) -> u32 {
        if self.unused == NONE {
            self.all.push(Chunk { slots: [0; CHUNK], next: NONE });
            return self.all.len() - 1;
        }
        let number = self.unused;
        let chunk = self.all.at_mut(number);
        self.unused = core::mem::replace(&mut chunk.next, NONE);
        number
    }

    fn free(&mut self, number: u32) {
        self.all.at_mut(number).next = core::mem::replace(&mut self.unused, number);
    }
}

/// No chunk.
const NONE: u32 = u32::MAX;
/// How many entries are taken out of a bucket before the first of them is looked at.
const FEW: usize = 32;
/// Entries of a chunk.
const CHUNK: usize = 255;

const DIGIT_BITS: u32 = 8;
const BUCKETS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 6;

#[cfg(test)]
mod tests;
