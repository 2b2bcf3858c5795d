//! The incomplete datagrams of one family, by what their fragments share, and what they cost.
//!
//! A queue begins with the first fragment of a datagram, even if that one is then refused, and ends
//! when it is complete, overdue, or broken by a fragment. Late fragments of a datagram that ended
//! begin a queue of their own.
//!
//! Invariant: `held` is the sum of what all queues cost and, unless the budget was lowered, not
//! above it; each queue has exactly one entry in `deadlines`, and its source knows of it.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;
use core::time::Duration;

use tidegate_wire::{Family, Headers};

use super::queue::{Arrival, Queue};
use super::source::Sources;
use super::{Admission, Entry, Expired, FragmentError, Place, v4, v6};
use crate::limits::{Limits, Timeout};
use crate::time::Instant;

/// What all fragments of a datagram, and no others, have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// Only IPv4's fragments are told apart by it (RFC 791 section 3.2, RFC 8200 section 4.5).
    proto: Option<u8>,
    entry: Entry,
    zone: u16,
    /// Set if `dst` means something else on each link.
    port: Option<u16>,
}

impl Key {
    pub(super) fn new(place: Place, headers: &Headers, arrival: &Arrival<'_>) -> Self {
        let (proto, per_link) = match headers.dst {
            IpAddr::V4(_) => (Some(headers.proto), false),
            IpAddr::V6(dst) => (None, dst.is_multicast() || dst.is_unicast_link_local()),
        };
        Self {
            src: headers.src,
            dst: headers.dst,
            id: arrival.id,
            proto,
            entry: place.entry,
            zone: place.zone,
            port: if per_link { place.port } else { None },
        }
    }
}

/// A family's settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    lifetime: Duration,
    high_thresh: u64,
    /// What one source may have of it.
    share: u64,
    /// See [`Limits::ipfrag_max_dist`]; `None` for any distance.
    max_dist: Option<u32>,
}

impl Budget {
    pub(super) fn of_v4(limits: &Limits) -> Self {
        let max_dist = Some(limits.ipfrag_max_dist).filter(|max| *max > 0);
        Self { max_dist, ..Self::new(limits, limits.ipfrag_time, limits.ipfrag_high_thresh) }
    }

    pub(super) fn of_v6(limits: &Limits) -> Self {
        Self::new(limits, limits.frag6_timeout, limits.frag6_high_thresh)
    }

    fn new(limits: &Limits, lifetime: Timeout, high_thresh: u64) -> Self {
        let share = match limits.frag_source_percent {
            0 | 100.. => high_thresh,
            percent => (u128::from(high_thresh) * u128::from(percent) / 100) as u64,
        };
        Self { lifetime: lifetime.as_duration(), high_thresh, share, max_dist: None }
    }
}

/// The queues of one family.
#[derive(Debug)]
pub(super) struct Pool {
    family: Family,
    queues: BTreeMap<Key, Queue>,
    deadlines: BTreeSet<(Instant, Key)>,
    sources: Sources,
    held: u64,
}

impl Pool {
    pub(super) fn new(family: Family) -> Self {
        let (queues, deadlines) = (BTreeMap::new(), BTreeSet::new());
        Self { family, queues, deadlines, sources: Sources::default(), held: 0 }
    }

    /// Adds a fragment to the datagram that `key` names.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        budget: Budget,
        key: Key,
        place: Place,
        arrival: &Arrival<'_>,
    ) -> Admission {
        let known = self.queues.contains_key(&key);
        let cost = arrival.cost() + if known { 0 } else { Queue::OVERHEAD };
        if self.held + cost > budget.high_thresh {
            return Admission::Refused(FragmentError::Full);
        }
        if self.sources.held(key.src) + cost > budget.share {
            return Admission::Refused(FragmentError::SourceFull);
        }
        if !known {
            self.open(key, place, now + budget.lifetime);
        }
        if arrival.is_misaligned() {
            self.close(&key);
            return Admission::Whole;
        }
        let passed = self.sources.pass(key.src);
        if self.is_too_far(&key, passed, budget) {
            self.restart(&key, now + budget.lifetime);
        }
        self.push(&key, place, arrival)
    }

    /// Gives up the queue that is due longest, if it is due at `now`.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Expired> {
        let (_, key) = *self.deadlines.first().filter(|(deadline, _)| *deadline <= now)?;
        let queue = self.close(&key)?;
        let first_fragment = queue.first_fragment();
        Some(Expired { family: self.family, place: queue.place(), first_fragment })
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(super) fn held(&self) -> u64 {
        self.held
    }

    fn open(&mut self, key: Key, place: Place, deadline: Instant) {
        self.queues.insert(key, Queue::new(place, deadline));
        self.deadlines.insert((deadline, key));
        self.sources.open(key.src);
        self.pay(key.src, Queue::OVERHEAD);
    }

    /// Whether too many fragments of its source came between the queue's last one and this. Linux:
    /// `ip_frag_too_far`.
    fn is_too_far(&mut self, key: &Key, passed: u32, budget: Budget) -> bool {
        let distance = self.queues.get_mut(key).and_then(|queue| queue.pass(passed));
        distance.zip(budget.max_dist).is_some_and(|(distance, max)| distance > max)
    }

    /// Begins a queue anew: what it has is more likely of another datagram by now. Linux:
    /// `ip_frag_reinit`.
    fn restart(&mut self, key: &Key, deadline: Instant) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        self.deadlines.remove(&(queue.deadline(), *key));
        let freed = queue.restart(deadline);
        self.deadlines.insert((deadline, *key));
        self.refund(key.src, freed);
    }

    fn pay(&mut self, src: IpAddr, cost: u64) {
        self.held += cost;
        self.sources.pay(src, cost);
    }

    fn refund(&mut self, src: IpAddr, cost: u64) {
        self.held -= cost;
        self.sources.refund(src, cost);
    }

    fn push(&mut self, key: &Key, place: Place, arrival: &Arrival<'_>) -> Admission {
        let Some(queue) = self.queues.get_mut(key) else { return Admission::Held };
        match queue.push(place, arrival) {
            Ok(()) => {
                let is_complete = queue.is_complete();
                self.pay(key.src, arrival.cost());
                if is_complete { self.complete(key) } else { Admission::Held }
            }
            Err(error) => {
                if error.ends_queue(self.family) {
                    self.close(key);
                }
                Admission::Refused(error)
            }
        }
    }

    fn complete(&mut self, key: &Key) -> Admission {
        let Some(queue) = self.close(key) else { return Admission::Held };
        let datagram = match self.family {
            Family::V4 => v4::assemble(&queue),
            Family::V6 => v6::assemble(&queue),
        };
        datagram.map_or_else(Admission::Refused, Admission::Complete)
    }

    fn close(&mut self, key: &Key) -> Option<Queue> {
        let queue = self.queues.remove(key)?;
        self.deadlines.remove(&(queue.deadline(), *key));
        self.refund(key.src, queue.cost());
        self.sources.close(key.src);
        Some(queue)
    }
}
