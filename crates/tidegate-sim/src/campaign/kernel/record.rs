//! Sends an experiment's packets one by one and writes down what the kernel did with each.

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_gateway::clock::Stopwatch;
use tidegate_gateway::text::PacketLine;
use tidegate_wire::{dissect, proto};

use super::copies::Copies;
use super::entry::Entry;
use super::error::KernelError;
use super::log::{Log, Switch};
use super::passage::Passage;
use super::router::{self, Router, write_setting};
use super::ticks::{Reading, Ticks};
use super::tool;
use super::trace::visits;
use super::watch::{self, Entries, Watch};
use crate::campaign::experiment::{Action, Experiment, Original, Ruleset, Side, Step};
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
    /// When the kernel saw each, and the end.
    pub(crate) readings: Vec<Reading>,
    /// One record a packet.
    pub(crate) records: Vec<Value>,
    /// The state at the end.
    pub(crate) end: Value,
    /// When the first packet was sent, by the clock on the wall.
    pub(crate) began: Duration,
    /// The time from the first packet to the end.
    pub(crate) took: Duration,
    /// Whether the kernel's log was heard, all of it.
    pub(crate) has_log: bool,
    /// The longest time from a packet until the table was seen.
    pub(crate) lag: Duration,
}

/// Runs an experiment in a fresh router. The kernel logs for it if there is a switch.
pub(super) fn record(
    log_switch: Option<&Switch>,
    experiment: &Experiment,
    source: &mut dyn Source,
) -> Result<Recorded, KernelError> {
    let mut recorder = Recorder::new(log_switch, experiment)?;
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
    ticks: Ticks,
    /// When the first packet was sent, by the clock.
    first: Option<Duration>,
    /// The table as it was when last seen, and when one began to look, by the clock and by ticks.
    entries: Entries,
    seen: Duration,
    looked: Duration,
    /// Whole seconds from the beginning of the look before to the end of the last one.
    aged: u64,
    /// What left because of each packet, for patches.
    outputs: Vec<Vec<Output>>,
    ears: Ears<'a>,
    done: Recorded,
}

