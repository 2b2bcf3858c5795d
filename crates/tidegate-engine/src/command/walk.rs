//! A walk through all flows, in pieces.
//!
//! A flow never changes its slot, so a place in the order of slots outlives whatever happens between two pieces: a
//! flow that is there from the beginning of a walk to its end is shown once, and no other one more than once. Linux
//! may show one twice or not at all.

use core::ops::ControlFlow;

use crate::engine::Engine;
use crate::flow::{Flow, FlowId};
use crate::time::Instant;

/// How far a walk has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The next slot that is to be looked at.
    next: u32,
    is_at_end: bool,
}

impl Cursor {
    /// Whether all have been seen.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.is_at_end
    }
}

impl Engine {
    /// Goes on with a walk. Looks at no more than `budget` slots, vacant ones as well; `each` is shown the living
    /// flows in them, until it breaks off: then the flow that it was shown last will come again.
    pub fn walk(
        &self,
        now: Instant,
        cursor: &mut Cursor,
        mut budget: usize,
        mut each: impl FnMut(FlowId, &Flow) -> ControlFlow<()>,
    ) {
        while !cursor.is_at_end && budget > 0 {
            match self.table.next_flow(now, cursor.next, &mut budget) {
                Ok((id, flow)) => {
                    if each(id, &flow).is_break() {
                        cursor.next = id.slot;
                        return;
                    }
                    self.step(cursor, id.slot);
                }
                Err(Some(next)) => cursor.next = next,
                Err(None) => cursor.is_at_end = true,
            }
        }
    }

    /// The next living flow, if it is among the next `budget` slots.
    pub(crate) fn step_on(
        &self,
        now: Instant,
        cursor: &mut Cursor,
        budget: &mut usize,
    ) -> Option<(FlowId, Flow)> {
        match self.table.next_flow(now, cursor.next, budget) {
            Ok((id, flow)) => {
                self.step(cursor, id.slot);
                Some((id, flow))
            }
            Err(Some(next)) => {
                cursor.next = next;
                None
            }
            Err(None) => {
                cursor.is_at_end = true;
                None
            }
        }
    }

    fn step(&self, cursor: &mut Cursor, slot: u32) {
        match self.table.slot_behind(slot) {
            Some(next) => cursor.next = next,
            None => cursor.is_at_end = true,
        }
    }
}
