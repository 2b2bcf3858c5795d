//! `tidegate doctor`: what is wrong, who does it, what to do.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::termios::tcgetwinsize;

use super::Failure;
use crate::client::Place;
use crate::doctor::{Evidence, Status, Survey, examine, page};
use crate::flags::doctor::DoctorArgs;
use crate::message as say;
use crate::redact::Redactor;

/// Runs the command. A verdict other than OK is told by the exit status.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Failure> {
    let place = args.place.place_or(args.file.as_deref());
    let cap = cap(args.time, &place)?;
    let redactor = super::snapshot::redactor(args.redact.as_ref())?.map(Arc::new);
    let done = place.enter().map_err(Failure::from).and_then(|()| {
        let evidence = evidence(args, &place, redactor.as_deref());
        examine(&Survey { place, cap, redactor }, evidence)
    });
    let report = match done {
        Ok(report) => report,
        Err(Failure::Table(error)) => {
            say::error(error);
            return Err(Failure::Status(Status::Unknown as u8));
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
        bad => Err(Failure::Status(bad as u8)),
    }
}

/// A live table is listed for a moment, one in a file until it ends.
fn cap(seconds: Option<f64>, place: &Place) -> Result<Option<Duration>, Failure> {
    let cap = seconds.map(Duration::try_from_secs_f64).transpose();
    let cap = cap.map_err(|_| Failure::Usage("--time: this is no time".to_owned()))?;
    Ok(match place {
        Place::File(_) => cap,
        Place::Kernel(_) | Place::Engine(_) => Some(cap.unwrap_or(MOMENT)),
    })
}

/// A file has its evidence already, unless others shall see it.
fn evidence(args: &DoctorArgs, place: &Place, redactor: Option<&Redactor>) -> Evidence {
    let is_there = matches!(place, Place::File(_)) && redactor.is_none();
    if args.no_save || is_there {
        return Evidence::None;
    }
    let dir = args.save_in.as_deref().unwrap_or(Path::new("."));
    Evidence::begin(place, dir, redactor)
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
const MOMENT: Duration = Duration::from_secs(3);
