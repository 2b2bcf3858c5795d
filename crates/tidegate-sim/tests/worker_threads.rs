//! Several workers as threads: conversations through forwarders between links in memory, whose packets enter at any of
//! them, while somebody else walks through their tables. What is left is what one worker leaves.
//!
//! Nothing is drawn by lot of what threads do, so that each run is another one.

mod conversations;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::Offload;
use tidegate_engine::rand::Rng;
use tidegate_engine::steer::Steering;
use tidegate_engine::{Engine, Settings};
use tidegate_gateway::clock::{Clock, Stopwatch};
use tidegate_gateway::control::{Engines, Team, state};
use tidegate_gateway::daemon::DataPlane;
use tidegate_gateway::dataplane::mem::{FarEnd, link};
use tidegate_gateway::dataplane::{
    Capabilities, Exchange, Forwarder, Hardware, LinkLayer, StaticWorld,
};
use tidegate_wire::Family;

use conversations::{Crowd, Listed, Rules, is_from_inside, listing, pairs, rules_of};

/// The far ends of a worker's links: inside, outside.
type Ends = [FarEnd; 2];

/// So long all may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn world() -> StaticWorld {
    let mut world = StaticWorld::default();
    let up = Hardware { index: 0, address: None, is_up: true };
    let [inside, outside] = ["in0", "out0"].map(|name| world.add_port(name, 1500, up));
    let addresses: [(PortId, IpAddr, u8); 4] = [
        (inside, Ipv4Addr::new(10, 0, 1, 1).into(), 24),
        (outside, Ipv4Addr::new(203, 0, 113, 1).into(), 24),
        (inside, Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1).into(), 64),
        (outside, Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1).into(), 64),
    ];
    for (port, address, prefix) in addresses {
        world.add_address(port, address, prefix);
    }
    world
}

/// Workers' engines and planes, and the far ends of their links.
fn workers(
    rules: Rules,
    count: usize,
    seed: u64,
) -> (Team, Vec<Forwarder<StaticWorld>>, Vec<Ends>) {
    let clock = Clock::start();
    let (exchange, mails) = Exchange::between(count).expect("descriptors");
    let (mut engines, mut planes, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (number, mail) in mails.into_iter().enumerate() {
        let mut engine = Engine::new(Settings { seed, start: clock.now(), ..Settings::default() });
        [Family::V4, Family::V6].iter().for_each(|f| engine.replace_rules(&rules_of(rules, *f)));
        let mut forwarder = Forwarder::new(world()).expect("descriptors");
        let far = [PortId(0), PortId(1)].map(|port| {
            let (header, checksum) = (LinkLayer::Raw, false);
            let (link, far) = link(Capabilities { header, checksum, segmentation: false });
            forwarder.add(port, link).expect("a link");
            far
        });
        if count > 1 {
            engine.join(Steering::new(seed, number, count).expect("a worker"));
            forwarder.join(mail);
        }
        engines.push(engine);
        planes.push(forwarder);
        ends.push(far);
    }
    (Team::new(engines, exchange, clock), planes, ends)
}

fn turn(number: usize, mut plane: Forwarder<StaticWorld>, team: &Team, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        let mut seat = team.take(number);
        let now = team.clock().now();
        let count = plane.turn(&mut seat.engine, now, 256).expect("packets");
        Team::leave(seat);
        if count == 0 {
            thread::yield_now();
        }
    }
}

/// Hosts around the workers: what they send comes in at any of these.
struct Around {
    crowd: Crowd,
    ends: Vec<Ends>,
    lot: Rng,
}

impl Around {
    fn send(&mut self, datagrams: Vec<Vec<u8>>) {
        for datagram in datagrams {
            let side = usize::from(!is_from_inside(&datagram));
            let at = self.lot.below(self.ends.len() as u32) as usize;
            self.ends[at][side].send(datagram, Offload::NONE);
        }
    }

    /// Delivers what has come out; whether there was anything.
    fn deliver(&mut self) -> bool {
        let ends = self.ends.iter().flatten();
        let come: Vec<_> = ends.flat_map(|end| std::iter::from_fn(|| end.receive())).collect();
        let has_come = !come.is_empty();
        for parcel in come {
            let answer = self.crowd.receive(parcel.bytes);
            self.send(answer);
        }
        has_come
    }

    fn talk(&mut self, team: &Team, seed: u64) {
        let pairs: Vec<_> = pairs(&mut Rng::new(seed ^ 0xabcd)).collect();
        for pair in &pairs {
            let first = self.crowd.begin(pair);
            self.send(first);
        }
        let begin = Stopwatch::start();
        while !self.crowd.is_done() && begin.elapsed() < PATIENCE {
            if !self.deliver() {
                thread::yield_now();
            }
            let saved = state::save(Engines::Team(team), team.clock().now(), "here", io::sink());
            assert!(saved.is_ok());
        }
    }
}

/// What is left of conversations, and how many packets were dropped.
fn converse(rules: Rules, count: usize, seed: u64) -> (Vec<Listed>, u64) {
    let (team, planes, ends) = workers(rules, count, seed);
    let mut around = Around { crowd: Crowd::around(rules), ends, lot: Rng::new(seed) };
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, plane) in planes.into_iter().enumerate() {
            let (team, is_over) = (&team, &is_over);
            scope.spawn(move || turn(number, plane, team, is_over));
        }
        around.talk(&team, seed);
        is_over.store(true, Ordering::Release);
    });
    while around.deliver() {}
    around.crowd.check(&format!("{rules:?}, {count} workers, seed {seed}"));
    let seats: Vec<_> = (0..count).map(|worker| team.take(worker)).collect();
    let dropped = seats.iter().flat_map(|seat| seat.engine.stats().drops).sum();
    (listing(seats.iter().map(|seat| &seat.engine)), dropped)
}

#[test]
fn threads_end_conversations_as_one_does() {
    for (rules, seed) in Rules::ALL.into_iter().flat_map(|rules| (0..12).map(move |n| (rules, n))) {
        let alone = converse(rules, 1, seed);
        for count in [2, 3, 4] {
            let team = converse(rules, count, seed);
            assert_eq!(team, alone, "{rules:?}, {count} workers, seed {seed}");
            assert_eq!(team.1, 0, "nothing is dropped");
        }
    }
}
