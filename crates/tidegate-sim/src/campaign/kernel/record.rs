//! Sends an experiment's packets one by one and writes down what the kernel did with each.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::text::PacketLine;

use super::error::KernelError;
use super::passage::Passage;
use super::router::{Router, write_setting};
use super::tool;
use super::trace::visits;
use super::watch::{self, Entries, Watch};
use crate::campaign::experiment::{Action, Experiment, Ruleset, Side, Step};
use crate::campaign::patch;
use crate::oracle::hex;

/// Where the packets come from, one at a time.
pub(crate) trait Source {
    /// The next packet, after the last one became `left`; `None` at the end. `now` is the time
    /// since the first packet.
    fn next(&mut self, now: Duration, left: &[Output]) -> Option<Step>;
}

/// A datagram that left the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    /// By which port.
    pub(crate) side: Side,
    /// From the IP header on.
    pub(crate) datagram: Vec<u8>,
    /// Whether it is the packet that came in, and not an answer to it.
    pub(crate) is_forwarded: bool,
}

/// An experiment that was done.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// The packets, as they were sent.
    pub(crate) steps: Vec<Step>,
    /// When each was sent, after the first; the last one is the end.
    pub(crate) times: Vec<Duration>,
    /// One record a packet.
    pub(crate) records: Vec<Value>,
    /// The state at the end.
    pub(crate) end: Value,
}

/// Runs an experiment in a fresh router.
///
/// # Errors
/// See [`KernelError`]. What the kernel does with a packet is never an error.
pub(crate) fn record(
    experiment: &Experiment,
    source: &mut dyn Source,
) -> Result<Recorded, KernelError> {
    let mut recorder = Recorder::new(experiment)?;
    let mut left = Vec::new();
    while let Some(step) = source.next(recorder.now(), &left) {
        left = recorder.step(step)?;
    }
    recorder.finish()
}

struct Recorder<'a> {
    experiment: &'a Experiment,
    router: Router,
    watch: Watch,
    clock: Stopwatch,
    /// When the first packet was sent, by the clock.
    first: Option<Duration>,
    /// The table as it was when last seen, and when that was.
    entries: Entries,
    seen: Duration,
    /// What left because of each packet, for patches.
    outputs: Vec<Vec<Output>>,
    done: Recorded,
}

impl<'a> Recorder<'a> {
    fn new(experiment: &'a Experiment) -> Result<Self, KernelError> {
        Ok(Self {
            experiment,
            router: Router::new(experiment)?,
            watch: Watch::new(experiment.rules.iter().flatten().any(keeps_events_back)),
            clock: Stopwatch::start(),
            first: None,
            entries: Entries::new(),
            seen: Duration::ZERO,
            outputs: Vec::new(),
            done: Recorded {
                steps: Vec::new(),
                times: Vec::new(),
                records: Vec::new(),
                end: Value::Null,
            },
        })
    }

    fn now(&self) -> Duration {
        self.first.map_or(Duration::ZERO, |first| self.clock.elapsed() - first)
    }

    fn step(&mut self, mut step: Step) -> Result<Vec<Output>, KernelError> {
        thread::sleep(step.pause);
        step.actions.iter().try_for_each(|action| self.act(action))?;
        self.catch_up(!step.actions.is_empty())?;
        patch::apply(&step.patches, &mut step.datagram, &self.outputs);
        let before = self.entries.clone();
        self.watch.forget_the_dead();
        let sent = self.clock.elapsed();
        let frame = step.side.frame(&step.datagram);
        let left = self.router.inject(step.side, &frame).map_err(KernelError::at("a port"))?;
        let failed = || KernelError::at("ctnetlink");
        let events = self.watch.events(&mut self.router.events).map_err(failed())?;
        let trace = self.router.trace.heard().map_err(KernelError::at("the trace"))?;
        self.look().map_err(failed())?;
        let late = self.watch.events(&mut self.router.events).map_err(failed())?;
        let passage = Passage::new(&visits(&trace), left).ok_or(KernelError::TooOld)?;
        let mut record = self.record(&step, &passage, &before);
        record["events"] = events.into();
        add_late(&mut record, late, &[]);
        let time = sent - *self.first.get_or_insert(sent);
        record["t"] = time.as_secs_f64().into();
        self.done.times.push(time);
        self.done.records.push(record);
        self.done.steps.push(step);
        self.outputs.push(passage.outputs.clone());
        Ok(passage.outputs)
    }

    fn act(&mut self, action: &Action) -> Result<(), KernelError> {
        match action {
            Action::Set { key, value } => write_setting(key, value),
            Action::Flush => {
                watch::flush(&mut self.router.control).map_err(KernelError::at("ctnetlink"))
            }
        }
    }

    /// Notes what has happened since the last packet.
    fn catch_up(&mut self, is_touched: bool) -> Result<(), KernelError> {
        let failed = || KernelError::at("ctnetlink");
        if is_touched || self.clock.elapsed() - self.seen > FRESH {
            self.look().map_err(failed())?;
        }
        let late = self.watch.events(&mut self.router.events).map_err(failed())?;
        let left = self.router.left().map_err(KernelError::at("a port"))?;
        self.router.trace.heard().map_err(KernelError::at("the trace"))?;
        if let Some(last) = self.done.records.last_mut() {
            add_late(last, late, &left);
        }
        Ok(())
    }

    fn look(&mut self) -> std::io::Result<()> {
        self.entries = self.watch.entries(&mut self.router.control)?;
        self.seen = self.clock.elapsed();
        Ok(())
    }

