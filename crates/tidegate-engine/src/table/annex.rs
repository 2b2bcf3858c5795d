//! What not every flow has, beside the records: where its answers come from, its neighbours by source, and the rest.
//!
//! A flow under NAT has a [`Mapping`], which every packet of it reads, and [`Links`], which its beginning and its end
//! need: 9 and 8 bytes for IPv4, 21 and 8 for IPv6. Few flows have a mark, a zone, a helper or a policy: that is an
//! [`Extra`]. Each of the three lies in pages of its own, so that nobody pays for what his neighbours do not have either, and
//! a packet's cache lines hold nothing that packets do not ask for.

use super::column::Pages;
use super::key::{Key, Key4, Key6};
use super::mapping::Mapping;
use super::prefetch;
use super::record::Record;
use super::slab::NIL;
use crate::event::EventMask;
use crate::flow::Flow;
use crate::helper::Helper;
use crate::limits::PolicyId;
use crate::tuple::{Zone, ZoneScope};

/// See the file's head. Who asks says which record it is about, as that tells what there is.
pub(crate) struct Annex<K: Key> {
    mappings: Pages<Mapping<K>>,
    links: Pages<Links>,
    extras: Pages<Extra<K>>,
}

impl<K: Key> Default for Annex<K> {
    fn default() -> Self {
        Self { mappings: Pages::default(), links: Pages::default(), extras: Pages::default() }
    }
}

impl<K: Key> Annex<K> {
    /// Whether no flow ever had anything here that packets read.
    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Has all that packets read of a slot's flow read into the cache, if there may be anything. Where there is no
    /// mapping there is no extra.
    #[inline(always)]
    pub(super) fn read_ahead(&self, at: u32) {
        let Some(mapping) = self.mappings.peek_if_any(at) else { return };
        prefetch::lines(mapping);
        if let Some(extra) = self.extras.peek(at) {
            prefetch::lines(extra);
        }
    }

    /// Brings the mapping of a flow that has one near.
    #[inline(always)]
    pub(super) fn bring(&self, at: u32) {
        if let Some(mapping) = self.mappings.peek(at) {
            prefetch::near(mapping);
        }
    }

    /// Writes what the record says to be here.
    pub(super) fn write(&mut self, at: u32, record: &Record<K>, flow: &Flow) {
        if record.has_mapping() {
            *self.mappings.place(at) = Mapping::of(flow);
        }
        if record.has_extra() {
            *self.extras.place(at) = Extra::of(flow);
        }
    }

    /// Adds what is here to what the record says of a flow.
    pub(super) fn read(&self, at: u32, record: &Record<K>, flow: &mut Flow) {
        if let Some(mapping) = self.mapping(at, record) {
            flow.reply = self.reply(at, record.key, Some(mapping)).tuple(flow.orig.proto);
            flow.masquerade_port = mapping.masquerade_port();
        }
        if let Some(extra) = self.extra(at, record) {
            extra.read(flow);
        }
    }

    /// The reply tuple of a flow with this original one and this mapping; without a mapping it has ports.
    #[inline(always)]
    pub(super) fn reply(&self, at: u32, original: K, mapping: Option<&Mapping<K>>) -> K {
        let Some(mapping) = mapping else { return original.swapped() };
        mapping.with_reply(original, |reply| reply).unwrap_or_else(|| self.own_reply(at))
    }

    /// Zero if a key is the [reply](Annex::reply) to this tuple. It is put together
    /// in registers.
    #[inline(always)]
    pub(super) fn difference(
        &self,
        at: u32,
        original: K,
        mapping: Option<&Mapping<K>>,
        key: K,
    ) -> u64 {
        let Some(mapping) = mapping else { return key.difference(&original.swapped()) };
        let difference = mapping.with_reply(original, |reply| key.difference(&reply));
        difference.unwrap_or_else(|| key.difference(&self.own_reply(at)))
    }

    #[cold]
    #[inline(never)]
    fn own_reply(&self, at: u32) -> K {
        self.extras.get(at).reply
    }

    #[inline(always)]
    pub(super) fn mapping(&self, at: u32, record: &Record<K>) -> Option<&Mapping<K>> {
        if record.has_mapping() { self.mappings.peek(at) } else { None }
    }

