//! `tidegate procfs`: a table's files as in `/proc`, until a signal comes or somebody unmounts them.

use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidegate_gateway::procfs::{self, Audience};
use tidegate_gateway::replay::{Cause, Fault};

use super::Failure;
use crate::flags::ProcfsArgs;
use crate::message;
use crate::procfs::TableFiles;

/// Runs the command.
pub(crate) fn run(args: &ProcfsArgs) -> Result<(), Failure> {
    let place = args.place.place();
    place.enter()?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let audience = if args.allow_other { Audience::All } else { Audience::Owner };
    let at = |error| Fault::of(args.mountpoint.display().to_string(), Cause::Io(error));
    let files = procfs::mount(TableFiles { place }, &args.mountpoint, audience).map_err(at)?;
    message::note(format_args!("serving {} until a signal comes", args.mountpoint.display()));
    while signals.pending().next().is_none() {
        if files.is_over() {
            return Ok(files.wait().map_err(at)?);
        }
        thread::sleep(LOOK);
    }
    Ok(files.unmount().map_err(at)?)
}

/// So often it is looked for signals.
const LOOK: Duration = Duration::from_millis(50);
