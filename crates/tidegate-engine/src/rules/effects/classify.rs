//! Targets that leave nothing to see on the packet: `CLASSIFY` (`xt_CLASSIFY`), `CHECKSUM` (`xt_CHECKSUM`) and
//! `TRACE` (`xt_TRACE`).
//!
//! There are no queueing disciplines here that would look at a class, and every checksum is there already: these two
//! do nothing. A traced packet leaves a line in the log for each rule and policy that it meets from then on.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Rule, TableKind};
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::{CheckError, Expected, Fault};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};

/// `-j CLASSIFY`: major and minor number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Classify {
    major: u16,
    minor: u16,
}

impl Effect for Classify {
    const OPTIONS: &'static [OptionSpec] = &[value(&["--set-class"])];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(clause.need("--set-class", class)?.value)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, " --set-class {:04x}:{:04x}", self.major, self.minor)
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        setting.only_from("CLASSIFY", &[Hook::Forward, Hook::Output, Hook::Postrouting])
    }

    fn apply<F: Fib>(&self, _: &mut Memory, _: &mut RuleContext<'_, F>) -> Option<Ruling> {
        None
    }
}

fn class(word: &str) -> Parsed<Classify> {
    let number = |word: &str| u16::from_str_radix(word, 16).ok();
    let class = word
        .split_once(':')
        .and_then(|(major, minor)| Some(Classify { major: number(major)?, minor: number(minor)? }));
    class.ok_or_else(|| Fault::expected(word, Expected::Form("a class, MAJOR:MINOR")))
}

/// `-j CHECKSUM --checksum-fill`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Checksum;

impl Effect for Checksum {
    const OPTIONS: &'static [OptionSpec] = &[flag(&["--checksum-fill"])];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        if clause.flag("--checksum-fill") {
            Ok(Self)
        } else {
            Err(clause.missing("--checksum-fill"))
        }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(" --checksum-fill")
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "CHECKSUM")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, _: &mut RuleContext<'_, F>) -> Option<Ruling> {
        None
    }
}

/// `-j TRACE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Trace;

impl Effect for Trace {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn parse(_: Family, _: &Clause<'_>) -> Parsed<Self> {
        Ok(Self)
    }

    fn write(&self, _: &mut Formatter<'_>) -> fmt::Result {
        Ok(())
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        match setting.table {
            TableKind::Raw => Ok(()),
            _ => Err(Fault::new("TRACE", CheckError::Table { only: TableKind::Raw })),
        }
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        *ctx.traced = true;
        None
    }
}
