//! `instructions`: how many instructions a packet takes, kept in a file and compared with it.
//!
//! Status: 0 if nothing has changed, 1 if something has or valgrind fails.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use tidegate_bench::allocator::Counting;
use tidegate_bench::counting::{self, Part, Record};
use tidegate_bench::rows::RowName;
use tidegate_wire::Family;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts the instructions of the hot rows under valgrind.
#[derive(Debug, Parser)]
#[command(name = "instructions", version, about)]
struct Flags {
    /// Fail if a row differs by more than 3 % from the file (10 % under another compiler)
    #[arg(long)]
    check: bool,

    /// Write the file anew
    #[arg(long, conflicts_with = "check")]
    write: bool,

    /// Run one row, to be counted: its name, ipv4 or ipv6
    #[arg(long, num_args = 2, hide = true)]
    run: Vec<String>,

    /// Of that row, have the packets processed as well
    #[arg(long, hide = true)]
    processed: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let done = match flags.run.as_slice() {
        [row, family] => run(row, family, flags.processed),
        _ => count(&flags),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(row: &str, family: &str, processed: bool) -> io::Result<()> {
    let row = counting::ROWS.into_iter().find(|known: &RowName| known.as_str() == row);
    let row = row.ok_or_else(|| io::Error::other("no such row"))?;
    let family = if family == "ipv6" { Family::V6 } else { Family::V4 };
    counting::run(row, family, if processed { Part::Processed } else { Part::Written });
    Ok(())
}

fn count(flags: &Flags) -> io::Result<()> {
    let found = Record { compiler: counting::compiler()?, counts: counting::count_all()? };
    print!("{}", found.text());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    if flags.write {
        return fs::write(path, found.text());
    }
    if flags.check {
        return compare(&fs::read_to_string(path)?, &found);
    }
    Ok(())
}

fn compare(text: &str, found: &Record) -> io::Result<()> {
    let kept = Record::read(text).ok_or_else(|| io::Error::other("instructions.txt is damaged"))?;
    let tolerance = kept.tolerance(&found.compiler);
    if kept.compiler != found.compiler {
        eprintln!("note: the file's figures are of another compiler, {}", kept.compiler);
    }
    let differences = kept.differences(&found.counts, tolerance);
    if differences.is_empty() {
        eprintln!("no row differs by more than {:.0} %", tolerance * 100.0);
        return Ok(());
    }
    Err(io::Error::other(format!(
        "more or fewer instructions than instructions.txt says:\n{}\n\
         If that is meant, run with --write and state it in the commit message.",
        differences.join("\n")
    )))
}
