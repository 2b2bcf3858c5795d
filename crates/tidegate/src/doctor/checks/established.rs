//! Symptom: the table fills and nothing seems to happen: TCP connections that nobody ended, kept for five days.
//! Evidence: how long those in ESTABLISHED have been idle. Advice: give the idle ones half a minute; whoever still
//! lives gets all its time back with its next packet.

use super::{Finding, Outcome, is_large};
use crate::doctor::advice::Step;
use crate::doctor::census::{Class, EDGES, TCP_PATIENCE};
use crate::doctor::facts::Facts;
use crate::doctor::suspects::{Suspect, largest_of};
use crate::render::figures::{Brief, Count};

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let all = facts.census.class(Class::Established);
    let idle = all.idle.beyond(TCP_PATIENCE);
    let Some(suspect) = largest_of(&facts.census, Class::Established) else {
        return Outcome::Clear(String::new());
    };
    if !is_large(facts, all.flows) {
        return Outcome::Clear(String::new());
    }
    let drain = if is_large(facts, idle) {
        Some(drain_all(facts, idle))
    } else {
        drain_one(facts, &suspect)
    };
    let median = suspect.tally.idle.median().map(brief);
    let short =
        "lower tcp_timeout_established alone: existing entries keep their timers, frees 0 now";
    Outcome::Found(Finding {
        check: "established",
        severity: facts.severity_of(if drain.is_some() { all.flows } else { 0 }),
        symptom: "idle TCP connections fill the table".to_owned(),
        evidence: vec![
            format!("{} in ESTABLISHED, {} of them idle > 2h4m", Count(all.flows), Count(idle)),
            format!(
                "{}: {}, idle p50 {}",
                suspect.label(),
                Count(suspect.tally.flows),
                median.as_deref().unwrap_or("unknown")
            ),
        ],
        culprit: Some(suspect.label()),
        steps: drain.into_iter().collect(),
        donts: vec![short.to_owned()],
    })
}

/// All that RFC 5382 lets a NAT forget.
fn drain_all(facts: &Facts, idle: u64) -> Step {
    Step {
        what: format!("free {}, cuts only flows idle > 2h4m (RFC 5382), 0 live", Count(idle)),
        command: Some(facts.scene.own(
            "retime",
            &format!("{} --idle '>2h4m' --to 30s --yes", Class::Established.options()),
        )),
        frees: Some(idle),
        ..Step::default()
    }
}

/// Those of one source that have been idle for a shorter time; some of them may be missed.
fn drain_one(facts: &Facts, suspect: &Suspect) -> Option<Step> {
    let tally = &suspect.tally;
    let is_worth_it = |edge: &&u32| tally.idle.beyond(**edge) * 2 >= tally.flows;
    let edge = *EDGES.iter().rev().filter(|edge| **edge >= SHORTEST).find(is_worth_it)?;
    let (frees, live) = (tally.idle.beyond(edge), tally.live_idle.beyond(edge));
    let command = format!("{} --idle '>{}' --to 30s --yes", suspect.options(), brief(edge));
    Some(Step {
        what: format!(
            "free {}, flows of one source idle > {}, {} live: those recover if they speak within 30 s",
            Count(frees),
            brief(edge),
            Count(live)
        ),
        command: Some(facts.scene.own("retime", &command)),
        frees: Some(frees),
        live,
        cut: live.min(tally.live_translated),
        ..Step::default()
    })
}

fn brief(seconds: u32) -> String {
    Brief(std::time::Duration::from_secs(seconds.into())).to_string()
}

/// Whoever is idle for less is just thinking.
const SHORTEST: u32 = 300;
