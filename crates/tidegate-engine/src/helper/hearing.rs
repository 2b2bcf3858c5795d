//! What a helper is given: the packet, its flow, and the ways to announce others.

use core::net::IpAddr;

use tidegate_wire::{Family, SeqNum};

use super::{HelperFault, Message, Outcome, Purpose};
use crate::engine::Engine;
use crate::expect::{Announcement, Binding, Bounds, Expectation, Refusal, unspecified};
use crate::fib::{Fib, Route, RouteQuery};
use crate::flow::{Care, Flow, FlowId, Status};
use crate::limits::HelperLimits;
use crate::packet::CtInfo;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple};

/// A packet of a flow with a helper, at the last hook.
pub(crate) struct Hearing<'e, 'm> {
    pub(crate) engine: &'e mut Engine,
    pub(crate) now: Instant,
    /// The flow, and its id; that of an unborn one with its first packet.
    pub(crate) flow: &'e mut Flow,
    pub(crate) id: FlowId,
    /// What is remembered of it.
    pub(crate) care: Care,
    pub(crate) info: CtInfo,
    pub(crate) dir: Direction,
    pub(crate) message: Message<'m>,
    /// For a packet of the host's own to a broadcast address: the mask of the network.
    pub(crate) broadcast: Option<IpAddr>,
    pub(crate) fib: &'e dyn Fib,
}

/// How many other ports are tried.
const ATTEMPTS: u32 = 128;

impl Hearing<'_, '_> {
    /// The tuple of the packet's direction.
    pub(super) fn own(&self) -> Tuple {
        *self.flow.tuple(self.dir)
    }

    /// The tuple of the other direction: without NAT the inverse.
    pub(super) fn other(&self) -> Tuple {
        *self.flow.tuple(self.dir.opposite())
    }

    /// How helpers are to read.
    pub(super) fn parameters(&self) -> &HelperLimits {
        &self.engine.limits.helpers
    }

    /// Whether both ends have spoken and the packet is one of theirs.
    pub(super) fn is_established(&self) -> bool {
        matches!(self.info, CtInfo::Established(_))
    }

    /// Whether addresses in the payload are to be rewritten.
    pub(super) fn is_translated(&self) -> bool {
        self.flow.status.intersects(Status::NAT)
    }

    /// What the flow announces, in a class.
    pub(super) fn announce(&self, class: u8, announced: &Announcement) -> Expectation {
        let expectation = Expectation::new(self.id, self.flow, class, announced);
        Expectation { announced: self.care.expect_events, ..expectation }
    }

    /// Enters an expectation.
    pub(super) fn relate(&mut self, expectation: &Expectation) -> Result<(), Refusal> {
        self.relate_sharing(expectation, false)
    }

    /// [`Hearing::relate`]; another master's like it may be good enough.
    pub(super) fn relate_sharing(
        &mut self,
        expectation: &Expectation,
        shares: bool,
    ) -> Result<(), Refusal> {
        let post = self.engine.table.post.as_ref();
        if let Some(refusal) = post.and_then(|post| post.objection(expectation, shares)) {
            return Err(refusal);
        }
        let all = self.engine.expectation_limit();
        let Engine { table, events, log, limits, .. } = &mut *self.engine;
        let Some(helper) = expectation.master.helper else { return Err(Refusal::Busy) };
        let policy = helper.policy(expectation.class, &limits.helpers);
        let bounds = Bounds { class: policy.most, timeout: policy.timeout, all, shares };
        let related = table.expectations.relate(self.now, expectation.clone(), bounds, events);
        if related == Err(Refusal::Full) {
            log.expectations_full(self.now);
        }
        related
    }

    /// Enters an expectation as it is, or has the packet dropped.
    pub(super) fn expect(&mut self, expectation: &Expectation) -> Outcome {
        self.relate(expectation).map_err(|_| HelperFault::NotExpected)
    }

    /// Enters an expectation of a flow that is translated as its master, under the destination port
    /// that it names or, if that is taken, another one; which. Linux: `nf_nat_exp_find_port`.
    pub(super) fn expect_at_some_port(
        &mut self,
        expectation: &mut Expectation,
        first: u16,
    ) -> Result<u16, HelperFault> {
        let range = u32::from(u16::MAX - first);
        let mut port = first;
        for left in (0..=range.min(ATTEMPTS)).rev() {
            expectation.tuple.dport = port;
            match self.relate_at(expectation) {
                // There is no port 0 to tell of.
                Ok(()) if port == 0 => break,
                Ok(()) => return Ok(port),
                Err(Refusal::Busy) if left > 0 => {
                    port = first.wrapping_add(self.engine.rng.below(range) as u16);
                }
                Err(_) => break,
            }
        }
        Err(HelperFault::NoPort(Purpose::Connection))
    }

