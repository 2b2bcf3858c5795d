//! The packet's path: netfilter's hooks in their order, one page.
//!
//! ```text
//! received --> PREROUTING --> route --+--> INPUT --> the host
//!              defrag (-400)          |    mangle, filter, security, nat (100), confirm
//!              raw  (-300)            |
//!              conntrack (-200)       |
//!              mangle (-150)          +--> FORWARD --> POSTROUTING --> sent
//!              nat dst (-100)              ttl, mtu    mangle (-150)
//!                                          mangle      nat src (100)
//! the host --> OUTPUT ------------------>  filter      synproxy, confirm (last)
//!              raw, conntrack, mangle,     security
//!              nat dst, filter, security
//! ```
//!
//! Each step either lets the packet go on or ends its path with a reason. A
//! flow begins to exist at *confirm*: a packet dropped before leaves nothing.

mod answer;
mod by_kind;
mod conntrack;
mod expected;
pub(crate) mod express;
mod fragment;
pub(crate) mod fresh;
mod glance;
mod helper;
mod layout;
mod nat;
pub(crate) mod outlook;
mod remark;
mod room;
mod steer;
mod synproxy;
pub(crate) mod train;
mod translation;

pub(crate) use self::conntrack::tuple_in;
pub(crate) use self::glance::{BURST, Glance, NEAR, Sight, Spots};

use core::net::IpAddr;
use core::ops::ControlFlow::{self, Break, Continue};

use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::packet::ipv6::Ipv6;
use tidegate_wire::{Family, Headers, dissect, proto};

use self::answer::attached;
use self::steer::Standing;
use crate::defrag::{Entry, FragmentPlan};
use crate::engine::{Engine, Outcome};
use crate::fib::{Fib, PortId, Route, RouteQuery};
use crate::packet::{CtInfo, Held, Origin, Owner, Packet, Tracked, Transit};
use crate::rules::{Hook, NatAction, RuleContext, Ruling, TableKind};
use crate::table::Hint;
use crate::time::Instant;
use crate::trace::{Observer, Step};
use crate::verdict::{DropReason, Stage, Verdict};

/// A way through the hooks, from the first one of it.
type Path<W> = fn(&mut W, &mut Transit<'_, '_>) -> Passage<Verdict>;

/// Goes on with a value, or ends with the reason.
type Passage<T = ()> = ControlFlow<DropReason, T>;

/// One packet's walk through the hooks.
pub(crate) struct Walk<'e, F, O> {
    engine: &'e mut Engine,
    now: Instant,
    fib: &'e F,
    observer: &'e mut O,
    /// The state that the packet had after conntrack.
    seen_as: Option<CtInfo>,
    /// Whose packet it is that walks.
    origin: Origin,
    /// What is known of its flow already.
    hint: Option<Hint>,
    /// Whose socket sent it, if it is the host's own and the caller says so.
    owner: Option<&'e Owner>,
    /// Which worker's packet it is.
    standing: Standing,
    /// Whether room has been looked for in vain.
    is_refused: bool,
}

impl<'e, F: Fib, O: Observer> Walk<'e, F, O> {
    pub(crate) fn new(
        engine: &'e mut Engine,
        now: Instant,
        fib: &'e F,
        observer: &'e mut O,
    ) -> Self {
        Self {
            engine,
            now,
            fib,
            observer,
            seen_as: None,
            origin: Origin::Forwarded,
            hint: None,
            owner: None,
            standing: Standing::default(),
            is_refused: false,
        }
    }

    /// A packet that came in by a port.
    pub(crate) fn receive(&mut self, packet: &mut Packet<'_>) -> Outcome {
        self.enter_at(packet, Entry::Received, Self::prerouting)
    }

