//! `tidegate sysctl`: the settings of connection tracking.
//!
//! Those of the kernel are files below `/proc/sys/net/netfilter`, and belong to the network namespace of who opens
//! them. Those of an engine are asked for through its control socket. Names are those of Linux, with or without
//! `net.netfilter.` in front, with dots or slashes.
//!
//! Parameters of helpers are named as on the kernel's command line, `nf_conntrack_ftp.loose`. The kernel's are files below
//! `/sys/module` and belong to the machine, so they are none of what a namespace has when all of it is listed.

use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Failure;
use crate::client::{ClientError, Settings, module_of};
use crate::flags::table::SysctlArgs;
use crate::message as say;

/// Runs the command.
pub(crate) fn run(args: &SysctlArgs) -> Result<(), Failure> {
    let wishes = wishes(args)?;
    let place = args.place.place();
    place.enter()?;
    let mut command = Command { args, settings: Settings::of(&place)?, shown: Map::new() };
    let mut out = BufWriter::new(io::stdout().lock());
    let mut failures = Vec::new();
    for wish in &wishes {
        match command.fulfil(wish, &mut out) {
            Err(Failure::Table(error)) => failures.push((&wish.name, error)),
            other => other?,
        }
    }
    if args.json {
        serde_json::to_writer(&mut out, &command.shown).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    out.flush()?;
    report(failures, wishes.len())
}

/// A setting to show, or to change.
struct Wish {
    /// In full; `None`: all of them.
    name: Option<String>,
    value: Option<String>,
    /// No matter if there is no such setting.
    is_optional: bool,
}

impl Wish {
    /// Reads `NAME`, `NAME=VALUE` or `NAME = VALUE`.
    fn read(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.trim())));
        let (name, is_optional) =
            name.trim().strip_prefix('-').map_or((name.trim(), false), |name| (name, true));
        let name = name.replace('/', ".");
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if name.is_empty()
            || name.starts_with('.')
            || name.contains("..")
            || !name.chars().all(is_word)
        {
            return Err(format!("`{text}' names no setting"));
        }
        let is_full = is_ours(&name);
        if !is_full && name.starts_with("net.") {
            return Err(format!("{name} is no setting of connection tracking"));
        }
        let name = Some(if is_full { name } else { format!("{PREFIX}{name}") });
        Ok(Self { name, value: value.map(str::to_owned), is_optional })
    }
}

fn wishes(args: &SysctlArgs) -> Result<Vec<Wish>, Failure> {
    if !args.load.is_empty() {
        let of = |path: &PathBuf| read_file(path);
        return args
            .load
            .iter()
            .map(of)
            .collect::<Result<Vec<_>, _>>()
            .map(|all| all.into_iter().flatten().collect());
    }
    if args.settings.is_empty() {
        return Ok(vec![Wish { name: None, value: None, is_optional: true }]);
    }
    args.settings.iter().map(|text| Wish::read(text).map_err(Failure::Usage)).collect()
}

/// The lines of a file as sysctl.conf(5) has them. Settings of other parts of the system are not our business.
fn read_file(path: &Path) -> Result<Vec<Wish>, Failure> {
    let at = |error| Failure::Table(ClientError::File { path: path.to_owned(), error });
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(at)?;
        text
    } else {
        std::fs::read_to_string(path).map_err(at)?
    };
    let mut wishes = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let bad = |why: &str| Failure::Usage(format!("{}:{number}: {why}", path.display()));
        if !line.contains('=') {
            return Err(bad(&format!("`{line}' is not like NAME = VALUE")));
        }
        let name = line.split('=').next().unwrap_or_default();
        let name = name.trim_start_matches('-').trim().replace('/', ".");
        if is_ours(&name) {
            wishes.push(Wish::read(line).map_err(|why| bad(&why))?);
        } else {
            say::warning(format_args!(
                "{}:{number}: not of connection tracking, passed over",
                path.display()
            ));
        }
    }
    Ok(wishes)
}

struct Command<'a> {
    args: &'a SysctlArgs,
    settings: Settings,
    shown: Map<String, Value>,
}

