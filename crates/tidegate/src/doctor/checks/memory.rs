//! Symptom: the machine runs out of memory before the table is full. Evidence: what a flow takes, by the kernel's own
//! figure, times what there may be, against what is left.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::{Facts, Whose};

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    if facts.scene.table != Whose::Kernel {
        return Outcome::Clear(String::new());
    }
    let (Some(object), Some(available)) = (facts.memory.flow, facts.memory.available) else {
        return Outcome::Blind;
    };
    let Some(max) = facts.room.max else { return Outcome::Clear(String::new()) };
    let now = facts.room.count * object + facts.room.buckets.unwrap_or(0) * 8;
    let rest = max.saturating_sub(facts.room.count).saturating_mul(object);
    if rest <= available {
        return Outcome::Clear(format!("memory {} MiB", now >> 20));
    }
    Outcome::Found(Finding {
        check: "memory",
        severity: Severity::Warning,
        symptom: format!(
            "a full table would need {} MiB more, {} MiB are left",
            rest >> 20,
            available >> 20
        ),
        evidence: vec![format!("{object} bytes a flow, {max} flows at most")],
        ..Finding::default()
    })
}
