//! One engine's place among the others: what it knows of their flows, and what is to be told or handed over.

use alloc::collections::{BTreeMap, VecDeque};
use core::net::IpAddr;

use tidegate_wire::proto;

use super::notice::{Wanted, Word};
use super::{Notice, Parcel, Steering};
use crate::expect::{Expectation, Mask, Refusal};
use crate::flow::Flow;
use crate::tuple::{Direction, Tuple, Zone};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) steering: Steering,
    /// How many flows there may be; `None` before it was told.
    pub(crate) share: Option<usize>,
    /// There was no room for a flow since somebody last asked.
    pub(crate) was_short: bool,
    pub(crate) parcels: VecDeque<(usize, Parcel)>,
    notices: VecDeque<(usize, Notice)>,
    /// Who has a flow of a tuple that is at home here, in the zone of a number.
    hosts: BTreeMap<(Tuple, u16), usize>,
    /// What others expect, by destination, oldest first.
    wanted: BTreeMap<(Destination, usize, u64), Wanted>,
    /// It is asked what would become of packets, and hands none over.
    pub(crate) is_stage: bool,
}

type Destination = (IpAddr, u16, u8);

impl Post {
    pub(crate) fn new(steering: Steering) -> Self {
        Self {
            steering,
            share: None,
            was_short: false,
            parcels: VecDeque::new(),
            notices: VecDeque::new(),
            hosts: BTreeMap::new(),
            wanted: BTreeMap::new(),
            is_stage: false,
        }
    }

    /// The same, with nothing to tell, that keeps every packet.
    pub(crate) fn rehearsing(&self) -> Self {
        let (parcels, notices) = (VecDeque::new(), VecDeque::new());
        Self { parcels, notices, is_stage: true, ..self.clone() }
    }

    /// Whether no packet that is at home here can be another worker's.
    pub(crate) fn is_alone(&self) -> bool {
        self.hosts.is_empty() && self.wanted.is_empty()
    }

    /// Whether a packet of this tuple, of which the table knows nothing, is certainly this worker's.
    #[inline(never)]
    pub(crate) fn keeps(&self, tuple: &Tuple) -> bool {
        self.is_alone() && self.is_home(tuple)
    }

    /// How many flows others expect.
    pub(crate) fn expected_elsewhere(&self) -> usize {
        self.wanted.len()
    }

    /// Whether a flow of this engine may have that reply: it is at home here, and nobody else's.
    pub(crate) fn suits(&self, reply: &Tuple, zone: Zone) -> bool {
        self.is_home(reply) && self.host(reply, zone).is_none()
    }

    pub(crate) fn is_home(&self, tuple: &Tuple) -> bool {
        self.steering.home(tuple) == self.steering.own()
    }

    /// Who has a flow of this tuple, if another worker does.
    pub(crate) fn host(&self, tuple: &Tuple, zone: Zone) -> Option<usize> {
        let tuple = known(tuple);
        [Direction::Original, Direction::Reply]
            .into_iter()
            .find_map(|dir| self.hosts.get(&(tuple, zone.id_in(dir))).copied())
    }

    /// Who expects a flow that begins with this tuple, if another worker does.
    pub(crate) fn who_expects(&self, tuple: &Tuple, zone: Zone) -> Option<usize> {
        let destination = destination(tuple);
        let range = (destination, 0, 0)..=(destination, usize::MAX, u64::MAX);
        let mut wanted = self.wanted.range(range);
        wanted.find(|(_, wanted)| wanted.meets(tuple, zone)).map(|((_, who, _), _)| *who)
    }

    /// Takes in what another worker says.
    pub(crate) fn heed(&mut self, from: usize, notice: &Notice) {
        match notice.0 {
            Word::Hosts(tuple, zone) => drop(self.hosts.insert((known(&tuple), zone), from)),
            Word::Lost(tuple, zone) => {
                let key = (known(&tuple), zone);
                if self.hosts.get(&key) == Some(&from) {
                    self.hosts.remove(&key);
                }
            }
            Word::Expects(wanted) => drop(self.wanted.insert(wanted.key(from), wanted)),
            Word::Renounces(wanted) => drop(self.wanted.remove(&wanted.key(from))),
        }
    }

