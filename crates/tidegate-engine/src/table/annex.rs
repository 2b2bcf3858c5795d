//! What not every flow has, beside the records: where its answers come from, its neighbours by source, and the rest.
//!
//! A flow under NAT has a [`Mapping`], which every packet of it reads, and [`Links`], which its beginning and its end
//! need: 9 and 8 bytes for IPv4, 21 and 8 for IPv6. Few flows have a mark, a zone, a helper or a policy: that is an
//! [`Extra`]. Each of the three lies in pages of its own, so that nobody pays for what his neighbours do not have either, and
//! a packet's cache lines hold nothing that packets do not ask for.

use bitflags::bitflags;

use super::column::Pages;
use super::key::{Key, Key4, Key6};
use super::prefetch;
use super::record::Record;
use super::slab::NIL;
use crate::event::EventMask;
use crate::fib::PortId;
use crate::flow::{Flow, Status};
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
    /// Has all that packets read of a slot's flow read into the cache. Where there is no mapping there is no extra.
    #[inline(always)]
    pub(super) fn read_ahead(&self, at: u32) {
        let Some(mapping) = self.mappings.peek_if_any(at) else { return };
        prefetch::lines(mapping);
        if let Some(extra) = self.extras.peek(at) {
            prefetch::lines(extra);
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
        mapping.reply(original).unwrap_or_else(|| self.own_reply(at))
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

    /// Where they are kept.
    pub(super) fn links_mut(&mut self, at: u32) -> &mut Links {
        self.links.place(at)
    }
}

/// How the reply tuple differs from the inverse of the original one, and the interface that a masqueraded flow left by.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Mapping<K: Key> {
    /// The one end that is another than the inverse's.
    end: K::End,
    masquerade_port: [u8; 2],
    form: Form,
}

const _: () = assert!(size_of::<Mapping<Key4>>() == 9);
const _: () = assert!(size_of::<Mapping<Key6>>() == 21);

bitflags! {
    /// What a mapping says.
    #[derive(Clone, Copy, Default)]
    struct Form: u8 {
        /// The end is the source of the reply: somebody else answers.
        const SOURCE = 1;
        /// It is its destination: somebody else is answered.
        const DESTINATION = 2;
        /// Nothing of the reply: it is in the extra.
        const ELSEWHERE = 4;
        /// That there is an interface.
        const MASQUERADED = 8;
        /// The flow's status tells just those ends translated that differ, so that packets become the inverse of the
        /// other direction's tuple as a whole.
        const AS_TOLD = 16;
    }
}

impl<K: Key> Mapping<K> {
    /// That of a flow.
    pub(super) fn of(flow: &Flow) -> Self {
        let [inverse, reply] = [K::of(&flow.orig).swapped(), K::of(&flow.reply)].map(Key::ends);
        let (form, end) = match (inverse[0] == reply[0], inverse[1] == reply[1]) {
            (true, true) => (Form::empty(), reply[0]),
            (true, false) => (Form::DESTINATION, reply[1]),
            (false, true) => (Form::SOURCE, reply[0]),
            (false, false) => (Form::ELSEWHERE, reply[0]),
        };
        let [source, destination] = [Status::SRC_NAT, Status::DST_NAT].map(|bit| flow.is(bit));
        let is_as_told = [destination, source] == [0, 1].map(|end| inverse[end] != reply[end]);
        let masqueraded = flow.masquerade_port.map_or(Form::empty(), |_| Form::MASQUERADED);
        let told = if is_as_told { Form::AS_TOLD } else { Form::empty() };
        let port = flow.masquerade_port.map_or(0, |port| port.0);
        Self { end, masquerade_port: port.to_le_bytes(), form: form | masqueraded | told }
    }

    /// Whether what packets become needs no look at the flow's status.
    #[inline(always)]
    pub(super) fn is_as_told(&self) -> bool {
        self.form.contains(Form::AS_TOLD)
    }

    /// Whether the reply differs from the inverse at both ends, so that no mapping can say it.
    pub(super) fn is_beyond(flow: &Flow) -> bool {
        Self::of(flow).form.contains(Form::ELSEWHERE)
    }

    /// The reply to this tuple, if that is not elsewhere.
    #[inline(always)]
    fn reply(&self, original: K) -> Option<K> {
        let inverse = original.swapped();
        let [src, dst] = inverse.ends();
        // Of the translated nearly all are so in the same way.
        if self.form.contains(Form::DESTINATION) {
            Some(K::between([src, self.end]))
        } else if self.form.contains(Form::SOURCE) {
            Some(K::between([self.end, dst]))
        } else {
            (!self.form.contains(Form::ELSEWHERE)).then_some(inverse)
        }
    }

    #[inline(always)]
    pub(super) fn masquerade_port(&self) -> Option<PortId> {
        let port = PortId(u16::from_le_bytes(self.masquerade_port));
        self.form.contains(Form::MASQUERADED).then_some(port)
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

    pub(super) fn zone(&self) -> Zone {
        let scope = match self.scope {
            0 => ZoneScope::Both,
            1 => ZoneScope::Original,
            _ => ZoneScope::Reply,
        };
        Zone { id: self.zone, scope }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::Family;

    use super::*;
    use crate::nat::Manip;
    use crate::testkit::{Host, flow, udp};
    use crate::tuple::Direction;

    /// Holds a flow's mapping against what its status says of each end; whether that may be left unasked.
    fn check<K: Key>(flow: &Flow) -> bool {
        let is_as_told = Mapping::<K>::of(flow).is_as_told();
        let are_alike = [Direction::Original, Direction::Reply].into_iter().all(|dir| {
            let (own, target) = (flow.tuple(dir), flow.tuple(dir.opposite()));
            let target = K::of(target).swapped();
            let [src, dst] = [Manip::Src, Manip::Dst].map(|manip| manip.applies(flow, dir));
            K::of(own).with(target, src, dst) == target
        });
        assert!(!is_as_told || are_alike, "{flow:?}");
        is_as_told
    }

    #[test]
    fn packets_become_the_target_as_a_whole_only_where_the_status_says_the_same() {
        for family in Family::ALL {
            let [own, other] = [Host::Client, Host::Server].map(|host| udp(host, 1).tuple(family));
            for number in 0..16 {
                let [moves_src, moves_dst, tells_src, tells_dst] =
                    [1, 2, 4, 8].map(|bit| number & bit != 0);
                let mut flow = flow(own);
                if moves_src {
                    flow.reply.dst = other.src;
                    flow.reply.dport = 7;
                }
                if moves_dst {
                    flow.reply.src = own.src;
                    flow.reply.sport = 9;
                }
                flow.status.set(Status::SRC_NAT, tells_src);
                flow.status.set(Status::DST_NAT, tells_dst);
                let is_as_told = match family {
                    Family::V4 => check::<Key4>(&flow),
                    Family::V6 => check::<Key6>(&flow),
                };
                assert_eq!(
                    is_as_told,
                    (moves_src, moves_dst) == (tells_src, tells_dst),
                    "{flow:?}"
                );
            }
        }
    }
}
