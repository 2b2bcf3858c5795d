//! What the judge lets pass, and what it must not.

use serde_json::json;

use super::*;

const UDP: &str = "4500001d000040003f11f4cb0a000102cb0071029c400035000b000078";
const OWN_ICMP: [&str; 2] = [
    // The same echo reply with the identifications 1 and 2, and right header checksums.
    "4500001c00010000400164de0a0001010a0001020000fff800070000",
    "4500001c00020000400164dd0a0001010a0001020000fff800070000",
];

fn scenario(record: Value, vary: Value) -> Scenario {
    let mut scenario = Scenario::new("one");
    scenario.files.insert("expected.jsonl".into(), record.to_string().into_bytes());
    if !vary.is_null() {
        scenario.files.insert("vary.json".into(), vary.to_string().into_bytes());
    }
    scenario
}

fn record() -> Value {
    json!({
        "scenario": "one", "index": 0, "ctstate": "NEW", "dir": "ORIGINAL", "verdict": "forward",
        "stage": "out", "out": [{"port": "wan", "by": "fwd", "hex": UDP}],
        "ct": {
            "l3": "ipv4", "l4": "udp", "l4num": 17,
            "orig": {"src": "10.0.1.2", "dst": "203.0.113.2", "sport": 40000, "dport": 53},
            "reply": {"src": "203.0.113.2", "dst": "203.0.113.1", "sport": 53, "dport": 40000},
            "status": ["CONFIRMED", "SRC_NAT", "SRC_NAT_DONE"], "timeout": 30, "state": null,
            "mark": 0, "zone": 0, "helper": null, "master": null,
            "acct": {"orig": [1, 29], "reply": [0, 0]},
        },
        "count": 1, "events": ["[NEW] ipv4 udp 17 t=30 src=10.0.1.2"],
    })
}

/// The fields in which `record` with `pointer` set to `value` differs from `record`.
fn fields_after(pointer: &str, value: Value) -> Vec<String> {
    let mut actual = record();
    *actual.pointer_mut(pointer).unwrap() = value;
    differing(record(), json!(null), &[actual], Options::default())
}

fn differing(expected: Value, vary: Value, actual: &[Value], options: Options) -> Vec<String> {
    let comparison = compare(&scenario(expected, vary), actual, options);
    comparison.differences.into_iter().map(|difference| difference.field).collect()
}

#[test]
fn every_required_field_counts() {
    let rows = [
        ("/ctstate", json!("INVALID"), "ctstate"),
        ("/dir", json!(null), "dir"),
        ("/verdict", json!("drop"), "verdict"),
        ("/out", json!([]), "out[wan]"),
        ("/out/0/hex", json!("zz"), "out"),
        ("/ct", json!(null), "ct"),
        ("/ct/l4num", json!(6), "ct.l4num"),
        ("/ct/orig/src", json!("10.0.1.3"), "ct.orig.src"),
        ("/ct/reply/dport", json!(40001), "ct.reply.dport"),
        ("/ct/status", json!(["CONFIRMED"]), "ct.status"),
        ("/ct/state", json!("SYN_SENT"), "ct.state"),
        ("/ct/helper", json!("ftp"), "ct.helper"),
        ("/ct/master", json!({"l4": "tcp"}), "ct.master"),
        ("/ct/acct/orig/1", json!(30), "ct.acct"),
        ("/count", json!(2), "count"),
        ("/events", json!([]), "events"),
        ("/stage", json!("local"), "stage"),
    ];
    for (pointer, value, field) in rows {
        assert_eq!(fields_after(pointer, value), [field]);
    }
}

#[test]
fn unknown_status_names_and_order_mean_nothing() {
    assert!(fields_after("/ct/status", json!(["SRC_NAT", "CONFIRMED", "OFFLOAD"])).is_empty());
}

#[test]
fn absent_mark_and_zone_are_zero() {
    for pointer in ["/ct/mark", "/ct/zone"] {
        assert!(fields_after(pointer, json!(null)).is_empty());
        assert_eq!(fields_after(pointer, json!(1)).len(), 1);
    }
}

