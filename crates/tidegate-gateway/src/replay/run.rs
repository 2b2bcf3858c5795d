//! The replay itself: a clock, an engine, and the packets between them.
//!
//! Each packet is two calls. [`Replay::arrive`] reads the next frame and moves
//! the clock to it: flows expire and the operator's actions are done.
//! [`Replay::pass`] sends it through the engine, and, if it was for the router
//! itself, the host's answer as well. After the last one [`Replay::finish`]
//! does what remains of the actions. Events are handed over as they happen,
//! lines of the log and what left are there until the next call.
//!
//! The clock is the capture's: the first packet comes at [`START`], and a frame
//! that is older than the one before it comes at the same time as that.

use std::iter::Peekable;
use std::time::Duration;
use std::vec;

use tidegate_engine::event::Event;
use tidegate_engine::fib::PortId;
use tidegate_engine::log::{LogLine, PacketCopy};
use tidegate_engine::packet::{self, Destination, Owner, Packet};
use tidegate_engine::time::{Instant, WallClock};
use tidegate_engine::trace::Trace;
use tidegate_engine::verdict::Verdict;
use tidegate_engine::{Engine, Outcome, Settings};
use tidegate_wire::Family;
use tidegate_wire::pcap::LinkType;

use super::control::{Action, Control};
use super::fault::{Cause, Fault};
use super::host::{Host, Reply};
use super::ingress::Ingress;
use super::lookahead::Lookahead;
use super::operator::{self, LaterRules};
use super::outbox::{Origin, Outbox};
use super::patch::Patches;
use super::scenario::Scenario;
use super::team::{Crew, Done, Team};
use super::topology::World;

/// When the first packet comes, by the engine's clock.
pub const START: Instant = Instant::from_nanos(3_600_000_000_000);
/// Port choices of a replay are always the same.
const SEED: u64 = 0x7469_6465_6761_7465;
/// How many events a caller who wants them may be behind.
const EVENT_BACKLOG: usize = 65_536;
/// Flows that expire between two looks at the events.
const EXPIRY_BUDGET: usize = 4096;

/// A packet that has come in and not yet gone through the engine.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Its number, from 0.
    pub index: u64,
    /// When.
    pub at: Instant,
    /// By which port.
    pub port: PortId,
    /// Length of its datagram, in bytes.
    pub len: usize,
    /// Whether there is an IP datagram in it.
    pub is_ip: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// What the engine said; `None` for a frame without an IP datagram.
    pub outcome: Option<Outcome>,
    /// Whether a REJECT rule answered it.
    pub is_answered: bool,
    /// The worker whose flow the outcome names.
    pub worker: usize,
}

/// A scenario in motion.
pub struct Replay {
    name: String,
    is_recorded: bool,
    team: Team,
    world: World,
    host: Host,
    packets: Lookahead,
    capture_file: String,
    clock: Clock,
    /// Packets so far.
    arrived: u64,
    controls: Peekable<vec::IntoIter<Control>>,
    controls_file: String,
    later_rules: LaterRules,
    patches: Patches,
    families: Vec<Family>,
    outbox: Outbox,
    log: Vec<LogLine>,
    copies: Vec<PacketCopy>,
}

impl Replay {
    /// Sets a scenario up. Events are only made if the caller wants them.
    #[must_use]
    pub fn new(scenario: Scenario, wants_events: bool) -> Self {
        Self::with_workers(scenario, wants_events, Crew::ALONE)
    }

