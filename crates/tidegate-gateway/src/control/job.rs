//! What takes longer than a moment: listings and flushes, done piece by piece.
//!
//! A piece looks at a bounded number of slots and stops when enough waits to be sent. Between two pieces anything may
//! happen to the table.

use std::ops::ControlFlow::{Break, Continue};

use tidegate_engine::command::Cursor;
use tidegate_engine::fib::{Fib, PortId};
use tidegate_engine::flow::FlowId;
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Packet};
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::{Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::tidegate;

use super::condition::Subject;
use super::engines::Engines;
use super::filter::Choice;
use super::flow::{Circumstances, describe};
use super::news::{Cause, News};
use super::outbox::Outbox;
use super::{expectation, requests};
use crate::text::Prospect;

/// Slots that a piece of a listing looks at.
const PIECE: usize = 512;
/// Slots that a piece of a flush looks at.
const PIECE_OF_FLUSH: usize = 256;

/// Who asked, and how answers are marked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) seq: u32,
    pub(super) port: u32,
}

/// What is going on for a session.
#[derive(Debug)]
pub(super) enum Job {
    /// Flows are listed.
    Flows { round: Round, choice: Choice, zeroes: bool },
    /// Expectations are listed: those of this worker from this number on, of this family, of this master.
    Expectations { worker: usize, next: u64, family: u8, master: Option<FlowId> },
    /// Timeout policies are listed: those behind so many.
    Policies { behind: usize },
    /// Flows are counted, or deleted. `reports`: how many is told, instead of that it was done.
    Sweep { round: Round, choice: Choice, task: Task, count: u64, reports: bool },
    /// A question waits for who knows the world: `Server::explain`.
    Question(Question),
    /// A wish waits for who knows the files: `Server::reload`.
    Reload,
}

/// What would become of a packet?
#[derive(Clone, Debug)]
pub struct Question {
    /// The packet.
    pub datagram: Vec<u8>,
    /// The port that it comes in by.
    pub port: Option<String>,
    /// Its mark.
    pub mark: u32,
}

impl Question {
    /// The answer of an engine, for a packet that comes in by this port.
    pub fn answer(
        &self,
        (engine, now): (&Engine, Instant),
        port: PortId,
        fib: &impl Fib,
    ) -> String {
        let Self { datagram, mark, .. } = self;
        let mut bytes = datagram.clone();
        let packet = Packet { mark: *mark, ..Packet::received(&mut bytes, port) };
        let rehearsal = &engine.explain(now, &packet, fib);
        Prospect { datagram, port, rehearsal, fib }.to_string()
    }
}

/// How far a walk through the tables of all workers has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    worker: usize,
    cursor: Cursor,
}

impl Round {
    /// Goes on to the next worker if this one's table is done; whether all are.
    fn turn(&mut self, workers: usize) -> bool {
        let is_done = self.cursor.is_at_end();
        if is_done && self.worker + 1 < workers {
            *self = Self { worker: self.worker + 1, cursor: Cursor::default() };
            return false;
        }
        is_done
    }
}

/// What is done to flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Count,
    Delete(Cause),
}

/// How a piece ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// It is done; the listing's end is to be told.
    Listed,
    /// It is done; so many flows were counted or deleted, and whether that is to be told.
    Swept(u64, bool),
}

/// Where a job works.
pub(super) struct Site<'a> {
    pub(super) engines: Engines<'a>,
    pub(super) news: &'a mut News,
    pub(super) now: Instant,
    pub(super) outbox: &'a mut Outbox,
}

impl Job {
    /// Whether requests wait until it is done: it answers by itself, not by a listing.
    pub(super) fn holds_requests(&self) -> bool {
        matches!(self, Self::Sweep { .. })
    }

    /// Whether only [`Server::explain`](super::Server::explain) can go on with it.
    pub(super) fn question(&self) -> Option<&Question> {
        match self {
            Self::Question(question) => Some(question),
            _ => None,
        }
    }

    /// Whether somebody outside must go on with it.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Question(_) | Self::Reload)
    }

    /// Does a piece.
    pub(super) fn go_on(&mut self, asked: Asked, site: &mut Site<'_>) -> Progress {
        match self {
            Self::Flows { round, choice, zeroes } => {
                list(asked, site, (round, choice), *zeroes);
                if round.turn(site.engines.workers()) { Progress::Listed } else { Progress::More }
            }
            Self::Expectations { worker, next, family, master } => {
                let at = (&mut *worker, &mut *next);
                let is_done = list_expectations(asked, site, at, (*family, *master));
                if is_done { Progress::Listed } else { Progress::More }
            }
            Self::Policies { behind } => {
                let is_done = list_policies(asked, site, behind);
                if is_done { Progress::Listed } else { Progress::More }
            }
            Self::Question(_) | Self::Reload => Progress::More,
            Self::Sweep { round, choice, task, count, reports } => {
                sweep(site, (round, choice), *task, count);
                let is_done = round.turn(site.engines.workers());
                if is_done { Progress::Swept(*count, *reports) } else { Progress::More }
            }
        }
    }
}

