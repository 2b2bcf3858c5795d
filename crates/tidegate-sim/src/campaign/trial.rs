//! One experiment, done by the kernel and by the engine, and judged.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_gateway::replay::{Fault, Recorder, Replay, Scenario as Input};

use super::experiment::{Action, Experiment, files};
use super::kernel::{Kernel, KernelError, Recorded, Source};
use super::settle::{Doubt, settle};
use crate::corpus::Scenario;
use crate::oracle::{Difference, Options, compare, hex};

/// What came of an experiment.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// What was done, and what the kernel made of it.
    pub(super) recorded: Recorded,
    /// The same as a scenario of the corpus.
    pub(super) scenario: Scenario,
    /// Where the engine decided otherwise.
    pub(super) differences: Vec<Difference>,
    /// Whether times other than the likely ones had to be read for that.
    pub(super) is_reread: bool,
    /// The packet with which the router spoke to itself, if the engine differed there: what follows is not judged.
    pub(super) judged_until: Option<usize>,
}

impl Trial {
    /// Asks the kernel, then the engine, then the judge.
    ///
    /// # Errors
    /// The kernel gave no answer.
    pub(super) fn run(
        kernel: &Kernel,
        experiment: &Experiment,
        source: &mut dyn Source,
    ) -> Result<Self, KernelError> {
        let mut recorded = kernel.record(experiment, source)?;
        let (times, is_told_ahead) = settled(experiment, &mut recorded);
        let mut pairs = recorded.readings.iter().zip(&times);
        let is_reread = is_told_ahead || pairs.any(|(reading, time)| reading.likely != *time);
        let scenario = scenario(experiment, &recorded, &times);
        let mut differences = judge(&scenario);
        let judged_until = until_itself(&recorded.records, &differences);
        if judged_until.is_some() {
            differences.clear();
        }
        Ok(Self { recorded, scenario, differences, is_reread, judged_until })
    }

    /// What kind of thing differs first: the field of the record, without what is in it.
    pub(super) fn kind(&self) -> Option<&str> {
        let field = self.differences.first()?.field.as_str();
        Some(&field[..field.find(['.', '[']).unwrap_or(field.len())])
    }
}

/// The times with which the first difference comes last, and whether an end was told ahead of its packet for that.
///
/// An entry that expires between the last look at the table and the packet is found dead by the packet, in whose record its end
/// is then; the engine tells it ahead of the packet. That is no difference if both can be: if the first difference is at
/// the packet while the engine is told a time at which the entry lives, and not there when it is told another.
fn settled(experiment: &Experiment, recorded: &mut Recorded) -> (Vec<Duration>, bool) {
    let (mut times, mut doubt) = settled_once(experiment, recorded);
    let mut is_told_ahead = false;
    while let Some(Doubt { packet, .. }) = doubt {
        let records = recorded.records.clone();
        if !tell_ahead(&mut recorded.records, packet) {
            break;
        }
        let (others, next) = settled_once(experiment, recorded);
        if next.as_ref().is_some_and(|next| next.packet <= packet) {
            recorded.records = records;
            break;
        }
        (times, doubt, is_told_ahead) = (others, next, true);
    }
    (times, is_told_ahead)
}

fn settled_once(experiment: &Experiment, recorded: &Recorded) -> (Vec<Duration>, Option<Doubt>) {
    let mut doubt_at = |times: &[Duration]| {
        doubt(&recorded.records, &judge(&scenario(experiment, recorded, times)))
    };
    let times = settle(&recorded.readings, &mut doubt_at);
    let doubt = doubt_at(&times);
    (times, doubt)
}

