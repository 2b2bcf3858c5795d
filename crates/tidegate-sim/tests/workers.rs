//! Several workers against the kernel: the recorded scenarios, each packet of which enters at any worker.
//!
//! A worker that has to change a port chooses one of its own, and announces ports of its own; the kernel, which has only
//! one table, may keep another one. Which ports are whose is decided by a secret. So a scenario whose first secret
//! makes a difference is tried with others, until the kernel's choices happen to be the workers' too: then all else
//! has to be equal as well. Where there are too many choices for that, or rules count what all workers see together,
//! the scenario stands in one of the lists below, and nowhere else.

use serde_json::Value;

use tidegate_gateway::replay::{Crew, Fault, Recorder, Replay, Scenario as Input};
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::oracle::{Options, compare};

/// Rules that count packets of many flows: each worker counts its own.
const COUNTS: [&str; 13] = [
    "connlimit",
    "ext-connlimit",
    "ext-connlimit-collect",
    "ext-hashlimit",
    "ext-sets",
    "option-recent-mask",
    "option-recent-mask-spelled",
    "option-sets-1",
    "option-sets-2",
    "option-sets-3",
    "recent",
    "rules-limit",
    "rules-limit-rules",
];

/// `ipfrag_max_dist` counts the fragments of a source: each worker counts its own.
const DISTANCE: [&str; 1] = ["frag4-far-apart"];

/// The rule leaves a single port, which has one home.
const SINGLE_PORT: [&str; 2] = ["nat-more-range2-v4", "nat-more-range2-v6"];

/// So many ports are changed or announced that no secret that was tried fits them all.
const PORTS: &[&str] = &[
    "amanda-nat",
    "h323-call-dnat",
    "h323-call-masq",
    "h323-fast-start-masq",
    "h323-fuzz-h245-masq-23",
    "h323-fuzz-h245-masq-24",
    "h323-fuzz-h245-masq-27",
    "h323-fuzz-q931-masq-114",
    "h323-fuzz-q931-masq-13",
    "h323-fuzz-q931-masq-18",
    "h323-fuzz-ras-masq-7",
    "h323-ports-taken",
    "h323-tpkt-masq",
    "helper-random-amanda-both-1005",
    "helper-random-amanda-dnat-1090",
    "helper-random-ftp-dnat-1065",
    "helper-random-irc-both-1086",
    "helper-random-seq-both-10",
    "helper-random-seq-both-59",
    "helper-random-seq-masq-13",
    "helper-random-seq-masq-7",
    "helper-random-sip-dnat-1064",
    "helper-random-sip-snat-1063",
    "helper-random-siptcp-both-1093",
    "irc-offers-nat",
    "mixed-16-v6-dnat",
    "nat-dnat-port-range",
    "nat-more-redirect-v4",
    "nat-more-redirect-v6",
    "param-ftp-loose-nat",
    "param-sip-both-nat",
    "param-sip-both-nat-v6",
    "param-sip-media-nat",
    "param-sip-media-nat-v6",
    "param-sip-signalling-nat",
    "param-sip-signalling-nat-v6",
    "random-4",
    "sip-call-long-nat",
    "sip-call-nat",
    "sip-call-nat-v6",
    "sip-called-nat",
    "sip-register-nat",
];

/// How many secrets are tried.
const SECRETS: u64 = 24;

/// All lists.
fn listed() -> impl Iterator<Item = &'static str> {
    COUNTS.iter().chain(&DISTANCE).chain(&SINGLE_PORT).chain(PORTS).copied()
}

fn replay(scenario: &Scenario, crew: Crew) -> Result<Vec<Value>, Vec<Fault>> {
    let input = Input::from_files(&scenario.name, scenario.files.clone())?;
    let mut record = Vec::new();
    let mut replay = Replay::with_workers(input, true, crew);
    Recorder::new(&mut record).run(&mut replay, |_| Ok(())).expect("a record in memory");
    let text = String::from_utf8(record).expect("JSON is UTF-8");
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

fn difference(scenario: &Scenario, crew: Crew) -> Option<String> {
    let records = replay(scenario, crew).unwrap_or_else(|faults| panic!("refused: {faults:?}"));
    let comparison = compare(scenario, &records, Options { strict: true });
    comparison.differences.first().map(ToString::to_string)
}

#[test]
fn workers_decide_like_the_kernel() {
    let scenarios = corpus::scenarios().expect("the corpus");
    let (mut at_once, mut wrong) = (0, Vec::new());
    for (number, scenario) in
        scenarios.iter().enumerate().filter(|(_, one)| listed().all(|name| name != one.name))
    {
        let Some(first) = difference(scenario, Crew { workers: 2 + number % 3, secret: 0 }) else {
            at_once += 1;
            continue;
        };
        let other = |secret| difference(scenario, Crew { workers: 2, secret }).is_none();
        if !(0..SECRETS).any(other) {
            wrong.push(format!("{}: {first}", scenario.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), scenarios.len(), wrong.join("\n"));
    assert!(at_once > 450, "only {at_once} scenarios are equal whatever the secret");
}

#[test]
fn what_is_listed_exists() {
    let scenarios = corpus::scenarios().expect("the corpus");
    let unknown: Vec<&str> =
        listed().filter(|name| scenarios.iter().all(|one| one.name != *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
