//! A flow as comma-separated values (RFC 4180, but for the line ends). A value that isn't known is empty.

use std::net::IpAddr;

use super::words::Words;
use super::{Occasion, utc};
use crate::client::Flow;
use crate::client::labels::Labels;
use crate::client::names;

/// The names of the columns.
pub(super) const HEAD: &str = "event,l3,l4,l4num,state,timeout,src,dst,sport,dport,reply_src,reply_dst,\
     reply_sport,reply_dport,icmp_type,icmp_code,icmp_id,packets,bytes,reply_packets,reply_bytes,\
     status,mark,zone,zone_orig,zone_reply,helper,use,id,labels,start";

/// Writes a flow's line.
pub(super) fn write(words: &mut Words, flow: &Flow<'_>, on: Option<Occasion>, labels: &Labels) {
    let [original, reply] = &flow.tuples;
    text(words, on.map_or("", |on| on.kind.name()));
    text(words, names::family(flow.family));
    text(words, names::protocol(flow.proto()));
    number(words, Some(flow.proto()));
    text(words, flow.state().unwrap_or_default());
    number(words, flow.timeout);
    for tuple in [original, reply] {
        address(words, tuple.src);
        address(words, tuple.dst);
        number(words, tuple.sport);
        number(words, tuple.dport);
    }
    number(words, original.icmp.and_then(|icmp| icmp.kind));
    number(words, original.icmp.and_then(|icmp| icmp.code));
    number(words, original.icmp.and_then(|icmp| icmp.id));
    for counters in &flow.counters {
        number(words, counters.as_ref().and_then(|counters| counters.packets));
        number(words, counters.as_ref().and_then(|counters| counters.bytes));
    }
    text(words, &names::status(flow.status.unwrap_or(0)).collect::<Vec<_>>().join(" "));
    number(words, flow.mark);
    number(words, flow.zone);
    number(words, original.zone);
    number(words, reply.zone);
    text(words, &String::from_utf8_lossy(flow.helper.unwrap_or_default()));
    number(words, flow.uses);
    number(words, flow.id);
    let label = |bit| labels.name(bit).map_or_else(|| format!("{bit}"), str::to_owned);
    text(words, &flow.label_bits().map(label).collect::<Vec<_>>().join(" "));
    text(words, &flow.times.as_ref().and_then(|times| times.start).map(utc).unwrap_or_default());
    words.0.pop();
    words.end();
}

fn text(words: &mut Words, value: &str) {
    if value.contains([',', '"', '\n', '\r']) {
        words.text("\"").text(&value.replace('"', "\"\"")).text("\"");
    } else {
        words.text(value);
    }
    words.text(",");
}

fn number(words: &mut Words, value: Option<impl Into<u64>>) {
    if let Some(value) = value {
        words.number(value);
    }
    words.text(",");
}

fn address(words: &mut Words, value: Option<IpAddr>) {
    if let Some(value) = value {
        words.address(value);
    }
    words.text(",");
}
