//! Several workers: a thread for each, with an engine and a data plane of its own, and the operator's thread beside them.
//!
//! ```text
//!   worker 0: plane, engine 0 <---- packets, notices ----> worker 1: plane, engine 1
//!                   ^                                             ^
//!                   +----------- operator: one at a time ---------+
//! ```
//!
//! A worker holds its engine for a turn, and the operator's thread takes it in between. Rules, settings and sets change
//! while all engines are held, so that no worker goes by new rules while another one still goes by old ones. A packet that is
//! on its way between two workers at that moment has been to the raw table by the old rules, and goes on by the new.
//!
//! Whoever panics, a worker or the operator's thread, ends all of them, as one thread would.

mod operator;
mod worker;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Builder};

use self::operator::Operator;
use self::worker::Worker;
use super::office::Office;
use super::{DataPlane, End, Heed, Signals, Way};
use crate::control::{Errno, Question, Team};
use crate::dataplane::Bell;
use crate::replay::Fault;

/// What workers and the operator know of each other, beside their engines.
struct Crew {
    /// What wakes the operator.
    bell: Bell,
    /// The end has come.
    is_over: AtomicBool,
    /// Somebody is near his share of the limit.
    wants_share: AtomicBool,
    /// How many turns each worker has had.
    turns: Vec<AtomicU64>,
}

/// What a worker has to say to the operator.
enum Report {
    /// A turn failed.
    Fault(Fault),
    /// There can be no more packets.
    Lost(Fault),
    /// The system doesn't let it wait.
    System(io::Error),
    /// What an operator should know.
    Remarks(Vec<String>),
    /// It has panicked.
    Died,
}

/// What somebody wants to know of a packet, and where the answer goes.
struct Ask {
    question: Question,
    answer: Sender<Result<String, Errno>>,
}

impl Crew {
    fn new(workers: usize) -> io::Result<Self> {
        Ok(Self {
            bell: Bell::new()?,
            is_over: AtomicBool::new(false),
            wants_share: AtomicBool::new(false),
            turns: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        })
    }
}

/// Tells all workers that it is the end when it goes, however whoever has it comes to go.
struct Ending<'a>(&'a Crew, &'a Team);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let Self(crew, team) = self;
        crew.is_over.store(true, Ordering::Release);
        (0..team.workers()).for_each(|worker| team.ring(worker));
    }
}

/// Turns until a signal says to stop, or something is lost.
pub(super) fn run<P: DataPlane + Send>(
    (team, planes): (&Team, &mut [P]),
    office: &mut Office,
    way: &Way,
    (signals, heed): (&mut Signals, &mut impl Heed),
) -> End {
    let crew = match Crew::new(team.workers()) {
        Ok(crew) => crew,
        Err(error) => return End::System(error),
    };
    let (reports, reported) = channel();
    thread::scope(|scope| {
        // The scope waits for the workers even if this thread panics.
        let _ending = Ending(&crew, team);
        let mut asks = Vec::new();
        for (number, plane) in planes.iter_mut().enumerate() {
            let (ask, asked): (_, Receiver<Ask>) = channel();
            let worker = Worker::new(number, plane, (team, &crew, way), (asked, reports.clone()));
            let thread = Builder::new().name(format!("worker {number}"));
            if let Err(error) = thread.spawn_scoped(scope, move || worker.run()) {
                return End::System(error);
            }
            asks.push(ask);
        }
        Operator::new(team, &crew, office, (asks, reported)).run(signals, heed)
    })
}
