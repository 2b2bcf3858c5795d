//! The table of expectations: by destination, by master and by deadline.
//!
//! It is small and bounded (`nf_conntrack_expect_max`), and asked only when a flow begins while there
//! is anything in it. Among several with one destination the newest comes first, as in Linux.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::{ExpectFlags, Expectation, KeyMap};
use crate::event::{EventKind, EventQueue, ExpectMask, ExpectationEvent};
use crate::flow::FlowId;
use crate::steer::Wanted;
use crate::time::Instant;
use crate::tuple::{Tuple, Zone};

/// Counters, under the kernel's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectationStats {
    /// Flows that were expected (`expect_new`).
    pub new: u64,
    /// Expectations that began (`expect_create`).
    pub create: u64,
    /// Expectations that ended (`expect_delete`).
    pub delete: u64,
}

/// What is allowed of expectations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How many there may be of a master and class.
    pub(crate) class: usize,
    /// How long one of the class lives.
    pub(crate) timeout: Duration,
    /// How many there may be at all.
    pub(crate) all: usize,
    /// Whether one that another master announced alike is good enough (`NF_CT_EXP_F_SKIP_MASTER`).
    pub(crate) shares: bool,
}

/// Why an expectation was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another one expects the same flow.
    Busy,
    /// Another master, or this one in another class, has announced the very same.
    Already,
    /// There are too many at all.
    Full,
}

/// All expectations of one engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectations {
    entries: BTreeMap<u64, Expectation>,
    by_destination: BTreeSet<(Destination, u64)>,
    by_master: BTreeSet<(FlowId, u64)>,
    by_deadline: BTreeSet<(Instant, u64)>,
    /// The number of the next one.
    next: u64,
    stats: ExpectationStats,
    pub(crate) keys: KeyMap,
    /// What has come (true) and gone since it was asked for; kept for other workers only.
    journal: Option<Vec<(bool, Wanted)>>,
}

type Destination = (IpAddr, u16, u8);

