//! `-m connbytes`: how much a flow has carried. Linux: `xt_connbytes`.
//!
//! As in the kernel, loading such a rule switches accounting on for good; flows that began before have no counters,
//! and for them it fails.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::flow::Counter;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term, value};

/// `-m connbytes`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct ConnBytes {
    range: Term<(u64, u64)>,
    mode: &'static str,
    direction: &'static str,
}

const MODES: [&str; 3] = ["packets", "bytes", "avgpkt"];
const DIRECTIONS: [&str; 3] = ["original", "reply", "both"];

impl Condition for ConnBytes {
    type State = ();

    const OPTIONS: &'static [OptionSpec] =
        &[term(&["--connbytes"]), value(&["--connbytes-mode"]), value(&["--connbytes-dir"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(Self {
            range: clause.need("--connbytes", range)?,
            mode: clause.need("--connbytes-mode", |word| known(word, &MODES))?.value,
            direction: clause.need("--connbytes-dir", |word| known(word, &DIRECTIONS))?.value,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--connbytes", &self.range, |f, (first, last)| match *last {
            u64::MAX => write!(f, "{first}"),
            last => write!(f, "{first}:{last}"),
        })?;
        write!(f, " --connbytes-mode {} --connbytes-dir {}", self.mode, self.direction)
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let acct = ctx.flow.as_deref().and_then(|flow| flow.acct);
        let Some(acct) = acct else { return Fit::Fails };
        let (first, last) = self.range.value;
        let amount = self.amount(&acct);
        self.range.holds((first..=last).contains(&amount)).into()
    }
}

impl ConnBytes {
    fn amount(&self, [original, reply]: &[Counter; 2]) -> u64 {
        let Counter { packets, bytes } = match self.direction {
            "original" => *original,
            "reply" => *reply,
            _ => Counter {
                packets: original.packets.wrapping_add(reply.packets),
                bytes: original.bytes.wrapping_add(reply.bytes),
            },
        };
        match self.mode {
            "packets" => packets,
            "bytes" => bytes,
            _ => bytes.checked_div(packets).unwrap_or(0),
        }
    }
}

fn known(word: &str, words: &[&'static str]) -> Parsed<&'static str> {
    let found = words.iter().find(|known| **known == word).copied();
    found.ok_or_else(|| Fault::expected(word, Expected::Form("one of the words of this option")))
}

/// `FROM` for that and more, `FROM:TO`, `:TO` or `FROM:`.
fn range(word: &str) -> Parsed<(u64, u64)> {
    let read = |word: &str, absent: u64| match word {
        "" => Ok(absent),
        _ => word.parse().map_err(|_| Fault::expected(word, Expected::Form("a number or range"))),
    };
    let (first, last) = word.split_once(':').unwrap_or((word, ""));
    let (first, last) = (read(first, 0)?, read(last, u64::MAX)?);
    if first > last { Err(Fault::new(word, ValueError::Reversed)) } else { Ok((first, last)) }
}
