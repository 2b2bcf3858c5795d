//! Walks through two records field by field and notes what differs.
//!
//! A [`Comparator`] lives for one scenario, because the pairs of free NAT ports hold over all its
//! packets. Required fields are always compared, optional ones if the replay tells them or the
//! comparison is strict. Lists without an order are sorted by what identifies their entries first.

mod end;

use std::collections::BTreeSet;

use serde_json::Value;

use super::Difference;
use super::bytes::Output;
use super::copies;
use super::events;
use super::vary::Vary;

/// A field of two packets that differs: its name, what was expected, what was got.
pub(super) type FieldDifference = (String, String, String);

/// Compares the records of one scenario.
pub(super) struct Comparator {
    vary: Vary,
    is_strict: bool,
    /// The packet under comparison; `None` at the end.
    index: Option<usize>,
    differences: Vec<Difference>,
}

impl Comparator {
    pub(super) fn new(vary: Vary, is_strict: bool) -> Self {
        Self { vary, is_strict, index: None, differences: Vec::new() }
    }

    pub(super) fn into_differences(self) -> Vec<Difference> {
        self.differences
    }

    /// Compares the records of packet `index`. Returns whether they are equal.
    pub(super) fn packet(
        &mut self,
        index: usize,
        expected: &Value,
        actual: Option<&Value>,
    ) -> bool {
        let before = self.differences.len();
        self.index = Some(index);
        match actual {
            Some(actual) => self.record(expected, actual),
            None => self.note("record", "one", "none"),
        }
        self.differences.len() == before
    }

    /// Notes a record that belongs to none of the `packets` packets.
    pub(super) fn known_index(&mut self, record: &Value, packets: usize) {
        self.index = None;
        let index = &record["index"];
        if index.as_u64().is_none_or(|index| index >= packets as u64) {
            self.note("index", format!("one below {packets}"), index);
        }
    }

    fn record(&mut self, expected: &Value, actual: &Value) {
        for field in ["ctstate", "dir", "verdict"] {
            if !self.skips(field) {
                self.exact(field, &expected[field], &actual[field]);
            }
        }
        if !self.skips("out") {
            self.outputs("out", &expected["out"], &actual["out"]);
        }
        self.entry("ct", &expected["ct"], &actual["ct"]);
        for field in OPTIONAL_FIELDS {
            let is_told = self.is_strict || actual.get(field).is_some();
            if is_told && !self.skips(field) {
                self.optional(field, &expected[field], &actual[field]);
            }
        }
    }

    fn optional(&mut self, field: &str, expected: &Value, actual: &Value) {
        match field {
            "events" => self.events(field, &texts(expected), &texts(actual)),
            "late" => {
                let (expected, actual) = (self.sorted(expected), self.sorted(actual));
                self.events(field, &texts(&expected), &texts(&actual));
            }
            "late_out" => self.outputs(field, expected, actual),
            "others" => self.set(field, expected, actual, Self::other),
            "expects" => self.set(field, expected, actual, Self::expectation),
            "log" => self.log(expected, actual),
            "nflog" => self.copies(expected, actual),
            _ if is_blank(expected) && is_blank(actual) => {}
            _ => self.exact(field, expected, actual),
        }
    }

    fn outputs(&mut self, field: &str, expected: &Value, actual: &Value) {
        let (expected, actual) = (outputs(expected), outputs(actual));
        let (Some(expected), Some(actual)) = (&expected, &actual) else {
            let readable = |packets: &Option<_>| if packets.is_some() { "packets" } else { "junk" };
            return self.note(field, readable(&expected), readable(&actual));
        };
        let ports: BTreeSet<&str> =
            expected.iter().chain(actual).map(|output| output.port.as_str()).collect();
        for port in ports {
            let on_port = |output: &&Output| output.port == port;
            let expected: Vec<&Output> = expected.iter().filter(on_port).collect();
            let actual: Vec<&Output> = actual.iter().filter(on_port).collect();
            self.outputs_of_port(&format!("{field}[{port}]"), &expected, &actual);
        }
    }

