//! Conntrack entries as ctnetlink tells them, in the words of the scenario format.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Map, Value, json};

use super::netlink::{Attributes, NESTED, generic, push_attribute};
use crate::campaign::experiment::Original;

/// The body of a message about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry(Vec<u8>);

impl Entry {
    pub(super) fn new(body: Vec<u8>) -> Self {
        Self(body)
    }

    /// The kernel's name of the entry. It may go to another when this one is gone.
    pub(super) fn id(&self) -> Option<u64> {
        self.attributes().number(ID)
    }

    /// The request that asks for this entry alone.
    pub(super) fn request(&self) -> Vec<u8> {
        let mut body = generic(self.0.first().copied().unwrap_or_default());
        let attributes = self.attributes();
        if let Some(tuple) = attributes.find(ORIGINAL) {
            push_attribute(&mut body, ORIGINAL | NESTED, tuple);
        }
        if let Some(zone) = attributes.find(ZONE) {
            push_attribute(&mut body, ZONE, zone);
        }
        body
    }

    /// The request that deletes this entry, and none that came after it.
    pub(super) fn deletion(&self) -> Vec<u8> {
        let mut body = self.request();
        if let Some(id) = self.attributes().find(ID) {
            push_attribute(&mut body, ID, id);
        }
        body
    }

    /// The request that gives this entry a mark.
    pub(super) fn marking(&self, mark: u32) -> Vec<u8> {
        let mut body = self.request();
        push_attribute(&mut body, MARK, &mark.to_be_bytes());
        body
    }

    /// Whether its original tuple has these protocol and addresses, and the ports as well if those
    /// count.
    pub(super) fn is(&self, original: &Original, with_ports: bool) -> bool {
        let (l4num, tuple, _) = tuple(self.attributes().nested(ORIGINAL));
        let port = |name: &str| tuple[name].as_u64().unwrap_or_default();
        l4_name(l4num) == original.l4
            && tuple["src"] == original.src.to_string().as_str()
            && tuple["dst"] == original.dst.to_string().as_str()
            && (!with_ports
                || port("sport") == u64::from(original.sport)
                    && port("dport") == u64::from(original.dport))
    }

    /// Its mark.
    pub(super) fn mark(&self) -> u64 {
        self.attributes().number(MARK).unwrap_or_default()
    }

    /// Whether it is in the zone that has no number.
    pub(super) fn is_in_no_zone(&self) -> bool {
        self.attributes().find(ZONE).is_none()
    }

    /// The entry as the scenario format has it.
    pub(super) fn value(&self) -> Value {
        let attributes = self.attributes();
        let (l4num, orig, zone_orig) = tuple(attributes.nested(ORIGINAL));
        let (_, reply, zone_reply) = tuple(attributes.nested(REPLY));
        let is_v4 = self.0.first() == Some(&INET);
        let mut value = json!({
            "l3": if is_v4 { "ipv4" } else { "ipv6" },
            "l4": l4_name(l4num), "l4num": l4num,
            "orig": orig, "reply": reply,
            "status": status(attributes.number(STATUS).unwrap_or_default()),
            "timeout": attributes.number(TIMEOUT),
            "state": Value::Null,
            "mark": attributes.number(MARK).unwrap_or_default(),
            "zone": attributes.number(ZONE).unwrap_or_default(),
            "helper": attributes.nested(HELPER).text(HELPER_NAME),
            "master": master(attributes),
        });
        if let Some(zone) = zone_orig {
            value["zone_orig"] = zone.into();
        }
        if let Some(zone) = zone_reply {
            value["zone_reply"] = zone.into();
        }
        add_protocol(&mut value, attributes.nested(PROTOCOL_INFO));
        add_extensions(&mut value, attributes);
        value
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes::of_body(&self.0)
    }
}