    /// [`Replay::new`], with several workers who share the packets.
    #[must_use]
    pub fn with_workers(scenario: Scenario, wants_events: bool, crew: Crew) -> Self {
        let event_backlog = if wants_events { EVENT_BACKLOG } else { 0 };
        let limits = scenario.limits;
        let wall = WallClock::default();
        let settings = Settings { limits, seed: SEED, event_backlog, start: START, wall };
        let mut team = Team::new(&settings, crew);
        for engine in team.engines_mut() {
            engine.adopt_sets(scenario.sets.clone());
            engine.adopt_policies(scenario.policies.clone());
            scenario.rules.iter().for_each(|(_, rules)| engine.replace_rules(rules));
        }
        Self {
            name: scenario.name,
            is_recorded: scenario.is_recorded,
            team,
            world: scenario.world,
            host: Host::default(),
            packets: Lookahead::new(scenario.capture),
            capture_file: scenario.capture_file,
            clock: Clock { first: None, now: START },
            arrived: 0,
            controls: scenario.controls.into_iter().peekable(),
            controls_file: scenario.controls_file,
            later_rules: scenario.later_rules,
            patches: scenario.patches,
            families: scenario.rules.iter().map(|(family, _)| *family).collect(),
            outbox: Outbox::default(),
            log: Vec::new(),
            copies: Vec::new(),
        }
    }

    /// Reads the next frame and lets time pass until it comes; `None` after the
    /// last one.
    ///
    /// # Errors
    /// The capture is damaged, or an action or patch can't be done. Everything
    /// before it stands.
    pub fn arrive(&mut self, hear: &mut impl FnMut(Event)) -> Result<Option<Arrival>, Fault> {
        self.forget();
        let time = match self.packets.advance(self.team.first(), &self.world) {
            Ok(Some(time)) => time,
            Ok(None) => return Ok(None),
            Err(error) => return Err(Fault::of(&self.capture_file, Cause::Capture(error))),
        };
        let at = self.clock.frame_at(time);
        if self.arrived == 0 {
            let offset = time.saturating_sub(START.nanos());
            let wall = WallClock { offset, zone: 0 };
            self.team.engines_mut().iter_mut().for_each(|engine| engine.set_wall_clock(wall));
        }
        let index = self.arrived;
        self.arrived += 1;
        self.expire(hear);
        while let Some(control) = self.controls.next_if(|control| control.before <= index) {
            self.obey(&control.action, hear)?;
        }
        self.patches.apply(index, self.packets.current_mut().bytes_mut())?;
        let ingress = self.packets.current();
        let (port, len, is_ip) = (ingress.port(), ingress.datagram().len(), ingress.is_ip());
        Ok(Some(Arrival { index, at, port, len, is_ip }))
    }

    /// Sends the packet that arrived last through the engine.
    pub fn pass(&mut self, hear: &mut impl FnMut(Event)) -> Passed {
        self.go(hear, |engine, now, packet, world| engine.process(now, packet, world))
    }

    /// As [`Replay::pass`], telling every step.
    pub fn pass_traced(&mut self, hear: &mut impl FnMut(Event), trace: &mut Trace) -> Passed {
        self.go(hear, |engine, now, packet, world| engine.process_traced(now, packet, world, trace))
    }

    /// Lets time pass until the end of the recording and does what remains to be
    /// done.
    ///
    /// # Errors
    /// An action can't be done.
    pub fn finish(&mut self, hear: &mut impl FnMut(Event)) -> Result<(), Fault> {
        self.forget();
        while let Some(control) = self.controls.next() {
            if let Some(due) = control.due() {
                self.clock.pass_until(START + due);
            }
            self.expire(hear);
            self.obey(&control.action, hear)?;
        }
        Ok(())
    }

