//! The less frequent targets, one file for each or for a few alike: how it is read and printed, where it may stand,
//! and what it does.
//!
//! As with [`conditions`](super::conditions), the list below is the only place that knows them all. An effect changes
//! the packet or tells of it, and most let it go on.

mod classify;
mod congestion;
mod hmark;
mod hops;
mod nflog;
mod nfqueue;
mod npt;
mod segment;
mod set;
mod strip;
mod synproxy;
mod tcpmss;
mod tos;
mod tproxy;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use tidegate_wire::Family;

use super::ast::{Hook, Rule, TableKind};
use super::check::Setting;
use super::conditions::Memory;
use super::error::{CheckError, Fault};
use super::eval::{RuleContext, Ruling};
use super::extension::extensions;
use super::text::Parsed;
use super::text::clause::Clause;
use super::text::options::OptionSpec;
use crate::fib::Fib;

pub(crate) use self::tcpmss::ROOM;

/// A target, from its words to what it does.
pub(super) trait Effect: Sized {
    /// The options that it has.
    const OPTIONS: &'static [OptionSpec];

    /// Reads its options.
    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self>;

    /// Writes them as iptables-save does, each with a blank before it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Whether it may stand there.
    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault>;

    /// Does it. `Some` ends the table.
    fn apply<F: Fib>(&self, memory: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling>;

    /// The sets that it names.
    fn sets(&self) -> impl Iterator<Item = &str> {
        core::iter::empty()
    }

    /// Whether it may make a TCP SYN longer.
    const LENGTHENS: bool = false;
}

/// A less frequent target with its options, known by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetExtension(pub(in crate::rules) Kind);

impl TargetExtension {
    /// The word after `-j`.
    pub fn name(&self) -> &'static str {
        self.0.name().word()
    }

    /// The sets that it names.
    pub(super) fn set_names(&self) -> Vec<&str> {
        self.0.sets()
    }
}

/// It may only be in the mangle table.
fn only_mangle(setting: Setting, word: &str) -> Result<(), Fault> {
    match setting.table {
        TableKind::Mangle => Ok(()),
        _ => Err(Fault::new(word, CheckError::Table { only: TableKind::Mangle })),
    }
}

/// Where a packet's destination may still be changed.
const ARRIVALS: [Hook; 2] = [Hook::Prerouting, Hook::Output];

macro_rules! effects {
    ($($variant:ident($type:ty): $word:literal in $families:ident,)*) => {
        extensions! { Effect: $($variant($type): $word in $families,)* }

        impl Kind {
            /// See [`Effect::apply`].
            pub(super) fn apply<F: Fib>(
                &self,
                memory: &mut Memory,
                ctx: &mut RuleContext<'_, F>,
            ) -> Option<Ruling> {
                match self { $(Self::$variant(one) => one.apply(memory, ctx)),* }
            }

            /// See [`Effect::sets`].
            pub(super) fn sets(&self) -> Vec<&str> {
                match self { $(Self::$variant(one) => one.sets().collect()),* }
            }

            /// See [`Effect::LENGTHENS`].
            pub(super) fn lengthens(&self) -> bool {
                match self { $(Self::$variant(_) => <$type as Effect>::LENGTHENS),* }
            }
        }
    };
}

effects! {
    Checksum(classify::Checksum): "CHECKSUM" in Both,
    Classify(classify::Classify): "CLASSIFY" in Both,
    Dnpt(npt::Npt<false>): "DNPT" in V6,
    Dscp(tos::Dscp): "DSCP" in Both,
    Ecn(congestion::Ecn): "ECN" in V4,
    Hl(hops::Hl): "HL" in V6,
    Hmark(hmark::Hmark): "HMARK" in Both,
    Nflog(nflog::Nflog): "NFLOG" in Both,
    Nfqueue(nfqueue::Nfqueue): "NFQUEUE" in Both,
    Set(set::ChangeSet): "SET" in Both,
    Snpt(npt::Npt<true>): "SNPT" in V6,
    Synproxy(synproxy::Synproxy): "SYNPROXY" in Both,
    Tcpmss(tcpmss::TcpMss): "TCPMSS" in Both,
    Tcpoptstrip(strip::Strip): "TCPOPTSTRIP" in Both,
    Tos(tos::Tos): "TOS" in Both,
    Tproxy(tproxy::Tproxy): "TPROXY" in Both,
    Trace(classify::Trace): "TRACE" in Both,
    Ttl(hops::Ttl): "TTL" in V4,
}

impl fmt::Display for Kind {
    /// The name and the options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().word())?;
        self.write(f)
    }
}

impl Kind {
    /// Whether it stands before servers; see [`Programs::proxies`](super::Programs::proxies).
    pub(super) fn proxies(&self) -> bool {
        matches!(self, Self::Synproxy(_))
    }

    /// What `explain` says of it.
    pub(super) fn describe(&self) -> String {
        alloc::format!("{self}")
    }
}
