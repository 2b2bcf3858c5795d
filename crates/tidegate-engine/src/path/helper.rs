//! Helpers on the path: before a packet leaves, the flow's helper reads it, and its sequence numbers
//! are corrected.
//!
//! Linux: `nf_confirm`.

use core::net::IpAddr;
use core::ops::ControlFlow::{Break, Continue};

use super::{Passage, Walk};
use crate::fib::{AddrType, Fib};
use crate::flow::{Care, FlowId, Status};
use crate::helper::{Hearing, Helper, Message};
use crate::nat::seqadj;
use crate::packet::{CtInfo, Origin, Tracked, Transit};
use crate::trace::Observer;
use crate::tuple::Direction;
use crate::verdict::DropReason;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// Has the helper of the packet's flow, if it has one, read the packet, and corrects its numbers if
    /// those of the flow were corrected before.
    #[inline(never)]
    pub(super) fn assist(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        let info = t.tracked.info();
        let Some(dir) = info.direction() else { return Continue(()) };
        // Errors of the other end are spared.
        if info == CtInfo::Related(Direction::Reply) || t.headers.l4.is_none() {
            return Continue(());
        }
        let Some(flow) = t.tracked.flow() else { return Continue(()) };
        if !Care::is_of(flow) {
            return Continue(());
        }
        let (is_corrected, helper) = (flow.is(Status::SEQ_ADJUST), flow.helper());
        if let Some(helper) = helper {
            self.hear(t, helper, dir)?;
        }
        if is_corrected { self.correct(t, dir) } else { Continue(()) }
    }

    fn hear(&mut self, t: &mut Transit<'_, '_>, helper: Helper, dir: Direction) -> Passage {
        let broadcast = self.broadcast_mask(t, helper);
        let info = t.tracked.info();
        let (id, flow) = match &mut t.tracked {
            Tracked::Draft(draft, _) => (FlowId::UNBORN, &mut draft.0),
            Tracked::Flow(held, _) => (held.id, &mut held.flow),
            Tracked::None | Tracked::Untracked => return Continue(()),
        };
        let message = Message::new(t.packet.bytes, t.headers, flow.orig.proto);
        let Some(message) = message else { return Continue(()) };
        let (engine, now, fib) = (&mut *self.engine, self.now, self.fib);
        let care = engine.table.care(id);
        let mut hearing =
            Hearing { engine, now, flow, id, care, info, dir, message, broadcast, fib };
        let outcome = helper.hear(&mut hearing);
        let (is_linear, care) = (hearing.message.is_linear(), hearing.care);
        (t.headers, t.outgrown) = hearing.message.finish();
        if let Some(plan) = t.plan.as_mut().filter(|_| is_linear) {
            plan.make_contiguous(t.headers.len);
        }
        self.engine.table.set_care(id, care);
        if let Tracked::Flow(held, _) = &mut t.tracked {
            held.save(&mut self.engine.table);
        }
        match outcome {
            Ok(()) => Continue(()),
            Err(fault) => {
                self.log_fault(t, helper, fault);
                Break(DropReason::Helper(fault))
            }
        }
    }

    /// For a packet of the host's own by broadcast: the mask of the network that it goes to.
    fn broadcast_mask(&self, t: &Transit<'_, '_>, helper: Helper) -> Option<IpAddr> {
        let asks = matches!(helper, Helper::NetbiosNs | Helper::Snmp);
        let is_own = t.packet.in_port.is_none() && self.origin == Origin::Forwarded;
        let dst = t.headers.dst;
        if !asks || !is_own || self.fib.addr_type(dst, None) != AddrType::Broadcast {
            return None;
        }
        self.fib.broadcast_mask(t.out_port?, dst)
    }

    /// What lies apart from the packet's flow, or did until the packet ended it.
    pub(super) fn care_of(&self, t: &Transit<'_, '_>) -> Care {
        let kept = || match &t.tracked {
            Tracked::Draft(..) => self.engine.table.care(FlowId::UNBORN),
            Tracked::Flow(held, _) => self.engine.table.care(held.id),
            Tracked::None | Tracked::Untracked => Care::default(),
        };
        t.estate.unwrap_or_else(kept)
    }

    fn correct(&mut self, t: &mut Transit<'_, '_>, dir: Direction) -> Passage {
        if !matches!(t.tracked, Tracked::Flow(..)) {
            return Continue(());
        }
        let corrections = self.care_of(t).corrections;
        let [sender, other] = [dir, dir.opposite()].map(|dir| corrections[dir.index()]);
        let range = t.headers.l4.unwrap_or(t.headers.len)..t.headers.len;
        let bytes = t.outgrown.as_deref_mut().unwrap_or(t.packet.bytes);
        let segment = bytes.get_mut(range).unwrap_or_default();
        if seqadj::adjust(segment, t.headers.checksum, &sender, &other).is_err() {
            self.engine.stats.drop += 1;
            return Break(DropReason::SequenceAdjust);
        }
        Continue(())
    }
}
