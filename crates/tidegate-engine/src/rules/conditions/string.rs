//! `-m string`: bytes somewhere in the packet, headers included. Linux: `xt_string`.
//!
//! Whichever algorithm is named, the answer is the same.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Formatter, Write};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m string`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct StringMatch {
    pattern: Term<Vec<u8>>,
    /// `bm` or `kmp`.
    algorithm: String,
    /// Where it may begin, and before which byte it must have ended.
    from: u32,
    to: u32,
    ignore_case: bool,
}

/// Bytes that a pattern may have.
const PATTERN_MAX: usize = 128;

impl Condition for StringMatch {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        term(&["--string"]),
        term(&["--hex-string"]),
        value(&["--algo"]),
        value(&["--from"]),
        value(&["--to"]),
        flag(&["--icase"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--string", "--hex-string"])?;
        let given = given.ok_or_else(|| clause.missing("--string or --hex-string"))?;
        let word = given.value();
        let pattern = match given.name() {
            "--string" => word.as_bytes().to_vec(),
            _ => hexadecimal(word)
                .ok_or_else(|| Fault::expected(word, Expected::Form("text with |hex digits|")))?,
        };
        if pattern.is_empty() || pattern.len() > PATTERN_MAX {
            return Err(Fault::new(word, ValueError::TooLong { max: PATTERN_MAX }));
        }
        let offset = |word: &str| values::number(word, 0, 65_535);
        let from = clause.value("--from", offset)?.unwrap_or(0);
        let to = clause.value("--to", offset)?.unwrap_or(65_535);
        if from > to {
            return Err(Fault::new("--from", ValueError::Reversed));
        }
        let algorithm = clause.need("--algo", algorithm)?.value;
        let ignore_case = clause.flag("--icase");
        Ok(Self { pattern: given.term(pattern), algorithm, from, to, ignore_case })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.pattern.negated { " !" } else { "" })?;
        write_pattern(f, &self.pattern.value)?;
        write!(f, " --algo {}", self.algorithm)?;
        if self.from != 0 {
            write!(f, " --from {}", self.from)?;
        }
        if self.to != 65_535 {
            write!(f, " --to {}", self.to)?;
        }
        f.write_str(if self.ignore_case { " --icase" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        self.pattern.holds(self.is_in(ctx.datagram())).into()
    }
}

impl StringMatch {
    fn is_in(&self, datagram: &[u8]) -> bool {
        let end = datagram.len().min(self.to as usize);
        let Some(text) = datagram.get(self.from as usize..end) else { return false };
        let pattern = &self.pattern.value;
        text.windows(pattern.len()).any(|window| {
            if self.ignore_case { window.eq_ignore_ascii_case(pattern) } else { window == pattern }
        })
    }
}

fn algorithm(word: &str) -> Parsed<String> {
    match word {
        "bm" | "kmp" => Ok(word.into()),
        _ => Err(Fault::expected(word, Expected::Form("`bm' or `kmp'"))),
    }
}

/// Text, in which bytes stand as hexadecimal digits between bars.
fn hexadecimal(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for (number, part) in word.split('|').enumerate() {
        if number % 2 == 0 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits: Vec<u8> = part.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
        for pair in digits.chunks(2) {
            let pair = core::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        }
    }
    word.matches('|').count().is_multiple_of(2).then_some(bytes)
}

/// As text if all of it can be printed.
fn write_pattern(f: &mut Formatter<'_>, pattern: &[u8]) -> fmt::Result {
    let printable = |c: &u8| (b' '..=b'~').contains(c);
    if !pattern.iter().all(printable) || pattern.last() == Some(&b'\\') {
        f.write_str(" --hex-string \"|")?;
        pattern.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        return f.write_str("|\"");
    }
    f.write_str(" --string \"")?;
    for byte in pattern {
        if matches!(byte, b'"' | b'\\') {
            f.write_char('\\')?;
        }
        f.write_char(char::from(*byte))?;
    }
    f.write_char('"')
}
