//! The tool around the oracle: the campaign against the kernel, replays compared, scenarios
//! packed, captures fetched.
//!
//! Exit status: 0 for success and equal replays, 1 for unequal ones, 2 for anything that could not
//! be done.

mod flags;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use tidegate_sim::campaign::{self, Plan, synproxy as proxied};
use tidegate_sim::captures;
use tidegate_sim::corpus::{self, Scenario};
use tidegate_sim::extensions;
use tidegate_sim::interop;
use tidegate_sim::oracle::{self, Options, Summary};

use crate::flags::{CampaignArgs, Cli, Command, Seeds};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Campaign(args) => campaign(args),
        Command::Synproxy { name, seeds, save } => synproxy(&name, seeds, save.as_deref()),
        Command::Compare { expected, actual, strict, all } => {
            compare(&expected, &actual, strict, all)
        }
        Command::Pack { dir, out } => pack(&dir, &out),
        Command::Unpack { dir } => unpack(&dir),
        Command::Example { dir } => example(&dir),
        Command::Traffic { out, packets, flows } => traffic(&out, packets, flows),
        Command::FetchCaptures { dir } => fetch_captures(&dir),
        Command::CheckCaptures { dir } => check_captures(&dir),
        Command::CheckExtensions { dir } => check_extensions(&dir),
        Command::Interop { dir } => interop(dir),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tidegate-sim: {error}");
        ExitCode::from(2)
    })
}

fn campaign(args: CampaignArgs) -> Result<ExitCode, Box<dyn Error>> {
    let seeds = args.seeds.0;
    let named: Vec<String> = seeds.iter().map(|range| format!("{range:?}")).collect();
    println!("seeds {}, {} packets each", named.join(", "), args.packets);
    let plan = Plan {
        seeds,
        packets: args.packets,
        limit: args.limit,
        save: args.save,
        jobs: args.jobs,
        shrinks: !args.no_shrink,
    };
    let report = campaign::run(&plan, &|finding| println!("{finding}"))?;
    println!("{report}");
    if report.scenarios == 0 {
        return Err("not one scenario was done".into());
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn synproxy(
    name: &str,
    seeds: Option<Seeds>,
    save: Option<&Path>,
) -> Result<ExitCode, Box<dyn Error>> {
    let cases: Vec<proxied::Case> = match seeds {
        Some(Seeds(ranges)) => ranges.into_iter().flatten().map(proxied::by_chance).collect(),
        None => proxied::all().collect(),
    };
    let (mut summary, mut recordings) = (Summary::default(), BTreeMap::new());
    for case in cases.iter().filter(|case| case.name().contains(name)) {
        let (kernel, comparison) = proxied::compare_with_kernel(case)?;
        for difference in &comparison.differences {
            println!("{}: {difference}", case.name());
        }
        summary.add(&comparison);
        recordings.insert(case.name(), kernel);
    }
    println!("{summary}");
    if let Some(path) = save {
        let archive = proxied::pack(&recordings)?;
        fs::write(path, archive).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(if summary.all_equal() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(
    expected: &str,
    actual: &str,
    strict: bool,
    shows_all: bool,
) -> Result<ExitCode, Box<dyn Error>> {
    let options = Options { strict };
    let scenarios = Scenario::load_dir(expected)?;
    let actual = read_records(actual)?;
    let mut summary = Summary::default();
    for scenario in &scenarios {
        let records = records_of(scenario, &actual, scenarios.len() == 1);
        let comparison = oracle::compare(scenario, records, options);
        let shown = if shows_all { usize::MAX } else { 1 };
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

fn traffic(out: &str, packets: u64, flows: u32) -> Result<ExitCode, Box<dyn Error>> {
    let failed = |error| format!("{out}: {error}");
    let file = fs::File::create(out).map_err(failed)?;
    let sink = std::io::BufWriter::new(file);
    tidegate_sim::traffic::write(sink, packets, flows).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn interop(dir: Option<PathBuf>) -> Result<ExitCode, Box<dyn Error>> {
    interop::prepare()?;
    let own = std::env::current_exe()?;
    let dir = dir.or_else(|| own.parent().map(Path::to_owned)).unwrap_or_default();
    let messages = interop::exchange::compare().map_err(|error| error.to_string())?;
    println!("messages: {messages}");
    let build = interop::commands::Build { dir };
    let commands = interop::commands::compare(&build).map_err(|error| error.to_string())?;
    println!("commands: {commands}");
    let is_good = messages.is_good() && commands.is_good();
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_captures(dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let report = captures::check(dir)?;
    print!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_extensions(dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let report = extensions::check(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    println!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn fetch_captures(dir: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let captures = captures::fetch(dir)?;
    for capture in &captures {
        println!("{:>10} {}", capture.bytes, capture.path.display());
    }
    let total: u64 = captures.iter().map(|capture| capture.bytes).sum();
    println!("{} captures, {total} bytes", captures.len());
    Ok(ExitCode::SUCCESS)
}
