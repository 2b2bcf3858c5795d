//! Programs that nobody here wrote, and the kernel's own netlink, against the server's.
//!
//! Two things are done with this machine's kernel, in a network namespace made for it, and with an engine, and what
//! came of them must be the same but for what can't be: numbers of flows, seconds, who asked.
//!
//! * [`exchange`]: requests of every kind, byte by byte, and the events that they bring about;
//! * [`commands`]: conntrack(8) as a user calls it, through the preloaded library.

pub mod commands;
pub mod exchange;
mod namespace;
mod requests;
mod text;

use std::error::Error;
use std::fmt;

use crate::campaign::{KernelError, enter_user_namespace};

/// Makes sure that namespaces may be made. To be called while the program has a single thread.
///
/// # Errors
/// The machine forbids it.
pub fn prepare() -> Result<(), KernelError> {
    enter_user_namespace()
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Report {
    /// So many were the same.
    pub equal: usize,
    /// What differs: a text for each.
    pub differences: Vec<String>,
}

impl Report {
    /// Whether there was something to compare, and nothing differs.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.equal > 0 && self.differences.is_empty()
    }

    /// Adds what was found; `what` names it.
    fn add(&mut self, what: &str, kernel: &str, engine: &str) {
        if kernel == engine {
            self.equal += 1;
        } else {
            self.differences.push(format!("{what}\n--- kernel\n{kernel}\n+++ engine\n{engine}"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        write!(f, "{} equal, {} different", self.equal, self.differences.len())
    }
}

/// Why nothing could be compared.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;
