//! The judge: compares what a replay did with what the kernel did.
//!
//! A replay yields one JSON record per injected packet (`corpus/README.md`, "Records"). [`compare`]
//! holds them against the recorded ones under the normalisation rules that file lists: only what
//! the kernel itself leaves to chance may differ. The judge reads records and raw bytes alone and
//! shares no code with the engine, so that a fault there can't excuse itself here.

mod bytes;
mod compare;
mod copies;
mod decode;
mod events;
mod vary;

use std::fmt;

use serde_json::Value;

pub(crate) use self::bytes::hex;
use self::compare::Comparator;
use self::vary::Vary;
use crate::corpus::{self, CorpusError, Scenario};

/// Replays a scenario and returns its records, as [`compare`] takes them.
pub type Runner = dyn Fn(&Scenario) -> Vec<Value>;

/// Replays all scenarios of the built-in corpus whose name contains `filter` (all if it is empty)
/// and compares them. Prints the first difference of each scenario and a summary line.
#[must_use]
pub fn run_all(runner: &Runner, filter: &str) -> Summary {
    let mut summary = Summary::default();
    let scenarios = corpus::scenarios().unwrap_or_else(|error| {
        println!("{error}");
        Vec::new()
    });
    for scenario in scenarios.iter().filter(|scenario| scenario.name.contains(filter)) {
        let comparison = compare(scenario, &runner(scenario), Options::default());
        if let Some(first) = comparison.differences.first() {
            println!("{}: {first}", scenario.name);
        }
        summary.add(&comparison);
    }
    println!("{summary}");
    summary
}

/// Compares the records `actual` of a replay of `scenario` with the recorded ones.
///
/// Records that name another scenario are ignored. A record with `"final": true` is compared with
/// the state at the end; without one, the end is not compared.
#[must_use]
pub fn compare(scenario: &Scenario, actual: &[Value], options: Options) -> Comparison {
    match Recording::read(scenario) {
        Ok(recording) => {
            let comparator = Comparator::new(recording.vary, options.strict);
            let is_own = |record: &&Value| {
                record["scenario"].as_str().is_none_or(|name| name == scenario.name)
            };
            let own: Vec<&Value> = actual.iter().filter(is_own).collect();
            compare_records(comparator, &recording.records, recording.end.as_ref(), &own)
        }
        Err(error) => unreadable(&error),
    }
}

struct Recording {
    records: Vec<Value>,
    end: Option<Value>,
    vary: Vary,
}

impl Recording {
    fn read(scenario: &Scenario) -> Result<Self, CorpusError> {
        Ok(Self {
            records: scenario.json_lines("expected.jsonl")?,
            end: scenario.json("expected.final.json")?,
            vary: Vary::new(&scenario.json("vary.json")?.unwrap_or_default()),
        })
    }
}

fn compare_records(
    mut comparator: Comparator,
    expected: &[Value],
    end: Option<&Value>,
    actual: &[&Value],
) -> Comparison {
    let is_final = |record: &Value| record["final"] == true;
    let mut equal_packets = 0;
    for (index, record) in expected.iter().enumerate() {
        let same_index = |other: &&&Value| !is_final(other) && other["index"] == index;
        let found = actual.iter().rfind(same_index);
        if comparator.packet(index, record, found.copied()) {
            equal_packets += 1;
        }
    }
    for record in actual.iter().filter(|record| !is_final(record)) {
        comparator.known_index(record, expected.len());
    }
    if let (Some(end), Some(last)) = (end, actual.iter().rfind(|record| is_final(record))) {
        comparator.end(end, last);
    }
    let is_missing = actual.is_empty();
    let differences = comparator.into_differences();
    Comparison { packets: expected.len(), equal_packets, is_missing, differences }
}

/// A recording that can't be read equals nothing.
fn unreadable(error: &CorpusError) -> Comparison {
    let difference = Difference {
        index: None,
        field: "recording".to_owned(),
        expected: "a readable scenario".to_owned(),
        got: error.to_string(),
    };
    Comparison { packets: 0, equal_packets: 0, is_missing: false, differences: vec![difference] }
}

/// How severely to judge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Demand the optional fields of packet records too, instead of comparing only those present.
    pub strict: bool,
}

/// The judgement of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Packets of the scenario.
    pub packets: usize,
    /// Packets without any difference.
    pub equal_packets: usize,
    /// Whether the replay has no record of this scenario at all.
    pub is_missing: bool,
    /// All differences, in the order of the packets, those of the end last.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether the replay did what the kernel did.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }
}

/// One field that is not what the kernel made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The number of the packet from 0; `None` is the state at the end.
    pub index: Option<usize>,
    /// The path of the field in the record, such as `ct.reply.dport`.
    pub field: String,
    /// What the kernel did.
    pub expected: String,
    /// What the replay did.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "packet {index}: ")?,
            None => write!(f, "final: ")?,
        }
        write!(f, "{}: expected {}, got {}", self.field, self.expected, self.got)
    }
}

/// The judgement of many scenarios.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Scenarios compared.
    pub scenarios: usize,
    /// Those that are equal.
    pub equal: usize,
    /// Those the replay has no record of.
    pub missing: usize,
    /// Packets of all scenarios.
    pub packets: usize,
    /// Those without any difference.
    pub equal_packets: usize,
}

impl Summary {
    /// Counts one more scenario.
    pub fn add(&mut self, comparison: &Comparison) {
        self.scenarios += 1;
        self.equal += usize::from(comparison.is_equal());
        self.missing += usize::from(comparison.is_missing);
        self.packets += comparison.packets;
        self.equal_packets += comparison.equal_packets;
    }

    /// Whether scenarios were compared and all of them are equal.
    #[must_use]
    pub fn all_equal(&self) -> bool {
        self.scenarios > 0 && self.equal == self.scenarios
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scenarios, {} equal", self.scenarios, self.equal)?;
        if self.missing > 0 {
            write!(f, ", {} missing", self.missing)?;
        }
        write!(f, "; {} packets, {} equal", self.packets, self.equal_packets)
    }
}

#[cfg(test)]
mod tests;
