//! The tool around the corpus: compares replays, packs scenarios, fetches captures.
//!
//! Exit status: 0 for success and equal replays, 1 for unequal ones, 2 for anything that could not
//! be done.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value;

use tidegate_sim::captures;
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::oracle::{self, Options, Summary};

const USAGE: &str = "\
usage: tidegate-sim compare EXPECTED_DIR ACTUAL.jsonl [--strict] [--all]
           compares a replay with the recordings in a scenario directory or a tree of them;
           prints the first difference of each scenario (--all: all of them)
       tidegate-sim pack DIR OUT.tar.gz
           packs the scenarios under DIR the way the built-in corpus is
       tidegate-sim unpack DIR
           writes the scenarios of the built-in corpus into DIR
       tidegate-sim example DIR
           writes the example capture, its rules and its settings into DIR
       tidegate-sim traffic OUT.pcap PACKETS FLOWS
           writes a large capture for measuring
       tidegate-sim fetch-captures DIR
           fetches real captures from source packages of the distribution
       tidegate-sim check-captures DIR
           replays all captures under DIR; compares the flows of some with tshark";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (flags, words): (Vec<&str>, Vec<&str>) =
        arguments.iter().map(String::as_str).partition(|argument| argument.starts_with("--"));
    let done = match (words.as_slice(), flags.as_slice()) {
        (["compare", expected, actual], flags)
            if flags.iter().all(|f| COMPARE_FLAGS.contains(f)) =>
        {
            compare(expected, actual, flags)
        }
        (["pack", dir, out], []) => pack(dir, out),
        (["unpack", dir], []) => unpack(dir),
        (["traffic", out, packets, flows], []) => traffic(out, packets, flows),
        (["example", dir], []) => example(dir),
        (["check-captures", dir], []) => check_captures(dir),
        (["fetch-captures", dir], []) => fetch_captures(dir),
        _ => Err(USAGE.into()),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

const COMPARE_FLAGS: [&str; 2] = ["--strict", "--all"];

fn compare(expected: &str, actual: &str, flags: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let options = Options { strict: flags.contains(&"--strict") };
    let scenarios = Scenario::load_dir(expected)?;
    let actual = read_records(actual)?;
    let mut summary = Summary::default();
    for scenario in &scenarios {
        let records = records_of(scenario, &actual, scenarios.len() == 1);
        let comparison = oracle::compare(scenario, records, options);
        let shown = if flags.contains(&"--all") { usize::MAX } else { 1 };
        for difference in comparison.differences.iter().take(shown) {
            println!("{}: {difference}", scenario.name);
        }
        summary.add(&comparison);
    }
    println!("{summary}");
    Ok(if summary.all_equal() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Records = BTreeMap<Option<String>, Vec<Value>>;

/// The records of a replay by the scenario that they name.
fn read_records(path: &str) -> Result<Records, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let mut records = Records::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let record: Value = serde_json::from_str(line)
            .map_err(|error| format!("{path}, line {}: {error}", number + 1))?;
        let scenario = record["scenario"].as_str().map(str::to_owned);
        records.entry(scenario).or_default().push(record);
    }
    Ok(records)
}

/// Records without a name belong to the scenario if it is the only one.
fn records_of<'a>(scenario: &Scenario, records: &'a Records, is_only: bool) -> &'a [Value] {
    let own = records.get(&Some(scenario.name.clone()));
    let nameless = records.get(&None).filter(|_| is_only);
    own.or(nameless).map_or(&[], Vec::as_slice)
}

fn pack(dir: &str, out: &str) -> Result<ExitCode, Box<dyn Error>> {
    let scenarios = Scenario::load_dir(dir)?;
    let archive = corpus::pack(&scenarios)?;
    fs::write(out, &archive).map_err(|error| format!("{out}: {error}"))?;
    println!("{} scenarios, {} bytes", scenarios.len(), archive.len());
    Ok(ExitCode::SUCCESS)
}

fn unpack(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    let scenarios = corpus::scenarios()?;
    for scenario in &scenarios {
        let place: PathBuf = [dir, scenario.name.as_str()].iter().collect();
        fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
        for (file, bytes) in &scenario.files {
            let path = place.join(file);
            fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    println!("{} scenarios", scenarios.len());
    Ok(ExitCode::SUCCESS)
}

fn example(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    fs::create_dir_all(dir).map_err(|error| format!("{dir}: {error}"))?;
    for (name, bytes) in tidegate_sim::example::files() {
        let path = Path::new(dir).join(name);
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn traffic(out: &str, packets: &str, flows: &str) -> Result<ExitCode, Box<dyn Error>> {
    let failed = |error| format!("{out}: {error}");
    let file = fs::File::create(out).map_err(failed)?;
    let sink = std::io::BufWriter::new(file);
    tidegate_sim::traffic::write(sink, packets.parse()?, flows.parse()?).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn check_captures(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    let report = captures::check(Path::new(dir))?;
    print!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fetch_captures(dir: &str) -> Result<ExitCode, Box<dyn Error>> {
    let captures = captures::fetch(Path::new(dir))?;
    for capture in &captures {
        println!("{:>10} {}", capture.bytes, capture.path.display());
    }
    let total: u64 = captures.iter().map(|capture| capture.bytes).sum();
    println!("{} captures, {total} bytes", captures.len());
    Ok(ExitCode::SUCCESS)
}
