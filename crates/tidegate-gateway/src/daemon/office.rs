//! The operator's side of a daemon: requests, signals, files that are read again, a service manager.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidegate_engine::Engine;
use tidegate_engine::limits::Limits;
use tidegate_engine::time::{Instant, WallClock};

use super::reading::{Processors, Reading, Revision, let_go};
use super::service::Service;
use super::{Heed, LONGEST_SLEEP, LOOK_EVERY, Signal, Signals};
use crate::clock::Clock;
use crate::control::socket::Endpoint;
use crate::control::{Engines, Server};
use crate::replay::{Cause, Fault, Inputs};

/// How often a fault that lasts is told.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);
/// Nanoseconds that the clock on the wall may be wrong.
const STEP: u64 = 500_000_000;

/// See the module's documentation.
pub(super) struct Office {
    pub(super) server: Server,
    pub(super) endpoint: Endpoint,
    pub(super) service: Service,
    pub(super) clock: Clock,
    /// What the engines take the clock on the wall for.
    wall: WallClock,
    inputs: Inputs,
    processors: Processors,
    /// The files that are being read again, and whether a signal has asked for it since that began.
    reading: Option<Reading>,
    is_asked: bool,
    /// The last fault of a turn, in words, and when it was told.
    complaint: Option<(String, Instant)>,
    /// When the operator was last looked for, and whether he must be now: he was heard, or waits for more.
    looked: Option<Instant>,
    is_called: bool,
}

impl Office {
    pub(super) fn new(
        endpoint: Endpoint,
        (clock, wall): (Clock, WallClock),
        inputs: Inputs,
        backlog: usize,
    ) -> Self {
        Self {
            server: Server::new(backlog),
            endpoint,
            service: Service::new(),
            clock,
            wall,
            inputs,
            processors: Processors::of_now(),
            reading: None,
            is_asked: false,
            complaint: None,
            looked: None,
            is_called: true,
        }
    }

