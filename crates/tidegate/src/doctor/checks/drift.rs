//! Symptom: the table is full and the listing is short. Evidence: the count against the entries that a listing shows.
//! Between them lie flows that wait in queues, those that a race hid for a second, and references that a driver or
//! module never gave back.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let (count, seen) = (facts.room.count, facts.census.seen);
    if facts.census.is_partial {
        return Outcome::Blind;
    }
    // What came and went while the listing was made.
    let moved = facts.counters.growth.unsigned_abs()
        + facts.arrivals.as_ref().map_or(0, |arrivals| arrivals.new);
    let hidden = count.saturating_sub(seen).saturating_sub(moved);
    if hidden < FEW.max(count / 20) {
        return Outcome::Clear(String::new());
    }
    Outcome::Found(Finding {
        check: "drift",
        severity: facts.severity_of(hidden).max(Severity::Warning),
        symptom: format!("count {}, listed {}: leaked references", Count(count), Count(seen)),
        evidence: vec![format!("{} entries are counted and not listed", Count(hidden))],
        culprit: None,
        steps: Vec::new(),
        donts: vec!["flush: it frees only what is listed; look for nfqueue programs that don't answer, and for the driver".to_owned()],
    })
}

const FEW: u64 = 200;
