//! Making room the way Linux does.
//!
//! Victims are all flows that are not assured in the first of eight buckets that holds one, from the
//! new flow's bucket on (`early_drop`). A flood has every one of its packets look, so what lies in
//! the eight buckets is gathered in one walk over a few neighbouring lines of the index, and the
//! flows are read ahead together.

use super::FlowTable;
use super::buckets::Near;
use super::excerpt::Inquiry;
use crate::event::EventQueue;
use crate::flow::Status;
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, Zone};

/// How many buckets in a row early drop looks through (`NF_CT_EVICTION_RANGE`).
pub(super) const EVICTION_RANGE: u32 = 8;

impl FlowTable {
    /// Makes room for a flow of this tuple; how many victims there were. Flows on the way that have
    /// expired are put away, but are no victims.
    pub(crate) fn early_drop(
        &mut self,
        now: Instant,
        tuple: &Tuple,
        zone: Zone,
        events: &mut EventQueue,
    ) -> usize {
        let hash = self.hash(tuple, zone, Direction::Original);
        self.note(|| Inquiry::Near(hash, EVICTION_RANGE));
        let mut near = core::mem::take(&mut self.near);
        self.buckets.near(&self.index, hash, EVICTION_RANGE, &mut near);
        for entry in &near {
            self.slab.read_ahead(entry.slot);
        }
        near.retain(|entry| self.goes(entry, now));
        near.sort_unstable();
        let victims = self.drop_first(&near, now, events);
        self.near = near;
        victims
    }

    /// Whether an entry is really there, and its flow has expired or is not assured.
    fn goes(&self, entry: &Near, now: Instant) -> bool {
        let is_there = !(entry.is_implied && self.slab.is_mapped(entry.slot));
        is_there
            && (self.slab.is_expired(entry.slot, now)
                || !self.slab.status(entry.slot).contains(Status::ASSURED))
    }

    /// Puts away what goes, up to the first bucket with a victim and all of that.
    fn drop_first(&mut self, goes: &[Near], now: Instant, events: &mut EventQueue) -> usize {
        let mut victims = 0;
        let mut last_step = EVICTION_RANGE;
        for Near { step, slot, .. } in goes {
            if *step > last_step {
                break;
            }
            // A flow with two entries may have gone with the first, and its slot with it.
            if self.slab.is_let(*slot) {
                if !self.slab.is_expired(*slot, now) {
                    victims += 1;
                    last_step = *step;
                }
                self.kill(self.slab.id_of(*slot), now, events);
            }
        }
        victims
    }
}
