//! Symptom: flows that live and look dead. Evidence: entries that a flow table or a card carries: their packets pass by
//! connection tracking, so their timers tell nothing, and whoever drains idle ones by hand cuts them.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let offloaded = facts.census.offloaded;
    if offloaded == 0 {
        return Outcome::Clear(String::new());
    }
    Outcome::Found(Finding {
        check: "offload",
        severity: Severity::Note,
        symptom: format!("{} flows are offloaded", Count(offloaded)),
        evidence: vec![
            "their idle times can't be told, and they were left out of what would be drained"
                .to_owned(),
        ],
        ..Finding::default()
    })
}
