//! What can be wrong with a ruleset, by cause, each with its place in the text.
//!
//! Inside the module an error is a [`Fault`], a word and a cause; the stage that knows the line makes it a
//! [`RuleError`].

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::error::Error;
use core::fmt;

use super::ast::{Hook, TableKind};

/// One error in a rules file; shown as `rules.v4:12: unknown option `--foo'`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The file's name as the caller gave it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// The word at fault.
    pub word: String,
    /// What is wrong with it.
    pub kind: RuleErrorKind,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        match self.kind {
            RuleErrorKind::File(error) => error.describe(&self.word, f),
            RuleErrorKind::Grammar(error) => error.describe(&self.word, f),
            RuleErrorKind::Value(error) => error.describe(&self.word, f),
            RuleErrorKind::Check(error) => error.describe(&self.word, f),
        }
    }
}

impl Error for RuleError {}

/// The causes, by the stage that finds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleErrorKind {
    /// The file's layout of tables and chains.
    File(FileError),
    /// The words of a rule.
    Grammar(GrammarError),
    /// The value of an option.
    Value(ValueError),
    /// A rule that reads well and can't be loaded.
    Check(CheckError),
}

impl From<FileError> for RuleErrorKind {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<GrammarError> for RuleErrorKind {
    fn from(error: GrammarError) -> Self {
        Self::Grammar(error)
    }
}

impl From<ValueError> for RuleErrorKind {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl From<CheckError> for RuleErrorKind {
    fn from(error: CheckError) -> Self {
        Self::Check(error)
    }
}

/// Errors in the layout of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// A chain, rule or COMMIT before any `*TABLE`.
    OutsideTable,
    /// No such table.
    UnknownTable,
    /// A table twice in one file.
    RepeatedTable,
    /// A `*TABLE` where the table before has no COMMIT yet.
    OpenTable,
    /// The file ends inside a table.
    MissingCommit,
    /// Not `:CHAIN POLICY [packets:bytes]`.
    MalformedChain,
    /// A name that no chain can have.
    BadChainName,
    /// A chain twice in one table.
    RepeatedChain,
    /// A policy other than ACCEPT, DROP and `-`.
    UnknownPolicy,
    /// A policy for a user chain.
    PolicyOnUserChain,
    /// Not `[packets:bytes]`.
    BadCounters,
    /// A rule for a chain that is not declared, or only further down.
    UnknownChain,
    /// A rule's counters or `-A` and nothing behind.
    MissingCommand,
    /// A command other than `-A CHAIN`.
    UnsupportedCommand,
    /// A `"` without its end.
    UnclosedQuote,
}

impl FileError {
    fn describe(self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutsideTable => write!(f, "`{word}' stands outside a table, `*TABLE' expected"),
            Self::UnknownTable => write!(f, "unknown table `{word}'"),
            Self::RepeatedTable => write!(f, "table `{word}' is given twice"),
            Self::OpenTable => write!(f, "table `{word}' begins before COMMIT of the one before"),
            Self::MissingCommit => write!(f, "COMMIT of table `{word}' expected"),
            Self::MalformedChain => {
                write!(f, "malformed chain `{word}', `:CHAIN POLICY [packets:bytes]' expected")
            }
            Self::BadChainName => write!(f, "invalid chain name `{word}'"),
            Self::RepeatedChain => write!(f, "chain `{word}' is declared twice"),
            Self::UnknownPolicy => write!(f, "unknown policy `{word}', ACCEPT, DROP or - expected"),
            Self::PolicyOnUserChain => {
                write!(f, "user chain `{word}' can't have a policy, - expected")
            }
            Self::BadCounters => write!(f, "invalid counters `{word}', [packets:bytes] expected"),
            Self::UnknownChain => write!(f, "chain `{word}' is not declared"),
            Self::MissingCommand => write!(f, "`-A CHAIN' expected behind `{word}'"),
            Self::UnsupportedCommand => write!(f, "command `{word}' is not supported, only -A is"),
            Self::UnclosedQuote => write!(f, "`\"' missing at the end of `{word}'"),
        }
    }
}

