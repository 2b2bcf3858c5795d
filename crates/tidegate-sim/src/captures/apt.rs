//! Drives `apt-get` with package sources of our own.
//!
//! Machines rarely list source packages. So the configured sources of the distribution are copied
//! with the type `deb-src`, and `apt-get` is pointed at the copy and at lists of its own.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CaptureError, create_dir, run};

/// Where Debian systems keep their package sources.
const CONFIGURATION: &str = "/etc/apt";

/// `apt-get` with private sources and lists.
pub(super) struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    /// Writes the private sources under `workplace`.
    pub(super) fn new(workplace: &Path) -> Result<Self, CaptureError> {
        let sources = Sources::read(Path::new(CONFIGURATION), &codename())?;
        let (parts, lists) = (workplace.join("sources.list.d"), workplace.join("lists"));
        let (cache, list) = (workplace.join("cache"), workplace.join("sources.list"));
        for dir in [&parts, &lists.join("partial"), &cache.join("archives/partial")] {
            create_dir(dir)?;
        }
        write(&list, &sources.lines.join("\n"))?;
        write(&parts.join("distribution.sources"), &sources.stanzas.join("\n\n"))?;
        let settings = [
            ("Dir::Etc::sourcelist", &list),
            ("Dir::Etc::sourceparts", &parts),
            ("Dir::State::lists", &lists),
            ("Dir::Cache", &cache),
        ];
        let option = |(key, path): (&str, &PathBuf)| {
            [OsString::from("-o"), format!("{key}={}", path.display()).into()]
        };
        Ok(Self { options: settings.into_iter().flat_map(option).collect() })
    }

    /// Fetches the lists of source packages.
    pub(super) fn update(&self) -> Result<(), CaptureError> {
        run(self.command().args(["--error-on=any", "update"])).map(drop)
    }

    /// Downloads the upstream archives of source package `package` into `place`, packed as they are.
    pub(super) fn download_source(&self, package: &str, place: &Path) -> Result<(), CaptureError> {
        let mut command = self.command();
        run(command.args(["source", "--download-only", "--tar-only", package]).current_dir(place))
            .map(drop)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-y"]).args(&self.options);
        command
    }
}

fn write(path: &Path, text: &str) -> Result<(), CaptureError> {
    fs::write(path, format!("{text}\n")).map_err(|error| CaptureError::file(path, error))
}

/// The code name of the running release, by which its sources are told from foreign ones; empty
/// if the system doesn't say.
fn codename() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// Sources of source packages, in both of apt's formats.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    /// For `*.list` files: `deb-src [OPTIONS] URI SUITE COMPONENT…`.
    lines: Vec<String>,
    /// For `*.sources` files: blocks of `Field: value`.
    stanzas: Vec<String>,
}

impl Sources {
    fn read(configuration: &Path, codename: &str) -> Result<Self, CaptureError> {
        let mut sources = Self::default();
        let mut files = vec![configuration.join("sources.list")];
        files.extend(dir_files(&configuration.join("sources.list.d"))?);
        for path in files {
            let text = match fs::read_to_string(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.map_err(|error| CaptureError::file(&path, error))?,
            };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("list") => sources.lines.extend(source_lines(&text, codename)),
                Some("sources") => sources.stanzas.extend(source_stanzas(&text, codename)),
                _ => {}
            }
        }
        if sources == Self::default() {
            return Err(CaptureError::NoPackageSource { searched: configuration.to_owned() });
        }
        Ok(sources)
    }
}

fn dir_files(dir: &Path) -> Result<Vec<PathBuf>, CaptureError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| CaptureError::file(dir, error))?,
    };
    let paths: Result<Vec<PathBuf>, io::Error> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| CaptureError::file(dir, error))?;
    paths.sort();
    Ok(paths)
}

/// The lines of the release `codename`, as lines for source packages.
fn source_lines(text: &str, codename: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?;
        let behind_options = rest.rsplit_once(']').map_or(rest, |(_, behind)| behind);
        let suite = behind_options.split_whitespace().nth(1)?;
        suite.starts_with(codename).then(|| format!("deb-src{rest}"))
    });
    lines.collect()
}

/// The stanzas of the release `codename`, as stanzas for source packages.
fn source_stanzas(text: &str, codename: &str) -> Vec<String> {
    let uncommented: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let text = uncommented.join("\n");
    let stanzas = text.split("\n\n").filter(|stanza| {
        let is_binary = field(stanza, "Types").any(|kind| kind == "deb");
        is_binary && field(stanza, "Suites").any(|suite| suite.starts_with(codename))
    });
    stanzas.map(as_source_stanza).collect()
}

fn field<'a>(stanza: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let value = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().split_whitespace()
}

fn as_source_stanza(stanza: &str) -> String {
    let lines = stanza.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.map(|line| if line.starts_with("Types:") { "Types: deb-src" } else { line });
    lines.collect::<Vec<&str>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources_of_the_release_become_source_lines() {
        let text = "# deb http://a/ stable main\n\
                    deb http://mirror/debian stable main contrib\n\
                    deb [arch=amd64 signed-by=/k] http://mirror/sec stable-security main\n\
                    deb-src http://mirror/debian stable main\n\
                    deb http://other/ vendor main\n";
        let expected = [
            "deb-src http://mirror/debian stable main contrib",
            "deb-src [arch=amd64 signed-by=/k] http://mirror/sec stable-security main",
        ];
        assert_eq!(source_lines(text, "stable"), expected);
        assert_eq!(source_lines(text, "").len(), 3);
    }

    #[test]
    fn stanzas_of_the_release_become_source_stanzas() {
        let text = "Types: deb\n# a remark\nURIs: http://mirror/debian\n\
                    Suites: stable stable-updates\nComponents: main\nSigned-By: /k\n\n\
                    Types: deb\nURIs: http://other/\nSuites: vendor\nComponents: main\n";
        let expected = "Types: deb-src\nURIs: http://mirror/debian\n\
                        Suites: stable stable-updates\nComponents: main\nSigned-By: /k";
        assert_eq!(source_stanzas(text, "stable"), [expected]);
    }

    #[test]
    fn a_machine_without_sources_is_an_error() {
        let nowhere = Path::new("/nonexistent");
        let error = Sources::read(nowhere, "").unwrap_err();
        assert!(matches!(error, CaptureError::NoPackageSource { .. }), "{error}");
    }
}
