//! Flows counted by protocol and state: how many of them are translated, how many may be in use, how long they have been
//! idle.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::figures::{Brief, Count};
use crate::client::{Flow, names};
use crate::timers::Idle;

/// Flows by class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    classes: BTreeMap<(&'static str, &'static str), Class>,
}

/// What is counted of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Class {
    flows: u64,
    /// Those whose source or destination is translated.
    bindings: u64,
    /// Those that may have carried a packet in the last [`LIVE`] seconds.
    live: u64,
    /// The least and the most that one has been idle for certain.
    idle: Option<(u64, u64)>,
}

impl Classes {
    /// Counts a flow that has been idle so long.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, idle: Idle) {
        let class = self.classes.entry(class_of(flow)).or_default();
        let is_translated = flow.is_source_translated() || flow.is_destination_translated();
        let (least, most) = class.idle.unwrap_or((idle.least, idle.least));
        *class = Class {
            flows: class.flows + 1,
            bindings: class.bindings + u64::from(is_translated),
            live: class.live + u64::from(idle.least < LIVE),
            idle: Some((least.min(idle.least), most.max(idle.least))),
        };
    }

    /// How many flows there are in all.
    pub(crate) fn flows(&self) -> u64 {
        self.classes.values().map(|class| class.flows).sum()
    }

    /// Writes a line a class, or a JSON object.
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            let rows: Vec<_> = self.classes.iter().map(|(name, class)| class.json(*name)).collect();
            let sum = |of: fn(&Class) -> u64| self.classes.values().map(of).sum::<u64>();
            let (bindings, live) = (sum(|class| class.bindings), sum(|class| class.live));
            let all = json!({"flows": self.flows(), "nat_bindings": bindings, "live": live, "classes": rows});
            return writeln!(out, "{all}");
        }
        writeln!(
            out,
            "{:<24}  {:>11}  {:>12}  {:>11}  IDLE AT LEAST",
            "CLASS", "FLOWS", "NAT BINDINGS", "LIVE"
        )?;
        let mut all = Class::default();
        for ((protocol, state), class) in &self.classes {
            class.write(out, &format!("{protocol} {state}"))?;
            all = all.and(*class);
        }
        if self.classes.len() > 1 { all.write(out, "all") } else { Ok(()) }
    }
}

impl Class {
    fn and(self, other: Self) -> Self {
        let idle = match (self.idle, other.idle) {
            (Some(one), Some(two)) => Some((one.0.min(two.0), one.1.max(two.1))),
            (one, two) => one.or(two),
        };
        Self {
            flows: self.flows + other.flows,
            bindings: self.bindings + other.bindings,
            live: self.live + other.live,
            idle,
        }
    }

    fn write(&self, out: &mut impl Write, name: &str) -> io::Result<()> {
        let span = |seconds| Brief(Duration::from_secs(seconds)).to_string();
        write!(out, "{name:<24}  {:>11}  ", Count(self.flows))?;
        write!(out, "{:>12}  {:>11}  ", Count(self.bindings), Count(self.live))?;
        match self.idle.map(|(least, most)| (span(least), span(most))) {
            Some((least, most)) if least == most => writeln!(out, "{least}"),
            Some((least, most)) => writeln!(out, "{least} to {most}"),
            None => writeln!(out),
        }
    }

    fn json(&self, (protocol, state): (&str, &str)) -> Value {
        json!({
            "proto": protocol,
            "state": state,
            "flows": self.flows,
            "nat_bindings": self.bindings,
            "live": self.live,
            "idle_least": self.idle.map(|idle| idle.0),
            "idle_most": self.idle.map(|idle| idle.1),
        })
    }
}

/// A flow's protocol and state, or what stands for a state where the tracker has none.
pub(crate) fn class_of(flow: &Flow<'_>) -> (&'static str, &'static str) {
    let state = flow.state().unwrap_or_else(|| {
        if flow.has(names::bit::ASSURED) {
            "ASSURED"
        } else if flow.has(names::bit::SEEN_REPLY) {
            "REPLIED"
        } else {
            "UNREPLIED"
        }
    });
    (names::protocol(flow.proto()), state)
}

/// Who was heard of in so many seconds, or may have been, may be in use.
pub(crate) const LIVE: u64 = 300;
