//! The table while it doubles: whether some burst waits for the others.
//!
//! From N flows to 2N by first UDP packets, every burst timed by itself, expiry included. A table
//! that is moved as a whole shows here, as does a sweep over all of it. Pages that are touched for
//! the first time are included as well; as a gateway would, the row keeps some ready
//! ([`Prefault`]), which takes another core.

use tidegate_gateway::memory::Prefault;
use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::clock::{reading, timed};
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
    let (slowest, burst) = (middle(|run| run.slowest), middle(|run| run.median));
    let pass = Pass { ns: middle(|run| run.mean), allocs: middle(|run| run.allocs) };
    let row = session.row(RowName::Growth, pass);
    session.report(Row {
        ratio: Some(slowest / burst),
        slowest_burst_ns: Some(slowest),
        median_burst_ns: Some(burst),
        ..row
    });
}

/// What one doubling showed, in nanoseconds: bursts, and the mean packet.
struct Doubling {
    slowest: f64,
    median: f64,
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
    let mut bursts = Vec::with_capacity(flows as usize / BURST + 1);
    let (clock, before) = (reading(), allocations());
    while opening.is_left() {
        opening.burst(&mut ring);
        let ns = timed(|| assert_eq!(bed.burst(&mut ring).forwarded, ring.len(), "refused"));
        bursts.push(ns.saturating_sub(clock) as f64);
    }
    let allocs = (allocations() - before) as f64 / f64::from(flows);
    let mean = bursts.iter().sum::<f64>() / f64::from(flows);
    let slowest = bursts.iter().copied().fold(0.0, f64::max);
    Doubling { slowest, median: median(bursts), mean, allocs }
}
