//! A flow as `conntrack -o xml` shows it (conntrack-tools `nfct_snprintf`), one a line.
//!
//! One difference: conntrack(8) names the states of SCTP with the words for TCP's. We name them with their own.

use tidegate_wire::netlink::conntrack::Counters;
use tidegate_wire::proto;

use super::words::Words;
use super::{Kind, Occasion, Style, lifetime};
use crate::client::Flow;
use crate::client::labels::Labels;
use crate::client::names::{self, bit};
use crate::render::figures::calendar;

/// What stands in front of the first.
pub(super) const HEAD: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<conntrack>\n";
/// What stands behind the last.
pub(super) const END: &str = "</conntrack>\n";

/// Writes a flow's line, without its end.
pub(super) fn write(
    words: &mut Words,
    flow: &Flow<'_>,
    (style, on): (&Style, Option<Occasion>),
    (labels, now): (&Labels, u64),
) {
    words.text(match on.map(|on| on.kind) {
        None | Some(Kind::Gap) => "<flow>",
        Some(Kind::New) => "<flow type=\"new\">",
        Some(Kind::Update) => "<flow type=\"update\">",
        Some(Kind::Destroy) => "<flow type=\"destroy\">",
    });
    direction(words, flow, 0, "original");
    direction(words, flow, 1, "reply");
    words.text("<meta direction=\"independent\">");
    independent(words, flow);
    if style.ktimestamp {
        times(words, flow);
    }
    if let Some(seconds) = lifetime(flow, now) {
        element(words, "deltatime", seconds);
    }
    names_of(words, flow, style, labels);
    words.text("</meta>");
    if let Some(on) = on.filter(|_| style.timestamp) {
        when(words, on.time);
    }
    words.text("</flow> ");
}

/// The time of day, taken apart; Sunday is day 1 of the week.
fn when(words: &mut Words, time: u64) {
    let [year, month, day, hour, minute, second, weekday] = calendar(time);
    words.text("<when>");
    let parts = [
        ("hour", hour),
        ("min", minute),
        ("sec", second),
        ("wday", weekday),
        ("day", day),
        ("month", month),
        ("year", year),
    ];
    parts.iter().for_each(|(name, number)| element(words, name, *number));
    words.text("</when>");
}

fn times(words: &mut Words, flow: &Flow<'_>) {
    let Some(times) = &flow.times else { return };
    words.text("<timestamp>");
    for (name, time) in [("start", times.start), ("stop", times.stop)] {
        if let Some(time) = time {
            element(words, name, time);
        }
    }
    words.text("</timestamp>");
}

fn names_of(words: &mut Words, flow: &Flow<'_>, style: &Style, labels: &Labels) {
    if let Some(helper) = flow.helper.filter(|name| !name.is_empty()) {
        named(words, "helper", helper);
    }
    if let Some(context) = flow.context {
        named(words, "secctx", context);
    }
    let names: Vec<_> = flow.label_bits().filter_map(|bit| labels.name(bit)).collect();
    if style.labels && !names.is_empty() {
        words.text("<labels>");
        names.iter().for_each(|name| named(words, "label", name.as_bytes()));
        words.text("</labels>");
    }
}

fn element(words: &mut Words, name: &str, number: impl Into<u64>) {
    words.text("<").text(name).text(">").number(number).text("</").text(name).text(">");
}

fn named(words: &mut Words, name: &str, text: &[u8]) {
    words.text("<").text(name).text(">");
    for byte in text {
        match byte {
            b'<' => words.text("&lt;"),
            b'>' => words.text("&gt;"),
            b'&' => words.text("&amp;"),
            _ => words.bytes(&[*byte]),
        };
    }
    words.text("</").text(name).text(">");
}

fn direction(words: &mut Words, flow: &Flow<'_>, dir: usize, name: &str) {
    let tuple = &flow.tuples[dir];
    words.text("<meta direction=\"").text(name).text("\"><layer3 protonum=\"");
    words.number(flow.family).text("\" protoname=\"").text(names::family(flow.family)).text("\">");
    for (name, address) in [("src", tuple.src), ("dst", tuple.dst)] {
        if let Some(address) = address {
            words.text("<").text(name).text(">").address(address).text("</").text(name).text(">");
        }
    }
    words.text("</layer3><layer4 protonum=\"").number(flow.proto()).text("\" protoname=\"");
    words.text(names::protocol(flow.proto())).text("\">");
    if let (Some(sport), Some(dport)) = (tuple.sport, tuple.dport) {
        if flow.proto() == proto::GRE {
            named(words, "srckey", format!("{sport:#x}").as_bytes());
            named(words, "dstkey", format!("{dport:#x}").as_bytes());
        } else {
            element(words, "sport", sport);
            element(words, "dport", dport);
        }
    }
    words.text("</layer4>");
    if let Some(zone) = tuple.zone {
        element(words, "zone", zone);
    }
    if let Some(Counters { packets, bytes, .. }) = &flow.counters[dir] {
        words.text("<counters>");
        element(words, "packets", packets.unwrap_or(0));
        element(words, "bytes", bytes.unwrap_or(0));
        words.text("</counters>");
    }
    words.text("</meta>");
}

fn independent(words: &mut Words, flow: &Flow<'_>) {
    if let Some(state) = flow.state() {
        named(words, "state", state.as_bytes());
    }
    let numbers = [
        ("timeout", flow.timeout),
        ("mark", flow.mark),
        ("zone", flow.zone.map(u32::from)),
        ("use", flow.uses),
        ("id", flow.id),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            element(words, name, number);
        }
    }
    if flow.has(bit::ASSURED) {
        words.text("<assured/>");
    }
    if flow.status.is_some() && !flow.has(bit::SEEN_REPLY) {
        words.text("<unreplied/>");
    }
}
