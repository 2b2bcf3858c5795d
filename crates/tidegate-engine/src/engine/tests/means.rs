//! What rules ask of the caller: owners of packets, sets, timeout policies, copies of packets.

use alloc::format;

use super::*;
use crate::ipset::Sets;
use crate::rules::parse;

/// An engine with one IPv4 rule and what else it needs.
fn ruled(table: &str, rule: &str) -> Engine {
    let mut engine = engine(limits());
    let mut policies = Policies::default();
    policies.add(engine.limits(), "f", "add timeout quick inet udp unreplied 3 replied 4").unwrap();
    engine.adopt_policies(policies);
    engine.restore_sets(at(0), "f", "create s hash:ip timeout 5").unwrap();
    let text = format!("*{table}\n{rule}\nCOMMIT\n");
    engine.replace_rules(&parse(Family::V4, "row", &text).unwrap());
    engine
}

fn is_dropped(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Drop(_))
}

/// Each row: what `-m owner` asks, whether it is true of a process of user 5, group 6 and 7, of a socket without a
/// process, and of a packet of which nothing is known.
#[test]
fn the_caller_says_whose_a_packet_is() {
    let process = Owner::Process { user: 5, group: 6, groups: Vec::from([7]) };
    let rows = [
        ("--uid-owner 5", [true, false, false]),
        ("--uid-owner 6", [false, false, false]),
        ("! --uid-owner 5", [false, true, true]),
        ("--gid-owner 7", [false, false, false]),
        ("--gid-owner 7 --suppl-groups", [true, false, false]),
        ("--uid-owner 4-6 --gid-owner 6", [true, false, false]),
        ("--socket-exists", [true, true, false]),
        ("! --socket-exists", [false, false, true]),
    ];
    for (asked, expected) in rows {
        let owners = [Some(&process), Some(&Owner::Kernel), None];
        for (owner, expected) in owners.into_iter().zip(expected) {
            let mut engine = ruled("filter", &format!("-A OUTPUT -m owner {asked} -j DROP"));
            let mut bytes = udp(Host::Router, 9).bytes(Family::V4);
            let mut packet = Packet::local(&mut bytes);
            let world = World::new();
            let outcome = match owner {
                Some(owner) => engine.send_owned(at(1), &mut packet, owner, &world),
                None => engine.send_local(at(1), &mut packet, &world),
            };
            assert_eq!(is_dropped(&outcome), expected, "{asked}: {owner:?}");
        }
    }
}

#[test]
fn a_set_stays_while_a_rule_of_either_family_names_it() {
    let mut engine = ruled("filter", "-A FORWARD -m set --match-set s src -j DROP");
    let mut sets = Sets::default();
    sets.restore(at(1), "f", "create s hash:ip\ncreate l list:set").unwrap();
    engine.adopt_sets(sets);
    let rules =
        |family, text: &str| parse(family, "row", &format!("*filter\n{text}\nCOMMIT\n")).unwrap();
    engine.replace_rules(&rules(Family::V6, "-A INPUT -j SET --add-set l src"));
    for name in ["s", "l"] {
        engine.restore_sets(at(1), "f", &format!("destroy {name}")).unwrap_err();
    }
    engine.replace_rules(&rules(Family::V4, ""));
    engine.restore_sets(at(1), "f", "destroy s").unwrap();
    engine.restore_sets(at(1), "f", "destroy l").unwrap_err();
    engine.replace_rules(&rules(Family::V6, ""));
    engine.restore_sets(at(1), "f", "destroy l").unwrap();
}

#[test]
fn a_set_changes_between_two_packets() {
    let mut engine = ruled("filter", "-A FORWARD -m set --match-set s src -j DROP");
    let source = udp(Host::Client, 9).tuple(Family::V4).src;
    let dropped = |engine: &mut Engine, now| {
        is_dropped(&receive(engine, now, Family::V4, &udp(Host::Client, 9)))
    };
    assert!(!dropped(&mut engine, at(1)));
    engine.restore_sets(at(2), "f", &format!("add s {source}")).unwrap();
    assert!(dropped(&mut engine, at(3)));
    assert!(!dropped(&mut engine, at(7)));
    assert_eq!(engine.sets().len(at(7), "s"), Some(0));
}

/// As many packets both ways as make the flow assured; the express path must leave it alone.
#[test]
fn a_policy_stays_with_its_flow_when_the_rules_have_gone() {
    let mut engine = ruled("raw", "-A PREROUTING -p udp -j CT --timeout quick");
    let query = udp(Host::Client, 9);
    receive(&mut engine, at(1), Family::V4, &query);
    engine.replace_rules(&parse(Family::V4, "row", "*raw\nCOMMIT\n").unwrap());
    for second in 1..9 {
        receive(&mut engine, at(second), Family::V4, &udp(Host::Server, 9));
        let flow = receive(&mut engine, at(second), Family::V4, &query).flow.unwrap();
        let left = engine.flow(flow).unwrap().remaining(at(second)).as_secs();
        assert_eq!(left, if second < 4 { 3 } else { 4 }, "at {second}");
    }
}

#[test]
fn nflog_hands_out_a_copy() {
    let mut engine =
        ruled("filter", "-A FORWARD -j NFLOG --nflog-group 3 --nflog-prefix here --nflog-size 21");
    let outcome = receive(&mut engine, at(1), Family::V4, &udp(Host::Client, 9));
    assert!(!is_dropped(&outcome));
    let copy = engine.poll_copy().unwrap();
    assert_eq!((copy.group, copy.prefix.as_str(), copy.bytes.len()), (3, "here", 21));
    assert_eq!(engine.poll_copy(), None);
}
