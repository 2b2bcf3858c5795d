//! Arrays that grow without moving what is in them.
//!
//! A [`Column`] is dense: one value for each slot ever used, in segments of one size, about a mebibyte: a
//! slot's place is one shift away, and a segment is no larger than an allocator can have ready. Its memory is
//! reserved as a whole and touched only as far as it is used, so that a small table is small where memory is
//! what was touched; where it is what was asked for, an engine's first flow of IPv4 takes 1.3 MB, that of IPv6
//! 0.9 MB, and the first that NAT has to do with about as much for each thing that it adds. A first segment
//! that grows with what is in it would cost every first packet of a small table 130 instructions. Nothing is
//! copied when the table grows, whatever its size. [`Pages`] are for what not all flows have: pages of 65,536
//! values, made when the first slot of one needs its value. Smaller ones would not be put on huge pages
//! (`gateway::memory`).
//!
//! Where a slot lies is all that this file knows.

use alloc::vec::Vec;

/// What a segment has at most, in bytes.
const MOST: usize = 3 << 19;

/// Values in a page: as many in all pages, so that a slot's place is worked out once, and so many that no page is too small for
/// huge pages.
const PAGE: usize = 1 << 16;

/// One value for each slot; see the module's documentation. Slots are below 2^31.
pub(super) struct Column<T> {
    segments: Vec<Vec<T>>,
    len: u32,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }
}

impl<T> Column<T> {
    /// Values in a segment: a power of two.
    pub(super) const SEGMENT: u32 = 1 << Self::BITS;
    const BITS: u32 = (MOST / size_of::<T>()).ilog2();

    /// How many slots have a value: those below this number.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Gives the slot [`Column::len`] its value.
    pub(super) fn push(&mut self, value: T) {
        self.push_with(value, Self::segment);
    }

    /// [`Column::push`], with memory for a segment if it takes a new one.
    #[inline(always)]
    pub(super) fn push_with(&mut self, value: T, memory: impl FnOnce() -> Vec<T>) {
        let (segment, _) = Self::place(self.len);
        if segment == self.segments.len() {
            self.segments.push(memory());
        }
        self.segments[segment].push(value);
        self.len += 1;
    }

    /// Memory for a segment.
    pub(super) fn segment() -> Vec<T> {
        Vec::with_capacity(Self::SEGMENT as usize)
    }

    /// [`Column::segment`] for [`Column::push_with`], which then asks for no memory at all.
    pub(super) fn segment_ahead(&mut self) -> Vec<T> {
        self.segments.reserve(1);
        Self::segment()
    }

    #[inline(always)]
    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        let (segment, at) = Self::place(slot);
        self.segments.get(segment)?.get(at)
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (segment, at) = Self::place(slot);
        self.segments.get_mut(segment)?.get_mut(at)
    }

    /// The value of a slot that has one.
    #[inline(always)]
    pub(super) fn at(&self, slot: u32) -> &T {
        let (segment, at) = Self::place(slot);
        &self.segments[segment][at]
    }

    /// See [`Column::at`].
    #[inline(always)]
    pub(super) fn at_mut(&mut self, slot: u32) -> &mut T {
        let (segment, at) = Self::place(slot);
        &mut self.segments[segment][at]
    }

    /// Takes the last value back, and with the first of a segment its memory.
    pub(super) fn pop(&mut self) -> Option<T> {
        let last = self.segments.last_mut()?;
        let value = last.pop();
        if last.is_empty() {
            self.segments.pop();
        }
        self.len -= u32::from(value.is_some());
        value
    }

    /// The slots of the last segment, which [`Column::truncate`] can give back.
    pub(super) fn last_segment(&self) -> core::ops::Range<u32> {
        let last = self.len.saturating_sub(1);
        last & !(Self::SEGMENT - 1)..self.len
    }

    /// Gives the last segment's memory back.
    pub(super) fn truncate(&mut self) {
        self.len = self.last_segment().start;
        self.segments.pop();
    }

    /// The segment of a slot, and its place there.
    #[inline(always)]
    fn place(slot: u32) -> (usize, usize) {
        ((slot >> Self::BITS) as usize, (slot & (Self::SEGMENT - 1)) as usize)
    }

    /// The segment of a slot.
    pub(super) fn segment_of(slot: u32) -> usize {
        Self::place(slot).0
    }
}

/// Values for some slots; see the module's documentation.
pub(super) struct Pages<T> {
    pages: Vec<Vec<T>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Copy + Default> Pages<T> {
    /// The slot's value; the default where it was never set.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> T {
        self.peek(slot).copied().unwrap_or_default()
    }

    /// [`Pages::peek`], for what mostly no slot has a place for: that is asked before anything is worked out.
    #[inline(always)]
    pub(super) fn peek_if_any(&self, slot: u32) -> Option<&T> {
        if self.is_empty() { None } else { self.peek(slot) }
    }

