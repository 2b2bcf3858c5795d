//! The table, slot by slot, for whoever looks at all of it.

use super::FlowTable;
use crate::flow::{Flow, FlowId};
use crate::time::Instant;

impl FlowTable {
    /// All flows in the table, in the order of their slots: a walk for dumps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FlowId, Flow)> {
        self.slab.slots().map(|slot| (self.slab.id_of(slot), self.slab.read(slot)))
    }

    /// The first living flow from a slot on; counts `steps` down by the slots that it looks at. If there was none among them:
    /// the slot to go on with, or `None` behind the last.
    pub(crate) fn next_flow(
        &self,
        now: Instant,
        mut slot: u32,
        steps: &mut usize,
    ) -> Result<(FlowId, Flow), Option<u32>> {
        while *steps > 0 {
            *steps -= 1;
            if self.slab.is_let(slot) && !self.slab.is_expired(slot, now) {
                return Ok((self.slab.id_of(slot), self.slab.read(slot)));
            }
            slot = self.slab.slot_behind(slot).ok_or(None)?;
        }
        Err(Some(slot))
    }

    /// The slot behind one, if there is any.
    pub(crate) fn slot_behind(&self, slot: u32) -> Option<u32> {
        self.slab.slot_behind(slot)
    }

    /// How many flows of the table a flow has announced.
    pub(crate) fn children(&self, master: FlowId) -> u32 {
        self.slab.children(master)
    }
}
