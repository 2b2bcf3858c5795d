//! A gateway of TUN interfaces that lie in other namespaces: an engine and a forwarder in a thread for each worker, without a
//! program around them.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tidegate_engine::fib::PortId;
use tidegate_engine::rules::parse;
use tidegate_engine::steer::Steering;
use tidegate_engine::{Engine, Settings};
use tidegate_gateway::clock::Clock;
use tidegate_gateway::daemon::DataPlane;
use tidegate_gateway::dataplane::tun;
use tidegate_gateway::dataplane::{Exchange, Forwarder, Hardware, Link, LinkLayer, StaticWorld};
use tidegate_wire::Family;

use crate::ends::Host;
use crate::stage::workers;

/// A host, its addresses, and the router's addresses towards it.
pub(crate) type End<'a> = (&'a Host, [&'a str; 2], [&'a str; 2]);

/// Does something while a gateway is between two hosts.
pub(crate) fn between(ends: [End<'_>; 2], rules: &str, act: impl FnOnce()) {
    let (is_ready, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| forward(&ends, rules, &is_ready, &is_over));
        while !is_ready.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(5));
        }
        for (host, addresses, _) in &ends {
            dress(host, *addresses);
        }
        // The gateway ends even if a test fails.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        is_over.store(true, Ordering::Release);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

fn dress(host: &Host, addresses: [&str; 2]) {
    for (own, prefix) in addresses.into_iter().zip(["24", "64"]) {
        let nodad: &[&str] = if own.contains(':') { &["nodad"] } else { &[] };
        let own = format!("{own}/{prefix}");
        host.call("ip", &[&["address", "add", &own, "dev", "tun0"], nodad].concat());
    }
    host.call("ip", &["link", "set", "tun0", "up"]);
    host.call("ip", &["route", "add", "default", "dev", "tun0"]);
    host.call("ip", &["-6", "route", "add", "default", "dev", "tun0"]);
}

fn forward(ends: &[End<'_>; 2], rules: &str, is_ready: &AtomicBool, is_over: &AtomicBool) {
    let workers = workers();
    let steering = |number| Steering::new(7, number, workers).filter(|_| workers > 1);
    let links = ends.each_ref().map(|(host, ..)| open(host, steering(0).as_ref()));
    let [inside, outside] = links;
    let (_, mails) = Exchange::between(workers).unwrap();
    let clock = Clock::start();
    let team = inside.into_iter().zip(outside).zip(mails).enumerate();
    let team = team.map(|(number, ((inside, outside), mail))| {
        let mut forwarder = Forwarder::new(world(ends)).unwrap();
        forwarder.add(PortId(0), inside).unwrap();
        forwarder.add(PortId(1), outside).unwrap();
        let mut engine = Engine::new(Settings { start: clock.now(), ..Settings::default() });
        for family in [Family::V4, Family::V6] {
            engine.replace_rules(&parse(family, "rules", rules).unwrap());
        }
        if let Some(steering) = steering(number) {
            engine.join(steering);
            forwarder.join(mail);
        }
        (engine, forwarder)
    });
    let team: Vec<_> = team.collect();
    is_ready.store(true, Ordering::Release);
    thread::scope(|scope| {
        for (engine, forwarder) in team {
            scope.spawn(move || turn(engine, forwarder, clock, is_over));
        }
    });
}

fn world(ends: &[End<'_>; 2]) -> StaticWorld {
    let mut world = StaticWorld::default();
    for ((_, _, router), name) in ends.iter().zip(["lan", "wan"]) {
        let port = world.add_port(name, 1500, Hardware { index: 0, address: None, is_up: true });
        for (own, prefix) in router.iter().zip([24, 64]) {
            world.add_address(port, own.parse::<IpAddr>().unwrap(), prefix);
        }
    }
    world
}

fn turn(
    mut engine: Engine,
    mut forwarder: Forwarder<StaticWorld>,
    clock: Clock,
    is_over: &AtomicBool,
) {
    while !is_over.load(Ordering::Acquire) {
        if forwarder.turn(&mut engine, clock.now(), 256).unwrap() == 0 {
            thread::sleep(Duration::from_micros(100));
        }
    }
    assert!(engine.count() > 0);
}

/// Makes a TUN interface in a host's namespace, with a link for each worker.
fn open(host: &Host, steering: Option<&Steering>) -> Vec<Link> {
    host.within(|| tun::open("tun0", LinkLayer::Raw, steering).unwrap().0)
}
