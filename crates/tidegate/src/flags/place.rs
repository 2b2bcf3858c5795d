//! The options that say which table is meant, and how often to look.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::client::{Place, Saved};
use crate::filter::timeout;
use crate::message::quoted;
use crate::present::time_of_day;
use crate::record::DEFAULT_DIR;

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
    /// One that `snapshot' or `record' wrote down; of a recording's directory its end
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["netns", "socket"])]
    read: Option<PathBuf>,
    /// As a recording has it at this time, such as 2026-11-22T03:07:41Z, 03:07 or -5m; in UTC
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = moment, conflicts_with_all = ["netns", "socket"])]
    at: Option<u64>,
}

/// Which engine, for what only an engine can do.
#[derive(Clone, Debug, Args)]
pub(crate) struct EngineArgs {
    /// The engine's control socket
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/run/tidegate.sock",
        env = "TIDEGATE_SOCKET"
    )]
    pub(crate) socket: PathBuf,
}

impl EngineArgs {
    pub(crate) fn place(&self) -> Place {
        Place::Engine(self.socket.clone())
    }
}

impl PlaceArgs {
    /// The table; that of the kernel in our own namespace if nothing is said.
    pub(crate) fn place(&self) -> Place {
        self.place_or(None)
    }

    /// The same, where a file may be named elsewhere on the command line.
    pub(crate) fn place_or(&self, file: Option<&Path>) -> Place {
        let recording = self.at.map(|_| Path::new(DEFAULT_DIR));
        if let Some(path) = self.read.as_deref().or(file).or(recording) {
            return Place::File(Saved::new(path, self.at));
        }
        match &self.socket {
            Some(path) => Place::Engine(path.clone()),
            None => Place::Kernel(self.netns.clone()),
        }
    }

    /// The options that name the table, each with a blank in front, as a shell reads them.
    pub(crate) fn words(&self) -> String {
        let netns = self.netns.as_ref().map(|name| format!(" --netns {}", quoted(name)));
        let path = |path: &PathBuf| format!(" --socket {}", quoted(&path.to_string_lossy()));
        let socket = self.socket.as_ref().map(path);
        netns.into_iter().chain(socket).collect()
    }
}

/// Reads a moment: RFC 3339, a date and time without a zone (UTC), a time of today, or so long ago.
fn moment(text: &str) -> Result<u64, String> {
    moment_at(text, time_of_day())
}

fn moment_at(text: &str, now: u64) -> Result<u64, String> {
    let bad = || format!("`{text}' is no time such as 2026-11-22T03:07:41Z, 03:07 or -5m");
    if let Some(ago) = text.strip_prefix('-') {
        let ago = timeout(ago).map_err(|_| bad())?;
        return Ok(now.saturating_sub(u64::from(ago) * NANOS));
    }
    let nanos = |time: Timestamp| u64::try_from(time.as_nanosecond()).map_err(|_| bad());
    if let Ok(time) = text.parse::<Timestamp>() {
        return nanos(time);
    }
    let today = Timestamp::from_nanosecond(now.into()).map_err(|_| bad())?;
    let today = TimeZone::UTC.to_datetime(today).date();
    let civil =
        text.parse::<DateTime>().or_else(|_| text.parse().map(|time| today.to_datetime(time)));
    nanos(TimeZone::UTC.to_timestamp(civil.map_err(|_| bad())?).map_err(|_| bad())?)
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
const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_told_in_many_ways() {
        // 2023-11-14T22:13:20Z.
        let now = 1_700_000_000 * NANOS;
        let rows = [
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("2023-11-14 22:13:20", 1_700_000_000),
            ("22:13", 1_699_999_980),
            ("-5m", 1_699_999_700),
        ];
        for (text, seconds) in rows {
            assert_eq!(moment_at(text, now), Ok(seconds * NANOS), "{text}");
        }
        for text in ["", "yesterday", "-", "5m", "2023-13-01"] {
            assert!(moment_at(text, now).is_err(), "{text}");
        }
    }
}
