//! An arena: 64 MiB of addresses that large blocks share.
//!
//! Handed out in units of 64 KiB, the first run that is long enough. A huge page that is wholly free
//! again goes back to the kernel at once, so an arena costs what is used of it, and is never
//! unmapped: its neighbours need not be looked at, and a page may be faulted in without a lock.
//!
//! One word of each table tells of the 32 units of one huge page.
//!
//! Unsafe code: it gives memory back, and knows the addresses.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::pages::{self, HUGE};

/// What blocks are made of, in bytes; every block is aligned to it.
pub(super) const UNIT: usize = 64 << 10;

/// Bytes in an arena.
pub(super) const SIZE: usize = PAGES * HUGE;

/// The arena's memory and what is known of it.
pub(super) struct Arena {
    start: NonNull<u8>,
    /// Units that are part of a block.
    used: [u32; PAGES],
    /// Units that may hold other than zeros.
    dirty: [u32; PAGES],
    /// Pages that were faulted in ahead of use.
    ready: u32,
    /// No free run is longer than this.
    room: usize,
}

// SAFETY: the memory is nobody else's, whatever thread has the arena.
unsafe impl Send for Arena {}

/// Memory that was handed out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its first byte.
    pub(super) start: NonNull<u8>,
    /// Whether it is known to be all zeros.
    pub(super) fresh: bool,
}

impl Block {
    /// The block, with `size` zeros.
    pub(super) fn zeroed(self, size: usize) -> *mut u8 {
        let start = self.start.as_ptr();
        if !self.fresh {
            // SAFETY: just handed out, for `size` bytes at least.
            unsafe { start.write_bytes(0, size) };
        }
        start
    }
}

/// What faulting ahead should do in an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// This page is free; it is now held, until [`Arena::release`].
    Free(usize),
    /// This page is in use, at least in part, and was never faulted in ahead.
    Used(usize),
    /// Nothing: so many free pages are ready.
    Ready(usize),
}

impl Arena {
    /// `None` if the kernel has no memory.
    pub(super) fn map() -> Option<Self> {
        let start = pages::map(SIZE)?;
        Some(Self { start, used: [0; PAGES], dirty: [0; PAGES], ready: 0, room: UNITS })
    }

    /// Hands out a block of `size` bytes, if it fits.
    pub(super) fn alloc(&mut self, size: usize) -> Option<Block> {
        let units = size.div_ceil(UNIT);
        let first = self.find(units)?;
        let mut fresh = true;
        for (page, mask) in words(first, units) {
            self.used[page] |= mask;
            fresh &= self.dirty[page] & mask == 0;
        }
        Some(Block { start: self.at(first * UNIT), fresh })
    }

    /// Whether an address is in here.
    pub(super) fn holds(&self, address: usize) -> bool {
        address.wrapping_sub(self.start.addr().get()) < SIZE
    }

    /// Takes a block back.
    ///
    /// # Safety
    ///
    /// This arena handed it out, for `size` bytes, and nobody uses it any more.
    pub(super) unsafe fn free(&mut self, block: *mut u8, size: usize) {
        let first = (block.addr() - self.start.addr().get()) / UNIT;
        for (page, mask) in words(first, size.div_ceil(UNIT)) {
            self.used[page] &= !mask;
            self.dirty[page] |= mask;
            if self.used[page] == 0 {
                // SAFETY: no unit of it is used.
                unsafe { self.give_back(page) };
            }
        }
        self.room = UNITS;
    }

    /// Looks for a page that isn't ready: one in use, or a free one as long as fewer than `reserve`
    /// free ones are.
    pub(super) fn need(&mut self, reserve: usize) -> Need {
        let mut ready = 0;
        for page in 0..PAGES {
            let free = self.used[page] == 0;
            if self.ready & (1 << page) != 0 {
                ready += usize::from(free);
            } else if !free {
                self.ready |= 1 << page;
                return Need::Used(page);
            } else if ready < reserve {
                self.used[page] = u32::MAX;
                return Need::Free(page);
            }
        }
        Need::Ready(ready)
    }

