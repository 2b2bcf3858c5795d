//! The engine against the kernel: every recorded scenario, packet by packet. None is left out.

use serde_json::Value;

use tidegate_gateway::replay::{Fault, Recorder, Replay, Scenario as Input};
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::oracle::{Options, compare};

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
    let (mut equal, mut wrong) = (0, Vec::new());
    for scenario in &scenarios {
        let records = replay(scenario).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        let comparison = compare(scenario, &records, Options { strict: true });
        match comparison.differences.first() {
            None => equal += 1,
            Some(difference) => wrong.push(format!("{}: {difference}", scenario.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(equal, scenarios.len());
}

/// What the kernel wrote of each packet that it did not believe, or that a helper dropped, and the
/// engine. The campaign, which recorded some scenarios, doesn't listen to that.
#[test]
fn the_engine_says_why_in_the_kernels_words() {
    let (mut told, mut wrong) = (0, Vec::new());
    for scenario in corpus::scenarios().expect("the corpus") {
        if scenario.name.starts_with("campaign-") {
            continue;
        }
        let records = replay(&scenario).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        let expected = scenario.json_lines("expected.jsonl").expect("the kernel's record");
        for (expected, actual) in expected.iter().zip(&records) {
            let [kernel, engine] = [expected, actual].map(why);
            told += kernel.len();
            if kernel != engine {
                wrong.push(format!(
                    "{} {}: {kernel:?} / {engine:?}",
                    scenario.name, actual["index"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(told > 300, "only {told} packets of the corpus have a reason");
}

/// The reasons, but for those why a helper can't do what it should, which are told apart less finely
/// here.
fn why(record: &Value) -> Vec<&str> {
    const COARSE: [&str; 3] = ["cannot mangle", "cannot add expectation", "ports in use"];
    let lines = record["why"].as_array().into_iter().flatten().filter_map(Value::as_str);
    lines.filter(|line| !COARSE.iter().any(|words| line.contains(words))).collect()
}

/// What the kernel recorded of each packet's way is what a TRACE rule has to tell of it from there on.
#[test]
fn the_engine_traces_like_the_kernel() {
    let (mut told, mut wrong) = (0, Vec::new());
    for scenario in corpus::scenarios().expect("the corpus") {
        let targets = trace_targets(&scenario);
        if targets.is_empty() {
            continue;
        }
        let records = replay(&scenario).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
        let expected = scenario.json_lines("expected.jsonl").expect("the kernel's record");
        for (expected, actual) in expected.iter().zip(&records) {
            let (kernel, engine) = (traced(&texts(&expected["rules"]), &targets), places(actual));
            told += kernel.len();
            if kernel != engine {
                let index = &actual["index"];
                wrong.push(format!("{} {index}: {kernel:?} / {engine:?}", scenario.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(told >= 5, "only {told} places are traced in the corpus");
}

/// The rules with the target TRACE, as the kernel names them.
fn trace_targets(scenario: &Scenario) -> Vec<String> {
    let mut targets = Vec::new();
    for file in ["rules.v4", "rules.v6"] {
        let text = scenario.text(file).expect("rules are text").unwrap_or_default();
        let mut counts = std::collections::BTreeMap::<&str, usize>::new();
        let raw = text.split("*raw\n").nth(1).and_then(|rest| rest.split("COMMIT").next());
        for rule in raw.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("-A ")) {
            let (chain, rest) = rule.split_once(' ').unwrap_or((rule, ""));
            let number = counts.entry(chain).or_default();
            *number += 1;
            if rest.contains("-j TRACE") {
                targets.push(format!("raw:{chain}:rule:{number}"));
            }
        }
    }
    targets
}

/// Of the places that packets passed those that are traced: of each packet what comes behind TRACE.
fn traced<'a>(passed: &[&'a str], targets: &[String]) -> Vec<&'a str> {
    let (mut is_traced, mut before) = (false, "");
    let mut found = Vec::new();
    for place in passed {
        let hook = place.split(':').nth(1).unwrap_or_default();
        // The router's own packets begin there.
        if place.starts_with("raw:") && hook != before {
            is_traced = false;
        }
        before = hook;
        if is_traced {
            found.push(*place);
        }
        is_traced |= targets.iter().any(|target| target == place);
    }
    found
}

/// The places in the lines of the log that TRACE wrote.
fn places(record: &Value) -> Vec<&str> {
    let lines = texts(&record["log"]).into_iter().filter_map(|line| line.strip_prefix("TRACE: "));
    lines.filter_map(|line| line.split(" IN=").next()).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
