//! One experiment, done by the kernel and by the engine, and judged.

mod licences;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_gateway::replay::{Fault, Recorder, Replay, Scenario as Input};

use self::licences::licences;
use super::experiment::{Action, Experiment, files};
use super::kernel::{Kernel, KernelError, Recorded, Source};
use super::settle::{Doubt, settle};
use crate::corpus::Scenario;
use crate::oracle::{Difference, Options, compare};

/// What came of an experiment.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    /// What was done, and what the kernel made of it.
    pub(super) recorded: Recorded,
    /// The same as a scenario of the corpus: what the kernel said, to the letter, at the times with which it was judged.
    pub(super) scenario: Scenario,
    /// Where the engine decided otherwise.
    pub(super) differences: Vec<Difference>,
    /// Whether times other than the likely ones had to be read for that.
    pub(super) is_reread: bool,
    /// The packet with which the router spoke to itself, if the engine differed there: what follows is not judged.
    pub(super) judged_until: Option<usize>,
}

impl Trial {
    /// Asks the kernel, then the engine, then the judge.
    ///
    /// # Errors
    /// The kernel gave no answer.
    pub(super) fn run(
        kernel: &Kernel,
        experiment: &Experiment,
        source: &mut dyn Source,
    ) -> Result<Self, KernelError> {
        let recorded = kernel.record(experiment, source)?;
        let told = |records: &[Value], times: &[Duration]| {
            scenario(experiment, &recorded, (records, times))
        };
        let doubt =
            |records: &[Value], times: &[Duration]| doubt(records, &judge(&told(records, times)));
        let Settled { times, records, is_told_ahead } = settled(&recorded, &doubt);
        let mut pairs = recorded.readings.iter().zip(&times);
        let is_reread = is_told_ahead || pairs.any(|(reading, time)| reading.likely != *time);
        let mut differences = judge(&told(&records, &times));
        let scenario = told(&recorded.records, &times);
        let judged_until = until_itself(&recorded.records, &differences);
        if judged_until.is_some() {
            differences.clear();
        }
        Ok(Self { recorded, scenario, differences, is_reread, judged_until })
    }

    /// What kind of thing differs first: the field of the record, without what is in it.
    pub(super) fn kind(&self) -> Option<&str> {
        let field = self.differences.first()?.field.as_str();
        Some(&field[..field.find(['.', '[']).unwrap_or(field.len())])
    }
}

/// How an experiment is judged.
#[derive(Debug, PartialEq)]
struct Settled {
    times: Vec<Duration>,
    /// The kernel's, but for ends that are told ahead of their packets.
    records: Vec<Value>,
    is_told_ahead: bool,
}

/// Tells where records differ from an engine that is told times.
type Doubting<'a> = dyn Fn(&[Value], &[Duration]) -> Option<Doubt> + 'a;

/// The times with which the first difference comes last, and whether an end was told ahead of its packet for that. `doubt`
/// tells where records differ from an engine that is told times.
///
/// An entry that expires between the last look at the table and the packet is found dead by the packet, in whose record its end
/// is then; the engine tells it ahead of the packet. That is no difference if both can be: if the first difference is at
/// the packet while the engine is told a time at which the entry lives, and not there when it is told another.
fn settled(recorded: &Recorded, doubt: &Doubting<'_>) -> Settled {
    let once = |records: &[Value]| {
        let times = settle(&recorded.readings, &mut |times| doubt(records, times));
        let left = doubt(records, &times);
        (times, left)
    };
    let mut records = recorded.records.clone();
    let (mut times, mut left) = once(&records);
    let mut is_told_ahead = false;
    while let Some(Doubt { packet, .. }) = left {
        let mut others = records.clone();
        if !tell_ahead(&mut others, packet) {
            break;
        }
        let (other_times, next) = once(&others);
        if next.as_ref().is_some_and(|next| next.packet <= packet) {
            break;
        }
        (times, records, left, is_told_ahead) = (other_times, others, next, true);
    }
    Settled { times, records, is_told_ahead }
}

/// Has the end of an entry told ahead of packet `index`, if it is the first thing that the packet caused; whether it is.
fn tell_ahead(records: &mut [Value], index: usize) -> bool {
    let Some([before, at]) = index.checked_sub(1).and_then(|from| records.get_mut(from..=index))
    else {
        return false;
    };
    let is_end = |event: &Value| event.as_str().is_some_and(|text| text.starts_with("[DESTROY]"));
    let Some(events) = at
        .get_mut("events")
        .and_then(Value::as_array_mut)
        .filter(|events| events.first().is_some_and(is_end))
    else {
        return false;
    };
    let end = events.remove(0);
    let text = end.as_str().unwrap_or_default().to_owned();
    let is_its = |other: &Value| {
        other["op"] == "gone" && original(&other["ct"]).is_some_and(|entry| tells(&text, &entry))
    };
    if let Some(others) = at.get_mut("others").and_then(Value::as_array_mut) {
        others.retain(|other| !is_its(other));
    }
    match &mut before["late"] {
        Value::Array(late) => late.push(end),
        late => *late = vec![end].into(),
    }
    true
}

/// What the engine does otherwise.
fn judge(scenario: &Scenario) -> Vec<Difference> {
    match replay(scenario) {
        Ok(records) => compare(scenario, &records, Options { strict: true }).differences,
        Err(refusal) => vec![refusal],
    }
}

