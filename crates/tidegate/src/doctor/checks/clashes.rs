//! Symptom: some new flows fail though there is room: DNS that answers after five seconds. Evidence: `insert_failed`,
//! which counts flows whose tuple was taken when they should enter. Advice: ports by chance, so that racing packets and
//! clients don't ask for the same.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Rule};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let [failed, resolved] =
        ["insert_failed", "clash_resolve"].map(|name| facts.counters.rate(name));
    let total = facts.counters.total("insert_failed");
    if failed < SLOWEST {
        return Outcome::Clear(format!("insert_failed {}", Count(total)));
    }
    let is_ordered = |rule: &&Rule| !rule.words.iter().any(|word| word == "--random-fully");
    let steps = facts.rules.sources.iter().find(is_ordered).map(|rule| by_chance(facts, rule));
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

fn by_chance(facts: &Facts, rule: &Rule) -> Step {
    let words: Vec<String> =
        rule.words.iter().cloned().chain(["--random-fully".to_owned()]).collect();
    let [command, undo] = rule.in_front(&words).map(|line| facts.scene.system(&line));
    Step {
        what: "ports by chance, for flows to come, 0 live".to_owned(),
        command: Some(command),
        undo: Some(undo),
        ..Step::default()
    }
}

/// A second.
const SLOWEST: f64 = 1.0;
