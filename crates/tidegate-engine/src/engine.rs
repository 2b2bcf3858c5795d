//! The engine: one table, its rules and its queues behind one small interface.
//!
//! Methods come in four kinds, to be called in this order:
//!
//! 1. *What the world did*: [`Engine::process`], [`Engine::send_local`],
//!    [`Engine::handle_timeout`]. Time must not run backwards between calls.
//! 2. *Commands*: [`Engine::replace_rules`], [`Engine::set`], [`Engine::delete`]…
//! 3. *What the caller must do now*: [`Engine::poll_output`],
//!    [`Engine::poll_event`], [`Engine::poll_log`], until each returns `None`,
//!    and [`Engine::next_deadline`].
//! 4. *Getters*.
//!
//! And [`Engine::explain`], a question of *what if*: nothing changes.

mod batch;
mod errands;
mod provisions;
mod rehearsal;
mod team;

use alloc::collections::VecDeque;

use tidegate_wire::Family;

use self::errands::Errands;
pub use self::rehearsal::{Caveat, Rehearsal};
use crate::command::Change;
use crate::defrag::Defrag;
use crate::event::{Event, EventQueue};
use crate::expect::{Expectation, ExpectationStats};
use crate::fib::Fib;
use crate::flow::{Correction, Flow, FlowId, Master};
use crate::limits::{Limits, Outcome as Setting, Policies, SysctlError};
use crate::log::{LogLine, LogQueue, PacketCopy};
use crate::packet::{CtInfo, Output, Owner, Packet};
use crate::path::fresh::Pause;
use crate::path::outlook::Outlook;
use crate::path::{BURST, Glance, Sight, Walk, express, fresh};
use crate::rand::Rng;
use crate::rules::Programs;
use crate::stats::Stats;
use crate::synproxy::{CookieKeys, Proxy};
use crate::table::FlowTable;
use crate::table::hash::SipKey;
use crate::time::{Instant, WallClock};
use crate::trace::{Observer, Trace};
use crate::tuple::{Direction, Tuple, Zone};
use crate::verdict::Verdict;

/// How an engine starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Limits and switches, under the kernel's names.
    pub limits: Limits,
    /// Seeds port choices, the table's hash key and the keys of SYN cookies. Take it from the system's
    /// random source in production and fix it in tests.
    pub seed: u64,
    /// How many events may wait to be fetched.
    pub event_backlog: usize,
    /// The clock's reading at start.
    pub start: Instant,
    /// What the clock on the wall says.
    pub wall: WallClock,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            limits,
            seed: 0,
            event_backlog: 65_536,
            start: Instant::ZERO,
            wall: WallClock::default(),
        }
    }
}

/// What became of a packet, and what conntrack thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What to do with the packet now.
    pub verdict: Verdict,
    /// The state that conntrack gave it; `None` if it did not get that far.
    pub conntrack: Option<CtInfo>,
    /// The flow it belongs to, if that is in the table now.
    pub flow: Option<FlowId>,
    /// Its mark at the end.
    pub mark: u32,
}

/// A connection tracker with the stateful firewall and NAT above it.
pub struct Engine {
    pub(crate) table: FlowTable,
    pub(crate) defrag: Defrag,
    pub(crate) programs: Programs,
    pub(crate) limits: Limits,
    pub(crate) stats: Stats,
    pub(crate) events: EventQueue,
    pub(crate) log: LogQueue,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) rng: Rng,
    pub(crate) wall: WallClock,
    pub(crate) policies: Policies,
    pub(crate) errands: Errands,
    /// What the numbers that are shown of flows are made with.
    pub(crate) ids: SipKey,
    pub(crate) cookies: CookieKeys,
    pub(crate) outlook: Outlook,
}

