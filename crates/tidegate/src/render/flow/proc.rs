//! Flows and expectations as the files of `/proc/net` show them, byte for byte.
//!
//! They say what conntrack(8) says in other words: `tidegate_gateway::text` has the grammar of the lines. One thing no
//! message tells: the two timeouts that the kernel notes with a flow of GRE. Those of the settings are shown.

use tidegate_engine::helper::Helper;
use tidegate_wire::proto;

use super::text;
use super::words::Words;
use crate::client::names;
use crate::client::{Expected, Flow};

/// What a line needs beside the flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// Nanoseconds since 1970.
    pub(crate) now: u64,
    /// The two timeouts of GRE, in seconds, which no message tells of a flow: those of the settings.
    pub(crate) gre: [u32; 2],
}

/// Writes a flow's line of `/proc/net/nf_conntrack`.
pub(crate) fn write(words: &mut Words, flow: &Flow<'_>, view: &View) {
    let (family, number) = (names::family(flow.family), flow.proto());
    words.padded(family, 8).text(" ").number(flow.family).text(" ");
    words.padded(names::protocol(number), 8).text(" ").number(number).text(" ");
    words.number(flow.timeout.unwrap_or(0)).text(" ");
    if number == proto::GRE {
        let [timeout, stream] = view.gre;
        words.text("timeout=").number(timeout).text(", stream_timeout=").number(stream).text(" ");
    } else if let Some(state) = flow.state() {
        words.text(state).text(" ");
    }
    text::ways(words, flow, Words::kernel_address);
    words.field("mark", flow.mark.unwrap_or(0));
    if let Some(context) = flow.context {
        words.text("secctx=").bytes(context).text(" ");
    }
    if flow.tuples.iter().all(|tuple| tuple.zone.is_none()) {
        words.field("zone", flow.zone.unwrap_or(0));
    }
    if let Some(seconds) = flow.age(view.now) {
        words.field("delta-time", seconds);
    }
    // Who reads a file holds the entry once more.
    words.text("use=").number(flow.uses.unwrap_or(1) + 1).text("\n");
}

/// Writes an expectation's line of `/proc/net/nf_conntrack_expect`.
pub(crate) fn write_expected(words: &mut Words, expected: &Expected<'_>) {
    let number = expected.tuple.proto.unwrap_or(0);
    words.number(expected.timeout.unwrap_or(0)).text(" l3proto = ").number(expected.family);
    words.text(" proto=").number(number).text(" ");
    text::ends(words, &expected.tuple, number, Words::kernel_address);
    let flags: Vec<_> = expected.flag_names().collect();
    words.text(&flags.join(","));
    if let Some(name) = expected.helper.and_then(|name| str::from_utf8(name).ok()) {
        words.text(if flags.is_empty() { "" } else { " " }).text(name);
        let class = u8::try_from(expected.class.unwrap_or(0)).unwrap_or(u8::MAX);
        match Helper::of_name(name).map_or("", |helper| helper.class_name(class)) {
            "" => {}
            class => {
                words.text("/").text(class);
            }
        }
    }
    words.text("\n");
}
