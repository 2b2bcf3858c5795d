//! The less frequent matches, one file for each or for a few alike: how it is read and printed, where it may stand,
//! and whether it holds.
//!
//! A match is a [`Condition`]. The list below is the only place that knows them all: it makes the names that the
//! reader finds, the values of the syntax tree ([`Kind`]), and their form in force ([`Live`]), in which each has what
//! it remembers for its rule at its side. What rules share by name (lists of `recent`, tables of `hashlimit`, sets)
//! is in [`Memory`].

mod addressed;
mod connbytes;
mod connlabel;
mod connlimit;
mod ecn;
mod extension_headers;
mod fragment;
mod hashlimit;
mod header_list;
mod hops;
mod ipsec;
mod length;
mod memory;
mod owner;
mod physdev;
mod pkttype;
mod policy;
mod quota;
mod recent;
mod routing;
mod rpfilter;
mod sctp;
mod set;
mod span;
mod statistic;
mod string;
mod tcpmss;
mod time;
pub(super) mod tos;
mod u32;

use core::fmt;

use tidegate_wire::Family;

use super::ast::Rule;
use super::check::Setting;
use super::error::Fault;
use super::eval::RuleContext;
use super::extension::extensions;
use super::matches::Fit;
use super::text::Parsed;
use super::text::clause::Clause;
use super::text::options::OptionSpec;
use crate::fib::Fib;

pub(crate) use self::addressed::prefix_of;
pub(super) use self::memory::Memory;
pub(super) use self::set::SetRef;

/// A match, from its words to what it says of a packet.
pub(super) trait Condition: Sized {
    /// What it remembers for its rule from packet to packet.
    type State: Clone;

    /// The options that it has.
    const OPTIONS: &'static [OptionSpec];

    /// Whether leaving it out leaves no trace: it remembers nothing, and never drops a packet on the spot.
    const PURE: bool;

    /// Reads its options.
    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self>;

    /// Writes them as iptables-save does, each with a blank before it.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Whether it may stand there.
    fn check(&self, _setting: Setting, _rule: &Rule) -> Result<(), Fault> {
        Ok(())
    }

    /// What a rule that was just loaded remembers.
    fn start(&self) -> Self::State;

    /// Whether it holds for a packet.
    fn fit<F: Fib>(
        &self,
        state: &mut Self::State,
        memory: &mut Memory,
        ctx: &mut RuleContext<'_, F>,
    ) -> Fit;
}

/// A less frequent match with its options, known by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchExtension(pub(in crate::rules) Kind);

impl MatchExtension {
    /// The word after `-m`.
    pub fn name(&self) -> &'static str {
        self.0.name().word()
    }

    /// The set that it names.
    pub(super) fn set_name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Set(one) => Some(one.set_name()),
            _ => None,
        }
    }
}

macro_rules! conditions {
    ($($variant:ident($type:ty): $word:literal in $families:ident,)*) => {
        extensions! { Condition: $($variant($type): $word in $families,)* }

        impl Kind {
            /// See [`Condition::PURE`].
            pub(super) fn is_pure(&self) -> bool {
                match self { $(Self::$variant(_) => <$type as Condition>::PURE),* }
            }

            /// Its form in force.
            pub(super) fn live(&self) -> Live {
                match self { $(Self::$variant(one) => Live::$variant(one.clone(), one.start())),* }
            }
        }

        /// A match in force, with what it remembers.
        #[derive(Clone)]
        pub(super) enum Live { $($variant($type, <$type as Condition>::State)),* }

        impl Live {
            /// See [`Condition::fit`].
            pub(super) fn fit<F: Fib>(
                &mut self,
                memory: &mut Memory,
                ctx: &mut RuleContext<'_, F>,
            ) -> Fit {
                match self { $(Self::$variant(one, state) => one.fit(state, memory, ctx)),* }
            }
        }
    };
}

conditions! {
    Ah(ipsec::Ah): "ah" in V4,
    Ah6(extension_headers::Ah): "ah" in V6,
    Connbytes(connbytes::ConnBytes): "connbytes" in Both,
    Connlabel(connlabel::ConnLabel): "connlabel" in Both,
    Connlimit(connlimit::ConnLimit): "connlimit" in Both,
    Dscp(tos::Dscp): "dscp" in Both,
    Dst(header_list::Options<false>): "dst" in V6,
    Ecn(ecn::Ecn): "ecn" in Both,
    Esp(ipsec::Esp): "esp" in Both,
    Frag(fragment::Frag): "frag" in V6,
    Hashlimit(hashlimit::HashLimit): "hashlimit" in Both,
    Hbh(header_list::Options<true>): "hbh" in V6,
    Hl(hops::Hl): "hl" in V6,
    Ipv6header(header_list::HeaderList): "ipv6header" in V6,
    Length(length::Length): "length" in Both,
    Owner(owner::Owner): "owner" in Both,
    Physdev(physdev::PhysDev): "physdev" in Both,
    Pkttype(pkttype::PktType): "pkttype" in Both,
    Policy(policy::Policy): "policy" in Both,
    Quota(quota::Quota): "quota" in Both,
    Recent(recent::Recent): "recent" in Both,
    Rpfilter(rpfilter::RpFilter): "rpfilter" in Both,
    Rt(routing::Rt): "rt" in V6,
    Sctp(sctp::Sctp): "sctp" in Both,
    Set(set::MatchSet): "set" in Both,
    Statistic(statistic::Statistic): "statistic" in Both,
    String(string::StringMatch): "string" in Both,
    Tcpmss(tcpmss::TcpMss): "tcpmss" in Both,
    Time(time::Time): "time" in Both,
    Tos(tos::Tos): "tos" in Both,
    Ttl(hops::Ttl): "ttl" in V4,
    U32(u32::U32): "u32" in Both,
}
