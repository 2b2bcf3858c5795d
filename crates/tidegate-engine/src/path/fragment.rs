//! Fragments on the path: put together before the first rule, cut again behind
//! the last one, and complained about when the rest never comes.

use alloc::vec::Vec;
use core::ops::ControlFlow::{self, Break, Continue};

use tidegate_wire::packet::{icmp, icmpv6, sctp, tcp};
use tidegate_wire::segment::Segments;
use tidegate_wire::{Family, Headers, dissect, dissect_quoted, proto};

use super::answer::Complaint;
use super::{Path, Walk};
use crate::defrag::{
    Admission, Datagram, Entry, Expired, FragmentPlan, Place, exceeds_mtu, fragment_v4, refragment,
};
use crate::engine::Outcome;
use crate::fib::{AddrType, Fib, PortId};
use crate::packet::{Checksum, Destination, Offload, Origin, Output, Packet, Tracked, Transit};
use crate::trace::{Observer, Step};
use crate::verdict::{DropReason, HelperFault, Onward, Verdict};

/// The code of "time exceeded" that means reassembly, in both families.
const REASSEMBLY: u8 = 1;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// Hands a fragment to the defragmenter. Goes on with it only if it is to
    /// pass as it is; the datagram that it completes walks the path on its own.
    pub(super) fn admit(
        &mut self,
        packet: &Packet<'_>,
        headers: &Headers,
        entry: Entry,
        path: Path<Self>,
    ) -> ControlFlow<Outcome> {
        let engine = &mut *self.engine;
        let place = Place { entry, zone: 0, port: packet.in_port.map(|port| port.0) };
        let limits = &engine.fragment_limits();
        let admission = engine.defrag.admit(self.now, limits, place, packet.bytes, headers);
        let verdict = match admission {
            Admission::Whole => return Continue(()),
            Admission::Complete(datagram) => return Break(self.walk_whole(datagram, packet, path)),
            Admission::Held => Verdict::Held,
            Admission::Refused(error) => Verdict::Drop(DropReason::Fragment(error)),
        };
        Break(self.outcome(verdict, None, packet.mark))
    }

    fn walk_whole(&mut self, datagram: Datagram, packet: &Packet<'_>, path: Path<Self>) -> Outcome {
        let Datagram { mut bytes, plan } = datagram;
        let mark = packet.mark;
        let mut whole = Packet { bytes: &mut bytes, offload: Offload::NONE, ..*packet };
        self.observer.note(|| Step::Reassembled { len: whole.bytes.len() });
        match dissect(whole.bytes) {
            Ok(headers) => self.walk(&mut whole, headers, Tracked::None, Some(plan), path),
            Err(malformed) => {
                self.outcome(Verdict::Drop(DropReason::Malformed(malformed)), None, mark)
            }
        }
    }

    /// Whether the packet must be dropped rather than be sent by a port of this
    /// MTU, whole or in fragments.
    pub(super) fn is_too_big(t: &Transit<'_, '_>, mtu: u32) -> bool {
        exceeds_mtu(t.packet.bytes, &t.headers, t.plan.as_ref(), mtu) && !t.is_cut_to(mtu)
    }

    /// Puts what must leave in other pieces than it is in, or has `grown`, into the output queue.
    pub(super) fn dispatch(
        &mut self,
        t: &mut Transit<'_, '_>,
        verdict: Verdict,
        grown: bool,
    ) -> Verdict {
        match verdict {
            Verdict::Forward { port, .. } if t.outgrown.is_some() && self.must_stay(t, port) => {
                self.answer_too_big(t, self.fib.port(port).mtu);
                Verdict::Drop(DropReason::Helper(HelperFault::TooBig))
            }
            Verdict::Forward { port, next_hop } => {
                let whole = |t: &Transit<'_, '_>| {
                    grown.then(|| alloc::vec![t.packet.bytes[..t.headers.len].to_vec()])
                };
                let Some(pieces) = self.pieces(t, port).or_else(|| whole(t)) else {
                    return verdict;
                };
                let destination = Destination::Port { port, next_hop };
                let (origin, offload) = (self.origin, t.offload());
                let outputs = pieces.into_iter();
                let outputs = outputs.map(|bytes| Output { bytes, destination, origin, offload });
                self.engine.outputs.extend(outputs);
                Verdict::Queued(Onward::Forward)
            }
            Verdict::Local if grown || t.plan.is_some() || t.outgrown.is_some() => {
                let bytes = t.bytes()[..t.headers.len].to_vec();
                let (destination, origin, offload) = (Destination::Host, self.origin, t.offload());
                self.engine.outputs.push_back(Output { bytes, destination, origin, offload });
                Verdict::Queued(Onward::Local)
            }
            Verdict::Local | Verdict::Held | Verdict::Queued(_) | Verdict::Drop(_) => verdict,
        }
    }

    /// Whether a packet that has grown is more than the port takes, and must not be cut.
    #[inline(never)]
    fn must_stay(&self, t: &Transit<'_, '_>, port: PortId) -> bool {
        let mtu = self.fib.port(port).mtu;
        t.plan.is_none() && exceeds_mtu(t.bytes(), &t.headers, None, mtu) && !t.is_cut_to(mtu)
    }

    /// The fragments to send; `None`: the packet goes as it is. Linux is silent
    /// about a datagram that cannot be cut here, and so are we: no pieces.
    fn pieces(&self, t: &mut Transit<'_, '_>, port: PortId) -> Option<Vec<Vec<u8>>> {
        let mtu = self.fib.port(port).mtu;
        match &t.plan {
            Some(plan) => Some(refragment(t.bytes(), &t.headers, plan, mtu).unwrap_or_default()),
            None if t.headers.len <= mtu as usize || t.is_cut_to(mtu) => {
                t.outgrown.as_ref().map(|bytes| alloc::vec![bytes.clone()])
            }
            None => match t.headers.family {
                Family::V4 => Some(fragments_v4(t, mtu)),
                Family::V6 => Some(Vec::new()),
            },
        }
    }

    /// A datagram stayed incomplete. IPv4 hosts complain, and IPv6 nodes of any
    /// kind, if they have the first fragment (RFC 1122 3.3.2, RFC 8200 4.5).
    pub(crate) fn give_up(&mut self, expired: Expired) {
        let Expired { family, first_fragment: Some(mut bytes), place } = expired else { return };
        let Ok(headers) = dissect(&bytes) else { return };
        let own = self.fib.addr_type(headers.dst, None) == AddrType::Local;
        let kind = match family {
            Family::V4 if !own => return,
            Family::V4 => icmp::TIME_EXCEEDED,
            Family::V6 => icmpv6::TIME_EXCEEDED,
        };
        let mut packet = Packet::local(&mut bytes);
        packet.in_port = place.port.map(PortId);
        let mut t = Transit::new(&mut packet, headers, Tracked::None, None);
        self.complain(&mut t, Complaint { kind, code: REASSEMBLY, info: 0 }, Origin::Router);
    }
}

