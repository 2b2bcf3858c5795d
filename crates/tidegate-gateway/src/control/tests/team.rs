//! Several workers' engines behind one server.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tidegate_engine::command::CommandError;
use tidegate_engine::steer::Steering;
use tidegate_wire::Family::V4;

use super::*;
use crate::clock::Clock;
use crate::control::state::{Taken, load, save};
use crate::control::{Engines, Team};
use crate::daemon::steering;
use crate::dataplane::{Exchange, StaticWorld};
use crate::snapshot::Reader;

fn team(workers: usize, limits: Limits) -> Team {
    let engine = |number| {
        let start = Instant::ZERO;
        let settings = Settings { limits, seed: 1, start, ..Settings::default() };
        let mut engine = Engine::new(settings);
        engine.join(steering(1, number, workers).expect("a worker among others"));
        engine
    };
    let (exchange, _) = Exchange::between(workers).expect("bells");
    Team::new((0..workers).map(engine).collect(), exchange, Clock::start())
}

fn creation(orig: Tuple, with: Change<'static>) -> Creation<'static> {
    let with = Change { timeout: with.timeout.or(Some(100)), ..with };
    let (zone, reply) = (Zone::default(), orig.invert().expect("an answer"));
    Creation { orig, reply, zone, with, nat: [None; 2], master: None }
}

/// As of tunnels: who owns a flow hangs on its ports.
#[test]
fn a_table_whose_flows_are_one_worker_s_is_taken_over_whole() {
    let limits = Limits { max: 100, ..Limits::default() };
    let mut before = Lab::with(limits, 10);
    for host in 0..90 {
        let src = std::net::Ipv4Addr::new(10, 1, 0, host).into();
        let creation = creation(Tuple { src, ..tuple(V4) }, Change::default());
        before.engine.create(before.now, &creation).expect("made");
    }
    let mut file = Vec::new();
    assert_eq!(save(&mut before.engine, before.now, "here", &mut file).expect("written"), 90);
    let mut after = team(3, limits);
    let reader = Reader::new(Path::new("flows"), &file[..]).expect("a file of flows");
    let engines = Engines::of(&mut after);
    let taken = load(engines, Instant::ZERO, &StaticWorld::default(), reader).expect("whole");
    assert_eq!(taken, Taken { taken: 90, late: 0, refused: 0 });
}

/// A worker who waits for his place meanwhile finds the limit and his share of it changed, or neither.
#[test]
fn a_limit_changes_with_its_shares() {
    let team = team(3, Limits { max: 0, ..Limits::default() });
    let is_over = AtomicBool::new(false);
    let set = |max: &str| {
        let mut engines = Engines::Team(&team);
        let done = engines.change_limits(Instant::ZERO, |engine| {
            engine.set("net.netfilter.nf_conntrack_max", max)
        });
        assert!(done.is_ok());
    };
    thread::scope(|scope| {
        for number in 0..3 {
            let (team, is_over) = (&team, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let seat = team.take(number);
                    let (max, count) = (seat.engine.limits().max, seat.engine.count());
                    let has_room = seat.engine.has_room();
                    Team::leave(seat);
                    assert!(max == 0 || has_room, "{count} flows of {max}");
                }
            });
        }
        for _ in 0..200 {
            set("0");
            team.share_out();
            set("100000");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

/// The alarm at half of what was free is not the last one.
#[test]
fn whoever_has_no_room_left_asks_for_more() {
    let team = team(3, Limits { max: 30, ..Limits::default() });
    let home = |tuple: &Tuple| team.steering().expect("several").home(tuple);
    let mut own = (1..).map(|sport| Tuple { sport, ..tuple(V4) }).filter(|tuple| home(tuple) == 0);
    let mut fill = || {
        let mut seat = team.take(0);
        let mut wants = Vec::new();
        loop {
            let orig = own.next().expect("a port");
            let made = seat.engine.create(Instant::ZERO, &creation(orig, ASSURED));
            if seat.wants_share() {
                wants.push(seat.engine.count());
            }
            if made.is_err() {
                return wants;
            }
        }
    };
    team.share_out();
    assert_eq!(fill(), [5, 10], "of a share of 10");
    team.share_out();
    assert_eq!(fill(), [13, 17], "6 or 7 of the 20 that are free");
}

/// All tables are asked while all of them are held.
#[test]
fn nobody_makes_a_flow_of_a_tuple_that_another_one_has() {
    let mut team = team(2, Limits::default());
    let home = |tuple: &Tuple| team.steering().expect("several").home(tuple);
    let of = |worker| {
        let mut all = (1..).map(|sport| Tuple { sport, ..tuple(V4) });
        all.find(|tuple| home(tuple) == worker).expect("a port")
    };
    let (other, own) = (creation(of(1), ASSURED), creation(of(0), ASSURED));
    let now = team.clock().now();
    team.take(1).engine.create(now, &other).expect("made");
    let meeting = Creation { reply: other.reply, ..own };
    let mut engines = Engines::of(&mut team);
    let mut outcome = |flow| {
        let (others, owner) = engines.all_for(Instant::ZERO, flow)?;
        Ok((others.len(), owner.steering().map(Steering::own)))
    };
    assert_eq!(outcome(&own), Ok((1, Some(0))), "all are held");
    assert_eq!(outcome(&meeting), Err(CommandError::Exists), "the reply is another one's");
}
