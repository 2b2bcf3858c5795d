//! What can keep the kernel from being asked.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// Why the kernel gave no answer.
#[derive(Debug)]
pub enum KernelError {
    /// Namespaces can't be made.
    Forbidden(Errno),
    /// A tool of the system is missing or refused its input.
    Tool {
        /// Its name.
        tool: &'static str,
        /// What it said, and what about.
        output: String,
    },
    /// A file or socket of the system failed.
    System {
        /// Which one.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel's traces don't name conntrack's entries.
    TooOld,
}

impl KernelError {
    /// Makes an error that tells where it happened.
    pub(super) fn at<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::System { what: what.to_owned(), error: error.into() }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(error) => write!(
                f,
                "this machine lets nobody like you make namespaces: {error} (be root, or allow \
                 user namespaces: user.max_user_namespaces, kernel.unprivileged_userns_clone, \
                 kernel.apparmor_restrict_unprivileged_userns)"
            ),
            Self::Tool { tool, output } => write!(f, "{tool}: {output}"),
            Self::System { what, error } => write!(f, "{what}: {error}"),
            Self::TooOld => f.write_str(
                "this kernel's traces don't name conntrack entries: it takes Linux 6.18",
            ),
        }
    }
}

impl std::error::Error for KernelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Forbidden(error) => Some(error),
            Self::System { error, .. } => Some(error),
            Self::Tool { .. } | Self::TooOld => None,
        }
    }
}