    /// The scenario's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is of the scenario format, not a plain capture.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// The engine as it is now; of several workers that of the first.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.team.first()
    }

    /// The engines of all workers.
    #[must_use]
    pub fn engines(&self) -> &[Engine] {
        self.team.engines()
    }

    /// The world that the engine is told of.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The families whose rules the scenario brought.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The present, by the engine's clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now
    }

    /// Nanoseconds since 1970 of an instant, by the capture's clock.
    #[must_use]
    pub fn wall_clock(&self, at: Instant) -> u64 {
        let first = self.clock.first.unwrap_or(0);
        first.saturating_add(at.nanos().saturating_sub(START.nanos()))
    }

    /// How far into the capture file reading has come, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.packets.offset()
    }

    /// The packet that arrived last; after it passed, as it is then.
    #[must_use]
    pub fn ingress(&self) -> &Ingress {
        self.packets.current()
    }

    /// The link types of all frames so far, in the order of their first frames.
    #[must_use]
    pub fn links(&self) -> &[LinkType] {
        self.packets.links()
    }

    /// What left because of the packet that passed last or, after the next one
    /// has arrived, in the time between them.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Wants the bytes of what leaves, or not.
    pub fn keep_output(&mut self, keep: bool) {
        self.outbox.keep_bytes(keep);
    }

    /// Lines of the log that the packet that passed last brought about or, after
    /// the next one has arrived, the time between them.
    #[must_use]
    pub fn log(&self) -> &[LogLine] {
        &self.log
    }

    /// Packets that NFLOG rules copied because of the packet that passed last
    /// or, after the next one has arrived, in the time between them.
    #[must_use]
    pub fn copies(&self) -> &[PacketCopy] {
        &self.copies
    }

    /// What came before is told no more.
    fn forget(&mut self) {
        self.outbox.clear();
        self.log.clear();
        self.copies.clear();
    }

    fn go(
        &mut self,
        hear: &mut impl FnMut(Event),
        process: impl FnOnce(&mut Engine, Instant, &mut Packet<'_>, &World) -> Outcome,
    ) -> Passed {
        self.forget();
        if !self.packets.current().is_ip() {
            return Passed { outcome: None, is_answered: false, worker: 0 };
        }
        let unchecked = self.suspend_checksums();
        let (now, world) = (self.clock.now, &self.world);
        let packet = &mut self.packets.current_mut().packet();
        let begin =
            |engine: &mut Engine, packet: &mut Packet<'_>| process(engine, now, packet, world);
        let done = self.team.pass((now, world), None, packet, begin);
        let Done { outcome, worker } = done;
        let is_answered = self.collect(Origin::Forwarded, Some(&done));
        self.deliver(&done);
        self.resume_checksums(unchecked);
        self.drain(hear);
        self.note_output();
        Passed { outcome: Some(outcome), is_answered, worker }
    }

    /// Takes the packet where the verdict says.
    fn deliver(&mut self, done: &Done) {
        match done.outcome.verdict {
            Verdict::Forward { port, .. } => {
                self.outbox.send(port, Origin::Forwarded, self.packets.current().datagram());
            }
            Verdict::Local => {
                let (now, port) = (self.clock.now, self.packets.current().port());
                let datagram = self.packets.current().datagram();
                let answer = self.host.answer(now, datagram, port, &self.world);
                self.send_local(answer, Some(done));
            }
            // What goes on was in the output queue; see `collect`.
            Verdict::Held | Verdict::Queued(_) | Verdict::Drop(_) => {}
        }
    }

    /// Sends the host stack's answer, if it has one, to a packet that became `about`.
    fn send_local(&mut self, reply: Option<Reply>, about: Option<&Done>) {
        let Some(Reply { datagram: mut bytes, is_tied, is_owned }) = reply else { return };
        let mut packet = Packet::local(&mut bytes);
        let (now, world) = (self.clock.now, &self.world);
        let about = about.filter(|_| is_tied);
        let begin = |engine: &mut Engine, packet: &mut Packet<'_>| match about {
            Some(about) => engine.send_local_error(now, packet, &about.outcome, world),
            None if is_owned => engine.send_owned(now, packet, &Owner::Kernel, world),
            None => engine.send_local(now, packet, world),
        };
        let at = about.map(|about| about.worker);
        let outcome = self.team.pass((now, world), at, &mut packet, begin).outcome;
        if let Verdict::Forward { port, .. } = outcome.verdict {
            self.outbox.send(port, Origin::Local, &bytes);
        }
        self.collect(Origin::Local, None);
    }

    /// Empties the engine's output queue; whether a REJECT rule's answer was in
    /// it. A packet that is only passed on, whole or in pieces, counts as of
    /// origin `passed_on`; what is for the host itself became `about`.
    fn collect(&mut self, passed_on: Origin, about: Option<&Done>) -> bool {
        let mut is_answered = false;
        while let Some(output) = self.next_output() {
            let origin = match output.origin {
                packet::Origin::Forwarded => passed_on,
                packet::Origin::Reject | packet::Origin::Synproxy => Origin::Reject,
                packet::Origin::Router => Origin::Router,
            };
            is_answered |= origin == Origin::Reject;
            match output.destination {
                Destination::Port { port, .. } => self.outbox.send(port, origin, &output.bytes),
                Destination::Host => {
                    let (now, port) = (self.clock.now, self.packets.current().port());
                    let answer = self.host.answer(now, &output.bytes, port, &self.world);
                    self.send_local(answer, about);
                }
            }
        }
        is_answered
    }

    fn next_output(&mut self) -> Option<packet::Output> {
        self.team.engines_mut().iter_mut().find_map(Engine::poll_output)
    }

    fn drain(&mut self, hear: &mut impl FnMut(Event)) {
        let told = self.team.take_told();
        told.events.into_iter().for_each(hear);
        self.log.extend(told.log);
        self.copies.extend(told.copies);
    }

    fn expire(&mut self, hear: &mut impl FnMut(Event)) {
        let now = self.clock.now;
        let is_due = |engine: &Engine| engine.next_deadline().is_some_and(|due| due <= now);
        while self.team.engines().iter().any(is_due) {
            let is_behind = self.team.expire(now, &self.world, EXPIRY_BUDGET);
            self.drain(hear);
            if !is_behind {
                break;
            }
        }
        self.collect(Origin::Forwarded, None);
    }

    /// The checksum of a packet that was cut short can't be verified.
    fn suspend_checksums(&mut self) -> bool {
        let suspend = self.packets.current().is_cut() && self.engine().limits().checksum;
        suspend && self.set_all(CHECKSUM, "0")
    }

    fn set_all(&mut self, key: &str, value: &str) -> bool {
        self.team.engines_mut().iter_mut().all(|engine| engine.set(key, value).is_ok())
    }

    fn resume_checksums(&mut self, suspended: bool) {
        if suspended {
            // The name and the value are good: it was set a moment ago.
            self.set_all(CHECKSUM, "1");
        }
    }

    fn note_output(&mut self) {
        let Some(index) = self.arrived.checked_sub(1) else { return };
        if self.patches.want_output_of(index) {
            let sides = sorted_by_port(&self.outbox);
            self.patches.note_output(index, sides.into_iter());
        }
    }

    fn obey(&mut self, action: &Action, hear: &mut impl FnMut(Event)) -> Result<(), Fault> {
        let now = self.clock.now;
        let mut engines = self.team.engines_mut().iter_mut();
        let done =
            engines.try_for_each(|engine| operator::act(engine, now, action, &self.later_rules));
        self.drain(hear);
        done.map_err(|cause| Fault::of(&self.controls_file, cause))
    }
}

/// What left by the LAN port, then what left by the WAN port.
pub(super) fn sorted_by_port(outbox: &Outbox) -> Vec<&[u8]> {
    let mut left: Vec<_> = outbox.left().collect();
    left.sort_by_key(|left| left.port);
    left.into_iter().map(|left| left.datagram).collect()
}

/// The capture's clock, told in the engine's time.
struct Clock {
    /// Capture time of the first frame, in nanoseconds since 1970.
    first: Option<u64>,
    now: Instant,
}

impl Clock {
    fn frame_at(&mut self, time: u64) -> Instant {
        let first = *self.first.get_or_insert(time);
        self.pass_until(START + Duration::from_nanos(time.saturating_sub(first)));
        self.now
    }

    fn pass_until(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }
}

const CHECKSUM: &str = "net.netfilter.nf_conntrack_checksum";
