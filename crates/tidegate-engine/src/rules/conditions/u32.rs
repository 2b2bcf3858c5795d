//! `-m u32`: numbers of 32 bits anywhere in the packet, shifted, masked and compared. Linux: `xt_u32`.
//!
//! ```text
//! tests    = test { "&&" test }
//! test     = location "=" range { "," range }
//! location = NUMBER { ( "&" | "<<" | ">>" | "@" ) NUMBER }
//! range    = NUMBER [ ":" NUMBER ]
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};
use crate::rules::text::{Parsed, value};

/// `-m u32`: all tests hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct U32(Term<Vec<Test>>);

/// A number and the values that it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    /// Where it starts.
    at: u32,
    steps: Vec<(Operator, u32)>,
    values: Vec<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    And,
    Left,
    Right,
    /// Moves the start by what was read so far, and reads anew.
    At,
}

impl Operator {
    const ALL: [(Self, &'static str); 4] =
        [(Self::And, "&"), (Self::Left, "<<"), (Self::Right, ">>"), (Self::At, "@")];

    fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(operator, _)| *operator == self).map_or("", |(_, sign)| *sign)
    }
}

/// Tests in a match, numbers in a location, ranges in a test.
const MOST: usize = 10;

impl Condition for U32 {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--u32"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.need("--u32", tests).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--u32", &self.0, |f, tests| {
            f.write_str("\"")?;
            for (number, test) in tests.iter().enumerate() {
                f.write_str(if number == 0 { "" } else { "&&" })?;
                test.write(f)?;
            }
            f.write_str("\"")
        })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let datagram = ctx.datagram();
        self.0.holds(self.0.value.iter().all(|test| test.holds(datagram))).into()
    }
}

impl Test {
    fn holds(&self, datagram: &[u8]) -> bool {
        let number = self.read(datagram);
        number.is_some_and(|number| {
            self.values.iter().any(|(least, most)| (*least..=*most).contains(&number))
        })
    }

    fn read(&self, datagram: &[u8]) -> Option<u32> {
        let mut start = 0_u32;
        let mut number = number_at(datagram, self.at)?;
        for (operator, operand) in &self.steps {
            number = match operator {
                Operator::And => number & operand,
                Operator::Left => number.wrapping_shl(*operand),
                Operator::Right => number.wrapping_shr(*operand),
                Operator::At => {
                    start = start.checked_add(number)?;
                    number_at(datagram, start.checked_add(*operand)?)?
                }
            };
        }
        Some(number)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.at)?;
        for (operator, operand) in &self.steps {
            write!(f, "{}{operand:#x}", operator.sign())?;
        }
        for (number, (least, most)) in self.values.iter().enumerate() {
            f.write_str(if number == 0 { "=" } else { "," })?;
            write!(f, "{least:#x}")?;
            if most != least {
                write!(f, ":{most:#x}")?;
            }
        }
        Ok(())
    }
}

fn number_at(datagram: &[u8], at: u32) -> Option<u32> {
    let bytes = datagram.get(at as usize..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn tests(word: &str) -> Parsed<Vec<Test>> {
    let text: String = word.chars().filter(|c| !c.is_whitespace()).collect();
    let tests: Option<Vec<Test>> = text.split("&&").map(test).collect();
    let tests = tests.filter(|tests| tests.len() <= MOST);
    tests.ok_or_else(|| Fault::expected(word, Expected::Form("LOCATION=VALUES[&&...]")))
}

fn test(text: &str) -> Option<Test> {
    let (location, values) = text.split_once('=')?;
    let values: Option<Vec<(u32, u32)>> = values.split(',').map(range).collect();
    let first = location.find(['&', '<', '>', '@']).unwrap_or(location.len());
    let (at, mut rest) = location.split_at(first);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (operator, sign) =
            Operator::ALL.into_iter().find(|(_, sign)| rest.starts_with(sign))?;
        rest = &rest[sign.len()..];
        let end = rest.find(['&', '<', '>', '@']).unwrap_or(rest.len());
        steps.push((operator, number(&rest[..end])?));
        rest = &rest[end..];
    }
    let test = Test { at: number(at)?, steps, values: values? };
    (test.steps.len() < MOST && test.values.len() <= MOST).then_some(test)
}

fn range(text: &str) -> Option<(u32, u32)> {
    let Some((least, most)) = text.split_once(':') else {
        let number = number(text)?;
        return Some((number, number));
    };
    Some((number(least)?, number(most)?))
}

fn number(text: &str) -> Option<u32> {
    value::number(text, 0, u32::MAX).ok()
}