impl Command<'_> {
    fn fulfil(&mut self, wish: &Wish, out: &mut impl Write) -> Result<(), Failure> {
        let Some(name) = &wish.name else {
            let all = self.settings.all()?;
            return all.iter().try_for_each(|(name, value)| self.show(name, value, out));
        };
        let done = match &wish.value {
            None => self
                .settings
                .value(name)
                .map_err(Failure::from)
                .and_then(|value| self.show(name, &value, out)),
            Some(value) => self.change(name, value, out),
        };
        match done {
            Err(Failure::Table(error)) if wish.is_optional && error.is_not_found() => Ok(()),
            other => other,
        }
    }

    fn show(&mut self, name: &str, value: &str, out: &mut impl Write) -> Result<(), Failure> {
        if self.args.json {
            let number = value.parse::<i64>().map_or_else(|_| value.into(), Value::from);
            self.shown.insert(name.to_owned(), number);
        } else if self.args.values {
            writeln!(out, "{value}")?;
        } else {
            writeln!(out, "{name} = {value}")?;
        }
        Ok(())
    }

    fn change(&mut self, name: &str, value: &str, out: &mut impl Write) -> Result<(), Failure> {
        let before = self.settings.value(name)?;
        if self.args.dry_run {
            say::summary(format_args!("{name} would change from {before} to {value}"));
            return Ok(());
        }
        self.settings.set(name, value)?;
        let after = self.settings.value(name)?;
        say::summary(format_args!("{name} was {before}"));
        self.show(name, &after, out)
    }
}

fn report(failures: Vec<(&Option<String>, ClientError)>, wishes: usize) -> Result<(), Failure> {
    let count = failures.len();
    let mut last = None;
    for (name, error) in failures {
        if count > 1 || wishes > 1 {
            say::error(format_args!("{}: {error}", name.as_deref().unwrap_or_default()));
        }
        last = Some(error);
    }
    match last {
        None => Ok(()),
        Some(_) if count < wishes => {
            Err(Failure::Partly(format!("{count} of {wishes} settings were not done")))
        }
        Some(error) => Err(error.into()),
    }
}

/// Whether a name is the full one of a setting of connection tracking, to which the reassembly of fragments and the
/// parameters of helpers belong.
fn is_ours(name: &str) -> bool {
    let known = [PREFIX, OWN, "net.nf_conntrack_max", "net.ipv4.ipfrag_"];
    known.iter().any(|known| name.starts_with(known)) || module_of(name).is_some()
}

const PREFIX: &str = "net.netfilter.";
/// How settings begin that Linux doesn't have.
const OWN: &str = "tidegate.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_may_be_written_in_many_ways() {
        let rows = [
            ("nf_conntrack_max", "net.netfilter.nf_conntrack_max", None),
            ("net.netfilter.nf_conntrack_max=5", "net.netfilter.nf_conntrack_max", Some("5")),
            ("net/netfilter/nf_log/2 = NONE", "net.netfilter.nf_log.2", Some("NONE")),
            ("-nf_conntrack_acct = 1", "net.netfilter.nf_conntrack_acct", Some("1")),
            ("nf_conntrack_ftp.loose", "nf_conntrack_ftp.loose", None),
            ("nf_conntrack_ftp/loose = Y", "nf_conntrack_ftp.loose", Some("Y")),
            ("-nf_conntrack_sip.sip_timeout=1.5", "nf_conntrack_sip.sip_timeout", Some("1.5")),
            ("nf_conntrack_max=1.5", "net.netfilter.nf_conntrack_max", Some("1.5")),
            ("tidegate.frag_source_percent", "tidegate.frag_source_percent", None),
        ];
        for (text, name, value) in rows {
            let wish = Wish::read(text).expect(text);
            assert_eq!(
                (wish.name.as_deref(), wish.value.as_deref()),
                (Some(name), value),
                "{text}"
            );
            assert_eq!(wish.is_optional, text.starts_with('-'), "{text}");
        }
        for text in ["", "=5", "..", "net.netfilter...kernel", "a b=1", "net.ipv4.ip_forward"] {
            assert!(Wish::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_may_have_settings_of_others() {
        let rows = [
            ("net.netfilter.nf_conntrack_max = 5", true),
            ("net/ipv4/ipfrag_time=3", true),
            ("-nf_conntrack_sip.sip_direct_media = 0", true),
            ("nf_conntrack_h323/gkrouted_only=1", true),
            ("tidegate.frag_source_percent = 50", true),
            ("net.ipv4.ip_forward = 1", false),
            ("kernel.core_pattern = nf_conntrack_ftp.loose", false),
            ("nf_conntrack_max = 1.5", false),
        ];
        for (line, is_ours) in rows {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), line).expect(line);
            let wishes = read_file(file.path()).map_err(|_| line).expect("settings");
            assert_eq!(wishes.len(), usize::from(is_ours), "{line}");
        }
    }
}
