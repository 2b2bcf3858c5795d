//! What ends with a flow: whatever it has announced, and the calls that it controls.
//!
//! Linux: `nf_ct_remove_expectations`, `pptp_destroy_siblings`, `destroy_gre_conntrack`.

use tidegate_wire::proto;

use super::FlowTable;
use crate::event::EventQueue;
use crate::flow::{Care, Flow, FlowId};
use crate::time::Instant;
use crate::tuple::Tuple;

impl FlowTable {
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
