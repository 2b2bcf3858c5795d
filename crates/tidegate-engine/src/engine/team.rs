//! An engine among others: packets that are handed over, and what the engines tell each other.
//!
//! Whoever drives them does in each turn, in this order: take packets in; [`Engine::heed`] all notices that are there;
//! process; pass on all of [`Engine::poll_notice`]; only then send packets, and pass on [`Engine::poll_parcel`].
//! Packets may be lost on the way, notices may not.

use alloc::boxed::Box;

use super::{Engine, Outcome};
use crate::defrag::Entry;
use crate::fib::Fib;
use crate::limits::Limits;
use crate::packet::Origin;
use crate::path::Walk;
use crate::steer::{self, Notice, Parcel, Post, Progress, Steering};
use crate::table::hash::SipKey;
use crate::time::Instant;
use crate::tuple::Zone;
use crate::verdict::{DropReason, Verdict};

impl Engine {
    /// Gives the engine its place among others. They have the same settings, seed, rules and sets, and this one has no
    /// flows yet.
    pub fn join(&mut self, steering: Steering) {
        let [one, other] = self.ids.0;
        self.ids = SipKey([one, other ^ steering.own() as u64]);
        self.table.expectations.keep_journal();
        self.table.post = Some(Box::new(Post::new(steering)));
    }

    /// The engine's place among others; `None` if it is alone.
    #[must_use]
    pub fn steering(&self) -> Option<&Steering> {
        self.table.post.as_ref().map(|post| &post.steering)
    }

    /// How many flows it may have, which can be none; see [`shares`](crate::steer::shares). Where there is no limit this is
    /// none either.
    pub fn set_share(&mut self, flows: usize) {
        if let Some(post) = &mut self.table.post {
            post.share = Some(flows);
        }
    }

    /// Whether there was no room for a flow within the share since the last call.
    pub fn take_shortage(&mut self) -> bool {
        self.table.post.as_mut().is_some_and(|post| core::mem::take(&mut post.was_short))
    }

    /// Goes on with a packet that another worker has handed over. Where the verdict is to send it or to deliver it,
    /// the parcel holds it.
    pub fn accept(&mut self, now: Instant, parcel: &mut Parcel, fib: &impl Fib) -> Outcome {
        self.give_up_fragments(now, fib);
        let entry = parcel.entry();
        match core::mem::replace(&mut parcel.progress, Progress::Nowhere(entry, None)) {
            Progress::Nowhere(Entry::Sent, owner) => self.pass(parcel, |engine, packet| {
                let owner = owner.as_ref();
                match owner {
                    Some(owner) => engine.send_owned(now, packet, owner, fib),
                    None => engine.send_local(now, packet, fib),
                }
            }),
            Progress::Nowhere(Entry::Received, _) => {
                self.pass(parcel, |engine, packet| engine.process(now, packet, fib))
            }
            Progress::Raw(mut past) => {
                let plan = past.plan.take();
                let outcome = Walk::new(self, now, fib, &mut ()).accept(parcel, &past, plan);
                match outcome.verdict {
                    // Nobody counts what becomes of the engine's own.
                    Verdict::Drop(_) if past.origin != Origin::Forwarded => {
                        Outcome { verdict: Verdict::Held, ..outcome }
                    }
                    _ => self.settle(outcome),
                }
            }
        }
    }

    fn pass(
        &mut self,
        parcel: &mut Parcel,
        process: impl FnOnce(&mut Self, &mut crate::packet::Packet<'_>) -> Outcome,
    ) -> Outcome {
        let mut packet = parcel.packet();
        let outcome = process(self, &mut packet);
        (parcel.mark, parcel.offload) = (packet.mark, packet.offload);
        outcome
    }

    /// Hears what worker `from` has to say.
    pub fn heed(&mut self, from: usize, notice: &Notice) {
        if let Some(post) = &mut self.table.post {
            post.heed(from, notice);
        }
    }

    /// The next packet that another worker goes on with, and which.
    pub fn poll_parcel(&mut self) -> Option<(usize, Parcel)> {
        self.table.post.as_mut()?.parcels.pop_front()
    }

    /// Counts a packet that could not be handed over: whoever goes on with it has too much to do.
    pub fn lose(&mut self, parcel: &Parcel) {
        if parcel.is_passed_on() {
            self.stats.drops[DropReason::Overrun.index()] += 1;
        }
    }

    /// Whether it has the flow of a received packet, or expects it, in the usual zone.
    #[must_use]
    pub fn knows(&self, now: Instant, datagram: &[u8]) -> bool {
        let Some(tuple) = steer::tuple_of(datagram) else { return false };
        let zone = Zone::default();
        let is_expected = || self.table.expectations.find(now, &tuple, zone).is_some();
        self.table.lookup(now, &tuple, zone).is_some() || is_expected()
    }

    /// The next thing that another worker has to know, and which.
    pub fn poll_notice(&mut self) -> Option<(usize, Notice)> {
        let table = &mut self.table;
        let post = table.post.as_mut()?;
        if let Some(notice) = post.next_notice() {
            return Some(notice);
        }
        for (has_come, wanted) in table.expectations.take_journal() {
            if has_come { post.expects(wanted) } else { post.renounces(wanted) }
        }
        post.next_notice()
    }

    /// How many flows there may be here; `None` for any number.
    pub(crate) fn flow_limit(&self) -> Option<usize> {
        let max = Some(self.limits.max as usize).filter(|max| *max > 0)?;
        let Some(post) = &self.table.post else { return Some(max) };
        Some(post.share.unwrap_or_else(|| post.steering.equal_share(max)))
    }

    /// Whether there may be one more flow here without another one's end.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.flow_limit().is_none_or(|most| self.table.len() < most)
    }

    /// How many flows may be expected here.
    pub(crate) fn expectation_limit(&self) -> usize {
        let elsewhere = self.table.post.as_ref().map_or(0, |post| post.expected_elsewhere());
        (self.limits.expect_max as usize).saturating_sub(elsewhere)
    }

    /// The limits, with this engine's part of the memory for fragments.
    pub(crate) fn fragment_limits(&self) -> Limits {
        let workers = self.table.post.as_ref().map_or(1, |post| post.steering.workers() as u64);
        let Limits { ipfrag_high_thresh, frag6_high_thresh, .. } = self.limits;
        Limits {
            ipfrag_high_thresh: ipfrag_high_thresh / workers,
            frag6_high_thresh: frag6_high_thresh / workers,
            ..self.limits
        }
    }
}
