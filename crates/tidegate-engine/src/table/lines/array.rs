//! One generation of the index: an array of lines with a fixed number of homes.
//!
//! The home of a hash is `hash * homes >> 32`, so homes are in the order of hashes, whatever their
//! number. An entry that finds its home full passes on to the next line, or lets the highest of
//! its home pass. So the lines are in the order of hashes, too: no entry has a lower hash than one
//! in a line before. That holds after removals because the gap is closed from behind. It keeps
//! everybody within a few lines of home, and a search ends where a higher hash comes up. (If
//! latecomers went to the end of a run of full lines instead, one would soon be found that has to
//! go a hundred lines at a load of 7/8.)
//!
//! Behind the last home follow [`PAD`] lines for what is displaced; nothing wraps around, and
//! nothing travels further than that.
//!
//! Memory comes in segments, and moving from array to array costs one or two of them: of a small array a
//! segment is a 128th, but not less than 2 KiB, of one from [`LARGE`] on half a mebibyte, at most half of it, and later one. That
//! is as much as an allocator will have ready on huge pages; in pieces that it has not, each new page of
//! 4 KiB would stop a growing table, and take room among the processor's translations. A segment is
//! allocated, and each of its lines written, only when a line at or behind it is needed: no call
//! touches more than a few lines, or a run of full ones. Lines that were not made yet read as empty ones.

use alloc::vec::Vec;
use core::hint::cold_path;
use core::ops::RangeInclusive;

use super::Entry;
use super::batch::Batch;
use super::line::{Line, SLOTS};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Array {
    homes: u32,
    /// The logarithm of a segment's lines.
    shift: u32,
    /// One less than a segment's lines.
    mask: usize,
    /// Lines that exist: all below this, but for segments that were let go.
    made: usize,
    segments: Vec<Segment>,
    /// A segment for the next need.
    spare: Option<Segment>,
}

/// Lines in a row.
pub(super) type Segment = Vec<Line>;

/// How many lines an entry may lie behind its home.
pub(super) const PAD: usize = 64;

/// From so many homes on an array is large: 1 MiB of lines.
const LARGE: u32 = 1 << 14;
/// The logarithms of a segment's lines in small arrays, and in large ones: 2 to 4 KiB, and 512 KiB to 1 MiB.
const SMALL_SHIFTS: RangeInclusive<u32> = 5..=6;
const LARGE_SHIFTS: RangeInclusive<u32> = 13..=14;
/// The logarithm of the number of segments between those limits.
const SEGMENTS: u32 = 7;

static NOT_MADE: Line = Line::EMPTY;

impl Array {
    pub(super) fn new(homes: u32) -> Self {
        let shifts = if homes < LARGE { SMALL_SHIFTS } else { LARGE_SHIFTS };
        let share = homes.max(1).ilog2().saturating_sub(SEGMENTS);
        let shift = share.clamp(*shifts.start(), *shifts.end());
        let segments = match homes {
            0 => Vec::new(),
            _ => Vec::with_capacity(((homes as usize + PAD) >> shift) + 1),
        };
        Self { homes, shift, mask: (1 << shift) - 1, made: 0, segments, spare: None }
    }

    pub(super) fn homes(&self) -> u32 {
        self.homes
    }

    #[inline]
    pub(super) fn home(&self, hash: u32) -> usize {
        home_among(self.homes, hash)
    }

    /// The lowest hash whose home is `home` or later; one past the last hash for the end.
    pub(super) fn lowest_hash(&self, home: usize) -> u64 {
        ((home as u64) << 32).div_ceil(u64::from(self.homes))
    }

    #[inline]
    pub(super) fn line(&self, at: usize) -> &Line {
        self.places().line(at)
    }

