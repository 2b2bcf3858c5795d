//! Symptom: all packets are slow, or new flows fail though there is room. Evidence: entries against buckets, each flow
//! counting twice, and flows refused for chains that were too long. Advice: more buckets; the kernel rehashes while it
//! runs.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Whose};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let Some(buckets) = facts.room.buckets.filter(|buckets| *buckets > 0) else {
        return Outcome::Clear(String::new());
    };
    let (refused, total) =
        (facts.counters.rate("chaintoolong"), facts.counters.total("chaintoolong"));
    let tenths = facts.room.count * 20 / buckets;
    let could_be = facts.room.max.unwrap_or(0) * 2 / buckets;
    let severity = match tenths {
        _ if refused > 0.0 => Severity::Critical,
        LONG.. => Severity::Warning,
        _ if could_be > LONG_AT_FULL => Severity::Note,
        _ => {
            let mean = format!("{}.{}", tenths / 10, tenths % 10);
            return Outcome::Clear(format!(
                "hash chains (mean {mean} of 50+), chaintoolong {}",
                Count(total)
            ));
        }
    };
    let wanted = facts.room.max.unwrap_or(facts.room.count * 2).max(buckets * 2);
    let [command, undo] = [wanted, buckets].map(|value| facts.scene.set_limit("buckets", value));
    let what = format!(
        "{} buckets, {} MiB; entries move over, 0 live are touched",
        Count(wanted),
        (wanted * 8) >> 20
    );
    let step = Step { what, command: Some(command), undo: Some(undo), ..Step::default() };
    Outcome::Found(Finding {
        check: "chains",
        severity,
        symptom: format!(
            "hash chains are long: {} flows in {} buckets",
            Count(facts.room.count),
            Count(buckets)
        ),
        evidence: vec![format!(
            "mean chain {}.{}, {could_be} when full; chaintoolong {refused:.0}/s",
            tenths / 10,
            tenths % 10
        )],
        culprit: None,
        steps: if facts.scene.table == Whose::Kernel { vec![step] } else { Vec::new() },
        donts: Vec::new(),
    })
}

/// Tenths of an entry in the mean chain: 8 slow look-ups down, 50 are refused.
const LONG: u64 = 80;
const LONG_AT_FULL: u64 = 16;
