//! `tidegate-bench`: measures every row that is asked for, prints it and files it.
//!
//! Figures go to stdout, talk to stderr. It fails if a packet of an established flow allocates, or if
//! a file cannot be written.

use std::fs;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tidegate_bench::allocator::Counting;
use tidegate_bench::flags::Flags;
use tidegate_bench::report::{recorded, svg, table};
use tidegate_bench::rows::{self, RowName};
use tidegate_bench::session::{Effort, Plea, Row, Session};
use tidegate_wire::Family;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let rows = measure(&flags);
    println!("{}", recorded::table());
    if let Err(error) = file(&flags, &rows) {
        eprintln!("tidegate-bench: {error}");
        return ExitCode::FAILURE;
    }
    verdict(&rows)
}

/// A packet of an established flow must not allocate: if one did, all of this has failed.
fn verdict(rows: &[Row]) -> ExitCode {
    let greedy =
        |row: &&Row| RowName::never_allocates(row.row) && row.allocs.is_none_or(|n| n > 0.0);
    let mut exit = ExitCode::SUCCESS;
    for row in rows.iter().filter(greedy) {
        eprintln!(
            "{}, {}, {} flows: packets of established flows allocate",
            row.row, row.family, row.flows
        );
        exit = ExitCode::FAILURE;
    }
    exit
}

fn measure(flags: &Flags) -> Vec<Row> {
    let effort = match flags.quick {
        true => Effort { items: 65_536, passes: 3 },
        false => Effort { items: 1 << 20, passes: 5 },
    };
    let plea = Plea { rows: flags.rows.clone(), effort };
    let mut rows = Vec::new();
    println!("{}", table::heading());
    for flows in flags.sizes() {
        for family in [Family::V4, Family::V6] {
            eprintln!("{} flows, {family:?} ...", table::flows(flows));
            let mut report = |row: Row| {
                println!("{}", table::line(&row));
                rows.push(row);
            };
            rows::run(&mut Session::new(family, flows, &plea, &mut report));
        }
    }
    rows
}

/// Writes the files that were asked for.
fn file(flags: &Flags, rows: &[Row]) -> io::Result<()> {
    if let Some(path) = &flags.json {
        fs::write(path, json(rows)?)?;
    }
    if let Some(path) = &flags.svg {
        fs::write(path, svg::plot(rows))?;
    }
    Ok(())
}

/// An array, with a line for each row.
fn json(rows: &[Row]) -> serde_json::Result<String> {
    let lines: Vec<String> = rows.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}
