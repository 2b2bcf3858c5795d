//! The time of day, for ages and for what happens now.

use tidegate_gateway::clock::Clock;

/// Nanoseconds since 1970.
pub(crate) fn time_of_day() -> u64 {
    let clock = Clock::start();
    clock.wall().offset.saturating_add(clock.now().nanos())
}
