//! `-m statistic`: some packets, by lot or by count. Linux: `xt_statistic`.
//!
//! Probabilities are parts of 2^31, as the kernel has them; the text's decimals are turned into these and back without
//! floating point.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault, GrammarError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m statistic`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) enum Statistic {
    /// `--mode random`, by parts of 2^31.
    Random(Term<u32>),
    /// `--mode nth`
    Nth(Term<Nth>),
}

/// One packet of `every`: the first one after `packet` others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Nth {
    every: u32,
    packet: u32,
}

impl Condition for Statistic {
    /// How many packets were counted since the last that was taken.
    type State = u32;

    const OPTIONS: &'static [OptionSpec] =
        &[value(&["--mode"]), term(&["--probability"]), term(&["--every"]), value(&["--packet"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        match clause.need("--mode", |word| Ok(word.len()))?.value {
            _ if clause.find("--mode").is_some_and(|given| given.value() == "random") => {
                absent(clause, "--every")?;
                absent(clause, "--packet")?;
                clause.need("--probability", probability).map(Self::Random)
            }
            _ if clause.find("--mode").is_some_and(|given| given.value() == "nth") => {
                absent(clause, "--probability")?;
                nth(clause).map(Self::Nth)
            }
            _ => {
                let word = clause.find("--mode").map_or("", |given| given.value());
                Err(Fault::expected(word, Expected::Form("`random' or `nth'")))
            }
        }
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random(term) => {
                f.write_str(" --mode random")?;
                always(f, "--probability", term, |f, parts| write_probability(f, *parts))
            }
            Self::Nth(term) => {
                f.write_str(" --mode nth")?;
                always(f, "--every", term, |f, nth| {
                    write!(f, "{} --packet {}", nth.every, nth.packet)
                })
            }
        }
    }

    fn start(&self) -> u32 {
        match self {
            Self::Random(_) => 0,
            Self::Nth(term) => term.value.every - 1 - term.value.packet,
        }
    }

    fn fit<F: Fib>(&self, count: &mut u32, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        match self {
            Self::Random(term) => term.holds(ctx.rng.next_u32() >> 1 < term.value).into(),
            Self::Nth(term) => {
                *count = if *count >= term.value.every - 1 { 0 } else { *count + 1 };
                term.holds(*count == 0).into()
            }
        }
    }
}

fn absent(clause: &Clause<'_>, option: &'static str) -> Parsed<()> {
    match clause.find(option) {
        Some(given) => Err(Fault::new(given.word, GrammarError::Conflict { with: "--mode" })),
        None => Ok(()),
    }
}

fn nth(clause: &Clause<'_>) -> Parsed<Term<Nth>> {
    let every = clause.need("--every", |word| values::number(word, 1, u32::MAX))?;
    let packet = clause.need("--packet", |word| values::number(word, 0, every.value - 1))?;
    let value = Nth { every: every.value, packet: packet.value };
    Ok(Term { negated: every.negated, value })
}

/// A decimal from 0 to 1, to the nearest part.
fn probability(word: &str) -> Parsed<u32> {
    parts(word).ok_or_else(|| Fault::expected(word, Expected::Form("a decimal from 0 to 1")))
}

fn parts(word: &str) -> Option<u32> {
    let (whole, decimals) = word.split_once('.').unwrap_or((word, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !digits(whole) || !digits(decimals) {
        return None;
    }
    let decimals = &decimals[..decimals.len().min(DIGITS)];
    let scale = 10_u128.pow(decimals.len() as u32);
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok().filter(|n| *n <= 1)? };
    let fraction: u128 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
    let parts = ((whole * scale + fraction) * u128::from(ONE) + scale / 2) / scale;
    u32::try_from(parts).ok().filter(|parts| *parts <= ONE)
}

/// With eleven decimals, rounded half to even.
fn write_probability(f: &mut Formatter<'_>, parts: u32) -> fmt::Result {
    const SCALE: u128 = 100_000_000_000;
    let product = u128::from(parts) * SCALE;
    let (quotient, rest) = (product / u128::from(ONE), product % u128::from(ONE));
    let half = u128::from(ONE / 2);
    let up = rest > half || rest == half && quotient % 2 == 1;
    let rounded = quotient + u128::from(up);
    write!(f, "{}.{:011}", rounded / SCALE, rounded % SCALE)
}

/// Probability 1.
const ONE: u32 = 1 << 31;

/// Decimals beyond these change nothing.
const DIGITS: usize = 25;
