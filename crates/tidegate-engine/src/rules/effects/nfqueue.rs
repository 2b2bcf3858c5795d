//! `NFQUEUE`: let another program decide. Linux: `xt_NFQUEUE`.
//!
//! No program listens to the queues of an engine, and so happens what happens in the kernel when nobody does: the
//! packet is dropped, or leaves the table with `--queue-bypass`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::Effect;
use crate::fib::Fib;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};

/// `-j NFQUEUE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Nfqueue {
    /// The first and the last queue.
    queues: (u16, u16),
    bypass: bool,
    fanout: bool,
}

impl Effect for Nfqueue {
    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--queue-num"]),
        value(&["--queue-balance"]),
        flag(&["--queue-bypass"]),
        flag(&["--queue-cpu-fanout"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.one_of(&["--queue-num", "--queue-balance"])?;
        let number = |word: &str| Ok(values::number(word, 0, 65_535)? as u16);
        let one = clause.value("--queue-num", number)?.unwrap_or(0);
        let several = clause.value("--queue-balance", |word| {
            let queues = word.split_once(':').map(|(a, b)| Ok((number(a)?, number(b)?)));
            // All 65536 are more than the kernel can count.
            let queues =
                queues.transpose()?.filter(|(first, last)| first < last && last - first < u16::MAX);
            queues.ok_or_else(|| Fault::expected(word, Expected::Form("FIRST:LAST")))
        })?;
        if several.is_none() && clause.flag("--queue-cpu-fanout") {
            return Err(clause.missing("--queue-balance"));
        }
        Ok(Self {
            queues: several.unwrap_or((one, one)),
            bypass: clause.flag("--queue-bypass"),
            fanout: clause.flag("--queue-cpu-fanout"),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.queues {
            (first, last) if first == last => write!(f, " --queue-num {first}")?,
            (first, last) => write!(f, " --queue-balance {first}:{last}")?,
        }
        f.write_str(if self.bypass { " --queue-bypass" } else { "" })?;
        f.write_str(if self.fanout { " --queue-cpu-fanout" } else { "" })
    }

    fn check(&self, _: Setting, _: &Rule) -> Result<(), Fault> {
        Ok(())
    }

    fn apply<F: Fib>(&self, _: &mut Memory, _: &mut RuleContext<'_, F>) -> Option<Ruling> {
        Some(if self.bypass { Ruling::Accept } else { Ruling::Drop })
    }
}