#[test]
fn timeouts_may_differ_by_the_tolerance() {
    let rows = [(29, json!(null), true), (31, json!(null), true), (28, json!(null), false)];
    let wide = json!({"timeout_tolerance": 5});
    let none = json!({"timeout_tolerance": 0});
    let more = [(25, wide.clone(), true), (24, wide, false), (29, none, false)];
    for (seconds, vary, is_equal) in rows.into_iter().chain(more) {
        let mut actual = record();
        actual["ct"]["timeout"] = seconds.into();
        let fields = differing(record(), vary, &[actual], Options::default());
        assert_eq!(fields.is_empty(), is_equal, "{seconds} s: {fields:?}");
    }
}

#[test]
fn optional_fields_count_if_told_or_strict() {
    let mut actual = record();
    for field in ["stage", "count", "events"] {
        actual.as_object_mut().unwrap().remove(field);
    }
    actual["ct"].as_object_mut().unwrap().remove("acct");
    let actual = [actual];
    assert!(differing(record(), json!(null), &actual, Options::default()).is_empty());
    let strict = differing(record(), json!(null), &actual, Options { strict: true });
    assert_eq!(strict, ["ct.acct", "stage", "events", "count"]);
}

#[test]
fn skipped_fields_are_not_compared() {
    let mut actual = record();
    actual["ct"]["timeout"] = json!(7);
    actual["verdict"] = json!("drop");
    let rows = [
        (json!([{"field": "ct.timeout"}, {"index": 0, "field": "verdict"}]), vec![]),
        (json!([{"index": 0, "field": "ct"}]), vec!["verdict"]),
        (
            json!([{"index": 1, "field": "ct"}, {"index": -1, "field": "verdict"}]),
            vec!["ct.timeout"],
        ),
    ];
    for (skip, expected) in rows {
        let vary = json!({"skip": skip});
        assert_eq!(
            differing(record(), vary, std::slice::from_ref(&actual), Options::default()),
            expected
        );
    }
}

fn with_output(by: &str, hex: &str) -> Value {
    let mut record = record();
    record["out"] = json!([{"port": "lan", "by": by, "hex": hex}]);
    record
}

fn outputs_differ(by: &str, expected: &str, got: &str) -> bool {
    let actual = [with_output("fwd", got)];
    !differing(with_output(by, expected), json!(null), &actual, Options::default()).is_empty()
}

#[test]
fn only_the_router_draws_its_ip_identification() {
    let [one, other] = OWN_ICMP;
    assert!(!outputs_differ("local", one, other));
    assert!(!outputs_differ("reject", one, other));
    assert!(outputs_differ("fwd", one, other));
    let bad_checksum = other.replace("64dd", "64de");
    assert!(outputs_differ("local", one, &bad_checksum));
    let other_ttl = "4500001c000200003f0165dd0a0001010a0001020000fff800070000";
    assert!(outputs_differ("local", one, other_ttl));
}

#[test]
fn padding_is_cut_off() {
    assert!(!outputs_differ("fwd", UDP, &format!("{UDP}0000")));
    assert!(outputs_differ("fwd", UDP, &UDP[..UDP.len() - 2]));
}

#[test]
fn only_the_router_draws_its_ipv6_flow_label() {
    let packet = |flow: &str| format!("600{flow}00003b40{}", "20".repeat(32));
    assert!(!outputs_differ("router", &packet("00000"), &packet("abcde")));
    assert!(outputs_differ("fwd", &packet("00000"), &packet("abcde")));
    let other_class = packet("00000").replacen("600", "601", 1);
    assert!(outputs_differ("router", &packet("00000"), &other_class));
}

fn copies_differ(expected: Value, hex: &str) -> Vec<String> {
    let mut recorded = record();
    recorded["nflog"] = json!([expected]);
    let mut actual = record();
    actual["nflog"] = json!([{"group": 1, "prefix": "p", "hex": hex}]);
    differing(recorded, json!(null), &[actual], Options { strict: true })
}

