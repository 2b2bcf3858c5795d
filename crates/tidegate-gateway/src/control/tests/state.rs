//! A table that goes from one engine to the next.

use std::path::Path;

use tidegate_engine::command::{ProtoChange, TcpChange};
use tidegate_engine::flow::Flow;
use tidegate_engine::nat::NatRange;
use tidegate_engine::time::WallClock;
use tidegate_engine::track::{PeerFlags, ProtoState};
use tidegate_wire::Family::{V4, V6};

use super::*;
use crate::control::state::{Taken, load, save};
use crate::dataplane::StaticWorld;
use crate::snapshot::{Cause, Reader};

/// So long nobody runs.
const PAUSE: u64 = 10;

/// One of each kind that there is something to be remembered of, and one that ends within the pause.
fn varied() -> Lab {
    let mut lab = Lab::new();
    lab.flow(V6, 1, Change { mark: Some((7, u32::MAX)), ..Change::default() });
    let told = Change { labels: Some((1 << 100 | 1, u128::MAX)), ..Change::default() };
    let master = lab.flow(V4, 2, told);
    lab.flow(V4, 3, Change { timeout: Some(PAUSE as u32), ..Change::default() });
    let orig = Tuple { sport: 4, dport: 80, proto: proto::TCP, ..tuple(V4) };
    let scales = PeerFlags::WINDOW_SCALE | PeerFlags::SACK_PERM;
    let tcp =
        TcpChange { state: Some(3), flags: [Some((scales, scales)); 2], scales: Some([7, 9]) };
    let with = Change {
        timeout: Some(1000),
        status: Some(Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED),
        proto: ProtoChange::Tcp(tcp),
        ..Change::default()
    };
    let elsewhere = "10.9.9.9".parse().unwrap();
    let range = NatRange { addrs: Some((elsewhere, elsewhere)), ..NatRange::default() };
    let (zone, reply) = (Zone::default(), orig.invert().unwrap());
    let translated = Creation { orig, reply, zone, with, nat: [Some(range), None], master: None };
    lab.engine.create(lab.now, &translated).unwrap();
    let orig = Tuple { sport: 5, ..tuple(V4) };
    let master = Some(lab.engine.flow(master).unwrap().orig);
    let with = Change { timeout: Some(500), ..Change::default() };
    let reply = orig.invert().unwrap();
    let child = Creation { orig, reply, zone, with, nat: [None; 2], master };
    lab.engine.create(lab.now, &child).unwrap();
    lab
}

fn later(limits: Limits) -> Engine {
    let start = Instant::ZERO + Duration::from_secs(100);
    let wall = WallClock { offset: PAUSE * 1_000_000_000, zone: 0 };
    Engine::new(Settings { limits, seed: 2, start, wall, ..Settings::default() })
}

/// All that is to be the same.
fn essence(engine: &Engine, flow: &Flow, passed: u64) -> String {
    let (id, _) = engine.find(Instant::ZERO, &flow.orig, flow.zone).unwrap();
    let proto = match &flow.proto {
        ProtoState::Tcp(tcp) => {
            format!("{:?} {:?}", tcp.state, tcp.seen.map(|peer| (peer.scale, peer.flags)))
        }
        _ => String::new(),
    };
    let left = flow.deadline.saturating_sub(Instant::ZERO).as_secs() + passed;
    let master = engine.master_of(id).map(|master| master.tuple);
    format!(
        "{:?} {:?} {:?} {:?} {} {:?} {proto} {left:?} {master:?}",
        flow.orig, flow.reply, flow.status, flow.zone, flow.mark, flow.labels
    )
}

fn all(engine: &Engine, passed: u64) -> Vec<String> {
    let mut all: Vec<String> =
        engine.flows().map(|(_, flow)| essence(engine, &flow, passed)).collect();
    all.sort();
    all
}

#[test]
fn flows_go_from_one_engine_to_the_next() {
    let mut before = varied();
    let mut file = Vec::new();
    assert_eq!(save(&mut before.engine, before.now, "here", &mut file).unwrap(), 5);
    let mut after = later(Limits { acct: true, ..Limits::default() });
    let world = StaticWorld::default();
    let reader = Reader::new(Path::new("flows"), &file[..]).unwrap();
    let taken = load(&mut after, before.now, &world, reader).unwrap();
    assert_eq!(taken, Taken { taken: 4, late: 1, refused: 0 });
    let mut expected = all(&before.engine, 0);
    expected.retain(|flow| !flow.contains("sport: 3,"));
    assert_eq!(all(&after, PAUSE), expected);
    assert!(after.poll_event().is_none(), "nothing has happened to them");
}

#[test]
fn nobody_is_ended_to_make_room() {
    let mut before = varied();
    let mut file = Vec::new();
    save(&mut before.engine, before.now, "here", &mut file).unwrap();
    let mut after = later(Limits { max: 2, ..Limits::default() });
    let reader = Reader::new(Path::new("flows"), &file[..]).unwrap();
    let taken = load(&mut after, before.now, &StaticWorld::default(), reader).unwrap();
    assert_eq!(taken, Taken { taken: 2, late: 1, refused: 2 });
}

#[test]
fn of_a_file_that_is_cut_off_what_is_whole_is_taken() {
    let mut before = varied();
    let mut file = Vec::new();
    save(&mut before.engine, before.now, "here", &mut file).unwrap();
    let cut = &file[..file.len() - 20];
    let reader = Reader::new(Path::new("flows"), cut).unwrap();
    let fault = load(&mut later(Limits::default()), before.now, &StaticWorld::default(), reader);
    assert!(matches!(fault.unwrap_err().cause, Cause::Cut));
}
