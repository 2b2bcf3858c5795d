//! Conditions on numbers, as they are typed: `>1h`, `10..60`, `<=1M`, `443`, `1024-2047`.

use std::fmt;
use std::str::FromStr;

/// From a number to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Between {
    first: u64,
    last: u64,
}

impl Between {
    /// Whether a number lies within.
    pub(crate) fn holds(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// The first and the last number.
    pub(crate) fn ends(self) -> (u64, u64) {
        (self.first, self.last)
    }

    /// Reads `N`, `A..B`, `<N`, `<=N`, `>N` or `>=N`, where `number` reads a number.
    fn parse(
        text: &str,
        number: impl Fn(&str) -> Result<u64, BadNumber>,
    ) -> Result<Self, BadNumber> {
        const ALL: u64 = u64::MAX;
        let between = |first, last| Ok(Self { first, last });
        let empty = || BadNumber(text.to_owned(), "no number fulfils it");
        if let Some(rest) = text.strip_prefix(">=") {
            return between(number(rest)?, ALL);
        }
        if let Some(rest) = text.strip_prefix("<=") {
            return between(0, number(rest)?);
        }
        if let Some(rest) = text.strip_prefix('>') {
            return between(number(rest)?.checked_add(1).ok_or_else(empty)?, ALL);
        }
        if let Some(rest) = text.strip_prefix('<') {
            return between(0, number(rest)?.checked_sub(1).ok_or_else(empty)?);
        }
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(empty());
        }
        between(first, last)
    }
}

/// A condition on a time, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spans(pub(crate) Between);

impl FromStr for Spans {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        Between::parse(text, seconds).map(Self)
    }
}

/// A condition on an amount of packets or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) Between);

impl FromStr for Amounts {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        Between::parse(text, amount).map(Self)
    }
}

/// A port, or the ports from one to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// The first.
    pub(crate) first: u16,
    /// The last.
    pub(crate) last: u16,
}

impl Ports {
    /// Whether a port is one of them.
    pub(crate) fn holds(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// The port, if it is a single one.
    pub(crate) fn single(self) -> Option<u16> {
        (self.first == self.last).then_some(self.first)
    }
}

impl FromStr for Ports {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        let bad = |why| BadNumber(text.to_owned(), why);
        let port = |word: &str| word.parse::<u16>().map_err(|_| bad("a port is 0 to 65535"));
        let (first, last) = text.split_once(['-', ':']).unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(bad("the last port lies before the first"));
        }
        Ok(Self { first, last })
    }
}

/// A time in seconds, or with units: `90`, `2h4m`, `5d`.
pub(crate) fn seconds(text: &str) -> Result<u64, BadNumber> {
    let bad = || BadNumber(text.to_owned(), "a time is like 90, 90s, 2h4m or 5d");
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let (mut total, mut digits) = (0_u64, String::new());
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(bad()),
        };
        let count: u64 = digits.parse().map_err(|_| bad())?;
        total = count.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
        digits.clear();
    }
    if digits.is_empty() && !text.is_empty() { Ok(total) } else { Err(bad()) }
}

/// A time for the table, which counts seconds in 32 bits.
pub(crate) fn timeout(text: &str) -> Result<u32, BadNumber> {
    let long = |_| BadNumber(text.to_owned(), "a timeout has at most 4294967295 seconds");
    u32::try_from(seconds(text)?).map_err(long)
}

/// An amount with a unit of either kind: `20k`, `2Gi`.
pub(crate) fn amount(text: &str) -> Result<u64, BadNumber> {
    let bad = || BadNumber(text.to_owned(), "an amount is like 1500, 20k, 3M, 2Gi");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(bad()),
    };
    let count: u64 = digits.parse().map_err(|_| bad())?;
    count.checked_mul(unit).ok_or_else(bad)
}

/// What was typed is no such number, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadNumber(pub(crate) String, pub(crate) &'static str);

impl fmt::Display for BadNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}': {}", self.0, self.1)
    }
}

impl std::error::Error for BadNumber {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_hold_from_their_first_to_their_last_number() {
        let rows: [(&str, &[u64], &[u64]); 8] = [
            ("90", &[90], &[89, 91]),
            (">1h", &[3601, u64::MAX], &[0, 3600]),
            (">=1h", &[3600], &[3599]),
            ("<2h4m", &[0, 7439], &[7440]),
            ("<=30", &[30], &[31]),
            ("10..1m", &[10, 60], &[9, 61]),
            ("5d", &[432_000], &[5]),
            ("1w1s", &[604_801], &[]),
        ];
        for (text, within, without) in rows {
            let Spans(between) = text.parse().expect(text);
            assert!(within.iter().all(|number| between.holds(*number)), "{text}");
            assert!(!without.iter().any(|number| between.holds(*number)), "{text}");
        }
    }

    #[test]
    fn amounts_have_units_of_both_kinds() {
        let rows = [("1500", 1500), ("20k", 20_000), ("2Gi", 2 << 30), ("1T", 1_000_000_000_000)];
        for (text, expected) in rows {
            assert_eq!(amount(text), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_number_is_told() {
        for text in ["", ">", "1x", "h", "1h2", "<0", "9..3", "-1", "99999999999999999w"] {
            assert!(text.parse::<Spans>().is_err(), "{text}");
        }
        for text in ["1K", "k", "99999999999T", "1.5M"] {
            assert!(text.parse::<Amounts>().is_err(), "{text}");
        }
        for text in ["65536", "80-", "90-80", "http"] {
            assert!(text.parse::<Ports>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_one_or_a_range() {
        assert_eq!("443".parse(), Ok(Ports { first: 443, last: 443 }));
        assert_eq!("1024-2047".parse(), Ok(Ports { first: 1024, last: 2047 }));
        assert_eq!("1024:2047".parse(), Ok(Ports { first: 1024, last: 2047 }));
    }
}
