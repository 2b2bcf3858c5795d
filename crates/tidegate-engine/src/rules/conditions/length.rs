//! `-m length`: of the whole datagram. Linux: `xt_length`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};

/// `-m length`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Length(Term<Span>);

impl Condition for Length {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--length"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.need("--length", |word| Span::parse(word, 65_535)).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--length", &self.0, |f, span| span.write(f))
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        self.0.holds(self.0.value.contains(ctx.headers.len as u32)).into()
    }
}
