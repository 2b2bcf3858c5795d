//! What flows have counted, where they do (`nf_conntrack_acct`): packets and bytes of both directions, in eight bytes.
//!
//! All four numbers are exact to their 64th bit; but most flows end long before they need so many. So each direction has
//! a [`Cell`] of 32 bits, 11 for its packets and 20 for its bytes. With the packet that is too much for one of them (its
//! 2,048th, or the one that makes a mebibyte) the flow gets a place of 32 bytes for four whole numbers, and its cells say
//! which. It keeps that until its counters are set anew, as when somebody reads and zeroes them, or it has gone.
//! Nothing is carried over again and again, and nothing has to be searched for.
//!
//! Narrower cells would be outgrown by too many, wider ones are paid for by everybody. A flow takes so many bytes, if
//! such a share of them have a place:
//!
//! | a cell has | up to | none | 1 % | 3 % | 10 % | all |
//! |---|---|---|---|---|---|---|
//! | 24 bits | 255 packets, 32 KiB | 6 | 6.3 | 7.0 | 9.2 | 38 |
//! | **32 bits** | **2,047, 1 MiB** | **8** | **8.3** | **9.0** | **11.2** | **40** |
//! | 48 bits | 524,287, 256 MiB | 12 | 12.3 | 13.0 | 15.2 | 44 |
//! | 64 bits | 2^27, 64 GiB | 16 | 16.3 | 17.0 | 19.2 | 48 |
//! | 128 bits | | 32 | | | | |
//!
//! So cells of 48 bits take less only where one flow in eight is beyond 2,047 packets or a mebibyte, and those of 24 where not
//! one in sixteen is between the two limits, which page loads and calls would be. These shares were not measured.
//!
//! No packet of an established flow asks for memory: places given back are taken first, and that for the next 32,768
//! is had ready by flows that begin. Only if more than that grow large before another flow begins does one of them.
//!
//! Packets of a flow that has a place read a second line, which is asked for shortly before their turn ([`Counters::bring`]).
//! Where few flows have one these lines are in the cache; where all of a million have, a packet took half as long again. That
//! asks 2,048 packets a flow of an attacker.

use alloc::vec::Vec;

use super::column::{Column, Pages};
use super::prefetch;
use super::slab::NIL;
use crate::flow::Counter;
use crate::tuple::Direction;

/// What the flows of one family have counted, by slot. Of a slot without a flow that counts it holds whatever
/// was there before, but for places.
#[derive(Default)]
pub(super) struct Counters {
    cells: Pages<[Cell; 2]>,
    places: Places,
}

impl Counters {
    /// Whether no flow ever counted.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// What a flow that counts has counted.
    pub(super) fn read(&self, at: u32) -> [Counter; 2] {
        self.places.read(self.cells.get(at))
    }

    /// [`Counters::set`] of a flow that begins. As it may take memory, that for places to come is asked for now.
    pub(super) fn begin(&mut self, at: u32, counters: [Counter; 2]) {
        self.set(at, counters);
        self.places.look_ahead();
    }

    /// Makes these a flow's counters, whatever they or those of the slot's last tenant were.
    pub(super) fn set(&mut self, at: u32, counters: [Counter; 2]) {
        self.places.set(self.cells.place(at), counters);
    }

    /// Counts a packet of `bytes` L3 bytes. => [`Counters::set`]
    #[inline(always)]
    pub(super) fn count(&mut self, at: u32, dir: Direction, bytes: usize) {
        let Some(cells) = self.cells.peek_mut(at) else { return };
        let cell = &mut cells[dir.index()];
        match cell.with(bytes) {
            Some(sum) => *cell = sum,
            None => self.places.count(cells, dir, bytes),
        }
    }

    /// Gives back what a flow has that has gone.
    #[inline(always)]
    pub(super) fn forget(&mut self, at: u32) {
        if self.has_places() {
            self.forget_place(at);
        }
    }

    #[inline(never)]
    fn forget_place(&mut self, at: u32) {
        if let Some(cells) = self.cells.peek_mut(at) {
            self.places.set(cells, Default::default());
        }
    }

    /// Has a flow's cells read into the cache, if it may have any.
    #[inline(always)]
    pub(super) fn read_ahead(&self, at: u32) {
        if let Some(cells) = self.cells.peek_if_any(at) {
            prefetch::line(cells);
        }
    }

    /// Whether any flow ever had a place.
    #[inline(always)]
    pub(super) fn has_places(&self) -> bool {
        self.places.counters.len() != 0
    }

    /// Brings the place of a flow near that has one, whose cells were [read ahead](Counters::read_ahead).
    #[inline(always)]
    pub(super) fn bring(&self, at: u32) {
        if self.has_places() {
            self.bring_place(at);
        }
    }

