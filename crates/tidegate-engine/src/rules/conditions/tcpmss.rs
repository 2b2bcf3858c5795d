//! `-m tcpmss`: the maximum segment size that a TCP segment offers. Linux: `xt_tcpmss`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;
use tidegate_wire::packet::tcp;

use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::{Protocol, Rule, Term};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::error::Fault;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};

/// `-m tcpmss`; the rule has `-p tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct TcpMss(Term<Span>);

impl Condition for TcpMss {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--mss"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.need("--mss", |word| Span::parse(word, 65_535)).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--mss", &self.0, |f, span| span.write(f))
    }

    fn check(&self, _: Setting, rule: &Rule) -> Result<(), Fault> {
        need_protocol(rule, &[Protocol::TCP], "tcpmss", "-p tcp")
    }

    fn start(&self) {}

    /// Without the option it fails, or holds if negated.
    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let Some(options) = options(ctx.upper_layer()) else { return Fit::Unreadable };
        let offered = offered(options);
        self.0.holds(offered.is_some_and(|mss| self.0.value.contains(mss.into()))).into()
    }
}

/// The bytes of a segment's options; `None` if the header isn't there in full.
fn options(segment: &[u8]) -> Option<&[u8]> {
    let words = segment.get(12)? >> 4;
    segment.get(tcp::HEADER_LEN..4 * usize::from(words))
}

/// The kernel's search: it goes on behind an end-of-list option and steps over a length of 0 by one.
fn offered(options: &[u8]) -> Option<u16> {
    let mut left = options;
    loop {
        match left {
            [2, 4, high, low, ..] => return Some(u16::from_be_bytes([*high, *low])),
            [] | [_] => return None,
            [0 | 1, rest @ ..] => left = rest,
            [_, len, ..] => left = left.get(usize::from(*len).max(1)..)?,
        }
    }
}