    /// Whether no slot ever needed a value.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The slot's value where there is a place for it.
    #[inline]
    pub(super) fn peek(&self, slot: u32) -> Option<&T> {
        let (page, at) = Self::split(slot);
        self.pages.get(page)?.get(at)
    }

    /// [`Pages::peek`], to change it.
    #[inline(always)]
    pub(super) fn peek_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, at) = Self::split(slot);
        self.pages.get_mut(page)?.get_mut(at)
    }

    /// The place of the slot's value, which is made if need be.
    #[inline]
    pub(super) fn place(&mut self, slot: u32) -> &mut T {
        let (page, at) = Self::split(slot);
        if self.pages.get(page).is_none_or(|page| at >= page.len()) {
            self.make(page, at);
        }
        &mut self.pages[page][at]
    }

    /// The page of a slot, and its place there.
    #[inline(always)]
    fn split(slot: u32) -> (usize, usize) {
        (slot as usize / PAGE, slot as usize % PAGE)
    }

    #[cold]
    fn make(&mut self, page: usize, at: usize) {
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, Vec::new);
        }
        let page = &mut self.pages[page];
        if page.capacity() == 0 {
            page.reserve_exact(PAGE);
        }
        page.resize(at + 1, T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_keeps_every_value_where_it_was_put() {
        const MANY: u32 = 300_000;
        let mut column = Column::default();
        for slot in 0..MANY {
            assert_eq!(column.len(), slot);
            column.push(slot * 3);
        }
        assert!((0..MANY).all(|slot| *column.at(slot) == slot * 3));
        assert_eq!(column.get(MANY), None);
        *column.at_mut(5) = 1;
        assert_eq!(column.get(5), Some(&1));
    }

    #[test]
    fn the_last_segment_can_be_given_back() {
        type Column = super::Column<[u8; 1024]>;
        const LEN: u32 = Column::SEGMENT;
        let mut column = Column::default();
        assert_eq!(column.last_segment(), 0..0);
        (0..2 * LEN + 1).for_each(|_| column.push([0; 1024]));
        assert_eq!(column.last_segment(), 2 * LEN..2 * LEN + 1);
        column.truncate();
        assert_eq!((column.len(), column.last_segment()), (2 * LEN, LEN..2 * LEN));
        column.push([9; 1024]);
        assert_eq!(column.get(2 * LEN), Some(&[9; 1024]));
        assert_eq!(column.get(2 * LEN + 1), None);
        column.truncate();
        column.truncate();
        column.truncate();
        assert_eq!((column.len(), column.last_segment()), (0, 0..0));
    }

    #[test]
    fn values_are_taken_back_one_by_one() {
        type Column = super::Column<[u16; 512]>;
        let mut column = Column::default();
        assert_eq!(column.pop(), None);
        for round in 0..3 {
            let len = 2 * Column::SEGMENT + round;
            (0..len).for_each(|slot| column.push([slot as u16; 512]));
            let segments = column.segments.len();
            assert_eq!(segments, len.div_ceil(Column::SEGMENT) as usize);
            for slot in (0..len).rev() {
                assert_eq!(column.pop(), Some([slot as u16; 512]));
                assert_eq!((column.len(), column.get(slot)), (slot, None));
            }
            assert_eq!((column.pop(), column.segments.len()), (None, 0));
        }
    }

    #[test]
    fn a_segment_begins_where_the_one_before_ends_and_is_no_longer_than_it_may_be() {
        fn check<T>() {
            let len = Column::<T>::SEGMENT;
            assert!((MOST / 2..=MOST).contains(&(len as usize * size_of::<T>())));
            for segment in 1..40 {
                let first = segment as u32 * len;
                assert_eq!(Column::<T>::place(first), (segment, 0));
                assert_eq!(Column::<T>::place(first - 1), (segment - 1, len as usize - 1));
                assert_eq!(Column::<T>::segment_of(first), segment);
            }
        }
        check::<u8>();
        check::<[u8; 80]>();
        check::<[u8; 1024]>();
        check::<[u8; 5000]>();
    }

    #[test]
    fn pages_exist_only_where_a_slot_needs_one() {
        let mut pages: Pages<u64> = Pages::default();
        assert_eq!((pages.get(7), pages.peek(7)), (0, None));
        *pages.place(20_000) = 3;
        assert_eq!((pages.get(20_000), pages.get(19_999), pages.get(20_001)), (3, 0, 0));
        let behind = PAGE as u32;
        assert_eq!((pages.get(20_000 + behind), pages.peek(20_001)), (0, None));
        assert_eq!(pages.pages.iter().filter(|page| page.capacity() > 0).count(), 1);
    }
}
