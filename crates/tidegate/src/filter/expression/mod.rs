//! Which flows are meant, as one expression that people type: the filters of ss(8) and the primitives of pcap-filter(7).
//!
//! ```text
//! state established '( dport = :443 or src 10/8 )'        tcp and not net 192.168 and port 80 or 8080
//! ```
//!
//! An expression is read once ([`read`]) into conditions that are joined by *and*, *or* and *not*; those that must hold
//! in any case become [`Test`]s of a [`Filter`](super::Filter), which the table may try itself.
//!
//! Where the two languages disagree nothing is guessed: `a or b and c` is `(a or b) and c` to tcpdump and `a or (b and
//! c)` to ss, and is refused.

mod primitive;
mod read;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::Test;
use crate::client::Flow;

/// Conditions, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// One condition.
    Is(Test),
    /// All hold.
    All(Vec<Self>),
    /// One of them holds at least.
    Any(Vec<Self>),
    /// It doesn't hold.
    Not(Box<Self>),
}

impl Expression {
    /// Whether it holds for a flow, at `now` in nanoseconds since 1970.
    pub(super) fn holds(&self, flow: &Flow<'_>, now: u64) -> bool {
        match self {
            Self::Is(test) => test.holds(flow, now),
            Self::All(parts) => parts.iter().all(|part| part.holds(flow, now)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(flow, now)),
            Self::Not(part) => !part.holds(flow, now),
        }
    }

    /// The same as tests that must all hold, as simple as they can be.
    pub(crate) fn into_tests(self) -> Vec<Test> {
        match self {
            Self::Is(test) => vec![test],
            Self::All(parts) => parts.into_iter().flat_map(Self::into_tests).collect(),
            other => vec![Test::Where(Box::new(other))],
        }
    }

    /// Whether some condition of it asks for what `wanted` says.
    pub(crate) fn asks(&self, wanted: &impl Fn(&Test) -> bool) -> bool {
        match self {
            Self::Is(Test::Where(inner)) => inner.asks(wanted),
            Self::Is(test) => wanted(test),
            Self::All(parts) | Self::Any(parts) => parts.iter().any(|part| part.asks(wanted)),
            Self::Not(part) => part.asks(wanted),
        }
    }

    /// All of them, in as few words as possible.
    fn all(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 { parts.remove(0) } else { Self::All(parts) }
    }

    /// One of them, in as few words as possible.
    fn any(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 { parts.remove(0) } else { Self::Any(parts) }
    }

    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

impl FromStr for Expression {
    type Err = Mistake;

    fn from_str(text: &str) -> Result<Self, Mistake> {
        read::read(text)
    }
}

/// Why an expression can't be understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// What was typed.
    pub(crate) text: String,
    /// Which bytes of it.
    pub(crate) at: Range<usize>,
    /// What is wrong with them.
    pub(crate) why: String,
}

impl fmt::Display for Mistake {
    /// The reason, what was typed, and marks below the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |range: Range<usize>| self.text.get(range).map_or(0, |part| part.chars().count());
        let (before, marked) = (width(0..self.at.start), width(self.at.clone()).max(1));
        let marks = "^".repeat(marked);
        write!(f, "{}\n  {}\n  {:before$}{marks}", self.why, self.text, "")
    }
}

impl std::error::Error for Mistake {}
