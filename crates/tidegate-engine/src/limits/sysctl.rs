//! Reading settings from text: single values as the kernel's `/proc/sys` does, and files as `sysctl
//! -p` does.
//!
//! A file is taken as a whole or not at all, and every line that has no effect is reported with its
//! number: a typing error in a security setting must not pass in silence. A setting that belongs to
//! another part of the system, or that Linux has and Tidegate does not serve yet, is only a
//! warning, so that a router's existing file can be used as it is. Which names exist and what they
//! accept is the business of [`names`].

use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::{error::Error, fmt, ops::RangeInclusive};

use super::{
    Limits,
    names::{self, Entry, Name},
};

/// What a valid write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The setting has the new value.
    Stored,
    /// Linux 6.18 has this setting, Tidegate does not serve it yet; nothing changed.
    NotServed,
    /// The setting belongs to another part of the system; nothing changed.
    NotOurs,
}

/// Why a write is refused. `key` is the name in its dotted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SysctlError {
    /// A line of a file is not `key = value`.
    NotAnAssignment {
        /// The line.
        text: String,
    },
    /// There is no setting of this name.
    Unknown {
        /// The name.
        key: String,
    },
    /// Kernels before 6.18 had this setting.
    Removed {
        /// The name.
        key: String,
        /// What became of it, and what to use instead.
        fate: &'static str,
    },
    /// The setting can only be read.
    ReadOnly {
        /// The name.
        key: String,
    },
    /// The value is not a whole number (the kernel's EINVAL).
    NotANumber {
        /// The name.
        key: String,
        /// The value as written.
        value: String,
    },
    /// The setting does not take this number (the kernel's EINVAL).
    OutOfRange {
        /// The name.
        key: String,
        /// The number.
        value: i128,
        /// What it takes at present: a low threshold is bounded by the high one, and the other way
        /// round.
        allowed: RangeInclusive<i128>,
    },
}

/// What [`parse_file`] found. The settings were changed if, and only if, `errors` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps the file from being applied, in line order.
    pub errors: Vec<Finding>,
    /// Lines without effect that may stay, in line order.
    pub warnings: Vec<Finding>,
}

/// A line of a file that has no effect, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file's name as the caller gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// Why it has no effect.
    pub cause: Cause,
}

/// Why a line has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The write is refused: an error.
    Refused(SysctlError),
    /// The write is refused, but a `-` before the name says that this may be ignored: a warning.
    Ignored(SysctlError),
    /// Linux 6.18 has this setting, Tidegate does not serve it yet: a warning.
    NotServed {
        /// The name as written.
        key: String,
    },
    /// The setting belongs to another part of the system: a warning.
    NotOurs {
        /// The name as written.
        key: String,
    },
}

/// Applies `text`, a file in the format of sysctl.conf(5), to `limits`: all of it, or nothing when
/// there is an error.
///
/// A line is empty, a comment (`#` or `;`), or `key = value`; a `-` before the key lets the line
/// fail. The lines take effect in their order, so that the last one wins, and thresholds must be
/// raised from the top. `name` is only used in the findings.
pub fn parse_file(name: &str, text: &str, limits: &mut Limits) -> Report {
    let mut draft = *limits;
    let mut report = Report::default();
    for (index, line) in text.lines().enumerate() {
        let Some(cause) = apply_line(line.trim(), &mut draft) else { continue };
        let list = match cause {
            Cause::Refused(_) => &mut report.errors,
            _ => &mut report.warnings,
        };
        list.push(Finding { file: name.to_owned(), line: index + 1, cause });
    }
    if report.errors.is_empty() {
        *limits = draft;
    }
    report
}

