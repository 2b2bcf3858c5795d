//! What the engine is measured against, in the same run and of the same size.
//!
//! - [`limit`]: what memory can do if somebody asks for it early: two random lines, one after the
//!   other;
//! - [`floor`]: the least work a stateful path can do, and no more;
//! - [`naive`]: a flow table as one writes it on the first day, over a hash map.
//!
//! None of them is an engine: no protocol, no timer, no rule.

pub mod entries;
pub mod floor;
pub mod limit;
pub mod naive;

use tidegate_wire::Family;

use crate::reference::floor::Floor;
use crate::reference::limit::{Limit, Window};
use crate::session::Effort;
use crate::subject::{Pass, Subject, interleaved};

/// The references of one size and family.
pub struct References {
    alive: Option<(Limit, Box<dyn Subject>)>,
    figures: [f64; 2],
}

impl References {
    /// References of that size; if `keep`, they are measured anew beside each subject, else once,
    /// now, so that their memory is free for the subject.
    #[must_use]
    pub fn new(family: Family, flows: u32, keep: bool, effort: Effort) -> Self {
        let mut limit = Limit::new(flows, Window::L2);
        let mut floor = Floor::boxed(family, flows);
        let figures = interleaved(&mut [&mut limit, &mut *floor], effort.items, effort.passes);
        let figures = [figures[0].ns, figures[1].ns];
        Self { alive: keep.then_some((limit, floor)), figures }
    }

    /// Measures subjects in turns with the references; their medians.
    pub fn beside(&mut self, subjects: &mut [&mut dyn Subject], effort: Effort) -> Vec<Pass> {
        let Some((limit, floor)) = &mut self.alive else {
            return interleaved(subjects, effort.items, effort.passes);
        };
        let mut all: Vec<&mut dyn Subject> = vec![limit, &mut **floor];
        all.extend(subjects.iter_mut().map(|subject| &mut **subject as &mut dyn Subject));
        let mut passes = interleaved(&mut all, effort.items, effort.passes);
        let subjects = passes.split_off(2);
        self.figures = [passes[0].ns, passes[1].ns];
        subjects
    }

    /// The figures last measured: limit and floor.
    #[must_use]
    pub fn figures(&self) -> [f64; 2] {
        self.figures
    }
}
