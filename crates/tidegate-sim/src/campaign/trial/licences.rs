//! What need not be alike because the kernel draws lots, or because its record can't show it.
//!
//! A licence is as narrow as the record lets it be: what is licensed here is not judged at all, whatever the engine does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::campaign::kernel::Recorded;
use crate::oracle::hex;

/// What may differ. Where the kernel drew a port, a replay may draw another: at every address that
/// stands for another one with a port that isn't the one's. And nobody sees the mark with which a
/// packet is dropped between two probes.
pub(super) fn licences(recorded: &Recorded) -> Value {
    let records = &recorded.records[..];
    let free = Free::of(records);
    let mut skips = blind_spots(records);
    let mut licences = json!({});
    let lag = recorded.lag.as_secs();
    if lag > 0 {
        // A second is always allowed. The table was seen late: the machine was busy.
        licences["timeout_tolerance"] = (lag + 1).into();
    }
    skips.extend((!recorded.has_log).then(|| json!({"field": "log"})));
    skips.extend(tells_of(&free, records));
    if !free.is_empty() {
        licences["nat_ports"] = free.iter().map(Free::licence).collect();
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

/// An address that has ports which the kernel drew.
#[derive(Debug, PartialEq, Eq)]
struct Free<'a> {
    addr: &'a str,
    /// Where all that is known of the address is that such ports were kept by another translation, these; else all of
    /// them, as who drew another one has to give way to others.
    only: Option<BTreeSet<u64>>,
}

impl<'a> Free<'a> {
    fn of(records: &'a [Value]) -> Vec<Self> {
        let mut ports = BTreeSet::new();
        for record in records {
            let others = record["others"].as_array().into_iter().flatten();
            let entries = others.map(|other| &other["ct"]).chain([&record["ct"]]);
            ports.extend(entries.flat_map(drawn));
        }
        let mut all: BTreeMap<&str, Option<BTreeSet<u64>>> =
            ports.iter().map(|(addr, _)| (*addr, None)).collect();
        for (addr, port) in records.iter().filter_map(|record| kept(&record["ct"], &ports)) {
            if let Some(only) = all.entry(addr).or_insert_with(|| Some(BTreeSet::new())) {
                only.insert(port);
            }
        }
        all.into_iter().map(|(addr, only)| Free { addr, only }).collect()
    }

    fn licence(&self) -> Value {
        let mut licence = json!({"addr": self.addr, "min": 1, "max": 65535});
        if let Some(only) = &self.only {
            licence["only"] = only.iter().copied().collect();
        }
        licence
    }

    /// Whether a line of the kernel's log tells one of the ports.
    fn is_in_line(&self, line: &str) -> bool {
        let Some([address, _]) = spellings(self.addr) else { return false };
        let is_port = |word: &str| match word.split_once("PT=") {
            Some(("S" | "D", port)) => port.parse().is_ok_and(|port| self.has(port)),
            _ => false,
        };
        line.contains(&address) && (self.only.is_none() || line.split(' ').any(is_port))
    }

    /// Whether one of the ports may be in a copy of a packet, in hexadecimal digits.
    fn is_in_copy(&self, copy: &str) -> bool {
        let Some([_, address]) = spellings(self.addr) else { return false };
        let mut octets = (0..copy.len()).step_by(2).filter_map(|at| copy.get(at..at + 4));
        let is_port = |digits| u64::from_str_radix(digits, 16).is_ok_and(|port| self.has(port));
        copy.contains(&address) && (self.only.is_none() || octets.any(is_port))
    }

    fn has(&self, port: u64) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&port))
    }
}

/// The address that an entry's destination, at a port that was drawn, was translated to without its port, which is that.
fn kept<'a>(entry: &'a Value, drawn: &BTreeSet<(&str, u64)>) -> Option<(&'a str, u64)> {
    let (orig, reply) = (&entry["orig"], &entry["reply"]);
    let (from, to) = (orig["dst"].as_str()?, reply["src"].as_str()?);
    let port = orig["dport"].as_u64()?;
    let is_kept = reply["sport"] == orig["dport"];
    (is_kept && from != to && drawn.contains(&(from, port))).then_some((to, port))
}