impl<'a> Recorder<'a> {
    fn new(
        log_switch: Option<&'a Switch>,
        experiment: &'a Experiment,
    ) -> Result<Self, KernelError> {
        let router = Router::new(experiment)?;
        let mut watch = Watch::default();
        if experiment.rules.iter().flatten().any(keeps_events_back) {
            watch.look_everywhere();
        }
        let ticks = Ticks::new().map_err(KernelError::at("the clock"))?;
        // The table of a router that was just made is known without a look.
        let looked = ticks.now().map_err(KernelError::at("the clock"))?;
        Ok(Self {
            experiment,
            router,
            watch,
            ears: Ears::new(log_switch, &experiment.name)?,
            clock: Stopwatch::start(),
            ticks,
            first: None,
            entries: Entries::new(),
            seen: Duration::ZERO,
            looked,
            aged: 0,
            outputs: Vec::new(),
            done: Recorded {
                steps: Vec::new(),
                readings: Vec::new(),
                records: Vec::new(),
                end: Value::Null,
                began: Duration::ZERO,
                took: Duration::ZERO,
                has_log: true,
                lag: Duration::ZERO,
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
        let (sent, looked) = (self.clock.elapsed(), self.looked);
        let tick = self.ticks.now().map_err(KernelError::at("the clock"))?;
        let frame = step.side.frame(&step.datagram);
        let left = self.router.inject(step.side, &frame).map_err(KernelError::at("a port"))?;
        let reading = self.ticks.reading(looked, tick).map_err(KernelError::at("the clock"))?;
        let failed = || KernelError::at("ctnetlink");
        let events = self.watch.events(&mut self.router.events).map_err(failed())?;
        let trace = self.router.trace.heard().map_err(KernelError::at("the trace"))?;
        let killed = self.watch.dead().clone();
        self.look().map_err(failed())?;
        let late = self.watch.events(&mut self.router.events).map_err(failed())?;
        let expired = self.keep_expired(&before, &killed);
        self.done.lag = self.done.lag.max(self.clock.elapsed() - sent);
        let passage = Passage::new(&visits(&trace), left).ok_or(KernelError::TooOld)?;
        let mut record = self.record(&step, &passage, &before);
        record["events"] = events.into();
        self.ears.hear(&mut record)?;
        let expected = watch::expectations(&mut self.router.control).map_err(failed())?;
        if !expected.is_empty() {
            record["expects"] = expected.into();
        }
        add_late(&mut record, late, &[]);
        self.entries.retain(|id, _| !expired.contains(id));
        if self.first.is_none() {
            self.done.began = wall_clock() - (self.clock.elapsed() - sent);
        }
        let time = sent - *self.first.get_or_insert(sent);
        record["t"] = time.as_secs_f64().into();
        self.done.readings.push(reading);
        self.done.records.push(record);
        self.done.steps.push(step);
        self.outputs.push(passage.outputs.clone());
        Ok(passage.outputs)
    }

    fn act(&mut self, action: &Action) -> Result<(), KernelError> {
        let failed = KernelError::at("ctnetlink");
        match action {
            Action::Set { key, value } => write_setting(key, value),
            Action::Flush => watch::flush(&mut self.router.control).map_err(failed),
            Action::Delete(original) => self.delete(original).map_err(failed),
            Action::Mark { of, mark } => self.mark(of, *mark).map_err(failed),
            Action::Rules { family, rules } => {
                if keeps_events_back(rules) {
                    self.watch.look_everywhere();
                }
                router::load_rules(*family == 6, rules)
            }
        }
    }

    fn delete(&mut self, original: &Original) -> io::Result<()> {
        self.look()?;
        let is_it = |entry: &&Entry| entry.is(original, true) && entry.is_in_no_zone();
        let found = self.entries.values().find(is_it);
        found.map_or(Ok(()), |entry| watch::delete(&mut self.router.control, entry))
    }

    fn mark(&mut self, of: &Original, mark: u32) -> io::Result<()> {
        self.look()?;
        // As conntrack(8) does, which leaves entries alone that have the mark already.
        let is_meant = |entry: &&Entry| entry.is(of, false) && entry.mark() != u64::from(mark);
        let mut found = self.entries.values().filter(is_meant);
        found.try_for_each(|entry| watch::mark(&mut self.router.control, entry, mark))
    }

    /// Notes what has happened since the last packet.
    fn catch_up(&mut self, is_touched: bool) -> Result<(), KernelError> {
        let failed = || KernelError::at("ctnetlink");
        self.watch.forget_the_dead();
        // To look everywhere takes long.
        let is_stale = is_touched || self.clock.elapsed() - self.seen > FRESH;
        if is_stale || !self.watch.is_partial() {
            self.look().map_err(failed())?;
        }
        let late = self.watch.events(&mut self.router.events).map_err(failed())?;
        // The kernel's collector may have come since.
        self.entries.retain(|id, _| !self.watch.has_died(*id));
        let left = self.router.left().map_err(KernelError::at("a port"))?;
        self.router.trace.heard().map_err(KernelError::at("the trace"))?;
        if let Some(last) = self.done.records.last_mut() {
            add_late(last, late, &left);
        }
        Ok(())
    }

    /// Puts back entries that expired when the table was looked at: the packet hasn't touched them.
    fn keep_expired(&mut self, before: &Entries, killed: &BTreeSet<u64>) -> BTreeSet<u64> {
        let late = self.watch.dead().difference(killed);
        let expired: BTreeSet<u64> = late.filter(|id| before.contains_key(id)).copied().collect();
        self.watch.forget(&expired);
        for id in &expired {
            self.entries.entry(*id).or_insert_with(|| before[id].clone());
        }
        expired
    }

    fn look(&mut self) -> io::Result<()> {
        self.looked = self.ticks.now()?;
        let before = std::mem::replace(&mut self.seen, self.clock.elapsed());
        self.entries = self.watch.entries(&mut self.router.control)?;
        self.aged = (self.clock.elapsed() - before).as_secs();
        Ok(())
    }

    fn record(&self, step: &Step, passage: &Passage, before: &Entries) -> Value {
        let own = passage.entry;
        let (verdict, stage) = match self.is_unconfirmed(step, passage, before) {
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
            "ct": entry.map(Entry::value),
            "count": self.entries.len(),
        });
        if passage.mark != 0 {
            record["mark"] = passage.mark.into();
        }
        if passage.is_to_itself {
            record["to_itself"] = true.into();
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
    fn is_unconfirmed(&self, step: &Step, passage: &Passage, before: &Entries) -> bool {
        let is_new = passage.state == Some("NEW") && passage.direction == Some("ORIGINAL");
        let is_nowhere = |id| {
            !self.entries.contains_key(&id) && !before.contains_key(&id) && !self.watch.has_died(id)
        };
        // A connection that is reset at once has no entry either, and its end may not be told.
        let is_certain = !self.watch.is_partial()
            || dissect(&step.datagram).is_ok_and(|headers| headers.proto != proto::TCP);
        is_certain && passage.verdict == "local" && is_new && passage.entry.is_some_and(is_nowhere)
    }

    /// The entries that a packet touched besides its own.
    fn others(&self, own: Option<u64>, before: &Entries) -> Vec<Value> {
        let mut others = Vec::new();
        for (id, entry) in self.entries.iter().filter(|(id, _)| Some(**id) != own) {
            let op = match before.get(id) {
                Some(_) if self.watch.has_died(*id) => "new",
                None => "new",
                Some(earlier) if earlier == entry => continue,
                Some(earlier)
                    if super::entry::changed(&earlier.value(), &entry.value(), self.aged) =>
                {
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
        self.done.took = self.now();
        self.catch_up(true)?;
        let all = watch::all_entries(&mut self.router.control).map_err(failed())?;
        let table: Vec<Value> = all.values().map(Entry::value).collect();
        let stats = watch::statistics(&mut self.router.control).map_err(failed())?;
        let reading = self.ticks.reading(self.looked, self.looked);
        self.done.readings.push(reading.map_err(KernelError::at("the clock"))?);
        self.done.has_log = self.ears.is_complete();
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

/// What rules tell of packets.
struct Ears<'a> {
    log_switch: Option<&'a Switch>,
    log: Option<Log>,
    copies: Copies,
}

impl<'a> Ears<'a> {
    fn new(log_switch: Option<&'a Switch>, name: &str) -> Result<Self, KernelError> {
        let copies = Copies::open(NFLOG_GROUPS).map_err(KernelError::at("nfnetlink_log"))?;
        // Who may not turn the switch may not read the log, or finds nothing in it.
        let log = log_switch.map(|switch| {
            switch.renew();
            Log::open(&log_prefix(name)).map_err(KernelError::at("the log"))
        });
        Ok(Self { log_switch, log: log.transpose()?, copies })
    }

    /// Adds to a record what its packet made rules tell.
    fn hear(&mut self, record: &mut Value) -> Result<(), KernelError> {
        let copies = self.copies.heard().map_err(KernelError::at("nfnetlink_log"))?;
        if !copies.is_empty() {
            record["nflog"] = copies.into();
        }
        let lines = self.log.as_mut().map(Log::heard).transpose();
        let lines = lines.map_err(KernelError::at("the log"))?.unwrap_or_default();
        if !lines.is_empty() {
            record["log"] = lines.into();
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.log.as_ref().is_some_and(Log::is_whole) && self.log_switch.is_some_and(Switch::is_on)
    }
}

/// What lines in the log begin with that rules of experiment `name` write.
pub(crate) fn log_prefix(name: &str) -> String {
    format!("{name} ")
}

#[expect(clippy::disallowed_methods, reason = "rules may ask the time of day")]
fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn is_answered(entry: &Value) -> bool {
    entry["status"].as_array().is_some_and(|status| status.iter().any(|s| s == "SEEN_REPLY"))
}

/// Whether rules keep it back that an entry begins or ends.
fn keeps_events_back(rules: &Ruleset) -> bool {
    let mut rules = rules.tables.iter().flat_map(|table| &table.rules);
    rules.any(|rule| match rule.split_once("--ctevents ") {
        Some((_, list)) => {
            let told: Vec<&str> = list.split([',', ' ']).collect();
            !["new", "related", "destroy"].iter().all(|event| told.contains(event))
        }
        // Whoever says which events of expectations he wants wants no others.
        None => rule.contains("--expevents "),
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

/// The groups of copies that rules may name.
pub(crate) const NFLOG_GROUPS: std::ops::Range<u16> = 1..4;
/// A view of the whole table is good for so long if nobody touched it.
const FRESH: Duration = Duration::from_millis(2);
/// The tools that print rules: IPv4, IPv6.
const SAVE: [(&str, &str); 2] = [("4", "iptables-legacy-save"), ("6", "ip6tables-legacy-save")];
