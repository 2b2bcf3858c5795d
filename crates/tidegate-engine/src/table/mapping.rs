//! What NAT does to a flow: where its answers come from, and go to, and what becomes of its packets.
//!
//! Of a flow's tuples the original one is in its record. A [`Mapping`] says how the reply differs from that one's inverse,
//! and all but few differ at one end, so that of a packet one end changes. It changes by the same bits in both directions,
//! and these are what a mapping has: a [`Translation`] turns them over at one end of a packet, and needs neither tuple for
//! that. What the flow's status tells is asked only of those flows that somebody put into the table in another way.
//! `nat::rewrite` does the same for packets that walk.

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
    /// The bits that are others than the inverse's, at the one end that is another.
    flips: K::End,
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
        let flips = [0, 1].map(|end| inverse[end] ^ reply[end]);
        let none = K::End::default();
        let (form, flips) = match flips.map(|flips| flips == none) {
            [true, true] => (Form::empty(), none),
            [true, false] => (Form::DESTINATION, flips[1]),
            [false, true] => (Form::SOURCE, flips[0]),
            [false, false] => (Form::ELSEWHERE, none),
        };
        let [source, destination] = [Status::SRC_NAT, Status::DST_NAT].map(|bit| flow.is(bit));
        let is_as_told = [destination, source] == [0, 1].map(|end| inverse[end] != reply[end]);
        let is_one = is_as_told && destination != source;
        let masqueraded = flow.masquerade_port.map_or(Form::empty(), |_| Form::MASQUERADED);
        let told = if is_one { Form::ONE_END } else { Form::empty() };
        let port = flow.masquerade_port.map_or(0, |port| port.0);
        Self { flips, masquerade_port: port.to_le_bytes(), form: form | masqueraded | told }
    }

    /// Whether the reply differs from the inverse at both ends, so that no mapping can say it.
    pub(super) fn is_beyond(flow: &Flow) -> bool {
        Self::of(flow).form.contains(Form::ELSEWHERE)
    }

    /// Does something with the reply to this tuple, if that is not elsewhere.
    #[inline(always)]
    pub(super) fn with_reply<R>(&self, original: K, act: impl Fn(K) -> R) -> Option<R> {
        (!self.form.contains(Form::ELSEWHERE)).then(|| act(self.near_reply(original)))
    }

    /// The reply to this tuple, if that is not elsewhere.
    #[inline(always)]
    pub(super) fn near_reply(&self, original: K) -> K {
        original.swapped().flipped(self.form.contains(Form::DESTINATION), self.flips)
    }

    /// Whether it is one end that both tuples and status tell.
    #[inline(always)]
    pub(super) fn is_one_end(&self) -> bool {
        self.form.contains(Form::ONE_END)
    }

    /// What becomes of packets of one direction of a flow of which that is [one end](Mapping::is_one_end).
    #[inline(always)]
    pub(super) fn translation(&self, dir: Direction) -> Translation<K> {
        // Where answers go is where questions come from.
        let is_dst = self.form.contains(Form::DESTINATION) == (dir == Direction::Reply);
        Translation { flips: self.flips, is_dst, src: None }
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
    /// The bits of one end's address and port that are turned over.
    pub(crate) flips: K::End,
    /// Whether that is the destination; it is, if both ends change.
    pub(crate) is_dst: bool,
    /// The source's bits, if both ends change.
    pub(crate) src: Option<K::End>,
}

impl<K: Key> Translation<K> {
    /// That of a packet of this tuple, of a flow with this status, which is to look like `target`.
    pub(crate) fn told((own, target): (K, K), status: Status, dir: Direction) -> Option<Self> {
        let [src, dst] = [false, true].map(|is_dst| own.end(is_dst) ^ target.end(is_dst));
        match [Manip::Src, Manip::Dst].map(|manip| manip.applies_to(status, dir)) {
            [false, false] => None,
            [true, false] => Some(Self { flips: src, is_dst: false, src: None }),
            [false, true] => Some(Self { flips: dst, is_dst: true, src: None }),
            [true, true] => Some(Self { flips: dst, is_dst: true, src: Some(src) }),
        }
    }

    /// The destination's end of a packet that has this one.
    #[inline(always)]
    pub(crate) fn dst(&self, own: K) -> K::End {
        own.end(true) ^ K::one_of(self.is_dst, self.flips, K::End::default())
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::Family;

    use super::*;
    use crate::testkit::{Host, flow, udp};

    /// Holds what a flow's mapping says of its packets against what its status tells; whether it says anything.
    fn check<K: Key>(flow: &Flow) -> bool {
        let mapping = Mapping::<K>::of(flow);
        let known = [Direction::Original, Direction::Reply].map(|dir| {
            let known = mapping.is_one_end().then(|| mapping.translation(dir));
            let own = K::of(flow.tuple(dir));
            let told = Translation::told((own, K::of(&flow.target(dir))), flow.status, dir);
            assert!(known.is_none() || known == told, "{flow:?}");
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
