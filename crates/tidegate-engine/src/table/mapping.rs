//! What NAT does to a flow: where its answers come from, and go to, and what becomes of its packets.
//!
//! Of a flow's tuples the original one is in its record. A [`Mapping`] says how the reply differs from that one's inverse,
//! and all but few differ at one end, so that of a packet one end changes: a [`Translation`] is made of what lies in
//! record and mapping, and no tuple is put together for it. What the flow's status tells is asked only of those flows that
//! somebody put into the table in another way. `nat::rewrite` does the same for packets that walk.

use bitflags::bitflags;

use super::key::{Key, Key4, Key6};
use crate::fib::PortId;
use crate::flow::{Flow, Status};
use crate::nat::Manip;
use crate::tuple::Direction;

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
        /// It is one end that differs, and the flow's status tells just that one translated.
        const ONE_END = 16;
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
        let is_one = is_as_told && destination != source;
        let masqueraded = flow.masquerade_port.map_or(Form::empty(), |_| Form::MASQUERADED);
        let told = if is_one { Form::ONE_END } else { Form::empty() };
        let port = flow.masquerade_port.map_or(0, |port| port.0);
        Self { end, masquerade_port: port.to_le_bytes(), form: form | masqueraded | told }
    }

    /// Whether the reply differs from the inverse at both ends, so that no mapping can say it.
    pub(super) fn is_beyond(flow: &Flow) -> bool {
        Self::of(flow).form.contains(Form::ELSEWHERE)
    }

    /// Does something with the reply to this tuple, if that is not elsewhere.
    #[inline(always)]
    pub(super) fn with_reply<R>(&self, original: K, act: impl Fn(K) -> R) -> Option<R> {
        let inverse = original.swapped();
        let [src, dst] = inverse.ends();
        // Of the translated nearly all are so in the same way.
        if self.form.contains(Form::DESTINATION) {
            Some(act(K::between([src, self.end])))
        } else if self.form.contains(Form::SOURCE) {
            Some(act(K::between([self.end, dst])))
        } else {
            (!self.form.contains(Form::ELSEWHERE)).then(|| act(inverse))
        }
    }

    /// What becomes of a flow's packets of one direction, if it is one end that both tuples and status tell. `original`
    /// is the flow's tuple.
    #[inline(always)]
    pub(super) fn translation(&self, original: &K, dir: Direction) -> Option<Translation<K>> {
        if !self.form.contains(Form::ONE_END) {
            return None;
        }
        let (is_source, is_original) =
            (self.form.contains(Form::SOURCE), dir == Direction::Original);
        // What answers come from is where questions go. The direction is asked without a branch: nobody can guess it.
        let end = K::one_of(is_original, self.end, original.end(is_source));
        Some(Translation { end, is_dst: is_source == is_original, src: None })
    }

    #[inline(always)]
    pub(super) fn masquerade_port(&self) -> Option<PortId> {
        let port = PortId(u16::from_le_bytes(self.masquerade_port));
        self.form.contains(Form::MASQUERADED).then_some(port)
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Translation<K: Key> {
    /// One end's address and port, as they will be.
    pub(crate) end: K::End,
    /// Whether that is the destination; it is, if both ends change.
    pub(crate) is_dst: bool,
    /// The source as it will be, if both ends change.
    pub(crate) src: Option<K::End>,
}

impl<K: Key> Translation<K> {
    /// That of a packet of a flow with this status, which is to look like `target`.
    pub(crate) fn told(target: K, status: Status, dir: Direction) -> Option<Self> {
        let [src, dst] = target.ends();
        match [Manip::Src, Manip::Dst].map(|manip| manip.applies_to(status, dir)) {
            [false, false] => None,
            [true, false] => Some(Self { end: src, is_dst: false, src: None }),
            [false, true] => Some(Self { end: dst, is_dst: true, src: None }),
            [true, true] => Some(Self { end: dst, is_dst: true, src: Some(src) }),
        }
    }

    /// The destination's end of a packet that has this one.
    #[inline(always)]
    pub(crate) fn dst(&self, own: K) -> K::End {
        K::one_of(self.is_dst, self.end, own.end(true))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::Family;

    use super::*;
    use crate::testkit::{Host, flow, udp};

    /// Holds what a flow's mapping says of its packets against what its status tells; whether it says anything.
    fn check<K: Key>(flow: &Flow) -> bool {
        let (mapping, original) = (Mapping::<K>::of(flow), K::of(&flow.orig));
        let known = [Direction::Original, Direction::Reply].map(|dir| {
            let known = mapping.translation(&original, dir);
            let told = Translation::told(K::of(&flow.target(dir)), flow.status, dir);
            assert!(known.is_none() || known == told, "{flow:?}");
            let own = K::of(flow.tuple(dir));
            let dst = told.map_or(own.end(true), |told| told.dst(own));
            let is_moved = Manip::Dst.applies(flow, dir);
            let expected = if is_moved { K::of(&flow.target(dir)) } else { own };
            assert!(dst == expected.end(true), "{flow:?}");
            known.is_some()
        });
        assert_eq!(known[0], known[1]);
        known[0]
    }

    #[test]
    fn one_end_changes_without_a_look_at_the_status_only_where_that_says_the_same() {
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
                let is_known = match family {
                    Family::V4 => check::<Key4>(&flow),
                    Family::V6 => check::<Key6>(&flow),
                };
                let expected =
                    (moves_src, moves_dst) == (tells_src, tells_dst) && moves_src != moves_dst;
                assert_eq!(is_known, expected, "{flow:?}");
            }
        }
    }
}
