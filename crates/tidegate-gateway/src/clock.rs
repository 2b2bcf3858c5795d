//! The one place where the machine's clock is read, and only to say when something was and how long
//! it took. What the engine decides hangs on the capture's time alone.

use std::time::Duration;

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "elapsed time for people, never for decisions")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The time of day, in nanoseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "time for people, never for decisions")]
pub fn time_of_day() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}