    fn record(&self, step: &Step, passage: &Passage, before: &Entries) -> Value {
        let own = passage.entry;
        let (verdict, stage) = match self.is_unconfirmed(passage, before) {
            true => ("drop", "confirm"),
            false => (passage.verdict, passage.stage),
        };
        let entry = own.and_then(|id| self.entries.get(&id));
        let mut record = json!({
            "scenario": self.experiment.name,
            "index": self.done.records.len(),
            "in": step.side.name(),
            "pkt": PacketLine(&step.datagram).to_string(),
            "ctstate": passage.state,
            "dir": passage.direction,
            "verdict": verdict,
            "stage": stage,
            "out": passage.outputs.iter().map(|o| passage.output_value(o)).collect::<Vec<_>>(),
            "ct": entry.map(super::entry::Entry::value),
            "count": self.entries.len(),
        });
        if passage.mark != 0 {
            record["mark"] = passage.mark.into();
        }
        if let Some(id) = own.filter(|id| !self.entries.contains_key(id)) {
            record["ct_gone"] = before.contains_key(&id).into();
        }
        let others = self.others(own, before);
        if !others.is_empty() {
            record["others"] = others.into();
        }
        record
    }

    /// Whether a packet for the router itself was dropped when its entry was to be confirmed, which
    /// is behind the last place where it can be seen.
    fn is_unconfirmed(&self, passage: &Passage, before: &Entries) -> bool {
        let is_new = passage.state == Some("NEW") && passage.direction == Some("ORIGINAL");
        let is_nowhere = |id| {
            !self.entries.contains_key(&id) && !before.contains_key(&id) && !self.watch.has_died(id)
        };
        passage.verdict == "local" && is_new && passage.entry.is_some_and(is_nowhere)
    }

    /// The entries that a packet touched besides its own.
    fn others(&self, own: Option<u64>, before: &Entries) -> Vec<Value> {
        let mut others = Vec::new();
        for (id, entry) in self.entries.iter().filter(|(id, _)| Some(**id) != own) {
            let op = match before.get(id) {
                Some(_) if self.watch.has_died(*id) => "new",
                None => "new",
                Some(earlier) if earlier == entry => continue,
                Some(earlier) if super::entry::changed(&earlier.value(), &entry.value()) => {
                    "changed"
                }
                Some(_) => continue,
            };
            others.push(json!({"op": op, "ct": entry.value()}));
        }
        for (id, entry) in before {
            // The name of a dead entry may be its successor's.
            let is_gone = match self.entries.contains_key(id) {
                true => self.watch.has_died(*id),
                // An entry that was answered only goes to make place for another.
                false => Some(*id) != own || is_answered(&entry.value()),
            };
            if is_gone {
                others.push(json!({"op": "gone", "ct": entry.value()}));
            }
        }
        others
    }

    fn finish(mut self) -> Result<Recorded, KernelError> {
        let failed = || KernelError::at("ctnetlink");
        let end = self.now();
        self.catch_up(true)?;
        let all = watch::all_entries(&mut self.router.control).map_err(failed())?;
        let table: Vec<Value> = all.values().map(super::entry::Entry::value).collect();
        let stats = watch::statistics(&mut self.router.control).map_err(failed())?;
        self.done.times.push(end);
        self.done.end = json!({"table": table, "stats": stats, "counters": self.counters()?});
        Ok(self.done)
    }

    fn counters(&self) -> Result<Value, KernelError> {
        let mut counters = json!({});
        for ((family, tool), rules) in SAVE.iter().zip(&self.experiment.rules) {
            if rules.as_ref().is_some_and(|rules| !rules.tables.is_empty()) {
                let text = tool::run(tool, &["-c"], "")?;
                let lines = text.lines().filter(|line| line.starts_with(['*', ':', '[']));
                counters[family] = lines.map(str::to_owned).collect();
            }
        }
        Ok(counters)
    }
}

fn is_answered(entry: &Value) -> bool {
    entry["status"].as_array().is_some_and(|status| status.iter().any(|s| s == "SEEN_REPLY"))
}

/// Whether rules keep it back that an entry begins or ends.
fn keeps_events_back(rules: &Ruleset) -> bool {
    let rules = rules.tables.iter().flat_map(|table| &table.rules);
    let mut lists = rules.filter_map(|rule| rule.split_once("--ctevents ")).map(|(_, list)| list);
    lists.any(|list| {
        let told: Vec<&str> = list.split([',', ' ']).collect();
        !["new", "destroy"].iter().all(|event| told.contains(event))
    })
}

/// Adds to a record what happened after its packet.
fn add_late(record: &mut Value, events: Vec<String>, left: &[(Side, Vec<u8>)]) {
    for event in events {
        push(&mut record["late"], event.into());
    }
    for (side, datagram) in left {
        let text = PacketLine(datagram).to_string();
        let hex = hex(datagram);
        let output = json!({"port": side.name(), "by": "router", "hex": hex, "txt": text});
        push(&mut record["late_out"], output);
    }
}

fn push(list: &mut Value, value: Value) {
    match list {
        Value::Array(values) => values.push(value),
        other => *other = vec![value].into(),
    }
}

/// A view of the table is good for so long if nobody touched it.
const FRESH: Duration = Duration::from_millis(20);
/// The tools that print rules: IPv4, IPv6.
const SAVE: [(&str, &str); 2] = [("4", "iptables-legacy-save"), ("6", "ip6tables-legacy-save")];
