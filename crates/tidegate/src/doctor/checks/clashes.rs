//! Symptom: some new flows fail though there is room: DNS that answers after five seconds. Evidence: `insert_failed`,
//! which counts flows whose tuple was taken when they should enter. Advice: ports by chance, so that racing packets and
//! clients don't ask for the same.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let [failed, resolved] =
        ["insert_failed", "clash_resolve"].map(|name| facts.counters.rate(name));
    let total = facts.counters.total("insert_failed");
    if failed < SLOWEST {
        return Outcome::Clear(format!("insert_failed {}", Count(total)));
    }
    let is_random =
        |line: &&String| !line.contains("--random-fully") && !line.contains("fully-random");
    let translates = |line: &&String| line.contains("-j MASQUERADE") || line.contains("-j SNAT");
    let rule = facts.rules.users.iter().filter(translates).find(is_random);
    let steps = rule.map(|line| Step {
        what: "ports by chance, for flows to come, 0 live".to_owned(),
        command: facts
            .scene
            .system(&format!("{} --random-fully", line.replacen(" -A ", " -I ", 1))),
        undo: Some(
            facts.scene.system(&format!("{} --random-fully", line.replacen(" -A ", " -D ", 1))),
        ),
        ..Step::default()
    });
    Outcome::Found(Finding {
        check: "clashes",
        severity: Severity::Warning,
        symptom: format!(
            "{failed:.0}/s new flows dropped because their tuple was taken (insert_failed)"
        ),
        evidence: vec![format!(
            "insert_failed {} in all; {resolved:.0}/s races resolved",
            Count(total)
        )],
        culprit: None,
        steps: steps.into_iter().collect(),
        donts: Vec::new(),
    })
}

/// A second.
const SLOWEST: f64 = 1.0;
