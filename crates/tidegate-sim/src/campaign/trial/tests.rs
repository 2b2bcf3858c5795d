//! What is told ahead of a packet, and what isn't.

use super::*;

const END: &str = "[DESTROY] ipv4 udp 17 src=10.0.1.2 dst=10.0.1.3 sport=1 dport=2 src=10.0.1.3 dst=10.0.1.2 sport=2 dport=1";

fn other(op: &str, sport: u16) -> Value {
    let orig = json!({"src": "10.0.1.2", "dst": "10.0.1.3", "sport": sport, "dport": 2});
    json!({"op": op, "ct": {"orig": orig}})
}

#[test]
fn an_end_that_a_packet_found_is_told_ahead_of_it() {
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
