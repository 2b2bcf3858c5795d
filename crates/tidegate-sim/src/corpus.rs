//! The recorded scenarios: packets, rules and settings of an experiment, and what the Linux
//! kernel did with them.
//!
//! The corpus is packed into the crate, so a clean clone can run it with nothing beside it. A
//! scenario is only a named set of files here; `corpus/README.md` describes their formats. This
//! module reads and packs them and knows nothing of what they mean: the judgement is
//! [`oracle`](crate::oracle)'s.

mod pack;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;

pub use self::pack::pack;

const KERNEL_6_18: &[u8] = include_bytes!("../corpus/kernel-6.18.tar.gz");

/// All scenarios of the corpus that is built into this crate, sorted by name.
///
/// # Errors
///
/// [`CorpusError::Archive`] if the packed corpus is damaged.
pub fn scenarios() -> Result<Vec<Scenario>, CorpusError> {
    unpack(KERNEL_6_18)
}

/// The scenarios of a packed corpus (what [`pack`] makes), sorted by name.
///
/// # Errors
///
/// [`CorpusError::Archive`] if `archive` is not a gzip-compressed tar file whose members are
/// called `SCENARIO/FILE`.
pub fn unpack(archive: &[u8]) -> Result<Vec<Scenario>, CorpusError> {
    let mut found: BTreeMap<String, Scenario> = BTreeMap::new();
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    for entry in archive.entries().map_err(CorpusError::Archive)? {
        let mut entry = entry.map_err(CorpusError::Archive)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (name, file) = path.split_once('/').ok_or_else(|| stray_member(&path))?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(CorpusError::Archive)?;
        let scenario = found.entry(name.to_owned()).or_insert_with(|| Scenario::new(name));
        scenario.files.insert(file.to_owned(), bytes);
    }
    Ok(found.into_values().collect())
}

fn stray_member(path: &str) -> CorpusError {
    let what = format!("member {path:?} lies outside of a scenario");
    CorpusError::Archive(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// One experiment: its input files and, once recorded, what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// The name of the scenario, which is that of its directory.
    pub name: String,
    /// The contents of its files by file name, such as `packets.pcap`.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Scenario {
    /// A scenario without any file.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), files: BTreeMap::new() }
    }

    /// Reads the scenario in the directory `path`, or all those of the tree under it, sorted by
    /// name. A directory with `packets.pcap` or `expected.jsonl` is a scenario.
    ///
    /// # Errors
    ///
    /// [`CorpusError::File`] if something can't be read, [`CorpusError::NoScenario`] if there is
    /// none, [`CorpusError::Duplicate`] if two have the same name.
    pub fn load_dir(path: impl AsRef<Path>) -> Result<Vec<Self>, CorpusError> {
        let root = path.as_ref();
        let root = root.canonicalize().map_err(|error| unreadable(root, error))?;
        let mut found = Vec::new();
        load_tree(&root, &mut found)?;
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = found.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(CorpusError::Duplicate { name: pair[0].name.clone() });
        }
        if found.is_empty() { Err(CorpusError::NoScenario { path: root }) } else { Ok(found) }
    }

    /// The contents of `file`, or `None` if the scenario does without it.
    #[must_use]
    pub fn file(&self, file: &str) -> Option<&[u8]> {
        self.files.get(file).map(Vec::as_slice)
    }

    /// The text of `file`, or `None` if the scenario does without it.
    ///
    /// # Errors
    ///
    /// [`CorpusError::NotText`] if it is not UTF-8.
    pub fn text(&self, file: &str) -> Result<Option<&str>, CorpusError> {
        self.file(file).map(str::from_utf8).transpose().map_err(|_| CorpusError::NotText {
            scenario: self.name.clone(),
            file: file.to_owned(),
        })
    }

    /// The value in the JSON file `file`, or `None` if the scenario does without it.
    ///
    /// # Errors
    ///
    /// [`CorpusError::Json`] or [`CorpusError::NotText`] if it is not JSON.
    pub fn json(&self, file: &str) -> Result<Option<Value>, CorpusError> {
        let text = self.text(file)?;
        text.map(|text| self.parse(file, 1, text)).transpose()
    }

    /// The values of the file `file` with one JSON value per line; none if there is no such file.
    ///
    /// # Errors
    ///
    /// [`CorpusError::Json`] or [`CorpusError::NotText`] if it is not lines of JSON.
    pub fn json_lines(&self, file: &str) -> Result<Vec<Value>, CorpusError> {
        let lines = self.text(file)?.unwrap_or_default().lines().enumerate();
        let filled = lines.filter(|(_, line)| !line.trim().is_empty());
        filled.map(|(number, line)| self.parse(file, number + 1, line)).collect()
    }

    fn parse(&self, file: &str, line: usize, text: &str) -> Result<Value, CorpusError> {
        serde_json::from_str(text).map_err(|error| CorpusError::Json {
            scenario: self.name.clone(),
            file: file.to_owned(),
            line,
            error,
        })
    }
}

fn load_tree(dir: &Path, found: &mut Vec<Scenario>) -> Result<(), CorpusError> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let mut scenario = Scenario::new(&name);
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, error))? {
        let path = entry.map_err(|error| unreadable(dir, error))?.path();
        if path.is_dir() {
            load_tree(&path, found)?;
        } else {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = fs::read(&path).map_err(|error| unreadable(&path, error))?;
            scenario.files.insert(file, bytes);
        }
    }
    if ["packets.pcap", "expected.jsonl"].iter().any(|file| scenario.files.contains_key(*file)) {
        found.push(scenario);
    }
    Ok(())
}

fn unreadable(path: &Path, error: io::Error) -> CorpusError {
    CorpusError::File { path: path.to_owned(), error }
}

/// Why scenarios could not be read or packed.
#[derive(Debug)]
pub enum CorpusError {
    /// The packed corpus can't be read or written.
    Archive(io::Error),
    /// A file or directory can't be read.
    File {
        /// What was to be read.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No directory of a tree holds a scenario.
    NoScenario {
        /// The root of the tree.
        path: PathBuf,
    },
    /// Two scenarios of a tree have the same name.
    Duplicate {
        /// The name of both.
        name: String,
    },
    /// A file that must be text is not UTF-8.
    NotText {
        /// The scenario it belongs to.
        scenario: String,
        /// Its name.
        file: String,
    },
    /// A file that must be JSON is not.
    Json {
        /// The scenario it belongs to.
        scenario: String,
        /// Its name.
        file: String,
        /// The line where the value begins, from 1.
        line: usize,
        /// What is wrong with it.
        error: serde_json::Error,
    },
}

impl fmt::Display for CorpusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive(error) => write!(f, "packed corpus: {error}"),
            Self::File { path, error } => write!(f, "{}: {error}", path.display()),
            Self::NoScenario { path } => {
                write!(f, "{}: no directory with packets.pcap or expected.jsonl", path.display())
            }
            Self::Duplicate { name } => write!(f, "two scenarios are called {name:?}"),
            Self::NotText { scenario, file } => write!(f, "{scenario}/{file}: not UTF-8 text"),
            Self::Json { scenario, file, line, error } => {
                write!(f, "{scenario}/{file}: value at line {line}: {error}")
            }
        }
    }
}

impl std::error::Error for CorpusError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Archive(error) | Self::File { error, .. } => Some(error),
            Self::Json { error, .. } => Some(error),
            Self::NoScenario { .. } | Self::Duplicate { .. } | Self::NotText { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