/// Errors in the words of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrammarError {
    /// Neither a general option nor one of the rule's matches and its target.
    UnknownOption,
    /// An option that the engine can't do.
    UnsupportedOption,
    /// A word where an option is expected.
    StrayWord,
    /// An option without its value.
    MissingValue,
    /// `!` before an option that can't be negated, or before none.
    NotNegatable,
    /// `! !`
    DoubleNegation,
    /// An option twice.
    Repeated,
    /// Two options that exclude each other.
    Conflict {
        /// The other one.
        with: &'static str,
    },
    /// A match or target without an option that it needs.
    Missing {
        /// The option, or the choice.
        option: &'static str,
    },
    /// No such match in this family.
    UnknownMatch,
    /// A match that the engine doesn't have.
    UnsupportedMatch,
    /// A match that belongs to another subsystem of the kernel, and that the engine won't have.
    ForeignMatch,
    /// Neither a target of this family nor a chain.
    UnknownTarget,
    /// A target that the engine doesn't have.
    UnsupportedTarget,
    /// A target that belongs to another subsystem of the kernel, and that the engine won't have.
    ForeignTarget,
    /// `-g` to something else than a chain.
    NotAChain,
    /// A jump to a built-in chain.
    BuiltinChain,
    /// An option that only the other family has.
    OtherFamily,
}

impl GrammarError {
    fn describe(self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption => write!(f, "unknown option `{word}'"),
            Self::UnsupportedOption => write!(f, "option `{word}' is not supported"),
            Self::StrayWord => write!(f, "unexpected `{word}'"),
            Self::MissingValue => write!(f, "option `{word}' needs a value"),
            Self::NotNegatable => write!(f, "`{word}' can't be negated"),
            Self::DoubleNegation => write!(f, "`{word}' after `!'"),
            Self::Repeated => write!(f, "option `{word}' is given twice"),
            Self::Conflict { with } => write!(f, "option `{word}' excludes `{with}'"),
            Self::Missing { option } => write!(f, "`{word}' needs {option}"),
            Self::UnknownMatch => write!(f, "unknown match `{word}'"),
            Self::UnsupportedMatch => write!(f, "match `{word}' is not supported"),
            Self::ForeignMatch => {
                write!(f, "match `{word}' is of another subsystem of the kernel and not planned")
            }
            Self::UnknownTarget => write!(f, "unknown target or chain `{word}'"),
            Self::UnsupportedTarget => write!(f, "target `{word}' is not supported"),
            Self::ForeignTarget => {
                write!(f, "target `{word}' is of another subsystem of the kernel and not planned")
            }
            Self::NotAChain => write!(f, "goto `{word}': not a chain"),
            Self::BuiltinChain => write!(f, "jump to built-in chain `{word}'"),
            Self::OtherFamily => write!(f, "option `{word}' is not of this address family"),
        }
    }
}

/// Errors in an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueError {
    /// Not of the form that the option takes.
    Invalid(Expected),
    /// A name where an address must stand: names are not looked up.
    HostName,
    /// A range whose end is before its beginning.
    Reversed,
    /// Longer than the kernel can hold.
    TooLong {
        /// Bytes allowed.
        max: usize,
    },
    /// More than 15 ports in a list; a range counts as two.
    TooManyPorts,
    /// A rate above 10000 a second.
    TooFast,
    /// A condition that no packet can meet.
    NeverMatches,
    /// `!` before several addresses.
    NegatedList,
    /// A name or number that has one already.
    Repeated,
}

impl ValueError {
    fn describe(self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(expected) => write!(f, "`{word}' is not {expected}"),
            Self::HostName => {
                write!(f, "`{word}' is not an address, host names are not supported")
            }
            Self::Reversed => write!(f, "range `{word}' ends before it begins"),
            Self::TooLong { max } => write!(f, "`{word}' is too long, at most {max} bytes"),
            Self::TooManyPorts => write!(f, "too many ports in `{word}', at most 15"),
            Self::TooFast => write!(f, "rate `{word}' is too fast, at most 10000 a second"),
            Self::NeverMatches => write!(f, "`{word}' would never match"),
            Self::NegatedList => write!(f, "`{word}': several addresses can't be negated"),
            Self::Repeated => write!(f, "`{word}' is given a second time"),
        }
    }
}

