//! An experiment: rules, settings and steps, before anybody was asked what becomes of them.
//!
//! It is what the grammar makes, what the recorder runs, what shrinking takes things away from,
//! and, as files, the input half of a scenario.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
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
    /// Sets that rules may name, as `ipset save` writes them.
    pub(crate) sets: Vec<String>,
    /// Timeout policies that rules may name, as `nfct` takes them.
    pub(crate) policies: Vec<String>,
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
    /// Deletes one entry.
    Delete(Original),
    /// Sets the mark of all entries with these protocol and addresses.
    Mark {
        /// Whose ports don't count.
        of: Original,
        /// The mark.
        mark: u32,
    },
    /// Replaces tables of a family.
    Rules {
        /// 4 or 6.
        family: u8,
        /// The tables.
        rules: Ruleset,
    },
}

impl Action {
    /// The action as a line of `control.jsonl`; rules are in a file of that name.
    fn value(&self, before: usize, file: &str) -> Value {
        match self {
            Self::Set { key, value } => {
                json!({"before": before, "op": "sysctl", "key": key, "value": value})
            }
            Self::Flush => json!({"before": before, "op": "flush"}),
            Self::Delete(Original { l4, src, dst, sport, dport }) => json!({
                "before": before, "op": "delete", "l4": l4,
                "src": src, "dst": dst, "sport": sport, "dport": dport,
            }),
            Self::Mark { of: Original { l4, src, dst, .. }, mark } => json!({
                "before": before, "op": "mark", "l4": l4, "src": src, "dst": dst, "mark": mark,
            }),
            Self::Rules { family, .. } => {
                json!({"before": before, "op": "rules", "family": family, "file": file})
            }
        }
    }
}

/// The original tuple of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Original {
    /// The protocol's name.
    pub(crate) l4: &'static str,
    /// Its source.
    pub(crate) src: IpAddr,
    /// Its destination.
    pub(crate) dst: IpAddr,
    /// Its source port.
    pub(crate) sport: u16,
    /// Its destination port.
    pub(crate) dport: u16,
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
/// the packets, and at last that of the end; `began` is when the first one was sent, by the clock on
/// the wall, if rules ask for that.
#[must_use]
pub(crate) fn files(
    experiment: &Experiment,
    steps: &[Step],
    times: &[Duration],
    began: Duration,
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
    add("ipset.save", lines(&experiment.sets));
    add("timeouts.nfct", lines(&experiment.policies));
    add("control.jsonl", controls(steps, times).into_bytes());
    for (_, action, file) in actions(steps) {
        if let Action::Rules { rules, .. } = action {
            add(&file, rules.to_string().into_bytes());
        }
    }
    add("patch.json", patches(steps));
    add("packets.pcap", capture(steps, times, began));
    files
}

fn lines(of: &[String]) -> Vec<u8> {
    of.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// The actions, each with the number of the packet that it precedes, and the name of its file if it
/// has one.
fn actions(steps: &[Step]) -> impl Iterator<Item = (usize, &Action, String)> {
    let numbered = steps.iter().enumerate();
    let all = numbered.flat_map(|(before, step)| step.actions.iter().map(move |a| (before, a)));
    all.enumerate().map(|(number, (before, action))| {
        let family = if let Action::Rules { family, .. } = action { *family } else { 0 };
        (before, action, format!("rules-{number}.v{family}"))
    })
}

fn controls(steps: &[Step], times: &[Duration]) -> String {
    let value = |(before, action, file): (usize, &Action, String)| action.value(before, &file);
    let mut lines: String = actions(steps).map(|action| format!("{}\n", value(action))).collect();
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

fn capture(steps: &[Step], times: &[Duration], began: Duration) -> Vec<u8> {
    let mut file = capture_head();
    for (step, time) in steps.iter().zip(times) {
        // Writing to memory cannot fail.
        let _ = write_frame(
            &mut file,
            (began + *time).as_nanos() as u64,
            &step.side.frame(&step.datagram),
        );
    }
    file
}
