//! The end of a flow, and what ends with it: whatever it has announced, and the calls that it controls.
//!
//! Linux: `nf_ct_remove_expectations`, `pptp_destroy_siblings`, `destroy_gre_conntrack`.

use tidegate_wire::proto;

use super::{FlowTable, record};
use crate::event::EventQueue;
use crate::flow::{Care, Flow, FlowId};
use crate::time::Instant;
use crate::tuple::{Direction, Tuple, ZoneScope};

impl FlowTable {
    /// Takes a flow out of the table and announces it, if it is there.
    pub(crate) fn kill(&mut self, id: FlowId, now: Instant, events: &mut EventQueue) {
        if self.slab.has(id) {
            match self.plain_hash(id.slot).1 {
                Some(hash) => self.bury_plain(id, hash, now, events),
                None => self.bury(id, self.slab.read(id.slot), now, events),
            }
        }
    }

    /// [`FlowTable::kill`], of a flow that looks like this now, if it is there still.
    pub(crate) fn kill_as(
        &mut self,
        id: FlowId,
        flow: &Flow,
        now: Instant,
        events: &mut EventQueue,
    ) {
        if self.slab.has(id) {
            self.bury(id, flow.clone(), now, events);
        }
    }

    fn bury(&mut self, id: FlowId, mut flow: Flow, now: Instant, events: &mut EventQueue) {
        end_life(&mut flow, now);
        events.destroyed(now, id, &flow);
        let care = Care::is_of(&flow).then(|| self.slab.care(id.slot));
        self.unfile(id.slot, &flow.orig, flow.zone.id_in(Direction::Original));
        if record::is_mapped(&flow) {
            self.unfile(id.slot, &flow.reply, flow.zone.id_in(Direction::Reply));
        }
        self.sources.unlink(&mut self.slab, id.slot, &flow);
        self.slab.remove(id.slot);
        self.len -= 1;
        self.one_way -= usize::from(flow.zone.scope != ZoneScope::Both);
        if let Some(post) = &mut self.post {
            post.ended(&flow);
        }
        if let Some(care) = care {
            self.bereave((id, &flow, &care), now, events);
        }
    }

    /// Puts away what a flow leaves behind that has just left the table itself.
    #[inline(never)]
    pub(super) fn bereave(
        &mut self,
        (id, flow, care): (FlowId, &Flow, &Care),
        now: Instant,
        events: &mut EventQueue,
    ) {
        for tuple in care.memory.siblings(flow).into_iter().flatten() {
            self.end_sibling(&tuple, flow, now, events);
        }
        self.expectations.orphan(id, now, events);
        if let Some(master) = care.master.filter(|_| flow.orig.proto == proto::GRE) {
            self.expectations.keys.forget(master.id);
        }
    }

    /// Ends a flow that goes with another one, or the expectation of it.
    pub(crate) fn end_sibling(
        &mut self,
        tuple: &Tuple,
        of: &Flow,
        now: Instant,
        events: &mut EventQueue,
    ) {
        match self.find_or_evict(now, (tuple, of.zone), None, events) {
            Some((id, _)) => self.kill(id, now, events),
            None => drop(self.expectations.withdraw(now, (tuple, of.zone), events)),
        }
    }
}

/// Notes when a flow ended, if that is kept.
pub(super) fn end_life(flow: &mut Flow, now: Instant) {
    if let Some(lifetime) = &mut flow.lifetime {
        lifetime.stop = Some(flow.deadline.min(now));
    }
}
