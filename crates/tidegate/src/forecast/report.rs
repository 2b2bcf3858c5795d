//! What a study found, for people and for machines.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::memory::Memory;
use super::{Bounds, Change, Findings, Study};
use crate::render::figures::{Brief, Count, Utc};
use crate::render::plot::{Line, Plot};

/// The sizes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sizes {
    /// `nf_conntrack_max`; `None`: no limit, or not known.
    pub(crate) max: Option<u64>,
    /// `nf_conntrack_buckets`.
    pub(crate) buckets: Option<u64>,
}

/// One setting that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// Its name behind `net.netfilter.nf_conntrack_`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) before: Option<u64>,
    /// What it would be.
    pub(crate) after: u64,
}

/// What would be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// When the table was listed, in nanoseconds since 1970.
    pub(crate) time: u64,
    /// Which table.
    pub(crate) table: String,
    /// What would change.
    pub(crate) settings: Vec<Setting>,
    /// How many come for each that ends.
    pub(crate) growth: f64,
    /// The sizes: as they are, as they would be.
    pub(crate) sizes: [Sizes; 2],
    /// What was found.
    #[serde(flatten)]
    pub(crate) findings: Findings,
    /// Flows of each class.
    pub(crate) classes: Vec<ClassRow>,
    /// What an entry takes.
    pub(crate) memory: Memory,
    /// When the limit is reached, in seconds: as it is, by the settings alone, with the idle ones gone.
    pub(crate) full_in: [Option<u64>; 3],
    /// Flows that find no room at the worst moment, and of new flows then the share that gets an unassured one's place.
    pub(crate) excess: [f64; 3],
    /// That share; the others are refused.
    pub(crate) evicting: f64,
    /// What was recorded before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<Then>,
}

/// A recorded table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Then {
    /// When, in nanoseconds since 1970.
    pub(crate) time: u64,
    /// Flows that there were.
    pub(crate) before: u64,
    /// Flows that there would have been.
    pub(crate) after: Bounds,
    /// How many there might have been.
    pub(crate) max: Option<u64>,
}

/// A class of flows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ClassRow {
    proto: &'static str,
    state: &'static str,
    before: u64,
    after: Bounds,
}

