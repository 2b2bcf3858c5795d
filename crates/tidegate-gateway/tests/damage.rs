//! No input makes a replay panic, and none makes it silent: a capture with any
//! byte changed is replayed to its end or to a named fault.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use tidegate_gateway::replay::record::Stop;
use tidegate_gateway::replay::{Recorder, Replay, Scenario};
use tidegate_wire::pcap::{InterfaceDesc, LinkType, Writer};

/// Datagrams of every kind that the replay looks into: to the router itself,
/// through it, broken on purpose, about each other.
const DATAGRAMS: [&str; 9] = [
    "4500002400004000400124d70a0001020a00010108006668000100016162636465666768",
    "4500002200004000401124c90a0001020a00010100010002000eb188636c6f736564",
    "450000240000400040fd23db0a0001020a0001016e6f20737563682070726f746f636f6c",
    "4500002800004000400624ce0a0001020a00010101f6005000000064000000005002ffff97360000",
    "6000000000140640fd000001000000000000000000000002fd0000010000000000000000000000010001000200000064000000005002ffffb5750000",
    "600000000007fd40fd000001000000000000000000000002fd0000010000000000000000000000016e6f2073756368",
    "6000000000203afffd000001000000000000000000000002fd00000100000000000000000000000187007d9800000000fd0000010000000000000000000000010101020000000102",
    "45000021000040003f11f4c70a000102cb0071029c400035000dcc717175657279",
    "45c0003e898200004001da7a0a0001010a0001020303131f000000004500002200004000401124c90a0001020a00010100010002000eb188636c6f736564",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn capture() -> Vec<u8> {
    let interfaces = [InterfaceDesc { name: "lan", link: LinkType::RawIp }];
    let mut writer = Writer::new(Vec::new(), &interfaces).unwrap();
    for (index, hex) in DATAGRAMS.iter().enumerate() {
        writer.write(0, index as u64 * 1_000_000_000, &bytes(hex)).unwrap();
    }
    writer.finish().unwrap()
}

/// How many records came out, and the fault that ended it, if one did.
fn replay(capture: Vec<u8>, text: &[(&str, &[u8])]) -> (usize, Option<String>) {
    let mut files: BTreeMap<String, Vec<u8>> =
        text.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    files.insert("packets.pcap".to_owned(), capture);
    let scenario = match Scenario::from_files("damaged", files) {
        Ok(scenario) => scenario,
        Err(faults) => return (0, Some(faults[0].to_string())),
    };
    let mut sink = Vec::new();
    let done = Recorder::new(&mut sink).run(&mut Replay::new(scenario, true), |_| Ok(()));
    let lines = sink.iter().filter(|byte| **byte == b'\n').count();
    match done {
        Ok(()) => (lines, None),
        Err(Stop::Input(fault)) => (lines, Some(fault.to_string())),
        Err(Stop::Output(error)) => panic!("memory can be written: {error}"),
    }
}

#[test]
fn the_whole_capture_has_a_record_for_each_packet_and_a_last_line() {
    assert_eq!(replay(capture(), &[]), (DATAGRAMS.len() + 1, None));
}

#[test]
fn a_capture_cut_anywhere_is_replayed_up_to_there() {
    let whole = capture();
    for len in 0..whole.len() {
        let (records, fault) = replay(whole[..len].to_vec(), &[]);
        assert!(records <= DATAGRAMS.len() + 1, "cut to {len} bytes");
        if let Some(fault) = fault {
            assert!(fault.starts_with("damaged/packets.pcap: "), "cut to {len} bytes: {fault}");
        }
    }
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let whole = capture();
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            replay(damaged, &[]);
        }
    }
}

#[test]
fn damaged_text_files_are_named() {
    let rows: [(&str, &[u8], &str); 8] = [
        ("rules.v4", b"*filter\n-A FORWARD -j FLY\nCOMMIT\n", "damaged/rules.v4:2: "),
        ("rules.v6", b"*filter\n\xff\xfe\nCOMMIT\n", "damaged/rules.v6: not UTF-8"),
        ("sysctl.conf", b"net.netfilter.nf_conntrack_max = many\n", "damaged/sysctl.conf:1: "),
        (
            "topology.conf",
            b"# links\nmtu in0\n",
            "damaged/topology.conf:2: expected `mtu PORT BYTES`",
        ),
        ("control.jsonl", b"{\"before\":0,\"op\":\"fly\"}\n", "damaged/control.jsonl:1: "),
        (
            "control.jsonl",
            b"{\"before\":0,\"op\":\"rules\",\"family\":4,\"file\":\"none\"}\n",
            "damaged/control.jsonl: the scenario has no file `none`",
        ),
        ("patch.json", b"[{\"index\":1}]", "damaged/patch.json:1: "),
        (
            "patch.json",
            br#"[{"index":1,"set":"sport","from":{"index":5,"field":"id"}}]"#,
            "damaged/patch.json: packet 1 can't be patched",
        ),
    ];
    for (name, content, message) in rows {
        let (_, fault) = replay(capture(), &[(name, content)]);
        let fault = fault.unwrap_or_default();
        assert!(fault.starts_with(message), "{message:?}: {fault:?}");
    }
}
