//! Flows in columns, for people. A column grows when something wider comes: nothing is held back to measure it.

use std::time::Duration;

use tidegate_wire::netlink::Tuple;

use super::Occasion;
use super::words::Words;
use crate::client::Flow;
use crate::client::names::{self, bit};
use crate::render::figures::{Brief, Bytes, Count};

/// How wide the columns are by now.
#[derive(Debug)]
pub(super) struct Widths {
    columns: [usize; COLUMNS],
}

impl Default for Widths {
    fn default() -> Self {
        Self { columns: [7, 11, 21, 21, 7, 9, 9, 6, 22, 0] }
    }
}

impl Widths {
    /// The line with the columns' names.
    pub(super) fn head(&mut self) -> String {
        let mut words = Words::default();
        self.row(&mut words, NAMES.map(str::to_owned));
        String::from_utf8_lossy(&words.0).into_owned()
    }

    /// Writes a flow's line.
    pub(super) fn write(&mut self, words: &mut Words, flow: &Flow<'_>, on: Option<Occasion>) {
        let protocol = names::protocol(flow.proto());
        let protocol = match (protocol, on) {
            ("unknown", _) => flow.proto().to_string(),
            (name, None) => name.to_owned(),
            (name, Some(on)) => format!("{} {name}", on.kind.name()),
        };
        let [original, _] = &flow.tuples;
        let counted = flow.counted();
        let amount = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let cells = [
            protocol,
            flow.state().unwrap_or("-").to_owned(),
            end(original, true),
            end(original, false),
            amount(flow.timeout.map(|left| Brief(Duration::from_secs(left.into())).to_string())),
            amount(counted.map(|sum| Count(sum.packets).to_string())),
            amount(counted.map(|sum| Bytes(sum.bytes).to_string())),
            amount(flow.mark.map(|mark| mark.to_string())),
            remarks(flow),
            translated(flow),
        ];
        self.row(words, cells);
    }

    fn row(&mut self, words: &mut Words, cells: [String; COLUMNS]) {
        for (index, cell) in cells.iter().enumerate() {
            let width = &mut self.columns[index];
            *width = (*width).max(cell.len());
            if RIGHT.contains(&index) {
                words.text(&format!("{cell:>0$}", *width)).text("  ");
            } else {
                words.padded(cell, *width).text("  ");
            }
        }
        while words.0.last() == Some(&b' ') {
            words.0.pop();
        }
        words.end();
    }
}

/// An end of a tuple: address and port, or ICMP's type.
fn end(tuple: &Tuple, is_source: bool) -> String {
    let (address, port) =
        if is_source { (tuple.src, tuple.sport) } else { (tuple.dst, tuple.dport) };
    let Some(address) = address else { return "-".to_owned() };
    match (port, tuple.icmp.filter(|_| is_source)) {
        (Some(port), _) => std::net::SocketAddr::new(address, port).to_string(),
        (None, Some(icmp)) => format!("{address} type {}", icmp.kind.unwrap_or(0)),
        (None, None) => address.to_string(),
    }
}

fn remarks(flow: &Flow<'_>) -> String {
    let mut remarks = Vec::new();
    if !flow.has(bit::SEEN_REPLY) {
        remarks.push("unreplied".to_owned());
    }
    for (bit, name) in [
        (bit::ASSURED, "assured"),
        (bit::EXPECTED, "expected"),
        (bit::OFFLOAD, "offload"),
        (bit::HW_OFFLOAD, "hardware"),
    ] {
        remarks.extend(flow.has(bit).then(|| name.to_owned()));
    }
    let zones = [flow.zone, flow.tuples[0].zone, flow.tuples[1].zone];
    for (name, zone) in ["zone", "zone-orig", "zone-reply"].into_iter().zip(zones) {
        remarks.extend(zone.map(|zone| format!("{name}={zone}")));
    }
    let helper = flow.helper.filter(|name| !name.is_empty());
    remarks.extend(helper.map(|name| String::from_utf8_lossy(name).into_owned()));
    remarks.join(" ")
}

fn translated(flow: &Flow<'_>) -> String {
    let reply = &flow.tuples[1];
    let source = flow.is_source_translated().then(|| format!("src {}", end(reply, false)));
    let destination = flow.is_destination_translated().then(|| format!("dst {}", end(reply, true)));
    source.into_iter().chain(destination).collect::<Vec<_>>().join(", ")
}

const COLUMNS: usize = 10;
const NAMES: [&str; COLUMNS] = [
    "PROTO",
    "STATE",
    "SOURCE",
    "DESTINATION",
    "LEFT",
    "PACKETS",
    "BYTES",
    "MARK",
    "STATUS",
    "TRANSLATED TO",
];
/// Columns of numbers.
const RIGHT: [usize; 4] = [4, 5, 6, 7];