    #[inline(never)]
    fn bring_place(&self, at: u32) {
        let place = self.cells.peek(at).and_then(|cells| cells[0].place());
        if let Some(counters) = place.and_then(|place| self.places.counters.get(place)) {
            prefetch::near(counters);
        }
    }
}

/// What a direction has counted: from the lowest bit its bytes, then its packets; or with [`Cell::HAS_PLACE`] where
/// that is, and so has the other direction's then.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Cell(u32);

const _: () = assert!(size_of::<[Cell; 2]>() == 8);

impl Cell {
    const BYTE_BITS: u32 = 20;
    /// The most bytes.
    const BYTES: u32 = (1 << Self::BYTE_BITS) - 1;
    const ONE_PACKET: u32 = 1 << Self::BYTE_BITS;
    const HAS_PLACE: u32 = 1 << 31;
    /// The most packets.
    const PACKETS: u32 = (Self::HAS_PLACE >> Self::BYTE_BITS) - 1;

    /// That of a counter, if it is no more than a cell holds.
    fn of(counter: Counter) -> Option<Self> {
        let Counter { packets, bytes } = counter;
        let fits = packets <= u64::from(Self::PACKETS) && bytes <= u64::from(Self::BYTES);
        fits.then_some(Self((packets as u32) << Self::BYTE_BITS | bytes as u32))
    }

    /// What it says, if it has no place.
    fn small(self) -> Counter {
        let [packets, bytes] = [self.0 >> Self::BYTE_BITS, self.0 & Self::BYTES];
        Counter { packets: packets.into(), bytes: bytes.into() }
    }

    fn place(self) -> Option<u32> {
        (self.0 & Self::HAS_PLACE != 0).then_some(self.0 & !Self::HAS_PLACE)
    }

    /// The cell with one packet more; `None` if that is more than it holds, or what it says is elsewhere.
    #[inline(always)]
    fn with(self, bytes: usize) -> Option<Self> {
        let next = self.0.wrapping_add(Self::ONE_PACKET);
        let has_room = bytes <= (!self.0 & Self::BYTES) as usize;
        let fits = (self.0 | next) & Self::HAS_PLACE == 0 && has_room;
        fits.then(|| Self(next.wrapping_add(bytes as u32)))
    }
}

/// Where flows count that have outgrown their cells.
struct Places {
    counters: Column<[Counter; 2]>,
    /// A place that is nobody's, or [`NIL`]. Its first packets say which is the next.
    vacant: u32,
    /// Memory for the next segment.
    ahead: Option<Vec<[Counter; 2]>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { counters: Column::default(), vacant: NIL, ahead: None }
    }
}

impl Places {
    fn read(&self, cells: [Cell; 2]) -> [Counter; 2] {
        match cells[0].place() {
            Some(place) => *self.counters.at(place),
            None => cells.map(Cell::small),
        }
    }

    /// Has cells say this, themselves or in a place.
    fn set(&mut self, cells: &mut [Cell; 2], counters: [Counter; 2]) {
        match (counters.map(Cell::of), cells[0].place()) {
            ([Some(original), Some(reply)], place) => {
                *cells = [original, reply];
                place.into_iter().for_each(|place| self.give_back(place));
            }
            (_, Some(place)) => *self.counters.at_mut(place) = counters,
            (_, None) => *cells = self.take(counters),
        }
    }

    /// Counts a packet for which there is no room in the cells.
    #[inline(never)]
    fn count(&mut self, cells: &mut [Cell; 2], dir: Direction, bytes: usize) {
        match cells[0].place() {
            Some(place) => self.counters.at_mut(place)[dir.index()].count(bytes),
            None => {
                let mut counters = cells.map(Cell::small);
                counters[dir.index()].count(bytes);
                *cells = self.take(counters);
            }
        }
    }

    /// Puts counters into a place; the cells that say so.
    fn take(&mut self, counters: [Counter; 2]) -> [Cell; 2] {
        let mut place = self.vacant;
        if place == NIL {
            place = self.counters.len();
            let ahead = &mut self.ahead;
            self.counters.push_with(counters, || ahead.take().unwrap_or_else(Column::segment));
        } else {
            let [before, _] = core::mem::replace(self.counters.at_mut(place), counters);
            self.vacant = before.packets as u32;
        }
        [Cell(place | Cell::HAS_PLACE); 2]
    }

    /// Has memory for as many places as a segment holds ready, besides what is left of the last one.
    #[inline(always)]
    fn look_ahead(&mut self) {
        if self.ahead.is_none() {
            self.ahead = Some(self.counters.segment_ahead());
        }
    }

    fn give_back(&mut self, place: u32) {
        let next = Counter { packets: self.vacant.into(), bytes: 0 };
        *self.counters.at_mut(place) = [next, Counter::default()];
        self.vacant = place;
    }
}

#[cfg(test)]
pub(super) mod tests;
