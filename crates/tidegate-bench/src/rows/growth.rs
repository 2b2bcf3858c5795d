//! The table while it doubles: whether some burst waits for the others.
//!
//! From N flows to 2N by first UDP packets, every burst timed by itself, expiry included. A table
//! that is moved as a whole shows here, as does a sweep over all of it. Pages that are touched for
//! the first time are included as well; as a gateway would, the row keeps some ready
//! ([`Prefault`]), which takes another core. What is known of the slowest bursts is told beside them ([`Bursts`]).

use core::ops::Add;

use tidegate_gateway::memory::Prefault;
use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::bursts::{Bursts, Slow, slowest_always};
use crate::plan::Plan;
use crate::ring::{BURST, Ring};
use crate::rows::RowName;
use crate::rulesets::Rules;
use crate::session::{Row, Session};
use crate::subject::{Pass, median};
use crate::traffic::{Opening, Traffic};

/// The row.
pub fn run(session: &mut Session<'_>) {
    if !session.wants(&[RowName::Growth]) {
        return;
    }
    // The machine has hiccups of its own; a median has fewer. Large tables take too long to fill.
    let repeats = if session.flows > 2_000_000 { 1 } else { 3 };
    let runs: Vec<Doubling> = (0..repeats).map(|_| double(session)).collect();
    let middle = |part: fn(&Doubling) -> f64| median(runs.iter().map(part).collect());
    let (slowest, burst) = (middle(|run| run.bursts.slowest()), middle(|run| run.bursts.median()));
    let pass = Pass { ns: middle(|run| run.mean), allocs: middle(|run| run.allocs) };
    let row = session.row(RowName::Growth, pass);
    let (bursts, spins): (Vec<_>, Vec<_>) =
        runs.into_iter().map(|run| (run.bursts, run.spins)).unzip();
    let always = (repeats > 1).then(|| slowest_always(&bursts));
    session.report(Row {
        ratio: Some(slowest / burst),
        slowest_burst_ns: Some(slowest),
        slowest_burst_always_ns: always,
        slowest_spin_ns: Some(median(spins.iter().map(Bursts::slowest).collect())),
        median_burst_ns: Some(burst),
        note: Some(note(&bursts, &spins)),
        ..row
    });
}

/// What one doubling showed; the mean packet in nanoseconds.
struct Doubling {
    bursts: Bursts,
    /// Arithmetic that took as long, directly afterwards.
    spins: Bursts,
    mean: f64,
    allocs: f64,
}

fn double(session: &Session<'_>) -> Doubling {
    let flows = session.flows;
    // Where no thread can be had, pages are touched when they are needed.
    let _pages = Prefault::start(Prefault::RESERVE).ok();
    let mut bed = Bed::new(session.family, 2 * flows, Rules::None);
    bed.lay(proto::TCP, Plan::Spread, flows, false);
    let mut ring = Ring::new(session.family);
    let mut opening = Opening::first_packets(proto::UDP, Plan::Spread, flows..2 * flows);
    let mut bursts = Bursts::with_capacity(flows as usize / BURST + 1);
    let before = allocations();
    while opening.is_left() {
        opening.burst(&mut ring);
        bursts.time(|| assert_eq!(bed.burst(&mut ring).forwarded, ring.len(), "refused"));
    }
    let allocs = (allocations() - before) as f64 / f64::from(flows);
    Doubling { mean: bursts.total() / f64::from(flows), spins: bursts.spin(), bursts, allocs }
}

/// What the bursts beyond the limit were, and whether the machine did the same to others.
fn note(bursts: &[Bursts], spins: &[Bursts]) -> String {
    let above =
        |runs: &[Bursts]| runs.iter().map(|run| run.above(LIMIT)).fold(Slow::default(), Slow::add);
    let (slow, alone) = (above(bursts), above(spins));
    let all: usize = bursts.iter().map(Bursts::len).sum();
    format!(
        "above {} us {} of {all}: {} with a page fault, {} switched out; of arithmetic {}",
        LIMIT / 1000,
        slow.count(),
        slow.faulted,
        slow.switched,
        alone.count(),
    )
}

/// What no burst is to take, in nanoseconds.
const LIMIT: u64 = 100_000;
