//! `TOS` and `DSCP`: change IPv4's type of service or IPv6's traffic class. Linux: `xt_DSCP`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::conditions::tos::{TosBits, byte, class, codepoint};
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};

/// `-j TOS`: bits of the mask are cleared, then those of the value flipped; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Tos(TosBits);

impl Effect for Tos {
    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--set-tos"]),
        value(&["--and-tos"]),
        value(&["--or-tos"]),
        value(&["--xor-tos"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--set-tos", "--and-tos", "--or-tos", "--xor-tos"])?;
        let given = given.ok_or_else(|| clause.missing("--set-tos or another option"))?;
        let word = given.value();
        Ok(Self(match given.name() {
            "--set-tos" => TosBits::parse(word)?,
            "--and-tos" => TosBits { value: 0, mask: !byte(word)? },
            "--or-tos" => TosBits { value: byte(word)?, mask: byte(word)? },
            _ => TosBits { value: byte(word)?, mask: 0 },
        }))
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" --set-tos ")?;
        self.0.write(f)
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "TOS")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        ctx.set_traffic_class((ctx.traffic_class() & !self.0.mask) ^ self.0.value);
        None
    }
}

/// `-j DSCP`; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Dscp(u8);

impl Effect for Dscp {
    const OPTIONS: &'static [OptionSpec] = &[value(&["--set-dscp"]), value(&["--set-dscp-class"])];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--set-dscp", "--set-dscp-class"])?;
        let given = given.ok_or_else(|| clause.missing("--set-dscp or --set-dscp-class"))?;
        match given.name() {
            "--set-dscp" => codepoint(given.value()).map(Self),
            _ => class(given.value()).map(Self),
        }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " --set-dscp {:#04x}", self.0)
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "DSCP")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        ctx.set_traffic_class(ctx.traffic_class() & 3 | self.0 << 2);
        None
    }
}
