//! Symptom: FTP, SIP and the like connect, and then no data comes. Evidence: the number of expectations against its
//! limit. Advice: a higher limit, or an end to those that nobody meets.

use super::{Finding, Outcome, Severity};
use crate::doctor::advice::{Goods, Step};
use crate::doctor::facts::Facts;
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let expected = &facts.expected;
    let Some(max) = expected.max.filter(|max| *max > 0) else {
        return Outcome::Clear(String::new());
    };
    let count = expected.count;
    let severity = match count * 1000 / max {
        990.. => Severity::Critical,
        800.. => Severity::Warning,
        _ => return Outcome::Clear(format!("expectations {} of {}", Count(count), Count(max))),
    };
    let mut evidence = vec![format!("{} of {}", Count(count), Count(max))];
    if facts.log.as_ref().is_some_and(|log| log.expectations.is_some()) {
        evidence.push("the kernel logged `expectation table full'".to_owned());
    }
    let helper = expected
        .helper
        .as_ref()
        .map(|(name, count)| format!("helper {name} has {}", Count(*count)));
    let source = expected
        .source
        .as_ref()
        .map(|(address, count)| format!("{} of flows of {address}", Count(*count)));
    evidence.extend(helper.iter().cloned());
    evidence.extend(source);
    let end = Step {
        what: format!(
            "end all {}: 0 live flows, but transfers that are about to begin fail",
            Count(count)
        ),
        command: Some(facts.scene.own("expect flush", "--yes")),
        of: Goods::Expectations,
        frees: Some(count),
        ..Step::default()
    };
    let higher = max * 4;
    let [command, undo] = [higher, max].map(|value| facts.scene.set_limit("expect_max", value));
    let raise = Step {
        what: "4x ceiling, a MiB or two".to_owned(),
        command: Some(command),
        undo: Some(undo),
        of: Goods::Expectations,
        room: Some(higher),
        ..Step::default()
    };
    Outcome::Found(Finding {
        check: "expectations",
        severity,
        symptom: "expectation table full".to_owned(),
        evidence,
        culprit: helper,
        steps: vec![raise, end],
        donts: vec!["raise nf_conntrack_max: expectations have a limit of their own".to_owned()],
    })
}
