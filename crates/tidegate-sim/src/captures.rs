//! Fetches real captures that nobody of this project wrote.
//!
//! Source packages of the distribution carry the captures that dissectors and classifiers test
//! themselves with. They are too big for this repository and have licences of their own, so they
//! are fetched on demand, by the system's `apt-get` and from the mirror that this machine is set
//! up with. Only capture files are unpacked; nothing of a package is built or run. The system's
//! own package lists stay untouched: everything happens in a directory that is removed afterwards.

mod apt;
mod check;
mod unpack;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

pub use self::check::{Comparison, Report, check};

/// Source packages whose tests hold captures of many protocols.
const PACKAGES: [&str; 3] = ["ndpi", "tcpdump", "wireshark"];

/// Fetches the captures into `dir/PACKAGE/…` and lists them by path.
///
/// # Errors
///
/// [`CaptureError`], if `apt-get` or `tar` is missing or fails, the machine has no package source,
/// or a file can't be written.
pub fn fetch(dir: &Path) -> Result<Vec<Capture>, CaptureError> {
    let workplace = Workplace::new()?;
    let apt = apt::Apt::new(&workplace.path)?;
    apt.update()?;
    let mut captures = Vec::new();
    for package in PACKAGES {
        let place = workplace.path.join(package);
        create_dir(&place)?;
        apt.download_source(package, &place)?;
        captures.extend(unpack::captures(&place, &dir.join(package))?);
    }
    Ok(captures)
}

/// A capture file on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A directory of our own, removed at the end.
struct Workplace {
    path: PathBuf,
}

impl Workplace {
    fn new() -> Result<Self, CaptureError> {
        let path = std::env::temp_dir().join(format!("tidegate-captures-{}", process::id()));
        create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("{}: {error}", self.path.display());
        }
    }
}

fn create_dir(path: &Path) -> Result<(), CaptureError> {
    fs::create_dir_all(path).map_err(|error| CaptureError::file(path, error))
}

/// Runs a command to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String, CaptureError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CaptureError::ProgramMissing { program: program.clone() },
        _ => CaptureError::file(Path::new(&program), error),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(CaptureError::ProgramFailed {
        command: format!("{program} {}", arguments.join(" ")),
        status: output.status,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Why captures could not be fetched.
#[derive(Debug)]
pub enum CaptureError {
    /// A program that this needs is not installed.
    ProgramMissing {
        /// Its name.
        program: String,
    },
    /// A program failed, for want of a network or of the package, say.
    ProgramFailed {
        /// The command line.
        command: String,
        /// How it ended.
        status: process::ExitStatus,
        /// What it printed on its standard error.
        said: String,
    },
    /// The package manager of this machine knows no source to fetch from.
    NoPackageSource {
        /// The directory where its sources are configured.
        searched: PathBuf,
    },
    /// A source package holds no archive or no captures.
    NoCaptures {
        /// Where it was downloaded to.
        place: PathBuf,
    },
    /// A file or directory can't be read or written.
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl CaptureError {
    fn file(path: &Path, error: io::Error) -> Self {
        Self::File { path: path.to_owned(), error }
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProgramMissing { program } => {
                write!(f, "{program} is not installed; captures come from Debian source packages")
            }
            Self::ProgramFailed { command, status, said } => {
                write!(f, "{command}: {status}\n{said}")
            }
            Self::NoPackageSource { searched } => {
                write!(f, "no package source is configured in {}", searched.display())
            }
            Self::NoCaptures { place } => write!(f, "no captures in {}", place.display()),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::ProgramMissing { .. }
            | Self::ProgramFailed { .. }
            | Self::NoPackageSource { .. }
            | Self::NoCaptures { .. } => None,
        }
    }
}
