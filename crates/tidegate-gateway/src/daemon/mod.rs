//! An engine that lives: its packets, its time, its control socket, and the signals that are sent to it.
//!
//! One thread does all of it in turns: packets, then time, then the operator. No part of a turn takes long, so that
//! none of them waits for the others: packets come in bursts of a bounded number, flows expire within a budget, and
//! listings are made in pieces. Where packets come from is a [`DataPlane`].
//!
//! A reload ([`Daemon::reload`]) reads all files before it changes anything; if one is at fault, all stays as it is.
//! Flows stay in any case.

mod plane;
mod service;
mod signals;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidegate_engine::limits::Limits;
use tidegate_engine::log::{LogLine, PacketCopy};
use tidegate_engine::time::{Instant, WallClock};
use tidegate_engine::{Engine, Settings};

use crate::clock::Clock;
use crate::control::Server;
use crate::control::socket::Endpoint;
use crate::control::state::{self, Taken};
use crate::replay::{Cause, Fault, Inputs, Provisions};
use crate::snapshot::{self, Reader};

pub use self::plane::{CapturePlane, DataPlane, NoPackets, Pace, Readiness};
use self::service::Service;
pub use self::signals::{Signal, Signals};

/// Packets of a turn.
const BURST: usize = 256;
/// Flows that may expire in a turn.
const EXPIRY_BUDGET: usize = 1024;
/// Events that a turn may bring about before they are told.
const EVENT_BACKLOG: usize = 65_536;
/// After a turn that failed: what is at fault may be so for long, and others want to work.
const BREATH: Duration = Duration::from_millis(100);
/// How often a fault that lasts is told.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// While packets come all the time, the operator and signals are looked for this often. Each look is a call of the
/// system, which costs as much as a packet.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Nanoseconds that the clock on the wall may be wrong.
const STEP: u64 = 500_000_000;
/// The longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub struct Daemon<P> {
    engine: Engine,
    server: Server,
    endpoint: Endpoint,
    plane: P,
    clock: Clock,
    inputs: Inputs,
    service: Service,
    /// The last fault of a turn, in words, and when it was told.
    complaint: Option<(String, Instant)>,
    /// When the operator was last looked for, and whether he must be now: he was heard, or waits for more.
    looked: Option<Instant>,
    is_called: bool,
    /// How long is turned without any packet before sleep, and when the last one came.
    vigil: Duration,
    busy: Option<Instant>,
    /// Who hears what rules have to say.
    log: Box<dyn FnMut(Logged<'_>)>,
}

/// What rules have to say of packets, and the engine of its table.
#[derive(Clone, Copy, Debug)]
pub enum Logged<'a> {
    /// A line of a LOG rule, or about the table.
    Line(&'a LogLine),
    /// A packet that an NFLOG rule copied.
    Copy {
        /// The packet.
        copy: &'a PacketCopy,
        /// The numbers of the interfaces that it came by and leaves by.
        indices: [Option<u32>; 2],
        /// Nanoseconds since 1970.
        time: u64,
    },
}

/// Why a turn was the last one.
#[derive(Debug)]
pub enum End {
    /// Somebody has asked for it.
    Stopped,
    /// Where packets come from, or what keeps the kernel from acting on them, is gone for good.
    Lost(Fault),
    /// The system doesn't let us wait.
    System(std::io::Error),
}

