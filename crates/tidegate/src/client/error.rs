//! Why a table gave no answer, or not the one that was asked for.

use std::path::PathBuf;
use std::{fmt, io};

use rustix::io::Errno;
use tidegate_gateway::snapshot::Fault;
use tidegate_wire::netlink::{AttrError, FrameError};

/// What can come between us and a table.
#[derive(Debug)]
pub(crate) enum ClientError {
    /// A network namespace can't be entered.
    Namespace {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel gives no netlink socket.
    Netlink(io::Error),
    /// An engine's control socket can't be reached.
    Socket {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The socket failed in the middle of a conversation.
    Broken(io::Error),
    /// The other side hung up.
    Closed,
    /// The table refused a request.
    Refused(Errno),
    /// What came can't be read.
    Garbled(String),
    /// There is no setting of this name.
    NoSetting(PathBuf),
    /// A file of a snapshot can't be read.
    Snapshot(Fault),
    /// Of that moment nothing was recorded.
    NotRecorded(PathBuf),
    /// What was asked for takes a table that lives, and this is a file.
    ReadOnly(PathBuf),
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// How bad it is: what the exit status tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Not done.
    Failed,
    /// Not allowed.
    Denied,
    /// There is no such table.
    Unreachable,
}

impl ClientError {
    /// How bad it is.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Namespace { error, .. }
            | Self::Socket { error, .. }
            | Self::Netlink(error)
            | Self::File { error, .. }
                if error.kind() == io::ErrorKind::PermissionDenied =>
            {
                Severity::Denied
            }
            Self::Refused(Errno::PERM | Errno::ACCESS) => Severity::Denied,
            Self::Namespace { .. } | Self::Socket { .. } | Self::Netlink(_) => {
                Severity::Unreachable
            }
            Self::Broken(_)
            | Self::Closed
            | Self::Refused(_)
            | Self::Garbled(_)
            | Self::NoSetting(_)
            | Self::Snapshot(_)
            | Self::ReadOnly(_)
            | Self::NotRecorded(_)
            | Self::File { .. } => Severity::Failed,
        }
    }

    /// Whether there is no such entry or setting.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Errno::NOENT) | Self::NoSetting(_))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace { path, error } => {
                write!(f, "network namespace {}: {error}", path.display())
            }
            Self::Netlink(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                write_refusal(f, Errno::PERM)
            }
            Self::Netlink(error) => write!(f, "netlink socket of netfilter: {error}"),
            Self::Socket { path, error } => {
                write!(f, "control socket {}: {error}", path.display())
            }
            Self::Broken(error) => write!(f, "the conversation broke off: {error}"),
            Self::Closed => f.write_str("the engine closed the conversation"),
            Self::Refused(errno) => write_refusal(f, *errno),
            Self::Garbled(why) => write!(f, "an answer can't be read: {why}"),
            Self::NoSetting(path) => write!(f, "there is no {}", path.display()),
            Self::Snapshot(fault) => write!(f, "{fault}"),
            Self::NotRecorded(path) => {
                write!(f, "{}: nothing was recorded at that time", path.display())
            }
            Self::ReadOnly(path) => {
                write!(
                    f,
                    "{}: a file can only be read; this takes a table that lives",
                    path.display()
                )
            }
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

fn write_refusal(f: &mut fmt::Formatter<'_>, errno: Errno) -> fmt::Result {
    match errno {
        Errno::PERM | Errno::ACCESS => f.write_str(
            "not permitted: be root, or have CAP_NET_ADMIN in the network namespace; of an engine be the user, \
             or in its admin group",
        ),
        Errno::NOENT => f.write_str("there is no such entry"),
        Errno::EXIST => f.write_str("there is such an entry already: `update' changes it"),
        Errno::NOMEM => f.write_str("the table is full"),
        Errno::NOSPC => f.write_str(
            "there is no room: a flow that began before there was any rule about labels takes none, and \
             of new flows too many hash to the same place",
        ),
        Errno::BUSY => f.write_str("the table is busy with the entry, or forbids this change of it"),
        _ => write!(f, "the table refused: {}", io::Error::from(errno)),
    }
}

impl std::error::Error for ClientError {}

impl From<Fault> for ClientError {
    fn from(fault: Fault) -> Self {
        Self::Snapshot(fault)
    }
}

impl From<FrameError> for ClientError {
    fn from(error: FrameError) -> Self {
        Self::Garbled(error.to_string())
    }
}

impl From<AttrError> for ClientError {
    fn from(error: AttrError) -> Self {
        Self::Garbled(error.to_string())
    }
}
