//! `tidegate`, the one program.
//!
//! `flags` says what can be asked, `cmd` does it, `render` puts results into
//! words, `message` speaks to the user. `client` converses with tables, the kernel's
//! or an engine's, and `filter` says which flows are meant.
//!
//! Data goes to stdout, talk to stderr. The exit status is decided here and nowhere
//! else: 0 if all is well, 1 if a file is at fault or a thing is not there, 2 if the
//! command line is wrong, 3 if it is not permitted, 4 if there is no such table, 5
//! if only part was done. A reader who has seen enough and closes the pipe is no
//! error.

mod capture;
mod client;
mod cmd;
mod doctor;
mod exporter;
mod filter;
mod flags;
mod forecast;
mod http;
mod lab;
mod message;
mod page;
mod present;
mod procfs;
mod progress;
mod record;
mod redact;
mod render;
mod snapshot;
mod survey;
mod timers;
mod top;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tidegate_gateway::memory::HugePages;

use crate::client::Severity;
use crate::cmd::Failure;
use crate::flags::{Cli, Command};

/// Large blocks on huge pages, where the system has them.
#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Replay(args) => apart(cmd::replay::run, args),
        Command::Explain(args) => apart(cmd::explain::run, args),
        Command::Doctor(args) => apart(cmd::doctor::run, args),
        Command::List(args) => apart(cmd::list::run, args),
        Command::Get(args) => apart(cmd::get::run, args),
        Command::Insert(args) => apart(cmd::insert::run, args),
        Command::Update(args) => apart(cmd::update::run, args),
        Command::Delete(args) => apart(cmd::delete::run, args),
        Command::Retime(args) => apart(cmd::retime::run, args),
        Command::Flush(args) => apart(cmd::flush::run, args),
        Command::Events(args) => apart(cmd::events::run, args),
        Command::Stats(args) => apart(cmd::stats::run, args),
        Command::Count(args) => apart(cmd::count::run, args),
        Command::Snapshot(args) => apart(cmd::snapshot::run, args),
        Command::Record(args) => apart(cmd::record::run, args),
        Command::WhatIf(args) => apart(cmd::forecast::run, args),
        Command::Plan(args) => apart(cmd::forecast::plan, args),
        Command::Top(args) => apart(cmd::top::run, args),
        Command::Exporter(args) => apart(cmd::exporter::run, args),
        Command::Expect(command) => apart(cmd::expect::run, command),
        Command::Sysctl(args) => apart(cmd::sysctl::run, args),
        Command::Exec(args) => apart(cmd::exec::run, args),
        Command::Procfs(args) => apart(cmd::procfs::run, args),
        Command::Lab(args) => apart(cmd::lab::run, args),
        Command::Page(args) => apart(cmd::page::run, args),
        Command::Completions { shell } => cmd::manual::complete(*shell),
        Command::Man { command, dir } => cmd::manual::run(command, dir.as_deref()),
        Command::Run(args) => apart(cmd::run::run, args),
        Command::Check(args) => apart(cmd::check::run, args),
        Command::Reload(args) => apart(cmd::reload::run, args),
        Command::Sets(args) => apart(cmd::sets::run, args),
    };
    match done {
        Ok(()) | Err(Failure::Enough) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// Runs a command out of line: else all of them become a part of `main`, and nobody's start is short.
#[inline(never)]
fn apart<A>(run: fn(&A) -> Result<(), Failure>, args: &A) -> Result<(), Failure> {
    run(args)
}

fn report(failure: &Failure) -> ExitCode {
    match failure {
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            return ExitCode::SUCCESS;
        }
        Failure::Output(error) => message::error(format_args!("stdout: {error}")),
        Failure::Input(faults) => {
            for fault in faults {
                message::error(fault);
            }
        }
        Failure::System(what) => message::error(what),
        Failure::Usage(what) => {
            message::error(what);
            return ExitCode::from(2);
        }
        Failure::Table(error) => {
            message::error(error);
            return match error.severity() {
                Severity::Failed => ExitCode::from(1),
                Severity::Denied => ExitCode::from(3),
                Severity::Unreachable => ExitCode::from(4),
            };
        }
        Failure::Program(obstacle) => {
            message::error(obstacle);
            return ExitCode::from(obstacle.status());
        }
        Failure::Partly(what) => {
            message::error(what);
            return ExitCode::from(5);
        }
        Failure::Status(status) => return ExitCode::from(*status),
        Failure::Nothing | Failure::Enough => {}
    }
    ExitCode::from(1)
}
