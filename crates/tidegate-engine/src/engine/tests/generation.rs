//! Rules that are worked out once, for several engines: what each of them remembers, and what stays.

use alloc::format;

use super::*;
use crate::rules::{Ruleset, parse};

fn rules(family: Family, table: &str, rule: &str) -> Ruleset {
    parse(family, "row", &format!("*{table}\n{rule}\nCOMMIT\n")).unwrap()
}

/// Seven queries of one client, from a port each; which of them were dropped.
fn dropped(engine: &mut Engine, now: Instant) -> Vec<bool> {
    let query = |sport| udp(Host::Client, 9).ports(sport, 53);
    let is_dropped = |sport| {
        let outcome = receive(engine, now, Family::V4, &query(sport));
        matches!(outcome.verdict, Verdict::Drop(_))
    };
    (1000..1007).map(is_dropped).collect()
}

/// Conditions that remember packets; each drops some of seven, and not all.
const REMEMBERING: [&str; 7] = [
    "-m limit --limit 1/min --limit-burst 3",
    "-m hashlimit --hashlimit-upto 1/min --hashlimit-burst 3 --hashlimit-mode srcip --hashlimit-name h",
    "-m recent --name r --update --seconds 60 --hitcount 3 -j RETURN\n-A FORWARD -m recent --name r --set",
    "-m connlimit --connlimit-above 3",
    "-m quota --quota 130",
    "-m statistic --mode nth --every 3 --packet 1",
    "-m set --match-set s src -j DROP\n-A FORWARD -j SET --add-set s src\n-A FORWARD -p 99",
];

/// An engine by itself, and two that adopt copies of what was worked out once.
#[test]
fn each_engine_remembers_for_itself() {
    for condition in REMEMBERING {
        let [mut alone, mut first, mut second] = [0; 3].map(|_| engine(limits()));
        for engine in [&mut alone, &mut first, &mut second] {
            engine.restore_sets(at(0), "f", "create s hash:ip").unwrap();
        }
        let filter = rules(Family::V4, "filter", &format!("-A FORWARD {condition} -j DROP"));
        let mut next = first.generation();
        next.replace(filter.clone());
        let mut copy = next.clone();
        alone.replace_rules(&filter);
        first.adopt_rules(&mut next);
        second.adopt_rules(&mut copy);
        let expected = dropped(&mut alone, at(1));
        assert!(expected.contains(&true) && expected.contains(&false), "{condition}: {expected:?}");
        assert_eq!(dropped(&mut first, at(1)), expected, "{condition}");
        let fresh = second.rules(Family::V4, true).unwrap();
        assert!(fresh.lines().all(|line| !line.contains(":") || line.contains("0:0]")), "{fresh}");
        assert_eq!(
            dropped(&mut second, at(1)),
            expected,
            "{condition}, behind the first's packets"
        );
        let counters = [&alone, &first, &second].map(|one| one.rules(Family::V4, true));
        assert_eq!(counters[1..], [counters[0].clone(), counters[0].clone()], "{condition}");
    }
}

/// Worked out before the packets came that the old rules counted, and put in force after them.
#[test]
fn tables_that_are_not_replaced_go_on() {
    let mut engine = engine(limits());
    let limited = "-A FORWARD -m limit --limit 1/min --limit-burst 3 -j ACCEPT\n-A FORWARD -j DROP";
    let filter = rules(Family::V4, "filter", limited);
    engine.replace_rules(&filter);
    let others = [
        rules(Family::V4, "mangle", "-A FORWARD -j MARK --set-mark 7"),
        rules(Family::V6, "filter", "-A FORWARD -j DROP"),
    ];
    let refills = [false, false, false, true, true, true, true];
    assert_eq!(dropped(&mut engine, at(1)), refills);
    for other in others {
        let mut next = engine.generation();
        next.replace(other);
        dropped(&mut engine, at(2));
        let before = filter_of(&engine);
        engine.adopt_rules(&mut next);
        assert_eq!(filter_of(&engine), before, "counters of packets that came meanwhile, too");
        assert_eq!(dropped(&mut engine, at(3)), [true; 7], "nothing is left of the limit");
    }
    assert!(engine.rules(Family::V4, false).unwrap().contains("--set-xmark 0x7"));
    engine.replace_rules(&filter);
    assert_eq!(dropped(&mut engine, at(4)), refills, "a new table begins anew");
}

/// The filter's rules with their counters.
fn filter_of(engine: &Engine) -> String {
    let text = engine.rules(Family::V4, true).unwrap();
    text[text.find("*filter").unwrap()..].split("COMMIT").next().unwrap().into()
}

/// The packets of an established flow are counted on the way, without asking the rules.
#[test]
fn what_has_passed_without_asking_is_counted_on() {
    let mut engine = engine(limits());
    engine.replace_rules(&rules(Family::V4, "filter", "-A FORWARD -p udp -j ACCEPT"));
    for second in 1..9 {
        receive(&mut engine, at(second), Family::V4, &udp(Host::Client, 9));
        receive(&mut engine, at(second), Family::V4, &udp(Host::Server, 9));
    }
    let mut next = engine.generation();
    next.replace(rules(Family::V4, "mangle", ""));
    engine.adopt_rules(&mut next);
    assert!(
        filter_of(&engine).contains("[16:592] -A FORWARD -p udp -j ACCEPT"),
        "{}",
        filter_of(&engine)
    );
}

/// Engines have numbers of their own for a policy.
#[test]
fn policies_are_found_by_each_engine() {
    let mut next = engine(limits()).generation();
    next.replace(rules(Family::V4, "raw", "-A PREROUTING -p udp -j CT --timeout quick"));
    let rows = [
        ("add timeout quick inet udp unreplied 3", 3),
        ("add timeout slow inet udp unreplied 90\nadd timeout quick inet udp unreplied 4", 4),
        ("add timeout slow inet udp unreplied 90", 30),
    ];
    for (text, expected) in rows {
        let mut engine = engine(limits());
        let mut policies = Policies::default();
        policies.add(engine.limits(), "f", text).unwrap();
        engine.adopt_policies(policies);
        engine.adopt_rules(&mut next.clone());
        let flow = receive(&mut engine, at(1), Family::V4, &udp(Host::Client, 9)).flow.unwrap();
        assert_eq!(engine.flow(flow).unwrap().remaining(at(1)).as_secs(), expected, "{text}");
    }
}
