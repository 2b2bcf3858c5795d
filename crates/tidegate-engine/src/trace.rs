//! `explain`: every step that one packet took.
//!
//! The path is generic over an [`Observer`]; with `()` nothing is recorded and
//! the compiler removes the calls, so that tracing costs nothing when it is off.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::fib::Route;
use crate::packet::CtInfo;
use crate::rules::{Hook, TableKind};
use crate::tuple::Tuple;
use crate::verdict::{Onward, Verdict};

/// Something that watches a packet's path.
pub trait Observer {
    /// Whether it wants to hear anything at all.
    const WATCHES: bool;

    /// Takes note of a step; `step` is called only by observers that care.
    fn note(&mut self, step: impl FnOnce() -> Step);
}

impl Observer for () {
    const WATCHES: bool = false;

    fn note(&mut self, _: impl FnOnce() -> Step) {}
}

/// All steps of one packet, in order.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Trace {
    /// Whether a TRACE rule met the packet: somebody wants to read this.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let is_trace = |step: &Step| matches!(step, Step::Rule { action, .. } if action == "TRACE");
        self.steps.iter().any(is_trace)
    }
}

impl Observer for Trace {
    const WATCHES: bool = true;

    fn note(&mut self, step: impl FnOnce() -> Step) {
        self.steps.push(step());
    }
}

/// One step on a packet's path.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The packet enters a hook.
    Hook(Hook),
    /// A packet of the engine's own making starts at OUTPUT; the steps up to its
    /// verdict are its own.
    Generated(String),
    /// The fragment completed a datagram, which goes on.
    Reassembled {
        /// Its L3 length in bytes.
        len: usize,
    },
    /// Conntrack looked it up and judged it.
    Conntrack {
        /// The tuple that was looked up.
        tuple: Option<Tuple>,
        /// The flow before, as `conntrack -L` would print it.
        before: Option<String>,
        /// The flow after.
        after: Option<String>,
        /// The state that rules see.
        info: CtInfo,
        /// The tracker's remark, such as why a packet is INVALID.
        remark: Option<String>,
    },
    /// A rule matched.
    Rule {
        /// The table.
        table: TableKind,
        /// The chain's name.
        chain: String,
        /// Its number in the chain, from 1.
        number: u32,
        /// Its line in the rules file.
        line: u32,
        /// What it did.
        action: String,
    },
    /// A chain ended: a built-in one by its policy, a user one by returning.
    ChainEnd {
        /// The table.
        table: TableKind,
        /// The chain's name.
        chain: String,
        /// `ACCEPT`, `DROP` or `RETURN`.
        policy: &'static str,
    },
    /// NAT was decided for the flow.
    NatBound {
        /// What the flow's reply tuple was.
        before: Tuple,
        /// What it is now.
        after: Tuple,
    },
    /// The packet was rewritten.
    Rewritten {
        /// Addresses and ports after it.
        src: IpAddr,
        /// Addresses and ports after it.
        dst: IpAddr,
    },
    /// A route was found.
    Routed(Route),
    /// The flow entered the table.
    Confirmed,
    /// The end.
    Verdict(Verdict),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hook(hook) => write!(f, "{}", hook.name()),
            Self::Generated(what) => write!(f, "own packet: {what}"),
            Self::Reassembled { len } => write!(f, "reassembled: {len} bytes"),
            Self::Conntrack { .. } => self.fmt_conntrack(f),
            Self::Rule { table, chain, number, line, action } => {
                write!(f, "  {} {chain} rule {number} (line {line}): {action}", table.name())
            }
            Self::ChainEnd { table, chain, policy } => {
                write!(f, "  {} {chain} end: {policy}", table.name())
            }
            Self::NatBound { before, after } => {
                write!(f, "  nat decided: reply {before} becomes {after}")
            }
            Self::Rewritten { src, dst } => write!(f, "  nat rewrote: {src} -> {dst}"),
            Self::Routed(route) => write!(f, "  route: {route:?}"),
            Self::Confirmed => write!(f, "  conntrack: confirmed"),
            Self::Verdict(Verdict::Drop(reason)) => write!(f, "verdict: drop ({reason})"),
            Self::Verdict(Verdict::Held) => write!(f, "verdict: held for reassembly"),
            Self::Verdict(Verdict::Queued(Onward::Forward)) => {
                write!(f, "verdict: forward, in other pieces")
            }
            Self::Verdict(Verdict::Local | Verdict::Queued(Onward::Local)) => {
                write!(f, "verdict: local delivery")
            }
            Self::Verdict(Verdict::Forward { next_hop, .. }) => {
                write!(f, "verdict: forward via {next_hop}")
            }
        }
    }
}

impl Step {
    fn fmt_conntrack(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Conntrack { tuple, before, after, info, remark } = self else { return Ok(()) };
        write!(f, "  conntrack: {}", info.name())?;
        if let Some(tuple) = tuple {
            write!(f, ", looked up {tuple}")?;
        }
        if let Some(remark) = remark {
            write!(f, " ({remark})")?;
        }
        match before {
            Some(before) => write!(f, "\n    before: {before}")?,
            None => write!(f, "\n    before: no entry")?,
        }
        match after {
            Some(after) => write!(f, "\n    after:  {after}"),
            None => Ok(()),
        }
    }
}
