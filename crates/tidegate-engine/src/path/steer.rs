//! Between the raw table and conntrack: a packet whose flow is another worker's goes there, and goes on there.
//!
//! The rule of who owns what is [`steer`](crate::steer)'s.

use alloc::boxed::Box;
use core::ops::ControlFlow::Continue;

use tidegate_wire::{Headers, dissect};

use super::conntrack::{quoted_tuple, tuple_of, zone_of};
use super::{Passage, Walk};
use crate::defrag::{Entry, FragmentPlan};
use crate::engine::Outcome;
use crate::expect::ExpectFlags;
use crate::fib::Fib;
use crate::packet::{Destination, Origin, Output, Packet, Tracked, Transit};
use crate::rules::ROOM;
use crate::steer::{Parcel, Past, Post, Progress};
use crate::trace::Observer;
use crate::track::icmp::IcmpClass;
use crate::tuple::{Tuple, Zone};
use crate::verdict::{Onward, Verdict};

/// How a packet has come to this worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// From outside, or from whoever took it in.
    #[default]
    Own,
    /// From another worker: its home, which takes it for one of ours, or one that was not its home and takes this for
    /// it. It has been returned so often.
    Guest(u8),
    /// It is at home here, and was offered to others in vain, so often.
    Returned(u8),
}

/// How often a packet is returned before its home keeps it: a host that has it no more, one that begins to
/// have it meanwhile, and no further. Who disagrees for longer would hand it to and fro for ever.
const MOST_RETURNS: u8 = 2;

impl Standing {
    fn returns(self) -> u8 {
        match self {
            Self::Own => 0,
            Self::Guest(returns) | Self::Returned(returns) => returns,
        }
    }
}

/// What conntrack will look for.
struct Sought {
    tuple: Tuple,
    zone: Zone,
    /// It is what an ICMP error quotes.
    is_quoted: bool,
}

impl<'e, F: Fib, O: Observer> Walk<'e, F, O> {
    /// Hands the packet to the worker that goes on with it, if that is another one.
    #[inline]
    pub(super) fn hand_over(&mut self, t: &mut Transit<'_, '_>, entry: Entry) -> Option<Verdict> {
        if self.engine.table.post.is_none() { None } else { self.hand_over_to_owner(t, entry) }
    }

    /// Hands a fragment to the worker that puts its datagram together, if that is another one.
    pub(super) fn hand_over_fragment(
        &mut self,
        packet: &Packet<'_>,
        headers: &Headers,
        entry: Entry,
    ) -> Option<Verdict> {
        let post = self.engine.table.post.as_mut()?;
        let gatherer = post.steering.gatherer(headers)?;
        if gatherer == post.steering.own() || post.is_stage {
            return None;
        }
        let progress = Progress::Nowhere(entry, self.owner.cloned());
        post.parcels.push_back((gatherer, Parcel::of(packet, progress)));
        Some(Verdict::Held)
    }

    #[inline(never)]
    fn hand_over_to_owner(&mut self, t: &mut Transit<'_, '_>, entry: Entry) -> Option<Verdict> {
        if !matches!(t.tracked, Tracked::None) {
            return None;
        }
        let sought = self.sought(t)?;
        let (owner, is_returned) = self.owner_of(&sought)?;
        let returns = self.standing.returns() + u8::from(is_returned);
        t.packet.offload = t.offload();
        let past = Past {
            entry,
            template: t.template,
            plan: t.plan.take(),
            traced: t.traced,
            origin: self.origin,
            is_returned,
            returns,
            owner: self.owner.cloned(),
        };
        let mut parcel = Parcel::of(t.packet, Progress::Raw(Box::new(past)));
        parcel.bytes.truncate(t.headers.len);
        self.engine.table.post.as_mut()?.parcels.push_back((owner, parcel));
        Some(Verdict::Held)
    }

    fn sought(&self, t: &Transit<'_, '_>) -> Option<Sought> {
        let zone = zone_of(t);
        let of = |tuple, is_quoted| Sought { tuple, zone, is_quoted };
        match self.classify(t, false) {
            IcmpClass::Untracked | IcmpClass::Invalid(_) => None,
            IcmpClass::Query => {
                tuple_of(t.packet.bytes, &t.headers, self.keys()).ok().map(|tuple| of(tuple, false))
            }
            IcmpClass::Error(at) => {
                let quote = t.headers.payload(t.packet.bytes).get(at..)?;
                let tuple = quoted_tuple(t.headers.family, quote, self.keys())?;
                tuple.invert().map(|tuple| of(tuple, true))
            }
        }
    }