    fn relate_at(&mut self, expectation: &Expectation) -> Result<(), Refusal> {
        if self.may_announce(expectation.tuple.dport) {
            self.relate(expectation)
        } else {
            Err(Refusal::Busy)
        }
    }

    /// Whether this worker may announce flows to a port of the router's.
    fn may_announce(&self, port: u16) -> bool {
        self.engine.table.post.as_ref().is_none_or(|post| post.steering.announces_at(port))
    }

    /// [`Hearing::expect_at_some_port`], of one that follows its master.
    pub(super) fn expect_following(
        &mut self,
        expectation: &mut Expectation,
        dir: Direction,
        saved_port: u16,
    ) -> Result<u16, HelperFault> {
        expectation.saved.1 = saved_port;
        expectation.dir = dir;
        expectation.binding = Some(Binding::FollowMaster);
        self.expect_at_some_port(expectation, expectation.tuple.dport)
    }

    /// Enters both expectations, or none.
    pub(super) fn relate_pair(
        &mut self,
        [one, other]: &[Expectation; 2],
        share: bool,
    ) -> Result<(), Refusal> {
        self.relate_sharing(one, share)?;
        let second = self.relate_sharing(other, share);
        if second.is_err() {
            self.unexpect(one);
        }
        second
    }

    /// Enters both expectations at the first free pair of ports from that on which the first one
    /// names; which.
    pub(super) fn expect_pair_at_some_ports(
        &mut self,
        pair: &mut [Expectation; 2],
        share: bool,
    ) -> Option<u16> {
        let mut port = pair[0].tuple.dport;
        while port != 0 {
            pair[0].tuple.dport = port;
            pair[1].tuple.dport = port.wrapping_add(1);
            let related = if self.may_announce(port) {
                self.relate_pair(pair, share)
            } else {
                Err(Refusal::Busy)
            };
            match related {
                Ok(()) => return Some(port),
                Err(Refusal::Busy) => port = port.wrapping_add(2),
                Err(Refusal::Already | Refusal::Full) => return None,
            }
        }
        None
    }

    /// Whether the host would send to both by the same way: to the same neighbour. Linux:
    /// `callforward_do_filter`.
    pub(super) fn is_same_way(&self, one: IpAddr, other: IpAddr) -> bool {
        let way = |dst| {
            let src = unspecified(Family::of(dst));
            match self.fib.route(&RouteQuery { dst, src, in_port: None, mark: 0 }) {
                Route::Forward { port, next_hop } => Some((Some(port), next_hop)),
                Route::Local { .. } => Some((None, dst)),
                Route::Unreachable | Route::Blackhole => None,
            }
        };
        way(one).is_some_and(|first| way(other) == Some(first))
    }

    /// Withdraws an expectation that was entered a moment ago.
    pub(super) fn unexpect(&mut self, expectation: &Expectation) {
        let Engine { table, events, .. } = &mut *self.engine;
        let same =
            |one: &Expectation| one.tuple == expectation.tuple && one.mask == expectation.mask;
        table.expectations.withdraw_of(self.id, (same, 1), self.now, events);
    }

    /// Replaces bytes of the payload, and remembers how much a TCP segment has grown.
    pub(super) fn replace(
        &mut self,
        range: core::ops::Range<usize>,
        with: &[u8],
    ) -> Result<(), HelperFault> {
        let growth = with.len() as i32 - range.len() as i32;
        let seq = self.message.seq();
        self.message.replace(range, with)?;
        if let Some(seq) = seq {
            self.correct(seq, growth);
        }
        Ok(())
    }

    /// Notes that the segment at `seq` has grown.
    pub(super) fn correct(&mut self, seq: SeqNum, growth: i32) {
        self.care.correct(self.flow, self.dir, seq, growth);
    }
}

/// What goes from anywhere at `src`, or from anybody, to a port.
pub(super) fn toward(src: Option<IpAddr>, dst: IpAddr, dport: u16, proto: u8) -> Announcement {
    Announcement { src, sport: None, dst, dport, proto }
}
