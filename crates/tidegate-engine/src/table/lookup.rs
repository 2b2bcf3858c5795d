//! Look-ups of tuples of which something is known, one by one or many at once.

use core::net::IpAddr;

use tidegate_wire::Family;

use super::ahead::Ahead;
use super::express::Shelved;
use super::key::{Key, Key4, Key6};
use super::record::{Record, Tick};
use super::{FlowTable, Hint, Spot};
use crate::flow::FlowId;
use crate::path::{BURST, NEAR};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

mod search;

use self::search::Found;

impl FlowTable {
    /// [`FlowTable::lookup`], of a tuple of which this is known in the zone's number for the original
    /// direction.
    #[inline]
    #[must_use]
    pub(crate) fn lookup_expected(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        hint: Hint,
    ) -> Option<(FlowId, Direction)> {
        self.lookup_simple(now, tuple, zone, hint).or_else(|| self.lookup_any(now, tuple, zone))
    }

    /// [`FlowTable::lookup_expected`] for tuples with ports of the default zone, as most are. `None`
    /// says nothing.
    #[inline(always)]
    pub(super) fn lookup_simple(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        hint: Hint,
    ) -> Option<(FlowId, Direction)> {
        if !self.is_simple(zone) || !tuple.has_ports() {
            return None;
        }
        match tuple.src {
            IpAddr::V4(_) => self.living(now, (Key4::of(tuple), tuple.proto), hint),
            IpAddr::V6(_) => self.living(now, (Key6::of(tuple), tuple.proto), hint),
        }
    }

    /// Whether a tuple with ports has one owner in a zone at most, and one hash.
    #[inline(always)]
    fn is_simple(&self, zone: Zone) -> bool {
        zone == Zone::default() && self.one_way == 0 && self.retired_key.is_none()
    }

    /// [`FlowTable::lookup`] of some tuples, at most a burst; their flows are read ahead together. `each` is told
    /// the tuple's number and what was found.
    pub(crate) fn lookup_all(
        &self,
        now: Instant,
        tuples: &[Tuple],
        zone: Zone,
        mut each: impl FnMut(usize, Option<(FlowId, Direction)>),
    ) {
        let is_done = self.is_simple(zone)
            && match tuples.first().map(Tuple::family) {
                None => true,
                Some(Family::V4) => self.lookup_alike::<Key4>(now, tuples, &mut each),
                Some(Family::V6) => self.lookup_alike::<Key6>(now, tuples, &mut each),
            };
        if is_done {
            return;
        }
        let mut hints = [Hint::NOTHING; BURST];
        self.expect_all(tuples, zone, &mut hints);
        for (number, (tuple, hint)) in tuples.iter().zip(hints).enumerate() {
            each(number, self.lookup_expected(now, tuple, zone, hint));
        }
    }

    /// What is known of some tuples before they are looked up in a zone; what that will read is asked
    /// for.
    pub(crate) fn expect_all(&self, tuples: &[Tuple], zone: Zone, hints: &mut [Hint; BURST]) {
        let mut ahead = Ahead::new();
        for ((hash, tuple), hint) in ahead.hashes.iter_mut().zip(tuples).zip(&mut *hints) {
            *hash = self.hash(tuple, zone, Direction::Original);
            hint.hash = *hash;
        }
        ahead.ask(self, 0..tuples.len());
        let spots = &mut [Spot::NOWHERE; BURST + NEAR];
        ahead.read(self, tuples.len(), spots, |number, slot| hints[number].slot = slot);
    }

    /// [`FlowTable::lookup_all`] in the default zone, of tuples of one family that have ports; `false`, and nobody
    /// is told anything, if there are others. => [`FlowTable::is_simple`]
    #[inline(never)]
    fn lookup_alike<K: Shelved>(
        &self,
        now: Instant,
        tuples: &[Tuple],
        each: &mut impl FnMut(usize, Option<(FlowId, Direction)>),
    ) -> bool {
        let mut wanted = [(K::default(), 0); BURST];
        let mut ahead = Ahead::new();
        let is_alike = ahead.begin(self, tuples.len(), |group, hashes| {
            let wanted = wanted.get_mut(group.clone()).unwrap_or_default();
            search::hash_all(self, tuples.get(group).unwrap_or_default(), wanted, hashes)
        });
        if !is_alike {
            return false;
        }
        let mut found = Found::new(K::shelf(&self.slab));
        ahead.find(self, tuples.len(), &mut found);
        let tick = Tick::of(now);
        let wanted = wanted.get(..tuples.len()).unwrap_or_default();
        let found = ahead.slots.iter().zip(&found.records).zip(&ahead.hashes);
        for (number, (((slot, record), hash), wanted)) in found.zip(wanted).enumerate() {
            let seen = self.living_in((*slot, *record), tick, *wanted);
            each(number, seen.or_else(|| self.living_elsewhere(now, *wanted, *hash)));
        }
        true
    }

    /// The living flow of a key in the default zone, wherever it is.
    #[inline(never)]
    fn living_elsewhere<K: Shelved>(
        &self,
        now: Instant,
        wanted: (K, u8),
        hash: u32,
    ) -> Option<(FlowId, Direction)> {
        let anywhere = self.living_anywhere(now, wanted, hash);
        let tuple = || wanted.0.tuple(wanted.1);
        anywhere.or_else(|| self.lookup_any(now, &tuple(), Zone::default()))
    }

    /// The living flow of a key in the default zone, where there is no more than one: where `hint` says,
    /// or wherever else.
    #[inline(always)]
    fn living<K: Shelved>(
        &self,
        now: Instant,
        wanted: (K, u8),
        hint: Hint,
    ) -> Option<(FlowId, Direction)> {
        let expected = hint.slot.and_then(|slot| self.living_at(slot, now, wanted));
        expected.or_else(|| self.living_anywhere(now, wanted, hint.hash))
    }

    #[inline(never)]
    fn living_anywhere<K: Shelved>(
        &self,
        now: Instant,
        wanted: (K, u8),
        hash: u32,
    ) -> Option<(FlowId, Direction)> {
        self.index.candidates(hash).find_map(|slot| self.living_at(slot, now, wanted))
    }

    /// The flow of a slot, if it lives, is in the default zone and has this key.
    #[inline(always)]
    fn living_at<K: Shelved>(
        &self,
        slot: u32,
        now: Instant,
        wanted: (K, u8),
    ) -> Option<(FlowId, Direction)> {
        let record = K::shelf(&self.slab).records.get(slot.wrapping_sub(K::BIT))?;
        self.living_in((slot, record), Tick::of(now), wanted)
    }

    /// [`FlowTable::living_at`], of a slot whose record is this.
    #[inline(always)]
    fn living_in<K: Shelved>(
        &self,
        (slot, record): (u32, &Record<K>),
        tick: Tick,
        wanted: (K, u8),
    ) -> Option<(FlowId, Direction)> {
        let (at, shelf) = (slot.wrapping_sub(K::BIT), K::shelf(&self.slab));
        let (dir, is_here) = if record.is_plain() {
            (record.plain_dir(wanted)?, true)
        } else {
            let is_here = shelf.annex.zone(at, record) == Zone::default();
            (shelf.dir_of(record, at, wanted)?, is_here)
        };
        let lives = is_here && record.is_due_after(tick);
        let id = FlowId { slot, generation: record.generation() };
        lives.then_some((id, dir))
    }
}
