//! A range of numbers, as the options of many matches have it.

use core::fmt::{self, Formatter};

use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::text::{Parsed, value};

/// Numbers from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Span {
    pub(in crate::rules) first: u32,
    pub(in crate::rules) last: u32,
}

impl Span {
    /// `NUMBER`, `FIRST:LAST`, `:LAST` or `FIRST:`, in this order, none above `max`.
    pub(in crate::rules) fn parse(word: &str, max: u32) -> Parsed<Self> {
        let read = |word: &str| value::number(word, 0, max);
        let Some((first, last)) = word.split_once(':') else {
            let number = read(word)?;
            return Ok(Self { first: number, last: number });
        };
        if first.is_empty() && last.is_empty() {
            return Err(Fault::expected(word, Expected::Number { min: 0, max }));
        }
        let first = if first.is_empty() { 0 } else { read(first)? };
        let last = if last.is_empty() { max } else { read(last)? };
        if first > last {
            return Err(Fault::new(word, ValueError::Reversed));
        }
        Ok(Self { first, last })
    }

    /// `NUMBER` or `FIRST:LAST`.
    pub(in crate::rules) fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}:{}", self.first, self.last)
        }
    }

    /// Whether the number is one of these.
    pub(in crate::rules) fn contains(&self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }
}