/// Applies one trimmed line; the answer says why it had no effect, if it should have had one.
fn apply_line(line: &str, limits: &mut Limits) -> Option<Cause> {
    if line.is_empty() || line.starts_with(['#', ';']) {
        return None;
    }
    let (may_fail, assignment) = match line.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let Some((key, value)) = assignment.split_once('=') else {
        let error = SysctlError::NotAnAssignment { text: line.to_owned() };
        return Some(Cause::refused(error, may_fail));
    };
    let key = key.trim();
    match set(limits, key, value) {
        Ok(Outcome::Stored) => None,
        Ok(Outcome::NotServed) => Some(Cause::NotServed { key: key.to_owned() }),
        Ok(Outcome::NotOurs) => Some(Cause::NotOurs { key: key.to_owned() }),
        Err(error) => Some(Cause::refused(error, may_fail)),
    }
}

/// See [`Limits::set`].
pub(super) fn set(limits: &mut Limits, key: &str, value: &str) -> Result<Outcome, SysctlError> {
    let name = canonical(key);
    match names::classify(&name) {
        Name::Served(entry) => store(limits, entry, value),
        Name::NotServed => Ok(Outcome::NotServed),
        Name::NotOurs => Ok(Outcome::NotOurs),
        Name::ReadOnly => Err(SysctlError::ReadOnly { key: name.into_owned() }),
        Name::Removed(fate) => Err(SysctlError::Removed { key: name.into_owned(), fate }),
        Name::Unknown => Err(SysctlError::Unknown { key: name.into_owned() }),
    }
}

fn store(limits: &mut Limits, entry: &Entry, value: &str) -> Result<Outcome, SysctlError> {
    let key = || entry.name.to_owned();
    let number =
        entry.field.word(value.trim()).or_else(|| number(value)).ok_or_else(|| {
            SysctlError::NotANumber { key: key(), value: value.trim().to_owned() }
        })?;
    let allowed = entry.field.range(*limits);
    if !allowed.contains(&number) {
        return Err(SysctlError::OutOfRange { key: key(), value: number, allowed });
    }
    entry.field.store(limits, number);
    Ok(Outcome::Stored)
}

/// The dotted form of a name. As in sysctl(8) the first separator decides: after a slash, slashes
/// separate and dots are part of a component, and are written as slashes in the dotted form.
pub(super) fn canonical(key: &str) -> Cow<'_, str> {
    match key.find(['.', '/']) {
        Some(place) if key[place..].starts_with('/') => key
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => key.into(),
    }
}

/// The number that the kernel reads from `text`: its first word, with an optional minus sign, in
/// decimal, octal after `0` or hexadecimal after `0x`. There is no plus sign, and what follows the
/// first word does not matter.
fn number(text: &str) -> Option<i128> {
    let word = text.split_ascii_whitespace().next()?;
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // from_str_radix would take a second sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok().map(|magnitude| sign * i128::from(magnitude))
}

impl Cause {
    fn refused(error: SysctlError, may_fail: bool) -> Self {
        if may_fail { Self::Ignored(error) } else { Self::Refused(error) }
    }
}

impl fmt::Display for SysctlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAssignment { text } => write!(f, "not of the form key = value: {text}"),
            Self::Unknown { key } => write!(f, "{key}: no such setting"),
            Self::Removed { key, fate } => write!(f, "{key}: {fate}"),
            Self::ReadOnly { key } => write!(f, "{key}: can only be read"),
            Self::NotANumber { key, value } => write!(f, "{key}: not a whole number: \"{value}\""),
            Self::OutOfRange { key, value, allowed } => {
                write!(f, "{key}: {value} is not within {} to {}", allowed.start(), allowed.end())
            }
        }
    }
}

impl Error for SysctlError {}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match &self.cause {
            Cause::Refused(error) => error.fmt(f),
            Cause::Ignored(error) => write!(f, "ignored: {error}"),
            Cause::NotServed { key } => write!(f, "{key}: not served yet, no effect"),
            Cause::NotOurs { key } => {
                write!(f, "{key}: not a setting of connection tracking, no effect")
            }
        }
    }
}
