//! Whose flows a server tells of: one engine's, or those of several workers.

use std::mem;
use std::ops::{Deref, DerefMut};

use parking_lot::MutexGuard;
use tidegate_engine::Engine;
use tidegate_engine::command::{CommandError, Creation};
use tidegate_engine::event::Event;
use tidegate_engine::flow::FlowId;
use tidegate_engine::limits::Limits;
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::{Direction, Tuple, Zone};

use super::team::{Said, Seat, Team, share_among};

/// See the module's documentation.
pub enum Engines<'a> {
    /// One, and nobody else has anything to do with it.
    Alone(&'a mut Engine),
    /// Those of workers who are at work meanwhile.
    Team(&'a Team),
}

impl<'a> From<&'a mut Engine> for Engines<'a> {
    fn from(engine: &'a mut Engine) -> Self {
        Self::Alone(engine)
    }
}

impl<'a> From<&'a mut Engines<'_>> for Engines<'a> {
    fn from(engines: &'a mut Engines<'_>) -> Self {
        match engines {
            Engines::Alone(engine) => Self::Alone(engine),
            Engines::Team(team) => Self::Team(team),
        }
    }
}

/// The flow of a tuple: whose it is, which one, and which of its directions the tuple is.
pub(super) type Found = (usize, FlowId, Direction);

impl<'a> Engines<'a> {
    /// Those of a team whom nobody else has anything to do with.
    pub fn of(team: &'a mut Team) -> Self {
        match team.workers() {
            1 => Self::Alone(team.first_mut()),
            _ => Self::Team(team),
        }
    }
}

impl Engines<'_> {
    /// How many there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        match self {
            Self::Alone(_) => 1,
            Self::Team(team) => team.workers(),
        }
    }

    /// One of them, for as long as the answer lives. `now` is the time where nobody else goes on with it.
    pub fn at(&mut self, worker: usize, now: Instant) -> At<'_> {
        match self {
            Self::Alone(engine) => At { now, held: Held::Own(engine) },
            Self::Team(team) => {
                let seat = team.take(worker);
                At { now: team.clock().now(), held: Held::Shared(Shared::new(team, worker, seat)) }
            }
        }
    }

    /// One of them, if it has told anything that nobody has taken yet.
    pub(super) fn told(&mut self, worker: usize, now: Instant) -> Option<At<'_>> {
        let has_said = match self {
            Self::Alone(_) => true,
            Self::Team(team) => team.has_said(worker),
        };
        has_said.then(|| self.at(worker, now))
    }

    /// All of them at once: nobody goes on before the answer is gone.
    pub fn all(&mut self, now: Instant) -> Vec<At<'_>> {
        match self {
            Self::Alone(engine) => vec![At { now, held: Held::Own(engine) }],
            Self::Team(team) => {
                let places = (0..team.workers()).map(|worker| (worker, team.take(worker)));
                let places: Vec<_> = places.collect();
                let now = team.clock().now();
                let at = |(worker, seat)| At {
                    now,
                    held: Held::Shared(Shared::new(team, worker, seat)),
                };
                places.into_iter().map(at).collect()
            }
        }
    }

    /// Does the same to all of them, before any of them goes on; what came of it, which is the same for all if they
    /// were the same.
    pub(crate) fn change<T>(&mut self, now: Instant, how: impl FnMut(&mut Engine) -> T) -> T {
        change_each(&mut self.all(now), how)
    }

    /// The same where the limit of flows may be another one afterwards: nobody goes on before it is shared out.
    pub(crate) fn change_limits<T>(
        &mut self,
        now: Instant,
        how: impl FnMut(&mut Engine) -> T,
    ) -> T {
        let mut all = self.all(now);
        let outcome = change_each(&mut all, how);
        let mut seats: Vec<&mut Seat> = all.iter_mut().filter_map(At::seat).collect();
        share_among(&mut seats);
        outcome
    }

    /// Asks one of them what all know.
    pub(crate) fn ask<T>(&mut self, now: Instant, what: impl FnOnce(&Engine) -> T) -> T {
        what(&self.at(0, now))
    }

    /// The limits in force.
    pub fn limits(&mut self, now: Instant) -> Limits {
        *self.at(0, now).limits()
    }

    /// How many flows there are.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        (0..self.workers()).map(|worker| self.at(worker, now).count()).sum()
    }

    /// The numbers of the workers, the home of a tuple first.
    fn home_first(&self, tuple: &Tuple) -> impl Iterator<Item = usize> + use<> {
        let home = match self {
            Self::Alone(_) => 0,
            Self::Team(team) => team.steering().map_or(0, |steering| steering.home(tuple)),
        };
        let workers = self.workers();
        (0..workers).map(move |number| (home + number) % workers)
    }

    /// The flow that has a tuple.
    pub(super) fn find(&mut self, now: Instant, tuple: &Tuple, zone: Zone) -> Option<Found> {
        self.home_first(tuple).find_map(|worker| {
            let at = self.at(worker, now);
            let (id, dir) = at.find(at.now, tuple, zone)?;
            Some((worker, id, dir))
        })
    }

    /// The expectation that a flow of this tuple would meet: whose, and its number.
    pub(super) fn find_expectation(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
    ) -> Option<(usize, u64)> {
        (0..self.workers()).find_map(|worker| {
            let at = self.at(worker, now);
            let (number, _) = at.find_expectation(at.now, tuple, zone)?;
            Some((worker, number))
        })
    }

    /// All others, and who is to have a flow: who has its master, or its home. Nobody begins another one of its tuples
    /// before the answer is gone, if he goes first: what he has to tell them is told then.
    ///
    /// # Errors
    /// [`CommandError::Exists`]: somebody else has one of its tuples.
    pub(super) fn all_for(
        &mut self,
        now: Instant,
        flow: &Creation<'_>,
    ) -> Result<(Vec<At<'_>>, At<'_>), CommandError> {
        let home = self.home_first(&flow.orig).next().unwrap_or(0);
        let mut all = self.all(now);
        let has = |at: &At<'_>, tuple: &Tuple| at.find(at.now, tuple, flow.zone).is_some();
        let of_master = |master: Tuple| all.iter().position(|at| has(at, &master));
        let owner = flow.master.and_then(of_master).unwrap_or(home);
        let is_another_s = all
            .iter()
            .enumerate()
            .any(|(worker, at)| worker != owner && (has(at, &flow.orig) || has(at, &flow.reply)));
        if is_another_s {
            return Err(CommandError::Exists);
        }
        let owner = all.swap_remove(owner);
        Ok((all, owner))
    }
}

