//! An experiment: rules, settings and steps, before anybody was asked what becomes of them.
//!
//! It is what the grammar makes, what the recorder runs, what shrinking takes things away from,
//! and, as files, the input half of a scenario.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::example::frame::{capture_head, write_frame};

/// Everything but the packets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Experiment {
    /// The name of the scenario it becomes.
    pub(crate) name: String,
    /// Rules of both families, IPv4 first.
    pub(crate) rules: [Option<Ruleset>; 2],
    /// Settings by full name, in order.
    pub(crate) settings: Vec<(String, String)>,
    /// MTUs of ports, by their names, where they aren't the usual ones.
    pub(crate) mtus: Vec<(&'static str, u32)>,
}

/// One packet, and what comes before it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// How long nothing happens first.
    pub(crate) pause: Duration,
    /// What an operator does first.
    pub(crate) actions: Vec<Action>,
    /// Where the packet enters.
    pub(crate) side: Side,
    /// From the IP header on.
    pub(crate) datagram: Vec<u8>,
    /// Fields that follow what an earlier packet became.
    pub(crate) patches: Vec<Patch>,
}

/// A port of the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Side {
    /// `in0`.
    Lan,
    /// `out0`.
    Wan,
}

impl Side {
    /// 0 or 1.
    #[must_use]
    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::Wan)
    }

    /// The other one.
    #[must_use]
    pub(crate) fn opposite(self) -> Self {
        if self == Self::Lan { Self::Wan } else { Self::Lan }
    }

    /// Its name in records.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        if self == Self::Lan { "lan" } else { "wan" }
    }

    /// The frame of a datagram that enters here.
    #[must_use]
    pub(crate) fn frame(self, datagram: &[u8]) -> Vec<u8> {
        let port = self.index() as u8 + 1;
        let is_v6 = datagram.first().is_some_and(|byte| byte >> 4 == 6);
        let ethertype: [u8; 2] = if is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] };
        [&[2, 0, 0, 0, port, 1, 2, 0, 0, 0, port, 2], &ethertype[..], datagram].concat()
    }
}

/// What an operator does in the middle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Writes a setting.
    Set {
        /// Its full name.
        key: String,
        /// Its value.
        value: String,
    },
    /// Deletes all entries.
    Flush,
}

impl Action {
    fn value(&self, before: usize) -> Value {
        match self {
            Self::Set { key, value } => {
                json!({"before": before, "op": "sysctl", "key": key, "value": value})
            }
            Self::Flush => json!({"before": before, "op": "flush"}),
        }
    }
}

/// A field of a packet that follows the output of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Which field of the packet.
    pub(crate) set: &'static str,
    /// The number of the earlier packet.
    pub(crate) step: usize,
    /// Which of its outputs.
    pub(crate) out: usize,
    /// Which field of that.
    pub(crate) field: &'static str,
}

/// The rules of one family: its tables by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ruleset {
    /// The tables, in the order in which they are loaded.
    pub(crate) tables: Vec<Table>,
}

/// A table of rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// `raw`, `mangle`, `nat` or `filter`.
    pub(crate) name: &'static str,
    /// Chains with their policies; `-` for those of the user's.
    pub(crate) chains: Vec<(String, &'static str)>,
    /// Rules, as `iptables-save` spells them.
    pub(crate) rules: Vec<String>,
}

impl fmt::Display for Ruleset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(f, "*{}", table.name)?;
            for (chain, policy) in &table.chains {
                writeln!(f, ":{chain} {policy} [0:0]")?;
            }
            for rule in &table.rules {
                writeln!(f, "{rule}")?;
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}

/// The input files of the scenario that an experiment and its steps become. `times` are those of
/// the packets, and at last that of the end.
#[must_use]
pub(crate) fn files(
    experiment: &Experiment,
    steps: &[Step],
    times: &[Duration],
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut add = |name: &str, bytes: Vec<u8>| {
        if !bytes.is_empty() {
            files.insert(name.to_owned(), bytes);
        }
    };
    for (name, rules) in ["rules.v4", "rules.v6"].iter().zip(&experiment.rules) {
        add(name, rules.as_ref().map(Ruleset::to_string).unwrap_or_default().into_bytes());
    }
    let settings = experiment.settings.iter().map(|(key, value)| format!("{key} = {value}\n"));
    add("sysctl.conf", settings.collect::<String>().into_bytes());
    let mtus = experiment.mtus.iter().map(|(port, mtu)| format!("mtu {port} {mtu}\n"));
    add("topology.conf", mtus.collect::<String>().into_bytes());
    add("control.jsonl", controls(steps, times).into_bytes());
    add("patch.json", patches(steps));
    add("packets.pcap", capture(steps, times));
    files
}

fn controls(steps: &[Step], times: &[Duration]) -> String {
    let numbered = steps.iter().enumerate();
    let actions = numbered.flat_map(|(before, step)| step.actions.iter().map(move |a| (before, a)));
    let mut lines: String = actions.map(|(before, a)| format!("{}\n", a.value(before))).collect();
    if let Some(end) = times.get(steps.len()) {
        let end = json!({"before": steps.len(), "op": "end", "t": end.as_secs_f64()});
        lines += &format!("{end}\n");
    }
    lines
}

fn patches(steps: &[Step]) -> Vec<u8> {
    let numbered = steps.iter().enumerate();
    let all = numbered.flat_map(|(index, step)| step.patches.iter().map(move |p| (index, p)));
    let list: Vec<Value> = all
        .map(|(index, patch)| {
            let from = json!({"index": patch.step, "out": patch.out, "field": patch.field});
            json!({"index": index, "set": patch.set, "from": from})
        })
        .collect();
    if list.is_empty() { Vec::new() } else { Value::from(list).to_string().into_bytes() }
}

fn capture(steps: &[Step], times: &[Duration]) -> Vec<u8> {
    let mut file = capture_head();
    for (step, time) in steps.iter().zip(times) {
        // Writing to memory cannot fail.
        let _ = write_frame(&mut file, time.as_nanos() as u64, &step.side.frame(&step.datagram));
    }
    file
}
