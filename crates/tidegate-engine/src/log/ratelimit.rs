//! The kernel's limit for messages that packets provoke: so many in an interval, and a count of the others.
//! Linux: `net_ratelimit`.

use core::time::Duration;

use crate::time::Instant;

/// The limit's state.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    /// When the current interval began; `None` before the first message.
    began: Option<Instant>,
    printed: u32,
    missed: u32,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// It may be printed.
    pub(super) allowed: bool,
    /// First say that so many of the interval that has just ended were not.
    pub(super) suppressed: Option<u32>,
}

impl RateLimit {
    /// Judges one message.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        let began = *self.began.get_or_insert(now);
        let mut suppressed = None;
        if now.saturating_sub(began) > INTERVAL {
            suppressed = (self.missed > 0).then_some(self.missed);
            *self = Self { began: Some(now), ..Self::default() };
        }
        let allowed = self.printed < BURST;
        if allowed {
            self.printed += 1;
        } else {
            self.missed += 1;
        }
        Admission { allowed, suppressed }
    }
}

const INTERVAL: Duration = Duration::from_secs(5);
const BURST: u32 = 10;
