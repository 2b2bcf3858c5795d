//! Making room the way Linux does.
//!
//! Victims are all flows that are not assured in the first of eight buckets that holds one, from the
//! new flow's bucket on (`early_drop`). A flood has every one of its packets look, and what it reads
//! turns the cache over that everybody else needs: the first bucket is looked through alone, then two
//! more, then the rest. What lies in a group is gathered in one walk over neighbouring lines of the
//! index, and of its flows no more than the status is read, of all together.

use alloc::vec::Vec;
use core::ops::Range;

use super::buckets::{Near, OPPOSITE};
use super::excerpt::Inquiry;
use super::{FlowTable, prefetch};
use crate::event::EventQueue;
use crate::flow::Status;
use crate::path::BURST;
use crate::time::Instant;

/// How many buckets in a row early drop looks through (`NF_CT_EVICTION_RANGE`).
pub(super) const EVICTION_RANGE: u32 = 8;
/// Those that are looked through together. Of a table that a flood has filled the first will nearly always do.
const GROUPS: [Range<u32>; 3] = [0..1, 1..3, 3..EVICTION_RANGE];

/// About how many records are read ahead for a burst: more would push out of the cache what its packets need.
const MOST_AHEAD: usize = 4 * BURST;

impl FlowTable {
    /// Makes room for a flow whose original tuple has this hash; how many victims there were. Flows on the way that have
    /// expired are put away, but are no victims.
    pub(crate) fn early_drop(&mut self, now: Instant, hash: u32, events: &mut EventQueue) -> usize {
        self.note(|| Inquiry::Near(hash, EVICTION_RANGE));
        let mut near = core::mem::take(&mut self.near);
        let mut groups = GROUPS.into_iter().map(|steps| {
            self.buckets.near(&self.index, hash, steps, &mut near);
            self.drop_first_of(&mut near, now, events)
        });
        let victims = groups.find(|victims| *victims > 0).unwrap_or(0);
        self.near = near;
        victims
    }

    /// Has read into the cache, all at once each time, what [`FlowTable::early_drop`] will read of the first bucket for
    /// flows with these hashes, which are on their way. Where buckets are long the first of them empties one for many, and
    /// nothing is read.
    pub(crate) fn read_victims_ahead(&mut self, hashes: impl Iterator<Item = u32> + Clone) {
        if self.buckets.may_be_long(&self.index) {
            return;
        }
        for hash in hashes.clone() {
            prefetch::line(self.index.home_line(hash ^ OPPOSITE));
        }
        let mut near = core::mem::take(&mut self.near);
        let mut left = MOST_AHEAD;
        for hash in hashes {
            self.buckets.near(&self.index, hash, 0..1, &mut near);
            near.iter().for_each(|entry| self.slab.read_head(entry.slot));
            left = left.saturating_sub(near.len());
            if left == 0 {
                break;
            }
        }
        self.near = near;
    }

    /// Puts away what goes of a group.
    fn drop_first_of(
        &mut self,
        near: &mut Vec<Near>,
        now: Instant,
        events: &mut EventQueue,
    ) -> usize {
        for entry in &*near {
            self.slab.read_head(entry.slot);
        }
        near.retain(|entry| self.goes(entry, now));
        near.sort_unstable();
        self.drop_first(near, now, events)
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
