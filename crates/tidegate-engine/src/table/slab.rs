//! Where flows live: slots of both families, and what belongs to each.
//!
//! A slot's number says the family in its highest bit. The lowest free slot is given first, segment
//! by segment, so that a table that shrinks empties from its end, and the last segment's memory goes
//! back when nobody is in it. A generation tells a slot's tenants apart: it is drawn from one counter
//! for all slots.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::annex::{Annex, Extra, Links};
use super::column::{Column, Pages};
use super::counters::Counters;
use super::key::{Key, Key4, Key6};
use super::prefetch;
use super::record::{GENERATION, Record};
use super::wheel::{Timer, Timers};
use crate::flow::{Care, Correction, Flow, FlowId, Labels, Lifetime, Status};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

/// No slot.
pub(super) const NIL: u32 = u32::MAX;
/// Set in the slots of IPv6 flows.
pub(super) const V6: u32 = 1 << 31;
/// What is looked for: a tuple, filed under the number that the zone has for one of its directions.
pub(super) struct Asked<'a> {
    pub(super) tuple: &'a Tuple,
    pub(super) zone: Zone,
    pub(super) number: u16,
}

/// The slots of one family.
pub(crate) struct Shelf<K: Key> {
    pub(super) records: Column<Record<K>>,
    /// A vacant one, for who has to have one.
    pub(super) nobody: Record<K>,
    pub(super) annex: Annex<K>,
    pub(super) counters: Counters,
    /// When they were confirmed: nanoseconds plus one, or 0.
    births: Pages<u64>,
    /// There are none until somebody sets one.
    tags: Pages<Tags>,
    /// What is known of each segment of the records.
    houses: Vec<House>,
    /// A bit for each house that has a vacant slot.
    open: Vec<u64>,
}

/// What rules and callers pin to few flows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tags {
    labels: Labels,
    secmark: u32,
}

/// One segment.
#[derive(Clone, Copy)]
struct House {
    /// Its first vacant slot; the records lead to the others.
    vacant: u32,
    /// How many flows are in it.
    tenants: u32,
}

/// All slots.
#[derive(Default)]
pub(crate) struct Slab {
    pub(super) v4: Shelf<Key4>,
    pub(super) v6: Shelf<Key6>,
    generation: u32,
    /// What few flows have, by slot.
    cares: BTreeMap<u32, Care>,
    /// How many flows of the table each master has announced.
    children: BTreeMap<FlowId, u32>,
}

/// Runs the same code for the family of a slot.
macro_rules! on_shelf {
    ($slab:expr, $slot:expr, |$shelf:ident, $at:ident| $body:expr) => {{
        let $at = $slot & !V6;
        if $slot & V6 == 0 {
            let $shelf = &$slab.v4;
            $body
        } else {
            let $shelf = &$slab.v6;
            $body
        }
    }};
    (mut $slab:expr, $slot:expr, |$shelf:ident, $at:ident| $body:expr) => {{
        let $at = $slot & !V6;
        if $slot & V6 == 0 {
            let $shelf = &mut $slab.v4;
            $body
        } else {
            let $shelf = &mut $slab.v6;
            $body
        }
    }};
}

mod ahead;
mod plain;

impl Slab {
    /// Gives a flow the lowest free slot.
    pub(super) fn insert(&mut self, flow: &Flow) -> FlowId {
        self.generation = self.generation.wrapping_add(1) & GENERATION;
        let generation = self.generation;
        let slot = match flow.orig.family() {
            Family::V4 => self.v4.insert(flow, generation),
            Family::V6 => self.v6.insert(flow, generation) | V6,
        };
        if Care::is_of(flow) {
            let care = self.cares.remove(&NIL);
            self.set_care(slot, care.unwrap_or_default());
        }
        FlowId { slot, generation }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.forget_care(slot);
        on_shelf!(mut self, slot, |shelf, at| shelf.remove(at));
    }

    /// How many flows came after the one of that id.
    pub(super) fn age(&self, id: FlowId) -> u32 {
        self.generation.wrapping_sub(id.generation) & GENERATION
    }

    /// The flow of that id.
    pub(super) fn load(&self, id: FlowId) -> Option<Flow> {
        self.has(id).then(|| self.read(id.slot))
    }

    /// Whether a flow of that id is there.
    pub(super) fn has(&self, id: FlowId) -> bool {
        on_shelf!(self, id.slot, |shelf, at| shelf
            .records
            .get(at)
            .is_some_and(|record| record.is_of(id.generation)))
    }