impl<P: DataPlane> Daemon<P> {
    /// An engine as the files say, without flows. `seed` must not be known to anybody; `backlog` is how many events are
    /// kept for those who listen.
    ///
    /// # Errors
    /// Every fault of the files.
    pub fn new(
        inputs: Inputs,
        (endpoint, plane): (Endpoint, P),
        seed: u64,
        backlog: usize,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let Provisions { limits, sets, policies, rules, warnings } =
            Provisions::read(Limits::default(), &inputs)?;
        let clock = Clock::start();
        let (start, wall) = (clock.now(), clock.wall());
        let settings = Settings { limits, seed, event_backlog: EVENT_BACKLOG, start, wall };
        let mut engine = Engine::new(settings);
        engine.adopt_sets(sets);
        engine.adopt_policies(policies);
        rules.iter().for_each(|(_, rules)| engine.replace_rules(rules));
        let server = Server::new(backlog);
        let service = Service::new();
        let log = Box::new(|_: Logged<'_>| {});
        let daemon = Self {
            engine,
            server,
            endpoint,
            plane,
            clock,
            inputs,
            service,
            complaint: None,
            looked: None,
            is_called: true,
            vigil: Duration::ZERO,
            busy: None,
            log,
        };
        Ok((daemon, warnings))
    }

    /// From now on the lines of LOG rules, the copies of NFLOG rules, and what the engine has to say of its table, go to
    /// `log`. It must not wait: packets wait with it.
    pub fn log_to(&mut self, log: impl FnMut(Logged<'_>) + 'static) {
        self.log = Box::new(log);
    }

    /// From now on turns go on for this long after the last packet, at the price of a processor, instead of waiting for
    /// the next to wake us.
    pub fn keep_vigil(&mut self, vigil: Duration) {
        self.vigil = vigil;
    }

    fn keeps_vigil(&self) -> bool {
        let idle = |busy| self.clock.now().saturating_sub(busy);
        !self.vigil.is_zero() && self.busy.is_some_and(|busy| idle(busy) < self.vigil)
    }

    /// Turns until a signal says to stop. `heed` is told how each reload went: what has no effect, or what is at fault;
    /// what else an operator should know; and why there are no more packets, if that is a fault.
    pub fn run(
        &mut self,
        signals: &mut Signals,
        mut heed: impl FnMut(Result<Vec<Fault>, Vec<Fault>>),
    ) -> End {
        self.service.ready();
        loop {
            let is_due = self.is_due(self.clock.now());
            if is_due && self.attend(signals, &mut heed) {
                self.service.stopping();
                return End::Stopped;
            }
            let outcome = self.turn_with(is_due);
            if let Some(fault) = self.plane.lost() {
                self.service.stopping();
                return End::Lost(fault);
            }
            match outcome {
                Err(fault) => {
                    self.complain(fault, &mut heed);
                    std::thread::sleep(BREATH);
                }
                Ok(false) if !self.server.wants_reload() && !self.keeps_vigil() => {
                    if let Err(error) = self.wait(signals) {
                        return End::System(error);
                    }
                }
                Ok(_) => {}
            }
        }
    }

    /// Whether it is time to look for the operator.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_late = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY);
        let is_due = is_late || self.is_called || self.server.wants_reload();
        if is_due {
            self.looked = Some(now);
        }
        is_due
    }

    /// Does what signals and the operator ask for, and says what is to be said; whether it is the end.
    fn attend(
        &mut self,
        signals: &mut Signals,
        heed: &mut impl FnMut(Result<Vec<Fault>, Vec<Fault>>),
    ) -> bool {
        self.service.live(self.clock.now());
        follow(self.clock.wall(), &mut self.engine);
        match signals.take() {
            Some(Signal::Stop) => return true,
            Some(Signal::Reload) => self.read_again(heed),
            None if self.server.wants_reload() => self.read_again(heed),
            None => {}
        }
        let remarks = self.plane.remarks();
        if !remarks.is_empty() {
            heed(Ok(remarks.into_iter().map(remark).collect()));
        }
        false
    }

    /// Tells a fault, unless it is the last one again.
    fn complain(&mut self, fault: Fault, heed: &mut impl FnMut(Result<Vec<Fault>, Vec<Fault>>)) {
        let (words, now) = (fault.to_string(), self.clock.now());
        let is_known = self.complaint.as_ref().is_some_and(|(last, told)| {
            *last == words && now.saturating_sub(*told) < COMPLAIN_EVERY
        });
        if !is_known {
            self.complaint = Some((words, now));
            heed(Err(vec![fault]));
        }
    }

    /// Reads rules and settings anew, and tells everybody who wants to know how it went.
    fn read_again(&mut self, heed: &mut impl FnMut(Result<Vec<Fault>, Vec<Fault>>)) {
        self.service.reloading();
        let outcome = self.reload();
        let (Ok(faults) | Err(faults)) = &outcome;
        let report: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        self.server.reloaded(&report, outcome.is_ok());
        heed(outcome);
        self.service.ready();
    }

    /// Does what is due; whether there is more to do at once.
    ///
    /// # Errors
    /// Packets can't be read; all else that was due is done.
    pub fn turn(&mut self) -> Result<bool, Fault> {
        self.turn_with(true)
    }

    /// See [`Daemon::turn`]; the operator's part is left out unless it `is_due`.
    fn turn_with(&mut self, is_due: bool) -> Result<bool, Fault> {
        let Self { engine, server, endpoint, plane, clock, .. } = self;
        let now = clock.now();
        let packets = plane.turn(engine, now, BURST);
        if packets.as_ref().is_ok_and(|packets| *packets > 0) {
            self.busy = Some(now);
        }
        tell(engine, plane, now, &mut self.log);
        server.gather(engine);
        let expired = engine.handle_timeout(now, EXPIRY_BUDGET, plane.world());
        server.gather(engine);
        let mut is_behind = false;
        if is_due {
            is_behind = endpoint.serve(server, engine, now);
            server.explain((engine, now), plane.world(), |name| plane.port(name));
        }
        let is_behind = is_behind || endpoint.is_busy(server);
        self.is_called = is_behind;
        Ok(packets? == BURST || expired == EXPIRY_BUDGET || is_behind)
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, signals: &Signals) -> std::io::Result<()> {
        let now = self.clock.now();
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = self.endpoint.interests(&self.server);
        fds.extend(signals.fds().map(readable));
        let others = fds.len();
        let due = match self.plane.readiness() {
            Readiness::At(at) => Some(at),
            Readiness::When(plane) => {
                fds.extend(plane.into_iter().map(readable));
                None
            }
            Readiness::Never => None,
        };
        let next = [self.engine.next_deadline(), due, self.plane.due()];
        let next = next.into_iter().flatten().min();
        let longest = LONGEST_SLEEP.min(self.service.patience());
        let sleep = next.map_or(longest, |next| next.saturating_sub(now)).min(longest);
        let timeout =
            Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: sleep.subsec_nanos().into() };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (others, plane) = ready.split_at(others);
        self.is_called |= others.contains(&true);
        self.plane.woken(plane);
        Ok(())
    }

