//! The beginning of a flow that was expected, or that a rule gives a helper.
//!
//! Linux: `init_conntrack`, and what the helpers call `expectfn`.

use super::Walk;
use crate::event::ExpectMask;
use crate::expect::{Binding, Expectation};
use crate::fib::Fib;
use crate::flow::{Care, Flow, FlowId, Status};
use crate::helper::Memory;
use crate::nat::bind::Binder;
use crate::nat::{Manip, NatRange};
use crate::packet::Transit;
use crate::steer::Post;
use crate::trace::Observer;
use crate::tuple::Direction;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// A flow that was expected gets a master, and whatever goes with it. Any other gets the helper
    /// that a rule wants for it.
    #[inline]
    pub(super) fn meet_expectation(&mut self, t: &Transit<'_, '_>, flow: &mut Flow) {
        if t.template.is_some() || !self.engine.table.expectations.is_empty() {
            self.look_for_expectation(t, flow);
        }
    }

    #[inline(never)]
    fn look_for_expectation(&mut self, t: &Transit<'_, '_>, flow: &mut Flow) {
        let engine = &mut *self.engine;
        let tuple = (&flow.orig, flow.zone);
        let mut care = Care::default();
        flow.is_proxied = t.template.is_some_and(|template| template.is_proxied);
        match engine.table.expectations.take(self.now, tuple, &mut engine.events) {
            Some(expectation) => {
                care.master = Some(expectation.master);
                self.follow(&expectation, flow);
            }
            None => {
                if let Some(helper) = t.template.and_then(|template| template.helper) {
                    flow.status |= Status::HELPER;
                    flow.helper = Some(helper);
                }
            }
        }
        if let Some(helper) = flow.helper {
            care.memory = Memory::of(helper);
            care.expect_events = self.announced_expectations(t);
        }
        if Care::is_of(flow) {
            self.engine.table.set_care(FlowId::UNBORN, care);
        }
    }

    fn announced_expectations(&self, t: &Transit<'_, '_>) -> ExpectMask {
        let chosen = t.template.and_then(|template| template.expect_events);
        let all = self.engine.limits.events != 0;
        chosen.unwrap_or(if all { ExpectMask::all() } else { ExpectMask::empty() })
    }

    /// Forgets what the packet's flow announced, which will not be: the packet is dropped.
    pub(super) fn forget_unborn(&mut self) {
        let engine = &mut *self.engine;
        engine.table.forget_unborn();
        if !engine.table.expectations.is_empty() {
            let all = |_: &Expectation| true;
            let expectations = &mut engine.table.expectations;
            let events = &mut engine.events;
            expectations.withdraw_of(FlowId::UNBORN, (all, usize::MAX), self.now, events);
        }
    }

    fn follow(&mut self, expectation: &Expectation, flow: &mut Flow) {
        let master = self.engine.table.load(expectation.master.id);
        flow.status |= Status::EXPECTED;
        (flow.helper, flow.master_helper) = (expectation.assigns, expectation.master.helper);
        let Some(master) = master else { return };
        (flow.mark, flow.secmark) = (master.mark, master.secmark);
        match expectation.binding {
            None => {}
            Some(Binding::FollowMaster) => self.follow_master(expectation, &master, flow),
            Some(Binding::Sip) => self.bind_sip(expectation, &master, flow),
            Some(Binding::Pptp) => self.bind_call(expectation, &master, flow),
            Some(Binding::Forwarded) => self.bind_forwarded(expectation, flow),
        }
        self.bring_home(flow);
    }

    /// Another source port, where the reply must have one of ours.
    fn bring_home(&mut self, flow: &mut Flow) {
        let is_ours = |post: &Post| post.is_home(&flow.reply);
        let is_movable = flow.status.intersects(Status::NAT) && flow.orig.has_ports();
        if !is_movable || self.engine.table.post.as_deref().is_none_or(is_ours) {
            return;
        }
        let range = range(flow.reply.dst, None);
        Binder { is_steered: true, ..self.binder() }.bind(flow, &range, Manip::Src);
    }

    fn binder(&mut self) -> Binder<'_> {
        let engine = &mut *self.engine;
        let (table, events, rng) = (&mut engine.table, &mut engine.events, &mut engine.rng);
        let (now, found) = (self.now, &mut engine.stats.found);
        // Which port they have was told before.
        Binder { table, events, rng, found, now, is_steered: false }
    }

    /// From where the master sends, to where it said. Linux: `nf_nat_follow_master`.
    fn follow_master(&mut self, expectation: &Expectation, master: &Flow, flow: &mut Flow) {
        let other = *master.tuple(expectation.dir.opposite());
        let port = expectation.saved.1;
        let mut binder = self.binder();
        binder.bind(flow, &range(other.dst, None), Manip::Src);
        binder.bind(flow, &range(other.src, Some(port)), Manip::Dst);
    }

    /// To where the message said, before it was rewritten; from where the other half of the call is
    /// seen. Linux: `nf_nat_sip_expected`.
    fn bind_sip(&mut self, expectation: &Expectation, master: &Flow, flow: &mut Flow) {
        let (addr, port) = expectation.saved;
        self.binder().bind(flow, &range(addr, Some(port)), Manip::Dst);
        let is_media = expectation.class != 0;
        let table = &self.engine.table;
        let pair = is_media.then(|| table.expectations.pair_of(expectation.master.id, &flow.orig));
        let source = match pair.flatten() {
            Some(pair) => Some(range(pair.tuple.dst, Some(pair.tuple.dport))),
            None if flow.orig.src == master.tuple(expectation.dir).src => {
                Some(range(master.tuple(expectation.dir.opposite()).dst, None))
            }
            None => None,
        };
        if let Some(source) = source {
            self.binder().bind(flow, &source, Manip::Src);
        }
    }

    /// To where the message said, before it was rewritten; the source is the address that the caller is
    /// seen under. Linux: `ip_nat_callforwarding_expect`.
    fn bind_forwarded(&mut self, expectation: &Expectation, flow: &mut Flow) {
        let source = flow.tuple(expectation.dir.opposite()).src;
        let (addr, port) = expectation.saved;
        let mut binder = self.binder();
        binder.bind(flow, &range(source, None), Manip::Src);
        binder.bind(flow, &range(addr, Some(port)), Manip::Dst);
    }

    /// The call's other direction is no longer expected. Linux: `pptp_expectfn`,
    /// `pptp_nat_expected`.
    fn bind_call(&mut self, expectation: &Expectation, master: &Flow, flow: &mut Flow) {
        let is_translated = master.status.intersects(Status::NAT);
        let counterpart = match self.engine.table.care(expectation.master.id).memory {
            Memory::Pptp(call) if is_translated => Some(call.counterpart(master, expectation.dir)),
            _ => expectation.tuple.invert(),
        };
        let engine = &mut *self.engine;
        if let Some(tuple) = counterpart {
            let (table, events) = (&mut engine.table, &mut engine.events);
            table.expectations.withdraw(self.now, (&tuple, flow.zone), events);
        }
        if !is_translated {
            return;
        }
        let other = *master.tuple(expectation.dir.opposite());
        let key = |dir| (expectation.dir == dir).then_some(expectation.saved.1);
        let mut binder = self.binder();
        binder.bind(flow, &range(other.dst, key(Direction::Original)), Manip::Src);
        binder.bind(flow, &range(other.src, key(Direction::Reply)), Manip::Dst);
    }
}

fn range(addr: core::net::IpAddr, port: Option<u16>) -> NatRange {
    let ports = port.map(|port| (port, port));
    NatRange { addrs: Some((addr, addr)), ports, ..NatRange::default() }
}
