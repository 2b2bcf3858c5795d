//! Two workers: an engine and half of the flows each, at the same time, on a thread each.
//!
//! They share nothing but the machine. The rate of both together is compared with that of one
//! worker with all flows, measured in turns with them.

use std::sync::Barrier;
use std::thread;

use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::plan::Plan;
use crate::rows::RowName;
use crate::rows::established::Stream;
use crate::rulesets::Rules;
use crate::session::{Row, Session};
use crate::subject::{Pass, Subject, median};
use crate::traffic::Steady;

/// The row.
pub fn run(session: &mut Session<'_>) {
    if !session.wants(&[RowName::TcpEstablished2w]) {
        return;
    }
    let mut one = Worker::new(session, session.flows);
    let mut two = [(); 2].map(|()| Worker::new(session, session.flows / 2));
    let effort = session.plea.effort;
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    let before = allocations();
    for round in 0..=effort.passes {
        let (single, both) = (one.pass(effort.items).ns, at_once(&mut two, effort.items));
        // The first round only warms up.
        if round > 0 {
            alone.push(single);
            together.push(both);
        }
    }
    let (single, both) = (median(alone), median(together));
    let packets = effort.items * (effort.passes as u64 + 1) * 3;
    let pass = Pass::of(packets, 0, allocations() - before);
    let row =
        session.row(RowName::TcpEstablished2w, Pass { ns: both, allocs: rounded(pass.allocs) });
    let note = format!("one worker {single:.1} ns, two {both:.1} ns a packet");
    session.report(Row { ratio: Some(single / both), note: Some(note), ..row });
}

/// Threads are started for each round, which allocates a little; that is not a packet's doing.
fn rounded(allocs: f64) -> f64 {
    (allocs * 1000.0).round() / 1000.0
}

/// An engine of its own and its traffic.
struct Worker {
    bed: Bed,
    steady: Steady,
}

impl Worker {
    fn new(session: &Session<'_>, flows: u32) -> Self {
        let mut bed = Bed::new(session.family, flows, Rules::None);
        bed.lay(proto::TCP, Plan::Spread, flows, false);
        Self { bed, steady: Steady::new(proto::TCP, Plan::Spread, flows, false) }
    }

    fn pass(&mut self, items: u64) -> Pass {
        let mut stream = Stream::new(&mut self.bed, self.steady.clone());
        let pass = stream.pass(items);
        self.steady = stream.traffic;
        pass
    }
}

/// Nanoseconds a packet of all workers together: the inverse of the sum of their rates.
fn at_once(workers: &mut [Worker], items: u64) -> f64 {
    let barrier = Barrier::new(workers.len());
    let rate: f64 = thread::scope(|scope| {
        let start = |worker| scope.spawn(|| measured(worker, items, &barrier));
        let threads: Vec<_> = workers.iter_mut().map(start).collect();
        threads.into_iter().map(|thread| thread.join().map_or(f64::NAN, f64::recip)).sum()
    });
    rate.recip()
}

fn measured(worker: &mut Worker, items: u64, barrier: &Barrier) -> f64 {
    barrier.wait();
    worker.pass(items).ns
}
