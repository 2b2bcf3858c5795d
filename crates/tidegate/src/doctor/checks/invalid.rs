//! Symptom: connections are reset or hang. Evidence: packets that fit no flow, a second: asymmetric routes, flows that a
//! flush forgot, windows that somebody rewrote. Advice: let the kernel say why.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::Step;
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let rate = facts.counters.rate("invalid");
    if rate < FAST {
        return Outcome::Clear(format!("INVALID {rate:.0}/s"));
    }
    let set = |value| facts.scene.set("log_invalid", value);
    let undo = facts.log_invalid.map(set);
    let unread = if undo.is_none() {
        "; what nf_conntrack_log_invalid is now could not be read"
    } else {
        ""
    };
    let step = Step {
        what: format!("log why, for a moment{unread}"),
        command: Some(set(255)),
        undo,
        ..Step::default()
    };
    Outcome::Found(Finding {
        check: "invalid",
        severity: if rate >= VERY_FAST { Severity::Warning } else { Severity::Note },
        symptom: format!("{rate:.0}/s packets are INVALID"),
        evidence: vec![format!("{} in all", Count(facts.counters.total("invalid")))],
        culprit: None,
        steps: vec![step],
        donts: vec!["set nf_conntrack_tcp_be_liberal before the log says `SEQ' or `ACK': it hides the cause".to_owned()],
    })
}

/// A second.
const FAST: f64 = 100.0;
const VERY_FAST: f64 = 1000.0;
