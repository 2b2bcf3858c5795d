//! `-m pkttype`: to whom the link layer delivered the packet. Linux: `xt_pkttype`.
//!
//! We know it from the Ethernet destination: broadcast, multicast or, whatever else it is, to us. A packet without an
//! Ethernet header, such as one of the host's own, is to us. What was meant for another host never comes here.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::packet::LinkHeader;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};

/// `-m pkttype`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct PktType(Term<Addressee>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addressee {
    Unicast,
    Broadcast,
    Multicast,
    OtherHost,
}

impl Addressee {
    /// With its second name.
    const NAMES: [(Self, &'static str, &'static str); 4] = [
        (Self::Unicast, "unicast", "host"),
        (Self::Broadcast, "broadcast", "bcast"),
        (Self::Multicast, "multicast", "mcast"),
        (Self::OtherHost, "otherhost", "otherhost"),
    ];

    fn parse(word: &str) -> Parsed<Self> {
        let named = |(_, name, short): &&(Self, &str, &str)| {
            name.eq_ignore_ascii_case(word) || short.eq_ignore_ascii_case(word)
        };
        let found = Self::NAMES.iter().find(named).map(|(kind, _, _)| *kind);
        found
            .ok_or_else(|| Fault::expected(word, Expected::Form("unicast, broadcast or multicast")))
    }

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _, _)| *kind == self).map_or("", |(_, name, _)| *name)
    }

    fn of(link: Option<LinkHeader>) -> Self {
        match link {
            Some(link) if link.dst.0 == [0xff; 6] => Self::Broadcast,
            Some(link) if link.dst.is_multicast() => Self::Multicast,
            _ => Self::Unicast,
        }
    }
}

impl Condition for PktType {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--pkt-type"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.need("--pkt-type", Addressee::parse).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--pkt-type", &self.0, |f, kind| f.write_str(kind.name()))
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        self.0.holds(Addressee::of(ctx.link) == self.0.value).into()
    }
}