/// The fragments of a datagram, or of all that a superframe stands for (Linux: `ip_finish_output_gso`).
#[cold]
fn fragments_v4(t: &mut Transit<'_, '_>, mtu: u32) -> Vec<Vec<u8>> {
    let offload = core::mem::take(&mut t.packet.offload);
    let Some(mut segments) = Segments::new(t.bytes(), offload, Checksum::Full) else {
        t.finish_checksum();
        return fragment_v4(t.bytes(), &t.headers, mtu);
    };
    let (mut pieces, mut segment) = (Vec::new(), Vec::new());
    while segments.next_into(&mut segment) {
        if let Ok(headers) = dissect(&segment) {
            pieces.extend(fragment_v4(&segment, &headers, mtu));
        }
        segment.clear();
    }
    t.headers.checksum = Checksum::Full;
    pieces
}

/// Linux pulls SCTP's header into one piece to verify its checksum (`sctp_error`).
pub(super) fn pull_verified(plan: &mut FragmentPlan, headers: &Headers) {
    if let Some(l4) = headers.l4.filter(|_| headers.proto == proto::SCTP) {
        plan.make_contiguous(l4 + sctp::HEADER_LEN);
    }
}

/// Linux pulls the headers that it translates in an ICMP error into one piece,
/// and the boundaries of the fragments move with them.
pub(super) fn pull_quote(plan: &mut FragmentPlan, bytes: &[u8], headers: &Headers) {
    let Some(quote) = headers.payload(bytes).get(icmp::HEADER_LEN..) else { return };
    let Some(quoted) = dissect_quoted(headers.family, quote) else { return };
    let ports =
        quoted.l4.map(|at| at + pulled_upper_layer(quoted.proto, quoted.len - at.min(quoted.len)));
    let pulled = ports.unwrap_or(0).max(quoted.ip_header_len);
    plan.make_contiguous(headers.len - quote.len() + pulled);
}

/// How much of a quoted upper layer of `len` bytes Linux makes writable.
fn pulled_upper_layer(proto: u8, len: usize) -> usize {
    match proto {
        proto::TCP if len >= tcp::HEADER_LEN => tcp::HEADER_LEN,
        proto::TCP | proto::UDP | proto::ICMP | proto::ICMPV6 => 8,
        _ => 0,
    }
}
