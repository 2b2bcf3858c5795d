//! One bucket of `-m hashlimit`, with the kernel's arithmetic (`rateinfo_init`, `rateinfo_recalc`).
//!
//! The kernel counts in clock ticks; we count in nanoseconds, with as many credits to the second as the kernel has at
//! 250 ticks.

use crate::time::Instant;

use super::Rate;

/// Credits of a second, for packets: 2^39 a tick.
const SECOND: u128 = 250 << 39;
/// Credits for the price of one millionth of a second, rounded down as in the kernel.
const MICROSECOND: u64 = (SECOND / 1_000_000) as u64;
/// Credits of a second, for bytes: 2^23 a tick.
const SECOND_BYTES: u64 = 250 << 23;

/// A bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) expires: Instant,
    filled: Instant,
    credit: u64,
    /// The most that fits; by bytes, how often it may be refilled at once.
    capacity: u64,
    /// With a rate to compare: what has come in this interval, and whether the last one was over the rate.
    window: Window,
}

#[derive(Clone, Debug, Default)]
struct Window {
    current: u64,
    was_over: bool,
}

impl Rate {
    /// Whether the full bucket is more than the kernel can count.
    pub(super) fn overflows(&self) -> bool {
        let product = self.price.checked_mul(self.burst.into());
        let credits = product.and_then(|product| product.checked_mul(MICROSECOND));
        !self.by_bytes && self.interval.is_none() && credits.is_none()
    }

    fn capacity(&self) -> u64 {
        if self.by_bytes {
            return self.burst.into();
        }
        self.price.saturating_mul(self.burst.into()).saturating_mul(MICROSECOND)
    }

    fn full(&self) -> u64 {
        if self.by_bytes { SECOND_BYTES } else { self.capacity() }
    }

    /// Packets or bytes in an interval's second.
    fn per_second(&self) -> u64 {
        if self.by_bytes {
            let units = u32::MAX.checked_div(self.price as u32).unwrap_or(u32::MAX);
            return u64::from(units - 1) << 4;
        }
        1_000_000_u64.checked_div(self.price).unwrap_or(0)
    }

    fn allowance(&self) -> u64 {
        let rate = self.per_second();
        match (self.by_bytes, self.burst) {
            (true, 0) => rate,
            (true, burst) => rate.saturating_mul(burst.into()),
            (false, burst) => rate + u64::from(burst),
        }
    }
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: &Rate, now: Instant) -> Self {
        let (credit, capacity) = (rate.full(), rate.capacity());
        Self { expires: now, filled: now, credit, capacity, window: Window::default() }
    }

    /// Adds what has come since.
    pub(super) fn fill(&mut self, rate: &Rate, now: Instant) {
        let elapsed = u128::from(now.nanos().saturating_sub(self.filled.nanos()));
        if let Some(seconds) = rate.interval {
            self.turn(rate, elapsed, seconds, now);
            return;
        }
        let (second, cap) = match rate.by_bytes {
            true => (u128::from(SECOND_BYTES), SECOND_BYTES),
            false => (SECOND, self.capacity),
        };
        let gained = u64::try_from(elapsed.saturating_mul(second) / NANOS).unwrap_or(u64::MAX);
        if gained == 0 {
            return;
        }
        self.credit = self.credit.saturating_add(gained).min(cap);
        self.filled = now;
    }

    /// Begins another interval if one is over.
    fn turn(&mut self, rate: &Rate, elapsed: u128, seconds: u32, now: Instant) {
        let interval = u128::from(seconds) * NANOS;
        if elapsed == 0 || elapsed < interval {
            return;
        }
        let came = u128::from(self.window.current) * interval;
        self.window.was_over = came > elapsed * u128::from(rate.per_second());
        self.window.current = 0;
        self.filled = now;
    }

    /// Whether a packet keeps to the rate; if so it has paid.
    pub(super) fn take(&mut self, rate: &Rate, bytes: usize) -> bool {
        if rate.interval.is_some() {
            self.window.current += if rate.by_bytes { bytes as u64 } else { 1 };
            return !self.window.was_over && self.window.current <= rate.allowance();
        }
        let cost = match rate.by_bytes {
            true => self.price_of(rate, bytes),
            false => rate.price.saturating_mul(MICROSECOND),
        };
        let paid = self.credit.checked_sub(cost);
        self.credit = paid.unwrap_or(self.credit);
        paid.is_some()
    }

    /// By chunks of 16 bytes; a burst refills the bucket.
    fn price_of(&mut self, rate: &Rate, bytes: usize) -> u64 {
        let chunks = (bytes as u64 >> 4) + 1;
        let one = (u128::from(rate.price) * u128::from(SECOND_BYTES)) >> 32;
        let cost = chunks.saturating_mul(u64::from(one as u32)).min(SECOND_BYTES);
        if self.credit < cost && self.capacity > 0 {
            self.capacity -= 1;
            self.credit = SECOND_BYTES;
        }
        cost
    }
}

const NANOS: u128 = 1_000_000_000;
