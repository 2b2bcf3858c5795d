//! What a gateway still may once it has begun: less than what it takes to begin.
//!
//! Sockets, interfaces and programs are open by then. What remains needed is to ask for neighbours and to reopen links
//! (CAP_NET_ADMIN, CAP_NET_RAW), to read rules again whosever they are (CAP_DAC_READ_SEARCH), and of all files those few.
//! Neither can be got back, nor can a program gain more by starting another.

use std::iter;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, path_beneath_rules,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs,
};

use crate::config::Config;

/// What has become of our privileges, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Which capabilities are left.
    pub capabilities: String,
    /// Which files may still be touched.
    pub files: String,
}

/// Files that a gateway still needs.
#[derive(Clone, Debug, Default)]
pub struct Needed {
    /// It reads what is in these directories.
    pub read: Vec<PathBuf>,
    /// It writes what is in these.
    pub write: Vec<PathBuf>,
    /// It takes files away from these.
    pub remove: Vec<PathBuf>,
    /// It makes files in these, and puts them in the place of others.
    pub make: Vec<PathBuf>,
}

impl Needed {
    /// What a configuration needs: its own files and those it names may be written anew, as editors do, so their
    /// directories count, of links as of what they lead to; its socket's file goes at the end; settings of the kernel's network are read, and written
    /// to give them back.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let inputs = &config.inputs;
        let files = [
            &inputs.rules4,
            &inputs.rules6,
            &inputs.sysctl,
            &inputs.sets,
            &inputs.timeouts,
            &inputs.labels,
        ];
        let named = files.into_iter().flatten().flat_map(|file| directories_of(file));
        let mut read: Vec<PathBuf> = named.collect();
        read.push(PathBuf::from("/proc"));
        let write = config.take_over.then(|| PathBuf::from("/proc/sys/net"));
        let remove = vec![directory_of(&config.control.socket)];
        let make = config.state.iter().map(|state| directory_of(state)).collect();
        Self { read, write: write.into_iter().collect(), remove, make }
    }
}

/// Where a file is, and where what it leads to is if it is a link.
fn directories_of(file: &Path) -> impl Iterator<Item = PathBuf> {
    let target = file.canonicalize().ok();
    iter::once(directory_of(file)).chain(target.map(|target| directory_of(&target)))
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Gives up all that isn't needed any more. What the system can't take away is said in the answer, and stays.
#[must_use]
pub fn give_up(needed: &Needed) -> Remaining {
    let _ = set_no_new_privs(true);
    let capabilities = match drop_capabilities() {
        Ok(kept) => kept,
        Err(error) => format!("all it had ({error})"),
    };
    let files = match restrict_files(needed) {
        Ok(how) => how.to_owned(),
        Err(error) => format!("any, as far as its user may ({error})"),
    };
    Remaining { capabilities, files }
}

fn drop_capabilities() -> rustix::io::Result<String> {
    let had = capabilities(None)?;
    let kept = had.permitted & KEPT.iter().map(|(one, _)| *one).collect();
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    let names = KEPT.iter().filter(|(one, _)| kept.contains(*one)).map(|(_, name)| *name);
    let names: Vec<&str> = names.collect();
    Ok(if names.is_empty() { "none".to_owned() } else { names.join(", ") })
}

fn restrict_files(needed: &Needed) -> Result<&'static str, landlock::RulesetError> {
    let (read, all) = (AccessFs::from_read(VERSION), AccessFs::from_all(VERSION));
    let write = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::ReadFile;
    let make = AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::RemoveFile;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(&needed.read, read))?
        .add_rules(path_beneath_rules(&needed.write, write))?
        .add_rules(path_beneath_rules(&needed.remove, AccessFs::RemoveFile))?
        .add_rules(path_beneath_rules(&needed.make, make))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => {
            "its rules and settings, /proc, and its socket's directory"
        }
        RulesetStatus::NotEnforced => "any, as far as its user may (there is no Landlock)",
    })
}

/// Landlock's, as of Linux 6.2: later ones know no more of files that are read and written.
const VERSION: ABI = ABI::V3;
const KEPT: [(CapabilitySet, &str); 3] = [
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
];
