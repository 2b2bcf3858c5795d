//! Rows as cells of text.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tidegate_wire::netlink::Tuple;

use crate::client::names;
use crate::render::figures::{Brief, Bytes, Count};
use crate::top::column::{Column, Rate};
use crate::top::group::{By, Group, GroupKey};
use crate::top::state::State;
use crate::top::survey::{FlowRow, GroupRow, Rows};

/// Rows under their titles.
pub(super) struct Grid {
    /// The titles.
    pub(super) titles: Vec<Title>,
    /// The rows that are in sight.
    pub(super) rows: Vec<Vec<String>>,
}

/// What stands above a column of the screen.
pub(super) struct Title {
    /// Its words.
    pub(super) text: String,
    /// What is sorted by that can be seen here.
    pub(super) columns: &'static [Column],
    /// Whether it is flush right.
    pub(super) is_number: bool,
}

/// The rows that are in sight.
pub(super) fn grid(state: &State) -> Grid {
    match state.snapshot.as_ref().map(|snapshot| &snapshot.rows) {
        None => Grid { titles: Vec::new(), rows: Vec::new() },
        Some(Rows::Flows(rows)) => flows(state, in_sight(state, rows)),
        Some(Rows::Groups(rows, ..)) => {
            let by = state.snapshot.as_ref().and_then(|snapshot| snapshot.question.by);
            groups(state, by.unwrap_or(By::Source), in_sight(state, rows))
        }
    }
}

/// A flow in words.
pub(crate) fn in_words(row: &FlowRow) -> String {
    let [original, _] = &row.tuples;
    let end = |source| end(original, source, &|address| address.to_string());
    format!("{} {} > {} {}", protocol(row.proto), end(true), end(false), row.state)
}

fn in_sight<'a, T>(state: &State, rows: &'a [T]) -> &'a [T] {
    let first = state.offset.min(rows.len());
    &rows[first..(first + state.page).min(rows.len())]
}

fn flows(state: &State, rows: &[FlowRow]) -> Grid {
    let has_marks = rows.iter().any(|row| row.mark != 0);
    let has_zones = rows.iter().any(|row| row.zone != 0);
    let mut titles = vec![
        text("SOURCE", &[Column::Source, Column::SourcePort]),
        text("DESTINATION", &[Column::Destination, Column::DestinationPort]),
        text("PROTO", &[Column::Protocol]),
        text("STATE", &[Column::State]),
        number("LEFT", &[Column::Left]),
    ];
    titles.extend(traffic_titles(state.counters));
    titles.extend(has_marks.then(|| number("MARK", &[Column::Mark])));
    titles.extend(has_zones.then(|| number("ZONE", &[Column::Zone])));
    titles.push(text("TRANSLATED TO", &[]));
    let cells = |row: &FlowRow| {
        let [original, _] = &row.tuples;
        let named = |address: IpAddr| name(state, address);
        let mut cells = vec![
            end(original, true, &named),
            end(original, false, &named),
            protocol(row.proto),
            row.state.to_owned(),
            row.left.map_or_else(nothing, |left| span(left.into())),
        ];
        let counted = row.counted.map(|sum| (sum.packets, sum.bytes));
        cells.extend(traffic(state.counters, counted, row.rate));
        cells.extend(has_marks.then(|| format!("{:#x}", row.mark)));
        cells.extend(has_zones.then(|| row.zone.to_string()));
        cells.push(translated(row, &named));
        cells
    };
    Grid { titles, rows: rows.iter().map(cells).collect() }
}

fn groups(state: &State, by: By, rows: &[GroupRow]) -> Grid {
    let all = state.snapshot.as_ref().map_or(0, |snapshot| snapshot.totals.all.flows);
    let mut titles = vec![
        text(by.title(), &[Column::Source]),
        number("FLOWS", &[Column::Flows]),
        number("SHARE", &[Column::Flows]),
        number("UNREPLIED", &[Column::Unreplied]),
        number("FLOWS/S", &[Column::Growth]),
    ];
    titles.extend(traffic_titles(state.counters));
    let cells = |row: &GroupRow| {
        let Group { flows, unreplied, counted, rate, growth } = &row.group;
        let mut cells = vec![
            group(state, row),
            Count(*flows).to_string(),
            format!("{:.1} %", *flows as f64 * 100.0 / all.max(1) as f64),
            Count(*unreplied).to_string(),
            growth.map_or_else(nothing, |growth| format!("{growth:+.1}")),
        ];
        let counted = Some((counted.packets, counted.bytes)).filter(|counted| *counted != (0, 0));
        cells.extend(traffic(state.counters, counted, *rate));
        cells
    };
    Grid { titles, rows: rows.iter().map(cells).collect() }
}

