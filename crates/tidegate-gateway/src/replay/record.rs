//! What became of each packet, one JSON object a line, as section 3 of the
//! scenario format wants it.
//!
//! A record is written when the next packet has arrived, because what happened
//! in between is part of it. For scenarios of the format, whose tables are
//! small, each record also tells which *other* flows were touched, and a last
//! line holds the final table, statistics and rule counters. For a plain
//! capture both would cost time in proportion to the table for each packet, and
//! are left out.

mod expect;
mod flow;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;
use tidegate_engine::Engine;
use tidegate_engine::event::Event;
use tidegate_engine::fib::PortId;
use tidegate_engine::flow::FlowId;
use tidegate_engine::log::{LogTopic, PacketCopy};
use tidegate_engine::packet::CtInfo;
use tidegate_engine::time::Instant;
use tidegate_engine::verdict::{DropReason, Onward, Stage, Verdict};
use tidegate_wire::Family;

use self::expect::ExpectationRecord;
pub use self::flow::FlowRecord;
use super::fault::Fault;
use super::run::{Arrival, Passed, Replay, START};
use super::topology::IN0;
use crate::text::{CompactEvent, PacketLine, direction_name};

/// Why recording ended early.
#[derive(Debug)]
pub enum Stop {
    /// The record can't be written.
    Output(io::Error),
    /// An input is at fault; everything before the fault is recorded.
    Input(Fault),
}

/// Writes the record of a replay.
pub struct Recorder<W> {
    sink: W,
    /// The record of the last packet, which may still grow.
    pending: Option<PacketRecord>,
}

impl<W: Write> Recorder<W> {
    /// A recorder that writes to `sink`.
    pub fn new(sink: W) -> Self {
        Self { sink, pending: None }
    }

    /// Runs `replay` to its end and records it. `watch` is called whenever
    /// something may have left: after each packet has arrived, has passed, and
    /// at the end.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn run(
        &mut self,
        replay: &mut Replay,
        mut watch: impl FnMut(&Replay) -> Result<(), Fault>,
    ) -> Result<(), Stop> {
        replay.keep_output(true);
        loop {
            let mut late = Vec::new();
            let arrived = replay.arrive(&mut |event| late.push(compact(&event)));
            if !matches!(arrived, Ok(None)) {
                self.write_pending(replay, &mut late)?;
                watch(replay).map_err(Stop::Input)?;
            }
            match arrived {
                Ok(Some(arrival)) => self.pass(replay, &arrival),
                Ok(None) => break self.finish(replay, late)?,
                Err(fault) => return Err(Stop::Input(fault)),
            }
            watch(replay).map_err(Stop::Input)?;
        }
        watch(replay).map_err(Stop::Input)
    }

    fn pass(&mut self, replay: &mut Replay, arrival: &Arrival) {
        let summary = PacketLine(replay.ingress().datagram()).to_string();
        let before = replay.is_recorded().then(|| snapshot(replay));
        let mut events = Vec::new();
        let passed = replay.pass(&mut |event| events.push(compact(&event)));
        let mut record = PacketRecord::new(replay, arrival, &passed);
        record.pkt = summary;
        record.events = events;
        if let Some(before) = before {
            let own = passed.outcome.and_then(|outcome| outcome.flow).map(|id| (passed.worker, id));
            let may_own_a_gone_one = own.is_none() && record.dir.is_some();
            record.others = others(&before, &snapshot(replay), own, may_own_a_gone_one);
        }
        self.pending = Some(record);
    }

    fn finish(&mut self, replay: &mut Replay, mut late: Vec<String>) -> Result<(), Stop> {
        let done = replay.finish(&mut |event| late.push(compact(&event)));
        self.write_pending(replay, &mut late)?;
        done.map_err(Stop::Input)?;
        if replay.is_recorded() {
            self.write(&FinalRecord::new(replay)).map_err(Stop::Output)?;
        }
        self.sink.flush().map_err(Stop::Output)
    }

    /// Writes the last packet's record, with what happened since.
    fn write_pending(&mut self, replay: &Replay, late: &mut Vec<String>) -> Result<(), Stop> {
        let Some(mut record) = self.pending.take() else { return Ok(()) };
        record.late = std::mem::take(late);
        record.late_out = out(replay);
        self.write(&record).map_err(Stop::Output)
    }

    fn write(&mut self, record: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.sink, record)?;
        self.sink.write_all(b"\n")
    }
}

