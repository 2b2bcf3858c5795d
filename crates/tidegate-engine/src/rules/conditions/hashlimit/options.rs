//! The options of `-m hashlimit`, read and written.

use alloc::string::String;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::super::addressed;
use super::{Capacity, HashLimit, Mode, Rate};
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};

pub(super) const OPTIONS: &[OptionSpec] = &[
    term(&["--hashlimit-upto", "--hashlimit"]),
    term(&["--hashlimit-above"]),
    value(&["--hashlimit-burst"]),
    value(&["--hashlimit-mode"]),
    value(&["--hashlimit-name"]),
    value(&["--hashlimit-htable-size"]),
    value(&["--hashlimit-htable-max"]),
    value(&["--hashlimit-htable-gcinterval"]),
    value(&["--hashlimit-htable-expire"]),
    value(&["--hashlimit-srcmask"]),
    value(&["--hashlimit-dstmask"]),
    flag(&["--hashlimit-rate-match"]),
    value(&["--hashlimit-rate-interval"]),
];

/// Units of a packet's price in a second.
const SCALE: u64 = 1_000_000;
const BURST: u32 = 5;
const COLLECT: u32 = 1000;
/// Units of a rate, with their seconds, the longest first.
const UNITS: [(&str, u64); 4] = [("day", 86_400), ("hour", 3600), ("min", 60), ("sec", 1)];
/// Units of an amount of bytes.
const AMOUNTS: [(&str, u64); 3] = [("mb", 1 << 20), ("kb", 1 << 10), ("b", 1)];

const MODES: [(&str, Mode); 4] = [
    ("srcip", Mode::SOURCE),
    ("srcport", Mode::SOURCE_PORT),
    ("dstip", Mode::DESTINATION),
    ("dstport", Mode::DESTINATION_PORT),
];

pub(super) fn parse(family: Family, clause: &Clause<'_>) -> Parsed<HashLimit> {
    let given = clause.one_of(&["--hashlimit-upto", "--hashlimit-above"])?;
    let given = given.ok_or_else(|| clause.missing("--hashlimit-upto or --hashlimit-above"))?;
    let (rate, unit) = rate(clause, given.value())?;
    let number = |option, max| clause.value(option, |word| values::number(word, 1, max));
    let width = addressed::width(family);
    let mask = |option| clause.value(option, |word| values::number(word, 0, width));
    Ok(HashLimit {
        name: clause.need("--hashlimit-name", name)?.value,
        above: (given.name() == "--hashlimit-above") != given.negated,
        rate,
        width,
        mode: clause.value("--hashlimit-mode", mode)?.unwrap_or(Mode::empty()),
        masks: (
            mask("--hashlimit-srcmask")?.unwrap_or(width),
            mask("--hashlimit-dstmask")?.unwrap_or(width),
        ),
        capacity: Capacity {
            size: number("--hashlimit-htable-size", u32::MAX)?,
            max: number("--hashlimit-htable-max", u32::MAX)?,
        },
        expire: number("--hashlimit-htable-expire", u32::MAX)?.unwrap_or(unit * 1000),
        collect: number("--hashlimit-htable-gcinterval", u32::MAX)?.unwrap_or(COLLECT),
    })
}

/// The rate, and the seconds of its unit.
fn rate(clause: &Clause<'_>, word: &str) -> Parsed<(Rate, u32)> {
    let burst = clause.find("--hashlimit-burst").map(|given| given.value());
    let interval = clause.flag("--hashlimit-rate-match").then_some(1);
    let seconds =
        clause.value("--hashlimit-rate-interval", |word| values::number(word, 1, u32::MAX))?;
    let interval = match (interval, seconds) {
        (None, Some(_)) => return Err(clause.missing("--hashlimit-rate-match")),
        (interval, seconds) => interval.map(|second| seconds.unwrap_or(second)),
    };
    if let Some(amount) = word.strip_suffix("/s").and_then(bytes) {
        let price = u64::from(price_of_bytes(amount).ok_or_else(|| too_fast(word))?);
        let burst = match burst {
            None => 0,
            Some(word) => burst_of_bytes(word, bytes_of_price(price))?,
        };
        return Ok((Rate { price, burst, by_bytes: true, interval }, 1));
    }
    let (price, unit) = price(word, interval.is_some())?;
    let burst = burst.map_or(Ok(BURST), |word| values::number(word, 1, 1_000_000))?;
    Ok((Rate { price, burst, by_bytes: false, interval }, unit))
}

fn too_fast(word: &str) -> Fault {
    Fault::expected(word, Expected::Rate)
}

/// `COUNT[/UNIT]`; a unit may be cut short. Where rates are compared, iptables takes each for one by the second.
fn price(word: &str, compared: bool) -> Parsed<(u64, u32)> {
    let wrong = || Fault::expected(word, Expected::Rate);
    let (count, unit) = word.split_once('/').unwrap_or((word, "second"));
    let names = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];
    let unit = unit.to_ascii_lowercase();
    let found = names.into_iter().find(|(name, _)| !unit.is_empty() && name.starts_with(&*unit));
    let (_, seconds) = found.ok_or_else(wrong)?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    match SCALE * if compared { 1 } else { seconds } / count {
        0 => Err(Fault::new(word, ValueError::TooFast)),
        price => Ok((price, seconds as u32)),
    }
}