fn list(asked: Asked, site: &mut Site<'_>, (round, choice): (&mut Round, &Choice), zeroes: bool) {
    let Site { engines, now, outbox, .. } = site;
    let mut at = engines.at(round.worker, *now);
    let (engine, now): (&Engine, _) = (&at, at.now);
    let mut counted = Vec::new();
    let filtered = if choice.is_filter() { Flags::DUMP_FILTERED } else { Flags::empty() };
    engine.walk(now, &mut round.cursor, PIECE, |id, flow| {
        if outbox.is_full() {
            return Break(());
        }
        let shown = engine.shown_id(id);
        if choice.takes(&Subject { flow, id: shown, now }) {
            outbox.gather(|writer| {
                let header = header_of(asked, Flags::MULTI | filtered);
                let references = 1 + engine.children_of(id);
                let about = Circumstances::of(engine, id);
                writer.message(header, Family::of(flow.orig.family()), |writer| {
                    describe(writer, (now, references), flow, &about);
                });
            });
            if zeroes && flow.acct.is_some() {
                counted.push(id);
            }
        }
        Continue(())
    });
    for id in counted {
        at.take_counters(id);
    }
}

/// One worker's flow, as an answer of its own; its counters begin anew if that is asked for. Whether it is there.
pub(super) fn show(
    asked: Asked,
    site: &mut Site<'_>,
    (worker, id): (usize, FlowId),
    zeroes: bool,
) -> bool {
    let mut at = site.engines.at(worker, site.now);
    let Some(flow) = at.flow(id) else { return false };
    let (engine, now): (&Engine, _) = (&at, at.now);
    let about = Circumstances::of(engine, id);
    // The kernel's own reference while it answers is counted as well.
    let references = 2 + engine.children_of(id);
    site.outbox.send(|writer| {
        let header = header_of(asked, Flags::MULTI);
        writer.message(header, Family::of(flow.orig.family()), |writer| {
            describe(writer, (now, references), &flow, &about);
        });
    });
    if zeroes {
        at.take_counters(id);
    }
    true
}

fn header_of(asked: Asked, flags: Flags) -> Header {
    let kind = Header::kind_of(Subsystem::Conntrack, message::NEW);
    Header { kind, flags, seq: asked.seq, pid: asked.port }
}

fn list_expectations(
    asked: Asked,
    site: &mut Site<'_>,
    (worker, next): (&mut usize, &mut u64),
    (family, master): (u8, Option<FlowId>),
) -> bool {
    let Site { engines, now, outbox, .. } = site;
    let engine = engines.at(*worker, *now);
    let now = &engine.now;
    for (number, one) in engine.expectations_from(*next) {
        if outbox.is_full() {
            return false;
        }
        *next = number + 1;
        let own = Family::of(one.tuple.family());
        let is_living = one.deadline > *now;
        let is_asked_for = family == Family::ANY || own.family == family;
        if is_living && is_asked_for && master.is_none_or(|master| one.master.id == master) {
            let id = engine.shown_expectation_id(number);
            outbox.gather(|writer| {
                let kind = Header::kind_of(Subsystem::Expect, message::NEW);
                let header = Header { kind, ..header_of(asked, Flags::MULTI) };
                writer.message(header, own, |writer| expectation::describe(writer, *now, one, id));
            });
        }
    }
    drop(engine);
    (*worker, *next) = (*worker + 1, 0);
    // A master's are all with him.
    master.is_some() || *worker == engines.workers()
}

fn list_policies(asked: Asked, site: &mut Site<'_>, behind: &mut usize) -> bool {
    let Site { engines, now, outbox, .. } = site;
    let engine = engines.at(0, *now);
    for policy in engine.policies().iter().skip(*behind) {
        if outbox.is_full() {
            return false;
        }
        *behind += 1;
        outbox.gather(|writer| requests::timeout::show(writer, asked, policy));
    }
    true
}

fn sweep(site: &mut Site<'_>, (round, choice): (&mut Round, &Choice), task: Task, count: &mut u64) {
    let mut at = site.engines.at(round.worker, site.now);
    let (engine, now): (&Engine, _) = (&at, at.now);
    let mut chosen = Vec::new();
    engine.walk(now, &mut round.cursor, PIECE_OF_FLUSH, |id, flow| {
        let shown = engine.shown_id(id);
        if choice.takes(&Subject { flow, id: shown, now }) {
            *count += 1;
            chosen.push(id);
        }
        Continue(())
    });
    if let Task::Delete(cause) = task {
        site.news.gather(&mut at, None);
        for id in chosen {
            at.kill(now, id);
        }
        site.news.gather(&mut at, Some(cause));
    }
}

/// How many flows were counted or deleted: a message of Tidegate's own.
pub(super) fn report(outbox: &mut Outbox, asked: Asked, number: u8, count: u64) {
    outbox.send(|writer| {
        let kind = Header::kind_of(Subsystem::Tidegate, number);
        let header = Header { kind, ..header_of(asked, Flags::empty()) };
        writer.message(header, Family::default(), |writer| {
            tidegate::Attribute::Count(count).write(writer);
        });
    });
}
