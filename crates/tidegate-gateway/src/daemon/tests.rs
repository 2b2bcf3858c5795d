//! What a daemon does without packets and without a socket.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use tidegate_engine::fib::PortId;
use tidegate_engine::time::WallClock;

use super::*;
use crate::control::socket::Policy;
use crate::replay::topology::World;

#[test]
fn a_clock_that_is_put_right_is_followed() {
    let known = WallClock { offset: 1_000_000_000, zone: 60 };
    let rows = [
        ("as it was", 1_000_000_000, 1_000_000_000),
        ("a trembling hand", 1_000_000_900, 1_000_000_000),
        ("put forward", 1_700_000_000_000_000_000, 1_700_000_000_000_000_000),
        ("put back", 0, 0),
    ];
    for (what, offset, expected) in rows {
        let now = office::put_right(WallClock { offset, zone: 0 }, known).unwrap_or(known);
        assert_eq!(now, WallClock { offset: expected, zone: 60 }, "{what}");
    }
}

/// A plane without packets, of which the second one fails at its third turn.
struct Failing {
    plane: NoPackets,
    number: usize,
    turns: usize,
    how: Failure,
}

#[derive(Clone, Copy)]
enum Failure {
    Panic,
    Loss,
    Fault,
}

/// How many turns workers have had.
static TURNS: AtomicUsize = AtomicUsize::new(0);

impl DataPlane for Failing {
    type World = World;

    fn world(&self) -> &World {
        self.plane.world()
    }

    fn port(&self, name: Option<&str>) -> Option<PortId> {
        self.plane.port(name)
    }

    fn join(&mut self, mail: Mail) {
        self.plane.join(mail);
    }

    fn turn(&mut self, engine: &mut Engine, now: Instant, most: usize) -> Result<usize, Fault> {
        TURNS.fetch_add(1, Ordering::Relaxed);
        self.turns += 1;
        let fails = self.number == 1 && self.turns == 3;
        assert!(!(fails && matches!(self.how, Failure::Panic)), "this is meant");
        if fails && matches!(self.how, Failure::Fault) {
            return Err(remark("a turn".to_owned()));
        }
        self.plane.turn(engine, now, most)
    }

    fn lost(&mut self) -> Option<Fault> {
        let is_lost = self.number == 1 && self.turns >= 3 && matches!(self.how, Failure::Loss);
        is_lost.then(|| remark("gone".to_owned()))
    }

    fn due(&self) -> Option<Instant> {
        Some(Instant::ZERO)
    }

    fn readiness(&self) -> Readiness<'_> {
        Readiness::Never
    }
}

fn run_failing(how: Failure, name: &str) -> End {
    run_heard(how, name, |_| {})
}

fn run_heard(how: Failure, name: &str, heed: impl Heed) -> End {
    let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
    let endpoint = Endpoint::bind(&path, Policy::default()).expect("a socket");
    let planes = (0..3).map(|number| {
        let (plane, turns) = (NoPackets::default(), 0);
        Failing { plane, number, turns, how }
    });
    let planes = (endpoint, planes.collect());
    let (mut daemon, _) = Daemon::new(Inputs::default(), planes, 7, 16).expect("no files");
    let mut signals = Signals::take_over().expect("signals");
    daemon.run(&mut signals, heed)
}

/// The others are at work and would be for ever.
#[test]
fn a_worker_that_panics_ends_all() {
    let outcome = catch_unwind(AssertUnwindSafe(|| run_failing(Failure::Panic, "panic")));
    assert!(outcome.is_err(), "the panic goes on in who started the workers");
    assert!(TURNS.load(Ordering::Relaxed) > 3);
}

#[test]
fn a_worker_that_loses_its_packets_ends_all() {
    let end = run_failing(Failure::Loss, "loss");
    assert!(matches!(&end, End::Lost(fault) if fault.to_string().contains("gone")), "{end:?}");
}

/// The workers are told, or the test would wait for them for ever.
#[test]
fn an_operator_s_thread_that_panics_ends_all() {
    let (done, outcome) = channel();
    thread::spawn(move || {
        let run = || run_heard(Failure::Fault, "heed", |_| panic!("this is meant"));
        let _ = done.send(catch_unwind(AssertUnwindSafe(run)).is_err());
    });
    let has_panicked = outcome.recv_timeout(Duration::from_secs(20));
    assert_eq!(has_panicked, Ok(true), "the panic goes on in who started the workers");
}
