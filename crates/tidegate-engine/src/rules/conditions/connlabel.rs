//! `-m connlabel`: a flow's labels, of which it has 128. Linux: `xt_connlabel`.
//!
//! LabelNames are numbers; rules may call them by the names of a [file](crate::rules::LabelNames), and are printed so.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::event::EventMask;
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term};

/// `-m connlabel`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct ConnLabel {
    label: Term<u8>,
    name: Option<String>,
    /// A flow without it gets it.
    set: bool,
}

impl Condition for ConnLabel {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--label"]), flag(&["--set"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let labels = clause.labels();
        let label = clause.need("--label", |word| labels.number(word))?;
        let name = labels.name(label.value).map(ToOwned::to_owned);
        Ok(Self { label, name, set: clause.flag("--set") })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--label", &self.label, |f, label| match &self.name {
            Some(name) => write!(f, "\"{name}\""),
            None => write!(f, "\"{label}\""),
        })?;
        f.write_str(if self.set { " --set" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let Some(flow) = ctx.flow.as_deref_mut() else { return self.label.holds(false).into() };
        let label = self.label.value;
        if self.set && !flow.labels.has(label) {
            flow.labels.set(label);
            flow.note(EventMask::LABEL);
        }
        self.label.holds(flow.labels.has(label)).into()
    }
}
