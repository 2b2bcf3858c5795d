//! Why there is no lab.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::traffic::ledger::Fault;
use crate::client::ClientError;

/// Why the lab can't be built, or can't go on.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The system allows no namespaces.
    Forbidden(io::Error),
    /// Links, addresses or services can't be made in them.
    Links(io::Error),
    /// A file can't be read or written.
    File(PathBuf, io::Error),
    /// There is no place for the page.
    Page(SocketAddr, io::Error),
    /// A program ended that should go on, or failed; with what it said.
    Ended {
        /// Which, and how.
        what: String,
        /// Its last words.
        log: String,
    },
    /// The gateway's table doesn't answer.
    Table(ClientError),
    /// The gateway lets nothing through, not even a ping.
    NoPassage(Fault),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(error) => write!(f, "no namespaces for a lab: {error}; {FORBIDDEN}"),
            Self::Links(error) => write!(f, "the lab's networks: {error}"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Page(address, error) => write!(f, "no page at {address}: {error}"),
            Self::Ended { what, log } => write!(f, "{what}: {}", log.trim_end()),
            Self::Table(error) => write!(f, "the gateway's table: {error}"),
            Self::NoPassage(fault) => write!(f, "the gateway lets no ping through: {fault}"),
        }
    }
}

const FORBIDDEN: &str = "it takes root with CAP_SYS_ADMIN, or user namespaces for everybody (sysctl \
     user.max_user_namespaces above 0, and where they exist kernel.unprivileged_userns_clone=1 and \
     kernel.apparmor_restrict_unprivileged_userns=0); in a container, `--privileged' or a machine of its own";