/// Has the end of an entry told ahead of packet `index`, if it is the first thing that the packet caused; whether it is.
fn tell_ahead(records: &mut [Value], index: usize) -> bool {
    let Some([before, at]) = index.checked_sub(1).and_then(|from| records.get_mut(from..=index))
    else {
        return false;
    };
    let is_end = |event: &Value| event.as_str().is_some_and(|text| text.starts_with("[DESTROY]"));
    let Some(events) = at
        .get_mut("events")
        .and_then(Value::as_array_mut)
        .filter(|events| events.first().is_some_and(is_end))
    else {
        return false;
    };
    let end = events.remove(0);
    let text = end.as_str().unwrap_or_default().to_owned();
    let is_its = |other: &Value| {
        other["op"] == "gone" && original(&other["ct"]).is_some_and(|entry| text.contains(&entry))
    };
    if let Some(others) = at.get_mut("others").and_then(Value::as_array_mut) {
        others.retain(|other| !is_its(other));
    }
    match &mut before["late"] {
        Value::Array(late) => late.push(end),
        late => *late = vec![end].into(),
    }
    true
}

/// What the engine does otherwise.
fn judge(scenario: &Scenario) -> Vec<Difference> {
    match replay(scenario) {
        Ok(records) => compare(scenario, &records, Options { strict: true }).differences,
        Err(refusal) => vec![refusal],
    }
}

/// Where the first difference is, and the last packets before it of the entries that it is about.
fn doubt(records: &[Value], differences: &[Difference]) -> Option<Doubt> {
    let first = differences.first()?;
    let packet = first.index.unwrap_or(records.len());
    let own = records.get(packet).and_then(|record| original(&record["ct"]));
    let is_meant = |entry: &str| {
        own.as_deref() == Some(entry)
            || [&first.expected, &first.got].iter().any(|t| t.contains(entry))
    };
    let is_concerned = |(_, record): &(usize, &Value)| {
        original(&record["ct"]).is_some_and(|entry| is_meant(&entry))
    };
    let before = records.iter().enumerate().take(packet).rev();
    let concerned = before.filter(is_concerned).map(|(index, _)| index).take(CONCERNED);
    Some(Doubt { packet, concerned: concerned.collect() })
}

/// The original tuple of an entry, as events spell it.
fn original(entry: &Value) -> Option<String> {
    let tuple = &entry["orig"];
    let fields = ["src", "dst", "sport", "dport", "srckey", "dstkey", "type", "code", "id"];
    let told = fields.iter().filter_map(|field| match &tuple[field] {
        Value::Null => None,
        Value::String(text) => Some(format!("{field}={text}")),
        other => Some(format!("{field}={other}")),
    });
    tuple.is_object().then(|| told.collect::<Vec<_>>().join(" "))
}

/// The first packet that differs, if the router speaks to itself because of it: that the engine does otherwise
/// (`docs/deliberate-differences.md`), and all that follows from it.
fn until_itself(records: &[Value], differences: &[Difference]) -> Option<usize> {
    let first = differences.first()?.index?;
    (records.get(first)?["to_itself"] == true).then_some(first)
}

fn scenario(experiment: &Experiment, recorded: &Recorded, times: &[Duration]) -> Scenario {
    let mut scenario = Scenario::new(&experiment.name);
    let first = times.first().copied().unwrap_or_default();
    let times: Vec<Duration> = times.iter().map(|time| *time - first).collect();
    let began = if asks_the_time(experiment, recorded) { recorded.began } else { Duration::ZERO };
    scenario.files = files(experiment, &recorded.steps, &times, began);
    let lines: String = recorded.records.iter().map(|record| format!("{record}\n")).collect();
    scenario.files.insert("expected.jsonl".to_owned(), lines.into_bytes());
    let end = format!("{:#}\n", recorded.end);
    scenario.files.insert("expected.final.json".to_owned(), end.into_bytes());
    let licences = licences(recorded);
    if licences != json!({}) {
        scenario.files.insert("vary.json".to_owned(), licences.to_string().into_bytes());
    }
    scenario
}

/// Whether a rule asks the time of day.
fn asks_the_time(experiment: &Experiment, recorded: &Recorded) -> bool {
    let actions = recorded.steps.iter().flat_map(|step| &step.actions);
    let later = actions.filter_map(|action| match action {
        Action::Rules { rules, .. } => Some(rules),
        _ => None,
    });
    let all = experiment.rules.iter().flatten().chain(later).flat_map(|rules| &rules.tables);
    all.flat_map(|table| &table.rules).any(|rule| rule.contains("-m time"))
}

