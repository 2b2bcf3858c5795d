//! The NAT hooks: decide for the first packet, rewrite every one.
//!
//! INVALID and UNTRACKED packets are never translated. Linux:
//! `nf_nat_inet_fn`, `nf_nat_icmp_reply_translation`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::ControlFlow::{Break, Continue};

use tidegate_wire::offload::Checksum;
use tidegate_wire::{Headers, proto};

use super::fragment::pull_quote;
use super::{NatAction, Passage, Ruling, TableKind, Walk, stage};
use crate::engine::Engine;
use crate::fib::Fib;
use crate::flow::{Flow, Status};
use crate::nat::bind::Binder;
use crate::nat::{Manip, NatRange, rewrite};
use crate::packet::{CtInfo, Tracked, Transit};
use crate::rules::Hook;
use crate::rules::ast::Network;
use crate::trace::{Observer, Step};
use crate::tuple::Direction;
use crate::verdict::DropReason;

/// How a packet is rewritten: as one of the flow, or as an error about it.
type Rewrite =
    fn(&mut [u8], &mut Headers, &Flow, Manip, Direction) -> Result<(), rewrite::Untranslatable>;

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    pub(super) fn nat(&mut self, t: &mut Transit<'_, '_>, hook: Hook) -> Passage {
        if !self.engine.programs.has(t.headers.family, TableKind::Nat) {
            return Continue(());
        }
        let info = t.tracked.info();
        let Some(dir) = info.direction() else { return Continue(()) };
        let manip = manip_at(hook);
        if matches!(info, CtInfo::Related(_)) && is_icmp(t) {
            return self.rewrite_error(t, hook, manip, dir);
        }
        let undecided = t.tracked.flow().is_some_and(|flow| !flow.is(manip.done_bit()))
            && !is_established(info);
        if undecided {
            self.decide(t, hook, manip)?;
        } else {
            self.check_port(t, hook, dir)?;
        }
        if t.tracked.flow().is_some_and(|flow| manip.applies(flow, dir)) {
            self.rewrite(t, hook, manip, dir, rewrite::packet)?;
        }
        Continue(())
    }

    /// Asks the nat table, and binds. A flow that is in the table already is
    /// past binding (its table came late), but its packets still meet the rules.
    fn decide(&mut self, t: &mut Transit<'_, '_>, hook: Hook, manip: Manip) -> Passage {
        let stage = stage(hook, TableKind::Nat);
        let range = match self.evaluate(t, hook, TableKind::Nat) {
            Ruling::Drop => return Break(DropReason::Rule(stage)),
            Ruling::Proxy(offer) => return Break(self.proxy(t, &offer, stage)),
            Ruling::Reject(_) | Ruling::Accept => None,
            Ruling::Translate(action) => match self.range(t, hook, action) {
                Some(range) => Some(range),
                None => return Break(DropReason::NatFailed(stage)),
            },
        };
        let Tracked::Draft(draft, _) = &mut t.tracked else { return Continue(()) };
        let before = draft.0.reply;
        let Engine { table, events, rng, stats, outlook, .. } = &mut *self.engine;
        let (now, found) = (self.now, &mut stats.found);
        let mut binder = Binder { table, events, rng, found, now, is_steered: true };
        if let Some((manip, range)) = range {
            binder.bind(&mut draft.0, &range, manip);
        }
        if !draft.0.is(manip.done_bit()) {
            binder.bind_null(&mut draft.0, manip);
        }
        let is_homeless = binder.is_homeless(&draft.0, manip);
        let after = draft.0.reply;
        if draft.0.is(Status::SRC_NAT) {
            outlook.learn(after.dst);
        }
        if before != after {
            self.observer.note(|| Step::NatBound { before, after });
        }
        if is_homeless {
            return Break(DropReason::NatFailed(stage));
        }
        Continue(())
    }

    /// What a rule's target means for this packet. `None`: there is no address
    /// to translate to, and the packet is dropped.
    fn range(
        &mut self,
        t: &mut Transit<'_, '_>,
        hook: Hook,
        action: NatAction,
    ) -> Option<(Manip, NatRange)> {
        match action {
            NatAction::Range(manip, range) => Some((manip, range)),
            NatAction::Masquerade(range) => self.masquerade(t, range),
            NatAction::Redirect(range) => {
                let addr = self.own_address(t, hook)?;
                Some((Manip::Dst, NatRange { addrs: Some((addr, addr)), ..range }))
            }
            NatAction::Netmap(network) => {
                let manip = manip_at(hook);
                let addr = match manip {
                    Manip::Src => t.headers.src,
                    Manip::Dst => t.headers.dst,
                };
                let addr = transplant(addr, &network);
                Some((manip, NatRange { addrs: Some((addr, addr)), ..NatRange::default() }))
            }
        }
    }

    /// The address of the outgoing interface; the flow remembers the interface,
    /// because it cannot leave by another one. Linux: `nf_nat_masquerade_ipv4`.
    fn masquerade(&self, t: &mut Transit<'_, '_>, range: NatRange) -> Option<(Manip, NatRange)> {
        let port = t.out_port?;
        let addr = self.fib.source_for(t.headers.dst, Some(port))?;
        if let Tracked::Draft(draft, _) = &mut t.tracked {
            draft.0.masquerade_port = Some(port);
        }
        Some((Manip::Src, NatRange { addrs: Some((addr, addr)), ..range }))
    }

    /// REDIRECT: the first address of the interface it came in by; loopback for
    /// the host's own packets.
    fn own_address(&self, t: &Transit<'_, '_>, hook: Hook) -> Option<IpAddr> {
        if hook == Hook::Output {
            return Some(match t.headers.src {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        self.fib.primary_address(t.packet.in_port?, t.headers.family)
    }

    /// A masqueraded flow whose packets are routed another way now has the wrong
    /// address: it is deleted, and its next packet begins anew.
    fn check_port(&mut self, t: &Transit<'_, '_>, hook: Hook, dir: Direction) -> Passage {
        let Tracked::Flow(held, _) = &t.tracked else { return Continue(()) };
        let engine = &mut *self.engine;
        let masqueraded = held.flow.masquerade_port;
        let moved = masqueraded.is_some() && masqueraded != t.out_port;
        if hook == Hook::Postrouting && dir == Direction::Original && moved {
            engine.table.kill_as(held.id, &held.flow, self.now, &mut engine.events);
            return Break(DropReason::NatPortChanged);
        }
        Continue(())
    }

    fn rewrite_error(
        &mut self,
        t: &mut Transit<'_, '_>,
        hook: Hook,
        manip: Manip,
        dir: Direction,
    ) -> Passage {
        if let Some(plan) = &mut t.plan {
            pull_quote(plan, t.packet.bytes, &t.headers);
        }
        self.rewrite(t, hook, manip, dir, rewrite::icmp_error)?;
        // It was right. Linux notes that (`skb->ip_summed`), where conntrack has verified it before; and of the host's own
        // in any case. What the mangle table makes of addresses afterwards (`SNPT`) is not held against it.
        let is_noted =
            hook == Hook::Output || hook == Hook::Prerouting && self.engine.limits.checksum;
        if is_noted && t.headers.checksum.is_in_doubt() {
            t.headers.checksum = Checksum::Verified;
        }
        Continue(())
    }

    fn rewrite(
        &mut self,
        t: &mut Transit<'_, '_>,
        hook: Hook,
        manip: Manip,
        dir: Direction,
        how: Rewrite,
    ) -> Passage {
        let before = (t.headers.src, t.headers.dst);
        let mut headers = t.headers;
        let Some(flow) = t.tracked.flow() else { return Continue(()) };
        if how(t.packet.bytes, &mut headers, flow, manip, dir).is_err() {
            return Break(DropReason::NatFailed(stage(hook, TableKind::Nat)));
        }
        t.headers = headers;
        let (src, dst) = (headers.src, headers.dst);
        if before != (src, dst) {
            self.observer.note(|| Step::Rewritten { src, dst });
        }
        Continue(())
    }
}

fn manip_at(hook: Hook) -> Manip {
    match hook {
        Hook::Prerouting | Hook::Output => Manip::Dst,
        Hook::Input | Hook::Forward | Hook::Postrouting => Manip::Src,
    }
}

fn is_icmp(t: &Transit<'_, '_>) -> bool {
    matches!(t.headers.proto, proto::ICMP | proto::ICMPV6)
}

fn is_established(info: CtInfo) -> bool {
    matches!(info, CtInfo::Established(_))
}

/// NETMAP: the network's bits, with the host's own.
fn transplant(addr: IpAddr, network: &Network) -> IpAddr {
    match (addr, network.address, network.mask) {
        (IpAddr::V4(addr), IpAddr::V4(net), IpAddr::V4(mask)) => {
            let mask = mask.to_bits();
            IpAddr::V4(Ipv4Addr::from_bits(net.to_bits() & mask | addr.to_bits() & !mask))
        }
        (IpAddr::V6(addr), IpAddr::V6(net), IpAddr::V6(mask)) => {
            let mask = mask.to_bits();
            IpAddr::V6(Ipv6Addr::from_bits(net.to_bits() & mask | addr.to_bits() & !mask))
        }
        (addr, ..) => addr,
    }
}