/// An event in the format's one line.
pub(super) fn event_text(kind: &str, entry: &Value) -> String {
    let mut words = vec![format!("[{kind}]")];
    words.extend(["l3", "l4", "l4num"].map(|field| plain(&entry[field])));
    words.extend(entry["timeout"].as_u64().map(|seconds| format!("t={seconds}")));
    words.extend(entry["state"].as_str().map(str::to_owned));
    let has = |name: &str| entry["status"].as_array().is_some_and(|s| s.iter().any(|s| s == name));
    words.push(tuple_text(&entry["orig"]));
    words.extend((!has("SEEN_REPLY")).then(|| "[UNREPLIED]".to_owned()));
    words.push(tuple_text(&entry["reply"]));
    words.extend(has("ASSURED").then(|| "[ASSURED]".to_owned()));
    for field in ["mark", "zone"] {
        words.extend(entry[field].as_u64().filter(|n| *n != 0).map(|n| format!("{field}={n}")));
    }
    for field in ["zone_orig", "zone_reply"] {
        words.extend(entry[field].as_u64().map(|number| format!("{field}={number}")));
    }
    words.extend(entry["helper"].as_str().map(|name| format!("helper={name}")));
    if let Some(acct) = entry.get("acct") {
        let [orig, reply] = ["orig", "reply"].map(|direction| &acct[direction]);
        words.push(format!("packets={},{}", orig[0], reply[0]));
        words.push(format!("bytes={},{}", orig[1], reply[1]));
    }
    words.join(" ")
}

/// Whether an entry changed by more than ageing for some seconds.
pub(super) fn changed(before: &Value, after: &Value, aged: u64) -> bool {
    let without_timeout = |entry: &Value| {
        let mut entry = entry.clone();
        entry["timeout"] = Value::Null;
        entry
    };
    let seconds = |entry: &Value| entry["timeout"].as_i64();
    without_timeout(before) != without_timeout(after)
        || matches!((seconds(before), seconds(after)),
            (Some(before), Some(after)) if !(-1 - aged as i64..1).contains(&(after - before)))
}

pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn tuple_text(tuple: &Value) -> String {
    let told = TUPLE_KEYS.iter().filter_map(|key| {
        let value = tuple.get(key)?;
        Some(format!("{key}={}", plain(value)))
    });
    told.collect::<Vec<_>>().join(" ")
}

/// Protocol number, the tuple, and its zone if it has one of its own.
pub(super) fn tuple(attributes: Attributes<'_>) -> (u64, Value, Option<u64>) {
    let mut fields = Map::new();
    let addresses = attributes.nested(TUPLE_ADDRESSES);
    for (kind, name) in [(1, "src"), (2, "dst"), (3, "src"), (4, "dst")] {
        if let Some(address) = addresses.find(kind).and_then(address) {
            fields.insert(name.to_owned(), address.to_string().into());
        }
    }
    let upper = attributes.nested(TUPLE_PROTOCOL);
    let l4num = upper.number(PROTOCOL_NUMBER).unwrap_or_default();
    let names: &[(u16, &str)] = match l4num {
        6 | 17 | 33 | 132 | 136 => &[(2, "sport"), (3, "dport")],
        47 => &[(2, "srckey"), (3, "dstkey")],
        1 => &[(5, "type"), (6, "code"), (4, "id")],
        58 => &[(8, "type"), (9, "code"), (7, "id")],
        _ => &[],
    };
    for (kind, name) in names {
        if let Some(number) = upper.number(*kind) {
            fields.insert((*name).to_owned(), number.into());
        }
    }
    (l4num, Value::Object(fields), attributes.number(TUPLE_ZONE))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        16 => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into()),
        _ => None,
    }
}

fn master(attributes: Attributes<'_>) -> Value {
    if attributes.find(MASTER).is_none() {
        return Value::Null;
    }
    let (l4num, mut tuple, _) = tuple(attributes.nested(MASTER));
    tuple["l4"] = l4_name(l4num).into();
    tuple
}

fn add_protocol(value: &mut Value, info: Attributes<'_>) {
    if info.find(TCP_INFO).is_some() {
        let tcp = info.nested(TCP_INFO);
        value["state"] = name_of(&TCP_STATES, tcp.number(1));
        if tcp.find(4).is_some() {
            let flags = |kind| tcp.find(kind).and_then(|bytes| bytes.first().copied());
            value["tcp"] = json!({
                "wscale": [tcp.number(2), tcp.number(3)],
                "flags": [flags(4), flags(5)],
            });
        }
    }
    if info.find(SCTP_INFO).is_some() {
        let sctp = info.nested(SCTP_INFO);
        value["state"] = name_of(&SCTP_STATES, sctp.number(1));
        if let (Some(orig), Some(reply)) = (sctp.number(2), sctp.number(3)) {
            value["sctp"] = json!({"vtag": [orig, reply]});
        }
    }
}

