//! The whole corpus through the judge.

use serde_json::Value;

use tidegate_sim::corpus::Scenario;
use tidegate_sim::oracle::run_all;

/// The kernel's own recording as a replay: what it did, and how it ended.
fn recorded(scenario: &Scenario) -> Vec<Value> {
    let mut records = scenario.json_lines("expected.jsonl").expect("records");
    let mut end = scenario.json("expected.final.json").expect("JSON").expect("a recorded end");
    end["final"] = true.into();
    records.push(end);
    records
}

#[test]
fn kernel_equals_itself() {
    let summary = run_all(&recorded, "");
    assert!(summary.all_equal());
    assert_eq!(summary.to_string(), "674 scenarios, 674 equal; 28760 packets, 28760 equal");
}

#[test]
fn one_wrong_verdict_is_seen_in_every_scenario() {
    let careless = |scenario: &Scenario| {
        let mut records = recorded(scenario);
        records[0]["verdict"] = "local?".into();
        records
    };
    let summary = run_all(&careless, "");
    assert_eq!((summary.equal, summary.scenarios), (0, 674));
    assert_eq!(summary.packets - summary.equal_packets, 674);
}

#[test]
fn a_filter_that_matches_nothing_is_no_success() {
    assert!(!run_all(&recorded, "no such scenario").all_equal());
}
