//! A flow as conntrack(8) shows it, byte for byte (conntrack-tools `nfct_snprintf`).

use std::net::IpAddr;

use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::Counters;
use tidegate_wire::proto;

use super::words::Words;
use super::{Style, lifetime, utc_words};
use crate::client::labels::Labels;
use crate::client::names::{self, bit};
use crate::client::{Expected, Flow};

/// Writes a flow's words, each with a blank behind it.
pub(super) fn write(
    words: &mut Words,
    flow: &Flow<'_>,
    style: &Style,
    (labels, now): (&Labels, u64),
) {
    if style.extended {
        words.padded(names::family(flow.family), 8).text(" ").number(flow.family).text(" ");
    }
    words.padded(names::protocol(flow.proto()), 8).text(" ").number(flow.proto()).text(" ");
    if let Some(seconds) = flow.timeout {
        words.number(seconds).text(" ");
    }
    if let Some(state) = flow.state() {
        words.text(state).text(" ");
    }
    ways(words, flow, Words::address);
    rest(words, flow, style, now);
    if style.labels {
        write_labels(words, flow, labels);
    }
}

/// How addresses are written.
pub(super) type Address = fn(&mut Words, IpAddr) -> &mut Words;

/// Both directions, and what is said of them in between.
pub(super) fn ways(words: &mut Words, flow: &Flow<'_>, address: Address) {
    direction(words, flow, (0, "zone-orig"), address);
    if flow.status.is_some() && !flow.has(bit::SEEN_REPLY) {
        words.text("[UNREPLIED] ");
    }
    direction(words, flow, (1, "zone-reply"), address);
    words.text(carried(flow));
}

fn direction(words: &mut Words, flow: &Flow<'_>, (dir, zone): (usize, &str), address: Address) {
    let tuple = &flow.tuples[dir];
    ends(words, tuple, flow.proto(), address);
    if let Some(number) = tuple.zone {
        words.field(zone, number);
    }
    if let Some(Counters { packets, bytes, .. }) = &flow.counters[dir] {
        words.field("packets", packets.unwrap_or(0)).field("bytes", bytes.unwrap_or(0));
    }
}

/// Addresses, and ports or what the protocol has in their place.
pub(super) fn ends(words: &mut Words, tuple: &Tuple, proto: u8, address: Address) {
    for (name, host) in [("src=", tuple.src), ("dst=", tuple.dst)] {
        if let Some(host) = host {
            address(words.text(name), host).text(" ");
        }
    }
    if let Some(icmp) = tuple.icmp {
        let (kind, code) = (icmp.kind.unwrap_or(0), icmp.code.unwrap_or(0));
        words.field("type", kind).field("code", code).field("id", icmp.id.unwrap_or(0));
        return;
    }
    let (Some(sport), Some(dport)) = (tuple.sport, tuple.dport) else { return };
    if proto == proto::GRE {
        words.text("srckey=").hex(sport.into()).text(" dstkey=").hex(dport.into()).text(" ");
    } else {
        words.field("sport", sport).field("dport", dport);
    }
}

fn carried(flow: &Flow<'_>) -> &'static str {
    if flow.has(bit::HW_OFFLOAD) {
        "[HW_OFFLOAD] "
    } else if flow.has(bit::OFFLOAD) {
        "[OFFLOAD] "
    } else if flow.has(bit::ASSURED) {
        "[ASSURED] "
    } else {
        ""
    }
}

fn rest(words: &mut Words, flow: &Flow<'_>, style: &Style, now: u64) {
    if let Some(mark) = flow.mark {
        words.field("mark", mark);
    }
    if let Some(context) = flow.context {
        words.text("secctx=").bytes(context).text(" ");
    }
    if let Some(zone) = flow.zone {
        words.field("zone", zone);
    }
    if let Some(seconds) = lifetime(flow, now) {
        words.field("delta-time", seconds);
    }
    if style.ktimestamp {
        let times = flow.times.as_ref().map(|times| (times.start, times.stop));
        let (start, stop) = times.unwrap_or_default();
        for (name, time) in [("[start=", start), ("[stop=", stop)] {
            if let Some(time) = time {
                words.text(name).text(&utc_words(time)).text("] ");
            }
        }
    }
    if let Some(helper) = flow.helper.filter(|name| !name.is_empty()) {
        words.text("helper=").bytes(helper).text(" ");
    }
    if let Some(uses) = flow.uses {
        words.field("use", uses);
    }
    if let Some(id) = flow.id.filter(|_| style.id) {
        words.field("id", id);
    }
}

fn write_labels(words: &mut Words, flow: &Flow<'_>, labels: &Labels) {
    let mut before = "labels=";
    for bit in flow.label_bits() {
        words.text(before);
        match labels.name(bit) {
            Some(name) => words.text(name),
            None => words.number(bit),
        };
        before = ",";
    }
    if before == "," {
        words.text(" ");
    }
}

/// Writes an expectation's words, as `conntrack -L expect` does.
pub(super) fn write_expected(words: &mut Words, expected: &Expected<'_>) {
    let Expected { tuple, mask, master, .. } = expected;
    let proto = tuple.proto.unwrap_or(0);
    words.number(expected.timeout.unwrap_or(0)).text(" ").text("proto=").number(proto).text(" ");
    ends(words, tuple, proto, Words::address);
    for (prefix, tuple) in [("mask-", mask), ("master-", master)] {
        let mut own = Words::default();
        ends(&mut own, tuple, proto, Words::address);
        let own = String::from_utf8_lossy(&own.0)
            .replace("src=", &format!("{prefix}src="))
            .replace("dst=", &format!("{prefix}dst="));
        words.text(&own);
    }
    if let Some(zone) = expected.zone {
        words.field("zone", zone);
    }
    let flags: Vec<_> = expected.flag_names().collect();
    if !flags.is_empty() {
        words.text(&flags.join(",")).text(" ");
    }
    if let Some(class) = expected.class {
        words.field("class", class);
    }
    if let Some(helper) = expected.helper {
        words.text("helper=").bytes(helper).text(" ");
    }
}
