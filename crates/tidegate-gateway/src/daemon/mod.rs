//! An engine that lives: its packets, its time, its control socket, and the signals that are sent to it.
//!
//! One thread does all of it in turns: packets, then time, then the operator. No part of a turn takes long, so that
//! none of them waits for the others: packets come in bursts of a bounded number, flows expire within a budget, and
//! listings are made in pieces. Where packets come from is a [`DataPlane`].
//!
//! With several workers each has a thread, an engine and a data plane of its own (`crew`), and the operator another
//! thread; what they share is told in [`team`](crate::control::team) and [`exchange`](crate::dataplane::exchange).
//!
//! A reload reads all files, by a thread that lives for that long (`reading`), before it changes anything; if one is at
//! fault, all stays as it is. Flows stay in any case.

mod alone;
mod crew;
mod office;
mod plane;
mod reading;
mod service;
mod signals;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};
use tidegate_engine::limits::Limits;
use tidegate_engine::log::{LogLine, PacketCopy};
use tidegate_engine::rules::Generation;
use tidegate_engine::steer::Steering;
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Settings};

use self::office::Office;
use crate::clock::Clock;
use crate::control::socket::Endpoint;
use crate::control::state::{self, Taken};
use crate::control::{Engines, Team};
use crate::dataplane::{Exchange, Mail};
use crate::replay::{Cause, Fault, Inputs, Provisions};
use crate::snapshot::{self, Reader};

pub use self::plane::{CapturePlane, DataPlane, NoPackets, Pace, Readiness};
pub use self::signals::{Signal, Signals};

/// Packets of a turn.
const BURST: usize = 256;
/// Flows that may expire in a turn.
const EXPIRY_BUDGET: usize = 1024;
/// Events that a turn may bring about before they are told.
const EVENT_BACKLOG: usize = 65_536;
/// After a turn that failed: what is at fault may be so for long, and others want to work.
const BREATH: Duration = Duration::from_millis(100);
/// While packets come all the time, the operator and signals are looked for this often. Each look is a call of the
/// system, which costs as much as a packet.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The longest sleep.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// See the module's documentation.
pub struct Daemon<P> {
    team: Team,
    planes: Vec<P>,
    office: Office,
    way: Way,
}

/// How workers go about it.
#[derive(Clone)]
struct Way {
    /// How long is turned without any packet before sleep.
    vigil: Duration,
    /// The processors that workers keep to, in their order; empty: any.
    cores: Vec<usize>,
    /// Who hears what rules have to say.
    log: Arc<Log>,
}

impl Way {
    /// Ties the calling thread, a worker's, to its processor.
    ///
    /// # Errors
    /// Why it can't be, in words.
    fn keep_to_core(&self, worker: usize) -> Result<(), String> {
        let Some(core) = self.cores.get(worker % self.cores.len().max(1)) else { return Ok(()) };
        let mut set = CpuSet::new();
        let done = if *core < CpuSet::MAX_CPU {
            set.set(*core);
            sched_setaffinity(None, &set)
        } else {
            Err(rustix::io::Errno::INVAL)
        };
        done.map_err(|error| format!("worker {worker} can't keep to processor {core}: {error}"))
    }
}

