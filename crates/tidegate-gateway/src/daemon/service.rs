//! A service manager that looks after the daemon: it is told when the daemon is ready, reads its files again or stops,
//! and that it is still alive (sd_notify(3)). Without one, nothing is told to anybody.

use std::time::Duration;

use sd_notify::NotifyState;
use tidegate_engine::time::Instant;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Service {
    /// How often it wants to hear of us.
    interval: Option<Duration>,
    told: Option<Instant>,
}

impl Service {
    /// The one that the environment names, if it does.
    pub(super) fn new() -> Self {
        // Half of what it would wait, so that a slow turn isn't taken for the end.
        Self { interval: sd_notify::watchdog_enabled().map(|patience| patience / 2), told: None }
    }

    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&self) {
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Says that we are alive, if it is time to.
    pub(super) fn live(&mut self, now: Instant) {
        let Some(interval) = self.interval else { return };
        if self.told.is_none_or(|told| now >= told + interval) {
            self.told = Some(now);
            tell(&[NotifyState::Watchdog]);
        }
    }

    /// The longest that the daemon may sleep.
    pub(super) fn patience(&self) -> Duration {
        self.interval.unwrap_or(Duration::MAX)
    }
}

/// Whoever doesn't listen misses it.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}
