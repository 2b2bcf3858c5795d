//! The options that say which table is meant, and how often to look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::client::{Place, Saved};

/// Which table.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which table")]
pub(crate) struct PlaceArgs {
    /// The kernel's in this network namespace: a name of `ip netns`, a process, or a path with a slash
    #[arg(long, short = 'N', value_name = "NAME|PID|PATH")]
    netns: Option<String>,
    /// That of an engine, by the path of its control socket
    #[arg(long, value_name = "PATH", conflicts_with = "netns")]
    socket: Option<PathBuf>,
    /// One that `snapshot' or `record' wrote down
    #[arg(long, value_name = "FILE", conflicts_with_all = ["netns", "socket"])]
    read: Option<PathBuf>,
}

impl PlaceArgs {
    /// The table; that of the kernel in our own namespace if nothing is said.
    pub(crate) fn place(&self) -> Place {
        self.place_or(None)
    }

    /// The same, where a file may be named elsewhere on the command line.
    pub(crate) fn place_or(&self, file: Option<&Path>) -> Place {
        if let Some(path) = self.read.as_deref().or(file) {
            return Place::File(Saved { path: path.to_owned() });
        }
        match &self.socket {
            Some(path) => Place::Engine(path.clone()),
            None => Place::Kernel(self.netns.clone()),
        }
    }

    /// The options that name the table, each with a blank in front.
    pub(crate) fn words(&self) -> String {
        let netns = self.netns.as_ref().map(|name| format!(" --netns {name}"));
        let socket = self.socket.as_ref().map(|path| format!(" --socket {}", path.display()));
        netns.into_iter().chain(socket).collect()
    }
}

/// How often to look.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct WatchArgs {
    /// Show it again and again, every so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", require_equals = true)]
    watch: Option<f64>,
}

impl WatchArgs {
    /// The time between two looks; `None`: one look is enough.
    ///
    /// # Errors
    /// It is no time.
    pub(crate) fn interval(self) -> Result<Option<Duration>, String> {
        let Some(seconds) = self.watch else { return Ok(None) };
        let interval = Duration::try_from_secs_f64(seconds).ok();
        let interval = interval.filter(|interval| *interval >= SHORTEST);
        interval.map(Some).ok_or_else(|| format!("--watch={seconds}: a tenth of a second at least"))
    }
}

const SHORTEST: Duration = Duration::from_millis(100);
