//! Where flows live: slots that are reused, with generations that tell.

use alloc::vec::Vec;

use crate::flow::{Flow, FlowId};

/// No slot: the end of a chain.
pub(super) const NIL: u32 = u32::MAX;

/// Neighbours in the chain of flows of one source: before and after.
pub(super) type SourceLinks = Option<(u32, u32)>;

/// Starts at a cache line, and fills four.
#[repr(align(64))]
struct Slot {
    generation: u32,
    source: SourceLinks,
    flow: Option<Flow>,
}

const _: () = assert!(size_of::<Slot>() == 256, "a flow fills four cache lines");

/// The slots.
#[derive(Default)]
pub(super) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slab {
    pub(super) fn insert(&mut self, flow: Flow) -> FlowId {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.flow = Some(flow);
            entry.source = None;
            return FlowId { slot, generation: entry.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, source: None, flow: Some(flow) });
        FlowId { slot, generation: 0 }
    }

    pub(super) fn remove(&mut self, id: FlowId) {
        let Some(entry) = self.slots.get_mut(id.slot as usize) else { return };
        if entry.generation == id.generation && entry.flow.take().is_some() {
            entry.generation = entry.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    pub(super) fn flow(&self, id: FlowId) -> Option<&Flow> {
        let entry = self.slots.get(id.slot as usize)?;
        entry.flow.as_ref().filter(|_| entry.generation == id.generation)
    }

    pub(super) fn flow_mut(&mut self, id: FlowId) -> Option<&mut Flow> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        entry.flow.as_mut().filter(|_| entry.generation == id.generation)
    }

    /// Touches the lines of a flow that an established packet needs.
    pub(super) fn warm(&self, slot: u32) -> u64 {
        let Some((id, flow)) = self.at(slot) else { return 0 };
        u64::from(id.generation)
            ^ flow.deadline.nanos()
            ^ u64::from(flow.acct.is_some())
            ^ u64::from(flow.orig.sport)
            ^ u64::from(flow.reply.sport)
            ^ u64::from(flow.mark)
            ^ u64::from(flow.proto.name().is_some())
    }

    /// Whatever flow is in a slot.
    pub(super) fn at(&self, slot: u32) -> Option<(FlowId, &Flow)> {
        let entry = self.slots.get(slot as usize)?;
        let id = FlowId { slot, generation: entry.generation };
        entry.flow.as_ref().map(|flow| (id, flow))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FlowId, &Flow)> {
        (0..self.slots.len() as u32).filter_map(|slot| self.at(slot))
    }

    pub(super) fn source(&self, slot: u32) -> SourceLinks {
        self.slots[slot as usize].source
    }

    pub(super) fn source_mut(&mut self, slot: u32) -> &mut SourceLinks {
        &mut self.slots[slot as usize].source
    }
}
