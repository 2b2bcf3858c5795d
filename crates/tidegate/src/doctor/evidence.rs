//! The evidence: what the table said, in a file that looks the same to every command that reads tables. It is written
//! while the table is listed, so that an hour of trouble costs one listing, and thrown away if all is well.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Kind, Writer};
use tidegate_wire::netlink::Message;

use crate::client::{ClientError, Place};
use crate::cmd::Failure;
use crate::filter::Filter;
use crate::render::figures::calendar;
use crate::snapshot::Subject;

/// A file that is written, or nothing.
#[derive(Debug)]
pub(crate) struct Evidence(Option<Draft>);

#[derive(Debug)]
struct Draft {
    writer: Writer<BufWriter<File>>,
    path: PathBuf,
    is_broken: bool,
}

impl Evidence {
    /// None is wanted.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Begins a file in a directory. Where none can be written there is none: a full disk is no reason to tell nothing.
    pub(crate) fn begin(place: &Place, dir: &Path) -> Result<Self, String> {
        let now = place.now().map_err(|error| error.to_string())?;
        let path = dir.join(name(now));
        let draft = draft(place, &path).map_err(|failure| match failure {
            Failure::Table(error) => error.to_string(),
            Failure::Output(error) => error.to_string(),
            _ => "it can't be written".to_owned(),
        });
        let draft = draft.inspect_err(|_| {
            // What is there is of no use.
            let _ = fs::remove_file(unfinished(&path));
        })?;
        Ok(Self(Some(Draft { writer: draft, path, is_broken: false })))
    }

    /// Adds a flow.
    pub(super) fn put(&mut self, message: &Message<'_>) {
        if let Some(draft) = self.0.as_mut().filter(|draft| !draft.is_broken) {
            draft.is_broken = draft.writer.message(Kind::Flows, message).is_err();
        }
    }

    /// Gives the file its name and tells it, or removes it. A listing that was broken off makes a file that says so.
    pub(crate) fn finish(self, is_wanted: bool, now: u64) -> Option<Result<PathBuf, String>> {
        let Draft { mut writer, path, is_broken } = self.0?;
        let unfinished = unfinished(&path);
        if !is_wanted {
            let _ = fs::remove_file(unfinished);
            return None;
        }
        let done = writer.close(now).and_then(|_| fs::rename(&unfinished, &path));
        let done = done.map_err(|error| error.to_string());
        Some(if is_broken { Err("the disk took no more".to_owned()) } else { done.map(|()| path) })
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
