//! Expectations as ctnetlink tells them, in the words of the scenario format.

use serde_json::Value;

use super::entry::{l4_name, plain, tuple, tuple_text};
use super::netlink::Attributes;

/// The expectation in a message's body, as the scenario format has it.
pub(super) fn value(body: &[u8]) -> Value {
    let attributes = Attributes::of_body(body);
    let (l4num, expected, _) = tuple(attributes.nested(TUPLE));
    let (_, mask, _) = tuple(attributes.nested(MASK));
    let (_, master, _) = tuple(attributes.nested(MASTER));
    let bits = attributes.number(FLAGS).unwrap_or_default();
    let flags = FLAG_NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1);
    let mut value = serde_json::json!({
        "l3": if body.first() == Some(&INET) { "ipv4" } else { "ipv6" },
        "l4": l4_name(l4num), "l4num": l4num,
        "tuple": expected, "mask": mask, "master": master,
        "timeout": attributes.number(TIMEOUT).unwrap_or_default(),
        "helper": attributes.text(HELPER_NAME),
        "class": attributes.number(CLASS).unwrap_or_default(),
        "flags": flags.map(|(_, name)| *name).collect::<Vec<_>>(),
        "zone": attributes.number(ZONE).unwrap_or_default(),
    });
    if attributes.find(NAT).is_some() {
        let nat = attributes.nested(NAT);
        let (_, mut told, _) = tuple(nat.nested(NAT_TUPLE));
        let is_reply = nat.number(NAT_DIRECTION).unwrap_or_default() != 0;
        told["dir"] = if is_reply { "reply" } else { "orig" }.into();
        value["nat"] = told;
    }
    value
}

/// An event in the format's one line.
pub(super) fn event_text(kind: &str, expectation: &Value) -> String {
    let of = |field: &str| plain(&expectation[field]);
    let mut words = vec![format!("[EXP_{kind}]"), of("l3"), of("l4"), of("l4num")];
    words.push(format!("t={}", of("timeout")));
    words.push(tuple_text(&expectation["tuple"]));
    words.push(format!("mask {}", tuple_text(&expectation["mask"])));
    words.push(format!("master {}", tuple_text(&expectation["master"])));
    let flags = expectation["flags"].as_array().into_iter().flatten().map(plain);
    words.extend(Some(flags.collect::<Vec<_>>().join("|")).filter(|flags| !flags.is_empty()));
    for field in ["class", "zone"] {
        let number = expectation[field].as_u64().filter(|number| *number != 0);
        words.extend(number.map(|number| format!("{field}={number}")));
    }
    words.extend(expectation["helper"].as_str().map(|name| format!("helper={name}")));
    words.join(" ")
}

const INET: u8 = 2;

// Attributes of an expectation: `enum ctattr_expect` of linux/netfilter/nfnetlink_conntrack.h.
const MASTER: u16 = 1;
const TUPLE: u16 = 2;
const MASK: u16 = 3;
const TIMEOUT: u16 = 4;
const HELPER_NAME: u16 = 6;
const ZONE: u16 = 7;
const FLAGS: u16 = 8;
const CLASS: u16 = 9;
const NAT: u16 = 10;
// Attributes within the last one.
const NAT_DIRECTION: u16 = 1;
const NAT_TUPLE: u16 = 2;

const FLAG_NAMES: [&str; 3] = ["PERMANENT", "INACTIVE", "USERSPACE"];
