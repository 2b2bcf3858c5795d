//! The engine against the kernel: every recorded scenario, packet by packet.
//!
//! A scenario that the engine does not serve yet is named below with the words
//! that refuse it, and must be refused with them: what is served one day drops
//! out of the list, or this test fails.

use serde_json::Value;

use tidegate_gateway::replay::{Fault, Recorder, Replay, Scenario as Input};
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::oracle::{Options, compare};

/// Scenarios that are refused, and by which word of their rules.
const REFUSED: [(&str, &str); 0] = [];

fn replay(scenario: &Scenario) -> Result<Vec<Value>, Vec<Fault>> {
    let input = Input::from_files(&scenario.name, scenario.files.clone())?;
    let mut record = Vec::new();
    let mut replay = Replay::new(input, true);
    Recorder::new(&mut record).run(&mut replay, |_| Ok(())).expect("a record in memory");
    let text = String::from_utf8(record).expect("JSON is UTF-8");
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

#[test]
fn the_engine_decides_like_the_kernel() {
    let scenarios = corpus::scenarios().expect("the corpus");
    let served = scenarios.iter().filter(|s| REFUSED.iter().all(|(name, _)| *name != s.name));
    let (mut equal, mut wrong) = (0, Vec::new());
    for scenario in served {
        let records = replay(scenario).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        let comparison = compare(scenario, &records, Options { strict: true });
        match comparison.differences.first() {
            None => equal += 1,
            Some(difference) => wrong.push(format!("{}: {difference}", scenario.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(equal + REFUSED.len(), scenarios.len());
}

/// What the kernel wrote of each packet under `nf_conntrack_log_invalid`, and the engine.
#[test]
fn the_engine_says_why_in_the_kernels_words() {
    let why = |record: &Value| record.get("why").cloned().unwrap_or_default();
    let scenarios = corpus::scenarios().expect("the corpus");
    let served = scenarios.iter().filter(|s| REFUSED.iter().all(|(name, _)| *name != s.name));
    let (mut told, mut wrong) = (0, Vec::new());
    for scenario in served {
        let records = replay(scenario).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        let expected = scenario.json_lines("expected.jsonl").expect("the kernel's record");
        for (expected, actual) in expected.iter().zip(&records) {
            told += usize::from(!why(expected).is_null());
            if why(expected) != why(actual) {
                let (name, index) = (&scenario.name, &expected["index"]);
                wrong.push(format!("{name} {index}: {} / {}", why(expected), why(actual)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(told > 300, "only {told} packets of the corpus have a reason");
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let scenarios = corpus::scenarios().expect("the corpus");
    for (name, words) in REFUSED {
        let scenario = scenarios.iter().find(|s| s.name == name).expect(name);
        let faults = replay(scenario).map(|_| ()).expect_err(name);
        let messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(messages.iter().any(|text| text.contains(words)), "{name}: {messages:?}");
    }
}
