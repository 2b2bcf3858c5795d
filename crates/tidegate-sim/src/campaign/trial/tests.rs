//! What is told ahead of a packet, and what isn't; what is let off because the router speaks to itself, and what isn't.

use super::*;
use crate::campaign::kernel::Reading;

const END: &str = "[DESTROY] ipv4 udp 17 src=10.0.1.2 dst=10.0.1.3 sport=1 dport=2 src=10.0.1.3 dst=10.0.1.2 sport=2 dport=1";

fn other(op: &str, sport: u16) -> Value {
    let orig = json!({"src": "10.0.1.2", "dst": "10.0.1.3", "sport": sport, "dport": 2});
    json!({"op": op, "ct": {"orig": orig}})
}

#[test]
fn an_end_that_a_packet_found_is_told_ahead_of_it() {
    // Port 1 with another port than 2, which 2 begins.
    let mut longer = other("gone", 1);
    longer["ct"]["orig"]["dport"] = 25.into();
    assert!(!tells(END, &original(&longer["ct"]).unwrap()));
    let others = json!([other("gone", 1), other("gone", 7), other("new", 1)]);
    let mut records = [
        json!({"events": []}),
        json!({"events": [END, "[NEW] ipv4 udp 17"], "others": others}),
        json!({"events": [END]}),
    ];
    assert!(tell_ahead(&mut records, 1));
    assert_eq!(records[0]["late"], json!([END]));
    assert_eq!(records[1]["events"], json!(["[NEW] ipv4 udp 17"]));
    assert_eq!(records[1]["others"], json!([other("gone", 7), other("new", 1)]));
    assert_eq!(records[2]["events"], json!([END]), "another packet's stays");
    assert!(tell_ahead(&mut records, 2));
    assert_eq!(records[1]["late"], json!([END]));
}

#[test]
fn nothing_else_is() {
    let record = |events: Value| json!({"events": events});
    let rows = [
        ("nothing happened", record(json!([]))),
        ("something else came first", record(json!(["[NEW] ipv4 udp 17", END]))),
        ("an expectation's end", record(json!(["[EXP_DESTROY] ipv4 tcp 6"]))),
        ("no events at all", json!({})),
    ];
    for (what, at) in rows {
        let before = [record(json!([])), at];
        let mut records = before.clone();
        assert!(!tell_ahead(&mut records, 1), "{what}");
        assert_eq!(records, before, "{what}");
    }
    let mut first = [record(json!([END]))];
    assert!(!tell_ahead(&mut first, 0), "nothing is ahead of the first");
    assert!(!tell_ahead(&mut first, 1), "the end is no packet");
}

#[test]
fn a_tuple_is_told_in_whole_words() {
    let rows = [
        ("src=10.0.1.2 dst=10.0.1.3 sport=1 dport=2", true),
        ("src=10.0.1.2 dst=10.0.1.3 sport=1", true),
        ("src=10.0.1.2 dst=10.0.1.3 sport=2 dport=1", false),
        ("src=10.0.1.2 dst=10.0.1", false),
    ];
    for (tuple, is_told) in rows {
        assert_eq!(tells(END, tuple), is_told, "{tuple}");
    }
    let longer = END.replace("dport=2", "dport=25");
    assert!(!tells(&longer, rows[0].0), "a port that begins alike");
    assert!(tells(&format!("[\"{}\"]", rows[0].0), rows[0].0), "at the end of a list");
    assert!(!tells("src=fd00::1 dst=fd00::1:2", "src=fd00::1 dst=fd00::1"), "a longer address");
}

/// What was recorded of three packets, the second of which found a dead entry, whose readings are a millisecond wide.
fn recorded() -> Recorded {
    let reading = |number: u64| {
        let likely = Duration::from_millis(10 * number);
        Reading { earliest: likely, likely, latest: likely + Duration::from_millis(1) }
    };
    let records = [json!({"events": []}), json!({"events": [END]}), json!({"events": []})];
    Recorded {
        steps: Vec::new(),
        readings: (1..5).map(reading).collect(),
        records: records.to_vec(),
        end: Value::Null,
        began: Duration::ZERO,
        took: Duration::ZERO,
        has_log: true,
        lag: Duration::ZERO,
    }
}

fn is_ahead(records: &[Value]) -> bool {
    records[0]["late"].is_array()
}

fn at(packet: usize) -> Option<Doubt> {
    Some(Doubt { packet, concerned: vec![] })
}

/// Each row: where the records differ, as they are and with the end told ahead, and whether it is told ahead then.
#[test]
fn an_end_is_told_ahead_only_if_that_helps_and_never_in_what_was_recorded() {
    let rows = [
        ("nothing differs", None, at(1), false),
        ("it helps", at(1), None, true),
        ("it helps, and something else differs later", at(1), at(2), true),
        ("it differs there all the same", at(1), at(1), false),
        ("it differs sooner then", at(1), at(0), false),
        ("a packet that found nothing", at(2), None, false),
    ];
    for (what, plain, ahead, is_told_ahead) in rows {
        let recorded = recorded();
        let doubt = |records: &[Value], _: &[Duration]| match is_ahead(records) {
            true => ahead.clone(),
            false => plain.clone(),
        };
        let settled = settled(&recorded, &doubt);
        assert_eq!(settled.is_told_ahead, is_told_ahead, "{what}");
        assert_eq!(is_ahead(&settled.records), is_told_ahead, "{what}: put back if not");
        assert!(!is_ahead(&recorded.records), "{what}: what the kernel said");
    }
}

#[test]
fn a_doubt_is_where_the_first_difference_is_and_concerns_its_entry() {
    let record = |sport: u16| json!({"ct": other("", sport)["ct"]});
    let records = [record(1), record(7), record(1), record(7), record(1)];
    let differs = |index, expected: &str| Difference {
        index,
        field: "events".to_owned(),
        expected: expected.to_owned(),
        got: "[]".to_owned(),
    };
    let rows = [
        ("its own entry", differs(Some(4), "[]"), 4, vec![2, 0]),
        ("an entry that is told", differs(Some(3), END), 3, vec![2, 1, 0]),
        ("the end", differs(None, "[]"), 5, vec![]),
        ("the end, where an entry is told", differs(None, END), 5, vec![4, 2, 0]),
    ];
    for (what, difference, packet, concerned) in rows {
        assert_eq!(doubt(&records, &[difference]), Some(Doubt { packet, concerned }), "{what}");
    }
    assert_eq!(doubt(&records, &[]), None);
}

#[test]
fn only_what_the_router_says_to_itself_is_let_off() {
    let differs = |index, field: &str, expected: &str, got: &str| Difference {
        index: Some(index),
        field: field.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    };
    let verdict = || differs(1, "verdict", "\"local\"", "\"drop\"");
    let out = || differs(1, "out[lan]", "a packet", "nothing");
    let later = || differs(2, "count", "1", "2");
    let rows = [
        ("the known kind", true, vec![verdict(), out(), later()], Some(1)),
        ("not to itself", false, vec![verdict(), out()], None),
        ("only what left", true, vec![out()], None),
        ("the other way round", true, vec![differs(1, "verdict", "\"drop\"", "\"local\"")], None),
        ("of another class", true, vec![differs(1, "ctstate", "\"NEW\"", "null"), verdict()], None),
        ("the packet before differs", true, vec![differs(0, "count", "1", "2"), verdict()], None),
        ("nothing differs", true, vec![], None),
    ];
    for (what, to_itself, differences, until) in rows {
        let records = [json!({}), json!({"to_itself": to_itself}), json!({})];
        assert_eq!(until_itself(&records, &differences), until, "{what}");
    }
}
