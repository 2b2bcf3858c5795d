//! `tidegate`, the one program.
//!
//! `flags` says what can be asked, `cmd` does it, `render` puts results into
//! words, `message` speaks to the user. Data goes to stdout, talk to stderr. The
//! exit status is decided here and nowhere else: 0 if all is well, 1 if a file
//! is at fault, 2 if the command line is. A reader who has seen enough and
//! closes the pipe is no error.

mod cmd;
mod flags;
mod message;
mod progress;
mod render;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use tidegate_gateway::memory::HugePages;

use crate::cmd::Failure;
use crate::flags::{Cli, Command};

/// Large blocks on huge pages, where the system has them.
#[global_allocator]
static MEMORY: HugePages = HugePages;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Replay(args) => cmd::replay::run(args),
        Command::Run(args) => cmd::run::run(args),
        Command::Exec(args) => cmd::exec::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
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
    }
    ExitCode::from(1)
}
