//! The counters of a table: of each processor as `conntrack -S` shows them, or all together with what they mean.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tidegate_wire::netlink::stats;

use super::figures::Count;

/// The counters of each processor, by its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct PerCpu {
    /// Those of flows, in the order of [`stats::CONNTRACK`].
    pub(crate) flows: Vec<(u16, Vec<u32>)>,
    /// Those of expectations, in the order of [`stats::EXPECT`].
    pub(crate) expectations: Vec<(u16, Vec<u32>)>,
}

impl PerCpu {
    /// Writes a line for each processor.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write_lines(&self, out: &mut impl Write) -> io::Result<()> {
        for (cpu, values) in &self.flows {
            write!(out, "cpu={cpu:<4}\t")?;
            for (counter, value) in stats::CONNTRACK.iter().zip(values) {
                write!(out, "{}={value} ", counter.name)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// All processors together.
    pub(crate) fn totals(&self) -> Vec<(&'static str, u64)> {
        let sum = |rows: &[(u16, Vec<u32>)], index: usize| {
            rows.iter().map(|(_, values)| u64::from(values[index])).sum()
        };
        let flows = (0..).zip(stats::CONNTRACK).map(|(i, c)| (c.name, sum(&self.flows, i)));
        let expected = (0..).zip(stats::EXPECT).map(|(i, c)| (c.name, sum(&self.expectations, i)));
        flows.chain(expected).collect()
    }
}

/// How many packets had a fate for a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    /// The fate: `drop`, `invalid`.
    pub(crate) class: String,
    /// The reason's name.
    pub(crate) name: String,
    /// How many.
    pub(crate) count: u64,
}

/// All counters of a table together.
pub(crate) struct CounterPage {
    /// How many flows there are.
    pub(crate) entries: u32,
    /// How many there may be.
    pub(crate) max: Option<u32>,
    /// Why packets were dropped or called INVALID, if the table knows.
    pub(crate) reasons: Vec<Reason>,
    /// Counters and their names.
    pub(crate) now: Vec<(&'static str, u64)>,
    /// The same at an earlier time, and how long ago that was.
    pub(crate) before: Option<(Vec<(&'static str, u64)>, Duration)>,
}

#[derive(Serialize)]
struct JsonPage<'a> {
    entries: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    counters: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    reasons: &'a [Reason],
}

impl CounterPage {
    /// Writes a line for each counter, or an object.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write(&self, out: &mut impl Write, json: bool, meaning: bool) -> io::Result<()> {
        if json {
            return self.write_json(out);
        }
        let mut entries = Count(self.entries.into()).to_string();
        if let Some(max) = self.max.filter(|max| *max > 0) {
            let share = f64::from(self.entries) * 100.0 / f64::from(max);
            entries += &format!(" of {} ({share:.1} %)", Count(max.into()));
        }
        writeln!(out, "{:<15} {entries:>14}", "entries")?;
        for (index, (name, value)) in self.now.iter().enumerate() {
            write!(out, "{name:<15} {:>14}", Count(*value).to_string())?;
            if let Some(rate) = self.rate(index) {
                write!(out, " {:>14}", format!("{rate:.1}/s"))?;
            }
            match meaning_of(name).filter(|_| meaning) {
                Some(text) => writeln!(out, "  {text}")?,
                None => writeln!(out)?,
            }
        }
        for Reason { class, name, count } in self.reasons.iter().filter(|reason| reason.count > 0) {
            writeln!(out, "{:<30} {:>14}", format!("{class}.{name}"), Count(*count))?;
        }
        Ok(())
    }

    /// How much a second a counter grew. The counters are of 32 bits, and begin again at 0.
    fn rate(&self, index: usize) -> Option<f64> {
        let (before, elapsed) = self.before.as_ref()?;
        let grown = (self.now[index].1 as u32).wrapping_sub(before[index].1 as u32);
        Some(f64::from(grown) / elapsed.as_secs_f64().max(1e-3))
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let named = self.now.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
        let rates = |_: &_| {
            let rate = |index| Value::from((self.rate(index).unwrap_or(0.0) * 10.0).round() / 10.0);
            (0..)
                .zip(&self.now)
                .map(|(index, (name, _))| ((*name).to_owned(), rate(index)))
                .collect()
        };
        let page = JsonPage {
            entries: self.entries,
            max: self.max,
            counters: named.collect(),
            per_second: self.before.as_ref().map(rates),
            reasons: &self.reasons,
        };
        serde_json::to_writer(&mut *out, &page)?;
        writeln!(out)
    }
}

/// What a counter counts (`struct ip_conntrack_stat` and where Linux 6.18 increments it).
fn meaning_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "found" => "look-ups of a free port or tuple for NAT that met a flow; not those of packets",
        "invalid" => "packets that fit no flow and may begin none; rules see them as INVALID",
        "insert" => "flows that ctnetlink made; those that packets make are not counted",
        "insert_failed" => "flows dropped when they should enter: their tuple was taken meanwhile",
        "drop" => "packets dropped for want of room: the table is full, or no memory",
        "early_drop" => "flows without assurance that were evicted to make room for others",
        "error" => "ICMP errors and other packets with wrong lengths or checksums",
        "search_restart" => "look-ups begun anew because the table changed under them; harmless",
        "clash_resolve" => "packets that raced to make the same flow, and now share one",
        "chaintoolong" => "flows refused because too many hash to the same place",
        "expect_new" => "flows that were expected, and came",
        "expect_create" => "expectations that helpers made",
        "expect_delete" => "expectations that ended, met or not",
        _ => return None,
    })
}