    /// The flow of a slot that has one.
    pub(super) fn read(&self, slot: u32) -> Flow {
        on_shelf!(self, slot, |shelf, at| shelf.read(at))
    }

    /// What few flows have, of the flow in a slot, or of the one that is not in the table yet.
    pub(super) fn care(&self, slot: u32) -> Care {
        self.cares.get(&slot).copied().unwrap_or_default()
    }

    /// [`Slab::care`], if there is any.
    pub(super) fn care_if_any(&self, slot: u32) -> Option<Care> {
        self.cares.get(&slot).copied()
    }

    pub(super) fn forget_care(&mut self, slot: u32) {
        if self.has_cares() {
            let care = self.cares.remove(&slot);
            self.count_child(slot, care, None);
        }
    }

    /// Notes that the flow in a slot has this care now, and had that one before.
    fn count_child(&mut self, slot: u32, before: Option<Care>, now: Option<Care>) {
        let master = |care: Option<Care>| care.and_then(|care| care.master).map(|master| master.id);
        let (before, now) = (master(before), master(now));
        if slot == NIL || before == now {
            return;
        }
        if let Some(count) = before.and_then(|id| self.children.get_mut(&id)) {
            *count -= 1;
        }
        if let Some(id) = before.filter(|id| self.children(*id) == 0) {
            self.children.remove(&id);
        }
        if let Some(id) = now {
            *self.children.entry(id).or_default() += 1;
        }
    }

    /// How many flows of the table this one has announced.
    pub(super) fn children(&self, master: FlowId) -> u32 {
        self.children.get(&master).copied().unwrap_or(0)
    }

    /// Whether any flow has something of this.
    pub(super) fn has_cares(&self) -> bool {
        !self.cares.is_empty()
    }

    /// See [`Care::corrections`].
    pub(super) fn corrections(&self, slot: u32) -> Option<&[Correction; 2]> {
        self.cares.get(&slot).map(|care| &care.corrections)
    }

    pub(super) fn set_care(&mut self, slot: u32, care: Care) {
        let before = self.cares.insert(slot, care);
        self.count_child(slot, before, Some(care));
    }

    /// Writes a flow to the slot that it has, but for its tuples and zone, which never change.
    pub(super) fn update(&mut self, slot: u32, flow: &Flow) {
        on_shelf!(mut self, slot, |shelf, at| shelf.update(at, flow));
    }

    /// The id of the flow in a slot that has one.
    pub(super) fn id_of(&self, slot: u32) -> FlowId {
        let generation = on_shelf!(self, slot, |shelf, at| shelf.records.at(at).generation());
        FlowId { slot, generation }
    }

    /// Which direction of the slot's flow a tuple is, of those that carry the same number in the
    /// flow's zone and in the one that is asked for. A tuple that is its own inverse is the reply,
    /// as Linux files that in front.
    pub(super) fn direction_of(&self, slot: u32, asked: &Asked<'_>) -> Option<Direction> {
        on_shelf!(self, slot, |shelf, at| shelf.direction_of(at, asked))
    }

    pub(super) fn is_expired(&self, slot: u32, now: Instant) -> bool {
        on_shelf!(self, slot, |shelf, at| shelf.records.at(at).is_expired(now))
    }

    pub(super) fn status(&self, slot: u32) -> Status {
        on_shelf!(self, slot, |shelf, at| shelf.records.at(at).status())
    }

    /// Whether the flow in a slot has something left to announce.
    pub(super) fn has_notes(&self, slot: u32) -> bool {
        on_shelf!(self, slot, |shelf, at| {
            shelf.annex.extra(at, shelf.records.at(at)).is_some_and(Extra::has_notes)
        })
    }

    /// See [`Record::vetted`].
    pub(super) fn vetted(&self, slot: u32, epoch: u16, dir: Direction) -> Option<bool> {
        on_shelf!(self, slot, |shelf, at| shelf.records.at(at).vetted(epoch, dir))
    }

    /// See [`Record::set_vetted`].
    pub(super) fn set_vetted(&mut self, slot: u32, epoch: u16, dir: Direction, passes: bool) {
        on_shelf!(mut self, slot, |shelf, at| shelf.records.at_mut(at).set_vetted(epoch, dir, passes));
    }

    /// Forgets what the rules said of any flow.
    pub(super) fn forget_vetting(&mut self) {
        for slot in 0..self.v4.records.len() {
            self.v4.records.at_mut(slot).forget_vetting();
        }
        for slot in 0..self.v6.records.len() {
            self.v6.records.at_mut(slot).forget_vetting();
        }
    }

