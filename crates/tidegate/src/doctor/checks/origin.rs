//! Why there is any connection tracking: the rules that pulled it in. Listing rules never does.

use super::{Finding, Outcome, Severity};
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let users = &facts.rules.users;
    let Some(first) = users.first() else {
        let is_there = facts.room.count > 0 && (facts.rules.has_iptables || facts.rules.has_nft);
        return Outcome::Clear(if is_there {
            "no rule needs tracking".to_owned()
        } else {
            String::new()
        });
    };
    Outcome::Found(Finding {
        check: "origin",
        severity: Severity::Note,
        symptom: format!("rules that turn connection tracking on: {}", Count(users.len() as u64)),
        evidence: users.iter().take(3).cloned().collect(),
        culprit: Some(first.clone()),
        ..Finding::default()
    })
}