    /// The next thing to be told, and whom.
    pub(crate) fn next_notice(&mut self) -> Option<(usize, Notice)> {
        self.notices.pop_front()
    }

    /// A flow has begun: the homes of its tuples have to know.
    pub(crate) fn begun(&mut self, flow: &Flow) {
        self.tell_homes(flow, Word::Hosts);
    }

    /// A flow has ended.
    pub(crate) fn ended(&mut self, flow: &Flow) {
        self.tell_homes(flow, Word::Lost);
    }

    fn tell_homes(&mut self, flow: &Flow, word: fn(Tuple, u16) -> Word) {
        for dir in [Direction::Original, Direction::Reply] {
            let tuple = *flow.tuple(dir);
            let home = self.steering.home(&tuple);
            if home != self.steering.own() {
                self.notices.push_back((home, Notice(word(tuple, flow.zone.id_in(dir)))));
            }
        }
    }

    /// A flow is expected: everybody has to know, as most of them may begin anywhere, and none should be expected twice.
    pub(crate) fn expects(&mut self, wanted: Wanted) {
        self.tell_all(Word::Expects(wanted));
    }

    /// A flow is no longer expected.
    pub(crate) fn renounces(&mut self, wanted: Wanted) {
        self.tell_all(Word::Renounces(wanted));
    }

    fn tell_all(&mut self, word: Word) {
        let own = self.steering.own();
        let others = (0..self.steering.workers()).filter(|worker| *worker != own);
        self.notices.extend(others.map(|worker| (worker, Notice(word))));
    }

    /// Why a flow can't be expected here, if another worker expects it. Linux: `__nf_ct_expect_check`.
    pub(crate) fn objection(&self, expectation: &Expectation, shares: bool) -> Option<Refusal> {
        let destination = destination(&expectation.tuple);
        let range = (destination, 0, 0)..=(destination, usize::MAX, u64::MAX);
        let wanted = self.wanted.range(range).map(|(_, wanted)| wanted);
        let repeats = |wanted: &Wanted| {
            let same = (wanted.tuple, wanted.mask) == (expectation.tuple, expectation.mask);
            shares && same && wanted.zone == expectation.zone.id
        };
        let refusals = wanted.filter_map(|wanted| match repeats(wanted) {
            true => Some(Refusal::Already),
            false => wanted.clashes(expectation).then_some(Refusal::Busy),
        });
        refusals.into_iter().next()
    }
}

impl Wanted {
    fn key(&self, from: usize) -> (Destination, usize, u64) {
        (destination(&self.tuple), from, self.number)
    }

    /// Whether some flow would be both. Linux: `expect_clash`.
    fn clashes(&self, other: &Expectation) -> bool {
        let mask = self.mask.intersection(&other.mask);
        mask.covers(&self.tuple, &other.tuple) && self.zone == other.zone.id
    }

    /// Whether it looks like a flow that begins with `tuple`. The expecting worker knows better.
    fn meets(&self, tuple: &Tuple, zone: Zone) -> bool {
        let mask =
            if tuple.proto == proto::GRE { Mask { sport: 0, ..self.mask } } else { self.mask };
        mask.covers(&self.tuple, tuple) && self.zone == zone.id
    }
}

fn destination(tuple: &Tuple) -> Destination {
    (tuple.dst, tuple.dport, tuple.proto)
}

/// As much of a tuple as every worker sees in a packet: of GRE's keys only the master's owner knows the sender's.
fn known(tuple: &Tuple) -> Tuple {
    if tuple.proto == proto::GRE { Tuple { sport: 0, ..*tuple } } else { *tuple }
}
