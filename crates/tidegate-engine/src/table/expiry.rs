//! The end of flows whose time is over.
//!
//! A few are found before the first of them is put away, so that what that needs of the index can be asked
//! for, all at once. Nothing comes of it but speed, and now and then a timer that is looked at once more: who has
//! ended with another one by its turn is left alone.

use super::ahead::NO_LINE;
use super::{FlowTable, prefetch, tick_of};
use crate::event::EventQueue;
use crate::flow::FlowId;
use crate::time::Instant;

/// How many are found at a time.
const FEW: usize = 32;

/// A flow whose time is over.
#[derive(Clone, Copy)]
struct Due {
    id: FlowId,
    /// See [`FlowTable::plain_hash`].
    plain_hash: Option<u32>,
}

impl FlowTable {
    /// Ends flows whose deadline has passed; counts `steps` down, and gives up at 0.
    pub(crate) fn expire(&mut self, now: Instant, steps: &mut usize, events: &mut EventQueue) {
        let mut due = [Due { id: FlowId::UNBORN, plain_hash: None }; FEW];
        loop {
            let found = self.find_expired(now, steps, &mut due);
            for Due { id, plain_hash } in &due[..found] {
                match *plain_hash {
                    Some(hash) => self.bury_plain(*id, hash, now, events),
                    None => self.kill(*id, now, events),
                }
            }
            if found < FEW {
                return;
            }
        }
    }

    /// Takes the next few out of the wheel; how many there were.
    fn find_expired(&mut self, now: Instant, steps: &mut usize, due: &mut [Due; FEW]) -> usize {
        let mut slots = [0; FEW];
        let found = self.wheel.pop_due(&mut self.slab, tick_of(now), steps, &mut slots);
        let mut homes = [&NO_LINE; FEW];
        for ((place, home), slot) in due.iter_mut().zip(&mut homes).zip(&slots[..found]) {
            let (id, plain_hash) = self.plain_hash(*slot);
            *place = Due { id, plain_hash };
            *home = plain_hash.map_or(&NO_LINE, |hash| self.index.home_line(hash));
        }
        homes[..found].iter().for_each(|home| prefetch::line(*home));
        // Two in three need no other line, and that is known once their own are there.
        for home in homes[..found].iter().filter(|home| !home.is_end_of_run()) {
            home.ask_behind();
        }
        found
    }
}
