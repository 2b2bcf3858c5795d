//! `TCPOPTSTRIP`: overwrite TCP options with no-operations. Linux: `xt_TCPOPTSTRIP`.

use alloc::collections::BTreeSet;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;
use tidegate_wire::packet::tcp::HEADER_LEN;

use super::segment::{Look, Segment, gather, look};
use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::{Protocol, Rule};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

/// `-j TCPOPTSTRIP`, by the options' numbers; `mangle` only, and the rule has `-p tcp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Strip(BTreeSet<u8>);

const NAMES: [(&str, u8); 6] =
    [("mss", 2), ("wscale", 3), ("sack-permitted", 4), ("sack", 5), ("timestamp", 8), ("md5", 19)];

impl Effect for Strip {
    const OPTIONS: &'static [OptionSpec] = &[value(&["--strip-options"])];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let number = |word: &str| match NAMES.iter().find(|(name, _)| *name == word) {
            Some((_, number)) => Ok(*number),
            None => Ok(values::number(word, 2, 255)? as u8),
        };
        let list = |word: &str| word.split(',').map(number).collect();
        Ok(Self(clause.value("--strip-options", list)?.unwrap_or_default()))
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (number, option) in self.0.iter().enumerate() {
            f.write_str(if number == 0 { " --strip-options " } else { "," })?;
            write!(f, "{option}")?;
        }
        Ok(())
    }

    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "TCPOPTSTRIP")?;
        need_protocol(rule, &[Protocol::TCP], "TCPOPTSTRIP", "-p tcp")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let header = match look(ctx) {
            Look::Elsewhere => return None,
            Look::Damaged => return Some(Ruling::Drop),
            Look::There(segment) => {
                let header = segment.header;
                self.strip(segment);
                header
            }
        };
        gather(ctx, header);
        None
    }
}

impl Strip {
    fn strip(&self, mut segment: Segment<'_>) {
        let mut at = HEADER_LEN;
        while at + 1 < segment.header {
            let end = at + segment.option_len(at);
            if end > segment.header {
                return;
            }
            if self.0.contains(&segment.bytes[at]) {
                (at..end).for_each(|at| segment.set_byte(at, NO_OPERATION));
            }
            at = end;
        }
    }
}

const NO_OPERATION: u8 = 1;
