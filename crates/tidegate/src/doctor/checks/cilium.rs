//! Packets are lost, and this table isn't theirs: Cilium tracks connections in maps of its own. Evidence: the maps that
//! it has pinned. What is in them isn't looked at, and how to look is told: on the page, if packets are lost outside of
//! this table; else a healthy table's line names it.

use super::{Finding, Outcome, Severity, elsewhere};
use crate::doctor::advice::Step;
use crate::doctor::facts::Facts;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    if facts.maps.is_empty() {
        return Outcome::Clear(String::new());
    }
    let look = Step {
        what: "look at its fill and its drops, in Cilium's pod on this machine".to_owned(),
        command: Some(LOOK.to_owned()),
        ..Step::default()
    };
    Outcome::Found(Finding {
        check: "cilium",
        severity: if elsewhere::is_lossy(facts) { Severity::Warning } else { Severity::Note },
        symptom: "Cilium has a connection table of its own, which was not looked at".to_owned(),
        evidence: vec![format!("maps {}", facts.maps.join(", "))],
        steps: vec![look],
        donts: vec!["raise nf_conntrack_max for it: its size is bpf-ct-global-tcp-max".to_owned()],
        ..Finding::default()
    })
}

const LOOK: &str =
    "cilium-dbg bpf ct list global | wc -l; cilium-dbg metrics list | grep drop_count";
