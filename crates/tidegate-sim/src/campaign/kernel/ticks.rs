//! The clock that the kernel's timers go by, and what is certain of the time at which it saw a packet.
//!
//! That clock moves on by ticks, of 1 to 10 ms, and nobody may read it. But the coarse clock of POSIX moves in the same
//! interrupt, if not always at once, so the two are never more than a tick apart.

use std::io;
use std::time::Duration;

use nix::time::{ClockId, clock_getres, clock_gettime};

/// The times that the kernel's clock may have shown when it saw a packet, since the machine's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// A tick before the table was last looked at ahead of the packet.
    pub(crate) earliest: Duration,
    /// What the coarse clock showed when the packet was sent.
    pub(crate) likely: Duration,
    /// When all that the packet caused was done.
    pub(crate) latest: Duration,
}

impl Reading {
    /// How long it was between the earliest time and the latest.
    pub(crate) fn width(&self) -> Duration {
        self.latest.saturating_sub(self.earliest)
    }
}

/// The coarse clock.
#[derive(Debug)]
pub(super) struct Ticks {
    length: Duration,
}

impl Ticks {
    /// Asks how long a tick is.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { length: clock_getres(COARSE)?.into() })
    }

    /// What it shows.
    pub(super) fn now(&self) -> io::Result<Duration> {
        Ok(clock_gettime(COARSE)?.into())
    }

    /// What can be said of a packet that was sent when the clock showed `likely`, and is done now. When the table was
    /// looked at before it, the clock showed `looked`.
    pub(super) fn reading(&self, looked: Duration, likely: Duration) -> io::Result<Reading> {
        let latest = clock_gettime(ClockId::CLOCK_MONOTONIC)?.into();
        Ok(Reading { earliest: looked.saturating_sub(self.length), likely, latest })
    }
}

const COARSE: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;
