//! `TTL` and `HL`: set, raise or lower the hops that a packet may still take. Linux: `xt_HL`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

/// `-j TTL`; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ttl(Change);

/// `-j HL`; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Hl(Change);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set(u8),
    Decrease(u8),
    Increase(u8),
}

impl Change {
    /// `names` are those of the options to set, decrease and increase.
    fn parse(clause: &Clause<'_>, names: [&'static str; 3]) -> Parsed<Self> {
        let given = clause.one_of(&names)?.ok_or_else(|| clause.missing(names[0]))?;
        let least = u32::from(given.name() != names[0]);
        let hops = values::number(given.value(), least, 255)? as u8;
        Ok(match given.name() {
            name if name == names[0] => Self::Set(hops),
            name if name == names[1] => Self::Decrease(hops),
            _ => Self::Increase(hops),
        })
    }

    fn write(self, f: &mut Formatter<'_>, names: [&'static str; 3]) -> fmt::Result {
        let (name, hops) = match self {
            Self::Set(hops) => (names[0], hops),
            Self::Decrease(hops) => (names[1], hops),
            Self::Increase(hops) => (names[2], hops),
        };
        write!(f, " {name} {hops}")
    }

    fn of(self, left: u8) -> u8 {
        match self {
            Self::Set(hops) => hops,
            Self::Decrease(hops) => left.saturating_sub(hops),
            Self::Increase(hops) => left.saturating_add(hops),
        }
    }
}

const TTL: [&str; 3] = ["--ttl-set", "--ttl-dec", "--ttl-inc"];
const HL: [&str; 3] = ["--hl-set", "--hl-dec", "--hl-inc"];

macro_rules! change_hops {
    ($type:ident, $word:literal, $names:ident, $options:expr) => {
        impl Effect for $type {
            const OPTIONS: &'static [OptionSpec] = $options;

            fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
                Change::parse(clause, $names).map(Self)
            }

            fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
                self.0.write(f, $names)
            }

            fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
                only_mangle(setting, $word)
            }

            fn apply<F: Fib>(
                &self,
                _: &mut Memory,
                ctx: &mut RuleContext<'_, F>,
            ) -> Option<Ruling> {
                ctx.set_hop_limit(self.0.of(ctx.hop_limit()));
                None
            }
        }
    };
}

change_hops!(
    Ttl,
    "TTL",
    TTL,
    &[value(&["--ttl-set"]), value(&["--ttl-dec"]), value(&["--ttl-inc"])]
);
change_hops!(Hl, "HL", HL, &[value(&["--hl-set"]), value(&["--hl-dec"]), value(&["--hl-inc"])]);
