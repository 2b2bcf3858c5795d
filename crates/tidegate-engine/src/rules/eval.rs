//! A packet's way through one table: what it is told, and what it rules.
//!
//! The semantics are those of Linux's x_tables (`ipt_do_table`, `ip6t_do_table`): a rule that matches counts the
//! packet, whatever its target; a jump comes back behind its rule and a goto does not; a return from a built-in chain
//! meets its policy; a match that would have to look at bytes that aren't there drops the packet without counting it.
//!
//! [`run`] changes nothing but counters, limits and what [`RuleContext`] lends it mutably. It knows no hook order: that
//! is the path's.

use core::fmt;

use tidegate_wire::Headers;

use super::ast::{Counters, Hook, LogOptions, LogTarget, Network, Policy, RejectWith};
use super::conditions::Memory;
use super::matches::{Fit, Remembered, Words, check};
use super::names;
use super::program::{Action, Code, Program, State};
use crate::defrag::FragmentPlan;
use crate::event::{EventMask, ExpectMask};
use crate::fib::{Fib, PortId};
use crate::flow::Flow;
use crate::helper::Helper;
use crate::limits::PolicyId;
use crate::log::LogQueue;
use crate::nat::{Manip, NatRange};
use crate::packet::{CtInfo, LinkHeader, Owner};
use crate::path::tuple_in;
use crate::rand::Rng;
use crate::synproxy::Offer;
use crate::table::FlowTable;
use crate::time::{Instant, WallClock};
use crate::trace::Observer;
use crate::tuple::{Tuple, Zone};

/// What the path hands to a table's chain at a hook.
pub(crate) struct RuleContext<'a, F: Fib> {
    /// Where the packet is.
    pub(crate) hook: Hook,
    /// The datagram, from the IP header on; link padding may follow it.
    pub(crate) bytes: &'a mut [u8],
    /// What is in it.
    pub(crate) headers: &'a mut Headers,
    /// How it came, if in fragments. What is rewritten has to be in one piece.
    pub(crate) plan: Option<&'a mut FragmentPlan>,
    /// The link header it came with.
    pub(crate) link: Option<LinkHeader>,
    /// The packet mark.
    pub(crate) mark: &'a mut u32,
    /// The port it came in by, for `-i`.
    pub(crate) in_port: Option<PortId>,
    /// The port it will leave by, for `-o`.
    pub(crate) out_port: Option<PortId>,
    /// Its state; `Invalid` without an entry, which includes all of the time before conntrack. CT and NOTRACK change
    /// it for the rules behind them.
    pub(crate) info: CtInfo,
    /// Its flow, if it has one.
    pub(crate) flow: Option<&'a mut Flow>,
    /// CT's word on how to track it.
    pub(crate) template: &'a mut Option<Template>,
    /// NOTRACK's word not to.
    pub(crate) untracked: &'a mut bool,
    /// A flow is attached already: CT and NOTRACK come too late.
    pub(crate) has_entry: bool,
    /// Names of ports, types of addresses.
    pub(crate) fib: &'a F,
    /// The time.
    pub(crate) now: Instant,
    /// Where LOG and NFLOG write.
    pub(crate) log: &'a mut LogQueue,
    /// The flows of the table.
    pub(crate) flows: &'a FlowTable,
    /// For rules that draw lots.
    pub(crate) rng: &'a mut Rng,
    /// What the clock on the wall says.
    pub(crate) wall: WallClock,
    /// Whose socket sent it, if it is the host's own and the caller knows.
    pub(crate) owner: Option<&'a Owner>,
    /// TRACE's word to tell every rule that it meets.
    pub(crate) traced: &'a mut bool,
}

impl<F: Fib> RuleContext<'_, F> {
    /// The name of the port it came in by; empty if there is none.
    pub(super) fn in_name(&self) -> &str {
        self.in_port.map_or("", |port| &self.fib.port(port).name)
    }

    /// The name of the port it will leave by; empty if there is none.
    pub(super) fn out_name(&self) -> &str {
        self.out_port.map_or("", |port| &self.fib.port(port).name)
    }

    /// The datagram without what pads it.
    pub(super) fn datagram(&self) -> &[u8] {
        &self.bytes[..self.headers.len.min(self.bytes.len())]
    }

    /// The upper layer with its header; empty if there is none.
    pub(super) fn upper_layer(&self) -> &[u8] {
        self.headers.payload(&*self.bytes)
    }

    /// Its tuple, whether it has a flow or not.
    pub(super) fn tuple(&self) -> Option<Tuple> {
        tuple_in(&*self.bytes, self.headers)
    }
}

/// What CT wants of the flow that the packet may begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The zone to look the packet up in, and to enter its flow into.
    pub zone: Zone,
    /// The events that may be announced; `None` for all.
    pub events: Option<EventMask>,
    /// The events of its expectations that may be announced; `None` for all.
    pub expect_events: Option<ExpectMask>,
    /// The helper that is to read it.
    pub helper: Option<Helper>,
    /// The timeouts to use; `None` for those of the settings.
    pub policy: Option<PolicyId>,
    /// The flow is behind SYNPROXY.
    pub(crate) is_proxied: bool,
}

/// What a table makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// It goes on.
    Accept,
    /// It ends here.
    Drop,
    /// It ends here and is answered.
    Reject(RejectWith),
    /// It ends here: SYNPROXY answers in its place, or sends it on as another.
    Proxy(Offer),
    /// It goes on, and so shall its flow be translated.
    Translate(NatAction),
}

