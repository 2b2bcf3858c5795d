//! `explain`: what would become of a packet, found out on a stage.
//!
//! The stage is an engine with the rules, what they remember, the settings and the randomness of the one that is asked,
//! and an excerpt of its table. The packet passes there. What it had to do with is copied from the table, and the
//! packet passes again on a new stage, until nothing was missing. So a question costs as much as the rules and a few
//! flows, not as much as the table.
//!
//! Fragments that wait for others are not copied: a fragment comes to a stage where none is waiting.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;

use tidegate_wire::dissect;

use super::errands::Errands;
use super::{Engine, Outcome};
use crate::defrag::Defrag;
use crate::event::EventQueue;
use crate::fib::Fib;
use crate::flow::FlowId;
use crate::log::LogQueue;
use crate::packet::{Output, Packet};
use crate::stats::Stats;
use crate::time::Instant;
use crate::trace::Trace;

/// What would become of a packet.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The outcome, with the flow that the packet would belong to if there is one already.
    pub outcome: Outcome,
    /// Every step.
    pub trace: Trace,
    /// The packet's bytes after it.
    pub datagram: Vec<u8>,
    /// What the engine would send itself.
    pub outputs: Vec<Output>,
    /// Why the answer may not be the whole truth.
    pub caveat: Option<Caveat>,
}

/// Why an answer may not be the whole truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caveat {
    /// The packet is a fragment, and what waits for it is not taken into account.
    Fragment,
    /// Too many flows have to do with the packet for all of them to be taken into account.
    Crowd,
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fragment => {
                "this is a fragment: those of the same datagram that have come already are not \
                 taken into account"
            }
            Self::Crowd => {
                "too many flows have to do with this packet: not all were taken into account"
            }
        })
    }
}

/// So many times a packet passes, at most.
const ROUNDS: usize = 32;
/// So many flows are copied, at most.
const COPIES: usize = 1 << 16;

impl Engine {
    /// What would become of a received packet now, and why. Nothing changes: no flow, counter, timer, event, line of the
    /// log, no rule's memory, and no random choice of later.
    ///
    /// What is due before the packet ([`Engine::handle_timeout`]) is no part of the answer: do it first.
    #[must_use]
    pub fn explain(&self, now: Instant, packet: &Packet<'_>, fib: &impl Fib) -> Rehearsal {
        let mut cast = BTreeSet::new();
        let mut rounds = 0;
        loop {
            rounds += 1;
            let (rehearsal, met) = self.rehearse(now, packet, fib, &cast);
            let is_complete = met.is_subset(&cast);
            if is_complete || rounds == ROUNDS || cast.len() + met.len() > COPIES {
                let is_fragment = dissect(packet.bytes).is_ok_and(|of| of.fragment.is_some());
                let crowd = (!is_complete).then_some(Caveat::Crowd);
                return Rehearsal {
                    caveat: is_fragment.then_some(Caveat::Fragment).or(crowd),
                    ..rehearsal
                };
            }
            cast.extend(met);
        }
    }

    /// Lets the packet pass on a stage with these flows, and says which ones it has to do with.
    pub(super) fn rehearse(
        &self,
        now: Instant,
        packet: &Packet<'_>,
        fib: &impl Fib,
        cast: &BTreeSet<FlowId>,
    ) -> (Rehearsal, BTreeSet<FlowId>) {
        let excerpt = self.table.excerpt(now, cast);
        let mut stage = self.stage(excerpt.table);
        let (mut bytes, mut trace) = (packet.bytes.to_vec(), Trace::default());
        let mut copy = Packet { bytes: &mut bytes, ..*packet };
        let outcome = stage.process_traced(now, &mut copy, fib, &mut trace);
        let flow = outcome.flow.and_then(|id| excerpt.originals.get(&id).copied());
        let mut met = BTreeSet::new();
        for inquiry in stage.table.inquiries() {
            self.table.met_by(now, &inquiry, &mut met);
        }
        let rehearsal = Rehearsal {
            outcome: Outcome { flow, ..outcome },
            trace,
            datagram: bytes,
            outputs: stage.outputs.into(),
            caveat: None,
        };
        (rehearsal, met)
    }

    fn stage(&self, table: crate::table::FlowTable) -> Self {
        Self {
            table,
            defrag: Defrag::new(),
            programs: self.programs.clone(),
            limits: self.limits,
            stats: Stats::default(),
            events: EventQueue::new(EVENTS),
            log: LogQueue::default(),
            outputs: VecDeque::new(),
            rng: self.rng.clone(),
            wall: self.wall,
            policies: self.policies.clone(),
            ids: self.ids,
            cookies: self.cookies,
            outlook: self.outlook,
            errands: Errands::default(),
        }
    }
}

/// Nobody hears the events of a stage.
const EVENTS: usize = 16;
