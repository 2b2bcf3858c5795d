//! The packed corpus is whole, and packing loses nothing that matters.

use super::*;

#[test]
fn corpus_is_complete() {
    let all = scenarios().unwrap();
    assert_eq!(all.len(), 674);
    for scenario in &all {
        let name = &scenario.name;
        for file in ["about.txt", "packets.pcap", "expected.jsonl", "expected.final.json"] {
            assert!(scenario.file(file).is_some(), "{name} lacks {file}");
        }
        let packets = packet_count(scenario.file("packets.pcap").unwrap());
        assert_eq!(scenario.json_lines("expected.jsonl").unwrap().len(), packets, "{name}");
        for file in scenario.files.keys().filter(|file| file.ends_with(".json")) {
            assert!(scenario.json(file).unwrap().is_some(), "{name}/{file}");
        }
    }
    let packets: usize = all.iter().map(|s| packet_count(&s.files["packets.pcap"])).sum();
    assert_eq!(packets, 28760);
}

fn packet_count(pcap: &[u8]) -> usize {
    let mut rest = &pcap[24..];
    let mut count = 0;
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        rest = &rest[16 + length..];
        count += 1;
    }
    count
}

#[test]
fn rulesets_named_by_control_actions_are_there() {
    let mut named = 0;
    for scenario in scenarios().unwrap() {
        for action in scenario.json_lines("control.jsonl").unwrap() {
            if let Some(file) = action.get("file").and_then(Value::as_str) {
                assert!(scenario.file(file).is_some(), "{} lacks {file}", scenario.name);
                named += 1;
            }
        }
    }
    assert!(named > 0);
}

#[test]
fn packing_is_reproducible_and_loses_nothing_twice() {
    let all = scenarios().unwrap();
    let mut shuffled = all.clone();
    shuffled.reverse();
    let packed = pack(&all).unwrap();
    assert_eq!(packed, pack(&shuffled).unwrap());
    assert!(unpack(&packed).unwrap() == all);
}

#[test]
fn packing_drops_derived_files_and_packet_texts() {
    let mut scenario = Scenario::new("one");
    let record = r#"{"index": 0, "pkt": "p", "out": [{"hex": "45", "txt": "t"}]}"#;
    scenario.files.insert("expected.jsonl".into(), record.into());
    scenario.files.insert("expected.table".into(), b"derived".to_vec());
    scenario.files.insert("rules2.v4".into(), b"*nat\nCOMMIT\n".to_vec());
    let unpacked = unpack(&pack(&[scenario]).unwrap()).unwrap();
    let names: Vec<&String> = unpacked[0].files.keys().collect();
    assert_eq!(names, ["expected.jsonl", "rules2.v4"]);
    let kept = unpacked[0].text("expected.jsonl").unwrap().unwrap();
    assert_eq!(kept, "{\"index\":0,\"out\":[{\"hex\":\"45\"}],\"pkt\":\"p\"}\n");
}

#[test]
fn faults_name_their_place() {
    let mut scenario = Scenario::new("one");
    scenario.files.insert("expected.jsonl".into(), b"{}\n\n{".to_vec());
    scenario.files.insert("vary.json".into(), vec![0xff]);
    let error = scenario.json_lines("expected.jsonl").unwrap_err().to_string();
    assert!(error.starts_with("one/expected.jsonl: value at line 3"), "{error}");
    let error = scenario.json("vary.json").unwrap_err().to_string();
    assert_eq!(error, "one/vary.json: not UTF-8 text");
    assert!(matches!(unpack(b"no gzip"), Err(CorpusError::Archive(_))));
    let missing = Scenario::load_dir("no/such/directory");
    assert!(matches!(missing, Err(CorpusError::File { .. })));
}
