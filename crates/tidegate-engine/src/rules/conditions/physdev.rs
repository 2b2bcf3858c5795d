//! `-m physdev`: the ports of a bridge. Linux: `xt_physdev`.
//!
//! No packet comes here by way of a bridge, and so everything that is asked is denied: the match holds if all of its
//! options are negated.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Interface, Rule, Term};
use crate::rules::check::Setting;
use crate::rules::error::Fault;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::{self, value as written};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};
use crate::rules::text::{Parsed, value};

/// `-m physdev`; of each flag whether it is asked for rather than denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct PhysDev {
    is_in: Option<bool>,
    input: Option<Term<Interface>>,
    is_out: Option<bool>,
    output: Option<Term<Interface>>,
    is_bridged: Option<bool>,
}

const fn toggle(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec { names, negatable: true, values: 0 }
}

impl Condition for PhysDev {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        toggle(&["--physdev-is-in"]),
        term(&["--physdev-in"]),
        toggle(&["--physdev-is-out"]),
        term(&["--physdev-out"]),
        toggle(&["--physdev-is-bridged"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        if clause.given().is_empty() {
            return Err(clause.missing("at least one option"));
        }
        let asked = |name| clause.find(name).map(|given| !given.negated);
        Ok(Self {
            is_in: asked("--physdev-is-in"),
            input: clause.term("--physdev-in", value::interface)?,
            is_out: asked("--physdev-is-out"),
            output: clause.term("--physdev-out", value::interface)?,
            is_bridged: asked("--physdev-is-bridged"),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_toggle(f, "--physdev-is-in", self.is_in)?;
        print::term(f, "--physdev-in", &self.input, written::interface)?;
        write_toggle(f, "--physdev-is-out", self.is_out)?;
        print::term(f, "--physdev-out", &self.output, written::interface)?;
        write_toggle(f, "--physdev-is-bridged", self.is_bridged)
    }

    /// Before routing nobody knows by which port of a bridge a packet of the host will leave.
    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        if (self.output.is_none() && self.is_out.is_none()) || self.is_bridged == Some(true) {
            return Ok(());
        }
        let others = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Postrouting];
        setting.only_from("--physdev-out", &others)
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, _: &mut RuleContext<'_, F>) -> Fit {
        let asked = [self.is_in, self.is_out, self.is_bridged].contains(&Some(true));
        let named =
            |term: &Option<Term<Interface>>| term.as_ref().is_some_and(|term| !term.negated);
        (!asked && !named(&self.input) && !named(&self.output)).into()
    }
}

fn write_toggle(f: &mut Formatter<'_>, name: &str, asked: Option<bool>) -> fmt::Result {
    match asked {
        Some(true) => write!(f, " {name}"),
        Some(false) => write!(f, " ! {name}"),
        None => Ok(()),
    }
}
