//! Symptom: handshakes that never end: a SYN flood, a scan, or a destination that is gone. Evidence: the share of flows
//! in SYN_SENT and SYN_RECV. Advice: shorten their lives. They are evicted before all others, so that they hurt less
//! than they look.

use super::{Finding, Outcome, is_large};
use crate::doctor::advice::Step;
use crate::doctor::census::Class;
use crate::doctor::facts::Facts;
use crate::doctor::suspects::largest_of;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let all = facts.census.class(Class::HalfOpen);
    let suspect = largest_of(&facts.census, Class::HalfOpen).filter(|_| is_large(facts, all.flows));
    let Some(suspect) = suspect else {
        return Outcome::Clear(format!("{} half-open", Count(all.flows)));
    };
    let idle = suspect.tally.idle.beyond(PATIENCE);
    let drain =
        Step {
            what: format!("free {}, half-open for more than {PATIENCE} s, 0 live", Count(idle)),
            command: Some(facts.scene.own(
                "retime",
                &format!("{} --idle '>{PATIENCE}s' --to 1s --yes", suspect.options()),
            )),
            frees: Some(idle),
            ..Step::default()
        };
    let steps = [shorten(facts, "tcp_timeout_syn_sent"), shorten(facts, "tcp_timeout_syn_recv")];
    let drain = Some(drain).filter(|_| is_large(facts, idle));
    Outcome::Found(Finding {
        check: "half-open",
        severity: facts.severity_of(all.flows),
        symptom: "half-open TCP floods the table (SYN flood, scan or dead destination)".to_owned(),
        evidence: vec![format!(
            "{} half-open, {} of {}",
            Count(all.flows),
            Count(suspect.tally.flows),
            suspect.label()
        )],
        culprit: Some(suspect.label()),
        steps: drain.into_iter().chain(steps.into_iter().flatten()).collect(),
        donts: Vec::new(),
    })
}

fn shorten(facts: &Facts, name: &str) -> Option<Step> {
    let now = facts.timeout(name).filter(|seconds| *seconds > SHORT)?;
    let rate = facts.arrivals.as_ref()?.rate();
    if rate < 1.0 {
        return None;
    }
    let settles = (rate * SHORT as f64) as u64;
    Some(Step {
        what: format!(
            "they live {SHORT} s instead of {now}: at {rate:.0}/s new that is {} entries",
            Count(settles)
        ),
        command: Some(facts.scene.set(name, SHORT)),
        undo: Some(facts.scene.set(name, now)),
        settles: Some(settles),
        ..Step::default()
    })
}

/// Seconds: four times that a SYN is sent.
const SHORT: u64 = 20;
/// An honest handshake is done by then.
const PATIENCE: u32 = 10;
