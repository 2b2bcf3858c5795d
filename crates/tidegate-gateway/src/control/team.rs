//! The engines of all workers, each behind a lock that its worker holds for one turn at a time.
//!
//! The operator's thread takes a lock between two turns, and gives it back within a millisecond. Neither keeps the other
//! out: a worker hands his to whoever waits for it, and what the other thread gives back goes to the worker who waits, at
//! the latest after another millisecond, as the lock sees to. A worker never holds another one's lock. The
//! operator's thread holds several at once only by taking them in their order, so that nobody waits in a circle.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tidegate_engine::Engine;
use tidegate_engine::event::Event;
use tidegate_engine::steer::{Steering, shares};

use super::flow::Circumstances;
use super::news::circumstances;
use crate::clock::Clock;
use crate::dataplane::{Bell, Exchange};

/// Events that a worker keeps for the operator's thread.
const MOST_SAID: usize = 65_536;

/// See the module's documentation.
pub struct Team {
    seats: Vec<Mutex<Seat>>,
    /// Who has something to tell.
    has_said: Vec<AtomicBool>,
    /// How many more flows each may have.
    room: Vec<AtomicUsize>,
    steering: Option<Steering>,
    exchange: Arc<Exchange>,
    clock: Clock,
    is_heard: AtomicBool,
}

/// A worker's engine, and what it has told.
pub struct Seat {
    /// The engine.
    pub engine: Engine,
    pub(super) said: Said,
    /// So many flows, and the limit must be shared out anew.
    alarm: usize,
    share: usize,
}

/// Events with what is to be told beside, until the operator's thread takes them.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) events: VecDeque<(Event, Circumstances)>,
    /// For which there was no room.
    pub(super) lost: u64,
}

impl Seat {
    /// Takes down what the engine has to tell, in words that hold whatever becomes of its flows; whether there is more
    /// than should wait.
    pub fn note(&mut self) -> bool {
        while let Some(event) = self.engine.poll_event() {
            if self.said.events.len() == MOST_SAID {
                self.said.lost += 1;
                continue;
            }
            let about = circumstances(&self.engine, &event);
            self.said.events.push_back((event, about));
        }
        self.said.events.len() > MOST_SAID / 2
    }

    /// Whether something waits to be told.
    #[must_use]
    pub fn has_said(&self) -> bool {
        !self.said.events.is_empty()
    }

    /// Whether the limit should be shared out anew: half of what was free is taken, which is said once, or there was no
    /// room for a flow.
    pub fn wants_share(&mut self) -> bool {
        let was_short = self.engine.take_shortage();
        let is_near = self.engine.count() >= self.alarm;
        if is_near {
            self.alarm = usize::MAX;
        }
        is_near || was_short
    }
}

impl Team {
    /// These engines, which have their places among each other already if they are several.
    #[must_use]
    pub fn new(engines: Vec<Engine>, exchange: Arc<Exchange>, clock: Clock) -> Self {
        let steering = engines.first().and_then(|engine| engine.steering().copied());
        let seat = |engine| {
            Mutex::new(Seat { engine, said: Said::default(), alarm: 1, share: usize::MAX })
        };
        let seats: Vec<_> = engines.into_iter().map(seat).collect();
        let has_said = seats.iter().map(|_| AtomicBool::new(false)).collect();
        let room = seats.iter().map(|_| AtomicUsize::new(usize::MAX)).collect();
        let is_heard = AtomicBool::new(false);
        Self { seats, has_said, room, steering, exchange, clock, is_heard }
    }

    /// How many they are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.seats.len()
    }

    /// Who owns flows of which tuples; `None` of one that is alone.
    #[must_use]
    pub fn steering(&self) -> Option<&Steering> {
        self.steering.as_ref()
    }

    /// A worker's place, for him alone until it is [left](Self::leave). `worker` is one of [`Team::workers`].
    pub fn take(&self, worker: usize) -> MutexGuard<'_, Seat> {
        self.seats[worker].lock()
    }

    /// Leaves a place to whoever waits for it.
    pub fn leave(seat: MutexGuard<'_, Seat>) {
        MutexGuard::unlock_fair(seat);
    }

    /// Says whether there is something in a place that is to be told, and how much room, before it is left.
    pub fn note(&self, worker: usize, seat: &Seat) {
        self.has_said[worker].store(seat.has_said(), Ordering::SeqCst);
        let room = seat.share.saturating_sub(seat.engine.count());
        self.room[worker].store(room, Ordering::Relaxed);
    }

    /// Whether there is a place for everybody, so that sharing out the limit anew can help somebody.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let room = self.room.iter().map(|room| room.load(Ordering::Relaxed));
        room.fold(0, usize::saturating_add) >= self.workers()
    }

    /// Whether a worker has something to tell.
    pub(super) fn has_said(&self, worker: usize) -> bool {
        self.has_said[worker].load(Ordering::SeqCst)
    }

    /// Passes on what a worker's engine has for others.
    pub fn pass_on(&self, worker: usize, engine: &mut Engine) {
        self.exchange.tell(worker, engine);
        self.exchange.hand_over(engine);
    }

    /// Wakes a worker, or has it look once more.
    pub fn ring(&self, worker: usize) {
        self.exchange.bell(worker).into_iter().for_each(Bell::ring);
    }

    /// See [`Bell::hush`].
    pub fn hush(&self, worker: usize) {
        self.exchange.bell(worker).into_iter().for_each(Bell::hush);
    }

    /// The bell that a worker sleeps by, if it may sleep: see [`Bell::doze`].
    #[must_use]
    pub fn doze(&self, worker: usize) -> Option<&Bell> {
        self.exchange.bell(worker).filter(|bell| bell.doze())
    }

    /// Whether a worker sleeps.
    #[must_use]
    pub fn is_asleep(&self, worker: usize) -> bool {
        self.exchange.bell(worker).is_some_and(Bell::is_asleep)
    }

    /// The first one's engine, of somebody whom nobody can disturb.
    pub fn first_mut(&mut self) -> &mut Engine {
        &mut self.seats[0].get_mut().engine
    }

    /// The time: whoever takes a place asks for it afterwards, so that it never runs backwards there.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether somebody listens to events. Asked after [`Team::note`], it or whoever begins to listen notices the other.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::SeqCst)
    }

    /// Says whether somebody listens.
    pub fn set_heard(&self, is_heard: bool) {
        self.is_heard.store(is_heard, Ordering::SeqCst);
    }

    /// Shares out the limit of flows anew. All places are taken for that moment, so that there are never more in all.
    pub fn share_out(&self) {
        let mut seats: Vec<_> = (0..self.workers()).map(|worker| self.take(worker)).collect();
        share_among(&mut seats.iter_mut().map(|seat| &mut **seat).collect::<Vec<_>>());
        seats.into_iter().for_each(Self::leave);
    }
}

/// Shares out the limit of flows among all places of a team.
pub(super) fn share_among(seats: &mut [&mut Seat]) {
    let counts: Vec<usize> = seats.iter().map(|seat| seat.engine.count()).collect();
    let max = seats.first().map_or(0, |seat| seat.engine.limits().max);
    for ((seat, share), count) in seats.iter_mut().zip(shares(max, &counts)).zip(counts) {
        seat.engine.set_share(share);
        seat.share = share;
        // There is more to be had only from who has room; with none at all nobody has.
        let half = share.saturating_sub(count) / 2;
        seat.alarm = if max == 0 || half == 0 { usize::MAX } else { count + half };
    }
}