fn traffic_titles(counters: bool) -> Vec<Title> {
    let sums = [number("PACKETS", &[Column::Packets]), number("BYTES", &[Column::Bytes])];
    let rates =
        [number("PACKETS/S", &[Column::PacketRate]), number("BYTES/S", &[Column::ByteRate])];
    sums.into_iter().filter(|_| counters).chain(rates).collect()
}

fn traffic(counters: bool, counted: Option<(u64, u64)>, rate: Option<Rate>) -> Vec<String> {
    let sums = [
        counted.map_or_else(nothing, |(packets, _)| Count(packets).to_string()),
        counted.map_or_else(nothing, |(_, bytes)| Bytes(bytes).to_string()),
    ];
    let rates = [
        rate.map_or_else(nothing, |rate| Count(rate.packets.round() as u64).to_string()),
        rate.map_or_else(nothing, |rate| Bytes(rate.bytes.round() as u64).to_string()),
    ];
    sums.into_iter().filter(|_| counters).chain(rates).collect()
}

fn group(state: &State, row: &GroupRow) -> String {
    match row.key {
        GroupKey::Address(address) => name(state, address),
        GroupKey::Port(proto, Some(port)) => format!("{} {port}", protocol(proto)),
        GroupKey::Port(proto, None) => protocol(proto),
        GroupKey::State(proto, state) => format!("{} {state}", protocol(proto)),
        GroupKey::Owner(_) => row.owner.clone().unwrap_or_else(nothing),
        GroupKey::Zone(zone) => zone.to_string(),
        GroupKey::Unknown => "(nobody here)".to_owned(),
    }
}

/// An end of a tuple: address and port, or ICMP's type.
fn end(tuple: &Tuple, is_source: bool, named: &dyn Fn(IpAddr) -> String) -> String {
    let (address, port) =
        if is_source { (tuple.src, tuple.sport) } else { (tuple.dst, tuple.dport) };
    let Some(address) = address else { return nothing() };
    let shown = named(address);
    let is_plain = shown == address.to_string();
    match (port, tuple.icmp.filter(|_| is_source)) {
        (Some(port), _) if is_plain => SocketAddr::new(address, port).to_string(),
        (Some(port), _) => format!("{shown}:{port}"),
        (None, Some(icmp)) => format!("{shown} id {}", icmp.id.unwrap_or(0)),
        (None, None) => shown,
    }
}

fn translated(row: &FlowRow, named: &dyn Fn(IpAddr) -> String) -> String {
    let [source, destination] = row.is_translated;
    let reply = &row.tuples[1];
    let source = source.then(|| format!("src {}", end(reply, false, named)));
    let destination = destination.then(|| format!("dst {}", end(reply, true, named)));
    source.into_iter().chain(destination).collect::<Vec<_>>().join(", ")
}

fn name(state: &State, address: IpAddr) -> String {
    let known = state.names.get(&address).filter(|_| state.lookup).cloned().flatten();
    known.unwrap_or_else(|| address.to_string())
}

fn protocol(number: u8) -> String {
    match names::protocol(number) {
        "unknown" => number.to_string(),
        name => name.to_owned(),
    }
}

fn span(seconds: u64) -> String {
    Brief(Duration::from_secs(seconds)).to_string()
}

fn nothing() -> String {
    "-".to_owned()
}

fn text(text: &str, columns: &'static [Column]) -> Title {
    Title { text: text.to_owned(), columns, is_number: false }
}

fn number(text: &str, columns: &'static [Column]) -> Title {
    Title { text: text.to_owned(), columns, is_number: true }
}