impl Expectations {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.entries.values()
    }

    /// Those from a number on, oldest first.
    pub(crate) fn numbered(&self, from: u64) -> impl Iterator<Item = (u64, &Expectation)> {
        self.entries.range(from..).map(|(number, expectation)| (*number, expectation))
    }

    pub(crate) fn stats(&self) -> ExpectationStats {
        self.stats
    }

    /// Enters an expectation. One that its master announced alike is replaced by it, and the oldest
    /// of its class makes room if there are too many. Linux: `nf_ct_expect_related`.
    ///
    /// # Errors
    /// Nothing is entered; but the one that it repeats is gone, and so may be the oldest.
    pub(crate) fn relate(
        &mut self,
        now: Instant,
        mut expectation: Expectation,
        bounds: Bounds,
        events: &mut EventQueue,
    ) -> Result<(), Refusal> {
        self.expire(now, events);
        if let Some(number) = self.repeated(&expectation, bounds.shares)? {
            self.unlink(number, now, events);
        }
        let is_full = self.of_class(&expectation).count() >= bounds.class;
        let oldest = self.of_class(&expectation).next().filter(|_| is_full);
        if let Some(oldest) = oldest {
            self.unlink(oldest, now, events);
        }
        if self.entries.len() >= bounds.all {
            return Err(Refusal::Full);
        }
        expectation.deadline = now + bounds.timeout;
        self.enter(expectation, now, events);
        Ok(())
    }

    /// The one that `expectation` would replace.
    fn repeated(&self, expectation: &Expectation, shares: bool) -> Result<Option<u64>, Refusal> {
        for number in self.of_destination(&expectation.tuple) {
            let Some(other) = self.entries.get(&number) else { continue };
            let is_own = other.master.id == expectation.master.id;
            if (shares || is_own) && other.repeats(expectation) {
                if other.class != expectation.class || !is_own {
                    return Err(Refusal::Already);
                }
                return Ok(Some(number));
            }
            if other.clashes(expectation) {
                return Err(Refusal::Busy);
            }
        }
        Ok(None)
    }

    /// Those of the same master and class, oldest first.
    fn of_class<'a>(&'a self, like: &Expectation) -> impl Iterator<Item = u64> + 'a {
        let (master, class) = (like.master.id, like.class);
        self.of_master(master)
            .filter(move |number| self.entries.get(number).is_some_and(|one| one.class == class))
    }

    fn of_master(&self, master: FlowId) -> impl DoubleEndedIterator<Item = u64> {
        self.by_master.range((master, 0)..=(master, u64::MAX)).map(|(_, number)| *number)
    }

    /// Those of the same destination, newest first.
    fn of_destination(&self, tuple: &Tuple) -> impl Iterator<Item = u64> {
        let destination = destination(tuple);
        let range = (destination, 0)..=(destination, u64::MAX);
        self.by_destination.range(range).rev().map(|(_, number)| *number)
    }

    fn enter(&mut self, mut expectation: Expectation, now: Instant, events: &mut EventQueue) {
        let number = self.next;
        self.next += 1;
        expectation.number = number;
        self.by_destination.insert((destination(&expectation.tuple), number));
        self.by_master.insert((expectation.master.id, number));
        self.by_deadline.insert((expectation.deadline, number));
        self.stats.create += 1;
        announce(&expectation, EventKind::New, now, events);
        self.note(true, &expectation);
        self.entries.insert(number, expectation);
    }

    fn note(&mut self, has_come: bool, expectation: &Expectation) {
        let Some(journal) = &mut self.journal else { return };
        let Expectation { tuple, mask, zone, number, .. } = *expectation;
        journal.push((has_come, Wanted { tuple, mask, zone: zone.id, number }));
    }

    /// From now on notes are taken of what comes and goes.
    pub(crate) fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// The notes since the last call.
    pub(crate) fn take_journal(&mut self) -> Vec<(bool, Wanted)> {
        self.journal.as_mut().map(core::mem::take).unwrap_or_default()
    }

    fn unlink(
        &mut self,
        number: u64,
        now: Instant,
        events: &mut EventQueue,
    ) -> Option<Expectation> {
        let expectation = self.entries.remove(&number)?;
        self.by_destination.remove(&(destination(&expectation.tuple), number));
        self.by_master.remove(&(expectation.master.id, number));
        self.by_deadline.remove(&(expectation.deadline, number));
        self.stats.delete += 1;
        announce(&expectation, EventKind::Destroy, now, events);
        self.note(false, &expectation);
        Some(expectation)
    }

    /// The expectation that a flow which begins with `tuple` meets; unless it is permanent, it is
    /// used up. Linux: `nf_ct_find_expectation`.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        (tuple, zone): (&Tuple, Zone),
        events: &mut EventQueue,
    ) -> Option<Expectation> {
        self.expire(now, events);
        let number = self.of_destination(tuple).find(|number| {
            self.entries.get(number).is_some_and(|one| {
                !one.flags.contains(ExpectFlags::INACTIVE) && one.meets(tuple, zone)
            })
        })?;
        let expectation = self.entries.get(&number)?;
        if expectation.master.id == FlowId::UNBORN {
            return None;
        }
        self.stats.new += 1;
        if expectation.flags.contains(ExpectFlags::PERMANENT) {
            return Some(expectation.clone());
        }
        self.unlink(number, now, events)
    }

    /// The expectation that would meet a flow of this tuple, active or not. Linux:
    /// `__nf_ct_expect_find`.
    pub(crate) fn find(&self, now: Instant, tuple: &Tuple, zone: Zone) -> Option<&Expectation> {
        self.find_numbered(now, tuple, zone).map(|(_, expectation)| expectation)
    }

    /// [`Expectations::find`], with the expectation's number.
    pub(crate) fn find_numbered(
        &self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(u64, &Expectation)> {
        let living = |number: &u64| self.entries.get(number).filter(|one| one.deadline > now);
        self.of_destination(tuple).find_map(|number| {
            living(&number).filter(|one| one.meets(tuple, zone)).map(|one| (number, one))
        })
    }

    /// Has an expectation expire at `deadline`; whether it is there.
    pub(crate) fn renew(&mut self, number: u64, deadline: Instant) -> bool {
        let Some(expectation) = self.entries.get_mut(&number) else { return false };
        self.by_deadline.remove(&(expectation.deadline, number));
        self.by_deadline.insert((deadline, number));
        expectation.deadline = deadline;
        true
    }

    /// All that await a flow of this destination.
    pub(crate) fn announced(
        &self,
        now: Instant,
        tuple: &Tuple,
    ) -> impl Iterator<Item = &Expectation> {
        let numbers = self.of_destination(tuple);
        numbers.filter_map(|number| self.entries.get(&number)).filter(move |one| one.deadline > now)
    }

    /// The same with other ids for their masters.
    pub(crate) fn with_masters(&self, id_of: impl Fn(FlowId) -> FlowId) -> Self {
        let mut same = self.clone();
        for expectation in same.entries.values_mut() {
            expectation.master.id = id_of(expectation.master.id);
        }
        same.by_master =
            same.entries.iter().map(|(number, one)| (one.master.id, *number)).collect();
        same.keys.rename(id_of);
        same
    }

    /// Withdraws the expectation of that number; whether it was there.
    pub(crate) fn withdraw_number(
        &mut self,
        number: u64,
        now: Instant,
        events: &mut EventQueue,
    ) -> bool {
        self.unlink(number, now, events).is_some()
    }

    /// Withdraws the expectation that [`Expectations::find`] finds; whether there was one.
    pub(crate) fn withdraw(
        &mut self,
        now: Instant,
        (tuple, zone): (&Tuple, Zone),
        events: &mut EventQueue,
    ) -> bool {
        let found = self.of_destination(tuple).find(|number| {
            self.entries.get(number).is_some_and(|one| one.deadline > now && one.meets(tuple, zone))
        });
        found.is_some_and(|number| self.unlink(number, now, events).is_some())
    }

    /// A master's expectations, newest first.
    pub(crate) fn of(&self, master: FlowId) -> impl Iterator<Item = &Expectation> {
        self.of_master(master).rev().filter_map(|number| self.entries.get(&number))
    }

    /// Withdraws those of a master's expectations that `goes` names, newest first, no more than
    /// `most`.
    pub(crate) fn withdraw_of(
        &mut self,
        master: FlowId,
        (goes, most): (impl Fn(&Expectation) -> bool, usize),
        now: Instant,
        events: &mut EventQueue,
    ) {
        let named = |number: &u64| self.entries.get(number).is_some_and(&goes);
        let numbers: Vec<u64> = self.of_master(master).rev().filter(named).take(most).collect();
        for number in numbers {
            self.unlink(number, now, events);
        }
    }

    /// Activates the newest of a master's expectations that `fits` names, and has it expire at
    /// `deadline`; whether there was one.
    pub(crate) fn activate(
        &mut self,
        master: FlowId,
        fits: impl Fn(&Expectation) -> bool,
        deadline: Instant,
    ) -> bool {
        let named = |number: &u64| self.entries.get(number).is_some_and(&fits);
        let Some(number) = self.of_master(master).rev().find(named) else { return false };
        let Some(expectation) = self.entries.get_mut(&number) else { return false };
        self.by_deadline.remove(&(expectation.deadline, number));
        self.by_deadline.insert((deadline, number));
        expectation.deadline = deadline;
        expectation.flags.remove(ExpectFlags::INACTIVE);
        true
    }

    /// The unborn master has become a flow of the table.
    #[inline]
    pub(crate) fn adopt(&mut self, id: FlowId) {
        if !self.is_empty() {
            self.rename_unborn(id);
        }
    }

    #[cold]
    fn rename_unborn(&mut self, id: FlowId) {
        let numbers: Vec<u64> = self.of_master(FlowId::UNBORN).collect();
        for number in numbers {
            self.by_master.remove(&(FlowId::UNBORN, number));
            self.by_master.insert((id, number));
            if let Some(expectation) = self.entries.get_mut(&number) {
                expectation.master.id = id;
            }
        }
    }

    /// A master is gone, and with it all that it has announced.
    pub(crate) fn orphan(&mut self, master: FlowId, now: Instant, events: &mut EventQueue) {
        if !self.is_empty() {
            self.withdraw_of(master, (|_: &Expectation| true, usize::MAX), now, events);
        }
        self.keys.forget(master);
    }

    /// Puts away what has expired; how many there were.
    pub(crate) fn expire(&mut self, now: Instant, events: &mut EventQueue) -> usize {
        let mut expired = 0;
        while let Some((_, number)) = self.by_deadline.first().filter(|(due, _)| *due <= now) {
            self.unlink(*number, now, events);
            expired += 1;
        }
        expired
    }

    /// When the next one expires.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// How a flow that another one's helper expects as `saved` is seen from outside, if it is: where
    /// SIP looks for the other half of a call.
    pub(crate) fn pair_of(&self, master: FlowId, own: &Tuple) -> Option<&Expectation> {
        self.of(master)
            .find(|pair| pair.tuple.proto == own.proto && pair.saved == (own.src, own.sport))
    }
}

fn destination(tuple: &Tuple) -> Destination {
    (tuple.dst, tuple.dport, tuple.proto)
}

fn announce(of: &Expectation, kind: EventKind, at: Instant, events: &mut EventQueue) {
    let told = match kind {
        EventKind::New => ExpectMask::NEW,
        EventKind::Update | EventKind::Destroy => ExpectMask::DESTROY,
    };
    if of.announced.contains(told) {
        events.tell(|| ExpectationEvent { kind, at, expectation: of.clone() });
    }
}
