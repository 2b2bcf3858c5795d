//! Symptom: packets are lost, and connection tracking is innocent. Evidence: the counters of sockets, backlogs, cards
//! and of the cloud that rose while we looked. Advice: where to look.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Rise};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let mut rises: Vec<_> = rises(facts).collect();
    rises.sort_by(|a, b| b.rate.total_cmp(&a.rate));
    let Some(largest) = rises.first() else {
        let has_cloud =
            facts.elsewhere.iter().any(|rise| rise.name.ends_with("_allowance_exceeded"));
        return Outcome::Clear(if has_cloud {
            "cloud allowance ok".to_owned()
        } else {
            String::new()
        });
    };
    let evidence = |rise: &&Rise| {
        format!(
            "{} +{:.0}/s (in all {}): {}",
            rise.name,
            rise.rate,
            Count(rise.total),
            rise.meaning
        )
    };
    Outcome::Found(Finding {
        check: "elsewhere",
        severity: Severity::Warning,
        symptom: format!("{} +{:.0}/s", largest.name, largest.rate),
        evidence: rises.iter().take(3).map(evidence).collect(),
        culprit: Some(largest.name.clone()),
        steps: vec![Step { what: largest.advice.to_owned(), ..Step::default() }],
        donts: vec![
            "touch nf_conntrack_max or flush: the table has nothing to do with it".to_owned(),
        ],
    })
}

/// Whether packets are lost outside of this table.
pub(super) fn is_lossy(facts: &Facts) -> bool {
    rises(facts).next().is_some()
}

fn rises(facts: &Facts) -> impl Iterator<Item = &Rise> {
    facts.elsewhere.iter().filter(|rise| rise.rate >= SLOWEST)
}

/// A second.
const SLOWEST: f64 = 1.0;