#[test]
fn copies_of_the_router_s_own_packets_may_have_other_identifications() {
    let copy =
        |is_own: bool, hex: &str| json!({"group": 1, "prefix": "p", "hex": hex, "own": is_own});
    let [one, other] = OWN_ICMP;
    let flow = |flow: &str| format!("600{flow}00003b40{}", "20".repeat(32));
    let rows = [
        ("an own identification", copy(true, one), other.to_owned(), vec![]),
        ("another's identification", copy(false, one), other.to_owned(), vec!["nflog[0].hex"]),
        (
            "nobody says whose",
            json!({"group": 1, "prefix": "p", "hex": one}),
            other.to_owned(),
            vec!["nflog[0].hex"],
        ),
        ("another's, equal", copy(false, one), one.to_owned(), vec![]),
        (
            "a wrong header checksum",
            copy(true, one),
            other.replace("64dd", "64de"),
            vec!["nflog[0].hex"],
        ),
        ("another byte", copy(true, one), other.replace("fff8", "fff7"), vec!["nflog[0].hex"]),
        ("an own flow label", copy(true, &flow("00000")), flow("abcde"), vec![]),
        ("another's flow label", copy(false, &flow("00000")), flow("abcde"), vec!["nflog[0].hex"]),
        (
            "an own traffic class",
            copy(true, &flow("00000")),
            flow("00000").replacen("600", "601", 1),
            vec!["nflog[0].hex"],
        ),
    ];
    for (what, expected, got, fields) in rows {
        assert_eq!(copies_differ(expected, &got), fields, "{what}");
    }
    let mut other_rule = copy(true, one);
    other_rule["group"] = 2.into();
    other_rule["prefix"] = "q".into();
    assert_eq!(copies_differ(other_rule, one), ["nflog[0].group", "nflog[0].prefix"]);
}

/// A reset with this checksum, from 10.0.1.1 port 80 to 10.0.1.2 port 1025.
fn reset(checksum: u16) -> String {
    let (ip, ports, rest) = ("450000280000400040", "00500401", "000000000000000150140000");
    format!("{ip}0624ce0a0001010a000102{ports}{rest}{checksum:04x}0000")
}

#[test]
fn a_reset_s_checksum_may_be_unfinished_in_the_kernel_s_copy() {
    let whole = {
        let packet = bytes::unhex(&reset(0)).unwrap();
        let parts: [&[u8]; 3] = [&packet[12..20], &[0, 0, 0, 20, 0, 6], &packet[20..]];
        decode::internet_checksum(&parts)
    };
    let begun = !decode::internet_checksum(&[&[10, 0, 1, 1, 10, 0, 1, 2], &[0, 0, 0, 20, 0, 6]]);
    let copy = |is_own: bool, sum: u16| json!({"group": 1, "prefix": "p", "hex": reset(sum), "own": is_own});
    let rows = [
        ("unfinished", copy(true, begun), whole, true),
        ("finished", copy(true, whole), whole, true),
        ("unfinished in a packet that came in", copy(false, begun), whole, false),
        ("unfinished here", copy(true, whole), begun, false),
        ("unfinished in both", copy(true, begun), begun, false),
        ("another one", copy(true, begun ^ 1), whole, false),
    ];
    for (what, expected, got, is_equal) in rows {
        assert_eq!(copies_differ(expected, &reset(got)).is_empty(), is_equal, "{what}");
    }
}

#[test]
fn ipv6_fragment_identifications_are_ignored() {
    let fragment = |offset: &str, id: &str| {
        format!("6000000000102c40{}3b00{offset}{id}0102030405060708", "20".repeat(32))
    };
    assert!(!outputs_differ("fwd", &fragment("0001", "00000001"), &fragment("0001", "0000beef")));
    assert!(outputs_differ("fwd", &fragment("0001", "00000001"), &fragment("0009", "00000001")));
}

#[test]
fn outputs_of_a_port_keep_their_order() {
    let list = |packets: [(&str, &str); 3]| {
        let mut record = record();
        let entry = |(port, hex)| json!({"port": port, "hex": hex});
        record["out"] = packets.into_iter().map(entry).collect();
        record
    };
    let [one, other] = OWN_ICMP;
    let expected = list([("lan", one), ("lan", other), ("wan", UDP)]);
    let interleaved = [list([("wan", UDP), ("lan", one), ("lan", other)])];
    assert!(differing(expected.clone(), json!(null), &interleaved, Options::default()).is_empty());
    let swapped = [list([("lan", other), ("lan", one), ("wan", UDP)])];
    assert!(!differing(expected, json!(null), &swapped, Options::default()).is_empty());
}

/// A datagram from `203.0.113.1:port` with right checksums.
fn masqueraded(port: u16) -> Value {
    let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, 63, 17, 0, 0];
    packet.extend([203, 0, 113, 1, 203, 0, 113, 2]);
    let sum = decode::internet_checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut udp = [port.to_be_bytes(), [0, 53], [0, 8], [0, 0]].concat();
    let sum = decode::internet_checksum(&[&packet[12..20], &[0, 0, 0, 8, 0, 17], &udp]);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    packet.extend(udp);
    let mut record = record();
    record["ct"]["reply"]["dport"] = port.into();
    record["out"][0]["hex"] = bytes::hex(&packet).into();
    record
}

