//! iptables' own tests of its matches and targets, asked of our rules.
//!
//! The source package of iptables carries files `extensions/*.t`: rules, each with the form that
//! `iptables-save` gives it, or the word that it must be refused. They are not ours and not in this
//! repository; whoever has them (`apt-get source iptables`) runs all of them with one command.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tidegate_engine::rules::{self, GrammarError, RuleErrorKind};
use tidegate_wire::Family;

/// What became of all tests.
#[derive(Debug, Default)]
pub struct Report {
    /// Rules that were taken and printed, or refused, as they had to be.
    pub equal: usize,
    /// Rules with a match or target of another subsystem, refused by that name.
    pub foreign: usize,
    /// Rules that came out otherwise, in whichever of their chains first.
    pub differences: Vec<Difference>,
}

/// A test that came out otherwise.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The rule.
    pub rule: String,
    /// What was expected.
    pub expected: Expected,
    /// What we print of it, or why we refuse it.
    pub found: String,
}

/// What a test demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// To be printed with this in it.
    Printed(String),
    /// Not to be printed with this in it.
    NotPrinted(String),
    /// To be refused.
    Refused,
}

/// Runs the tests of all files `lib{xt,ipt,ip6t}_*.t` in a directory, those of `libxt_*.t` for IPv4, as iptables'
/// own runner does.
///
/// # Errors
///
/// The directory or a file can't be read, or there is none.
pub fn check(dir: &Path) -> io::Result<Report> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|path| family(path).is_some());
    files.sort();
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no tests of iptables' extensions"));
    }
    let mut report = Report::default();
    for path in files {
        let text = fs::read_to_string(&path)?;
        report.file(&path, &text);
    }
    Ok(report)
}

/// The family that a file's rules are of, if it is about iptables.
fn family(path: &Path) -> Option<Family> {
    let name = path.file_name()?.to_str()?.strip_suffix(".t")?;
    match name.split_once('_')?.0 {
        "libxt" | "libipt" => Some(Family::V4),
        "libip6t" => Some(Family::V6),
        _ => None,
    }
}

impl Report {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.differences.is_empty()
    }

    fn file(&mut self, path: &Path, text: &str) {
        let Some(family) = family(path) else { return };
        let (mut chains, mut table) = (Vec::new(), "filter");
        for (number, line) in (1..).zip(text.lines()) {
            match line.as_bytes() {
                [] | [b'#' | b' ' | b'@' | b'%', ..] => {}
                [b':', ..] => chains = line[1..].trim().split(',').collect(),
                [b'*', ..] => table = line[1..].trim(),
                _ => {
                    let Some(test) = Test::read(line) else { continue };
                    for chain in &chains {
                        let found = test.ask(family, table, chain);
                        self.count(path, number, &test, found);
                    }
                }
            }
        }
    }

    fn count(&mut self, path: &Path, line: usize, test: &Test, found: Found) {
        if found.meets(&test.expected) {
            self.equal += 1;
        } else if matches!(found, Found::Foreign(_)) {
            self.foreign += 1;
        } else {
            let (rule, expected) = (test.rule.clone(), test.expected.clone());
            let found = found.to_string();
            let difference = Difference { file: path.to_owned(), line, rule, expected, found };
            // One of several chains tells it for all.
            if self
                .differences
                .last()
                .is_none_or(|last| (&last.file, last.line) != (&difference.file, line))
            {
                self.differences.push(difference);
            }
        }
    }
}

/// `RULE;SAVED;RESULT[;VARIANT]`, where `=` is the rule itself and a variant is one of the two
/// implementations of iptables, of which the legacy one is ours.
struct Test {
    rule: String,
    expected: Expected,
}

impl Test {
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(';').map(str::trim_end);
        let (rule, saved, result) = (fields.next()?, fields.next()?, fields.next()?);
        let saved = if saved == "=" { rule } else { saved }.to_owned();
        let is_ours = fields.next().is_none_or(|variant| variant == "LEGACY");
        let expected = match result {
            "OK" => Expected::Printed(saved),
            "NOMATCH" => Expected::NotPrinted(saved),
            _ => Expected::Refused,
        };
        is_ours.then(|| Self { rule: rule.to_owned(), expected })
    }

    fn ask(&self, family: Family, table: &str, chain: &str) -> Found {
        let text = format!("*{table}\n-A {chain} {}\nCOMMIT\n", self.rule);
        match rules::parse(family, "test", &text) {
            Ok(ruleset) => Found::Printed(rules::print(&ruleset, false)),
            Err(errors) => {
                let said = errors.iter().map(ToString::to_string).collect();
                let is_foreign = |kind| {
                    matches!(
                        kind,
                        RuleErrorKind::Grammar(
                            GrammarError::ForeignMatch | GrammarError::ForeignTarget
                        )
                    )
                };
                if errors.iter().any(|error| is_foreign(error.kind)) {
                    Found::Foreign(said)
                } else {
                    Found::Refused(said)
                }
            }
        }
    }
}

enum Found {
    Printed(String),
    Refused(String),
    Foreign(String),
}

impl Found {
    fn meets(&self, expected: &Expected) -> bool {
        match (self, expected) {
            (Self::Printed(text), Expected::Printed(saved)) => text.contains(saved.trim()),
            (Self::Printed(text), Expected::NotPrinted(saved)) => !text.contains(saved.trim()),
            (Self::Refused(_), Expected::Refused) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Printed(text) => {
                let rules = text.lines().filter(|line| line.starts_with("-A "));
                f.write_str(&rules.collect::<Vec<_>>().join("; "))
            }
            Self::Refused(said) | Self::Foreign(said) => f.write_str(said),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Printed(saved) => write!(f, "`{saved}'"),
            Self::NotPrinted(saved) => write!(f, "anything but `{saved}'"),
            Self::Refused => f.write_str("to be refused"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Difference { file, line, rule, expected, found } in &self.differences {
            let name = file.file_name().unwrap_or_default().display();
            writeln!(f, "{name}:{line}: `{rule}'\n  expected {expected}\n  found    {found}")?;
        }
        let (equal, foreign, differ) = (self.equal, self.foreign, self.differences.len());
        write!(f, "{equal} equal, {foreign} of another subsystem, {differ} differ")
    }
}

#[cfg(test)]
mod tests;
