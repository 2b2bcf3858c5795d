//! SYNPROXY against the kernel: scenarios that a recording alone cannot hold.
//!
//! The client must quote a cookie that nobody can foretell, and the engine's are not the kernel's. So the two ends are
//! played while the router is watched (`player`), once against the kernel and once against the engine, and in both
//! records names are put in the place of what was drawn (`symbols`). From then on they are records as any others,
//! for the judge of the corpus.
//!
//! ```text
//! case --> moves --> player <--> kernel --> record --> symbols --+--> recording, kept in an archive
//!                    player <--> engine --> record --> symbols --+--> judge
//! ```

mod cases;
mod chance;
mod handshakes;
mod moves;
mod player;
mod scripts;
mod symbols;

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_gateway::replay::{Recorder, Replay, Scenario as Input};
use tidegate_wire::dissect;
use tidegate_wire::packet::tcp::{Tcp, TcpFlags};

pub use self::cases::{Case, all, by_chance};

use self::player::Player;
use self::symbols::Symbols;
use super::KernelError;
use super::experiment::{Side, Step, files};
use super::kernel::{self, Kernel, Output, Source};
use crate::corpus::{self, CorpusError, Scenario};
use crate::oracle::{Comparison, Difference, Options, compare};

const KERNEL_6_18: &[u8] = include_bytes!("../../../corpus/synproxy-6.18.tar.gz");
/// The file of a case in the archive.
const FILE: &str = "expected.jsonl";

/// What became of a case's packets, with names for what was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// One record a packet, as in the scenario format.
    pub records: Vec<Value>,
    /// The state at the end; besides what the format has, the `time` of it and the counters of `synproxy`.
    pub end: Value,
}

/// Plays a case with the running kernel. To be called while the program has a single thread: whoever is not root
/// enters a user namespace, and the thread ends up in another network namespace.
///
/// # Errors
/// The kernel can't be asked.
pub fn ask_kernel(case: &Case) -> Result<Recording, KernelError> {
    let kernel = Kernel::enter()?;
    kernel::stay_on_processor(0)?;
    let mut player = Player::new(case.place(), case.moves());
    let recorded = kernel.record(&case.experiment(), &mut player)?;
    let mut records = recorded.records;
    for (record, step) in records.iter_mut().zip(&recorded.steps) {
        mend(record, &step.datagram);
    }
    let mut end = recorded.end;
    end["time"] = recorded.took.as_secs_f64().into();
    end["synproxy"] = kernel::synproxy_counters()?.into();
    Ok(Recording::named(records, end))
}

/// What a kernel did with the cases, by their names: what is built into this crate.
///
/// # Errors
/// The archive is damaged.
pub fn recordings() -> Result<BTreeMap<String, Recording>, CorpusError> {
    let scenarios = corpus::unpack(KERNEL_6_18)?;
    let read = |scenario: Scenario| {
        let mut records = scenario.json_lines(FILE)?;
        let end = records.pop().unwrap_or_default();
        Ok((scenario.name, Recording { records, end }))
    };
    scenarios.into_iter().map(read).collect()
}

/// The archive of some recordings.
///
/// # Errors
/// They can't be packed.
pub fn pack(recordings: &BTreeMap<String, Recording>) -> Result<Vec<u8>, CorpusError> {
    let scenario = |(name, recording): (&String, &Recording)| {
        let mut scenario = Scenario::new(name);
        scenario.files.insert(FILE.to_owned(), recording.to_text().into_bytes());
        scenario
    };
    corpus::pack(&recordings.iter().map(scenario).collect::<Vec<_>>())
}

/// Plays a case with the engine, at the times of a recording.
///
/// # Errors
/// The rules are refused, or the replay stops.
pub fn ask_engine(case: &Case, like: &Recording) -> Result<Recording, String> {
    let mut times: Vec<Duration> = like.records.iter().map(|record| time(&record["t"])).collect();
    times.push(time(&like.end["time"]));
    let mut player = Player::new(case.place(), case.moves());
    let (mut steps, mut left) = (Vec::<Step>::new(), Vec::new());
    while let Some(step) = player.next(Duration::ZERO, &left) {
        steps.push(step);
        // What is known of the packets so far is played from the beginning, to learn what the next one must be.
        let known = times.get(..steps.len()).ok_or("the recording is of fewer packets")?;
        let records = replay(case, &steps, known)?.0;
        left = records.get(steps.len() - 1).map(outputs).unwrap_or_default();
    }
    let (mut records, counters) = replay(case, &steps, &times)?;
    let mut end = records.pop().unwrap_or_default();
    end["synproxy"] = counters;
    Ok(Recording::named(records, end))
}