/// What need not be alike in lines of the log and copies of packets which have ports that are free.
fn tells_of(free: &[Free<'_>], records: &[Value]) -> Vec<Value> {
    let mut skips = Vec::new();
    for record in records {
        let list = |field: &str| record[field].as_array().into_iter().flatten();
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let mut skip = |field| skips.push(json!({"index": record["index"], "field": field}));
        if list("log").any(|line| free.iter().any(|one| one.is_in_line(&text(line)))) {
            skip("log");
        }
        if list("nflog").any(|copy| free.iter().any(|one| one.is_in_copy(&text(&copy["hex"])))) {
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

/// The addresses of an entry whose ports are not those of the other direction, and these ports.
fn drawn(entry: &Value) -> Vec<(&str, u64)> {
    let has = |name: &str| entry["status"].as_array().is_some_and(|s| s.iter().any(|s| s == name));
    let (orig, reply) = (&entry["orig"], &entry["reply"]);
    let mut ports = Vec::new();
    let is_moved = orig["sport"] != reply["dport"] || orig["id"] != reply["id"];
    if has("SRC_NAT") && is_moved {
        let port = reply["dport"].as_u64().or_else(|| reply["id"].as_u64());
        ports.extend(reply["dst"].as_str().zip(port));
    }
    let chosen = reply["sport"].as_u64().filter(|port| (8001..=8010).contains(port));
    if has("DST_NAT") && orig["dport"] != reply["sport"] {
        ports.extend(reply["src"].as_str().zip(chosen));
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(status: &str, orig: (&str, u64, &str, u64), reply: (&str, u64, &str, u64)) -> Value {
        let tuple = |(src, sport, dst, dport): (&str, u64, &str, u64)| json!({"src": src, "dst": dst, "sport": sport, "dport": dport});
        json!({"status": [status], "orig": tuple(orig), "reply": tuple(reply)})
    }

    /// `masked` is behind an address of the router's at a port that the kernel drew; others are sent on from there to a
    /// host of the inside, with the port that they came to.
    fn records(came_to: u64) -> Vec<Value> {
        let (inside, server, router) = ("10.0.1.2", "203.0.113.2", "203.0.113.1");
        let masked = entry("SRC_NAT", (inside, 700, server, 80), (server, 80, router, 61_000));
        let kept = entry("DST_NAT", (server, 9, router, came_to), ("10.0.1.3", came_to, server, 9));
        vec![json!({"index": 0, "ct": masked}), json!({"index": 1, "ct": kept})]
    }

    #[test]
    fn a_port_that_was_drawn_is_free_where_it_is_kept_and_no_other_is() {
        let all = |addr| Free { addr, only: None };
        let records = [records(61_000), records(8080)];
        let only = Some(BTreeSet::from([61_000]));
        let kept = Free { addr: "10.0.1.3", only };
        let rows = [
            ("came to the port", &records[0], vec![kept, all("203.0.113.1")]),
            ("came to another one of the address", &records[1], vec![all("203.0.113.1")]),
        ];
        for (what, records, free) in rows {
            assert_eq!(Free::of(records), free, "{what}");
        }
    }

    #[test]
    fn lines_and_copies_are_let_off_for_ports_that_are_free() {
        let records = |port: u16| {
            let line = format!("IN=lan SRC=10.0.1.3 DST=203.0.113.2 PROTO=UDP SPT={port} DPT=9");
            let copy = format!("0a000103cb007102{port:04x}0009");
            json!({"index": 0, "log": [line], "nflog": [{"hex": copy}]})
        };
        let some = Free { addr: "10.0.1.3", only: Some(BTreeSet::from([61_000])) };
        let other = Free { addr: "10.0.1.4", only: Some(BTreeSet::from([61_000])) };
        let all = Free { addr: "10.0.1.3", only: None };
        let rows = [
            ("a free port", &some, 61_000, 2),
            ("another one", &some, 8080, 0),
            ("another host", &other, 61_000, 0),
            ("all are free", &all, 8080, 2),
        ];
        for (what, free, port, skips) in rows {
            let found = tells_of(std::slice::from_ref(free), &[records(port)]);
            assert_eq!(found.len(), skips, "{what}");
        }
    }
}
