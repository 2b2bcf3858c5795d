//! What is said of a packet at conntrack: to the counters, the log, and who watches.
//!
//! Linux: `nf_ct_l4proto_log_invalid`, `nf_ct_helper_log`.

use super::Walk;
use crate::fib::Fib;
use crate::flow::Flow;
use crate::helper::{Helper, HelperFault};
use crate::log::Sighting;
use crate::packet::{CtInfo, Tracked, Transit};
use crate::trace::{Observer, Step};
use crate::track::{Doubt, IgnoreReason, InvalidReason};
use crate::tuple::Tuple;

/// What is remarkable about how a packet was judged.
#[derive(Clone, Copy)]
pub(super) enum Remark {
    Invalid(InvalidReason),
    Ignored(IgnoreReason),
}

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    pub(super) fn refuse_icmp(&mut self, t: &Transit<'_, '_>, reason: InvalidReason, doubt: Doubt) {
        self.engine.stats.error += 1;
        self.engine.stats.invalid_reasons[reason.index()] += 1;
        self.log_doubt(t, doubt);
        self.tell(None, None, &Tracked::None, Some(Remark::Invalid(reason)));
    }

    pub(super) fn refuse(
        &mut self,
        t: &Transit<'_, '_>,
        tuple: Option<Tuple>,
        flow: Option<&Flow>,
        reason: InvalidReason,
    ) {
        self.engine.stats.invalid += 1;
        self.engine.stats.invalid_reasons[reason.index()] += 1;
        self.log_doubt(t, Doubt::Invalid(reason));
        self.tell(tuple, flow, &Tracked::None, Some(Remark::Invalid(reason)));
    }

    /// Writes to the log that a packet is not believed, if somebody wants to know (`nf_conntrack_log_invalid`: a
    /// protocol's number, or 255 for all).
    pub(super) fn log_doubt(&mut self, t: &Transit<'_, '_>, doubt: Doubt) {
        const ALL: u8 = 255;
        let (wanted, protocol) = (self.engine.limits.log_invalid, t.headers.proto);
        if wanted != ALL && wanted != protocol {
            return;
        }
        let Some(text) = doubt.text(protocol) else { return };
        let name = |port| self.fib.port(port).name.as_str();
        let sighting = Sighting {
            datagram: &t.packet.bytes[..t.headers.len.min(t.packet.bytes.len())],
            family: t.headers.family,
            link: t.packet.link,
            in_name: t.packet.in_port.map(name),
            out_name: t.out_port.map(name),
            mark: t.packet.mark,
        };
        self.engine
            .log
            .push(sighting.doubt(format_args!("proto_{protocol}"), format_args!("{text}")));
    }

    /// Writes to the log that a helper drops a packet. Where it came in and goes is not told.
    pub(super) fn log_fault(&mut self, t: &Transit<'_, '_>, helper: Helper, fault: HelperFault) {
        if fault.is_silent() {
            return;
        }
        let bytes = t.bytes();
        let sighting = Sighting {
            datagram: &bytes[..t.headers.len.min(bytes.len())],
            family: t.headers.family,
            link: None,
            in_name: None,
            out_name: None,
            mark: t.packet.mark,
        };
        let who = helper.name();
        for fault in [Some(fault), fault.consequence()].into_iter().flatten() {
            let text = format_args!("dropping packet: {fault}");
            self.engine.log.push(sighting.doubt(format_args!("{who}"), text));
        }
    }

    pub(super) fn tell(
        &mut self,
        tuple: Option<Tuple>,
        flow: Option<&Flow>,
        after: &Tracked,
        remark: Option<Remark>,
    ) {
        if O::WATCHES {
            self.tell_step(tuple, flow, flow, after.info(), remark);
        }
    }

    pub(super) fn tell_change(
        &mut self,
        tuple: &Tuple,
        before: Option<&Flow>,
        after: &Tracked,
        remark: Option<Remark>,
    ) {
        if O::WATCHES {
            self.tell_step(Some(*tuple), before, after.flow(), after.info(), remark);
        }
    }

    fn tell_step(
        &mut self,
        tuple: Option<Tuple>,
        before: Option<&Flow>,
        after: Option<&Flow>,
        info: CtInfo,
        remark: Option<Remark>,
    ) {
        let now = self.now;
        let text = |flow: &Flow| alloc::format!("{}", flow.summary(now));
        let remark = remark.map(|remark| match remark {
            Remark::Invalid(reason) => alloc::format!("{reason}"),
            Remark::Ignored(reason) => alloc::format!("{reason}"),
        });
        let (before, after) = (before.map(text), after.map(text));
        self.observer.note(|| Step::Conntrack { tuple, before, after, info, remark });
    }
}
