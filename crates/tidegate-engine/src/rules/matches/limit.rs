//! `-m limit`: a token bucket, with the kernel's arithmetic. Linux: `xt_limit`.
//!
//! The kernel counts in credits and rounds the price of a packet to whole ones; so do we. It fills the bucket at the
//! ticks of its clock, we whenever a credit is due. Where its 32-bit sum of credits wraps (a bucket that nobody asked
//! for 37 hours), ours is simply full.

use core::time::Duration;

use super::super::ast::LimitMatch;
use crate::time::Instant;

/// A rule's bucket. It starts full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Bucket {
    /// Credits that a packet costs.
    cost: u32,
    /// Credits that fit.
    capacity: u32,
    credit: u32,
    /// Up to when credits were filled in; `None` until the first packet.
    filled: Option<Instant>,
}

impl Bucket {
    /// The bucket of a rule that was just loaded.
    pub(in crate::rules) fn new(limit: &LimitMatch) -> Self {
        let capacity = limit.capacity();
        Self { cost: limit.cost(), capacity, credit: capacity, filled: None }
    }

    /// Whether a packet may pass now; if it may, it has paid.
    pub(in crate::rules) fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let paid = self.credit.checked_sub(self.cost);
        self.credit = paid.unwrap_or(self.credit);
        paid.is_some()
    }

    fn fill(&mut self, now: Instant) {
        let filled = self.filled.unwrap_or(now);
        let elapsed = now.saturating_sub(filled).as_nanos() as u64;
        let gained = elapsed / CREDIT_NANOS;
        self.filled = Some(filled + Duration::from_nanos(gained * CREDIT_NANOS));
        let gained = u32::try_from(gained).unwrap_or(u32::MAX);
        self.credit = self.credit.saturating_add(gained).min(self.capacity);
    }
}

/// Time that brings a credit.
const CREDIT_NANOS: u64 = 1_000_000_000 / LimitMatch::CREDITS_PER_SECOND as u64;