#[derive(Serialize)]
struct PacketRecord {
    scenario: String,
    index: u64,
    t: f64,
    #[serde(rename = "in")]
    side: &'static str,
    pkt: String,
    ctstate: Option<&'static str>,
    dir: Option<&'static str>,
    verdict: &'static str,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    out: Vec<OutRecord>,
    #[serde(skip_serializing_if = "is_zero")]
    mark: u32,
    ct: Option<FlowRecord>,
    count: usize,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    late: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    late_out: Vec<OutRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    expects: Vec<ExpectationRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    why: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nflog: Vec<CopyRecord>,
}

impl PacketRecord {
    /// The record of a packet that has passed, without its events.
    fn new(replay: &Replay, arrival: &Arrival, passed: &Passed) -> Self {
        let outcome = passed.outcome;
        let info = outcome.and_then(|outcome| outcome.conntrack);
        let (verdict, stage, reason) = ending(passed);
        let id = outcome.and_then(|outcome| outcome.flow);
        let engine = &replay.engines()[passed.worker];
        let flow = id.and_then(|id| Some((id, engine.flow(id)?)));
        Self {
            scenario: replay.name().to_owned(),
            index: arrival.index,
            t: seconds(arrival.at),
            side: side(arrival.port),
            pkt: String::new(),
            ctstate: info.map(CtInfo::name),
            dir: info.and_then(CtInfo::direction).map(direction_name),
            verdict,
            stage,
            reason: reason.map(|reason| reason.to_string()),
            out: out(replay),
            mark: outcome.map_or(0, |outcome| outcome.mark),
            ct: flow.map(|(id, flow)| FlowRecord::of(engine, id, &flow, replay.now())),
            count: replay.engines().iter().map(Engine::count).sum(),
            events: Vec::new(),
            late: Vec::new(),
            late_out: Vec::new(),
            others: Vec::new(),
            expects: expects(replay),
            log: lines(replay, LogTopic::Rule).map(str::to_owned).collect(),
            why: lines(replay, LogTopic::Invalid).map(reason_of).collect(),
            nflog: replay.copies().iter().map(CopyRecord::new).collect(),
        }
    }
}

/// Verdict and stage in the format's words, and the reason of a drop. The
/// format does not tell a fragment that is kept from one that is useless.
fn ending(passed: &Passed) -> (&'static str, &'static str, Option<DropReason>) {
    match passed.outcome.map(|outcome| outcome.verdict) {
        None => ("drop", "rx", None),
        Some(Verdict::Forward { .. } | Verdict::Queued(Onward::Forward)) => {
            ("forward", "out", None)
        }
        Some(Verdict::Local | Verdict::Queued(Onward::Local)) => ("local", "local", None),
        Some(Verdict::Held) => ("consumed", "defrag", None),
        Some(Verdict::Drop(reason)) => {
            let verdict = match reason.stage() {
                Stage::Defrag => "consumed",
                _ if passed.is_answered => "reject",
                _ => "drop",
            };
            (verdict, reason.stage().name(), Some(reason))
        }
    }
}

fn expects(replay: &Replay) -> Vec<ExpectationRecord> {
    let record = |expectation| ExpectationRecord::new(expectation, replay.now());
    replay.engines().iter().flat_map(Engine::expectations).map(record).collect()
}

/// A packet that an NFLOG rule copied.
#[derive(Serialize)]
struct CopyRecord {
    group: u16,
    prefix: String,
    hex: String,
}

impl CopyRecord {
    fn new(copy: &PacketCopy) -> Self {
        let hex = Hex(&copy.bytes).to_string();
        Self { group: copy.group, prefix: copy.prefix.clone(), hex }
    }
}

#[derive(Serialize)]
struct OutRecord {
    port: &'static str,
    by: &'static str,
    hex: String,
    txt: String,
}

/// What left: by the LAN port first, then by the WAN port.
fn out(replay: &Replay) -> Vec<OutRecord> {
    let mut left: Vec<_> = replay.outbox().left().collect();
    left.sort_by_key(|left| left.port);
    let record = |left: super::outbox::Left<'_>| OutRecord {
        port: side(left.port),
        by: left.origin.name(),
        hex: Hex(left.datagram).to_string(),
        txt: PacketLine(left.datagram).to_string(),
    };
    left.into_iter().map(record).collect()
}

#[derive(Serialize)]
struct OtherRecord {
    op: &'static str,
    ct: FlowRecord,
}

/// By the worker that has them.
type Snapshot = BTreeMap<(usize, FlowId), FlowRecord>;

fn snapshot(replay: &Replay) -> Snapshot {
    let of_worker = |(worker, engine): (usize, &'_ Engine)| -> Vec<_> {
        let record = |id, flow| FlowRecord::of(engine, id, &flow, replay.now());
        engine.flows().map(|(id, flow)| ((worker, id), record(id, flow))).collect()
    };
    replay.engines().iter().enumerate().flat_map(of_worker).collect()
}