fn add_extensions(value: &mut Value, attributes: Attributes<'_>) {
    if attributes.find(COUNTERS_ORIGINAL).is_some() {
        let counters = |kind| {
            let counters = attributes.nested(kind);
            [1, 2].map(|kind| counters.number(kind).unwrap_or_default())
        };
        let (orig, reply) = (counters(COUNTERS_ORIGINAL), counters(COUNTERS_REPLY));
        value["acct"] = json!({"orig": orig, "reply": reply});
    }
    for (kind, name) in [(SEQ_ADJUST_ORIGINAL, "orig"), (SEQ_ADJUST_REPLY, "reply")] {
        let adjustment = attributes.nested(kind);
        let [pos, before, after] = [1, 2, 3].map(|k| adjustment.number(k).unwrap_or_default());
        if pos != 0 || before != 0 || after != 0 {
            let [before, after] = [before, after].map(|offset| offset as u32 as i32);
            value["seqadj"][name] = json!({"pos": pos, "before": before, "after": after});
        }
    }
    if attributes.find(SYNPROXY).is_some() {
        let proxy = attributes.nested(SYNPROXY);
        let [isn, its, tsoff] = [1, 2, 3].map(|kind| proxy.number(kind).unwrap_or_default());
        value["synproxy"] = json!({"isn": isn, "its": its, "tsoff": tsoff});
    }
    if attributes.find(TIMESTAMP).is_some() {
        let times = attributes.nested(TIMESTAMP);
        let (start, stop) = (times.find(1).is_some(), times.find(2).is_some());
        value["tstamp"] = json!({"start": start, "stop": stop});
    }
    if let Some(labels) = attributes.find(LABELS).filter(|labels| labels.iter().any(|b| *b != 0)) {
        value["labels"] = crate::oracle::hex(labels).into();
    }
}

fn status(bits: u64) -> Vec<&'static str> {
    let set = STATUS_NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    set.map(|(_, name)| *name).collect()
}

fn name_of(names: &[&str], number: Option<u64>) -> Value {
    let name = number.and_then(|number| names.get(usize::try_from(number).ok()?));
    name.map_or(Value::Null, |name| (*name).into())
}

pub(super) fn l4_name(number: u64) -> &'static str {
    match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        58 => "icmpv6",
        132 => "sctp",
        136 => "udplite",
        _ => "unknown",
    }
}

const INET: u8 = 2;

// Attributes of an entry: `enum ctattr_type` of linux/netfilter/nfnetlink_conntrack.h.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOCOL_INFO: u16 = 4;
const HELPER: u16 = 5;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const COUNTERS_ORIGINAL: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const ID: u16 = 12;
const MASTER: u16 = 14;
const SEQ_ADJUST_ORIGINAL: u16 = 15;
const SEQ_ADJUST_REPLY: u16 = 16;
const ZONE: u16 = 18;
const TIMESTAMP: u16 = 20;
const SYNPROXY: u16 = 24;
const LABELS: u16 = 22;
// Attributes within those.
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const TUPLE_ZONE: u16 = 3;
const PROTOCOL_NUMBER: u16 = 1;
const TCP_INFO: u16 = 1;
const SCTP_INFO: u16 = 3;
const HELPER_NAME: u16 = 1;

const TUPLE_KEYS: [&str; 9] =
    ["src", "dst", "sport", "dport", "srckey", "dstkey", "type", "code", "id"];

const TCP_STATES: [&str; 10] = [
    "NONE",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "FIN_WAIT",
    "CLOSE_WAIT",
    "LAST_ACK",
    "TIME_WAIT",
    "CLOSE",
    "SYN_SENT2",
];

const SCTP_STATES: [&str; 9] = [
    "NONE",
    "CLOSED",
    "COOKIE_WAIT",
    "COOKIE_ECHOED",
    "ESTABLISHED",
    "SHUTDOWN_SENT",
    "SHUTDOWN_RECD",
    "SHUTDOWN_ACK_SENT",
    "HEARTBEAT_SENT",
];

const STATUS_NAMES: [&str; 16] = [
    "EXPECTED",
    "SEEN_REPLY",
    "ASSURED",
    "CONFIRMED",
    "SRC_NAT",
    "DST_NAT",
    "SEQ_ADJUST",
    "SRC_NAT_DONE",
    "DST_NAT_DONE",
    "DYING",
    "FIXED_TIMEOUT",
    "TEMPLATE",
    "NAT_CLASH",
    "HELPER",
    "OFFLOAD",
    "HW_OFFLOAD",
];