    /// Whether the flow has one entry for each direction in the index.
    pub(super) fn is_mapped(&self, slot: u32) -> bool {
        on_shelf!(self, slot, |shelf, at| shelf.records.at(at).is_mapped())
    }

    /// The original tuple of the flow in a slot, and its zone.
    pub(super) fn origin(&self, slot: u32) -> (Tuple, Zone) {
        on_shelf!(self, slot, |shelf, at| {
            let record = shelf.records.at(at);
            (record.key.tuple(record.cells.proto), shelf.annex.zone(at, record))
        })
    }

    /// The neighbours of a flow among those of its source.
    pub(super) fn links(&self, slot: u32) -> Links {
        on_shelf!(self, slot, |shelf, at| shelf.annex.links(at))
    }

    /// Where they are kept.
    pub(super) fn links_mut(&mut self, slot: u32) -> &mut Links {
        on_shelf!(mut self, slot, |shelf, at| shelf.annex.links_mut(at))
    }

    /// The slot that comes behind one in the order of [`Slab::slots`], whether anybody is in it or not; `None` behind
    /// the last.
    pub(super) fn slot_behind(&self, slot: u32) -> Option<u32> {
        if slot & V6 == 0 && slot + 1 < self.v4.records.len() {
            return Some(slot + 1);
        }
        let next = if slot & V6 == 0 { V6 } else { slot + 1 };
        (next & !V6 < self.v6.records.len()).then_some(next)
    }

    /// Whether a flow is in a slot, which need not be one.
    pub(super) fn is_let(&self, slot: u32) -> bool {
        on_shelf!(self, slot, |shelf, at| shelf
            .records
            .get(at)
            .is_some_and(|record| !record.is_vacant()))
    }

    /// All slots that have a flow, IPv4 first.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        let v4 = self.v4.slots();
        v4.chain(self.v6.slots().map(|slot| slot | V6))
    }
}

impl Timers for Slab {
    #[inline(always)]
    fn timer(&mut self, slot: u32) -> Option<Timer<'_>> {
        on_shelf!(mut self, slot, |shelf, at| {
            let record = shelf.records.get_mut(at).filter(|record| !record.is_vacant())?;
            Some(Timer { deadline: record.deadline_tick(), armed: &mut record.armed })
        })
    }

    #[inline(always)]
    fn set_armed(&mut self, slot: u32, tick: u32) {
        on_shelf!(mut self, slot, |shelf, at| shelf.records.at_mut(at).armed = tick);
    }
}

impl<K: Key> Default for Shelf<K> {
    fn default() -> Self {
        Self {
            records: Column::default(),
            nobody: Record::vacant(NIL),
            annex: Annex::default(),
            counters: Counters::default(),
            births: Pages::default(),
            tags: Pages::default(),
            houses: Vec::new(),
            open: Vec::new(),
        }
    }
}

impl<K: Key> Shelf<K> {
    /// The record of a slot, or nobody's.
    #[inline(always)]
    pub(super) fn record(&self, at: u32) -> &Record<K> {
        let Some(record) = self.records.get(at) else { return self.nobody() };
        record
    }

    /// A call, so that who finds a record does not put this one by first.
    #[cold]
    #[inline(never)]
    fn nobody(&self) -> &Record<K> {
        &self.nobody
    }

    fn insert(&mut self, flow: &Flow, generation: u32) -> u32 {
        let at = self.let_lowest();
        self.records.at_mut(at).begin(generation);
        if let Some(counters) = flow.acct {
            self.counters.begin(at, counters);
        }
        self.write(at, flow);
        self.set_birth(at, flow.lifetime.and_then(|lifetime| lifetime.start));
        at
    }

    /// Gives a new tenant the lowest slot that is vacant.
    #[inline]
    fn let_lowest(&mut self) -> u32 {
        let at = self.lowest_vacant();
        self.houses[Column::<Record<K>>::segment_of(at)].tenants += 1;
        at
    }

    #[inline]
    fn set_birth(&mut self, at: u32, birth: Option<Instant>) {
        if let Some(birth) = birth {
            *self.births.place(at) = birth.nanos().saturating_add(1);
        } else if self.births.peek(at).is_some() {
            *self.births.place(at) = 0;
        }
    }