/// How a flow shall be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NatAction {
    /// SNAT or DNAT.
    Range(Manip, NatRange),
    /// To the outgoing port's address; the range has no addresses.
    Masquerade(NatRange),
    /// To the host itself; the range has no addresses.
    Redirect(NatRange),
    /// To the same host in another network.
    Netmap(Network),
}

/// Takes the packet through the table's chain at its hook. `Accept` if there is none.
pub(super) fn run<F: Fib>(
    program: &mut Program,
    memory: &mut Memory,
    ctx: &mut RuleContext<'_, F>,
    observer: &mut impl Observer,
) -> Ruling {
    let Program { code, state, returns } = program;
    let code: &Code = code;
    let Some(base) = code.base(ctx.hook) else { return Ruling::Accept };
    let (mut at, policy) = (base.entries.start, base.tail());
    let words = Words::of(ctx, code.asks_names);
    let mut zone_by_mark = false;
    returns.clear();
    let ruling = loop {
        match meet((code, state), at, (&words, &mut *memory), ctx) {
            Fit::Holds => {}
            Fit::Fails => {
                at += 1;
                continue;
            }
            Fit::Unreadable => break Ruling::Drop,
        }
        if *ctx.traced {
            trace(code, at, ctx);
        }
        let mut ended = None;
        match &code.entries[at].action {
            Action::Track(template) => zone_by_mark |= template.attach(&state.policies, ctx),
            Action::Change(change) => change.apply(ctx),
            Action::Effect(effect) => ended = effect.apply(memory, ctx),
            _ => {}
        }
        observer.note(|| code.step(at, *ctx.mark));
        if let Some(ruling) = ended {
            break ruling;
        }
        at = match code.entries[at].action {
            Action::Count | Action::Track(_) | Action::Change(_) | Action::Effect(_) => at + 1,
            Action::Jump(chain) => {
                returns.push(at + 1);
                code.chains[chain].entries.start
            }
            Action::Goto(chain) => code.chains[chain].entries.start,
            Action::Return | Action::End(None) => returns.pop().unwrap_or(policy),
            Action::End(Some(Policy::Accept)) => break Ruling::Accept,
            Action::End(Some(Policy::Drop)) => break Ruling::Drop,
            Action::Rule(ruling) => break ruling,
        };
    };
    if zone_by_mark {
        settle_zone(ctx);
    }
    ruling
}

/// Whether an entry's checks hold; if they do, the entry has counted the packet.
fn meet<F: Fib>(
    (code, state): (&Code, &mut State),
    at: usize,
    (words, memory): (&Words, &mut Memory),
    ctx: &mut RuleContext<'_, F>,
) -> Fit {
    let State { counters, buckets, extensions, .. } = state;
    let mut remembered = Remembered { buckets, extensions, memory };
    for condition in code.checks_of(at) {
        let fit = check(condition, words, &mut remembered, ctx);
        if fit != Fit::Holds {
            return fit;
        }
    }
    count(&mut counters[at], ctx.headers.len);
    Fit::Holds
}

/// Tells a rule that a traced packet meets, in the kernel's words.
fn trace<F: Fib>(code: &Code, at: usize, ctx: &mut RuleContext<'_, F>) {
    let target = LogTarget {
        level: LogTarget::DEFAULT_LEVEL,
        prefix: code.place(at),
        options: LogOptions::TCP_SEQUENCE | LogOptions::TCP_OPTIONS | LogOptions::IP_OPTIONS,
    };
    super::targets::log(&target, ctx);
}

/// Adds a packet.
pub(super) fn count(counters: &mut Counters, bytes: usize) {
    counters.packets += 1;
    counters.bytes += bytes as u64;
}

/// `CT --zone mark` means the mark that the packet has when conntrack sees it: at the table's end.
fn settle_zone<F: Fib>(ctx: &mut RuleContext<'_, F>) {
    let id = *ctx.mark as u16;
    if let Some(template) = ctx.template {
        template.zone.id = id;
    }
}

impl fmt::Display for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("ACCEPT"),
            Self::Drop => f.write_str("DROP"),
            Self::Reject(with) => write!(f, "REJECT {}", names::reject_name(*with)),
            Self::Proxy(_) => f.write_str("SYNPROXY"),
            Self::Translate(action) => action.fmt(f),
        }
    }
}

impl fmt::Display for NatAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, range) = match self {
            Self::Range(Manip::Src, range) => ("SNAT", range),
            Self::Range(Manip::Dst, range) => ("DNAT", range),
            Self::Masquerade(range) => ("MASQUERADE", range),
            Self::Redirect(range) => ("REDIRECT", range),
            Self::Netmap(Network { address, mask }) => {
                return write!(f, "NETMAP {address}/{mask}");
            }
        };
        f.write_str(name)?;
        if let Some((first, last)) = range.addrs {
            write!(f, " {first}")?;
            if last != first {
                write!(f, "-{last}")?;
            }
        }
        match range.ports {
            Some((first, last)) if first == last => write!(f, " port {first}"),
            Some((first, last)) => write!(f, " ports {first}-{last}"),
            None => Ok(()),
        }
    }
}

mod header;
#[cfg(test)]
pub(super) mod scene;
#[cfg(test)]
pub(super) mod tests;
