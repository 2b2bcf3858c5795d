//! A worker's thread.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use tidegate_engine::Engine;
use tidegate_engine::time::Instant;

use super::super::office::sleep;
use super::super::{
    BREATH, BURST, DataPlane, EXPIRY_BUDGET, LONGEST_SLEEP, LOOK_EVERY, Readiness, Way, tell,
};
use super::{Ask, Crew, Report};
use crate::control::{Errno, Team};
use crate::replay::Fault;

pub(super) struct Worker<'a, P> {
    number: usize,
    plane: &'a mut P,
    team: &'a Team,
    crew: &'a Crew,
    way: &'a Way,
    asked: Receiver<Ask>,
    reports: Sender<Report>,
    /// When the last packet came, and when it was last looked for what is remarkable.
    busy: Option<Instant>,
    remarked: Option<Instant>,
}

/// How a turn went.
struct Turned {
    /// There is more to do at once.
    is_behind: bool,
    at: Instant,
    /// When the engine must have its next turn.
    due: Option<Instant>,
}

impl<'a, P: DataPlane> Worker<'a, P> {
    pub(super) fn new(
        number: usize,
        plane: &'a mut P,
        (team, crew, way): (&'a Team, &'a Crew, &'a Way),
        (asked, reports): (Receiver<Ask>, Sender<Report>),
    ) -> Self {
        Self { number, plane, team, crew, way, asked, reports, busy: None, remarked: None }
    }

    /// Turns until the end.
    pub(super) fn run(mut self) {
        let _alarm = Alarm { crew: self.crew, reports: self.reports.clone() };
        if let Err(remark) = self.way.keep_to_core(self.number) {
            self.report(Report::Remarks(vec![remark]));
        }
        while !self.crew.is_over.load(Ordering::Acquire) {
            self.team.hush(self.number);
            self.crew.turns[self.number].fetch_add(1, Ordering::Relaxed);
            let outcome = self.turn();
            if let Some(fault) = self.plane.lost() {
                return self.report(Report::Lost(fault));
            }
            match outcome {
                Err(fault) => {
                    self.report(Report::Fault(fault));
                    thread::sleep(BREATH);
                }
                Ok(turned) if turned.is_behind || self.keeps_vigil(turned.at) => {}
                Ok(turned) => {
                    if let Err(error) = self.wait(&turned) {
                        return self.report(Report::System(error));
                    }
                }
            }
        }
    }

    fn keeps_vigil(&self, now: Instant) -> bool {
        let vigil = self.way.vigil;
        !vigil.is_zero() && self.busy.is_some_and(|busy| now.saturating_sub(busy) < vigil)
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Packets can't be read; all else that was due is done.
    fn turn(&mut self) -> Result<Turned, Fault> {
        let Self { number, plane, team, crew, way, .. } = self;
        let mut seat = team.take(*number);
        let at = team.clock().now();
        let engine = &mut seat.engine;
        let packets = plane.turn(engine, at, BURST);
        if packets.as_ref().is_ok_and(|packets| *packets > 0) {
            self.busy = Some(at);
        }
        tell(engine, *plane, at, &*way.log);
        let expired = engine.handle_timeout(at, EXPIRY_BUDGET, plane.world());
        team.pass_on(*number, engine);
        answer(&self.asked, engine, at, *plane);
        let due = engine.next_deadline();
        let wants_share = seat.wants_share();
        let is_much = seat.note();
        team.note(*number, &seat);
        let is_urgent = is_much || team.is_heard() && seat.has_said();
        Team::leave(seat);
        // In a full table somebody is short of room with every turn.
        let is_news = wants_share && !crew.wants_share.swap(true, Ordering::AcqRel);
        if is_news || is_urgent {
            crew.bell.ring();
        }
        self.remark(at);
        let is_behind = packets? == BURST || expired == EXPIRY_BUDGET;
        Ok(Turned { is_behind, at, due })
    }

    fn remark(&mut self, now: Instant) {
        let is_due = self.remarked.is_none_or(|last| now.saturating_sub(last) >= LOOK_EVERY);
        if is_due {
            self.remarked = Some(now);
            let remarks = self.plane.remarks();
            if !remarks.is_empty() {
                self.report(Report::Remarks(remarks));
            }
        }
    }

    /// Who doesn't hear it has ended.
    fn report(&self, report: Report) {
        let _ = self.reports.send(report);
        self.crew.bell.ring();
    }

    /// Sleeps until there is something to do.
    fn wait(&mut self, turned: &Turned) -> io::Result<()> {
        let Some(bell) = self.team.doze(self.number) else { return Ok(()) };
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = vec![readable(bell.fd())];
        let due = match self.plane.readiness() {
            Readiness::At(at) => Some(at),
            Readiness::When(plane) => {
                fds.extend(plane.into_iter().map(readable));
                None
            }
            Readiness::Never => None,
        };
        let next = [turned.due, due, self.plane.due()].into_iter().flatten().min();
        let now = self.team.clock().now();
        let longest = next.map_or(LONGEST_SLEEP, |next| next.saturating_sub(now));
        let slept = sleep(&mut fds, longest.min(LONGEST_SLEEP));
        let ready: Vec<bool> = fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        bell.rise();
        self.plane.woken(&ready);
        slept
    }
}

/// Answers what somebody wants to know of packets.
fn answer(asked: &Receiver<Ask>, engine: &Engine, now: Instant, plane: &impl DataPlane) {
    for Ask { question, answer } in asked.try_iter() {
        let port = plane.port(question.port.as_deref()).ok_or(Errno::NO_DEVICE);
        // Who doesn't wait any longer doesn't need it.
        let _ = answer.send(port.map(|port| question.answer((engine, now), port, plane.world())));
    }
}

/// Says that its thread has panicked.
struct Alarm<'a> {
    crew: &'a Crew,
    reports: Sender<Report>,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ = self.reports.send(Report::Died);
            self.crew.bell.ring();
        }
    }
}