    fn lowest_vacant(&mut self) -> u32 {
        let Some(word) = self.open.iter().position(|word| *word != 0) else {
            return self.build();
        };
        let house = word * 64 + self.open[word].trailing_zeros() as usize;
        let at = self.houses[house].vacant;
        let next = self.records.at(at).armed;
        self.houses[house].vacant = next;
        if next == NIL {
            self.open[word] &= !(1 << (house % 64));
        }
        // Whoever comes next finds it near.
        if let Some(record) = self.records.get(next) {
            prefetch::lines_near(record);
        }
        at
    }

    /// A slot that never was.
    fn build(&mut self) -> u32 {
        self.records.push(Record::vacant(NIL));
        let at = self.records.len() - 1;
        if Column::<Record<K>>::segment_of(at) == self.houses.len() {
            self.houses.push(House { vacant: NIL, tenants: 0 });
            self.open.resize(self.houses.len().div_ceil(64), 0);
        }
        at
    }

    fn set_vacant(&mut self, house: usize, at: u32) {
        self.houses[house].vacant = at;
        let bit = 1 << (house % 64);
        let word = &mut self.open[house / 64];
        *word = if at == NIL { *word & !bit } else { *word | bit };
    }

    fn remove(&mut self, at: u32) {
        self.counters.forget(at);
        let house = Column::<Record<K>>::segment_of(at);
        *self.records.at_mut(at) = Record::vacant(self.houses[house].vacant);
        self.set_vacant(house, at);
        self.houses[house].tenants -= 1;
        if self.houses[house].tenants == 0 {
            self.give_back();
        }
    }

    /// Gives the memory of empty segments at the end back, but not while the one before is about
    /// to fill up.
    fn give_back(&mut self) {
        while let [.., before, last] = self.houses[..]
            && last.tenants == 0
            && before.tenants < Column::<Record<K>>::SEGMENT / 2
        {
            self.records.truncate();
            self.houses.pop();
            self.open.truncate(self.houses.len().div_ceil(64));
            let gone = self.houses.len();
            if let Some(word) = self.open.get_mut(gone / 64) {
                *word &= !(1 << (gone % 64));
            }
        }
    }

    fn read(&self, at: u32) -> Flow {
        let record = self.records.at(at);
        let mut flow = record.read();
        self.annex.read(at, record, &mut flow);
        if record.has_counters() {
            flow.acct = Some(self.counters.read(at));
        }
        Tags { labels: flow.labels, secmark: flow.secmark } = self.tags.get(at);
        let birth = self.births.peek(at).and_then(|birth| birth.checked_sub(1));
        flow.lifetime =
            birth.map(|birth| Lifetime { start: Some(Instant::from_nanos(birth)), stop: None });
        flow
    }

    /// Writes a flow whose tuples are those that the record has.
    fn update(&mut self, at: u32, flow: &Flow) {
        self.records.at_mut(at).update(flow);
        self.write_the_rest(at, flow);
    }

    fn write(&mut self, at: u32, flow: &Flow) {
        self.records.at_mut(at).write(flow);
        self.write_the_rest(at, flow);
    }

    /// Writes what the record says to be elsewhere.
    fn write_the_rest(&mut self, at: u32, flow: &Flow) {
        self.annex.write(at, self.records.at(at), flow);
        if let Some(counters) = flow.acct {
            self.counters.set(at, counters);
        }
        let tags = Tags { labels: flow.labels, secmark: flow.secmark };
        if tags != Tags::default() || self.tags.peek(at).is_some() {
            *self.tags.place(at) = tags;
        }
    }

    fn direction_of(&self, at: u32, asked: &Asked<'_>) -> Option<Direction> {
        let record = self.records.at(at);
        if record.cells.proto != asked.tuple.proto {
            return None;
        }
        let key = K::of(asked.tuple);
        let reply = match self.annex.mapping(at, record) {
            None => inverse(record),
            mapping => self.annex.reply(at, record.key, mapping),
        };
        let zone = self.annex.zone(at, record);
        let fits = |dir| [zone, asked.zone].iter().all(|zone| zone.id_in(dir) == asked.number);
        if key == reply && fits(Direction::Reply) {
            Some(Direction::Reply)
        } else {
            (key == record.key && fits(Direction::Original)).then_some(Direction::Original)
        }
    }

    fn slots(&self) -> impl Iterator<Item = u32> {
        (0..self.records.len()).filter(|at| !self.records.at(*at).is_vacant())
    }
}

/// The inverse of a record's tuple.
fn inverse<K: Key>(record: &Record<K>) -> K {
    let tuple = record.key.tuple(record.cells.proto);
    if tuple.has_ports() {
        return record.key.swapped();
    }
    tuple.invert().map_or(record.key, |inverse| K::of(&inverse))
}

#[cfg(test)]
mod tests;