/// What an option's value should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// An address of the ruleset's family.
    Address,
    /// A prefix length or mask.
    Mask,
    /// A prefix length or mask without holes.
    Prefix,
    /// A range of addresses.
    AddressRange,
    /// An interface name or its beginning and `+`.
    Interface,
    /// A protocol's name or number.
    Protocol,
    /// A port's number or service name.
    Port,
    /// A number in this range.
    Number {
        /// The lowest.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// TCP flags.
    TcpFlags,
    /// An ICMP type.
    IcmpType,
    /// An ICMPv6 type.
    Icmpv6Type,
    /// States.
    CtStates,
    /// Status bits.
    CtStatus,
    /// A direction.
    CtDirection,
    /// Events.
    Events,
    /// A zone.
    Zone,
    /// A rate.
    Rate,
    /// Address types.
    AddressTypes,
    /// An Ethernet address.
    EthernetAddress,
    /// A REJECT type.
    RejectType,
    /// A syslog level.
    LogLevel,
    /// Some text.
    Text,
    /// One of two words.
    OneOf {
        /// The first.
        this: &'static str,
        /// The second.
        that: &'static str,
    },
    /// Something of this description.
    Form(&'static str),
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "an address of this family",
            Self::Mask => "a prefix length or mask",
            Self::Prefix => "a prefix length or mask without holes",
            Self::AddressRange => "a range of addresses",
            Self::Interface => "an interface name",
            Self::Protocol => "a known protocol",
            Self::Port => "a port or known service",
            Self::Number { min, max } => return write!(f, "a number from {min} to {max}"),
            Self::TcpFlags => "a list of FIN, SYN, RST, PSH, ACK, URG, ALL, NONE",
            Self::IcmpType => "an ICMP type or type/code",
            Self::Icmpv6Type => "an ICMPv6 type or type/code",
            Self::CtStates => "a list of known states",
            Self::CtStatus => "a list of NONE, EXPECTED, SEEN_REPLY, ASSURED, CONFIRMED",
            Self::CtDirection => "ORIGINAL or REPLY",
            Self::Events => "a list of known events",
            Self::Zone => "a zone from 0 to 65535 or `mark'",
            Self::Rate => "a rate, NUMBER[/second|/minute|/hour|/day]",
            Self::AddressTypes => "a list of known address types",
            Self::EthernetAddress => "an Ethernet address",
            Self::RejectType => "a known reject type of this family",
            Self::LogLevel => "a log level",
            Self::Text => "a text of at least one character",
            Self::OneOf { this, that } => return write!(f, "`{this}' or `{that}'"),
            Self::Form(form) => form,
        })
    }
}

/// Why a kernel would not load a rule, or the engine can't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckError {
    /// DROP in the nat table.
    NatDrop,
    /// A chain that can be reached from a hook leads back to itself.
    Loop,
    /// A target in a table where it may not be.
    Table {
        /// Where it belongs.
        only: TableKind,
    },
    /// A match in a table where it may not be.
    Tables {
        /// Where it belongs.
        only: &'static str,
    },
    /// A target, match or option that can be reached from a hook where it may not be.
    Hook {
        /// That hook.
        hook: Hook,
    },
    /// A match, target or option without the `-p` it needs.
    Protocol {
        /// What it needs.
        needs: &'static str,
    },
    /// `CT --helper`
    Helper,
    /// A rate and burst whose product the kernel can't hold.
    LimitOverflow,
    /// An address type that the kernel doesn't know in IPv6.
    AddressType,
}

impl CheckError {
    fn describe(self, word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NatDrop => write!(
                f,
                "The \"nat\" table is not intended for filtering, the use of {word} is therefore inhibited."
            ),
            Self::Loop => write!(f, "jump to `{word}' makes a loop"),
            Self::Table { only } => write!(f, "`{word}' is only valid in the {only} table"),
            Self::Tables { only } => write!(f, "`{word}' is only valid in the tables {only}"),
            Self::Hook { hook } => write!(f, "`{word}' is not valid where {hook} leads"),
            Self::Protocol { needs } => write!(f, "`{word}' needs {needs}"),
            Self::Helper => {
                write!(f, "no connection-tracking helper `{word}' for this family and protocol")
            }
            Self::LimitOverflow => write!(f, "`{word}': burst times interval is too large"),
            Self::AddressType => write!(f, "address type `{word}' does not exist in IPv6"),
        }
    }
}

/// An error whose line is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    word: String,
    kind: RuleErrorKind,
}

impl Fault {
    pub(super) fn new(word: &str, kind: impl Into<RuleErrorKind>) -> Self {
        Self { word: word.to_owned(), kind: kind.into() }
    }

    pub(super) fn expected(word: &str, expected: Expected) -> Self {
        Self::new(word, ValueError::Invalid(expected))
    }

    pub(super) fn at(self, file: &str, line: u32) -> RuleError {
        RuleError { file: file.to_owned(), line, word: self.word, kind: self.kind }
    }
}
