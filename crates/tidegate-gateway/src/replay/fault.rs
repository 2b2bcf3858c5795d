//! What can be wrong with the input of a replay. Every fault names its file, and
//! the line, record or byte in it.

use std::error::Error;
use std::fmt;
use std::io;

use tidegate_engine::ipset::SetError;
use tidegate_engine::limits;
use tidegate_engine::rules::RuleError;
use tidegate_wire::pcap::CaptureError;

/// Something wrong in an input file.
#[derive(Debug)]
pub struct Fault {
    /// The file, as the user may find it.
    pub file: String,
    /// The line in it, from 1, where that means something.
    pub line: Option<usize>,
    /// What is wrong.
    pub cause: Cause,
}

/// What is wrong.
#[derive(Debug)]
pub enum Cause {
    /// It can't be read.
    Io(io::Error),
    /// It is not UTF-8.
    NotText,
    /// A damaged capture. What came before the damage has been processed.
    Capture(CaptureError),
    /// A directory without `packets.pcap`.
    NoPackets,
    /// A rule that is not understood or that the kernel would refuse.
    Rule(Box<RuleError>),
    /// A line of a settings file that is refused or, as a warning, has no effect.
    Sysctl(Box<limits::Finding>),
    /// A line about sets that can't be done.
    Set(Box<SetError>),
    /// A rule names a set that isn't there.
    UnknownSet(String),
    /// A timeout policy that is not understood.
    Policy(Box<limits::PolicyError>),
    /// A rule names a timeout policy that isn't there, or is for another family or protocol.
    UnknownPolicy(String),
    /// An action's setting that is unknown or has a wrong value.
    Setting(Box<limits::SysctlError>),
    /// A line of `topology.conf` that is not `mtu PORT BYTES`.
    Topology(String),
    /// JSON that does not say what it should.
    Json(serde_json::Error),
    /// An action names a rules file that the scenario does not have.
    MissingFile(String),
    /// An action names a protocol that it can't act on.
    UnknownProtocol(String),
    /// A field of a gateway's file says what can't be.
    Config {
        /// The field; empty where the problem names it.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A patch refers to a packet or a field that is not there.
    Patch {
        /// The packet that was to be patched.
        index: u64,
        /// The packet whose output it takes a value from.
        from: u64,
    },
}

impl Fault {
    /// A fault of the file as a whole.
    #[must_use]
    pub fn of(file: impl Into<String>, cause: Cause) -> Self {
        Self { file: file.into(), line: None, cause }
    }

    /// A rule that is refused.
    pub(super) fn rule(error: RuleError) -> Self {
        let line = usize::try_from(error.line).ok();
        Self { file: error.file.clone(), line, cause: Cause::Rule(Box::new(error)) }
    }

    /// A line of a settings file.
    pub(super) fn sysctl(finding: limits::Finding) -> Self {
        let line = Some(finding.line);
        Self { file: finding.file.clone(), line, cause: Cause::Sysctl(Box::new(finding)) }
    }

    /// A line about sets.
    pub(super) fn set(error: SetError) -> Self {
        let line = Some(error.line);
        Self { file: error.file.clone(), line, cause: Cause::Set(Box::new(error)) }
    }

    /// A line about a timeout policy.
    pub(super) fn policy(error: limits::PolicyError) -> Self {
        let line = Some(error.line);
        Self { file: error.file.clone(), line, cause: Cause::Policy(Box::new(error)) }
    }

    /// A fault of one line.
    #[must_use]
    pub fn at(file: impl Into<String>, line: usize, cause: Cause) -> Self {
        Self { file: file.into(), line: Some(line), cause }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Findings of the engine name their file and line themselves.
        if !matches!(
            self.cause,
            Cause::Rule(_) | Cause::Sysctl(_) | Cause::Set(_) | Cause::Policy(_)
        ) {
            write!(f, "{}:", self.file)?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}", self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NotText => f.write_str("not UTF-8 text"),
            Self::Capture(error) => write!(f, "{error}"),
            Self::NoPackets => f.write_str("no packets.pcap here, nor in any directory below"),
            Self::Rule(error) => write!(f, "{error}"),
            Self::Sysctl(finding) => write!(f, "{finding}"),
            Self::Set(error) => write!(f, "{error}"),
            Self::UnknownSet(name) => write!(f, "there is no set `{name}'"),
            Self::Policy(error) => write!(f, "{error}"),
            Self::UnknownPolicy(name) => {
                write!(f, "there is no timeout policy `{name}' for this family and protocol")
            }
            Self::Setting(error) => write!(f, "{error}"),
            Self::Topology(line) => write!(f, "expected `mtu PORT BYTES`, found `{line}`"),
            Self::Json(error) => write!(f, "{error}"),
            Self::MissingFile(name) => write!(f, "the scenario has no file `{name}`"),
            Self::UnknownProtocol(name) => write!(f, "can't act on flows of protocol `{name}`"),
            Self::Config { field, problem } if field.is_empty() => f.write_str(problem),
            Self::Config { field, problem } => write!(f, "{field}: {problem}"),
            Self::Patch { index, from } => write!(
                f,
                "packet {index} can't be patched: packet {from} put out nothing with that field"
            ),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Io(error) => Some(error),
            Cause::Capture(error) => Some(error),
            Cause::Json(error) => Some(error),
            _ => None,
        }
    }
}
