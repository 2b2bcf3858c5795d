//! What a campaign found.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::kernel::{KernelError, Reading};
use super::settle::SHARP;
use super::trial::Trial;
use crate::corpus::Scenario;
use crate::oracle::Difference;

/// The figures of a campaign, and every difference.
#[derive(Debug, Default)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// How long it took.
    pub took: Duration,
    /// Experiments.
    pub scenarios: usize,
    /// Packets of all of them.
    pub packets: usize,
    /// Packets by conntrack state and verdict.
    pub classes: BTreeMap<String, usize>,
    /// Experiments that are equal with other times of packets than the likely ones, all of them within what was measured.
    pub reread: usize,
    /// Experiments that were judged until the router spoke to itself.
    pub shortened: usize,
    /// How long it was at worst between the earliest and the latest time at which the kernel may have seen a packet.
    pub widest: Duration,
    /// Times of packets that were measured too badly to settle anything.
    pub too_wide: usize,
    /// What differed.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(kernel: String) -> Self {
        Self { kernel, ..Self::default() }
    }

    pub(super) fn count(&mut self, trial: &Trial) {
        self.scenarios += 1;
        let judged = trial.judged_until.unwrap_or(trial.recorded.records.len());
        self.packets += judged;
        self.reread += usize::from(trial.is_reread && trial.differences.is_empty());
        self.shortened += usize::from(trial.judged_until.is_some());
        let widths = trial.recorded.readings.iter().map(Reading::width);
        self.too_wide += widths.clone().filter(|width| *width > SHARP).count();
        self.widest = self.widest.max(widths.max().unwrap_or_default());
        for record in &trial.recorded.records[..judged] {
            let state = record["ctstate"].as_str().unwrap_or("no state");
            let verdict = record["verdict"].as_str().unwrap_or_default();
            *self.classes.entry(format!("{state}, {verdict}")).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.packets += other.packets;
        self.reread += other.reread;
        self.shortened += other.shortened;
        self.widest = self.widest.max(other.widest);
        self.too_wide += other.too_wide;
        self.findings.extend(other.findings);
        for (class, count) in other.classes {
            *self.classes.entry(class).or_default() += count;
        }
    }
}

impl Report {
    /// Whether the engine did what the kernel did.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.scenarios > 0 && self.findings.iter().all(|finding| !finding.is_steady)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (class, count) in &self.classes {
            writeln!(f, "{count:>9} {class}")?;
        }
        let steady = self.findings.iter().filter(|finding| finding.is_steady).count();
        let unsteady = self.findings.len() - steady;
        write!(
            f,
            "Linux {}: {} scenarios, {} packets in {:.0} s; {steady} scenarios differ",
            self.kernel,
            self.scenarios,
            self.packets,
            self.took.as_secs_f64(),
        )?;
        if unsteady > 0 {
            write!(f, ", {unsteady} more did so once and not again")?;
        }
        let (reread, shortened) = (self.reread, self.shortened);
        write!(
            f,
            "; {reread} hung on the clock, {shortened} were judged until the router spoke to itself; \
             times are known within {} ms at worst, {} are too badly known to settle anything",
            self.widest.as_millis(),
            self.too_wide,
        )
    }
}

/// A difference between kernel and engine.
#[derive(Debug)]
pub struct Finding {
    /// The seed of the experiment.
    pub seed: u64,
    /// Whether it came again when the same packets were sent twice more. What doesn't come again
    /// hung on when they were sent.
    pub is_steady: bool,
    /// What differed first in the whole experiment.
    pub original: Option<Difference>,
    /// What differs first in the smallest.
    pub difference: Option<Difference>,
    /// The smallest experiment, recorded.
    pub scenario: Scenario,
    packets: Vec<String>,
}

impl Finding {
    pub(super) fn new(seed: u64, trial: &Trial, small: Trial, is_steady: bool) -> Self {
        let original = trial.differences.first().cloned();
        let difference = small.differences.first().cloned();
        let line = |record: &Value| {
            let text = |field: &str| record[field].as_str().unwrap_or("-").to_owned();
            let (side, packet) = (text("in"), text("pkt"));
            format!("{side} {packet} -> {} {}", text("ctstate"), text("verdict"))
        };
        let packets = small.recorded.records.iter().map(line).collect();
        let mut scenario = small.scenario;
        scenario.name = format!("seed-{seed}");
        let told = difference.as_ref().map(ToString::to_string).unwrap_or_default();
        let about = format!("Found by the campaign with seed {seed}: {told}\n");
        scenario.files.insert("about.txt".to_owned(), about.into_bytes());
        Self { seed, is_steady, original, difference, scenario, packets }
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), CampaignError> {
        let place = dir.join(&self.scenario.name);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| CampaignError::Save { path, error }
        };
        fs::create_dir_all(&place).map_err(failed(&place))?;
        for (file, bytes) in &self.scenario.files {
            let path = place.join(file);
            fs::write(&path, bytes).map_err(failed(&path))?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steady = if self.is_steady { "" } else { " (once, and not again)" };
        let Some(difference) = &self.difference else { return write!(f, "seed {}", self.seed) };
        writeln!(f, "seed {}{steady}: {difference}", self.seed)?;
        if let Some(original) = self.original.as_ref().filter(|d| Some(*d) != Some(difference)) {
            writeln!(f, "  before shrinking: {original}")?;
        }
        for file in ["sysctl.conf", "topology.conf", "rules.v4", "rules.v6", "control.jsonl"] {
            if let Ok(Some(text)) = self.scenario.text(file) {
                text.lines().try_for_each(|line| writeln!(f, "  {file}: {line}"))?;
            }
        }
        let shown = self.packets.len().min(SHOWN);
        let first = self.packets.len() - shown;
        for (index, packet) in self.packets.iter().enumerate().skip(first) {
            writeln!(f, "  packet {index}: {packet}")?;
        }
        Ok(())
    }
}

/// Why a campaign ended early.
#[derive(Debug)]
pub enum CampaignError {
    /// The kernel gave no answer.
    Kernel(KernelError),
    /// A difference can't be saved.
    Save {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The campaign itself is at fault.
    Panic,
}

impl From<KernelError> for CampaignError {
    fn from(error: KernelError) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for CampaignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(f, "{error}"),
            Self::Save { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Panic => f.write_str("the campaign panicked"),
        }
    }
}

impl std::error::Error for CampaignError {}

/// Packets of a difference that are shown: the last ones are those that count.
const SHOWN: usize = 12;
