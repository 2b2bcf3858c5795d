//! The targets after which the packet goes on: what they change, and how they say it.
//!
//! Targets that end the table are a [`Ruling`](super::eval::Ruling) each and need no code here.

use alloc::string::String;
use core::fmt;

use super::ast::{
    ConnmarkOperation, ConnmarkTarget, CtDirection, CtTarget, CtZone, LogTarget, MarkTarget, Shift,
    ZoneId,
};
use super::eval::{RuleContext, Template};
use super::program::Change;
use crate::event::{EventMask, ExpectMask};
use crate::fib::Fib;
use crate::flow::Flow;
use crate::helper::Helper;
use crate::limits::PolicyId;
use crate::log::Sighting;
use crate::packet::CtInfo;
use crate::tuple::{Zone, ZoneScope};

/// CT and NOTRACK.
#[derive(Clone, Copy)]
pub(super) enum CtTemplate {
    /// The packet is not to be tracked.
    Notrack,
    /// It is to be tracked so.
    Track {
        /// The zone; its number is replaced if `by_mark`.
        zone: Zone,
        /// The zone's number is the packet's mark.
        by_mark: bool,
        /// The events to announce, of the flow and of its expectations.
        events: Option<(EventMask, ExpectMask)>,
        /// The helper to attach.
        helper: Option<Helper>,
        /// The timeouts to use, as an index into the policies that rules name.
        policy: Option<usize>,
    },
}

impl CtTemplate {
    /// What a CT target says of zone, events and helper; `policy` is that of its timeouts.
    pub(super) fn new(ct: &CtTarget, policy: Option<usize>) -> Self {
        if ct.notrack {
            return Self::Notrack;
        }
        let chosen = !ct.events.is_empty() || !ct.expect_events.is_empty();
        Self::Track {
            zone: ct.zone.map(zone).unwrap_or_default(),
            by_mark: ct.zone.is_some_and(|zone| zone.id == ZoneId::Mark),
            // With --expevents alone the mask of flow events is empty: none is announced.
            events: chosen.then(|| {
                let flows = EventMask::from_bits_truncate(ct.events.bits());
                (flows, ExpectMask::from_bits_truncate(ct.expect_events.bits()))
            }),
            helper: ct.helper.as_ref().and_then(|name| Helper::of_name(name)),
            policy,
        }
    }

    /// Attaches the template, or the word not to track, unless the packet has one or a flow already. Rules behind
    /// it in the table see the packet as UNTRACKED, or as NEW: a template is a flow to them. Returns whether the
    /// zone's number is yet to be taken from the mark. `policies` are those that rules name; one that isn't there is none.
    pub(super) fn attach<F: Fib>(
        &self,
        policies: &[Option<PolicyId>],
        ctx: &mut RuleContext<'_, F>,
    ) -> bool {
        if ctx.has_entry || ctx.template.is_some() || *ctx.untracked {
            return false;
        }
        match *self {
            Self::Notrack => {
                *ctx.untracked = true;
                ctx.info = CtInfo::Untracked;
                false
            }
            Self::Track { zone, by_mark, events, helper, policy } => {
                let (events, expect_events) = events.unzip();
                *ctx.template = Some(Template {
                    zone,
                    events,
                    expect_events,
                    helper,
                    policy: policy.and_then(|at| *policies.get(at)?),
                    is_proxied: false,
                });
                ctx.info = CtInfo::New;
                by_mark
            }
        }
    }
}

fn zone(zone: CtZone) -> Zone {
    let id = match zone.id {
        ZoneId::Id(id) => id,
        ZoneId::Mark => 0,
    };
    let scope = match zone.direction {
        None => ZoneScope::Both,
        Some(CtDirection::Original) => ZoneScope::Original,
        Some(CtDirection::Reply) => ZoneScope::Reply,
    };
    Zone { id, scope }
}

impl Change {
    /// Does it.
    pub(super) fn apply<F: Fib>(&self, ctx: &mut RuleContext<'_, F>) {
        match self {
            Self::Log(target) => log(target, ctx),
            Self::Mark(target) => *ctx.mark = marked(*ctx.mark, target),
            Self::Connmark(target) => {
                if let Some(flow) = &mut ctx.flow {
                    connmark(target, flow, ctx.mark);
                }
            }
        }
    }

    /// Says what it did to a packet whose mark is now `mark`.
    pub(super) fn describe(&self, mark: u32) -> String {
        match self {
            Self::Log(target) => alloc::format!("LOG {:?}", target.prefix),
            Self::Mark(_) => alloc::format!("MARK {mark:#x}"),
            Self::Connmark(target) => match target.operation {
                ConnmarkOperation::Set { value, mask } => {
                    alloc::format!("CONNMARK set {value:#x}/{mask:#x}")
                }
                ConnmarkOperation::Save { .. } => alloc::format!("CONNMARK save {mark:#x}"),
                ConnmarkOperation::Restore { .. } => alloc::format!("CONNMARK restore {mark:#x}"),
            },
        }
    }
}

/// LOG.
pub(super) fn log<F: Fib>(target: &LogTarget, ctx: &mut RuleContext<'_, F>) {
    let len = ctx.headers.len.min(ctx.bytes.len());
    let line = Sighting {
        datagram: &ctx.bytes[..len],
        family: ctx.headers.family,
        link: ctx.link,
        in_name: ctx.in_port.map(|_| ctx.in_name()),
        out_name: ctx.out_port.map(|_| ctx.out_name()),
        mark: *ctx.mark,
    }
    .line(target);
    ctx.log.push(line);
}

fn marked(mark: u32, target: &MarkTarget) -> u32 {
    (mark & !target.mask) ^ target.value
}

fn connmark(target: &ConnmarkTarget, flow: &mut Flow, packet_mark: &mut u32) {
    let shift = target.shift;
    match target.operation {
        ConnmarkOperation::Set { value, mask } => {
            set_connmark(flow, shifted((flow.mark & !mask) ^ value, shift));
        }
        ConnmarkOperation::Save { nfmask, ctmask } => {
            set_connmark(flow, (flow.mark & !ctmask) ^ shifted(*packet_mark & nfmask, shift));
        }
        ConnmarkOperation::Restore { nfmask, ctmask } => {
            *packet_mark = (*packet_mark & !nfmask) ^ shifted(flow.mark & ctmask, shift);
        }
    }
}

fn set_connmark(flow: &mut Flow, mark: u32) {
    if flow.mark != mark {
        flow.mark = mark;
        flow.note(EventMask::MARK);
    }
}

/// Bits that are shifted out are lost.
fn shifted(mark: u32, shift: Option<Shift>) -> u32 {
    match shift {
        None => mark,
        Some(Shift::Left(bits)) => mark.checked_shl(bits.into()).unwrap_or(0),
        Some(Shift::Right(bits)) => mark.checked_shr(bits.into()).unwrap_or(0),
    }
}

impl fmt::Display for CtTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notrack => f.write_str("NOTRACK"),
            Self::Track { helper: Some(helper), .. } => write!(f, "CT helper {}", helper.name()),
            Self::Track { by_mark: true, .. } => f.write_str("CT zone mark"),
            Self::Track { zone, .. } => write!(f, "CT zone {}", zone.id),
        }
    }
}

#[cfg(test)]
mod tests;
