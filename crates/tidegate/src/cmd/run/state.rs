//! The flows of a gateway that is stopped and started again, as for an upgrade.

use std::fs;
use std::io::{self, BufWriter};
use std::path::Path;

use tidegate_gateway::config::Config;
use tidegate_gateway::control::state::Taken;
use tidegate_gateway::daemon::{Daemon, DataPlane};
use tidegate_gateway::snapshot::{Cause, Reader};

use crate::message;
use crate::snapshot::{create_anew, unfinished};

/// Takes over what is in the file, which goes by that: were this one killed, what is in it would be old for the next one.
pub(super) fn resume(daemon: &mut Daemon<impl DataPlane>, path: &Path) {
    let done = Reader::open(path).and_then(|reader| daemon.resume(reader));
    match done {
        Ok(Taken { taken, late, refused }) => message::note(format_args!(
            "{taken} flows taken over from {}; the time of {late} was over, {refused} could not be",
            path.display()
        )),
        Err(fault) if is_not_there(&fault.cause) => return,
        Err(fault) => message::warning(fault),
    }
    if let Err(error) = fs::remove_file(path) {
        message::warning(format_args!("{}: {error}", path.display()));
    }
}

fn is_not_there(cause: &Cause) -> bool {
    matches!(cause, Cause::Io(error) if error.kind() == io::ErrorKind::NotFound)
}

/// Writes down all flows, in a file that takes its name only when it is whole.
pub(super) fn save(daemon: &Daemon<impl DataPlane>, config: &Config, path: &Path) {
    match write(daemon, config, path) {
        Ok(flows) => message::note(format_args!("{flows} flows saved in {}", path.display())),
        Err(error) => message::error(format_args!("{}: {error}", path.display())),
    }
}

fn write(daemon: &Daemon<impl DataPlane>, config: &Config, path: &Path) -> io::Result<u64> {
    let unfinished = unfinished(path);
    let file = create_anew(&unfinished)?;
    let place = config.control.socket.display().to_string();
    let flows = daemon.save(&place, BufWriter::new(&file))?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    Ok(flows)
}
