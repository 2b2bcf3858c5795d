//! Symptom: a proxy that opens a connection for each request leaves two minutes of TIME_WAIT behind each. Evidence: the
//! share of flows in TIME_WAIT. Advice: shorten that; and, in the proxy, connections that are used again.

use super::{Finding, Outcome, is_large};
use crate::doctor::advice::Step;
use crate::doctor::census::Class;
use crate::doctor::facts::Facts;
use crate::doctor::suspects::largest_of;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let all = facts.census.class(Class::TimeWait);
    let suspect = largest_of(&facts.census, Class::TimeWait).filter(|_| is_large(facts, all.flows));
    let Some(suspect) = suspect else { return Outcome::Clear(String::new()) };
    let idle = all.idle.beyond(PATIENCE);
    let drain = Step {
        what: format!(
            "free {}, connections that ended more than {PATIENCE} s ago, 0 live",
            Count(idle)
        ),
        command: Some(facts.scene.own(
            "retime",
            &format!("{} --idle '>{PATIENCE}s' --to 1s --yes", Class::TimeWait.options()),
        )),
        frees: Some(idle),
        ..Step::default()
    };
    let drain = Some(drain).filter(|_| is_large(facts, idle));
    Outcome::Found(Finding {
        check: "time-wait",
        severity: facts.severity_of(all.flows),
        symptom: "connections that have ended fill the table (TIME_WAIT)".to_owned(),
        evidence: vec![
            format!(
                "{} in TIME_WAIT, {} of {}",
                Count(all.flows),
                Count(suspect.tally.flows),
                suspect.label()
            ),
            "whose cure is keep-alive between proxy and servers".to_owned(),
        ],
        culprit: Some(suspect.label()),
        steps: drain.into_iter().chain(shorten(facts, all.flows)).collect(),
        donts: vec![
            "net.ipv4.tcp_tw_reuse or tcp_fin_timeout: they are about sockets, frees 0 entries"
                .to_owned(),
        ],
    })
}

/// As flows of the state come as fast as they go, a shorter life leaves fewer of them in proportion.
fn shorten(facts: &Facts, flows: u64) -> Option<Step> {
    let now = facts.timeout("tcp_timeout_time_wait").filter(|seconds| *seconds > SHORT)?;
    let settles = flows * SHORT / now;
    Some(Step {
        what: format!(
            "TIME_WAIT lasts {SHORT} s instead of {now}: settles near {} entries",
            Count(settles)
        ),
        command: Some(facts.scene.set("tcp_timeout_time_wait", SHORT)),
        undo: Some(facts.scene.set("tcp_timeout_time_wait", now)),
        settles: Some(settles),
        ..Step::default()
    })
}

/// Seconds: half a maximum segment lifetime of those that are still measured.
const SHORT: u64 = 30;
const PATIENCE: u32 = 10;
