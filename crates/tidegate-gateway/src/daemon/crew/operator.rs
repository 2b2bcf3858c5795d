//! The operator's thread: requests, signals, reloads, events of all workers in one order, and the limit that they share.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use tidegate_engine::time::Instant;

use super::super::office::Office;
use super::super::{End, Heed, LOOK_EVERY, Signals, remark};
use super::{Ask, Crew, Report};
use crate::control::{Engines, Errno, Question, Team};

/// How often the limit of flows is shared out anew, at least and at most.
const SHARE_EVERY: Duration = Duration::from_secs(1);
const SHARE_AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// How long a worker may take for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a worker's turn may take, if nobody else says.
const LONGEST_TURN: Duration = Duration::from_secs(1);

pub(super) struct Operator<'a> {
    team: &'a Team,
    crew: &'a Crew,
    office: &'a mut Office,
    asks: Vec<Sender<Ask>>,
    reports: Receiver<Report>,
    /// What was remarked already, by whichever worker.
    remarked: BTreeSet<String>,
    /// When the limit was last shared out.
    shared: Instant,
    /// When a worker last rang.
    woken: Instant,
    /// How many turns each worker had had when it was last seen to have had one, and when that was.
    seen: Vec<(u64, Instant)>,
}

impl<'a> Operator<'a> {
    pub(super) fn new(
        team: &'a Team,
        crew: &'a Crew,
        office: &'a mut Office,
        (asks, reports): (Vec<Sender<Ask>>, Receiver<Report>),
    ) -> Self {
        let now = office.clock.now();
        let (remarked, seen) = (BTreeSet::new(), vec![(0, now); team.workers()]);
        let (shared, woken) = (now, Instant::ZERO);
        Self { team, crew, office, asks, reports, remarked, shared, woken, seen }
    }

    /// Works until the end.
    pub(super) fn run(&mut self, signals: &mut Signals, heed: &mut impl Heed) -> End {
        loop {
            self.crew.bell.hush();
            let now = self.office.clock.now();
            if self.all_turn(now) {
                self.office.service.live(now);
            }
            let engines = &mut Engines::Team(self.team);
            if self.office.attend(engines, signals, heed) {
                return End::Stopped;
            }
            if let Some(end) = self.hear(heed) {
                return end;
            }
            self.share(now);
            let is_behind = self.office.serve(engines, now);
            self.team.set_heard(self.office.server.has_listeners());
            self.office.server.gather(engines, now);
            self.explain();
            let is_behind = self.office.is_behind(is_behind);
            if !is_behind
                && !self.office.wants_reload()
                && let Err(error) = self.wait(signals)
            {
                return End::System(error);
            }
        }
    }

    /// Whether all workers have had turns lately, or sleep as there is nothing to do.
    fn all_turn(&mut self, now: Instant) -> bool {
        for (worker, seen) in self.seen.iter_mut().enumerate() {
            let turns = self.crew.turns[worker].load(Ordering::Relaxed);
            if seen.0 != turns || self.team.is_asleep(worker) {
                *seen = (turns, now);
            }
        }
        let patience = self.office.service.patience().max(LONGEST_TURN);
        self.seen.iter().all(|(_, at)| now.saturating_sub(*at) < patience)
    }

    /// Hears what workers report; whether it is the end.
    fn hear(&mut self, heed: &mut impl Heed) -> Option<End> {
        while let Ok(report) = self.reports.try_recv() {
            match report {
                Report::Fault(fault) => self.office.complain(fault, heed),
                Report::Lost(fault) => return Some(End::Lost(fault)),
                Report::System(error) => return Some(End::System(error)),
                // Its thread is waited for, and the panic goes on here.
                Report::Died => return Some(End::Stopped),
                Report::Remarks(all) => {
                    let new = all.into_iter().filter(|one| self.remarked.insert(one.clone()));
                    let new: Vec<_> = new.map(remark).collect();
                    if !new.is_empty() {
                        heed(Ok(new));
                    }
                }
            }
        }
        None
    }

    fn share(&mut self, now: Instant) {
        let passed = now.saturating_sub(self.shared);
        // Of a table that is full there is nothing to share out, however often somebody asks.
        let is_wanted = passed >= SHARE_AT_MOST_EVERY
            && self.team.has_room()
            && self.crew.wants_share.swap(false, Ordering::AcqRel);
        if is_wanted || passed >= SHARE_EVERY {
            self.shared = now;
            self.team.share_out();
        }
    }

    /// Has questions about packets answered, each by the worker who has the flow, or would have it.
    fn explain(&mut self) {
        let Self { team, office, asks, .. } = self;
        let now = office.clock.now();
        office.server.answer(|question| {
            let worker = responsible(team, now, question);
            let (answer, answered) = channel();
            let ask = Ask { question: question.clone(), answer };
            asks[worker].send(ask).map_err(|_| Errno::BUSY)?;
            team.ring(worker);
            answered.recv_timeout(PATIENCE).unwrap_or(Err(Errno::BUSY))
        });
    }

    fn wait(&mut self, signals: &Signals) -> std::io::Result<()> {
        let now = self.office.clock.now();
        // Workers who have something to tell all the time are heard in turns, as one thread would.
        if now.saturating_sub(self.woken) < LOOK_EVERY {
            return self.office.wait(signals, &[], LOOK_EVERY).map(drop);
        }
        let bell = &self.crew.bell;
        if bell.doze() {
            let rung = PollFd::from_borrowed_fd(bell.fd(), PollFlags::IN);
            let longest = match self.crew.wants_share.load(Ordering::Acquire) {
                true => SHARE_AT_MOST_EVERY,
                false => SHARE_EVERY,
            };
            let rung = self.office.wait(signals, &[rung], longest)?;
            bell.rise();
            if !rung.contains(&true) {
                return Ok(());
            }
        }
        self.woken = self.office.clock.now();
        Ok(())
    }
}

/// Who answers for a packet.
fn responsible(team: &Team, now: Instant, question: &Question) -> usize {
    let datagram = &question.datagram;
    let mut engines = Engines::Team(team);
    let knows = |worker: &usize| {
        let at = engines.at(*worker, now);
        at.knows(at.now, datagram)
    };
    let home = || team.steering().and_then(|steering| steering.home_of(datagram));
    (0..team.workers()).find(knows).or_else(home).unwrap_or(0)
}
