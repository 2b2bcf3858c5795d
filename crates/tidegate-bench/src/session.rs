//! A session: one family and one size, its references, and the rows that were measured so far.

use core::cell::Cell;

use serde::Serialize;
use tidegate_gateway::memory;
use tidegate_wire::Family;

use crate::reference::References;
use crate::rows::RowName;
use crate::subject::{Pass, Subject};

/// One line of the result.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Row {
    /// Its name.
    pub row: &'static str,
    /// `ipv4` or `ipv6`.
    pub family: &'static str,
    /// Flows in the table.
    pub flows: u32,
    /// Nanoseconds per item: packet, connection, look-up or flow, as the row's description says.
    pub ns: Option<f64>,
    /// The physical limit of that size, measured in turns with the row.
    pub limit_ns: Option<f64>,
    /// The floor of that size and family, measured in turns with the row.
    pub floor_ns: Option<f64>,
    /// `ns / limit_ns`.
    pub ratio_limit: Option<f64>,
    /// `ns / floor_ns`.
    pub ratio_floor: Option<f64>,
    /// Items per second, on one core.
    pub per_second: Option<f64>,
    /// The row's own comparison: see its description.
    pub ratio: Option<f64>,
    /// Of an attack: compared with as many packets of flows that nobody chose.
    pub ratio_random: Option<f64>,
    /// Resident memory per flow, all of the engine included.
    pub bytes_per_flow: Option<f64>,
    /// Allocations per item.
    pub allocs: Option<f64>,
    /// The slowest burst of 128 packets.
    pub slowest_burst_ns: Option<f64>,
    /// The slowest burst if each counts with the least of its times in several runs: what the work itself takes.
    pub slowest_burst_always_ns: Option<f64>,
    /// The slowest of as many stretches of arithmetic, each as long as the median burst: the machine's share.
    pub slowest_spin_ns: Option<f64>,
    /// The median burst.
    pub median_burst_ns: Option<f64>,
    /// What else there is to say.
    pub note: Option<String>,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Items a pass.
    pub items: u64,
    /// Passes, of which the median counts.
    pub passes: usize,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Plea {
    /// Words, one of which a row's name must contain; of none all rows.
    pub rows: Vec<String>,
    /// How much is measured.
    pub effort: Effort,
}

impl Plea {
    /// Whether a row is asked for.
    #[must_use]
    pub fn wants(&self, name: RowName) -> bool {
        let name = name.as_str();
        let is_name = |word: &String| RowName::ALL.iter().any(|row| row.as_str() == word);
        self.rows.is_empty()
            || self
                .rows
                .iter()
                .any(|word| if is_name(word) { name == word } else { name.contains(word) })
    }
}

/// The measurements of one family and size.
pub struct Session<'a> {
    /// The family.
    pub family: Family,
    /// How many flows.
    pub flows: u32,
    /// What is asked for.
    pub plea: &'a Plea,
    references: References,
    report: &'a mut dyn FnMut(Row),
    bytes: Cell<Option<f64>>,
}

impl<'a> Session<'a> {
    /// Builds the references. Where memory is short they are measured once and leave.
    pub fn new(family: Family, flows: u32, plea: &'a Plea, report: &'a mut dyn FnMut(Row)) -> Self {
        let references = References::new(family, flows, is_roomy(flows), plea.effort);
        Self { family, flows, plea, references, report, bytes: Cell::new(None) }
    }

    /// Whether any of these rows is asked for.
    #[must_use]
    pub fn wants(&self, names: &[RowName]) -> bool {
        names.iter().any(|name| self.plea.wants(*name))
    }

    /// Builds a table of the session's flows and remembers what it weighs per flow; of the first one
    /// it says what kind of memory it is in.
    pub fn weigh<T>(&self, build: impl FnOnce() -> T) -> T {
        let (built, grown) = crate::residence::weigh(build);
        let is_first = self.bytes.get().is_none();
        self.bytes.set(grown.map(|bytes| bytes as f64 / f64::from(self.flows)));
        if is_first {
            eprintln!("{}", memory::status());
        }
        built
    }

    /// What the table weighed last weighs per flow.
    #[must_use]
    pub fn bytes_per_flow(&self) -> Option<f64> {
        self.bytes.get()
    }

    /// Measures a subject beside the references.
    pub fn measure(&mut self, subject: &mut dyn Subject) -> Pass {
        self.measure_all(&mut [subject])[0]
    }

    /// Measures subjects in turns with each other and the references.
    pub fn measure_all(&mut self, subjects: &mut [&mut dyn Subject]) -> Vec<Pass> {
        self.references.beside(subjects, self.plea.effort)
    }

    /// A row with what was measured, and the references' figures.
    #[must_use]
    pub fn row(&self, name: RowName, pass: Pass) -> Row {
        let [limit, floor] = self.references.figures();
        Row {
            row: name.as_str(),
            family: family_name(self.family),
            flows: self.flows,
            ns: Some(pass.ns),
            limit_ns: Some(limit),
            floor_ns: Some(floor),
            ratio_limit: Some(pass.ns / limit),
            ratio_floor: Some(pass.ns / floor),
            per_second: Some(1e9 / pass.ns),
            allocs: Some(pass.allocs),
            ..Row::default()
        }
    }

    /// Hands a finished row on.
    pub fn report(&mut self, row: Row) {
        (self.report)(row);
    }

    /// Measures a subject and reports it, if its row is asked for.
    pub fn record(&mut self, name: RowName, subject: &mut dyn Subject, bytes: Option<f64>) {
        if self.plea.wants(name) {
            let pass = self.measure(subject);
            let row = self.row(name, pass);
            self.report(Row { bytes_per_flow: bytes, ..row });
        }
    }
}

/// `ipv4` or `ipv6`.
#[must_use]
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Whether there is room for several tables of that many flows at once.
#[must_use]
pub fn is_roomy(flows: u32) -> bool {
    flows <= 20_000_000
}