    /// How many pages have a block in them, or are held.
    pub(super) fn pages_in_use(&self) -> usize {
        self.used.iter().filter(|units| **units != 0).count()
    }

    /// A page that was held is free, and ready.
    pub(super) fn release(&mut self, page: usize) {
        self.used[page] = 0;
        self.ready |= 1 << page;
        self.room = UNITS;
    }

    /// The first byte of a page.
    pub(super) fn page(&self, page: usize) -> NonNull<u8> {
        self.at(page * HUGE)
    }

    /// The first run of free units that is long enough.
    fn find(&mut self, units: usize) -> Option<usize> {
        if units > self.room {
            return None;
        }
        let (mut first, mut longest) = (self.next(0, false), 0);
        while first < UNITS {
            let end = self.next(first, true);
            if end - first >= units {
                return Some(first);
            }
            longest = longest.max(end - first);
            first = self.next(end, false);
        }
        self.room = longest;
        None
    }

    /// The first unit from `from` on that is used, or isn't; else [`UNITS`].
    fn next(&self, from: usize, used: bool) -> usize {
        let mut mask = u32::MAX << (from % PER_PAGE);
        for page in from / PER_PAGE..PAGES {
            let word = if used { self.used[page] } else { !self.used[page] } & mask;
            if word != 0 {
                return page * PER_PAGE + word.trailing_zeros() as usize;
            }
            mask = u32::MAX;
        }
        UNITS
    }

    /// # Safety
    ///
    /// Nobody uses any of the page.
    unsafe fn give_back(&mut self, page: usize) {
        // SAFETY: the caller vouches for it.
        if unsafe { pages::discard(self.page(page).as_ptr(), HUGE) } {
            self.dirty[page] = 0;
            self.ready &= !(1 << page);
        }
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: offsets of units and pages are within the arena.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: mapped in `map`. Only an arena that isn't the pool's is ever dropped.
        unsafe { pages::unmap(self.start.as_ptr(), SIZE) };
    }
}

/// The words that tell of a run of units, and their bits.
fn words(first: usize, units: usize) -> impl Iterator<Item = (usize, u32)> {
    let end = first + units;
    (first / PER_PAGE..end.div_ceil(PER_PAGE)).map(move |page| {
        let from = first.saturating_sub(page * PER_PAGE);
        let to = (end - page * PER_PAGE).min(PER_PAGE);
        (page, u32::MAX >> (PER_PAGE - (to - from)) << from)
    })
}

const PAGES: usize = 32;
const PER_PAGE: usize = HUGE / UNIT;
const UNITS: usize = PAGES * PER_PAGE;