    /// Reads rules and settings anew. Sets and timeout policies stay as they are: their contents are the engine's.
    ///
    /// # Errors
    /// Every fault of the files; nothing has changed then.
    pub fn reload(&mut self) -> Result<Vec<Fault>, Vec<Fault>> {
        let Provisions { limits, rules, warnings, .. } =
            Provisions::read(*self.engine.limits(), &self.inputs)?;
        let missing: Vec<Fault> = rules.iter().flat_map(|(_, rules)| self.missing(rules)).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        for key in Limits::names() {
            let (old, new) = (self.engine.limits().value(key), limits.value(key));
            if old != new
                && let Some(value) = new
            {
                // The value is one that this very setting was just given.
                let _ = self.engine.set(key, &value);
            }
        }
        rules.iter().for_each(|(_, rules)| self.engine.replace_rules(rules));
        self.engine.set_wall_clock(self.clock.wall());
        Ok(warnings)
    }

    /// What rules name that the engine doesn't have.
    fn missing(&self, rules: &tidegate_engine::rules::Ruleset) -> Vec<Fault> {
        let input = match rules.family {
            tidegate_wire::Family::V4 => &self.inputs.rules4,
            tidegate_wire::Family::V6 => &self.inputs.rules6,
        };
        let file = input.as_ref().map_or(String::new(), |path| path.display().to_string());
        let sets = rules.sets().into_iter().filter(|(_, name)| !self.engine.sets().has(name));
        let sets = sets.map(|(line, name)| (line, Cause::UnknownSet(name.to_owned())));
        let policies = rules.timeout_policies();
        let policies = policies.filter(|(_, name, _)| self.engine.policies().find(name).is_none());
        let policies =
            policies.map(|(line, name, _)| (line, Cause::UnknownPolicy(name.to_owned())));
        sets.chain(policies)
            .map(|(line, cause)| Fault { line: Some(line as usize), ..Fault::of(&file, cause) })
            .collect()
    }

    /// Takes over the flows of a file that an earlier one has [saved](Self::save).
    ///
    /// # Errors
    /// The file is damaged; what came before is in the table.
    pub fn resume<R: Read>(&mut self, reader: Reader<R>) -> Result<Taken, snapshot::Fault> {
        state::load(&mut self.engine, self.clock.now(), self.plane.world(), reader)
    }

    /// Writes down all flows; how many there were.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn save(&self, place: &str, out: impl Write) -> io::Result<u64> {
        state::save(&self.engine, self.clock.now(), place, out)
    }

    /// The engine as it is now.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

/// Hands over what rules have said.
fn tell(
    engine: &mut Engine,
    plane: &impl DataPlane,
    now: Instant,
    log: &mut dyn FnMut(Logged<'_>),
) {
    while let Some(line) = engine.poll_log() {
        log(Logged::Line(&line));
    }
    while let Some(copy) = engine.poll_copy() {
        let indices = [copy.in_port, copy.out_port].map(|port| Some(plane.index(port?)));
        let time = engine.wall_clock().offset.saturating_add(now.nanos());
        log(Logged::Copy { copy: &copy, indices, time });
    }
}

/// Goes by the clock on the wall again if that was put right, as on a machine that learns the time from the network. What
/// is less than [`STEP`] stays, so that a flow began at the same time whenever somebody asks.
fn follow(wall: WallClock, engine: &mut Engine) {
    let known = engine.wall_clock();
    if wall.offset.abs_diff(known.offset) > STEP {
        engine.set_wall_clock(WallClock { offset: wall.offset, ..known });
    }
}

/// What is told about the world rather than about a file.
fn remark(problem: String) -> Fault {
    Fault::of("rtnetlink", Cause::Config { field: String::new(), problem })
}
