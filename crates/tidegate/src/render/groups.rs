//! Flows counted by some of their properties, the most frequent first.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::figures::{Brief, Bytes, Count};
use super::ranking::column_bytes;
use crate::client::{Counted, Flow, names};
use crate::flags::table::Column;

/// Counts of flows, by some columns.
pub(crate) struct Groups<'a> {
    columns: &'a [Column],
    groups: BTreeMap<Vec<u8>, Group>,
    flows: u64,
}

/// Flows that have the same values.
struct Group {
    values: Vec<Value>,
    flows: u64,
    counted: Counted,
}

impl<'a> Groups<'a> {
    /// No flows yet.
    pub(crate) fn new(columns: &'a [Column]) -> Self {
        Self { columns, groups: BTreeMap::new(), flows: 0 }
    }

    /// How many flows there are in all.
    pub(crate) fn flows(&self) -> u64 {
        self.flows
    }

    /// Counts a flow.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, now: u64) {
        let of = |column: &Column| column_bytes(*column, flow, now);
        let key = self.columns.iter().flat_map(of).collect();
        let group = self.groups.entry(key).or_insert_with(|| {
            let values = self.columns.iter().map(|column| value(*column, flow, now)).collect();
            Group { values, flows: 0, counted: Counted::default() }
        });
        group.flows += 1;
        self.flows += 1;
        let Counted { packets, bytes } = flow.counted().unwrap_or_default();
        group.counted.packets = group.counted.packets.saturating_add(packets);
        group.counted.bytes = group.counted.bytes.saturating_add(bytes);
    }

    /// Writes the largest groups, at most `limit`.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write(
        self,
        out: &mut impl Write,
        limit: Option<usize>,
        json: bool,
    ) -> io::Result<()> {
        let mut groups: Vec<_> = self.groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.flows));
        groups.truncate(limit.unwrap_or(usize::MAX));
        let names: Vec<String> = self.columns.iter().map(|column| name(*column)).collect();
        if json {
            return groups.iter().try_for_each(|group| group.write_json(out, &names));
        }
        write_columns(out, &names, &groups, self.flows)
    }
}

impl Group {
    fn write_json(&self, out: &mut impl Write, names: &[String]) -> io::Result<()> {
        let mut object: Map<String, Value> =
            names.iter().cloned().zip(self.values.iter().cloned()).collect();
        let Counted { packets, bytes } = self.counted;
        for (name, number) in [("flows", self.flows), ("packets", packets), ("bytes", bytes)] {
            object.insert(name.to_owned(), number.into());
        }
        serde_json::to_writer(&mut *out, &object)?;
        writeln!(out)
    }
}

fn write_columns(
    out: &mut impl Write,
    names: &[String],
    groups: &[Group],
    all: u64,
) -> io::Result<()> {
    let word = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> =
        groups.iter().map(|group| group.values.iter().map(word).collect()).collect();
    let width = |index: usize| {
        let of = |row: &Vec<String>| row[index].len();
        rows.iter().map(of).chain([names[index].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    write!(out, "{:>11}  {:>6}  {:>11}  {:>9}", "FLOWS", "SHARE", "PACKETS", "BYTES")?;
    for (name, width) in names.iter().zip(&widths) {
        write!(out, "  {:<width$}", name.to_uppercase())?;
    }
    writeln!(out)?;
    for (group, row) in groups.iter().zip(&rows) {
        let Counted { packets, bytes } = group.counted;
        let share = group.flows as f64 * 100.0 / all.max(1) as f64;
        write!(out, "{:>11}  {share:>5.1}%  ", Count(group.flows))?;
        write!(out, "{:>11}  {:>9}", Count(packets), Bytes(bytes))?;
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, "  {cell:<width$}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn name(column: Column) -> String {
    column.to_possible_value().map_or_else(String::new, |value| value.get_name().replace('-', "_"))
}

fn value(column: Column, flow: &Flow<'_>, now: u64) -> Value {
    let [original, reply] = &flow.tuples;
    let address = |address: Option<std::net::IpAddr>| Value::from(address.map(|a| a.to_string()));
    let span = |seconds: u64| Brief(Duration::from_secs(seconds)).to_string();
    match column {
        Column::Family => names::family(flow.family).into(),
        Column::Proto => match names::protocol(flow.proto()) {
            "unknown" => flow.proto().into(),
            name => name.into(),
        },
        Column::State => flow.state().into(),
        Column::Src => address(original.src),
        Column::Dst => address(original.dst),
        Column::ReplySrc => address(reply.src),
        Column::ReplyDst => address(reply.dst),
        Column::Sport => original.sport.into(),
        Column::Dport => original.dport.into(),
        Column::Timeout => flow.timeout.map(|left| span(left.into())).into(),
        Column::Age => flow.age(now).map(span).into(),
        Column::Packets => flow.counted().map(|sum| sum.packets).into(),
        Column::Bytes => flow.counted().map(|sum| sum.bytes).into(),
        Column::Mark => flow.mark.into(),
        Column::Zone => flow.zone.unwrap_or(0).into(),
        Column::Id => flow.id.into(),
    }
}