    /// Says whose packets walk.
    pub(crate) fn of_owner(self, owner: &'e Owner) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// A packet of the host's own.
    pub(crate) fn send(&mut self, packet: &mut Packet<'_>) -> Outcome {
        self.enter_at(packet, Entry::Sent, Self::output)
    }

    /// An error of the host's own about a packet that became `about`: part of that
    /// packet's flow.
    pub(crate) fn send_error(&mut self, packet: &mut Packet<'_>, about: &Outcome) -> Outcome {
        let held = about.flow.and_then(|id| Some(Held { id, flow: self.engine.table.load(id)? }));
        let (Some(held), Some(info), Ok(headers)) = (held, about.conntrack, dissect(packet.bytes))
        else {
            return self.send(packet);
        };
        let tracked = attached(&mut Tracked::Flow(held, info));
        self.walk(packet, headers, tracked, None, Self::output)
    }

    fn enter_at(&mut self, packet: &mut Packet<'_>, entry: Entry, path: Path<Self>) -> Outcome {
        let headers = match dissect(packet.bytes) {
            Ok(headers) => headers,
            Err(malformed) => {
                let verdict = Verdict::Drop(DropReason::Malformed(malformed));
                return self.outcome(verdict, None, packet.mark);
            }
        };
        if is_node_local(&headers)
            && packet.in_port.is_some_and(|port| !self.fib.port(port).loopback)
        {
            return self.outcome(Verdict::Drop(DropReason::NodeLocal), None, packet.mark);
        }
        // A fragment header that is cut off is no fragment yet, but ends there too.
        let is_fragment = headers.fragment.is_some() || headers.proto == proto::IPV6_FRAGMENT;
        if is_fragment && let Some(verdict) = self.hand_over_fragment(packet, &headers, entry) {
            return self.outcome(verdict, None, packet.mark);
        }
        if is_fragment && let Break(outcome) = self.admit(packet, &headers, entry, path) {
            return outcome;
        }
        if self.may_grow(packet, &headers) {
            return self.walk_with_room(packet, headers, path);
        }
        self.walk(packet, headers, Tracked::None, None, path)
    }

    fn walk(
        &mut self,
        packet: &mut Packet<'_>,
        headers: Headers,
        tracked: Tracked,
        plan: Option<FragmentPlan>,
        path: Path<Self>,
    ) -> Outcome {
        let headers = Headers { checksum: packet.offload.checksum, ..headers };
        let mut transit = Transit::new(packet, headers, tracked, plan);
        self.carry(&mut transit, path)
    }

    #[inline]
    fn carry(&mut self, transit: &mut Transit<'_, '_>, path: Path<Self>) -> Outcome {
        let len = transit.headers.len;
        let verdict = match path(self, transit) {
            Continue(verdict) => {
                let grown = transit.headers.len > len;
                self.dispatch(transit, verdict, grown)
            }
            Break(reason) => {
                self.keep_notes(transit);
                Verdict::Drop(reason)
            }
        };
        transit.packet.offload.checksum = transit.headers.checksum;
        self.outcome(verdict, Some(&transit.tracked), transit.packet.mark)
    }

    /// What a dropped packet would have announced is left for the flow's next one.
    fn keep_notes(&mut self, t: &Transit<'_, '_>) {
        self.forget_unborn();
        let Tracked::Flow(held, _) = &t.tracked else { return };
        if held.flow.pending.is_empty() {
            return;
        }
        let table = &mut self.engine.table;
        if let Some(mut flow) = table.load(held.id) {
            flow.note(held.flow.pending);
            table.save(held.id, &flow);
        }
    }

    fn outcome(&mut self, verdict: Verdict, tracked: Option<&Tracked>, mark: u32) -> Outcome {
        self.observer.note(|| Step::Verdict(verdict));
        let flow = match tracked {
            Some(Tracked::Flow(held, _)) => Some(held.id),
            Some(Tracked::None | Tracked::Untracked | Tracked::Draft(..)) | None => None,
        };
        Outcome { verdict, conntrack: self.seen_as, flow, mark }
    }

    fn prerouting(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        const HOOK: Hook = Hook::Prerouting;
        self.enter(HOOK);
        self.rules(t, HOOK, TableKind::Raw)?;
        if let Some(verdict) = self.hand_over(t, Entry::Received) {
            return Continue(verdict);
        }
        self.received(t)
    }

    /// PREROUTING from conntrack on.
    #[inline]
    fn received(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        const HOOK: Hook = Hook::Prerouting;
        self.conntrack(t, HOOK)?;
        self.seen_as = Some(t.tracked.info());
        self.rules(t, HOOK, TableKind::Mangle)?;
        self.nat(t, HOOK)?;
        match self.route(t) {
            Route::Local { .. } => self.input(t),
            Route::Forward { port, next_hop } => {
                self.forward(t, port)?;
                Continue(Verdict::Forward { port, next_hop })
            }
            Route::Unreachable => {
                self.answer_no_route(t);
                Break(DropReason::NoRoute)
            }
            Route::Blackhole => Break(DropReason::Martian),
        }
    }

    fn input(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        const HOOK: Hook = Hook::Input;
        self.enter(HOOK);
        self.rules(t, HOOK, TableKind::Mangle)?;
        self.rules(t, HOOK, TableKind::Filter)?;
        self.rules(t, HOOK, TableKind::Security)?;
        self.nat(t, HOOK)?;
        self.synproxy(t)?;
        self.confirm(t)?;
        Continue(Verdict::Local)
    }

    fn forward(&mut self, t: &mut Transit<'_, '_>, port: PortId) -> Passage {
        const HOOK: Hook = Hook::Forward;
        t.out_port = Some(port);
        self.check_ttl(t)?;
        self.check_mtu(t, port)?;
        decrement_ttl(t);
        self.enter(HOOK);
        self.rules(t, HOOK, TableKind::Mangle)?;
        self.rules(t, HOOK, TableKind::Filter)?;
        self.rules(t, HOOK, TableKind::Security)?;
        self.postrouting(t)
    }

    /// From the host's own stack. Linux routes before OUTPUT, and again where
    /// OUTPUT changed what routing depends on.
    fn output(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        const HOOK: Hook = Hook::Output;
        self.route_own(t)?;
        self.enter(HOOK);
        self.rules(t, HOOK, TableKind::Raw)?;
        if let Some(verdict) = self.hand_over(t, Entry::Sent) {
            return Continue(verdict);
        }
        self.sent(t)
    }

    /// OUTPUT from conntrack on, of a packet that has been routed.
    #[inline]
    fn sent(&mut self, t: &mut Transit<'_, '_>) -> Passage<Verdict> {
        const HOOK: Hook = Hook::Output;
        self.conntrack(t, HOOK)?;
        self.seen_as = Some(t.tracked.info());
        self.rules(t, HOOK, TableKind::Mangle)?;
        self.nat(t, HOOK)?;
        // Rules of this hook see the port that the packet was to leave by when it came here.
        let port = t.out_port;
        let route = self.route_own(t)?;
        let new_port = core::mem::replace(&mut t.out_port, port);
        self.rules(t, HOOK, TableKind::Filter)?;
        self.rules(t, HOOK, TableKind::Security)?;
        t.out_port = new_port;
        self.postrouting(t)?;
        Continue(match route {
            Some((port, next_hop)) => Verdict::Forward { port, next_hop },
            None => Verdict::Local,
        })
    }

    fn postrouting(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        const HOOK: Hook = Hook::Postrouting;
        self.enter(HOOK);
        self.rules(t, HOOK, TableKind::Mangle)?;
        self.nat(t, HOOK)?;
        self.synproxy(t)?;
        self.confirm(t)
    }

    fn enter(&mut self, hook: Hook) {
        self.observer.note(|| Step::Hook(hook));
    }

    fn route(&mut self, t: &Transit<'_, '_>) -> Route {
        let query = RouteQuery {
            dst: t.headers.dst,
            src: t.headers.src,
            in_port: t.packet.in_port,
            mark: t.packet.mark,
        };
        let route = self.fib.route(&query);
        self.observer.note(|| Step::Routed(route));
        route
    }

    /// The way out for a packet of the host's own; `None`: it stays here.
    fn route_own(&mut self, t: &mut Transit<'_, '_>) -> Passage<Option<(PortId, IpAddr)>> {
        match self.route(t) {
            Route::Forward { port, next_hop } => {
                t.out_port = Some(port);
                Continue(Some((port, next_hop)))
            }
            Route::Local { .. } => {
                t.out_port = None;
                Continue(None)
            }
            Route::Unreachable => Break(DropReason::NoRoute),
            Route::Blackhole => Break(DropReason::Martian),
        }
    }

    fn check_ttl(&mut self, t: &mut Transit<'_, '_>) -> Passage {
        if ttl(t) > 1 {
            return Continue(());
        }
        self.answer_time_exceeded(t);
        Break(DropReason::TtlExceeded)
    }

    fn check_mtu(&mut self, t: &mut Transit<'_, '_>, port: PortId) -> Passage {
        let mtu = self.fib.port(port).mtu;
        if !Self::is_too_big(t, mtu) {
            return Continue(());
        }
        self.answer_too_big(t, mtu);
        Break(DropReason::TooBig)
    }

    /// Runs a table's chain at a hook; anything but a verdict to go on ends the
    /// path.
    #[inline(always)]
    fn rules(&mut self, t: &mut Transit<'_, '_>, hook: Hook, table: TableKind) -> Passage {
        if self.engine.programs.has(t.headers.family, table) {
            self.rules_of(t, hook, table)
        } else {
            Continue(())
        }
    }

    fn rules_of(&mut self, t: &mut Transit<'_, '_>, hook: Hook, table: TableKind) -> Passage {
        match self.evaluate(t, hook, table) {
            // Only the nat table translates; see `nat`.
            Ruling::Accept | Ruling::Translate(_) => Continue(()),
            Ruling::Drop => Break(DropReason::Rule(stage(hook, table))),
            Ruling::Reject(with) => {
                self.answer_reject(t, with);
                Break(DropReason::Reject(stage(hook, table)))
            }
            Ruling::Proxy(offer) => Break(self.proxy(t, &offer, stage(hook, table))),
        }
    }

    fn evaluate(&mut self, t: &mut Transit<'_, '_>, hook: Hook, table: TableKind) -> Ruling {
        let Engine { programs, table: flows, log, rng, wall, .. } = &mut *self.engine;
        let family = t.headers.family;
        if !O::WATCHES && !t.traced && programs.pass_bare(family, table, hook, t.headers.len) {
            return Ruling::Accept;
        }
        let info = seen_by_rules(t, table);
        let has_entry = !matches!(t.tracked, Tracked::None);
        let kept = t.tracked.flow().map(|flow| (flow.mark, flow.labels));
        let mut untracked = false;
        let mut context = RuleContext {
            hook,
            bytes: t.packet.bytes,
            headers: &mut t.headers,
            plan: t.plan.as_mut(),
            link: t.packet.link,
            mark: &mut t.packet.mark,
            in_port: t.packet.in_port,
            out_port: t.out_port,
            info,
            flow: t.tracked.flow_mut(),
            template: &mut t.template,
            untracked: &mut untracked,
            has_entry,
            fib: self.fib,
            now: self.now,
            log,
            flows,
            rng,
            wall: *wall,
            owner: self.owner,
            traced: &mut t.traced,
        };
        let ruling = programs.run(family, table, &mut context, self.observer);
        if let Tracked::Flow(held, _) = &mut t.tracked
            && kept != Some((held.flow.mark, held.flow.labels))
        {
            held.save(flows);
        }
        if untracked {
            t.tracked = Tracked::Untracked;
        }
        ruling
    }
}

/// The packet's state as rules of a table see it. SYNPROXY's SYN comes with a template, and a template is a flow to them.
fn seen_by_rules(t: &Transit<'_, '_>, table: TableKind) -> CtInfo {
    if table == TableKind::Raw && t.template.is_some() { CtInfo::New } else { t.tracked.info() }
}

/// Whether an address says that the datagram never leaves its host. Linux: `ip6_rcv_core`.
fn is_node_local(headers: &Headers) -> bool {
    let (IpAddr::V6(src), IpAddr::V6(dst)) = (headers.src, headers.dst) else { return false };
    let [first, scope, ..] = dst.octets();
    src.is_loopback() || dst.is_loopback() || first == 0xff && scope & 0x0f == 1
}

fn ttl(t: &Transit<'_, '_>) -> u8 {
    match t.headers.family {
        Family::V4 => Ipv4::new(&*t.packet.bytes).map_or(0, |ip| ip.ttl()),
        Family::V6 => Ipv6::new(&*t.packet.bytes).map_or(0, |ip| ip.hop_limit()),
    }
}

fn decrement_ttl(t: &mut Transit<'_, '_>) {
    let bytes = &mut *t.packet.bytes;
    match t.headers.family {
        Family::V4 => {
            if let Some(mut ip) = Ipv4::new(bytes) {
                ip.decrement_ttl();
            }
        }
        Family::V6 => {
            if let Some(mut ip) = Ipv6::new(bytes) {
                ip.set_hop_limit(ip.hop_limit().saturating_sub(1));
            }
        }
    }
}

fn stage(hook: Hook, table: TableKind) -> Stage {
    match hook {
        _ if table == TableKind::Raw => Stage::Raw,
        Hook::Prerouting => Stage::Prerouting,
        Hook::Input => Stage::Input,
        Hook::Forward => Stage::Forward,
        Hook::Output => Stage::Output,
        Hook::Postrouting => Stage::Postrouting,
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::dissect;

    use super::*;
    use crate::testkit::ip_datagram;

    #[test]
    fn addresses_that_never_leave_a_host() {
        let rows = [
            ("::1", "2001:db8::2", true),
            ("2001:db8::1", "::1", true),
            ("2001:db8::1", "ff01::1", true),
            ("2001:db8::1", "ff11::1", true),
            ("2001:db8::1", "ff02::1", false),
            ("2001:db8::1", "::", false),
            ("127.0.0.1", "127.0.0.1", false),
        ];
        for (src, dst, expected) in rows {
            let ends = (src.parse().unwrap(), dst.parse().unwrap());
            let headers = dissect(&ip_datagram(ends, proto::UDP, 64, &[])).unwrap();
            assert_eq!(is_node_local(&headers), expected, "{src} > {dst}");
        }
    }
}