    /// Another worker that goes on with the packet, and whether it is its home that is to keep it.
    fn owner_of(&self, sought: &Sought) -> Option<(usize, bool)> {
        let Sought { tuple, zone, is_quoted } = sought;
        let table = &self.engine.table;
        let post = table.post.as_deref()?;
        if post.is_stage {
            return None;
        }
        let is_home = post.is_home(tuple);
        let is_kept = post.is_alone() || self.standing.returns() >= MOST_RETURNS;
        if is_home && is_kept || table.lookup(self.now, tuple, *zone).is_some() {
            return None;
        }
        if is_home {
            let owner = self.host(post, sought).or_else(|| self.expecting(post, sought));
            return owner.map(|owner| (owner, false));
        }
        let is_guest = matches!(self.standing, Standing::Guest(_));
        let stays = is_guest && (*is_quoted || self.expects(tuple, *zone));
        (!stays).then(|| (post.steering.home(tuple), is_guest))
    }

    /// Who has the flow of a packet that is at home here.
    fn host(&self, post: &Post, sought: &Sought) -> Option<usize> {
        let Sought { tuple, zone, is_quoted } = sought;
        // What a packet of GRE is known by is lost in the answer to what was quoted.
        let quoted = || tuple.invert().filter(|_| *is_quoted);
        post.host(tuple, *zone).or_else(|| post.host(&quoted()?, *zone))
    }

    /// Who else may expect the flow that a packet begins; nobody is asked twice.
    fn expecting(&self, post: &Post, sought: &Sought) -> Option<usize> {
        let may_be = !sought.is_quoted && !matches!(self.standing, Standing::Returned(_));
        may_be.then(|| post.who_expects(&sought.tuple, sought.zone)).flatten()
    }

    fn expects(&self, tuple: &Tuple, zone: Zone) -> bool {
        let expectations = &self.engine.table.expectations;
        let found = expectations.find(self.now, tuple, zone);
        found.is_some_and(|one| !one.flags.contains(ExpectFlags::INACTIVE))
    }

    /// Goes on with a packet that another worker has handed over.
    pub(crate) fn accept(
        &mut self,
        parcel: &mut Parcel,
        past: &'e Past,
        plan: Option<FragmentPlan>,
    ) -> Outcome {
        let mark = parcel.mark;
        let Ok(headers) = dissect(&parcel.bytes) else {
            return self.outcome(Verdict::Held, None, mark);
        };
        let len = parcel.bytes.len();
        if self.engine.programs.lengthens(headers.family) {
            parcel.bytes.resize(len + ROOM, 0);
        }
        (self.origin, self.owner) = (past.origin, past.owner.as_ref());
        let standing = if past.is_returned { Standing::Returned } else { Standing::Guest };
        self.standing = standing(past.returns);
        let mut packet = parcel.packet();
        let headers = Headers { checksum: packet.offload.checksum, ..headers };
        let mut transit = Transit::new(&mut packet, headers, Tracked::None, plan);
        (transit.template, transit.traced) = (past.template, past.traced);
        let outcome = match past.entry {
            Entry::Received => self.carry(&mut transit, Self::resume_received),
            Entry::Sent => self.carry(&mut transit, Self::resume_sent),
        };
        (parcel.mark, parcel.offload) = (packet.mark, packet.offload);
        parcel.bytes.truncate(len);
        self.queue_own(parcel, outcome)
    }

    fn resume_received(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        match self.hand_over(t, Entry::Received) {
            Some(verdict) => Continue(verdict),
            None => self.received(t),
        }
    }

    fn resume_sent(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        self.route_own(t)?;
        match self.hand_over(t, Entry::Sent) {
            Some(verdict) => Continue(verdict),
            None => self.sent(t),
        }
    }

    /// What an engine has made itself leaves by its output queue.
    fn queue_own(&mut self, parcel: &mut Parcel, outcome: Outcome) -> Outcome {
        let origin = self.origin;
        if origin == Origin::Forwarded {
            return outcome;
        }
        let (destination, onward) = match outcome.verdict {
            Verdict::Forward { port, next_hop } => {
                (Destination::Port { port, next_hop }, Onward::Forward)
            }
            Verdict::Local if origin == Origin::Synproxy => (Destination::Host, Onward::Local),
            _ => return Outcome { verdict: Verdict::Held, ..outcome },
        };
        let (bytes, offload) = (core::mem::take(&mut parcel.bytes), parcel.offload);
        self.engine.outputs.push_back(Output { bytes, destination, origin, offload });
        Outcome { verdict: Verdict::Queued(onward), ..outcome }
    }
}