fn change_each<T>(all: &mut [At<'_>], mut how: impl FnMut(&mut Engine) -> T) -> T {
    let mut outcomes: Vec<T> = all.iter_mut().map(|at| how(at)).collect();
    outcomes.swap_remove(0)
}

/// An engine that is somebody's for a moment, who should ask for no time but [`At::now`].
pub struct At<'a> {
    /// The time.
    pub now: Instant,
    held: Held<'a>,
}

enum Held<'a> {
    Own(&'a mut Engine),
    Shared(Shared<'a>),
}

/// A worker's engine. What has changed there others are told before he goes on.
struct Shared<'a> {
    team: &'a Team,
    worker: usize,
    seat: MutexGuard<'a, Seat>,
    is_touched: bool,
}

impl<'a> Shared<'a> {
    fn new(team: &'a Team, worker: usize, seat: MutexGuard<'a, Seat>) -> Self {
        Self { team, worker, seat, is_touched: false }
    }
}

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        if self.is_touched {
            let Self { team, worker, seat, .. } = self;
            team.pass_on(*worker, &mut seat.engine);
            // Deadlines may be earlier now than when he went to sleep.
            team.ring(*worker);
        }
    }
}

impl At<'_> {
    /// The place that it has among others; `None` if it is alone.
    fn seat(&mut self) -> Option<&mut Seat> {
        match &mut self.held {
            Held::Own(_) => None,
            Held::Shared(shared) => Some(&mut shared.seat),
        }
    }

    /// What the engine has told before, and how much of that there was no room for.
    pub(super) fn take_said(&mut self) -> Said {
        match &mut self.held {
            Held::Own(_) => Said::default(),
            Held::Shared(shared) => mem::take(&mut shared.seat.said),
        }
    }

    /// What the engine has to tell now.
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match &mut self.held {
            Held::Own(engine) => engine.poll_event(),
            Held::Shared(shared) => shared.seat.engine.poll_event(),
        }
    }
}

impl Deref for At<'_> {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        match &self.held {
            Held::Own(engine) => engine,
            Held::Shared(shared) => &shared.seat.engine,
        }
    }
}

impl DerefMut for At<'_> {
    fn deref_mut(&mut self) -> &mut Engine {
        match &mut self.held {
            Held::Own(engine) => engine,
            Held::Shared(shared) => {
                shared.is_touched = true;
                &mut shared.seat.engine
            }
        }
    }
}