/// What may differ. Where the kernel drew a port, a replay may draw another: at every address that
/// stands for another one with a port that isn't the one's. And nobody sees the mark with which a
/// packet is dropped between two probes.
fn licences(recorded: &Recorded) -> Value {
    let records = &recorded.records[..];
    let addresses = drawn_addresses(records);
    let ports: Vec<Value> =
        addresses.iter().map(|addr| json!({"addr": addr, "min": 1, "max": 65535})).collect();
    let mut skips = blind_spots(records);
    let mut licences = json!({});
    let lag = recorded.lag.as_secs();
    if lag > 0 {
        // A second is always allowed. The table was seen late: the machine was busy.
        licences["timeout_tolerance"] = (lag + 1).into();
    }
    skips.extend((!recorded.has_log).then(|| json!({"field": "log"})));
    skips.extend(tells_of(&addresses, records));
    if !ports.is_empty() {
        licences["nat_ports"] = ports.into();
        // Nobody looks for ports in pieces.
        let is_cut = |record: &Value| any_output(record, |output| is_fragment(&output["hex"]));
        skips.extend(skips_of(records, is_cut, "out"));
    }
    if !skips.is_empty() {
        licences["skip"] = skips.into();
    }
    licences
}

/// What the record of the kernel can't show.
fn blind_spots(records: &[Value]) -> Vec<Value> {
    type Spot = (fn(&Value) -> bool, &'static str);
    const SPOTS: [Spot; 5] = [
        (ends_between_probes, "mark"),
        (tells_the_time, "out"),
        (is_unanswered, "verdict"),
        (is_unanswered, "stage"),
        (may_be_quoted, "out"),
    ];
    SPOTS.iter().flat_map(|(is_blind, field)| skips_of(records, is_blind, field)).collect()
}

fn skips_of(records: &[Value], is_blind: impl Fn(&Value) -> bool, field: &str) -> Vec<Value> {
    let blind = records.iter().filter(|record| is_blind(record));
    blind.map(|record| json!({"index": record["index"], "field": field})).collect()
}

fn any_output(record: &Value, is_such: impl Fn(&Value) -> bool) -> bool {
    record["out"].as_array().is_some_and(|outputs| outputs.iter().any(is_such))
}

fn ends_between_probes(record: &Value) -> bool {
    let stage = record["stage"].as_str().unwrap_or_default();
    ["raw", "prerouting", "input", "forward", "postrouting"].contains(&stage)
}

fn tells_the_time(record: &Value) -> bool {
    record["verdict"] == "local" && any_output(record, |output| is_timestamp(&output["hex"]))
}

/// Nobody sees that a helper drops a packet for the host which isn't the first one.
fn is_unanswered(record: &Value) -> bool {
    let is_mute = record["out"].as_array().is_some_and(Vec::is_empty);
    record["verdict"] == "local" && record["ct"]["helper"].is_string() && is_mute
}

/// A complaint of the host about what a helper may have rewritten for it: its quote has a checksum that the kernel
/// hadn't finished.
fn may_be_quoted(record: &Value) -> bool {
    let entry = &record["ct"];
    record["verdict"] == "local" && entry["helper"].is_string() && entry["l4"] == "udp"
}

/// The addresses at which some entry has a port that the kernel drew.
fn drawn_addresses(records: &[Value]) -> Vec<&str> {
    let mut addresses: Vec<&str> = Vec::new();
    for record in records {
        let others = record["others"].as_array().into_iter().flatten().map(|other| &other["ct"]);
        for entry in others.chain([&record["ct"]]) {
            addresses.extend(drawn(entry));
        }
    }
    // Where such a port is kept by another translation.
    let kept = records.iter().filter_map(|record| kept(&record["ct"], &addresses));
    let kept: Vec<&str> = kept.collect();
    addresses.extend(kept);
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The address that an entry's destination, one of `addresses`, was translated to without its port.
fn kept<'a>(entry: &'a Value, addresses: &[&str]) -> Option<&'a str> {
    let (orig, reply) = (&entry["orig"], &entry["reply"]);
    let (from, to) = (orig["dst"].as_str()?, reply["src"].as_str()?);
    let is_kept = orig["dport"].is_u64() && orig["dport"] == reply["sport"];
    (is_kept && from != to && addresses.contains(&from)).then_some(to)
}

