//! Symptom: new flows vanish, or will soon. Evidence: the table's count against its limit, refused packets and
//! evictions while we looked. Advice: a higher limit, if the memory is there; what to drain is the business of the
//! checks that know what fills the table.

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Whose};
use crate::doctor::forecast;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let (Some(permille), Some(max)) = (facts.room.permille(), facts.room.max) else {
        return Outcome::Clear("no limit on flows".to_owned());
    };
    let (refused, evicted) = (facts.counters.refused(), facts.counters.rate("early_drop"));
    let is_full = permille >= FULL || (refused > 0.0 && permille >= NEAR);
    let soon = forecast::until_full(facts, 0).filter(|seconds| *seconds < SOON && permille >= HALF);
    let severity = match permille {
        _ if is_full => Severity::Critical,
        NEAR.. => Severity::Warning,
        _ if soon.is_some() => Severity::Warning,
        _ => return Outcome::Clear(format!("table {}", percent(permille))),
    };
    let state = if is_full { "table FULL" } else { "table nearly full" };
    let mut evidence = vec![format!("{} of {}", Count(facts.room.count), Count(max))];
    if refused > 0.0 {
        evidence.push(format!("{refused:.0}/s new flows refused"));
    }
    if evicted > 0.0 {
        evidence.push(format!("{evicted:.0}/s flows without assurance evicted in silence"));
    }
    Outcome::Found(Finding {
        check: "table",
        severity,
        symptom: format!("conntrack {state}"),
        evidence,
        steps: raise(facts, max).into_iter().collect(),
        donts: donts(facts),
        ..Finding::default()
    })
}

/// Four times the limit, if a quarter of the memory that is left pays for it.
fn raise(facts: &Facts, max: u64) -> Option<Step> {
    let higher = max.checked_mul(4).filter(|higher| i32::try_from(*higher).is_ok())?;
    let what = match facts.scene.table {
        Whose::Engine | Whose::File => "4x ceiling".to_owned(),
        Whose::Kernel => {
            let needed =
                (higher - max).saturating_mul(facts.memory.flow.unwrap_or(FLOW) + EXTENSIONS);
            let available = facts.memory.available?;
            if needed > available / 4 {
                return None;
            }
            format!(
                "4x ceiling, +{} MiB of {:.1} GiB available",
                needed >> 20,
                available as f64 / (1_u64 << 30) as f64
            )
        }
    };
    let [command, undo] = [higher, max].map(|value| facts.scene.set_limit("max", value));
    Some(Step {
        what,
        command: Some(command),
        undo: Some(undo),
        room: Some(higher),
        ..Step::default()
    })
}

fn donts(facts: &Facts) -> Vec<String> {
    let live = facts.census.sum(|tally| tally.live);
    let cut = facts.census.sum(|tally| tally.live_translated);
    let ssh = facts.ssh.filter(|ssh| ssh.is_tracked);
    let ssh =
        ssh.map_or_else(String::new, |ssh| format!(", your ssh from {} among them", ssh.client));
    let of = if facts.census.is_partial { " (of those that were listed)" } else { "" };
    vec![format!(
        "conntrack -F: {} live NATed flows die, {} others lose their state{ssh}{of}",
        Count(cut),
        Count(live - cut),
    )]
}

/// Thousandths of the limit.
const FULL: u64 = 990;
const NEAR: u64 = 800;
const HALF: u64 = 500;
/// Seconds. What grows for a moment mostly comes to an end by itself when the first of it have died.
const SOON: f64 = 600.0;
/// What a flow's object takes in Linux 6.18, and what its extensions do.
const FLOW: u64 = 256;
const EXTENSIONS: u64 = 64;