/// Plays a case with both. The kernel's cookies change with every minute and its clock ticks when it likes, so what is
/// different is done again, and counts if it stays different.
///
/// # Errors
/// The kernel can't be asked, or the engine refuses the rules.
pub fn compare_with_kernel(case: &Case) -> Result<(Recording, Comparison), Box<dyn Error>> {
    let mut compared = compare_once(case)?;
    for _ in 0..2 {
        if !compared.1.is_equal() {
            compared = compare_once(case)?;
        }
    }
    Ok(compared)
}

fn compare_once(case: &Case) -> Result<(Recording, Comparison), Box<dyn Error>> {
    let kernel = ask_kernel(case)?;
    let comparison = judge(case, &kernel, &ask_engine(case, &kernel)?);
    Ok((kernel, comparison))
}

/// Where the engine's recording isn't the kernel's.
#[must_use]
pub fn judge(case: &Case, kernel: &Recording, engine: &Recording) -> Comparison {
    let mut scenario = Scenario::new(&case.name());
    let lines: String = kernel.records.iter().map(|record| format!("{record}\n")).collect();
    scenario.files.insert("expected.jsonl".to_owned(), lines.into_bytes());
    let mut end = engine.end.clone();
    // On a busy machine an entry is looked at when it has aged. No two timeouts are that near to each other.
    let mut vary = json!({"timeout_tolerance": 5});
    if case.is_of_host() {
        // The kernel's packet to itself comes back by the loopback interface, and rules and the recorder see it twice.
        end.as_object_mut().map(|end| end.remove("counters"));
        vary["skip"] = json!([{"field": "verdict"}, {"field": "stage"}]);
    }
    scenario.files.insert("vary.json".to_owned(), vary.to_string().into_bytes());
    scenario.files.insert("expected.final.json".to_owned(), kernel.end.to_string().into_bytes());
    let actual = [&engine.records[..], &[end]].concat();
    let mut comparison = compare(&scenario, &actual, Options { strict: true });
    let [expected, got] = [&kernel.end, &engine.end].map(|end| end["synproxy"].to_string());
    if expected != got {
        let field = "synproxy".to_owned();
        comparison.differences.push(Difference { index: None, field, expected, got });
    }
    comparison
}

impl Recording {
    fn named(mut records: Vec<Value>, mut end: Value) -> Self {
        let mut symbols = Symbols::default();
        records.iter_mut().for_each(|record| symbols.replace(record));
        symbols.replace(&mut end);
        Self { records, end }
    }

    /// A line of JSON for each packet, and one for the end.
    fn to_text(&self) -> String {
        self.records.iter().chain([&self.end]).map(|line| format!("{line}\n")).collect()
    }
}

/// The recorder knows a forwarded packet by its addresses, and so takes what SYNPROXY sends in its place for the packet
/// itself. That has other flags.
fn mend(record: &mut Value, datagram: &[u8]) {
    let flags = flags_of(datagram);
    let is_itself = |output: &Output| output.is_forwarded && flags_of(&output.datagram) == flags;
    if record["verdict"] == "forward" && !outputs(record).iter().any(is_itself) {
        record["verdict"] = "reject".into();
        record["stage"] = "confirm".into();
    }
}

fn flags_of(datagram: &[u8]) -> Option<TcpFlags> {
    let headers = dissect(datagram).ok()?;
    Tcp::new(headers.payload(datagram)).map(|tcp| tcp.flags())
}

/// The records, the last of them of the end, and the proxy's counters.
fn replay(case: &Case, steps: &[Step], times: &[Duration]) -> Result<(Vec<Value>, Value), String> {
    // No rule of a case asks for the time of day.
    let files = files(&case.experiment(), steps, times, Duration::ZERO);
    let input = Input::from_files(&case.name(), files)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let mut record = Vec::new();
    let mut replay = Replay::new(input, true);
    let done = Recorder::new(&mut record).run(&mut replay, |_| Ok(()));
    done.map_err(|stop| format!("{stop:?}"))?;
    let text = String::from_utf8_lossy(&record);
    let records = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    let counters = replay.engine().stats().synproxy.named().map(|(_, count)| count);
    Ok((records.map_err(|error| error.to_string())?, json!(counters)))
}

fn outputs(record: &Value) -> Vec<Output> {
    let list = record["out"].as_array().into_iter().flatten();
    let output = |value: &Value| {
        let side = if value["port"] == "lan" { Side::Lan } else { Side::Wan };
        let datagram = symbols::bytes_of(value["hex"].as_str()?)?;
        Some(Output { side, datagram, is_forwarded: value["by"] == "fwd" })
    };
    list.filter_map(output).collect()
}

fn time(value: &Value) -> Duration {
    Duration::from_secs_f64(value.as_f64().unwrap_or_default().max(0.0))
}
