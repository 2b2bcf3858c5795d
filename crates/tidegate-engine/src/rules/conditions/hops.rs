//! `-m ttl` and `-m hl`: how many hops a packet may still take. Linux: `xt_hl`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::clause::{Clause, Given};
use crate::rules::text::options::{OptionSpec, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m ttl`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ttl(Hops);

/// `-m hl`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Hl(Hops);

/// The hops left are this many, fewer or more.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hops {
    Equal(Term<u8>),
    Below(u8),
    Above(u8),
}

impl Hops {
    /// `names` are those of the options for equal, below and above.
    fn parse(clause: &Clause<'_>, names: [&'static str; 3]) -> Parsed<Self> {
        let given = clause.one_of(&names)?.ok_or_else(|| clause.missing(names[0]))?;
        let hops = hops(given)?;
        Ok(match given.name() {
            name if name == names[0] => Self::Equal(given.term(hops)),
            name if name == names[1] => Self::Below(hops),
            _ => Self::Above(hops),
        })
    }

    fn write(&self, f: &mut Formatter<'_>, names: [&'static str; 3]) -> fmt::Result {
        match self {
            Self::Equal(term) => always(f, names[0], term, |f, hops| write!(f, "{hops}")),
            Self::Below(hops) => write!(f, " {} {hops}", names[1]),
            Self::Above(hops) => write!(f, " {} {hops}", names[2]),
        }
    }

    fn holds(&self, left: u8) -> bool {
        match self {
            Self::Equal(term) => term.holds(left == term.value),
            Self::Below(hops) => left < *hops,
            Self::Above(hops) => left > *hops,
        }
    }
}

fn hops(given: &Given<'_>) -> Parsed<u8> {
    Ok(values::number(given.value(), 0, 255)? as u8)
}

const TTL: [&str; 3] = ["--ttl-eq", "--ttl-lt", "--ttl-gt"];
const HL: [&str; 3] = ["--hl-eq", "--hl-lt", "--hl-gt"];

macro_rules! hops_left {
    ($type:ident, $names:ident, $options:expr) => {
        impl Condition for $type {
            type State = ();

            const OPTIONS: &'static [OptionSpec] = $options;

            const PURE: bool = true;

            fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
                Hops::parse(clause, $names).map(Self)
            }

            fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.write(f, $names)
            }

            fn start(&self) {}

            fn fit<F: Fib>(
                &self,
                (): &mut (),
                _: &mut Memory,
                ctx: &mut RuleContext<'_, F>,
            ) -> Fit {
                self.0.holds(ctx.hop_limit()).into()
            }
        }
    };
}

hops_left!(Ttl, TTL, &[term(&["--ttl-eq", "--ttl"]), value(&["--ttl-lt"]), value(&["--ttl-gt"])]);
hops_left!(Hl, HL, &[term(&["--hl-eq", "--hl"]), value(&["--hl-lt"]), value(&["--hl-gt"])]);