    /// Where its lines are.
    #[inline(always)]
    pub(super) fn places(&self) -> Places<'_> {
        let Self { homes, shift, mask, segments, .. } = self;
        Places { homes: *homes, shift: *shift, mask: *mask, segments }
    }

    /// A line that exists.
    #[inline]
    pub(super) fn made_line(&mut self, at: usize) -> Option<&mut Line> {
        self.segments.get_mut(at >> self.shift)?.get_mut(at & self.mask)
    }

    /// A line, which is made if need be.
    #[inline]
    fn line_mut(&mut self, at: usize) -> &mut Line {
        if at >= self.made {
            self.make(at);
        }
        &mut self.segments[at >> self.shift][at & self.mask]
    }

    /// Enters a pair, at its home or behind. If it, or another one that gave way to it, would have
    /// to go too far, that is handed back.
    #[inline]
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let home = self.home(entry.0);
        match self.line_mut(home).put(entry) {
            true => None,
            false => self.insert_from(home, entry),
        }
    }

    #[inline(never)]
    fn insert_from(&mut self, mut at: usize, mut entry: Entry) -> Option<Entry> {
        loop {
            let line = self.line_mut(at);
            if line.put(entry) {
                return None;
            }
            entry = line.pass(entry);
            at += 1;
            let home = self.home(entry.0);
            if at > home + PAD {
                self.unpass(home, at);
                return Some(entry);
            }
        }
    }

    /// Enters pairs in the order of hashes, none of which is lower than any here. Those that would
    /// have to go too far are handed to `rest`.
    pub(super) fn append(&mut self, batch: &Batch, rest: &mut Vec<Entry>) {
        let (mut hashes, mut ids) = (batch.hashes(), batch.ids());
        if let Some(last) = hashes.last() {
            self.prepare(*last);
        }
        loop {
            let n = self.append_near(hashes, ids);
            let (Some(hash), Some(id)) = (hashes.get(n), ids.get(n)) else { return };
            rest.extend(self.insert((*hash, *id)));
            (hashes, ids) = (&hashes[n + 1..], &ids[n + 1..]);
        }
    }

    /// Appends pairs as long as their places are made, not too far from home, and in the segment
    /// of the first one's place. How many that were.
    #[inline]
    fn append_near(&mut self, hashes: &[u32], ids: &[u32]) -> usize {
        let Some(first) = hashes.first() else { return 0 };
        let mut at = self.end_of_run(self.home(*first));
        let mut len = self.line(at).len();
        let (begin, homes) = (at & !self.mask, self.homes);
        let Some(segment) = self.segments.get_mut(at >> self.shift) else { return 0 };
        for (n, (hash, id)) in hashes.iter().zip(ids).enumerate() {
            let home = home_among(homes, *hash);
            let place = home.max(at + usize::from(len == SLOTS));
            len = if place == at { len } else { 0 };
            at = place;
            let lines = segment.split_at_mut_checked(place - begin);
            let Some((before, [line, ..])) = lines else { return n };
            if home < place && !note_passed(before, place - home) {
                return n;
            }
            line.put_last(len, (*hash, *id));
            len += 1;
        }
        hashes.len()
    }

    /// The first line from this one on that nothing passed.
    fn end_of_run(&self, mut at: usize) -> usize {
        while self.line(at).passed() > 0 {
            at += 1;
        }
        at
    }

    /// Takes a pair out; `false` if it is not here.
    #[inline]
    pub(super) fn remove(&mut self, hash: u32, id: u32) -> bool {
        let home = self.home(hash);
        let mut at = home;
        loop {
            let Some(line) = self.made_line(at) else { return false };
            if line.take(hash, id) {
                let leaves_gap = !line.is_end_of_run();
                self.unpass(home, at);
                if leaves_gap {
                    self.close_gap(at);
                }
                return true;
            }
            if !line.goes_on(hash) {
                return false;
            }
            at += 1;
        }
    }

    /// Takes the first pair out of a line.
    pub(super) fn take_first(&mut self, at: usize) -> Option<Entry> {
        let entry = self.made_line(at)?.take_first();
        self.close_gap(at);
        entry
    }

    /// Lets entries that passed a line which is no longer full come back, from line to line.
    fn close_gap(&mut self, mut at: usize) {
        while self.line(at).passed() > 0 {
            let entry = self.made_line(at + 1).and_then(Line::take_first);
            let (Some(line), Some(entry)) = (self.made_line(at), entry) else { return };
            line.put(entry);
            line.unpass();
            at += 1;
        }
    }

    /// Notes for these lines that one which had passed them is gone.
    #[inline]
    fn unpass(&mut self, from: usize, to: usize) {
        for at in from..to {
            if let Some(line) = self.made_line(at) {
                line.unpass();
            }
        }
    }

    /// The entries with hashes from `lo` to `hi`, by line and slot.
    pub(super) fn range(&self, lo: u32, hi: u32) -> impl Iterator<Item = Entry> {
        let last_home = self.home(hi);
        let mut more = true;
        let lines = (self.home(lo)..).map_while(move |at| {
            let line = more.then(|| self.line(at))?;
            more = at < last_home || line.goes_on(hi);
            Some(line)
        });
        lines.flat_map(move |line| line.entries_within(lo, hi))
    }

    /// Lines of one segment, as far as they were made.
    #[inline]
    pub(super) fn lines(&self, from: usize, to: usize) -> &[Line] {
        let segment = self.segments.get(from >> self.shift).map_or(&[][..], |lines| lines);
        let begin = (from & self.mask).min(segment.len());
        &segment[begin..(begin + to - from).min(segment.len())]
    }

    /// Makes the lines that entries up to this hash will need, if they do not travel.
    #[inline]
    pub(super) fn prepare(&mut self, hash: u32) {
        let last = self.home(hash) + 2;
        if last >= self.made {
            self.make(last);
        }
    }

    /// The end of the segment in which a line lies.
    pub(super) fn segment_end(&self, at: usize) -> usize {
        (at | self.mask) + 1
    }

    /// Lets the segment go that ends before `end`, if one does. Its lines must not be used again.
    pub(super) fn release(&mut self, end: usize) -> Option<Segment> {
        let ends_here = end & self.mask == 0;
        let last = ends_here.then(|| (end >> self.shift).checked_sub(1)).flatten()?;
        self.segments.get_mut(last).map(core::mem::take)
    }

    /// Takes a segment over for its memory, if that is of use.
    pub(super) fn reuse(&mut self, mut segment: Segment) {
        if segment.capacity() == 1 << self.shift {
            segment.clear();
            self.spare = Some(segment);
        }
    }

    /// Frees what was kept for further lines.
    pub(super) fn settle(&mut self) {
        self.spare = None;
    }

    /// Makes all lines up to this one.
    #[inline(never)]
    fn make(&mut self, at: usize) {
        while self.made <= at {
            let end = self.segment_end(self.made).min(at + 1);
            if self.made & self.mask == 0 {
                let spare = self.spare.take();
                self.segments.push(spare.unwrap_or_else(|| Vec::with_capacity(1 << self.shift)));
            }
            if let Some(segment) = self.segments.last_mut() {
                segment.extend((self.made..end).map(|_| Line::EMPTY));
            }
            self.made = end;
        }
    }
}