impl Engine {
    /// An empty table, no rules.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let mut rng = Rng::new(settings.seed);
        let mut other = Rng::new(!settings.seed);
        Self {
            table: FlowTable::new(&settings.limits, &mut rng, settings.start),
            defrag: Defrag::new(),
            programs: Programs::default(),
            limits: settings.limits,
            stats: Stats::default(),
            events: EventQueue::new(settings.event_backlog),
            log: LogQueue::default(),
            outputs: VecDeque::new(),
            rng,
            wall: settings.wall,
            policies: Policies::default(),
            errands: Errands::default(),
            ids: SipKey([other.next_u64(), other.next_u64()]),
            cookies: CookieKeys::new(settings.seed),
            outlook: Outlook::default(),
        }
    }

    /// Takes a received packet along its whole path and rewrites it in place.
    ///
    /// Packets that the engine makes on the way are fetched by
    /// [`Engine::poll_output`].
    pub fn process(&mut self, now: Instant, packet: &mut Packet<'_>, fib: &impl Fib) -> Outcome {
        self.give_up_fragments(now, fib);
        self.table.keep_key();
        let glance = Glance::of(sight(&self.limits, packet), &self.table);
        self.take(now, packet, fib, &glance)
    }

    /// Takes a packet that was glanced at just now.
    #[inline(always)]
    fn take(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        fib: &impl Fib,
        glance: &Glance,
    ) -> Outcome {
        if let Some(outcome) = express::pass(self, now, packet, fib, glance) {
            return outcome;
        }
        let taken = fresh::pass(self, now, packet, fib, glance, &mut |_, outcome| outcome);
        taken.unwrap_or_else(|pause| self.walk_on(now, packet, fib, glance, pause))
    }

    /// The rest, which must walk.
    #[inline(never)]
    fn walk_on(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        fib: &impl Fib,
        glance: &Glance,
        pause: Pause,
    ) -> Outcome {
        let outcome = Walk::new(self, now, fib, &mut ()).receive_glanced(packet, glance, pause);
        let outcome = self.settle(outcome);
        express::vet(self, glance, &outcome);
        outcome
    }

    /// [`Engine::process`], telling every step.
    pub fn process_traced(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        fib: &impl Fib,
        trace: &mut Trace,
    ) -> Outcome {
        self.observe(now, packet, fib, trace)
    }

    fn observe(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        fib: &impl Fib,
        observer: &mut impl Observer,
    ) -> Outcome {
        self.give_up_fragments(now, fib);
        let outcome = Walk::new(self, now, fib, observer).receive(packet);
        self.settle(outcome)
    }

    /// Takes a packet of the host's own stack from OUTPUT on.
    pub fn send_local(&mut self, now: Instant, packet: &mut Packet<'_>, fib: &impl Fib) -> Outcome {
        let outcome = Walk::new(self, now, fib, &mut ()).send(packet);
        self.settle(outcome)
    }

    /// [`Engine::send_local`], saying whose socket sent the packet.
    pub fn send_owned(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        owner: &Owner,
        fib: &impl Fib,
    ) -> Outcome {
        let outcome = Walk::new(self, now, fib, &mut ()).of_owner(owner).send(packet);
        self.settle(outcome)
    }

    /// [`Engine::send_local`] for an ICMP error about a packet that came in and became `about`, as
    /// the host's stack sends it about what nobody serves. It belongs to that packet's flow before
    /// any hook sees it. Linux: `nf_ct_attach` in `icmp_glue_bits` and `icmpv6_getfrag`.
    pub fn send_local_error(
        &mut self,
        now: Instant,
        packet: &mut Packet<'_>,
        about: &Outcome,
        fib: &impl Fib,
    ) -> Outcome {
        let outcome =
            Walk::new(self, now, fib, &mut ()).of_owner(&Owner::Kernel).send_error(packet, about);
        self.settle(outcome)
    }

    /// Tells the sender of a packet, which is as it was when it was to be sent, that the neighbour whom it was for does not
    /// answer: host unreachable (RFC 1812 section 5.2.7.1), address unreachable (RFC 4443 section 3.1). It is found out
    /// by what the error quotes whose packet that was before it was translated. Linux: `arp_error_report`,
    /// `ndisc_error_report`.
    pub fn report_unreachable(&mut self, now: Instant, packet: &mut Packet<'_>, fib: &impl Fib) {
        Walk::new(self, now, fib, &mut ()).answer_no_neighbour(packet);
    }

    fn settle(&mut self, outcome: Outcome) -> Outcome {
        if let Verdict::Drop(reason) = outcome.verdict {
            self.stats.drops[reason.index()] += 1;
        }
        let flow = outcome.flow.filter(|id| self.table.has(*id));
        Outcome { flow, ..outcome }
    }

    /// Expires flows whose deadline has passed, and gives up on fragments that
    /// wait too long. Looks at no more than `budget` flows, and returns how many it
    /// looked at: most of them expire, but for a busy one this is when a new time
    /// is set for the next look. Call again while it returns `budget`.
    pub fn handle_timeout(&mut self, now: Instant, budget: usize, fib: &impl Fib) -> usize {
        self.give_up_fragments(now, fib);
        let expired = self.table.expectations.expire(now, &mut self.events);
        let mut left = budget.saturating_sub(expired);
        self.table.expire(now, &mut left, &mut self.events);
        self.run_errands(now, &mut left);
        budget - left
    }

    /// Complains about datagrams that didn't become whole, each at its own time: flows that have ended since then were
    /// there still.
    fn give_up_fragments(&mut self, now: Instant, fib: &impl Fib) {
        while let Some(due) = self.defrag.next_deadline().filter(|due| *due <= now)
            && let Some(expired) = self.defrag.expire(due)
        {
            Walk::new(self, due, fib, &mut ()).give_up(expired);
        }
    }

    /// Corrects what the clock on the wall says, for `-m time`.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    /// Sets a limit by its sysctl name. Flows in the table feel it with their
    /// next accepted packet.
    ///
    /// # Errors
    /// The name is unknown, or the value is not of its kind; nothing changes.
    pub fn set(&mut self, key: &str, value: &str) -> Result<Setting, SysctlError> {
        let buckets = self.limits.buckets;
        let setting = self.limits.set(key, value)?;
        if self.limits.buckets != buckets {
            self.table.resize(self.limits.buckets);
        }
        Ok(setting)
    }

    /// Deletes the flow whose original tuple this is; whether there was one.
    pub fn delete(&mut self, now: Instant, tuple: &Tuple, zone: Zone) -> bool {
        let found = self.table.lookup(now, tuple, zone);
        let Some((id, Direction::Original)) = found else { return false };
        self.table.kill(id, now, &mut self.events);
        true
    }

    /// Deletes every flow; how many there were.
    pub fn flush(&mut self, now: Instant) -> usize {
        let all: alloc::vec::Vec<FlowId> = self.table.iter().map(|(id, _)| id).collect();
        for id in &all {
            self.table.kill(*id, now, &mut self.events);
        }
        all.len()
    }

    /// Sets a flow's mark, as [`Engine::change`] does, if it is another one; whether the flow exists.
    pub fn set_mark(&mut self, now: Instant, id: FlowId, mark: u32) -> bool {
        let Some(flow) = self.table.load(id) else { return false };
        let change = Change { mark: Some((mark, u32::MAX)), ..Change::default() };
        flow.mark == mark || self.change(now, id, &change).is_ok()
    }

    /// The next packet of the engine's own making.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    /// The next line of the log: LOG targets, and the table-full warning.
    pub fn poll_log(&mut self) -> Option<LogLine> {
        self.log.pop()
    }

    /// The next packet that an NFLOG rule copied.
    pub fn poll_copy(&mut self) -> Option<PacketCopy> {
        self.log.pop_copy()
    }

    /// When [`Engine::handle_timeout`] is due; never later than the first
    /// deadline of a flow or of an incomplete datagram. While there is work that
    /// goes through the table it is due at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let expectations = self.table.expectations.next_deadline();
        let flows = [self.table.next_deadline(), self.next_errand()];
        let deadlines = flows.into_iter().chain([self.defrag.next_deadline(), expectations]);
        deadlines.flatten().min()
    }

    /// All flows as they are now, in the order of their slots.
    pub fn flows(&self) -> impl Iterator<Item = (FlowId, Flow)> {
        self.table.iter()
    }

    /// One flow, as it is now.
    #[must_use]
    pub fn flow(&self, id: FlowId) -> Option<Flow> {
        self.table.load(id)
    }

    /// The flow that announced this one, if it was announced. It may be gone since.
    #[must_use]
    pub fn master_of(&self, id: FlowId) -> Option<Master> {
        self.table.care(id).master
    }

    /// How the sequence numbers of a flow are corrected, by [`Direction::index`].
    #[must_use]
    pub fn corrections_of(&self, id: FlowId) -> [Correction; 2] {
        self.table.care(id).corrections
    }

    /// What SYNPROXY remembers of a flow; `None` if that is not behind it.
    #[must_use]
    pub fn proxy_of(&self, id: FlowId) -> Option<Proxy> {
        let is_proxied = self.table.load(id)?.is_proxied;
        is_proxied.then(|| self.table.care(id).proxy)
    }

    /// The flow that has this tuple, and which of its directions it is.
    #[must_use]
    pub fn find(&self, now: Instant, tuple: &Tuple, zone: Zone) -> Option<(FlowId, Direction)> {
        self.table.lookup(now, tuple, zone)
    }

    /// [`Engine::find`] for many tuples, in their order; `each` is told the tuple's
    /// number and what was found. It costs less, as the flows of all are read ahead
    /// together.
    pub fn find_batch(
        &self,
        now: Instant,
        tuples: &[Tuple],
        zone: Zone,
        mut each: impl FnMut(usize, Option<(FlowId, Direction)>),
    ) {
        for (burst, tuples) in tuples.chunks(BURST).enumerate() {
            let tell = |number: usize, found| each(burst * BURST + number, found);
            self.table.lookup_all(now, tuples, zone, tell);
        }
    }

    /// The flows that helpers expect, oldest announcement first.
    pub fn expectations(&self) -> impl Iterator<Item = &Expectation> {
        self.table.expectations.iter()
    }

    /// What the clock on the wall says.
    #[must_use]
    pub fn wall_clock(&self) -> WallClock {
        self.wall
    }

    /// How many flows of the table this one has announced.
    #[must_use]
    pub fn children_of(&self, id: FlowId) -> u32 {
        self.table.children(id)
    }

    /// Counters of expectations since the start.
    #[must_use]
    pub fn expectation_stats(&self) -> ExpectationStats {
        self.table.expectations.stats()
    }

    /// How many flows there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// What the incomplete datagrams of a family cost, in the bytes that its
    /// `high_thresh` bounds.
    #[must_use]
    pub fn fragment_memory(&self, family: Family) -> u64 {
        self.defrag.held(family)
    }

    /// Counters since the start.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// A packet as it is first looked at.
#[inline(always)]
fn sight<'a>(limits: &Limits, packet: &'a Packet<'_>) -> Sight<'a> {
    Sight {
        bytes: packet.bytes,
        in_doubt: limits.checksum && packet.offload.checksum.is_in_doubt(),
    }
}

#[cfg(test)]
mod tests;