    fn outputs_of_port(&mut self, field: &str, expected: &[&Output], actual: &[&Output]) {
        if expected.len() != actual.len() {
            return self.note(field, packets_text(expected), packets_text(actual));
        }
        for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            for (name, expected, got) in expected.differences(actual, &mut self.vary) {
                self.note(&format!("{field}[{at}].{name}"), expected, got);
            }
        }
    }

    /// Compares conntrack entries; null is no entry.
    fn entry(&mut self, path: &str, expected: &Value, actual: &Value) {
        if self.skips(path) || (expected.is_null() && actual.is_null()) {
            return;
        }
        if !expected.is_object() || !actual.is_object() {
            return self.note(path, entry_text(expected), entry_text(actual));
        }
        let is_told = |field: &&&str| self.is_strict || actual.get(**field).is_some();
        let told: Vec<&&str> = OPTIONAL_ENTRY_FIELDS.iter().filter(is_told).collect();
        for field in ENTRY_FIELDS.iter().chain(told) {
            if !self.skips(&format!("ct.{field}")) {
                self.entry_field(path, field, expected, actual);
            }
        }
    }

    fn entry_field(&mut self, path: &str, field: &str, expected: &Value, actual: &Value) {
        let path = format!("{path}.{field}");
        let protocol = expected["l4"].as_str().unwrap_or_default();
        let (expected, actual) = (&expected[field], &actual[field]);
        match field {
            "orig" | "reply" | "master" => self.tuple(&path, protocol, expected, actual),
            "status" => {
                let (expected, actual) = (known_status(expected), known_status(actual));
                if expected != actual {
                    self.note(&path, format!("{expected:?}"), format!("{actual:?}"));
                }
            }
            "timeout" => self.timeout(&path, expected, actual),
            "tstamp" if is_blank(expected) == is_blank(actual) => {}
            "mark" | "zone" if is_blank(expected) && is_blank(actual) => {}
            _ => self.exact(&path, expected, actual),
        }
    }

    fn tuple(&mut self, path: &str, protocol: &str, expected: &Value, actual: &Value) {
        let (Some(fields), Some(others)) = (expected.as_object(), actual.as_object()) else {
            return self.exact(path, expected, actual);
        };
        let keys: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
        let source = expected["src"].as_str().unwrap_or_default();
        let destination = expected["dst"].as_str().unwrap_or_default();
        for key in keys {
            let addresses: &[&str] = match key.as_str() {
                "sport" => &[source],
                "dport" => &[destination],
                "id" => &[source, destination],
                _ => &[],
            };
            let path = format!("{path}.{key}");
            match (expected[key].as_u64(), actual[key].as_u64()) {
                (Some(port), Some(got)) if !addresses.is_empty() => {
                    if let Err(right) = self.vary.judge_port(protocol, addresses, port, got) {
                        self.note(&path, right, got);
                    }
                }
                _ => self.exact(&path, &expected[key], &actual[key]),
            }
        }
    }

    fn timeout(&mut self, path: &str, expected: &Value, actual: &Value) {
        match (expected.as_u64(), actual.as_u64()) {
            (Some(expected), Some(got)) if self.vary.same_timeout(expected, got) => {}
            _ => self.exact(path, expected, actual),
        }
    }

    fn events(&mut self, field: &str, expected: &[&str], actual: &[&str]) {
        if expected.len() != actual.len() {
            return self.note(field, format!("{expected:?}"), format!("{actual:?}"));
        }
        for (at, (expected, got)) in expected.iter().zip(actual).enumerate() {
            if !events::same_event(expected, got, &self.vary) {
                self.note(&format!("{field}[{at}]"), expected, got);
            }
        }
    }

    /// The order of late events means nothing.
    fn sorted(&self, late: &Value) -> Value {
        let mut events = texts(late);
        events.sort_by_cached_key(|event| events::sort_key(event, &self.vary));
        events.into()
    }

    fn log(&mut self, expected: &Value, actual: &Value) {
        let plain = |lines: &Value| -> Value {
            texts(lines).into_iter().map(events::without_own_id).collect()
        };
        self.exact("log", &plain(expected), &plain(actual));
    }

    fn copies(&mut self, expected: &Value, actual: &Value) {
        let (expected, actual) = (list(expected), list(actual));
        if expected.len() != actual.len() {
            return self.note("nflog", counted(expected.len()), counted(actual.len()));
        }
        for (at, (expected, actual)) in expected.iter().zip(actual).enumerate() {
            for (name, expected, got) in copies::differences(expected, actual) {
                self.note(&format!("nflog[{at}].{name}"), expected, got);
            }
        }
    }

    fn set(
        &mut self,
        field: &str,
        expected: &Value,
        actual: &Value,
        compare: fn(&mut Self, &str, &Value, &Value),
    ) {
        let (expected, actual) = (list(expected), list(actual));
        if expected.len() != actual.len() {
            return self.note(field, counted(expected.len()), counted(actual.len()));
        }
        let pairs = sorted_by_identity(expected).into_iter().zip(sorted_by_identity(actual));
        for (at, (expected, actual)) in pairs.enumerate() {
            compare(self, &format!("{field}[{at}]"), expected, actual);
        }
    }

    fn other(&mut self, path: &str, expected: &Value, actual: &Value) {
        self.exact(&format!("{path}.op"), &expected["op"], &actual["op"]);
        self.entry(path, &expected["ct"], &actual["ct"]);
    }

    fn expectation(&mut self, path: &str, expected: &Value, actual: &Value) {
        let (Some(fields), Some(others)) = (expected.as_object(), actual.as_object()) else {
            return self.exact(path, expected, actual);
        };
        let protocol = expected["l4"].as_str().unwrap_or_default();
        let keys: BTreeSet<&String> = fields.keys().chain(others.keys()).collect();
        for key in keys {
            let path = format!("{path}.{key}");
            let (expected, actual) = (&expected[key], &actual[key]);
            match key.as_str() {
                "timeout" => self.timeout(&path, expected, actual),
                "tuple" | "mask" | "master" | "nat" => {
                    self.tuple(&path, protocol, expected, actual);
                }
                _ => self.exact(&path, expected, actual),
            }
        }
    }

    fn exact(&mut self, path: &str, expected: &Value, actual: &Value) {
        if expected != actual {
            self.note(path, expected, actual);
        }
    }

    fn skips(&self, field: &str) -> bool {
        self.vary.skips(self.index, field)
    }

    fn note(&mut self, field: &str, expected: impl ToString, got: impl ToString) {
        self.differences.push(Difference {
            index: self.index,
            field: field.to_owned(),
            expected: expected.to_string(),
            got: got.to_string(),
        });
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The strings of a list; anything else in it becomes the empty string.
fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|text| text.as_str().unwrap_or_default()).collect()
}

