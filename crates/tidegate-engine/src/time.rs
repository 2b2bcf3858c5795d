//! The engine's notion of time: a number the caller hands in.
//!
//! No clock is read anywhere in this crate. Every entry point takes an [`Instant`], so a capture is
//! replayed under its own time stamps, a simulation under virtual time, and a gateway under the one
//! clock it reads per batch. Two instants can be compared only when they come from the same epoch;
//! which epoch that is, the engine neither knows nor asks.
//!
//! Arithmetic saturates: a deadline beyond the end of the 584 years that fit is "never", not a wrap
//! to the past.

use core::{
    ops::{Add, AddAssign},
    time::Duration,
};

/// A point in time: nanoseconds since an epoch of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The point `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero when `earlier` is in fact later.
    pub const fn saturating_sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Instant {
    /// The instant so many seconds later, or the last one that can be expressed.
    #[must_use]
    pub const fn after_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds as u64 * 1_000_000_000))
    }
}

/// How the engine's time is told by the clock on the wall. Only `-m time` asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    /// What to add to an [`Instant`] for nanoseconds since 1970 (UTC).
    pub offset: u64,
    /// What to add to UTC for local time, in minutes (`--kerneltz`).
    pub zone: i32,
}

impl WallClock {
    /// Seconds since 1970 at an instant, in UTC or local time.
    #[must_use]
    pub const fn seconds(self, now: Instant, local: bool) -> i64 {
        let utc = (self.offset.saturating_add(now.0) / 1_000_000_000) as i64;
        if local { utc + 60 * self.zone as i64 } else { utc }
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The instant `duration` later, or the last one that can be expressed.
    fn add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_the_epoch_and_the_default() {
        assert_eq!(Instant::ZERO, Instant::default());
        assert_eq!(Instant::ZERO.nanos(), 0);
    }

    #[test]
    fn adding_and_subtracting_agree() {
        let start = Instant::from_nanos(7);
        let later = start + Duration::from_millis(3);
        assert_eq!(later.nanos(), 3_000_007);
        assert_eq!(later.saturating_sub(start), Duration::from_millis(3));
        assert!(start < later);
    }

    #[test]
    fn both_ends_saturate() {
        let last = Instant::from_nanos(u64::MAX);
        assert_eq!(last + Duration::from_nanos(1), last);
        assert_eq!(Instant::from_nanos(1) + Duration::MAX, last);
        assert_eq!(Instant::ZERO.saturating_sub(last), Duration::ZERO);
    }

    #[test]
    fn add_assign_moves_in_place() {
        let mut now = Instant::ZERO;
        now += Duration::from_secs(2);
        assert_eq!(now.nanos(), 2_000_000_000);
    }
}