fn name(word: &str) -> Parsed<String> {
    if word.is_empty() || word.len() > 199 || word.contains(['/', ' ', '"']) {
        return Err(Fault::expected(word, Expected::Form("the name of a table")));
    }
    Ok(word.into())
}

fn mode(word: &str) -> Parsed<Mode> {
    let named = |name: &str| MODES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode);
    let form = Expected::Form("a list of srcip, srcport, dstip, dstport");
    word.split(',').try_fold(Mode::empty(), |mode, name| {
        Ok(mode | named(name).ok_or_else(|| Fault::expected(word, form))?)
    })
}

/// `NUMBER` and `b`, `kb` or `mb`.
fn bytes(word: &str) -> Option<u64> {
    let split = word.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = word.split_at(split);
    let (_, factor) = AMOUNTS.into_iter().find(|(name, _)| *name == unit)?;
    count.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes <= u32::MAX.into())
}

/// In chunks of 16 bytes, as parts of 2^32.
fn price_of_bytes(bytes: u64) -> Option<u32> {
    let chunks = u32::try_from(bytes >> 4).ok()?;
    Some(u32::MAX / (chunks + 1))
}

fn bytes_of_price(price: u64) -> u64 {
    let chunks = u64::from(u32::MAX).checked_div(price).unwrap_or(u32::MAX.into());
    chunks.saturating_sub(1) << 4
}

/// In times of the rate, rounded up.
fn burst_of_bytes(word: &str, rate: u64) -> Parsed<u32> {
    let form = Expected::Form("an amount of bytes, at least a second's");
    let amount = bytes(word).filter(|amount| *amount >= rate && rate > 0);
    let amount = amount.ok_or_else(|| Fault::expected(word, form))?;
    u32::try_from(amount.div_ceil(rate)).map_err(|_| Fault::expected(word, form))
}

pub(super) fn write(limit: &HashLimit, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(if limit.above { " --hashlimit-above " } else { " --hashlimit-upto " })?;
    let unit = write_rate(f, &limit.rate)?;
    for (number, (name, _)) in
        MODES.iter().filter(|(_, mode)| limit.mode.contains(*mode)).enumerate()
    {
        f.write_str(if number == 0 { " --hashlimit-mode " } else { "," })?;
        f.write_str(name)?;
    }
    write!(f, " --hashlimit-name {}", limit.name)?;
    let width = limit.width;
    let options = [
        ("htable-size", limit.capacity.size),
        ("htable-max", limit.capacity.max),
        ("htable-gcinterval", Some(limit.collect).filter(|time| *time != COLLECT)),
        ("htable-expire", Some(limit.expire).filter(|time| u64::from(*time) != unit * 1000)),
        ("srcmask", Some(limit.masks.0).filter(|length| *length != width)),
        ("dstmask", Some(limit.masks.1).filter(|length| *length != width)),
    ];
    for (name, number) in options {
        if let Some(number) = number {
            write!(f, " --hashlimit-{name} {number}")?;
        }
    }
    match limit.rate.interval {
        None => Ok(()),
        Some(1) => f.write_str(" --hashlimit-rate-match"),
        Some(seconds) => {
            write!(f, " --hashlimit-rate-match --hashlimit-rate-interval {seconds}")
        }
    }
}

/// The seconds of the unit that it was written in.
fn write_rate(f: &mut Formatter<'_>, rate: &Rate) -> Result<u64, fmt::Error> {
    if rate.by_bytes {
        let bytes = bytes_of_price(rate.price);
        // The price is coarse: a round amount that costs the same is what was written.
        write_bytes(f, bytes, |round| price_of_bytes(round).map(u64::from) == Some(rate.price))?;
        f.write_str("/s")?;
        if rate.burst != 0 {
            f.write_str(" --hashlimit-burst ")?;
            write_bytes(f, bytes * u64::from(rate.burst), |_| true)?;
        }
        return Ok(1);
    }
    let mut best = UNITS[0];
    for unit in &UNITS[1..] {
        let length = unit.1 * SCALE;
        if rate.price > length || length / rate.price < length % rate.price {
            break;
        }
        best = *unit;
    }
    let (name, seconds) = best;
    let count = seconds * SCALE / rate.price;
    write!(f, "{count}/{name} --hashlimit-burst {}", rate.burst)?;
    Ok(seconds)
}

/// In the largest unit that it reaches and in which `stands` for the whole, rounded down.
fn write_bytes(f: &mut Formatter<'_>, bytes: u64, stands: impl Fn(u64) -> bool) -> fmt::Result {
    let fits = |factor: u64| bytes >= factor && stands(bytes / factor * factor);
    let unit = AMOUNTS.into_iter().find(|(_, factor)| fits(*factor));
    let (name, factor) = unit.unwrap_or(("b", 1));
    write!(f, "{}{name}", bytes / factor)
}
