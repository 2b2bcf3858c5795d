//! What can be wrong with a line about sets.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::error::Error;
use core::fmt;

/// One line that could not be done; shown as `sets:3: `10.0.0.256' is not an address of the set's family`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetError {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// The field at fault.
    pub field: String,
    /// What is wrong with it.
    pub kind: SetErrorKind,
}

/// The causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetErrorKind {
    /// Not a command that is served.
    UnknownCommand,
    /// A field is missing behind this one.
    Missing,
    /// A type that is unknown or not served.
    UnsupportedType,
    /// An option that is unknown, not served or not of this type.
    UnsupportedOption,
    /// Not a number in the option's range.
    Number,
    /// Not an address of the set's family, or `0.0.0.0` or `::`.
    Address,
    /// Not a prefix length from 1 to the address's width.
    Prefix,
    /// Not a port, or a protocol with one (`tcp:80`, `udp:53`, `icmp:8/0`).
    Port,
    /// Ranges of many elements are not served; `ipset save` never writes them.
    Range,
    /// There is no such set.
    UnknownSet,
    /// The set or the element is there already.
    Exists,
    /// The element isn't there.
    Absent,
    /// The set is full.
    Full {
        /// How many elements it may have.
        most: usize,
    },
    /// A list in a list.
    NestedList,
    /// The set is in a list.
    InUse,
    /// A rule names the set.
    Named,
}

impl fmt::Display for SetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, field, kind } = self;
        write!(f, "{file}:{line}: ")?;
        match kind {
            SetErrorKind::UnknownCommand => write!(f, "unknown command `{field}'"),
            SetErrorKind::Missing => write!(f, "something is missing behind `{field}'"),
            SetErrorKind::UnsupportedType => write!(f, "set type `{field}' is not supported"),
            SetErrorKind::UnsupportedOption => write!(f, "option `{field}' is not supported here"),
            SetErrorKind::Number => write!(f, "`{field}' is not a number in range"),
            SetErrorKind::Address => write!(f, "`{field}' is not an address of the set's family"),
            SetErrorKind::Prefix => write!(f, "`{field}' is not a prefix length"),
            SetErrorKind::Port => write!(f, "`{field}' is not a port"),
            SetErrorKind::Range => write!(f, "`{field}': ranges are not supported"),
            SetErrorKind::UnknownSet => write!(f, "there is no set `{field}'"),
            SetErrorKind::Exists => write!(f, "`{field}' is there already"),
            SetErrorKind::Absent => write!(f, "`{field}' isn't there"),
            SetErrorKind::Full { most } => write!(f, "`{field}': the set has its {most} elements"),
            SetErrorKind::NestedList => write!(f, "`{field}': a list can't be in a list"),
            SetErrorKind::InUse => write!(f, "set `{field}' is in a list"),
            SetErrorKind::Named => write!(f, "a rule names set `{field}'"),
        }
    }
}

impl Error for SetError {}

/// An error whose line is not known yet.
#[derive(Debug)]
pub(super) struct Fault {
    field: String,
    kind: SetErrorKind,
}

impl Fault {
    pub(super) fn new(field: &str, kind: SetErrorKind) -> Self {
        Self { field: field.to_owned(), kind }
    }

    pub(super) fn at(self, file: &str, line: usize) -> SetError {
        SetError { file: file.to_owned(), line, field: self.field, kind: self.kind }
    }
}