    #[inline(always)]
    pub(super) fn extra(&self, at: u32, record: &Record<K>) -> Option<&Extra<K>> {
        if record.has_extra() { self.extras.peek(at) } else { None }
    }

    #[inline(always)]
    pub(super) fn zone(&self, at: u32, record: &Record<K>) -> Zone {
        self.extra(at, record).map_or_else(Zone::default, Extra::zone)
    }

    /// The neighbours of a flow that has any.
    pub(super) fn links(&self, at: u32) -> Links {
        self.links.get(at)
    }

    /// Has them read into the cache.
    pub(super) fn read_links_ahead(&self, at: u32) {
        if let Some(links) = self.links.peek(at) {
            prefetch::line(links);
        }
    }

    /// Where they are kept.
    pub(super) fn links_mut(&mut self, at: u32) -> &mut Links {
        self.links.place(at)
    }
}

/// Neighbours among the flows of one source, by slot.
#[derive(Clone, Copy)]
pub(super) struct Links {
    /// Of the newest the newest of another source; see `sources`.
    pub(super) newer: u32,
    pub(super) older: u32,
}

const _: () = assert!(size_of::<Links>() == 8);

impl Default for Links {
    fn default() -> Self {
        Self { newer: NIL, older: NIL }
    }
}

/// A bit that is no event's: a helper reads the flow.
const IS_HEARD: u16 = 1 << 15;
/// The same: the flow is behind SYNPROXY.
const IS_PROXIED: u16 = 1 << 14;

const _: () = assert!(EventMask::all().bits() & (IS_HEARD | IS_PROXIED) == 0);

/// What few flows have.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Extra<K> {
    /// The reply tuple, if the mapping does not say it.
    reply: K,
    mark: u32,
    zone: u16,
    /// What is still to be announced, [`IS_HEARD`] and [`IS_PROXIED`].
    pending: u16,
    /// One more than a policy's number; 0 is none.
    policy: u16,
    announced: u16,
    scope: u8,
    helper: Option<Helper>,
    master_helper: Option<Helper>,
}

const _: () = assert!(size_of::<Extra<Key4>>() == 28);
const _: () = assert!(size_of::<Extra<Key6>>() == 52);

impl<K: Key> Extra<K> {
    fn of(flow: &Flow) -> Self {
        let flag = |is_set, bit| if is_set { bit } else { 0 };
        Self {
            reply: K::of(&flow.reply),
            mark: flow.mark,
            zone: flow.zone.id,
            scope: flow.zone.scope as u8,
            helper: flow.helper,
            master_helper: flow.master_helper,
            announced: flow.announced.bits(),
            pending: flow.pending.bits()
                | flag(flow.helper.is_some(), IS_HEARD)
                | flag(flow.is_proxied, IS_PROXIED),
            policy: flow.policy.map_or(0, |policy| policy.0 + 1),
        }
    }

    fn read(&self, flow: &mut Flow) {
        flow.mark = self.mark;
        flow.zone = self.zone();
        (flow.helper, flow.master_helper) = (self.helper, self.master_helper);
        flow.announced = EventMask::from_bits_retain(self.announced);
        flow.pending = EventMask::from_bits_truncate(self.pending);
        flow.is_proxied = self.pending & IS_PROXIED != 0;
        flow.policy = self.policy.checked_sub(1).map(PolicyId);
    }

    /// Which changes are announced.
    #[inline(always)]
    pub(super) fn announced(&self) -> EventMask {
        EventMask::from_bits_retain(self.announced)
    }

    /// Whether nothing is left to be announced, neither a helper nor a proxy has to do with the flow, and its timeouts
    /// are everybody's.
    #[inline(always)]
    pub(super) fn is_settled(&self) -> bool {
        (self.pending, self.policy) == (0, 0)
    }

    /// Whether something is left to be announced.
    pub(super) fn has_notes(&self) -> bool {
        EventMask::from_bits_truncate(self.pending) != EventMask::empty()
    }

    pub(super) fn zone(&self) -> Zone {
        let scope = match self.scope {
            0 => ZoneScope::Both,
            1 => ZoneScope::Original,
            _ => ZoneScope::Reply,
        };
        Zone { id: self.zone, scope }
    }
}