/// Whether ports `got` in two packets pass where `expected` were recorded.
fn ports_pass(expected: [u16; 2], got: [u16; 2]) -> bool {
    let licence = json!({"nat_ports": [
        {"addr": "203.0.113.1", "min": 1024, "max": 65000, "l4": ["udp"], "keep": [5555]},
    ]});
    ports_pass_by(licence, expected, got)
}

fn ports_pass_by(licence: Value, expected: [u16; 2], got: [u16; 2]) -> bool {
    let number = |index: usize, mut record: Value| {
        record["index"] = index.into();
        record
    };
    let records =
        |ports: [u16; 2]| [number(0, masqueraded(ports[0])), number(1, masqueraded(ports[1]))];
    let mut scenario = scenario(json!(null), licence);
    let text = records(expected).map(|record| record.to_string()).join("\n");
    scenario.files.insert("expected.jsonl".into(), text.into_bytes());
    compare(&scenario, &records(got), Options::default()).is_equal()
}

#[test]
fn free_ports_are_paired_one_to_one() {
    let rows = [
        ("equal ports", [2000, 3000], [2000, 3000], true),
        ("other ports", [2000, 3000], [4000, 5000], true),
        ("exchanged ports", [2000, 3000], [3000, 2000], true),
        ("a port that keeps its partner", [2000, 2000], [4000, 4000], true),
        ("a port that changes its partner", [2000, 2000], [4000, 4001], false),
        ("two ports with one partner", [2000, 3000], [4000, 4000], false),
        ("a partner below the range", [2000, 3000], [1023, 3000], false),
        ("a partner above the range", [2000, 3000], [65001, 3000], false),
        ("a recorded port outside of the range, kept", [700, 3000], [700, 3001], true),
        ("a recorded port outside of the range, changed", [700, 3000], [2000, 3000], false),
        ("a port to keep, kept", [5555, 3000], [5555, 3001], true),
        ("a port to keep, changed", [5555, 3000], [5556, 3000], false),
    ];
    for (what, expected, got, passes) in rows {
        assert_eq!(ports_pass(expected, got), passes, "{what}");
    }
}

#[test]
fn only_the_ports_that_are_named_are_free() {
    let address = "203.0.113.1";
    let only = json!({"nat_ports": [{"addr": address, "only": [2000]}]});
    let both = json!({"nat_ports": [{"addr": address, "only": [2000]}, {"addr": address}]});
    let rows = [
        ("the named one", &only, [2000, 3000], [4000, 3000], true),
        ("another one", &only, [2000, 3000], [4000, 3001], false),
        ("another one, which a second licence frees", &both, [2000, 3000], [4000, 3001], true),
    ];
    for (what, licence, expected, got, passes) in rows {
        assert_eq!(ports_pass_by(licence.clone(), expected, got), passes, "{what}");
    }
}

#[test]
fn free_ports_need_right_checksums_and_equal_fields() {
    let licence = json!({"nat_ports": [{"addr": "203.0.113.1"}]});
    let hex = masqueraded(4000)["out"][0]["hex"].as_str().unwrap().to_owned();
    for (at, field) in [(3, "tos"), (17, "ttl"), (53, "csum"), (23, "ipcsum")] {
        let digit = if &hex[at..=at] == "1" { "2" } else { "1" };
        let mut broken = hex.clone();
        broken.replace_range(at..=at, digit);
        let mut actual = masqueraded(4000);
        actual["out"][0]["hex"] = broken.into();
        let fields = differing(masqueraded(2000), licence.clone(), &[actual], Options::default());
        let is_named = |name: &String| name == &format!("out[wan][0].{field}");
        assert!(fields.iter().any(is_named), "{field}: {fields:?}");
    }
}