/// Where the lines of an array are, as long as none is made or let go.
#[derive(Clone, Copy)]
pub(super) struct Places<'a> {
    homes: u32,
    shift: u32,
    mask: usize,
    segments: &'a [Segment],
}

impl<'a> Places<'a> {
    /// The line that is home to a hash.
    #[inline(always)]
    pub(super) fn home_line(&self, hash: u32) -> &'a Line {
        self.line(home_among(self.homes, hash))
    }

    #[inline(always)]
    fn line(&self, at: usize) -> &'a Line {
        let segment = self.segments.get(at >> self.shift);
        let Some(line) = segment.and_then(|lines| lines.get(at & self.mask)) else {
            cold_path();
            return &NOT_MADE;
        };
        line
    }
}

#[inline]
fn home_among(homes: u32, hash: u32) -> usize {
    ((u64::from(hash) * u64::from(homes)) >> 32) as usize
}

/// Notes for the last `count` lines that one more has passed. `false`, and nothing happens, if there
/// are not as many, or too many.
#[inline]
fn note_passed(lines: &mut [Line], count: usize) -> bool {
    let from = lines.len().checked_sub(count).filter(|_| count <= PAD);
    let passed = from.and_then(|from| lines.get_mut(from..));
    passed.map(|lines| lines.iter_mut().for_each(Line::note_passed)).is_some()
}
