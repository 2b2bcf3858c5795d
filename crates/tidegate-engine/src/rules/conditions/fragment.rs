//! `-m frag`: the IPv6 fragment header. Linux: `ip6t_frag`.
//!
//! Where datagrams are put together before the rules, only those that came whole with a fragment header have one.

use core::fmt::{self, Formatter};

use tidegate_wire::{Family, proto};

use super::extension_headers::find;
use super::ipsec::indices;
use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term};
use crate::rules::text::{Parsed, value};

/// `-m frag`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Frag {
    id: Option<Term<Span>>,
    /// The kernel never looks at it.
    length: Option<Term<u32>>,
    reserved: bool,
    first: bool,
    /// Whether more must follow, or none may.
    more: Option<bool>,
}

impl Condition for Frag {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        term(&["--fragid"]),
        term(&["--fraglen"]),
        flag(&["--fragres"]),
        flag(&["--fragfirst"]),
        flag(&["--fragmore"]),
        flag(&["--fraglast"]),
    ];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let more = clause.one_of(&["--fragmore", "--fraglast"])?;
        Ok(Self {
            id: indices(clause, "--fragid")?,
            length: clause.term("--fraglen", |word| value::number(word, 0, u32::MAX))?,
            reserved: clause.flag("--fragres"),
            first: clause.flag("--fragfirst"),
            more: more.map(|given| given.name() == "--fragmore"),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print::term(f, "--fragid", &self.id, |f, span| span.write(f))?;
        print::term(f, "--fraglen", &self.length, |f, length| write!(f, "{length}"))?;
        f.write_str(if self.reserved { " --fragres" } else { "" })?;
        f.write_str(if self.first { " --fragfirst" } else { "" })?;
        f.write_str(match self.more {
            Some(true) => " --fragmore",
            Some(false) => " --fraglast",
            None => "",
        })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        match find::<8>(ctx.datagram(), proto::IPV6_FRAGMENT) {
            Ok(header) => self.holds(header).into(),
            Err(fit) => fit,
        }
    }
}

impl Frag {
    /// => at least 8 bytes
    fn holds(&self, header: &[u8]) -> bool {
        let id = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let place = u16::from_be_bytes([header[2], header[3]]);
        self.id.is_none_or(|term| term.holds(term.value.contains(id)))
            && !(self.reserved && (header[1] != 0 || place & 6 != 0))
            && !(self.first && place & !7 != 0)
            && self.more.is_none_or(|more| more == (place & 1 != 0))
    }
}
