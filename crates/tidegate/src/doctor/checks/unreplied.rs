//! Symptom: UDP, mostly DNS, without answers: a flood, a dead resolver, or spoofed sources. Evidence: the share of UDP
//! flows without an answer, and where they go. Advice: delete them, which ends nothing that works; let the next ones
//! die sooner; or don't track that service at all.

use super::{Finding, Outcome, is_large};
use crate::doctor::advice::Step;
use crate::doctor::census::Class;
use crate::doctor::facts::Facts;
use crate::doctor::suspects::largest_of;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let all = facts.census.class(Class::UdpUnreplied);
    let suspect =
        largest_of(&facts.census, Class::UdpUnreplied).filter(|_| is_large(facts, all.flows));
    let Some(suspect) = suspect else {
        return Outcome::Clear(format!("{} unanswered UDP flows", Count(all.flows)));
    };
    let flows = suspect.tally.flows;
    let delete = Step {
        what: format!("free {}, none was ever answered, 0 live", Count(flows)),
        command: Some(facts.scene.own("delete", &format!("{} --yes", suspect.options()))),
        frees: Some(flows),
        ..Step::default()
    };
    let steps = [Some(delete), shorten(facts)];
    Outcome::Found(Finding {
        check: "unreplied",
        severity: facts.severity_of(all.flows),
        symptom: "UDP without answers floods the table".to_owned(),
        evidence: vec![format!(
            "{} UDP flows were never answered, {} of {}",
            Count(all.flows),
            Count(flows),
            suspect.label()
        )],
        culprit: Some(suspect.label()),
        steps: steps.into_iter().flatten().collect(),
        donts: Vec::new(),
    })
}

/// A shorter life for those to come: as many stay as come in that time.
fn shorten(facts: &Facts) -> Option<Step> {
    let now = facts.timeout("udp_timeout").filter(|seconds| *seconds > SHORT)?;
    let rate = facts.arrivals.as_ref()?.rate();
    if rate < 1.0 {
        return None;
    }
    let settles = (rate * SHORT as f64) as u64;
    Some(Step {
        what: format!(
            "unanswered UDP lives {SHORT} s instead of {now}: at {rate:.0}/s new that is {} entries",
            Count(settles)
        ),
        command: Some(facts.scene.set("udp_timeout", SHORT)),
        undo: Some(facts.scene.set("udp_timeout", now)),
        settles: Some(settles),
        ..Step::default()
    })
}

/// Seconds: resolvers have given up by then.
const SHORT: u64 = 10;
