//! The flows of a gateway that is stopped and started again, as for an upgrade.
//!
//! The file goes only when nothing can keep the gateway from its work any more: else it would be lost. Were the gateway
//! killed later, what is in it would be old for the next one.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use tidegate_gateway::config::Config;
use tidegate_gateway::control::state::Taken;
use tidegate_gateway::daemon::{Daemon, DataPlane};
use tidegate_gateway::snapshot::{Cause, Reader};

use crate::message;
use crate::snapshot::{create_anew, unfinished};

/// The file, and what is done about it once the gateway is at work.
pub(super) struct State<'a> {
    path: &'a Path,
    rest: Rest,
}

/// What there is in the file's place.
enum Rest {
    /// Nothing, or what can't be read.
    Nothing,
    /// What was taken over.
    Taken,
    /// Something else, or a part.
    Foreign,
}

impl<'a> State<'a> {
    /// Takes over what is in the file.
    pub(super) fn resume(daemon: &mut Daemon<impl DataPlane>, path: &'a Path) -> Self {
        let rest = match Reader::open(path).and_then(|reader| daemon.resume(reader)) {
            Ok(Taken { taken, late, refused }) => {
                message::note(format_args!(
                    "{taken} flows taken over from {}; the time of {late} was over, {refused} could not be",
                    path.display()
                ));
                Rest::Taken
            }
            Err(fault) => match &fault.cause {
                Cause::Io(error) if error.kind() == io::ErrorKind::NotFound => Rest::Nothing,
                cause => {
                    let is_unread = matches!(cause, Cause::Io(_));
                    message::warning(&fault);
                    if is_unread { Rest::Nothing } else { Rest::Foreign }
                }
            },
        };
        Self { path, rest }
    }

    /// The gateway is at work: the file goes, or is put aside if it is not what was expected. Says now if none could be
    /// written at the end.
    pub(super) fn begin(&self) {
        let done = match self.rest {
            Rest::Nothing => Ok(()),
            Rest::Taken => fs::remove_file(self.path),
            Rest::Foreign => self.put_aside(),
        };
        let part = unfinished(self.path);
        if let Err(error) = done.and_then(|()| create_anew(&part)) {
            message::warning(format_args!("{}: {error}", self.path.display()));
        } else if let Err(error) = fs::remove_file(&part) {
            message::warning(format_args!("{}: {error}", part.display()));
        }
    }

    fn put_aside(&self) -> io::Result<()> {
        let aside = aside(self.path);
        fs::rename(self.path, &aside)?;
        message::note(format_args!("{} is {} now", self.path.display(), aside.display()));
        Ok(())
    }

    /// Writes down all flows, in a file that takes its name only when it is whole.
    pub(super) fn save(&self, daemon: &Daemon<impl DataPlane>, config: &Config) {
        match self.write(daemon, config) {
            Ok(flows) => {
                message::note(format_args!("{flows} flows saved in {}", self.path.display()));
            }
            Err(error) => message::error(format_args!("{}: {error}", self.path.display())),
        }
    }

    fn write(&self, daemon: &Daemon<impl DataPlane>, config: &Config) -> io::Result<u64> {
        let part = unfinished(self.path);
        let place = config.control.socket.display().to_string();
        let write = |file: File| {
            let flows = daemon.save(&place, BufWriter::new(&file))?;
            file.sync_all()?;
            fs::rename(&part, self.path)?;
            Ok(flows)
        };
        let done = create_anew(&part).and_then(write);
        if done.is_err() {
            // What is there is of no use; that it can't be removed is the lesser evil.
            let _ = fs::remove_file(&part);
        }
        done
    }
}

/// The name of what isn't a file of flows, or is damaged.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".refused");
    name.into()
}