/// What need not be alike in lines of the log and copies of packets in which one of `addresses` is:
/// they have its ports.
fn tells_of(addresses: &[&str], records: &[Value]) -> Vec<Value> {
    let spelt: Vec<[String; 2]> = addresses.iter().filter_map(|a| spellings(a)).collect();
    let mut skips = Vec::new();
    for record in records {
        let has = |text: &Value, spelling: usize| {
            let text = text.as_str().unwrap_or_default();
            spelt.iter().any(|spelt| text.contains(&spelt[spelling]))
        };
        let list = |field: &str| record[field].as_array().into_iter().flatten();
        let mut skip = |field| skips.push(json!({"index": record["index"], "field": field}));
        if list("log").any(|line| has(line, 0)) {
            skip("log");
        }
        if list("nflog").any(|copy| has(&copy["hex"], 1)) {
            skip("nflog");
        }
    }
    skips
}

/// An address as the kernel's log has it, and in hexadecimal digits.
fn spellings(address: &str) -> Option<[String; 2]> {
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => [address.to_string(), hex(&address.octets())],
        IpAddr::V6(address) => {
            let groups = address.segments().map(|group| format!("{group:04x}"));
            [groups.join(":"), hex(&address.octets())]
        }
    })
}

/// Whether a datagram in hexadecimal digits is an ICMP timestamp reply.
fn is_timestamp(hex: &Value) -> bool {
    let hex = hex.as_str().unwrap_or_default();
    hex.starts_with("45") && hex.get(18..20) == Some("01") && hex.get(40..42) == Some("0e")
}

/// Whether a datagram in hexadecimal digits is a fragment.
fn is_fragment(hex: &Value) -> bool {
    let hex = hex.as_str().unwrap_or_default();
    match hex.get(..1) {
        Some("4") => hex.get(12..16).is_some_and(|flags| !["0000", "4000"].contains(&flags)),
        _ => hex.get(12..14) == Some("2c"),
    }
}

/// The addresses of an entry whose ports are not those of the other direction.
fn drawn(entry: &Value) -> Vec<&str> {
    let has = |name: &str| entry["status"].as_array().is_some_and(|s| s.iter().any(|s| s == name));
    let (orig, reply) = (&entry["orig"], &entry["reply"]);
    let mut addresses = Vec::new();
    let is_moved = orig["sport"] != reply["dport"] || orig["id"] != reply["id"];
    if has("SRC_NAT") && is_moved {
        addresses.extend(reply["dst"].as_str());
    }
    let chosen = reply["sport"].as_u64();
    let is_drawn = chosen.is_some_and(|port| (8001..=8010).contains(&port));
    if has("DST_NAT") && orig["dport"] != reply["sport"] && is_drawn {
        addresses.extend(reply["src"].as_str());
    }
    addresses
}

fn replay(scenario: &Scenario) -> Result<Vec<Value>, Difference> {
    let refused = |faults: &[Fault]| {
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        difference("refused", said.join("; "))
    };
    let input = Input::from_files(&scenario.name, scenario.files.clone())
        .map_err(|faults| refused(&faults))?;
    let mut record = Vec::new();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut replay = Replay::new(input, true);
        Recorder::new(&mut record).run(&mut replay, |_| Ok(()))
    }));
    match done {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => return Err(difference("stopped", format!("{stop:?}"))),
        Err(_) => return Err(difference("panic", "a panic".to_owned())),
    }
    let text = String::from_utf8_lossy(&record);
    let values = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    values.map_err(|error| difference("record", error.to_string()))
}

fn difference(field: &str, got: String) -> Difference {
    let expected = "a replay".to_owned();
    Difference { index: None, field: field.to_owned(), expected, got }
}

/// Packets of an entry whose times are tried.
const CONCERNED: usize = 12;

#[cfg(test)]
mod tests;
