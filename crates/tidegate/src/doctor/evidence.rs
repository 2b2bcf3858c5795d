//! The evidence: what the table said, in a file that looks the same to every command that reads tables. It is written
//! while the table is listed, so that an hour of trouble costs one listing, and thrown away if all is well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Kind, Writer};
use tidegate_wire::netlink::Message;

use crate::client::{ClientError, Place};
use crate::cmd::Failure;
use crate::filter::Filter;
use crate::redact::{Redactor, redact_opening};
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
    part: Part,
    is_broken: bool,
}

/// The file on disk while it grows: it goes with this, unless it has got its name.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    is_named: bool,
}

impl Part {
    /// Makes it, for its owner alone. What is there already isn't written to, nor followed if it is a link.
    fn create(path: PathBuf) -> io::Result<(Self, File)> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((Self { path, is_named: false }, file))
    }

    fn name(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Evidence {
    /// Begins a file in a directory. Who makes addresses unrecognisable gets the surroundings; flows are made so before.
    pub(crate) fn begin(place: &Place, dir: &Path, redactor: Option<&Redactor>) -> Self {
        let path = match place.now() {
            Ok(now) => dir.join(name(now, redactor.is_some())),
            Err(error) => return Self::Refused(error.to_string()),
        };
        match draft(place, &path, redactor) {
            Ok((writer, part)) => {
                Self::Draft(Box::new(Draft { writer, path, part, is_broken: false }))
            }
            Err(failure) => Self::Refused(match failure {
                Failure::Table(error) => error.to_string(),
                Failure::Output(error) => error.to_string(),
                _ => "it can't be written".to_owned(),
            }),
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
        is_wanted.then(|| draft.close(now).map_err(|error| error.to_string()))
    }
}

impl Draft {
    fn close(mut self, now: u64) -> io::Result<PathBuf> {
        if self.is_broken {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.writer.close(now)?;
        self.writer
            .into_inner()
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        self.part.name(&self.path)?;
        Ok(self.path)
    }
}

fn draft(
    place: &Place,
    path: &Path,
    redactor: Option<&Redactor>,
) -> Result<(Writer<BufWriter<File>>, Part), Failure> {
    let at = |error| ClientError::File { path: path.to_owned(), error };
    let filter = Filter::new(Vec::new());
    let subject = Subject { place, filter: &filter };
    let (part, file) = Part::create(unfinished(path)).map_err(at)?;
    let out = BufWriter::with_capacity(BUFFER, file);
    let mut opening = subject.opening()?;
    if redactor.is_some() {
        redact_opening(&mut opening);
    }
    let mut writer = Writer::begin(out, &opening).map_err(at)?;
    subject.write_surroundings(&mut writer, redactor)?;
    Ok((writer, part))
}

fn name(nanos: u64, is_redacted: bool) -> String {
    let [year, month, day, hour, minute, second, _] = calendar(nanos);
    let kind = if is_redacted { "-redacted" } else { "" };
    format!("incident-{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z{kind}.ctsnap")
}

fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("part")
}

const BUFFER: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_not_finished_goes_and_what_is_there_stays() {
        let dir = std::env::temp_dir().join(format!("tidegate-evidence-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        let [part, link, done] = ["a.part", "b.part", "a.ctsnap"].map(|name| dir.join(name));
        let create = || Part::create(part.clone()).expect("it is new").0;
        drop(create());
        assert!(!part.exists());
        let whole = create();
        assert!(Part::create(part.clone()).is_err() && part.exists());
        let mode = fs::metadata(&part).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        whole.name(&done).expect("it gets its name");
        assert!(done.exists() && !part.exists());
        symlink(dir.join("elsewhere"), &link).expect("a link");
        assert!(Part::create(link).is_err() && !dir.join("elsewhere").exists());
        fs::remove_dir_all(&dir).expect("it is removed");
    }
}
