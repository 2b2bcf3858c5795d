//! Writing a table down: its settings, statistics, expectations and flows, as it says them.
//!
//! The table is asked once; each answer is written as soon as it comes, so that ten million flows take no more memory
//! than ten. A busy table changes meanwhile: the file's opening and its closing say from when to when it was asked.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Closing, Kind, Opening, Writer, byte_order};
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, Message, expect, tidegate};

use crate::client::{ClientError, Flow, Place, Request, Settings, Table, kept};
use crate::cmd::Failure;
use crate::filter::Filter;
use crate::present::time_of_day;
use crate::redact::{Redactor, redact_opening};

/// What is written down of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// Which table; [`Place::enter`] was called.
    pub(crate) place: &'a Place,
    /// Which of its flows.
    pub(crate) filter: &'a Filter,
}

impl Subject<'_> {
    /// Writes it to a file that takes its name only when it is whole.
    ///
    /// # Errors
    /// The table gives no answer, or the file can't be written.
    pub(crate) fn save(&self, path: &Path) -> Result<Closing, Failure> {
        self.save_as(path, None)
    }

    /// The same with addresses that tell nothing.
    ///
    /// # Errors
    /// The table gives no answer, or the file can't be written.
    pub(crate) fn save_redacted(
        &self,
        path: &Path,
        redactor: &Redactor,
    ) -> Result<Closing, Failure> {
        self.save_as(path, Some(redactor))
    }

    fn save_as(&self, path: &Path, redactor: Option<&Redactor>) -> Result<Closing, Failure> {
        let mut opening = self.opening()?;
        if redactor.is_some() {
            redact_opening(&mut opening);
        }
        let unfinished = unfinished(path);
        let at = |error| ClientError::File { path: path.to_owned(), error };
        let file = create_anew(&unfinished).map_err(at)?;
        let out = BufWriter::with_capacity(BUFFER, file);
        let written = Writer::begin(out, &opening).map_err(at).map_err(Failure::from);
        let done = written.and_then(|mut writer| {
            let closing = self.write_as(&mut writer, redactor)?;
            let file = writer.into_inner().into_inner().map_err(|error| at(error.into_error()))?;
            file.sync_all().map_err(at)?;
            fs::rename(&unfinished, path).map_err(at)?;
            Ok(closing)
        });
        if done.is_err() {
            // What is there is of no use; that it can't be removed is the lesser evil.
            let _ = fs::remove_file(&unfinished);
        }
        done
    }

    /// What a file about it begins with: that of a file is kept.
    ///
    /// # Errors
    /// It is a file that can't be read.
    pub(crate) fn opening(&self) -> Result<Opening, ClientError> {
        let (table, place) = match self.place {
            Place::File(saved) => return saved.opening(),
            Place::Kernel(name) => ("kernel", name.clone().unwrap_or_else(own_namespace)),
            Place::Engine(path) => ("engine", path.display().to_string()),
        };
        Ok(Opening {
            time: time_of_day(),
            release: rustix::system::uname().release().to_string_lossy().into_owned(),
            table: table.to_owned(),
            place,
            program: concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned(),
            order: byte_order().to_owned(),
            ..Opening::default()
        })
    }

    /// Writes all behind the opening.
    ///
    /// # Errors
    /// The table gives no answer, or nothing can be written.
    pub(crate) fn write_as<W: Write>(
        &self,
        writer: &mut Writer<W>,
        redactor: Option<&Redactor>,
    ) -> Result<Closing, Failure> {
        self.write_surroundings(writer, redactor)?;
        let mut table = Table::open(self.place)?;
        let mut put = |kind, message: &Message<'_>| put(writer, redactor, kind, message);
        let now = self.place.now()?;
        let flows = Request::new(Subsystem::Conntrack, message::GET, self.filter.family())
            .with(|request| self.filter.push(request));
        table.dump(&flows, |message| {
            let is_meant =
                self.filter.is_empty() || self.filter.accepts(&Flow::parse(message)?, now);
            if is_meant { put(Kind::Flows, message) } else { Ok(()) }
        })?;
        Ok(writer.close(self.place.now()?)?)
    }

    /// Writes all between the opening and the flows.
    ///
    /// # Errors
    /// The table gives no answer, or nothing can be written.
    pub(crate) fn write_surroundings<W: Write>(
        &self,
        writer: &mut Writer<W>,
        redactor: Option<&Redactor>,
    ) -> Result<(), Failure> {
        writer.settings(&Settings::of(self.place)?.all()?)?;
        let mut table = Table::open(self.place)?;
        let mut put = |kind, message: &Message<'_>| put(writer, redactor, kind, message);
        write_statistics(self.place, &mut table, |message| put(Kind::Statistics, message))?;
        let all = Request::new(Subsystem::Expect, expect::message::GET, Family::default());
        table.dump(&all, |message| put(Kind::Expectations, message))
    }
}

fn write_statistics(
    place: &Place,
    table: &mut Table,
    mut put: impl FnMut(&Message<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let count = Request::new(Subsystem::Conntrack, message::GET_STATS, Family::default());
    if let Some(message) = table.ask(&count)?.as_deref().and_then(kept) {
        put(&message)?;
    }
    let counters = [
        (Subsystem::Conntrack, message::GET_STATS_CPU),
        (Subsystem::Expect, expect::message::GET_STATS_CPU),
    ];
    for (subsystem, number) in counters {
        table.dump(&Request::new(subsystem, number, Family::default()), &mut put)?;
    }
    if let Place::Kernel(_) = place {
        return Ok(());
    }
    let reasons = Request::new(Subsystem::Tidegate, tidegate::message::REASONS, Family::default());
    table.dump(&reasons, &mut put)
}

/// Messages of statistics hold no addresses.
fn put<W: Write>(
    writer: &mut Writer<W>,
    redactor: Option<&Redactor>,
    kind: Kind,
    message: &Message<'_>,
) -> Result<(), Failure> {
    match redactor.filter(|_| kind != Kind::Statistics) {
        None => Ok(writer.message(kind, message)?),
        Some(redactor) => match kept(&redactor.message(message)) {
            Some(message) => Ok(writer.message(kind, &message)?),
            None => Ok(()),
        },
    }
}

/// The number of the network namespace that the thread is in.
fn own_namespace() -> String {
    let link = fs::read_link("/proc/thread-self/ns/net");
    link.map_or_else(|_| String::new(), |path| path.display().to_string())
}

/// Makes a file of flows, which nobody else may read. What is there is not written over, and no link is followed.
///
/// # Errors
/// There is something, or it can't be made.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(PRIVATE).open(path)
}

/// The same in the place of one that was left unfinished.
///
/// # Errors
/// That can't be removed, or it can't be made.
pub(crate) fn create_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create_private(path),
    }
}

/// The name of a file while it is written.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// As much is written at once.
const BUFFER: usize = 256 << 10;
/// Its owner's alone.
pub(crate) const PRIVATE: u32 = 0o600;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_of_flows_is_its_owners_and_no_link_is_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let [part, victim] = ["a.part", "victim"].map(|name| dir.path().join(name));
        fs::write(&victim, "precious").expect("a file");
        symlink(&victim, &part).expect("a link");
        assert!(create_private(&part).is_err(), "a link");
        let file = create_anew(&part).expect("a file");
        assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o777, PRIVATE);
        assert_eq!(fs::read_to_string(&victim).expect("a file"), "precious");
        assert!(create_private(&part).is_err(), "another's file");
    }
}