#[test]
fn late_others_and_expects_are_sets() {
    let expectation = |port: u16, seconds: u16| {
        json!({"l4": "tcp", "l4num": 6, "tuple": {"src": "10.0.1.2", "dport": port},
               "timeout": seconds, "class": 0})
    };
    let other = |port: u16| {
        let mut entry = record()["ct"].clone();
        entry["orig"]["sport"] = port.into();
        json!({"op": "gone", "ct": entry})
    };
    let (first, second) = ("[DESTROY] ipv4 udp 17 src=a", "[DESTROY] ipv4 tcp 6 src=b");
    let mut expected = record();
    expected["late"] = json!([first, second]);
    expected["others"] = json!([other(1), other(2)]);
    expected["expects"] = json!([expectation(21, 300), expectation(22, 300)]);
    let mut actual = expected.clone();
    for field in ["late", "others", "expects"] {
        actual[field].as_array_mut().unwrap().reverse();
    }
    actual["expects"][0]["timeout"] = json!(299);
    let compared = |actual: &Value| {
        differing(expected.clone(), json!(null), std::slice::from_ref(actual), Options::default())
    };
    assert!(compared(&actual).is_empty());
    actual["expects"][0]["class"] = json!(1);
    actual["others"][1]["ct"]["mark"] = json!(1);
    actual["late"][1] = json!(second);
    assert_eq!(compared(&actual), ["late[1]", "others[0].mark", "expects[1].class"]);
}

#[test]
fn ordinary_events_keep_their_order() {
    let mut expected = record();
    expected["events"] = json!(["[NEW] a", "[UPDATE] b"]);
    let mut actual = expected.clone();
    actual["events"].as_array_mut().unwrap().reverse();
    let fields = differing(expected, json!(null), &[actual], Options::default());
    assert_eq!(fields, ["events[0]", "events[1]"]);
}

fn end_differs(vary: Value, expected: Value, last: Value) -> Vec<String> {
    let mut scenario = scenario(record(), vary);
    scenario.files.insert("expected.final.json".into(), expected.to_string().into_bytes());
    let comparison = compare(&scenario, &[record(), last], Options::default());
    assert_eq!(comparison.equal_packets, 1);
    comparison.differences.into_iter().map(|difference| difference.field).collect()
}

#[test]
fn what_is_told_of_the_end_is_compared() {
    let entry = |port: u16, mark: u16| {
        let mut entry = record()["ct"].clone();
        entry["orig"]["sport"] = port.into();
        entry["mark"] = mark.into();
        entry
    };
    let end = |table: Vec<Value>, found: u16, packets: u16| {
        json!({"final": true, "table": table, "stats": {"found": found, "drop": 0},
               "counters": {"4": {"filter": ["[1:29]", packets]}}})
    };
    let expected = end(vec![entry(1, 0), entry(2, 0)], 3, 7);
    let free = json!({"nat_ports": [{"addr": "203.0.113.1"}]});
    let rows = [
        (json!(null), json!({"final": true}), vec![]),
        (json!(null), end(vec![entry(2, 0), entry(1, 0)], 3, 7), vec![]),
        (json!(null), end(vec![entry(2, 1), entry(1, 0)], 3, 7), vec!["table[1].mark"]),
        (json!(null), end(vec![entry(1, 0)], 3, 7), vec!["table"]),
        (json!(null), end(vec![entry(1, 0), entry(2, 0)], 4, 7), vec!["stats.found"]),
        (free, end(vec![entry(1, 0), entry(2, 0)], 4, 7), vec![]),
        (json!(null), end(vec![entry(1, 0), entry(2, 0)], 3, 8), vec!["counters.4.filter[1]"]),
    ];
    for (vary, last, fields) in rows {
        assert_eq!(end_differs(vary, expected.clone(), last), fields);
    }
}

#[test]
fn missing_and_surplus_records_are_differences() {
    let none = compare(&scenario(record(), json!(null)), &[], Options::default());
    assert!(none.is_missing && !none.is_equal());
    assert_eq!((none.packets, none.equal_packets), (1, 0));
    let mut foreign = record();
    foreign["scenario"] = json!("two");
    let options = Options::default();
    assert!(compare(&scenario(record(), json!(null)), &[foreign], options).is_missing);
    let mut surplus = record();
    surplus["index"] = json!(1);
    let actual = [record(), surplus];
    assert_eq!(differing(record(), json!(null), &actual, options), ["index"]);
}

#[test]
fn unreadable_recordings_equal_nothing() {
    let mut scenario = scenario(record(), json!(null));
    scenario.files.insert("expected.jsonl".into(), b"{".to_vec());
    let comparison = compare(&scenario, &[record()], Options::default());
    assert!(!comparison.is_equal());
    let mut summary = Summary::default();
    assert!(!summary.all_equal());
    summary.add(&comparison);
    assert!(!summary.all_equal());
    assert_eq!(summary.to_string(), "1 scenarios, 0 equal; 0 packets, 0 equal");
}