fn outputs(value: &Value) -> Option<Vec<Output>> {
    list(value).iter().map(Output::new).collect()
}

fn packets_text(outputs: &[&Output]) -> String {
    let texts: Vec<String> = outputs.iter().map(|output| output.to_string()).collect();
    format!("{} packet(s) {}", outputs.len(), texts.join(", ")).trim_end().to_owned()
}

fn counted(entries: usize) -> String {
    format!("{entries} entries")
}

fn entry_text(entry: &Value) -> String {
    if entry.is_null() { "no entry".to_owned() } else { entry.to_string() }
}

/// Absent, zero and empty mean the same in optional fields.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn known_status(names: &Value) -> BTreeSet<&str> {
    texts(names).into_iter().filter(|name| COMPARED_STATUS.contains(name)).collect()
}

fn sorted_by_identity(items: &[Value]) -> Vec<&Value> {
    let mut sorted: Vec<&Value> = items.iter().collect();
    sorted.sort_by_cached_key(|item| identity(item));
    sorted
}

/// What tells an entry, an expectation or an element of `others` from the rest of its kind.
fn identity(item: &Value) -> String {
    let entry = item.get("ct").unwrap_or(item);
    let zone = entry["zone"].as_u64().unwrap_or_default();
    let names = ["l3", "l4num", "orig", "reply", "master", "tuple", "mask"];
    let own = names.map(|name| entry[name].to_string());
    format!("{} {zone} {}", item["op"], own.join(" "))
}

const OPTIONAL_FIELDS: [&str; 10] =
    ["stage", "mark", "events", "late", "late_out", "others", "count", "expects", "log", "nflog"];

const ENTRY_FIELDS: [&str; 12] = [
    "l3", "l4", "l4num", "orig", "reply", "status", "timeout", "state", "mark", "zone", "helper",
    "master",
];

const OPTIONAL_ENTRY_FIELDS: [&str; 9] =
    ["acct", "tcp", "sctp", "seqadj", "synproxy", "labels", "tstamp", "zone_orig", "zone_reply"];

/// Status names that are compared; the kernel's others say nothing about behaviour.
const COMPARED_STATUS: [&str; 10] = [
    "EXPECTED",
    "SEEN_REPLY",
    "ASSURED",
    "CONFIRMED",
    "SRC_NAT",
    "DST_NAT",
    "SEQ_ADJUST",
    "DYING",
    "FIXED_TIMEOUT",
    "HELPER",
];
