//! The elements of one set, with what is known of each.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::element::Element;
use super::{Demand, Sight};
use crate::flow::Counter;
use crate::time::Instant;

/// What is known of an element.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) added: Instant,
    expires: Option<Instant>,
    pub(super) nomatch: bool,
    pub(super) counter: Counter,
}

impl Note {
    /// Of an element that stays for so many seconds, or for good.
    pub(super) fn new(now: Instant, timeout: Option<u32>) -> Self {
        let expires = timeout.filter(|seconds| *seconds > 0).map(|s| now.after_seconds(s));
        Self { added: now, expires, nomatch: false, counter: Counter::default() }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Counts a packet, and whether the counters are then as demanded.
    fn count(&mut self, sight: &Sight<'_>, demand: &Demand, counters: bool) -> bool {
        if !counters {
            return true;
        }
        if !demand.keep_counters {
            self.counter.packets += 1;
            self.counter.bytes += sight.headers.len as u64;
        }
        demand.packets.is_none_or(|compare| compare.holds(self.counter.packets))
            && demand.bytes.is_none_or(|compare| compare.holds(self.counter.bytes))
    }
}

/// What was found of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Match,
    /// An element that says that it is none.
    Nomatch,
}

/// The elements; a list has subsets in their order instead.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    elements: BTreeMap<Element, Note>,
    /// How many networks there are of each length, the longest last.
    lengths: BTreeMap<u32, usize>,
    subsets: Vec<(String, Note)>,
    /// No element's time is over before this.
    due: Option<Instant>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        self.elements.len() + self.subsets.len()
    }

    /// Those whose time is not over.
    pub(super) fn living(&self, now: Instant) -> usize {
        let notes = self.elements.values().chain(self.subsets.iter().map(|(_, note)| note));
        notes.filter(|note| !note.is_over(now)).count()
    }

    /// The length of the most exact network.
    pub(super) fn longest(&self) -> Option<u32> {
        self.lengths.last_key_value().map(|(length, _)| *length)
    }

    pub(super) fn has(&self, element: &Element, now: Instant) -> bool {
        self.elements.get(element).is_some_and(|note| !note.is_over(now))
    }

    pub(super) fn insert(&mut self, element: Element, note: Note) {
        self.due = [self.due, note.expires].into_iter().flatten().min();
        if self.elements.insert(element, note).is_none() {
            *self.lengths.entry(element.length).or_insert(0) += 1;
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, element: &Element, now: Instant) -> bool {
        let Some(note) = self.elements.remove(element) else { return false };
        self.forget_length(element.length);
        !note.is_over(now)
    }

    fn forget_length(&mut self, length: u32) {
        if let Some(count) = self.lengths.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Makes room; whether there is some now.
    pub(super) fn clear_expired(&mut self, now: Instant) -> bool {
        if self.subsets.is_empty() && self.due.is_none_or(|due| due > now) {
            return false;
        }
        let before = self.len();
        self.elements.retain(|_, note| !note.is_over(now));
        self.subsets.retain(|(_, note)| !note.is_over(now));
        self.due = self.elements.values().filter_map(|note| note.expires).min();
        self.lengths.clear();
        for element in self.elements.keys() {
            *self.lengths.entry(element.length).or_insert(0) += 1;
        }
        self.len() < before
    }

    /// Looks for the element, and for the networks that it lies in, the most exact first.
    pub(super) fn find(
        &mut self,
        wanted: &Element,
        sight: &Sight<'_>,
        demand: &Demand,
        counters: bool,
    ) -> Found {
        let Self { elements, lengths, .. } = self;
        for length in lengths.keys().rev() {
            let element = wanted.shortened((*length).min(wanted.length));
            let Some(note) = elements.get_mut(&element) else { continue };
            if note.is_over(sight.now) || !note.count(sight, demand, counters) {
                continue;
            }
            return if note.nomatch { Found::Nomatch } else { Found::Match };
        }
        Found::Nothing
    }

    /// The names of the subsets.
    pub(super) fn subsets(&self, now: Instant) -> Vec<String> {
        let living = self.subsets.iter().filter(|(_, note)| !note.is_over(now));
        living.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn has_subset(&self, name: &str, now: Instant) -> bool {
        self.subsets.iter().any(|(known, note)| known == name && !note.is_over(now))
    }

    pub(super) fn add_subset(&mut self, name: &str, note: Note) {
        self.subsets.retain(|(known, _)| known != name);
        self.subsets.push((name.into(), note));
    }

    /// Whether it was there.
    pub(super) fn remove_subset(&mut self, name: &str) -> bool {
        let before = self.subsets.len();
        self.subsets.retain(|(known, _)| known != name);
        self.subsets.len() < before
    }

    /// The name of the `at`-th living subset, which must be given back, and its place.
    pub(super) fn lend(&mut self, at: usize, now: Instant) -> Option<(String, usize)> {
        let mut living = self.subsets.iter_mut().enumerate().filter(|(_, (_, n))| !n.is_over(now));
        let (place, (name, _)) = living.nth(at)?;
        Some((core::mem::take(name), place))
    }

    pub(super) fn give_back(&mut self, place: usize, name: String) {
        if let Some(entry) = self.subsets.get_mut(place) {
            entry.0 = name;
        }
    }

    /// Counts a packet for a subset, and whether its counters are then as demanded.
    pub(super) fn count(
        &mut self,
        place: usize,
        sight: &Sight<'_>,
        demand: &Demand,
        counters: bool,
    ) -> bool {
        self.subsets.get_mut(place).is_some_and(|(_, note)| note.count(sight, demand, counters))
    }
}
