//! `tidegate doctor`: what is wrong, who does it, what to do.

use std::io::{self, Write};
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use super::Failure;
use crate::doctor::{Status, Survey, examine, page};
use crate::flags::doctor::DoctorArgs;

/// Runs the command. A verdict other than OK is told by the exit status.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let cap = Duration::try_from_secs_f64(args.time);
    let cap = cap.map_err(|_| Failure::Usage("--time: this is no time".to_owned()))?;
    let place = args.place.place();
    let done = place.enter().map_err(Failure::from).and_then(|()| examine(&Survey { place, cap }));
    let report = match done {
        Ok(report) => report,
        Err(Failure::Table(error)) => {
            crate::message::error(error);
            return Err(Failure::Verdict(Status::Unknown));
        }
        Err(other) => return Err(other),
    };
    if args.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        let mut out = anstream::stdout().lock();
        out.write_all(page(&report, args.width.unwrap_or_else(width), args.all).as_bytes())?;
        out.flush()?;
    }
    match report.status {
        Status::Ok => Ok(()),
        bad => Err(Failure::Verdict(bad)),
    }
}

/// The columns of the terminal; 120 in a file or pipe.
fn width() -> usize {
    tcgetwinsize(io::stdout())
        .ok()
        .map(|size| size.ws_col.into())
        .filter(|width| *width > 0)
        .unwrap_or(WIDE)
}

const WIDE: usize = 120;
