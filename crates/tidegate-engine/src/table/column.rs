//! Arrays that grow without moving what is in them.
//!
//! A [`Column`] is dense: one value for each slot ever used, in segments of 1,024, 2,048, 4,096 … and
//! then of one size, 65,536 values or 8 MiB, whichever is less: so a slot's place is two shifts away,
//! a small table is small, and no segment is larger than an allocator can have ready. A segment's
//! memory is reserved as a whole and touched only as far as it is used; nothing is copied when the
//! table grows, whatever its size. [`Pages`] are for what few flows have: pages of 16,384 values,
//! large enough for huge pages, made when the first slot of one needs its value.
//!
//! Where a slot lies is all that this file knows.

use alloc::vec::Vec;

/// Values in the first segment.
const FIRST: u32 = 1 << FIRST_BITS;
const FIRST_BITS: u32 = 10;
/// What the largest segments are at most, in values and in bytes.
const MOST_BITS: u32 = 16;
const MOST_BYTES: usize = 8 << 20;

/// Values in a page.
const PAGE: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 14;

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
    /// Values in the segments that are the largest.
    const LAST_BITS: u32 = {
        let bits = (MOST_BYTES / size_of::<T>()).ilog2();
        if bits < MOST_BITS { bits } else { MOST_BITS }
    };

    /// How many slots have a value: those below this number.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Gives the slot [`Column::len`] its value.
    pub(super) fn push(&mut self, value: T) {
        let (segment, _) = Self::place(self.len);
        if segment == self.segments.len() {
            let most = FIRST << (segment as u32).min(Self::LAST_BITS - FIRST_BITS);
            self.segments.push(Vec::with_capacity(most as usize));
        }
        self.segments[segment].push(value);
        self.len += 1;
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

    /// The slots of the last segment, which [`Column::truncate`] can give back.
    pub(super) fn last_segment(&self) -> core::ops::Range<u32> {
        self.len.checked_sub(1).map_or(0..0, |last| Self::first_of(Self::place(last).0)..self.len)
    }

    /// Gives the last segment's memory back.
    pub(super) fn truncate(&mut self) {
        self.len = self.last_segment().start;
        self.segments.pop();
    }

    /// The segment of a slot, and its place there. No branch, for nobody can guess whether a slot is in one of the
    /// largest segments.
    #[inline(always)]
    fn place(slot: u32) -> (usize, usize) {
        let number = slot + FIRST;
        let bits = number.ilog2().min(Self::LAST_BITS);
        let segment = (bits - FIRST_BITS) + (number >> bits) - 1;
        (segment as usize, (number & ((1 << bits) - 1)) as usize)
    }

    /// The first slot of a segment.
    fn first_of(segment: usize) -> u32 {
        let segment = segment as u32;
        match segment.checked_sub(Self::LAST_BITS - FIRST_BITS) {
            Some(beyond) => ((beyond + 1) << Self::LAST_BITS) - FIRST,
            None => (FIRST << segment) - FIRST,
        }
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

    /// The slot's value where there is a place for it.
    #[inline]
    pub(super) fn peek(&self, slot: u32) -> Option<&T> {
        self.pages.get((slot >> PAGE_BITS) as usize)?.get(slot as usize % PAGE)
    }

    /// The place of the slot's value, which is made if need be.
    #[inline]
    pub(super) fn place(&mut self, slot: u32) -> &mut T {
        let (page, at) = ((slot >> PAGE_BITS) as usize, slot as usize % PAGE);
        if self.pages.get(page).is_none_or(|page| at >= page.len()) {
            self.make(page, at);
        }
        &mut self.pages[page][at]
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
    fn segments_double_and_the_last_one_can_be_given_back() {
        let mut column = Column::default();
        (0..3_073u32).for_each(|slot| column.push(slot));
        assert_eq!(column.last_segment(), 3_072..3_073);
        let segments = [1_023, 1_024, 3_072].map(Column::<u32>::segment_of);
        assert_eq!(segments, [0, 1, 2]);
        column.truncate();
        assert_eq!((column.len(), column.last_segment()), (3_072, 1_024..3_072));
        column.push(9);
        assert_eq!(column.get(3_072), Some(&9));
    }

    #[test]
    fn a_segment_begins_where_the_one_before_ends() {
        fn check<T>() {
            for segment in 1..40 {
                let first = Column::<T>::first_of(segment);
                assert_eq!(Column::<T>::place(first), (segment, 0));
                let (before, last) = Column::<T>::place(first - 1);
                let len = first - Column::<T>::first_of(segment - 1);
                assert_eq!((before, last), (segment - 1, len as usize - 1));
            }
        }
        check::<u8>();
        check::<[u8; 1024]>();
        check::<[u8; 5000]>();
    }

    #[test]
    fn pages_exist_only_where_a_slot_needs_one() {
        let mut pages: Pages<u64> = Pages::default();
        assert_eq!((pages.get(7), pages.peek(7)), (0, None));
        *pages.place(20_000) = 3;
        assert_eq!((pages.get(20_000), pages.get(19_999), pages.get(20_001)), (3, 0, 0));
        assert_eq!(pages.pages.iter().filter(|page| page.capacity() > 0).count(), 1);
    }
}
