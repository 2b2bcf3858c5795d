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
const REFUSED: [(&str, &str); 19] = [
    ("ftp-eprt", "match `helper'"),
    ("ftp-eprt-v6", "match `helper'"),
    ("ftp-epsv", "match `helper'"),
    ("ftp-epsv-v6", "match `helper'"),
    ("ftp-master-dies", "helpers are not supported yet (`ftp')"),
    ("ftp-odd", "helpers are not supported yet (`ftp')"),
    ("ftp-pasv", "match `helper'"),
    ("ftp-pasv-dnat", "match `helper'"),
    ("ftp-pasv-masq", "match `helper'"),
    ("ftp-port", "match `helper'"),
    ("ftp-port-nat", "match `helper'"),
    ("helper-expire-slow", "helpers are not supported yet (`ftp')"),
    ("irc-dcc", "helpers are not supported yet (`irc')"),
    ("irc-dcc-nat", "helpers are not supported yet (`irc')"),
    ("pptp", "helpers are not supported yet (`pptp')"),
    ("sip-call", "helpers are not supported yet (`sip')"),
    ("sip-call-nat", "helpers are not supported yet (`sip')"),
    ("tftp", "helpers are not supported yet (`tftp')"),
    ("tftp-nat", "helpers are not supported yet (`tftp')"),
];

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
