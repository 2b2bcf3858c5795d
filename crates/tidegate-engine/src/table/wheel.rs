//! The timer wheel: which flow must be looked at next, without ever scanning the table.
//!
//! One timer per flow, named by the flow's slot in the slab. A packet of an established flow does
//! not touch the wheel: it writes the flow's deadline only. When the wheel says that a slot is due,
//! the caller compares the flow's real deadline and either lets the flow expire or arms the slot
//! again (lazy refresh). So a busy flow costs the wheel one operation per timeout, not one per
//! packet.
//!
//! ## Shape
//!
//! Eleven levels of 64 buckets, one level for each 6-bit digit of a 64-bit nanosecond count; a
//! bucket of level L spans 64^L ns. A timer lies at the level of the highest digit in which its
//! time differs from the *cursor*, in the bucket of its own digit there. From that follow the two
//! facts that everything rests on:
//!
//! - At any level, the timers are earlier than those of every higher level, and bucket numbers are
//!   in time order. The earliest bucket is therefore two bit scans away, and a jump of days costs
//!   no more than one of a millisecond.
//! - The cursor may move freely up to the start of the earliest bucket: no timer has to be filed
//!   anew for that.
//!
//! When the time reaches a bucket above level 0, it is *opened*: the cursor moves into it, and its
//! timers spread over the levels below. A level-0 bucket holds one nanosecond, so what lies there
//! is due exactly when the cursor is there.
//!
//! ## Cost and order
//!
//! Arming and disarming are O(1); a timer moves at most ten times in its life, as a rule two or
//! three times. Opening a bucket takes time in proportion to the timers in it, which is the one
//! uneven cost: it is paid inside `pop_due`. Memory is 24 bytes for each slot up to the highest
//! ever armed; nothing is allocated after that.
//!
//! Slots are popped in order of their time, equal times in the order in which they were armed. A
//! time that has passed already when it is armed counts as the cursor's. The order follows from the
//! calls alone.
//!
//! The wheel must not know flows, and must never drop or invent a timer: a slot is filed at most
//! once, and leaves only by `pop_due` or `disarm`.

use alloc::{boxed::Box, vec, vec::Vec};

use crate::time::Instant;

/// Timers by slot index; see the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Wheel {
    /// No filed timer is earlier than this, but for those that were overdue when they were armed.
    cursor: u64,
    /// Bit L: level L has a timer.
    levels: u16,
    /// Per level, bit B: bucket B has a timer.
    occupied: [u64; LEVELS],
    lists: Box<[List]>,
    nodes: Vec<Node>,
}

/// One bucket's place: `level` below [`LEVELS`], `digit` below [`BUCKETS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    level: u8,
    digit: u8,
}

/// The first and last slot of a bucket's doubly linked list; both [`NIL`] when it is empty.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

/// A slot's timer. The time and the links mean something only while `bucket` is set.
#[derive(Clone, Copy, Debug)]
struct Node {
    at: u64,
    prev: u32,
    next: u32,
    bucket: Option<Bucket>,
}

