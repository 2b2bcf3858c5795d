//! The checks, one file each: what is looked at, what it means, what to do about it. They read [`Facts`] and nothing
//! else.

mod chains;
mod cilium;
mod clashes;
mod drift;
mod elsewhere;
mod established;
mod expectations;
mod half_open;
mod invalid;
mod memory;
mod namespaces;
mod notrack;
mod offload;
mod origin;
mod ports;
mod room;
mod source;
mod stale;
mod time_wait;
mod timeouts;
mod unreplied;

use serde::Serialize;

use super::advice::Step;
use super::facts::Facts;

/// How bad it is, in the order of the monitoring plugins' exit status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Worth knowing, not worth waking anybody.
    #[default]
    Note,
    /// It will hurt, or hurts a little.
    Warning,
    /// It hurts.
    Critical,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Finding {
    /// The check's name.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// What is wrong, in a few words.
    pub(crate) symptom: String,
    /// By which figures.
    pub(crate) evidence: Vec<String>,
    /// Who does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) culprit: Option<String>,
    /// What to do.
    pub(crate) steps: Vec<Step>,
    /// What not to do.
    pub(crate) donts: Vec<String>,
}

/// What became of a check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It found something.
    Found(Finding),
    /// It is not that, by this figure; empty if nobody asks.
    Clear(String),
    /// What it needs could not be seen.
    Blind,
}

/// A check.
pub(crate) type Check = fn(&Facts) -> Outcome;

/// What a check is about: of flows that nobody showed us it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The flows of the table.
    Flows,
    /// Counters, settings and surroundings.
    Rest,
}

/// All of them, those first that explain others.
pub(crate) const CHECKS: [(&str, Subject, Check); 21] = [
    ("table", Subject::Rest, room::check),
    ("namespace", Subject::Rest, namespaces::check),
    ("ports", Subject::Flows, ports::check),
    ("stale-dnat", Subject::Flows, stale::check),
    ("expectations", Subject::Rest, expectations::check),
    ("established", Subject::Flows, established::check),
    ("unreplied", Subject::Flows, unreplied::check),
    ("half-open", Subject::Flows, half_open::check),
    ("time-wait", Subject::Flows, time_wait::check),
    ("source", Subject::Flows, source::check),
    ("elsewhere", Subject::Rest, elsewhere::check),
    ("cilium", Subject::Rest, cilium::check),
    ("chains", Subject::Rest, chains::check),
    ("clashes", Subject::Rest, clashes::check),
    ("invalid", Subject::Rest, invalid::check),
    ("drift", Subject::Flows, drift::check),
    ("offload", Subject::Flows, offload::check),
    ("memory", Subject::Rest, memory::check),
    ("timeouts", Subject::Rest, timeouts::check),
    ("notrack", Subject::Flows, notrack::check),
    ("origin", Subject::Rest, origin::check),
];

/// A share of the table's limit that is worth a word: 10 %.
fn is_large(facts: &Facts, flows: u64) -> bool {
    facts.share(flows) >= 100
}

impl Facts {
    /// A number of flows in thousandths of what the table may hold, or holds if there is no limit.
    pub(crate) fn share(&self, flows: u64) -> u64 {
        let whole = self.room.max.unwrap_or(self.room.count).max(1);
        self.estimate(flows).saturating_mul(1000) / whole
    }

    /// How many a number of flows that were listed stands for: of a part, which is a sample, for more, unless that is
    /// too small to stand for anything but itself.
    pub(crate) fn estimate(&self, flows: u64) -> u64 {
        let (seen, count) = (self.census.seen.max(1), self.room.count);
        if self.census.is_partial && seen >= SAMPLE && count > seen {
            flows.saturating_mul(count) / seen
        } else {
            flows
        }
    }

    /// How bad it is that so many flows of a kind are in the table: that hangs on how full it is.
    fn severity_of(&self, flows: u64) -> Severity {
        match (self.room.permille(), self.share(flows)) {
            (Some(990..), 250..) => Severity::Critical,
            (Some(800..), 100..) | (_, 250..) => Severity::Warning,
            _ => Severity::Note,
        }
    }
}

/// Flows of which a share is known to 3 % of the whole.
const SAMPLE: u64 = 1000;

/// Thousandths as a percentage: `72.9 %`.
pub(crate) fn percent(permille: u64) -> String {
    format!("{}.{} %", permille / 10, permille % 10)
}
