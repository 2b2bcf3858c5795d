//! `SET`: add the packet to a set, or take it out. Linux: `xt_SET`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::Effect;
use crate::fib::Fib;
use crate::ipset::{Addition, Sight};
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::{Memory, SetRef};
use crate::rules::error::{Fault, GrammarError};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};

/// `-j SET`: first adds, then deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct ChangeSet {
    add: Option<SetRef>,
    delete: Option<SetRef>,
    wish: Addition,
}

const fn pair(names: &'static [&'static str]) -> OptionSpec {
    OptionSpec { names, negatable: false, values: 2 }
}

impl Effect for ChangeSet {
    const OPTIONS: &'static [OptionSpec] = &[
        pair(&["--add-set"]),
        pair(&["--del-set"]),
        pair(&["--map-set"]),
        flag(&["--exist"]),
        value(&["--timeout"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        if let Some(given) = clause.find("--map-set") {
            return Err(Fault::new(given.word, GrammarError::UnsupportedOption));
        }
        let add = clause.find("--add-set").map(SetRef::parse).transpose()?;
        let delete = clause.find("--del-set").map(SetRef::parse).transpose()?;
        if add.is_none() && delete.is_none() {
            return Err(clause.missing("--add-set or --del-set"));
        }
        let timeout = clause.value("--timeout", |word| values::number(word, 0, 2_147_483))?;
        let wish = Addition { exist: clause.flag("--exist"), timeout };
        if add.is_none() && wish != Addition::default() {
            return Err(clause.missing("--add-set for --exist and --timeout"));
        }
        Ok(Self { add, delete, wish })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(set) = &self.add {
            f.write_str(" --add-set ")?;
            set.write(f)?;
            f.write_str(if self.wish.exist { " --exist" } else { "" })?;
            if let Some(seconds) = self.wish.timeout {
                write!(f, " --timeout {seconds}")?;
            }
        }
        let Some(set) = &self.delete else { return Ok(()) };
        f.write_str(" --del-set ")?;
        set.write(f)
    }

    fn check(&self, _: Setting, _: &Rule) -> Result<(), Fault> {
        Ok(())
    }

    fn apply<F: Fib>(&self, memory: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let sight = |set: &SetRef| Sight {
            headers: ctx.headers,
            datagram: ctx.datagram(),
            directions: set.directions,
            now: ctx.now,
        };
        if let Some(set) = &self.add {
            memory.sets.add_packet(&set.name, &sight(set), self.wish);
        }
        if let Some(set) = &self.delete {
            memory.sets.remove_packet(&set.name, &sight(set));
        }
        None
    }

    fn sets(&self) -> impl Iterator<Item = &str> {
        self.add.iter().chain(&self.delete).map(|set| set.name.as_str())
    }
}
