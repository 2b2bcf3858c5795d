//! SYNPROXY: the engine against what a kernel did, packet by packet, with both ends of the connections played. That the
//! recordings are what the running kernel does is for `tidegate-sim synproxy` to say.

use serde_json::{Value, json};

use tidegate_sim::campaign::synproxy::{Case, Recording, all, ask_engine, judge, recordings};

#[test]
fn the_engine_proxies_like_the_kernel() {
    let recordings = recordings().expect("the recordings");
    let (mut packets, mut wrong) = (0, Vec::new());
    for case in all() {
        let name = case.name();
        let kernel = recordings.get(&name).unwrap_or_else(|| panic!("{name} is not recorded"));
        let engine =
            ask_engine(&case, kernel).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let comparison = judge(&case, kernel, &engine);
        packets += comparison.packets;
        wrong.extend(comparison.differences.iter().map(|one| format!("{name}: {one}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(recordings.len(), all().count(), "recordings of nothing");
    assert!(packets > 800, "only {packets} packets");
}

/// The judge sees through the names that stand for what was drawn.
#[test]
fn no_difference_hides_behind_a_name() {
    let case = all().find(|case| case.name() == "whole-life-v4").expect("the case");
    let kernel =
        recordings().expect("the recordings").remove(&case.name()).expect("it is recorded");
    let spoilt: [(&str, Spoil); 6] = [
        ("the cookie that is acknowledged", |it| flip(&mut it.records[1]["out"][0], ACK)),
        ("the number of the first ACK", |it| flip(&mut it.records[2]["out"][1], SEQ)),
        ("a corrected acknowledgement", |it| flip(&mut it.records[3]["out"][0], ACK)),
        ("a corrected time stamp", |it| flip(&mut it.records[4]["out"][0], STAMP)),
        ("what is remembered", |it| it.records[5]["ct"]["synproxy"]["isn"] = json!(5)),
        ("a counter", |it| it.end["synproxy"][0] = json!(2)),
    ];
    assert_eq!(differences(&case, &kernel, &kernel), 0);
    for (what, spoil) in spoilt {
        let mut other = kernel.clone();
        spoil(&mut other);
        assert_ne!(differences(&case, &kernel, &other), 0, "{what}");
    }
}

type Spoil = fn(&mut Recording);

const SEQ: usize = 24;
const ACK: usize = 28;
const STAMP: usize = 44;

/// Changes the last bit of a word of an IPv4 packet.
fn flip(output: &mut Value, word: usize) {
    let mut hex = output["hex"].as_str().expect("a packet").to_owned();
    let at = 2 * (word + 3) + 1;
    let digit = u8::from_str_radix(&hex[at..=at], 16).expect("a digit") ^ 1;
    hex.replace_range(at..=at, &format!("{digit:x}"));
    output["hex"] = hex.into();
}

fn differences(case: &Case, kernel: &Recording, other: &Recording) -> usize {
    let mut other = other.clone();
    other.end["final"] = true.into();
    for record in &mut other.records {
        record["scenario"] = case.name().into();
    }
    other.end["scenario"] = case.name().into();
    judge(case, kernel, &other).differences.len()
}
