//! Symptom: a container or pod is dead, and this table is nearly empty. Evidence: the counts of the other network
//! namespaces' tables, each of which has the one limit for itself, and what the kernel logged about them. Advice: look
//! there.

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Log, Space};
use crate::doctor::foreign::quoted;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let Some(max) = facts.room.max else { return Outcome::Clear(String::new()) };
    let Some(fullest) = facts.spaces.iter().max_by_key(|space| space.count) else {
        return Outcome::Clear(String::new());
    };
    let permille = fullest.count.saturating_mul(1000) / max;
    let severity = match permille {
        FULL.. => Severity::Critical,
        NEAR.. => Severity::Warning,
        _ => {
            let (count, most) = (facts.spaces.len(), percent(permille));
            let of = if count == 1 { "namespace" } else { "namespaces" };
            return Outcome::Clear(format!("{count} other {of}, at most {most} full"));
        }
    };
    let mut evidence = vec![format!(
        "{} of {}, refused {} packets so far",
        Count(fullest.count),
        Count(max),
        Count(fullest.drops)
    )];
    if is_logged(facts.log.as_ref(), fullest) {
        evidence.push(format!("the kernel logged `table full in netns {}'", fullest.inode));
    }
    Outcome::Found(Finding {
        check: "namespace",
        severity,
        symptom: format!(
            "another network namespace is full: {} of netns {}",
            fullest.who, fullest.inode
        ),
        evidence,
        culprit: Some(fullest.who.clone()),
        steps: vec![Step {
            what: "look into that namespace".to_owned(),
            command: Some(format!("tidegate doctor --netns {}", quoted(&fullest.place))),
            ..Step::default()
        }],
        donts: Vec::new(),
    })
}

fn is_logged(log: Option<&Log>, space: &Space) -> bool {
    log.is_some_and(|log| log.full.iter().any(|spell| spell.inode == Some(space.inode)))
}

/// Thousandths of the limit.
const FULL: u64 = 990;
const NEAR: u64 = 800;
