//! What will be: when a table is full at the present rate.

use super::facts::Facts;

/// Seconds until the table is full once `freed` entries are gone; `None`: it doesn't fill, or has no limit.
///
/// What comes and goes is told by the growth of the table; while it is full, by what it refuses as well.
pub(crate) fn until_full(facts: &Facts, freed: u64) -> Option<f64> {
    until(facts, facts.room.max?, freed)
}

/// The same under another limit.
pub(crate) fn until(facts: &Facts, max: u64, freed: u64) -> Option<f64> {
    let pressure = pressure(facts);
    let room = (max + freed).saturating_sub(facts.room.count);
    (pressure >= SLOWEST).then(|| room as f64 / pressure)
}

/// By how many entries a second the table would grow if it could.
pub(crate) fn pressure(facts: &Facts) -> f64 {
    let counters = &facts.counters;
    let span = counters.span.as_secs_f64().max(0.1);
    counters.growth as f64 / span + counters.refused()
}

/// A change that chance explains is none.
const SLOWEST: f64 = 1.0;
