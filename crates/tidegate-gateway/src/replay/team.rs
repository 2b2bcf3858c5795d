//! The engines of a replay: one, as a rule, or several workers' that share the packets.
//!
//! Workers here are a model of threads: a packet enters at any of them, drawn by lot, and goes from one to the next until
//! somebody has done with it. What they tell each other is heard as late as it may be: by a worker who is about to
//! process a packet, and by nobody else.

use std::collections::VecDeque;

use tidegate_engine::event::Event;
use tidegate_engine::log::{LogLine, PacketCopy};
use tidegate_engine::packet::Packet;
use tidegate_engine::rand::Rng;
use tidegate_engine::steer::{Notice, Parcel, Steering, shares};
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Outcome, Settings};

use super::topology::World;

/// See the module's documentation.
pub(super) struct Team {
    engines: Vec<Engine>,
    /// What each of them has still to hear, and from whom.
    notices: Vec<VecDeque<(usize, Notice)>>,
    lot: Rng,
    told: Told,
}

/// What the workers have to say, in the order in which it came about.
#[derive(Default)]
pub(super) struct Told {
    pub(super) events: Vec<Event>,
    pub(super) log: Vec<LogLine>,
    pub(super) copies: Vec<PacketCopy>,
}

/// How many workers share a replay's packets, and the secret that decides who has which flows.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    /// How many.
    pub workers: usize,
    /// See [`Steering::new`].
    pub secret: u64,
}

impl Crew {
    /// One engine.
    pub const ALONE: Self = Self { workers: 1, secret: 0 };
}

/// What became of a packet, and whose the flow is that the outcome names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) outcome: Outcome,
    pub(super) worker: usize,
}

impl Team {
    pub(super) fn new(settings: &Settings, crew: Crew) -> Self {
        let workers = crew.workers.max(1);
        let engine = |number| {
            let mut engine = Engine::new(settings.clone());
            if workers > 1
                && let Some(steering) = Steering::new(crew.secret, number, workers)
            {
                engine.join(steering);
            }
            engine
        };
        Self {
            engines: (0..workers).map(engine).collect(),
            notices: vec![VecDeque::new(); workers],
            lot: Rng::new(crew.secret),
            told: Told::default(),
        }
    }

    pub(super) fn engines(&self) -> &[Engine] {
        &self.engines
    }

    pub(super) fn engines_mut(&mut self) -> &mut [Engine] {
        &mut self.engines
    }

    /// The first of them.
    pub(super) fn first(&self) -> &Engine {
        &self.engines[0]
    }

    /// Takes a packet from where it enters to its end; `begin` is what the first worker does with it, and at `at` if
    /// that isn't drawn by lot.
    pub(super) fn pass(
        &mut self,
        (now, world): (Instant, &World),
        at: Option<usize>,
        packet: &mut Packet<'_>,
        begin: impl FnOnce(&mut Engine, &mut Packet<'_>) -> Outcome,
    ) -> Done {
        if self.engines.len() == 1 {
            return Done { outcome: begin(&mut self.engines[0], packet), worker: 0 };
        }
        self.share_out();
        let worker = at.unwrap_or_else(|| self.lot.below(self.engines.len() as u32) as usize);
        self.heed(worker);
        let outcome = begin(&mut self.engines[worker], packet);
        self.follow((now, world), packet, Done { outcome, worker })
    }

    /// Lets time pass for all of them; whether there is more to do.
    pub(super) fn expire(&mut self, now: Instant, world: &World, budget: usize) -> bool {
        let mut is_behind = false;
        for worker in 0..self.engines.len() {
            is_behind |= self.engines[worker].handle_timeout(now, budget, world) == budget;
            self.deliver((now, world), worker, &mut |_, _| {});
        }
        is_behind
    }

    fn follow(&mut self, at: (Instant, &World), packet: &mut Packet<'_>, begun: Done) -> Done {
        let mut done = begun;
        self.deliver(at, begun.worker, &mut |last, parcel| {
            let len = parcel.bytes.len().min(packet.bytes.len());
            packet.bytes[..len].copy_from_slice(&parcel.bytes[..len]);
            packet.mark = last.outcome.mark;
            done = last;
        });
        done
    }

    /// Takes everything that `from` has handed over to its end. `heed` is told what has become of packets that are
    /// passed on; of one that goes further, again.
    fn deliver(
        &mut self,
        (now, world): (Instant, &World),
        from: usize,
        heed: &mut impl FnMut(Done, &Parcel),
    ) {
        let mut underway = self.collect(from);
        while let Some((worker, mut parcel)) = underway.pop_front() {
            self.heed(worker);
            let is_passed_on = parcel.is_passed_on();
            let outcome = self.engines[worker].accept(now, &mut parcel, world);
            if is_passed_on {
                heed(Done { outcome, worker }, &parcel);
            }
            underway.extend(self.collect(worker));
        }
    }

    /// Passes on what a worker has to tell, and takes what it hands over.
    fn collect(&mut self, from: usize) -> VecDeque<(usize, Parcel)> {
        while let Some((to, notice)) = self.engines[from].poll_notice() {
            self.notices[to].push_back((from, notice));
        }
        self.listen(from);
        std::iter::from_fn(|| self.engines[from].poll_parcel()).collect()
    }

    fn listen(&mut self, worker: usize) {
        let (engine, told) = (&mut self.engines[worker], &mut self.told);
        told.events.extend(std::iter::from_fn(|| engine.poll_event()));
        told.log.extend(std::iter::from_fn(|| engine.poll_log()));
        told.copies.extend(std::iter::from_fn(|| engine.poll_copy()));
    }

    /// All that has been said since the last call.
    pub(super) fn take_told(&mut self) -> Told {
        (0..self.engines.len()).for_each(|worker| self.listen(worker));
        std::mem::take(&mut self.told)
    }

    fn heed(&mut self, worker: usize) {
        for (from, notice) in self.notices[worker].drain(..) {
            self.engines[worker].heed(from, &notice);
        }
    }

    fn share_out(&mut self) {
        let counts: Vec<usize> = self.engines.iter().map(Engine::count).collect();
        let shares = shares(self.engines[0].limits().max, &counts);
        self.engines.iter_mut().zip(shares).for_each(|(engine, share)| engine.set_share(share));
    }
}