/// Flows that a packet touched besides its own.
///
/// A packet may have killed its own flow, which the engine then no longer
/// names. Such a flow is one that was never answered: an answered one is only
/// deleted to make place for a successor, and then the packet has that.
fn others(
    before: &Snapshot,
    after: &Snapshot,
    own: Option<(usize, FlowId)>,
    may_own_a_gone_one: bool,
) -> Vec<OtherRecord> {
    let is_other = |id: &(usize, FlowId)| Some(*id) != own;
    let touched = after.iter().filter(|(id, _)| is_other(id)).filter_map(|(id, flow)| {
        let op = match before.get(id) {
            None => "new",
            Some(earlier) if flow.differs_from(earlier) => "changed",
            Some(_) => return None,
        };
        Some(OtherRecord { op, ct: flow.clone() })
    });
    let gone = before.iter().filter(|(id, flow)| {
        let is_own = may_own_a_gone_one && !flow.is_replied();
        is_other(id) && !after.contains_key(id) && !is_own
    });
    touched.chain(gone.map(|(_, flow)| OtherRecord { op: "gone", ct: flow.clone() })).collect()
}

/// The last line of a scenario.
#[derive(Serialize)]
struct FinalRecord {
    scenario: String,
    #[serde(rename = "final")]
    is_final: bool,
    table: Vec<FlowRecord>,
    stats: BTreeMap<&'static str, u64>,
    counters: BTreeMap<&'static str, Vec<String>>,
}

impl FinalRecord {
    fn new(replay: &Replay) -> Self {
        Self {
            scenario: replay.name().to_owned(),
            is_final: true,
            table: snapshot(replay).into_values().collect(),
            stats: stats(replay),
            counters: counters(replay),
        }
    }
}

/// The format leaves out what depends on the number of processors.
fn stats(replay: &Replay) -> BTreeMap<&'static str, u64> {
    let mut stats = BTreeMap::new();
    for (name, count) in replay.engines().iter().flat_map(|engine| engine.stats().named()) {
        *stats.entry(name).or_default() += count;
    }
    for name in ["search_restart", "clash_resolve", "chaintoolong"] {
        stats.remove(name);
    }
    stats
}

/// What `iptables-save -c` prints, without comments and COMMIT.
fn counters(replay: &Replay) -> BTreeMap<&'static str, Vec<String>> {
    let named = |family: &Family| {
        let name = if *family == Family::V6 { "6" } else { "4" };
        let printed = replay.engines().iter().map(|engine| engine.rules(*family, true));
        let all: Vec<_> =
            printed.collect::<Option<Vec<_>>>()?.iter().map(|one| lines_of(one)).collect();
        Some((name, all.into_iter().reduce(|one, other| added(&one, &other))?))
    };
    replay.families().iter().filter_map(named).collect()
}

/// The lines of a ruleset, without its comments and ends of tables.
fn lines_of(rules: &str) -> Vec<String> {
    rules.lines().filter(|line| line.starts_with(['*', '[', ':'])).map(str::to_owned).collect()
}

/// Two workers' lines with the sums of their counters.
fn added(one: &[String], other: &[String]) -> Vec<String> {
    one.iter().zip(other).map(|(one, other)| sum_of(one, other).unwrap_or(one.clone())).collect()
}

/// The same line twice, with `[packets:bytes]` in it.
fn sum_of(one: &str, other: &str) -> Option<String> {
    let parts = |line: &str| -> Option<(String, [u64; 2], String)> {
        let (before, rest) = line.split_once('[')?;
        let (counters, behind) = rest.split_once(']')?;
        let (packets, bytes) = counters.split_once(':')?;
        Some((before.to_owned(), [packets.parse().ok()?, bytes.parse().ok()?], behind.to_owned()))
    };
    let ((before, [packets, bytes], behind), (_, more, _)) = (parts(one)?, parts(other)?);
    Some(format!("{before}[{}:{}]{behind}", packets + more[0], bytes + more[1]))
}

fn compact(event: &Event) -> String {
    CompactEvent(event).to_string()
}

/// Seconds since the first packet.
fn seconds(at: Instant) -> f64 {
    at.saturating_sub(START).as_secs_f64()
}

fn side(port: PortId) -> &'static str {
    if port == IN0 { "lan" } else { "wan" }
}

/// What the log says about something.
fn lines(replay: &Replay, topic: LogTopic) -> impl Iterator<Item = &str> {
    replay.log().iter().filter(move |line| line.topic == topic).map(|line| line.text.as_str())
}

/// What stands in a line of the log before the packet.
fn reason_of(line: &str) -> String {
    line.split(" IN=").next().unwrap_or(line).to_owned()
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Bytes as lower-case hex digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
