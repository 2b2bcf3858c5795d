//! Several workers at once: conversations whose packets enter anywhere, while workers have their turns in any order.

mod conversations;

use std::collections::VecDeque;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::{Destination, Packet};
use tidegate_engine::rand::Rng;
use tidegate_engine::steer::{Notice, Parcel, Steering};
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Settings, Verdict};
use tidegate_gateway::replay::topology::{IN0, OUT0, Router, World};
use tidegate_wire::Family;

use conversations::{Crowd, Rules, is_from_inside, listing, pairs, rules_of};

/// What waits for a worker.
#[derive(Default)]
struct Inbox {
    parcels: VecDeque<Parcel>,
    notices: VecDeque<(usize, Notice)>,
}

struct Network {
    engines: Vec<Engine>,
    inboxes: Vec<Inbox>,
    world: World,
    lot: Rng,
    crowd: Crowd,
    handed_over: usize,
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);

impl Network {
    fn new(rules: Rules, workers: usize, seed: u64) -> Self {
        let settings = Settings { seed, start: NOW, ..Settings::default() };
        let engine = |number| {
            let mut engine = Engine::new(settings.clone());
            for family in [Family::V4, Family::V6] {
                engine.replace_rules(&rules_of(rules, family));
            }
            if workers > 1 {
                engine.join(Steering::new(seed, number, workers).expect("a worker"));
            }
            engine
        };
        Self {
            engines: (0..workers).map(engine).collect(),
            inboxes: (0..workers).map(|_| Inbox::default()).collect(),
            world: World::Router(Router::default()),
            lot: Rng::new(seed),
            crowd: Crowd::around(rules),
            handed_over: 0,
        }
    }

    /// Datagrams of a host's come in, each at any worker.
    fn send(&mut self, datagrams: Vec<Vec<u8>>) {
        for mut bytes in datagrams {
            let port = if is_from_inside(&bytes) { IN0 } else { OUT0 };
            let at = self.lot.below(self.engines.len() as u32) as usize;
            let parcel = Parcel::received(&Packet::received(&mut bytes, port));
            self.inboxes[at].parcels.push_back(parcel);
        }
    }

    /// Turns of workers in any order, until nothing is left to do.
    fn run(&mut self) {
        loop {
            let ready: Vec<usize> =
                (0..self.engines.len()).filter(|n| !self.inboxes[*n].parcels.is_empty()).collect();
            if ready.is_empty() {
                return;
            }
            let worker = ready[self.lot.below(ready.len() as u32) as usize];
            self.turn(worker);
        }
    }

    fn turn(&mut self, worker: usize) {
        let inbox = &mut self.inboxes[worker];
        let most = 1 + self.lot.below(inbox.parcels.len() as u32) as usize;
        let batch: Vec<Parcel> = inbox.parcels.drain(..most).collect();
        for (from, notice) in inbox.notices.drain(..) {
            self.engines[worker].heed(from, &notice);
        }
        let mut left: Vec<(PortId, Vec<u8>)> = Vec::new();
        for mut parcel in batch {
            let outcome = self.engines[worker].accept(NOW, &mut parcel, &self.world);
            if let Verdict::Forward { port, .. } = outcome.verdict {
                left.push((port, parcel.bytes));
            }
        }
        let engine = &mut self.engines[worker];
        for output in std::iter::from_fn(|| engine.poll_output()) {
            if let Destination::Port { port, .. } = output.destination {
                left.push((port, output.bytes));
            }
        }
        while let Some((to, notice)) = engine.poll_notice() {
            self.inboxes[to].notices.push_back((worker, notice));
        }
        while let Some((to, parcel)) = engine.poll_parcel() {
            self.handed_over += 1;
            self.inboxes[to].parcels.push_back(parcel);
        }
        left.into_iter().for_each(|(_, datagram)| self.deliver(datagram));
    }

    fn deliver(&mut self, datagram: Vec<u8>) {
        let answer = self.crowd.receive(datagram);
        self.send(answer);
    }
}

fn converse(rules: Rules, workers: usize, seed: u64) -> Network {
    let mut network = Network::new(rules, workers, seed);
    let mut lot = Rng::new(seed ^ 0xabcd);
    let pairs: Vec<_> = pairs(&mut lot).collect();
    for pair in &pairs {
        let first = network.crowd.begin(pair);
        network.send(first);
        if lot.below(3) == 0 {
            network.run();
        }
    }
    network.run();
    network.crowd.check(&format!("{rules:?}, {workers} workers, seed {seed}"));
    network
}

#[test]
fn conversations_end_as_with_one_worker() {
    for (rules, seed) in Rules::ALL.into_iter().flat_map(|rules| (0..60).map(move |n| (rules, n))) {
        let alone = listing(converse(rules, 1, seed).engines.iter());
        for workers in [2, 3, 4] {
            let whose = format!("{rules:?}, {workers} workers, seed {seed}");
            let team = converse(rules, workers, seed);
            assert_eq!(listing(team.engines.iter()), alone, "{whose}");
            let handed_over = team.handed_over;
            assert!(handed_over > 100, "{whose}: only {handed_over} packets changed hands");
            let dropped: u64 = team.engines.iter().flat_map(|engine| engine.stats().drops).sum();
            assert_eq!(dropped, 0, "{whose}");
        }
    }
}
