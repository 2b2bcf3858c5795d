//! Packs scenarios into the archive that the crate carries.
//!
//! The same scenarios give the same bytes: members are sorted, and owner, mode and time are fixed.
//! Files that repeat what others hold are left out, JSON is written without blanks, and the
//! one-line texts of output packets are dropped because the bytes beside them say the same.

use std::borrow::Cow;

use flate2::{Compression, GzBuilder};
use serde_json::Value;

use super::{CorpusError, Scenario};

/// Packs `scenarios` into a gzip-compressed tar file with members `SCENARIO/FILE`.
///
/// # Errors
///
/// [`CorpusError::Json`] or [`CorpusError::NotText`] if a recording is not JSON,
/// [`CorpusError::Archive`] if a name doesn't fit into a tar header.
pub fn pack(scenarios: &[Scenario]) -> Result<Vec<u8>, CorpusError> {
    let mut sorted: Vec<&Scenario> = scenarios.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for scenario in sorted {
        for (file, bytes) in scenario.files.iter().filter(|(file, _)| is_kept(file)) {
            let member = format!("{}/{file}", scenario.name);
            append(&mut archive, &member, &slim(scenario, file, bytes)?)?;
        }
    }
    let gzip = archive.into_inner().map_err(CorpusError::Archive)?;
    gzip.finish().map_err(CorpusError::Archive)
}

fn is_kept(file: &str) -> bool {
    let is_ruleset = file.starts_with("rules") && (file.ends_with(".v4") || file.ends_with(".v6"));
    is_ruleset || KEPT_FILES.contains(&file)
}

fn append<W: std::io::Write>(
    archive: &mut tar::Builder<W>,
    member: &str,
    bytes: &[u8],
) -> Result<(), CorpusError> {
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, member, bytes).map_err(CorpusError::Archive)
}

fn slim<'a>(
    scenario: &Scenario,
    file: &str,
    bytes: &'a [u8],
) -> Result<Cow<'a, [u8]>, CorpusError> {
    if file.ends_with(".jsonl") {
        let mut text = String::new();
        for mut record in scenario.json_lines(file)? {
            drop_packet_texts(&mut record);
            text.push_str(&record.to_string());
            text.push('\n');
        }
        return Ok(Cow::Owned(text.into_bytes()));
    }
    if file.ends_with(".json") {
        let value = scenario.json(file)?.unwrap_or_default();
        return Ok(Cow::Owned(format!("{value}\n").into_bytes()));
    }
    Ok(Cow::Borrowed(bytes))
}

fn drop_packet_texts(record: &mut Value) {
    for list in ["out", "late_out"] {
        let packets = record.get_mut(list).and_then(Value::as_array_mut);
        for packet in packets.into_iter().flatten().filter_map(Value::as_object_mut) {
            packet.remove("txt");
        }
    }
}

const KEPT_FILES: [&str; 11] = [
    "about.txt",
    "control.jsonl",
    "expected.final.json",
    "expected.jsonl",
    "packets.pcap",
    "patch.json",
    "ipset.save",
    "sysctl.conf",
    "timeouts.nfct",
    "topology.conf",
    "vary.json",
];
