//! Counters at the end: those of `conntrack -S` under their names, those of expectations under the
//! kernel's, those of SYNPROXY under those of `/proc/net/stat/synproxy`, then dropped and INVALID packets by reason.

use std::io::{self, Write};

use serde::Serialize;
use tidegate_engine::expect::ExpectationStats;
use tidegate_engine::track::InvalidReason;
use tidegate_engine::verdict::DropReason;
use tidegate_gateway::replay::Replay;

/// All counters of a replay.
#[derive(Debug, Serialize)]
pub(crate) struct StatsReport {
    scenario: String,
    entries: usize,
    #[serde(serialize_with = "as_map")]
    conntrack: Vec<(&'static str, u64)>,
    #[serde(serialize_with = "as_map")]
    synproxy: Vec<(&'static str, u64)>,
    #[serde(serialize_with = "as_map")]
    drops: Vec<(&'static str, u64)>,
    #[serde(serialize_with = "as_map")]
    invalid: Vec<(&'static str, u64)>,
}

impl StatsReport {
    /// The counters as they are now.
    pub(crate) fn new(replay: &Replay) -> Self {
        let stats = replay.engine().stats();
        Self {
            scenario: replay.name().to_owned(),
            entries: replay.engine().count(),
            conntrack: [&stats.named()[..], &expectations(replay)].concat(),
            synproxy: stats.synproxy.named().to_vec(),
            drops: DropReason::NAMES.into_iter().zip(stats.drops).collect(),
            invalid: InvalidReason::NAMES.into_iter().zip(stats.invalid_reasons).collect(),
        }
    }

    /// Writes them as `name value` lines, or as a JSON object.
    pub(crate) fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        writeln!(out, "entries {}", self.entries)?;
        let named = |prefix: &'static str, list: &[(&'static str, u64)]| {
            let name = move |(name, value): &(&str, u64)| (format!("{prefix}{name}"), *value);
            list.iter().map(name).collect::<Vec<_>>()
        };
        let lists = [
            named("", &self.conntrack),
            named("synproxy.", &self.synproxy),
            named("dropped.", &self.drops),
            named("invalid.", &self.invalid),
        ];
        lists.concat().iter().try_for_each(|(name, value)| writeln!(out, "{name} {value}"))
    }
}

fn expectations(replay: &Replay) -> [(&'static str, u64); 3] {
    let ExpectationStats { new, create, delete } = replay.engine().expectation_stats();
    [("expect_new", new), ("expect_create", create), ("expect_delete", delete)]
}

fn as_map<S: serde::Serializer>(
    list: &[(&'static str, u64)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().copied())
}
