//! Look-ups alone, beside the part of the floor that does the same.

use std::array;
use std::hint::black_box;

use tidegate_engine::tuple::{Tuple, Zone};
use tidegate_wire::{Family, proto};

use crate::bed::Bed;
use crate::clock::timed;
use crate::reference::floor::FloorLookup;
use crate::ring::BURST;
use crate::rows::RowName;
use crate::session::{Row, Session, is_roomy};
use crate::subject::{Pass, Subject};
use crate::traffic::Steady;

/// The row. Its ratio is to the floor's look-ups, measured in turns with these.
pub fn run(session: &mut Session<'_>, bed: &Bed, steady: Steady) {
    if !session.wants(&[RowName::Lookup]) {
        return;
    }
    let mut lookup = Lookup { bed, steady };
    if !is_roomy(session.flows) {
        session.record(RowName::Lookup, &mut lookup, None);
        return;
    }
    let mut floor = FloorLookup::boxed(session.family, session.flows);
    let passes = session.measure_all(&mut [&mut lookup, &mut *floor]);
    let row = session.row(RowName::Lookup, passes[0]);
    session.report(Row { ratio: Some(passes[0].ns / passes[1].ns), ..row });
}

/// Look-ups of tuples at hand, of both directions, in random order, a burst at a time.
pub struct Lookup<'a> {
    /// The bed.
    pub bed: &'a Bed,
    /// Whose tuples are looked up.
    pub steady: Steady,
}

impl Lookup<'_> {
    /// Makes tuples that nobody looks up.
    pub fn make(&self, bursts: u64) {
        let (family, mut alone) = (self.bed.family(), self.steady.clone());
        for _ in 0..bursts {
            black_box(&tuples(&mut alone, family));
        }
    }

    /// Makes tuples and looks them up; how many were found.
    pub fn find(&mut self, bursts: u64) -> u64 {
        let (bed, mut found) = (self.bed, 0);
        for _ in 0..bursts {
            let tuples = tuples(&mut self.steady, bed.family());
            let count = |_, flow: Option<_>| found += u64::from(flow.is_some());
            bed.engine.find_batch(bed.now, black_box(&tuples), Zone::default(), count);
        }
        found
    }
}

fn tuples(steady: &mut Steady, family: Family) -> [Tuple; BURST] {
    array::from_fn(|_| steady.ends().tuple(family, proto::TCP))
}

impl Subject for Lookup<'_> {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = items.div_ceil(BURST as u64);
        let making = timed(|| self.make(bursts));
        let mut found = 0;
        let whole = timed(|| found = self.find(bursts));
        let items = bursts * BURST as u64;
        assert_eq!(found, items, "the engine does not find its flows");
        Pass::of(items, whole.saturating_sub(making), 0)
    }
}
