//! The evidence: what the table said, in a file that looks the same to every command that reads tables. It is written
//! while the table is listed, so that an hour of trouble costs one listing, and thrown away if all is well.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Kind, Writer};
use tidegate_wire::netlink::Message;

use crate::client::{ClientError, Place};
use crate::cmd::Failure;
use crate::filter::Filter;
use crate::render::figures::calendar;
use crate::snapshot::Subject;

/// A file that is written.
#[derive(Debug)]
pub(crate) enum Evidence {
    /// None is wanted.
    None,
    /// It grows.
    Draft(Box<Draft>),
    /// It can't be written, for this reason: that is no reason to tell nothing.
    Refused(String),
}

/// A file that has no name yet.
#[derive(Debug)]
pub(crate) struct Draft {
    writer: Writer<BufWriter<File>>,
    path: PathBuf,
    is_broken: bool,
}

impl Evidence {
    /// Begins a file in a directory.
    pub(crate) fn begin(place: &Place, dir: &Path) -> Self {
        let path = match place.now() {
            Ok(now) => dir.join(name(now)),
            Err(error) => return Self::Refused(error.to_string()),
        };
        match draft(place, &path) {
            Ok(writer) => Self::Draft(Box::new(Draft { writer, path, is_broken: false })),
            Err(failure) => {
                // What is there is of no use.
                let _ = fs::remove_file(unfinished(&path));
                Self::Refused(match failure {
                    Failure::Table(error) => error.to_string(),
                    Failure::Output(error) => error.to_string(),
                    _ => "it can't be written".to_owned(),
                })
            }
        }
    }

    /// Adds a flow.
    pub(super) fn put(&mut self, message: &Message<'_>) {
        let Self::Draft(draft) = self else { return };
        if !draft.is_broken {
            draft.is_broken = draft.writer.message(Kind::Flows, message).is_err();
        }
    }

    /// Gives the file its name and tells it, or removes it. Of a listing that was broken off it holds what was seen.
    pub(crate) fn finish(self, is_wanted: bool, now: u64) -> Option<Result<PathBuf, String>> {
        let draft = match self {
            Self::None => return None,
            Self::Refused(why) => return is_wanted.then_some(Err(why)),
            Self::Draft(draft) => draft,
        };
        let unfinished = unfinished(&draft.path);
        if !is_wanted {
            let _ = fs::remove_file(unfinished);
            return None;
        }
        Some(draft.close(&unfinished, now).map_err(|error| error.to_string()))
    }
}

impl Draft {
    fn close(mut self, unfinished: &Path, now: u64) -> io::Result<PathBuf> {
        if self.is_broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.writer.close(now)?;
        self.writer
            .into_inner()
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(unfinished, &self.path)?;
        Ok(self.path)
    }
}

fn draft(place: &Place, path: &Path) -> Result<Writer<BufWriter<File>>, Failure> {
    let at = |error| ClientError::File { path: path.to_owned(), error };
    let filter = Filter::new(Vec::new());
    let subject = Subject { place, filter: &filter };
    let file = File::create(unfinished(path)).map_err(at)?;
    let out = BufWriter::with_capacity(BUFFER, file);
    let mut writer = Writer::begin(out, &subject.opening()?).map_err(at)?;
    subject.write_surroundings(&mut writer, None)?;
    Ok(writer)
}

fn name(nanos: u64) -> String {
    let [year, month, day, hour, minute, second, _] = calendar(nanos);
    format!("incident-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z.ctsnap")
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("part")
}

const BUFFER: usize = 256 << 10;