const _: () = assert!(PER_PAGE == u32::BITS as usize, "a word tells of one page");
const _: () = assert!(PAGES <= u32::BITS as usize, "a word has a bit for each page");

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row: what it shows, a run of units, the words that tell of it.
    #[test]
    fn a_run_of_units_is_found_in_its_words() {
        let rows = [
            ("one unit", 0, 1, vec![(0, 1)]),
            ("the last one of a page", 31, 1, vec![(0, 1 << 31)]),
            ("a whole page", 32, 32, vec![(1, u32::MAX)]),
            ("over the edge of a page", 30, 10, vec![(0, 3 << 30), (1, 0xff)]),
            ("over a whole page", 31, 34, vec![(0, 1 << 31), (1, u32::MAX), (2, 1)]),
        ];
        for (what, first, units, expected) in rows {
            assert_eq!(words(first, units).collect::<Vec<_>>(), expected, "{what}");
        }
    }

    /// Each row: what it shows; the units of a block to ask for, or the number of one to free; the
    /// unit that the block then begins at.
    #[test]
    fn the_first_run_that_is_long_enough_is_handed_out() {
        let mut arena = Arena::map().unwrap();
        let rows = [
            ("an empty arena begins with its first unit", Ok(10), Some(0)),
            ("the next one lies behind it", Ok(10), Some(10)),
            ("a block may lie across the edge of pages", Ok(40), Some(20)),
            ("a block is freed", Err(1), None),
            ("one that is too long doesn't go there", Ok(11), Some(60)),
            ("one that isn't does", Ok(4), Some(10)),
            ("and another one fills the hole", Ok(6), Some(14)),
            ("no hole is left", Ok(1), Some(71)),
            ("the first block is freed", Err(0), None),
            ("its neighbour, too", Err(4), None),
            ("together they are one hole", Ok(14), Some(0)),
            ("more than there is", Ok(UNITS - 71), None),
            ("is not forgotten to be too much", Ok(UNITS - 71), None),
            ("all there is", Ok(UNITS - 72), Some(72)),
        ];
        let mut blocks = Vec::new();
        for (what, act, expected) in rows {
            match act {
                Ok(units) => {
                    let block = arena.alloc(units * UNIT);
                    let first = block.map(|block| unit(&arena, block));
                    assert_eq!(first, expected, "{what}");
                    blocks.extend(block.map(|block| (block, units)));
                }
                Err(number) => release(&mut arena, blocks[number]),
            }
        }
    }

    #[test]
    fn a_page_that_is_wholly_free_is_given_back_and_fresh_again() {
        let mut arena = Arena::map().unwrap();
        let [whole, part] = [33, 5].map(|units| (arena.alloc(units * UNIT).unwrap(), units));
        for (block, units) in [whole, part] {
            assert!(block.fresh);
            // SAFETY: just handed out.
            unsafe { block.start.write_bytes(7, units * UNIT) };
        }
        release(&mut arena, whole);
        let again = arena.alloc(32 * UNIT).unwrap();
        assert!(again.fresh, "the first page has no other block");
        // SAFETY: just handed out, and mapped.
        assert_eq!(unsafe { again.start.read() }, 0);
        let rest = arena.alloc(UNIT).unwrap();
        assert!(!rest.fresh, "the second page has");
        let start = rest.zeroed(UNIT);
        // SAFETY: just handed out; the other block is part's.
        unsafe {
            assert_eq!(start.add(UNIT - 1).read(), 0);
            assert_eq!(start.add(UNIT).read(), 7, "the neighbour is as it was");
        }
    }

    #[test]
    fn a_reserve_is_made_in_the_order_in_which_it_is_handed_out() {
        let mut arena = Arena::map().unwrap();
        let block = (arena.alloc(10 * UNIT).unwrap(), 10);
        assert_eq!(arena.need(2), Need::Used(0), "the page in use was never faulted in ahead");
        assert_eq!(arena.need(2), Need::Free(1));
        let beside = (arena.alloc(32 * UNIT).unwrap(), 32);
        assert_eq!(unit(&arena, beside.0), 64, "a page that is held isn't handed out");
        arena.release(1);
        assert_eq!(arena.need(2), Need::Used(2));
        assert_eq!(arena.need(2), Need::Free(3));
        arena.release(3);
        assert_eq!(arena.need(2), Need::Ready(2));
        assert_eq!(arena.need(1), Need::Ready(2));
        release(&mut arena, block);
        assert_eq!(arena.need(2), Need::Free(0), "a page that was given back isn't ready");
        arena.release(0);
        release(&mut arena, beside);
        assert_eq!(arena.need(0), Need::Ready(3), "nothing is held without a reserve");
    }

    fn unit(arena: &Arena, block: Block) -> usize {
        (block.start.addr().get() - arena.start.addr().get()) / UNIT
    }

    fn release(arena: &mut Arena, (block, units): (Block, usize)) {
        // SAFETY: the tests free a block once, and the arena is the one that it is from.
        unsafe { arena.free(block.start.as_ptr(), units * UNIT) };
    }
}