/// Who hears what rules have to say.
type Log = dyn Fn(Logged<'_>) + Send + Sync;

/// Who hears what an operator should know: how a reload went, what is at fault, what is remarkable.
trait Heed: FnMut(Result<Vec<Fault>, Vec<Fault>>) {}

impl<T: FnMut(Result<Vec<Fault>, Vec<Fault>>)> Heed for T {}

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
    /// An engine as the files say for each data plane, of which there is at least one, without flows. `seed` must not be
    /// known to anybody; `backlog` is how many events are kept for those who listen.
    ///
    /// # Errors
    /// Every fault of the files, and what the system refuses.
    pub fn new(
        inputs: Inputs,
        (endpoint, mut planes): (Endpoint, Vec<P>),
        seed: u64,
        backlog: usize,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let provisions = Provisions::read(Limits::default(), &inputs)?;
        let clock = Clock::start();
        let (start, wall) = (clock.now(), clock.wall());
        let limits = provisions.limits;
        let settings = Settings { limits, seed, event_backlog: EVENT_BACKLOG, start, wall };
        let workers = planes.len();
        let mut rules = Generation::default();
        provisions.rules.iter().for_each(|(_, one)| rules.replace(one.clone()));
        let engine = |number| {
            let mut engine = provisioned(&settings, &provisions, rules.clone());
            steering(seed, number, workers).into_iter().for_each(|one| engine.join(one));
            engine
        };
        let engines: Vec<Engine> = (0..workers).map(engine).collect();
        let system = |error| vec![Fault::of("workers", Cause::Io(error))];
        let (exchange, mails) = Exchange::between(workers).map_err(system)?;
        if workers > 1 {
            planes.iter_mut().zip(mails).for_each(|(plane, mail): (&mut P, Mail)| plane.join(mail));
        }
        let way =
            Way { vigil: Duration::ZERO, cores: Vec::new(), log: Arc::new(|_: Logged<'_>| {}) };
        let team = Team::new(engines, exchange, clock);
        let office = Office::new(endpoint, (clock, wall), inputs, backlog);
        Ok((Self { team, planes, office, way }, provisions.warnings))
    }

    /// From now on the lines of LOG rules, the copies of NFLOG rules, and what the engine has to say of its table, go to
    /// `log`. It must not wait: packets wait with it.
    pub fn log_to(&mut self, log: impl Fn(Logged<'_>) + Send + Sync + 'static) {
        self.way.log = Arc::new(log);
    }

    /// From now on turns go on for this long after the last packet, at the price of a processor, instead of waiting for
    /// the next to wake us.
    pub fn keep_vigil(&mut self, vigil: Duration) {
        self.way.vigil = vigil;
    }

    /// From now on each worker keeps to one of these processors, in their order.
    pub fn pin(&mut self, cores: Vec<usize>) {
        self.way.cores = cores;
    }

    /// Takes over the flows of a file that an earlier one has [saved](Self::save).
    ///
    /// # Errors
    /// The file is damaged; what came before is in the table.
    pub fn resume<R: Read>(&mut self, reader: Reader<R>) -> Result<Taken, snapshot::Fault> {
        let now = self.office.clock.now();
        let Some(plane) = self.planes.first() else { return Ok(Taken::default()) };
        let taken = state::load(Engines::of(&mut self.team), now, plane.world(), reader);
        self.team.share_out();
        taken
    }

    /// Writes down all flows; how many there were.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn save(&self, place: &str, out: impl Write) -> io::Result<u64> {
        state::save(Engines::Team(&self.team), self.office.clock.now(), place, out)
    }
}

impl<P: DataPlane + Send> Daemon<P> {
    /// Turns until a signal says to stop. `heed` is told how each reload went: what has no effect, or what is at fault;
    /// what else an operator should know; and why there are no more packets, if that is a fault.
    pub fn run(
        &mut self,
        signals: &mut Signals,
        mut heed: impl FnMut(Result<Vec<Fault>, Vec<Fault>>),
    ) -> End {
        let Self { team, planes, office, way } = self;
        office.service.ready();
        let end = match planes.as_mut_slice() {
            [plane] => alone::run((team.first_mut(), plane), office, way, (signals, &mut heed)),
            planes => crew::run((team, planes), office, way, (signals, &mut heed)),
        };
        office.service.stopping();
        end
    }
}

/// A worker's place among so many, of a daemon with this seed; `None` of one that is alone.
#[must_use]
pub fn steering(seed: u64, number: usize, workers: usize) -> Option<Steering> {
    // Nobody else knows what is made of the seed either.
    Steering::new(seed.rotate_left(17), number, workers).filter(|_| workers > 1)
}

/// An engine as the files say.
fn provisioned(settings: &Settings, provisions: &Provisions, mut rules: Generation) -> Engine {
    let Provisions { sets, policies, .. } = provisions;
    let mut engine = Engine::new(settings.clone());
    engine.adopt_sets(sets.clone());
    engine.adopt_policies(policies.clone());
    engine.adopt_rules(&mut rules);
    engine
}

/// Hands over what rules have said.
fn tell(engine: &mut Engine, plane: &impl DataPlane, now: Instant, log: &Log) {
    while let Some(line) = engine.poll_log() {
        log(Logged::Line(&line));
    }
    while let Some(copy) = engine.poll_copy() {
        let indices = [copy.in_port, copy.out_port].map(|port| Some(plane.index(port?)));
        let time = engine.wall_clock().offset.saturating_add(now.nanos());
        log(Logged::Copy { copy: &copy, indices, time });
    }
}

/// What is told about the world rather than about a file.
fn remark(problem: String) -> Fault {
    Fault::of("rtnetlink", Cause::Config { field: String::new(), problem })
}