    /// Whether it is time to look for the operator.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_late = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY);
        let is_due = is_late || self.is_called || self.wants_reload();
        if is_due {
            self.looked = Some(now);
        }
        is_due
    }

    /// Does what signals ask for, and follows the clock on the wall; whether it is the end.
    pub(super) fn attend(
        &mut self,
        engines: &mut Engines<'_>,
        signals: &mut Signals,
        heed: &mut impl Heed,
    ) -> bool {
        if let Some(wall) = put_right(self.clock.wall(), self.wall) {
            self.wall = wall;
            engines.change(self.clock.now(), |engine| engine.set_wall_clock(wall));
        }
        match signals.take() {
            Some(Signal::Stop) => return true,
            Some(Signal::Reload) => self.is_asked = true,
            None => {}
        }
        if let Some(reading) = self.reading.take_if(|reading| reading.is_over()) {
            let outcome = reading.outcome().map(|revision| self.adopt(engines, revision));
            self.tell_outcome(outcome, heed);
        }
        if self.wants_reload() {
            self.is_asked = false;
            self.read_again(engines, heed);
        }
        false
    }

    /// Whether rules and settings are to be read again, and aren't yet.
    pub(super) fn wants_reload(&self) -> bool {
        self.reading.is_none() && (self.is_asked || self.server.wants_reload())
    }

    /// Does what clients ask for, by a piece; whether there is more to do at once. While files are read, nobody is
    /// listened to, but everybody is told what happens.
    pub(super) fn serve(&mut self, engines: &mut Engines<'_>, now: Instant) -> bool {
        if self.reading.is_some() {
            self.endpoint.send(&mut self.server);
            return false;
        }
        self.endpoint.serve(&mut self.server, engines, now)
    }

    /// Whether something can be done at once for a client; whoever isn't due is then the next time.
    pub(super) fn is_behind(&mut self, was_behind: bool) -> bool {
        let is_behind = was_behind || self.endpoint.is_busy(&self.server);
        self.is_called = is_behind;
        is_behind
    }

    /// Tells a fault, unless it is the last one again.
    pub(super) fn complain(&mut self, fault: Fault, heed: &mut impl Heed) {
        let (words, now) = (fault.to_string(), self.clock.now());
        let is_known = self.complaint.as_ref().is_some_and(|(last, told)| {
            *last == words && now.saturating_sub(*told) < COMPLAIN_EVERY
        });
        if !is_known {
            self.complaint = Some((words, now));
            heed(Err(vec![fault]));
        }
    }

    /// Sleeps until somebody has something to ask, or one of `others` can be read, or it is time; which of `others` can
    /// be.
    pub(super) fn wait(
        &mut self,
        signals: &Signals,
        others: &[PollFd<'_>],
        longest: Duration,
    ) -> io::Result<Vec<bool>> {
        let mut fds = match &self.reading {
            Some(reading) => {
                let mut fds = self.endpoint.outlets();
                fds.push(PollFd::from_borrowed_fd(reading.fd(), PollFlags::IN));
                fds
            }
            None => self.endpoint.interests(&self.server),
        };
        fds.extend(signals.fds().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let own = fds.len();
        fds.extend(others.iter().cloned());
        sleep(&mut fds, longest.min(LONGEST_SLEEP).min(self.service.patience()))?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (own, others) = ready.split_at(own);
        let (is_called, others) = (own.contains(&true), others.to_vec());
        drop(fds);
        self.is_called |= is_called;
        Ok(others)
    }

    /// Begins to read rules and settings anew.
    fn read_again(&mut self, engines: &mut Engines<'_>, heed: &mut impl Heed) {
        self.service.reloading();
        match Reading::begin(&self.inputs, self.processors, engines, self.clock.now()) {
            Ok(reading) => self.reading = Some(reading),
            Err(error) => self.tell_outcome(Err(vec![Fault::of("reload", Cause::Io(error))]), heed),
        }
    }

    /// Puts what was read in force. Sets and timeout policies stay as they are: their contents are the engine's. All
    /// engines change before any of them goes on. What there is to say of it.
    fn adopt(&mut self, engines: &mut Engines<'_>, revision: Revision) -> Vec<Fault> {
        let Revision { limits, mut rules, warnings } = revision;
        self.wall = self.clock.wall();
        let mut each = rules.iter_mut();
        engines.change_limits(self.clock.now(), |engine| {
            set_limits(engine, &limits);
            each.next().into_iter().for_each(|rules| engine.adopt_rules(rules));
            engine.set_wall_clock(self.wall);
        });
        let_go(rules, self.processors);
        warnings
    }

    /// Tells everybody who wants to know how a reload went.
    fn tell_outcome(&mut self, outcome: Result<Vec<Fault>, Vec<Fault>>, heed: &mut impl Heed) {
        let (Ok(faults) | Err(faults)) = &outcome;
        let report: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        self.server.reloaded(&report, outcome.is_ok());
        heed(outcome);
        self.service.ready();
    }
}

fn set_limits(engine: &mut Engine, limits: &Limits) {
    for key in Limits::names() {
        let (old, new) = (engine.limits().value(key), limits.value(key));
        if old != new
            && let Some(value) = new
        {
            // The value is one that this very setting was just given.
            let _ = engine.set(key, &value);
        }
    }
}

/// Waits for one of these, no longer than that.
pub(super) fn sleep(fds: &mut [PollFd<'_>], longest: Duration) -> io::Result<()> {
    let timeout =
        Timespec { tv_sec: longest.as_secs() as i64, tv_nsec: longest.subsec_nanos().into() };
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The clock on the wall again if that was put right, as on a machine that learns the time from the network. What
/// is less than [`STEP`] stays, so that a flow began at the same time whenever somebody asks.
pub(super) fn put_right(wall: WallClock, known: WallClock) -> Option<WallClock> {
    let is_other = wall.offset.abs_diff(known.offset) > STEP;
    is_other.then_some(WallClock { offset: wall.offset, ..known })
}