impl Wheel {
    /// An empty wheel whose cursor stands at `start`, the earliest time the caller means to speak
    /// of.
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            cursor: start.nanos(),
            levels: 0,
            occupied: [0; LEVELS],
            lists: vec![List::EMPTY; LEVELS * BUCKETS].into_boxed_slice(),
            nodes: Vec::new(),
        }
    }

    /// Files `slot` to be due at `at`, instead of any time it was filed for before. O(1), but for
    /// growth of the node array when `slot` is higher than any before. A time in the past is due at
    /// once. `slot` must be below `u32::MAX`, and should be dense: memory goes with the highest
    /// one.
    pub(crate) fn arm(&mut self, slot: u32, at: Instant) {
        debug_assert_ne!(slot, NIL);
        if slot as usize >= self.nodes.len() {
            self.nodes.resize(slot as usize + 1, Node::IDLE);
        }
        self.unlink(slot);
        self.nodes[slot as usize].at = at.nanos();
        self.file(slot);
    }

    /// Takes `slot` out of the wheel; nothing happens when it is not armed. O(1).
    pub(crate) fn disarm(&mut self, slot: u32) {
        if (slot as usize) < self.nodes.len() {
            self.unlink(slot);
        }
    }

    /// The time `slot` was armed for, if it is armed.
    #[cfg(test)]
    pub(crate) fn armed(&self, slot: u32) -> Option<Instant> {
        let node = self.nodes.get(slot as usize)?;
        node.bucket.map(|_| Instant::from_nanos(node.at))
    }

    /// When [`Wheel::pop_due`] must be called next; `None` when no slot is armed.
    ///
    /// A lower bound: never later than the earliest armed time (an overdue one counts as the
    /// cursor's), but maybe earlier, as it is the start of the earliest bucket. A caller who sleeps
    /// until then and finds nothing due learns a closer bound; at most ten such wakes precede any
    /// one timer. O(1).
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.earliest().map(|bucket| Instant::from_nanos(self.start_of(bucket)))
    }

    /// Takes the next slot whose time is not after `now` out of the wheel; `None` when there is
    /// none, and then the cursor stands at `now`.
    ///
    /// Never a slot whose time is still ahead. Time does not run backwards: a `now` before the
    /// latest one counts as the latest.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let now = now.nanos().max(self.cursor);
        while let Some(bucket) = self.earliest() {
            let start = self.start_of(bucket);
            if start > now {
                break;
            }
            if bucket.level == 0 {
                self.cursor = start;
                let slot = self.lists[bucket.index()].head;
                self.unlink(slot);
                return Some(slot);
            }
            self.open(bucket, now);
        }
        self.cursor = now;
        None
    }

    /// Spreads the timers of `bucket`, which is the earliest one and begins at or before `now`,
    /// over lower levels.
    ///
    /// The cursor goes to the bucket's first timer rather than to its start, so that this timer
    /// reaches level 0 in one move, but not beyond `now`, as what the caller arms next may be due
    /// right after that.
    fn open(&mut self, bucket: Bucket, now: u64) {
        let first = self.lists[bucket.index()].head;
        self.cursor = self.earliest_from(first).min(now);
        self.lists[bucket.index()] = List::EMPTY;
        self.mark_empty(bucket);

        let mut slot = first;
        while slot != NIL {
            let next = self.nodes[slot as usize].next;
            self.file(slot);
            slot = next;
        }
    }

    /// The earliest time in the list that begins with `slot`.
    fn earliest_from(&self, mut slot: u32) -> u64 {
        let mut earliest = u64::MAX;
        while slot != NIL {
            let node = &self.nodes[slot as usize];
            earliest = earliest.min(node.at);
            slot = node.next;
        }
        earliest
    }

    /// The bucket that holds the earliest timers.
    fn earliest(&self) -> Option<Bucket> {
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as u8;
        let digit = self.occupied[usize::from(level)].trailing_zeros() as u8;
        Some(Bucket { level, digit })
    }

    /// The first nanosecond of an occupied bucket: the cursor's digits above the bucket's level,
    /// then the bucket's own.
    fn start_of(&self, bucket: Bucket) -> u64 {
        let shift = DIGIT_BITS * u32::from(bucket.level);
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        (self.cursor & above) | (u64::from(bucket.digit) << shift)
    }

    /// Appends `slot`, which is in no list, to the bucket that its time belongs to.
    fn file(&mut self, slot: u32) {
        let bucket = Bucket::of(self.nodes[slot as usize].at, self.cursor);
        let list = &mut self.lists[bucket.index()];
        let prev = core::mem::replace(&mut list.tail, slot);
        match prev {
            NIL => list.head = slot,
            _ => self.nodes[prev as usize].next = slot,
        }
        let node = &mut self.nodes[slot as usize];
        (node.prev, node.next, node.bucket) = (prev, NIL, Some(bucket));
        self.occupied[usize::from(bucket.level)] |= 1 << bucket.digit;
        self.levels |= 1 << bucket.level;
    }

    /// Takes `slot` out of its list, if it is in one.
    fn unlink(&mut self, slot: u32) {
        let node = &mut self.nodes[slot as usize];
        let Some(bucket) = node.bucket.take() else { return };
        let (prev, next) = (node.prev, node.next);
        let list = &mut self.lists[bucket.index()];
        match prev {
            NIL => list.head = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => list.tail = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        if list.head == NIL {
            self.mark_empty(bucket);
        }
    }

    fn mark_empty(&mut self, bucket: Bucket) {
        let occupied = &mut self.occupied[usize::from(bucket.level)];
        *occupied &= !(1 << bucket.digit);
        if *occupied == 0 {
            self.levels &= !(1 << bucket.level);
        }
    }
}

impl Bucket {
    /// Where a timer for `at` lies when the cursor stands at `cursor`.
    fn of(at: u64, cursor: u64) -> Self {
        let at = at.max(cursor);
        let level = (at ^ cursor).checked_ilog2().unwrap_or(0) / DIGIT_BITS;
        let digit = (at >> (DIGIT_BITS * level)) as u8 & DIGIT_MASK;
        Self { level: level as u8, digit }
    }

    fn index(self) -> usize {
        usize::from(self.level) * BUCKETS + usize::from(self.digit)
    }
}

impl List {
    const EMPTY: Self = Self { head: NIL, tail: NIL };
}

impl Node {
    const IDLE: Self = Self { at: 0, prev: NIL, next: NIL, bucket: None };
}

/// The end of a list. A sentinel rather than an `Option`, which would make every link twice as
/// large.
const NIL: u32 = u32::MAX;

const DIGIT_BITS: u32 = 6;
const DIGIT_MASK: u8 = (1 << DIGIT_BITS) - 1;
const BUCKETS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

#[cfg(test)]
mod tests;
