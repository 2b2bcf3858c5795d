//! The one place where the machine's clock is read: to say how long something took, and for
//! whoever runs an engine on live time. In a replay what the engine decides hangs on the capture's
//! time alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_engine::time::{Instant, WallClock};

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

/// The time of an engine that lives in the present.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Stopwatch);

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// The present. It never runs backwards.
    #[must_use]
    pub fn now(&self) -> Instant {
        EPOCH + self.0.elapsed()
    }

    /// What the clock on the wall says at the moment.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "what is shown to people, and what `-m time` asks for"
    )]
    pub fn wall(&self) -> WallClock {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        WallClock { offset: nanos.saturating_sub(self.now().nanos()), zone: 0 }
    }
}

/// The engine's time at the start: not zero, so that there is a time before it.
const EPOCH: Instant = Instant::from_nanos(3_600_000_000_000);