/// Where the first difference is, and the last packets before it of the entries that it is about.
fn doubt(records: &[Value], differences: &[Difference]) -> Option<Doubt> {
    let first = differences.first()?;
    let packet = first.index.unwrap_or(records.len());
    let own = records.get(packet).and_then(|record| original(&record["ct"]));
    let is_meant = |entry: &str| {
        own.as_deref() == Some(entry)
            || [&first.expected, &first.got].iter().any(|text| tells(text, entry))
    };
    let is_concerned = |(_, record): &(usize, &Value)| {
        original(&record["ct"]).is_some_and(|entry| is_meant(&entry))
    };
    let before = records.iter().enumerate().take(packet).rev();
    let concerned = before.filter(is_concerned).map(|(index, _)| index).take(CONCERNED);
    Some(Doubt { packet, concerned: concerned.collect() })
}

/// Whether a text tells the fields of a tuple, in whole words: port 25 is not port 2.
fn tells(text: &str, tuple: &str) -> bool {
    let is_end =
        |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || ".:".contains(c));
    text.match_indices(tuple).any(|(at, found)| is_end(&text[at + found.len()..]))
}

/// The original tuple of an entry, as events spell it.
fn original(entry: &Value) -> Option<String> {
    let tuple = &entry["orig"];
    let fields = ["src", "dst", "sport", "dport", "srckey", "dstkey", "type", "code", "id"];
    let told = fields.iter().filter_map(|field| match &tuple[field] {
        Value::Null => None,
        Value::String(text) => Some(format!("{field}={text}")),
        other => Some(format!("{field}={other}")),
    });
    tuple.is_object().then(|| told.collect::<Vec<_>>().join(" "))
}

/// The first packet that differs, if the router speaks to itself because of it: that the engine does otherwise
/// (`docs/deliberate-differences.md`), and all that follows from it. The kernel's record then says that the packet came to the
/// host, as what it heard last was its own answer; the engine's, that it was dropped. Anything else stays a difference.
fn until_itself(records: &[Value], differences: &[Difference]) -> Option<usize> {
    let first = differences.first()?.index?;
    let at = || differences.iter().filter(|difference| difference.index == Some(first));
    let is_of = |difference: &Difference, field| difference.field == field;
    let is_known = at().any(|d| {
        is_of(d, "verdict")
            && d.expected.trim_matches('"') == "local"
            && d.got.trim_matches('"') == "drop"
    });
    let is_classified_alike = !at().any(|d| is_of(d, "ctstate") || is_of(d, "dir"));
    let is_itself = records.get(first)?["to_itself"] == true;
    (is_itself && is_known && is_classified_alike).then_some(first)
}

fn scenario(
    experiment: &Experiment,
    recorded: &Recorded,
    (records, times): (&[Value], &[Duration]),
) -> Scenario {
    let mut scenario = Scenario::new(&experiment.name);
    let first = times.first().copied().unwrap_or_default();
    let times: Vec<Duration> = times.iter().map(|time| *time - first).collect();
    let began = if asks_the_time(experiment, recorded) { recorded.began } else { Duration::ZERO };
    scenario.files = files(experiment, &recorded.steps, &times, began);
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    scenario.files.insert("expected.jsonl".to_owned(), lines.into_bytes());
    let end = format!("{:#}\n", recorded.end);
    scenario.files.insert("expected.final.json".to_owned(), end.into_bytes());
    let licences = licences(recorded);
    if licences != json!({}) {
        scenario.files.insert("vary.json".to_owned(), licences.to_string().into_bytes());
    }
    scenario
}

/// Whether a rule asks the time of day.
fn asks_the_time(experiment: &Experiment, recorded: &Recorded) -> bool {
    let actions = recorded.steps.iter().flat_map(|step| &step.actions);
    let later = actions.filter_map(|action| match action {
        Action::Rules { rules, .. } => Some(rules),
        _ => None,
    });
    let all = experiment.rules.iter().flatten().chain(later).flat_map(|rules| &rules.tables);
    all.flat_map(|table| &table.rules).any(|rule| rule.contains("-m time"))
}

fn replay(scenario: &Scenario) -> Result<Vec<Value>, Difference> {
    let refused = |faults: &[Fault]| {
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        difference("refused", said.join("; "))
    };
    let input = Input::from_files(&scenario.name, scenario.files.clone())
        .map_err(|faults| refused(&faults))?;
    let mut record = Vec::new();
    let done = catch_unwind(AssertUnwindSafe(|| {
        let mut replay = Replay::new(input, true);
        Recorder::new(&mut record).run(&mut replay, |_| Ok(()))
    }));
    match done {
        Ok(Ok(())) => {}
        Ok(Err(stop)) => return Err(difference("stopped", format!("{stop:?}"))),
        Err(_) => return Err(difference("panic", "a panic".to_owned())),
    }
    let text = String::from_utf8_lossy(&record);
    let values = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    values.map_err(|error| difference("record", error.to_string()))
}

fn difference(field: &str, got: String) -> Difference {
    let expected = "a replay".to_owned();
    Difference { index: None, field: field.to_owned(), expected, got }
}

/// Packets of an entry whose times are tried.
const CONCERNED: usize = 12;

#[cfg(test)]
mod tests;