impl Report {
    /// That of a study.
    pub(crate) fn new(
        study: &Study,
        (time, table): (u64, String),
        settings: Vec<Setting>,
        sizes: [Sizes; 2],
        memory: Memory,
    ) -> Self {
        let findings = study.findings();
        let row = |((proto, state), change): ((&'static str, &'static str), Change)| {
            let Change { before, after } = change;
            ClassRow { proto, state, before, after }
        };
        let lines = lines(&findings);
        let limits = [sizes[0].max, sizes[1].max, sizes[1].max];
        let full = |index: usize| first_over(&findings, &lines[index], limits[index]);
        let over = |index: usize| {
            let highest = lines[index].iter().copied().fold(0.0, f64::max);
            limits[index].map_or(0.0, |max| (highest - max as f64).max(0.0))
        };
        Self {
            time,
            table,
            settings,
            growth: study.question.growth,
            sizes,
            classes: study.classes().map(row).collect(),
            memory,
            full_in: [0, 1, 2].map(full),
            excess: [0, 1, 2].map(over),
            evicting: evicting(findings.unassured, sizes[1].buckets),
            history: Vec::new(),
            findings,
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Findings { before, after, .. } = &self.findings;
        let share = |flows: f64, sizes: Sizes| match sizes.max {
            Some(max) if max > 0 => {
                format!(" ({:.0} % of {})", flows * 100.0 / max as f64, Count(max))
            }
            _ => String::new(),
        };
        writeln!(out, "TABLE     {} at {}", self.table, Utc(self.time))?;
        for Setting { name, before, after } in &self.settings {
            let before = before.map_or_else(|| "?".to_owned(), |value| value.to_string());
            writeln!(out, "SET       {name} {before} -> {after}")?;
        }
        writeln!(
            out,
            "AS IS     {} flows{}",
            Count(*before),
            share(*before as f64, self.sizes[0])
        )?;
        writeln!(
            out,
            "THEN      {} flows{}, had it been so all along",
            Range(*after),
            share(after.most, self.sizes[1])
        )?;
        self.write_classes(out)?;
        writeln!(out)?;
        if self.history.len() > 1 {
            self.plot_of_history().write_text(out)?;
            self.write_history(out)?;
        }
        self.plot_from_now().write_text(out)?;
        writeln!(out)?;
        self.write_room(out)?;
        self.write_ports(out)?;
        self.write_memory(out)?;
        self.write_assumptions(out)
    }

    fn write_classes(&self, out: &mut impl Write) -> io::Result<()> {
        let mut rows: Vec<_> = self.classes.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.before));
        for ClassRow { proto, state, before, after } in rows.into_iter().take(CLASSES) {
            let name = format!("{proto} {state}");
            writeln!(out, "          {name:<22} {:>12} -> {}", Count(*before), Range(*after))?;
        }
        Ok(())
    }

    fn write_room(&self, out: &mut impl Write) -> io::Result<()> {
        for (index, name) in NAMES.iter().enumerate() {
            let Some(seconds) = self.full_in[index] else { continue };
            let over = match self.excess[index].round() as u64 {
                0 => "just full".to_owned(),
                over => format!("up to {} flows find no room", Count(over)),
            };
            let evicted = self.evicting * 100.0;
            let when = match seconds {
                0 => "now".to_owned(),
                _ => format!("in {}", Brief(Duration::from_secs(seconds))),
            };
            writeln!(
                out,
                "FULL      {name}: {when}; {over}: {evicted:.0} % of new ones take an \
                 unassured one's place, {:.0} % are refused",
                100.0 - evicted
            )?;
        }
        if self.full_in.iter().all(Option::is_none) && self.sizes[1].max.is_some() {
            writeln!(out, "FULL      never in this time: nothing is evicted, nothing refused")?;
        }
        Ok(())
    }

    fn write_ports(&self, out: &mut impl Write) -> io::Result<()> {
        for port in &self.findings.ports {
            writeln!(
                out,
                "PORTS     {} to {} port {} {}: {} -> {} of {}",
                port.external,
                port.destination,
                port.port,
                port.proto,
                Count(port.before),
                Count(port.after),
                Count(port.of)
            )?;
        }
        Ok(())
    }

    fn write_memory(&self, out: &mut impl Write) -> io::Result<()> {
        let [before, after] = self.memory_of();
        let mebi = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        let source = if self.memory.is_measured {
            "of /proc/slabinfo"
        } else {
            "assumed: slabinfo is not readable"
        };
        writeln!(
            out,
            "MEMORY    {} -> {} ({} B an entry, {source}; 8 B a bucket; extensions not counted)",
            mebi(before),
            mebi(after),
            self.memory.entry
        )
    }

    /// Bytes, as it is and as it would be.
    fn memory_of(&self) -> [u64; 2] {
        let flows = [self.findings.before as f64, self.findings.after.most];
        [0, 1].map(|index| self.memory.of(flows[index], self.sizes[index].buckets.unwrap_or(0)))
    }

    fn write_assumptions(&self, out: &mut impl Write) -> io::Result<()> {
        let growth = match self.growth {
            0.0 => "no flow comes".to_owned(),
            1.0 => "as many flows come as end".to_owned(),
            growth => format!("{growth} come for each that ends"),
        };
        writeln!(
            out,
            "ASSUMES   {growth}; flows keep their classes' timeouts; see docs/what-if.md"
        )?;
        if self.findings.vague > 0 {
            let vague = Count(self.findings.vague);
            writeln!(out, "          of {vague} flows the idle time is only known within bounds")?;
        }
        Ok(())
    }

    /// How often the table was full, and would have been.
    fn write_history(&self, out: &mut impl Write) -> io::Result<()> {
        let is_full = |flows: f64, then: &Then| then.max.is_some_and(|max| flows >= max as f64);
        let before = self.history.iter().filter(|then| is_full(then.before as f64, then)).count();
        let after = self.history.iter().filter(|then| is_full(then.after.most, then)).count();
        let count = self.history.len();
        writeln!(
            out,
            "RECORDED  of {count} snapshots {before} held as many as there may be then; {after} would have\n"
        )
    }

    /// The most flows that there would be, of what is known.
    pub(crate) fn peak(&self) -> (u64, f64) {
        let first = (self.findings.before, self.findings.after.most);
        self.history.iter().fold(first, |(before, after), then| {
            (before.max(then.before), after.max(then.after.most))
        })
    }

    /// What was recorded, or the table from now on.
    pub(crate) fn plot(&self) -> Plot {
        if self.history.len() > 1 { self.plot_of_history() } else { self.plot_from_now() }
    }

    fn plot_of_history(&self) -> Plot {
        let of = |index: usize, name: &str, points: Vec<f64>| {
            let (mark, colour) = LOOKS[index];
            Line { name: name.to_owned(), mark, colour, points }
        };
        let (before, after) =
            self.history.iter().map(|then| (then.before as f64, then.after.most)).unzip();
        let ends = [self.history.first(), self.history.last()];
        let limit = self.sizes[1].max.map(|max| ("max".to_owned(), max as f64));
        Plot {
            title: format!("{}, recorded", self.table),
            ends: ends.map(|then| then.map_or_else(String::new, |then| Utc(then.time).to_string())),
            lines: vec![of(0, "as it was", before), of(2, "with the settings", after)],
            limit,
        }
    }

    fn plot_from_now(&self) -> Plot {
        let last = self.findings.points.last().map_or(0, |point| point.seconds);
        let lines = lines(&self.findings).into_iter().zip(NAMES.into_iter().zip(LOOKS));
        let line = |(points, (name, (mark, colour))): (Vec<f64>, (&str, (char, &'static str)))| {
            Line { name: name.to_owned(), mark, colour, points }
        };
        let limit = self.sizes[1].max.map(|max| ("max".to_owned(), max as f64));
        Plot {
            title: format!("{} from {} on", self.table, Utc(self.time)),
            ends: ["now".to_owned(), format!("in {}", Brief(Duration::from_secs(last)))],
            lines: lines.map(line).collect(),
            limit,
        }
    }
}

/// A number within bounds, as people read it.
struct Range(Bounds);

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Bounds { least, most } = self.0;
        let (least, most) = (least.round() as u64, most.round() as u64);
        if least == most {
            return write!(f, "{}", Count(most));
        }
        write!(f, "{} to {}", Count(least), Count(most))
    }
}

