//! `-m quota`: holds until so many bytes have passed. Linux: `xt_quota`.
//!
//! A packet that is more than what is left uses up the rest.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};

/// `-m quota`, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Quota(Term<u64>);

impl Condition for Quota {
    /// What is left.
    type State = u64;

    const OPTIONS: &'static [OptionSpec] = &[term(&["--quota"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let bytes = |word: &str| {
            word.parse().map_err(|_| Fault::expected(word, Expected::Form("a number of bytes")))
        };
        clause.need("--quota", bytes).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--quota", &self.0, |f, bytes| write!(f, "{bytes}"))
    }

    fn start(&self) -> u64 {
        self.0.value
    }

    fn fit<F: Fib>(&self, left: &mut u64, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let paid = left.checked_sub(ctx.headers.len as u64);
        *left = paid.unwrap_or(0);
        self.0.holds(paid.is_some()).into()
    }
}
