//! `-m esp`, and `-m ah` of IPv4: the security parameters index. Linux: `xt_esp`, `ipt_ah`.

use core::fmt::{self, Formatter};

use tidegate_wire::{Family, proto};

use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::{Protocol, Rule, Term};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::error::Fault;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};

/// `-m esp`; the rule has `-p esp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Esp(Option<Term<Span>>);

/// `-m ah`; the rule has `-p ah`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ah(Option<Term<Span>>);

/// The index lies behind so many bytes of a header of so many.
struct Place {
    at: usize,
    header: usize,
}

const IN_ESP: Place = Place { at: 0, header: 8 };
const IN_AH: Place = Place { at: 4, header: 12 };

/// An index, or a range of them; every one only if negated.
pub(super) fn indices(clause: &Clause<'_>, option: &'static str) -> Parsed<Option<Term<Span>>> {
    let span = clause.term(option, |word| Span::parse(word, u32::MAX))?;
    Ok(span.filter(|term| term.negated || term.value != EVERY))
}

const EVERY: Span = Span { first: 0, last: u32::MAX };

fn fit<F: Fib>(wanted: &Option<Term<Span>>, place: &Place, ctx: &RuleContext<'_, F>) -> Fit {
    if ctx.headers.fragment.is_some_and(|fragment| !fragment.is_first()) {
        return Fit::Fails;
    }
    let Some(header) = ctx.upper_layer().get(..place.header) else { return Fit::Unreadable };
    let index = header[place.at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    wanted.is_none_or(|term| term.holds(term.value.contains(index))).into()
}

macro_rules! index_of {
    ($type:ident, $option:literal, $word:literal, $protocol:expr, $place:expr) => {
        impl Condition for $type {
            type State = ();

            const OPTIONS: &'static [OptionSpec] = &[term(&[$option])];

            const PURE: bool = false;

            fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
                indices(clause, $option).map(Self)
            }

            fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
                print::term(f, $option, &self.0, |f, span| span.write(f))
            }

            fn check(&self, _: Setting, rule: &Rule) -> Result<(), Fault> {
                need_protocol(rule, &[Protocol($protocol)], $word, concat!("-p ", $word))
            }

            fn start(&self) {}

            fn fit<F: Fib>(
                &self,
                (): &mut (),
                _: &mut Memory,
                ctx: &mut RuleContext<'_, F>,
            ) -> Fit {
                fit(&self.0, &$place, ctx)
            }
        }
    };
}

index_of!(Esp, "--espspi", "esp", proto::ESP, IN_ESP);
index_of!(Ah, "--ahspi", "ah", proto::AH, IN_AH);