/// The occupancies over time: as it is, by the settings alone, with the idle ones gone; each at most.
fn lines(findings: &Findings) -> [Vec<f64>; 3] {
    let points = &findings.points;
    [
        points.iter().map(|point| point.before).collect(),
        points.iter().map(|point| point.alone.most).collect(),
        points.iter().map(|point| point.after.most).collect(),
    ]
}

fn first_over(findings: &Findings, line: &[f64], max: Option<u64>) -> Option<u64> {
    let max = max.filter(|max| *max > 0)? as f64;
    let index = line.iter().position(|flows| *flows >= max)?;
    findings.points.get(index).map(|point| point.seconds)
}

/// The share of new flows that find an unassured one in the eight buckets that Linux looks at (`early_drop`), if those
/// are spread evenly; each flow stands in two buckets.
fn evicting(unassured: u64, buckets: Option<u64>) -> f64 {
    let Some(buckets) = buckets.filter(|buckets| *buckets > 0) else { return 0.0 };
    let missed = (1.0 - SCANNED / buckets as f64).max(0.0);
    let entries = i32::try_from(unassured.saturating_mul(2)).unwrap_or(i32::MAX);
    1.0 - missed.powi(entries)
}

const NAMES: [&str; 3] = ["as is", "settings alone", "settings and idle ones drained"];
const LOOKS: [(char, &str); 3] = [('*', "#888888"), ('o', "#ee8800"), ('+', "#0066cc")];
const SCANNED: f64 = 8.0;
const CLASSES: usize = 6;
