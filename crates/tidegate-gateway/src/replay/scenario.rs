//! What a replay starts from: frames, rules, settings, topology and actions.
//!
//! A scenario is a directory with the files of the scenario format, the same
//! files in memory, or a plain capture with the user's own rules and settings.
//! Loading checks everything that can be checked before the first packet, and
//! reports every fault it finds, not only the first. The frames themselves are
//! only opened: they are streamed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use tidegate_engine::ipset::Sets;
use tidegate_engine::limits::{self, Limits, Policies};
use tidegate_engine::rules::{self, LabelNames, Ruleset};
use tidegate_wire::Family;
use tidegate_wire::pcap::Capture;

use super::control::{Action, Control};
use super::fault::{Cause, Fault};
use super::operator::LaterRules;
use super::patch::Patches;
use super::run::START;
use super::topology::{Passage, Router, World};

/// The frames of a scenario.
pub const PACKETS: &str = "packets.pcap";
const RULES_V4: &str = "rules.v4";
const RULES_V6: &str = "rules.v6";
const SYSCTL: &str = "sysctl.conf";
const SETS: &str = "ipset.save";
const TIMEOUTS: &str = "timeouts.nfct";
const LABELS: &str = "connlabel.conf";
const TOPOLOGY: &str = "topology.conf";
const CONTROL: &str = "control.jsonl";
const PATCH: &str = "patch.json";

/// Files of the user's that take the place of the scenario's own.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// IPv4 rules, in iptables-save format.
    pub rules4: Option<PathBuf>,
    /// IPv6 rules, in ip6tables-save format.
    pub rules6: Option<PathBuf>,
    /// Settings, in sysctl.conf format.
    pub sysctl: Option<PathBuf>,
    /// Sets, as `ipset save` writes them.
    pub sets: Option<PathBuf>,
    /// Timeout policies, as nfct takes them.
    pub timeouts: Option<PathBuf>,
    /// Names of labels, as in connlabel.conf.
    pub labels: Option<PathBuf>,
}

/// What the user's files say of an engine, whatever its packets come from.
pub struct Provisions {
    /// Settings.
    pub limits: Limits,
    /// Sets that rules may name.
    pub sets: Sets,
    /// Timeout policies that rules may name.
    pub policies: Policies,
    /// The rules of each family that has a file.
    pub rules: Vec<(Family, Ruleset)>,
    /// Lines that have no effect.
    pub warnings: Vec<Fault>,
}

impl Provisions {
    /// Reads the files. Settings that they don't name are as in `limits`.
    ///
    /// # Errors
    /// Every fault of the files.
    pub fn read(limits: Limits, inputs: &Inputs) -> Result<Self, Vec<Fault>> {
        let mut files = Files { root: String::new(), files: BTreeMap::new() };
        files.replace(inputs)?;
        let Parts { limits, sets, policies, rules, warnings, .. } = Parts::load(limits, &files)?;
        Ok(Self { limits, sets, policies, rules, warnings })
    }
}

/// Everything that a [`Replay`](super::Replay) needs.
pub struct Scenario {
    /// Its name: that of its directory or file.
    pub name: String,
    /// Whether it is of the scenario format, not a plain capture.
    pub is_recorded: bool,
    /// Settings in force at the start.
    pub limits: Limits,
    /// Lines of its files that have no effect.
    pub warnings: Vec<Fault>,
    pub(super) world: World,
    pub(super) sets: Sets,
    pub(super) policies: Policies,
    pub(super) rules: Vec<(Family, Ruleset)>,
    /// Rules that actions load later, by family number and file.
    pub(super) later_rules: LaterRules,
    pub(super) controls: Vec<Control>,
    pub(super) controls_file: String,
    pub(super) patches: Patches,
    pub(super) capture_file: String,
    pub(super) capture: Capture<Box<dyn Read>>,
}

impl Scenario {
    /// The scenario in a directory.
    ///
    /// # Errors
    /// Every fault of its files.
    pub fn from_dir(dir: &Path, inputs: &Inputs) -> Result<Self, Vec<Fault>> {
        let name = dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_owned()));
        let name = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut files = Files::read_dir(dir)?;
        files.replace(inputs)?;
        Self::recorded(name, files)
    }

    /// The scenario in a set of files in memory, by file name.
    ///
    /// # Errors
    /// Every fault of the files; they are called `NAME/FILE` in messages.
    pub fn from_files(name: &str, files: BTreeMap<String, Vec<u8>>) -> Result<Self, Vec<Fault>> {
        let label = |file: String, bytes| (file.clone(), (format!("{name}/{file}"), bytes));
        let files = files.into_iter().map(|(file, bytes)| label(file, bytes)).collect();
        Self::recorded(name.to_owned(), Files { root: name.to_owned(), files })
    }

    /// A plain capture: everything in it is forwarded.
    ///
    /// # Errors
    /// Every fault of the capture's head, the rules and the settings.
    pub fn from_capture(path: &Path, inputs: &Inputs) -> Result<Self, Vec<Fault>> {
        let label = path.display().to_string();
        let name = path.file_name().map_or(label.clone(), |name| name.to_string_lossy().into());
        let file = File::open(path).map_err(|e| vec![Fault::of(&label, Cause::Io(e))])?;
        Self::from_reader(name, label, Box::new(file), inputs)
    }

    /// A plain capture from any source; `label` stands for it in messages.
    ///
    /// # Errors
    /// As [`Scenario::from_capture`].
    pub fn from_reader(
        name: String,
        label: String,
        reader: Box<dyn Read>,
        inputs: &Inputs,
    ) -> Result<Self, Vec<Fault>> {
        let mut files = Files { root: String::new(), files: BTreeMap::new() };
        files.replace(inputs)?;
        let mut parts = Parts::load(Limits::default(), &files)?;
        parts.world = World::Passage(Passage::default());
        let capture = open(&label, reader)?;
        Ok(Self { is_recorded: false, ..parts.into_scenario(name, label, capture) })
    }

    fn recorded(name: String, mut files: Files) -> Result<Self, Vec<Fault>> {
        // The kernel whose records these are said why it did not believe a packet, and leaves all memory for
        // fragments to whoever comes first.
        let limits = Limits { log_invalid: 255, frag_source_percent: 100, ..Limits::default() };
        let parts = Parts::load(limits, &files)?;
        let Some((label, bytes)) = files.files.remove(PACKETS) else {
            return Err(vec![Fault::of(files.root, Cause::NoPackets)]);
        };
        let capture = open(&label, Box::new(Cursor::new(bytes)))?;
        Ok(parts.into_scenario(name, label, capture))
    }
}

fn open(label: &str, reader: Box<dyn Read>) -> Result<Capture<Box<dyn Read>>, Vec<Fault>> {
    Capture::open(reader).map_err(|error| vec![Fault::of(label, Cause::Capture(error))])
}

/// The files of a scenario: for each name how messages call it, and its bytes.
struct Files {
    /// How messages call the whole.
    root: String,
    files: BTreeMap<String, (String, Vec<u8>)>,
}

impl Files {
    /// Reads all files of a directory but those that record what came out.
    fn read_dir(dir: &Path) -> Result<Self, Vec<Fault>> {
        let root = dir.display().to_string();
        let failed = |label: &str| {
            let label = label.to_owned();
            move |error| vec![Fault::of(label, Cause::Io(error))]
        };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(failed(&root))? {
            let path = entry.map_err(failed(&root))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_file() && !name.starts_with("expected.") {
                let label = path.display().to_string();
                let bytes = fs::read(&path).map_err(failed(&label))?;
                files.insert(name, (label, bytes));
            }
        }
        Ok(Self { root, files })
    }

    /// Puts the user's files in the place of the scenario's.
    fn replace(&mut self, inputs: &Inputs) -> Result<(), Vec<Fault>> {
        let given = [
            (RULES_V4, &inputs.rules4),
            (RULES_V6, &inputs.rules6),
            (SYSCTL, &inputs.sysctl),
            (SETS, &inputs.sets),
            (TIMEOUTS, &inputs.timeouts),
            (LABELS, &inputs.labels),
        ];
        for (name, path) in given {
            let Some(path) = path else { continue };
            let label = path.display().to_string();
            let bytes = fs::read(path).map_err(|e| vec![Fault::of(&label, Cause::Io(e))])?;
            self.files.insert(name.to_owned(), (label, bytes));
        }
        Ok(())
    }

    /// How messages call a file, and its text; `None` if it isn't there.
    fn text(&self, name: &str) -> Result<Option<(&str, &str)>, Fault> {
        let Some((label, bytes)) = self.files.get(name) else { return Ok(None) };
        let text = str::from_utf8(bytes).map_err(|_| Fault::of(label, Cause::NotText))?;
        Ok(Some((label, text)))
    }
}

/// What the files of a scenario say, all but the frames.
struct Parts {
    limits: Limits,
    world: World,
    sets: Sets,
    policies: Policies,
    labels: LabelNames,
    rules: Vec<(Family, Ruleset)>,
    later_rules: LaterRules,
    controls: Vec<Control>,
    controls_file: String,
    patches: Patches,
    warnings: Vec<Fault>,
    faults: Vec<Fault>,
}

/// Reads what one kind of file says.
type Loader = fn(&mut Parts, &Files) -> Result<(), Fault>;

impl Parts {
    fn load(limits: Limits, files: &Files) -> Result<Self, Vec<Fault>> {
        let mut parts = Self::new(limits);
        let loaders: [Loader; 8] = [
            Self::load_sets,
            Self::load_policies,
            Self::load_labels,
            Self::load_rules,
            Self::load_sysctl,
            Self::load_topology,
            Self::load_controls,
            Self::load_patches,
        ];
        for loader in loaders {
            if let Err(fault) = loader(&mut parts, files) {
                parts.faults.push(fault);
            }
        }
        if parts.faults.is_empty() { Ok(parts) } else { Err(parts.faults) }
    }

    fn new(limits: Limits) -> Self {
        Self {
            limits,
            world: World::Router(Router::default()),
            sets: Sets::default(),
            policies: Policies::default(),
            labels: LabelNames::default(),
            rules: Vec::new(),
            later_rules: LaterRules::new(),
            controls: Vec::new(),
            controls_file: String::new(),
            patches: Patches::default(),
            warnings: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Sets come first: rules may only name those that are there.
    fn load_sets(&mut self, files: &Files) -> Result<(), Fault> {
        if let Some((label, text)) = files.text(SETS)?
            && let Err(errors) = self.sets.restore(START, label, text)
        {
            self.faults.extend(errors.into_iter().map(Fault::set));
        }
        Ok(())
    }

    /// They take the default settings for what they don't say.
    fn load_policies(&mut self, files: &Files) -> Result<(), Fault> {
        if let Some((label, text)) = files.text(TIMEOUTS)?
            && let Err(errors) = self.policies.add(&Limits::default(), label, text)
        {
            self.faults.extend(errors.into_iter().map(Fault::policy));
        }
        Ok(())
    }

    fn load_labels(&mut self, files: &Files) -> Result<(), Fault> {
        if let Some((label, text)) = files.text(LABELS)? {
            match LabelNames::parse(label, text) {
                Ok(labels) => self.labels = labels,
                Err(errors) => self.faults.extend(errors.into_iter().map(Fault::rule)),
            }
        }
        Ok(())
    }

    fn load_rules(&mut self, files: &Files) -> Result<(), Fault> {
        for (family, name) in [(Family::V4, RULES_V4), (Family::V6, RULES_V6)] {
            if let Some((label, text)) = files.text(name)? {
                let rules = self.parse_rules(family, label, text);
                self.rules.extend(rules.map(|rules| (family, rules)));
            }
        }
        Ok(())
    }

    fn parse_rules(&mut self, family: Family, label: &str, text: &str) -> Option<Ruleset> {
        match rules::parse_named(family, label, text, &self.labels) {
            Ok(rules) => {
                self.check_names(label, &rules);
                Some(rules)
            }
            Err(errors) => {
                self.faults.extend(errors.into_iter().map(Fault::rule));
                None
            }
        }
    }

    /// A kernel refuses rules that name what isn't there.
    fn check_names(&mut self, label: &str, rules: &Ruleset) {
        for (line, name) in rules.sets().into_iter().filter(|(_, name)| !self.sets.has(name)) {
            let cause = Cause::UnknownSet(name.to_owned());
            self.faults.push(Fault::at(label, line as usize, cause));
        }
        for (line, name, protocol) in rules.timeout_policies() {
            let found = self.policies.find(name);
            if !found.is_some_and(|id| self.policies.fits(id, rules.family, protocol.0)) {
                let cause = Cause::UnknownPolicy(name.to_owned());
                self.faults.push(Fault::at(label, line as usize, cause));
            }
        }
    }

    fn load_sysctl(&mut self, files: &Files) -> Result<(), Fault> {
        if let Some((label, text)) = files.text(SYSCTL)? {
            let report = limits::parse_file(label, text, &mut self.limits);
            self.faults.extend(report.errors.into_iter().map(Fault::sysctl));
            self.warnings.extend(report.warnings.into_iter().map(Fault::sysctl));
        }
        Ok(())
    }

    fn load_topology(&mut self, files: &Files) -> Result<(), Fault> {
        let Some((label, text)) = files.text(TOPOLOGY)? else { return Ok(()) };
        let mut router = Router::default();
        for (index, line) in text.lines().enumerate() {
            let words: Vec<&str> =
                line.split('#').next().unwrap_or("").split_whitespace().collect();
            let understood = match words[..] {
                [] => true,
                ["mtu", port, mtu] => mtu.parse().is_ok_and(|mtu| router.set_mtu(port, mtu)),
                _ => false,
            };
            if !understood {
                return Err(Fault::at(label, index + 1, Cause::Topology(line.to_owned())));
            }
        }
        self.world = World::Router(router);
        Ok(())
    }

    fn load_controls(&mut self, files: &Files) -> Result<(), Fault> {
        let Some((label, text)) = files.text(CONTROL)? else { return Ok(()) };
        self.controls = Control::parse_file(label, text)?;
        self.controls.sort_by_key(|control| control.before);
        label.clone_into(&mut self.controls_file);
        for control in self.controls.clone() {
            if let Action::Rules { family, file } = control.action {
                let missing = || Fault::of(label, Cause::MissingFile(file.clone()));
                let (label, text) = files.text(&file)?.ok_or_else(missing)?;
                let of = if family == 6 { Family::V6 } else { Family::V4 };
                let rules = self.parse_rules(of, label, text);
                self.later_rules.extend(rules.map(|rules| ((family, file), rules)));
            }
        }
        Ok(())
    }

    fn load_patches(&mut self, files: &Files) -> Result<(), Fault> {
        if let Some((label, text)) = files.text(PATCH)? {
            self.patches = Patches::parse_file(label, text)?;
        }
        Ok(())
    }

    fn into_scenario(
        self,
        name: String,
        capture_file: String,
        capture: Capture<Box<dyn Read>>,
    ) -> Scenario {
        Scenario {
            name,
            is_recorded: true,
            limits: self.limits,
            warnings: self.warnings,
            world: self.world,
            sets: self.sets,
            policies: self.policies,
            rules: self.rules,
            later_rules: self.later_rules,
            controls: self.controls,
            controls_file: self.controls_file,
            patches: self.patches,
            capture_file,
            capture,
        }
    }
}

/// All scenario directories in and under `root`, sorted by path.
///
/// # Errors
/// A directory can't be read, or there is none with [`PACKETS`].
pub fn find(root: &Path) -> Result<Vec<PathBuf>, Fault> {
    let mut found = Vec::new();
    collect(root, &mut found)?;
    found.sort();
    if found.is_empty() {
        return Err(Fault::of(root.display().to_string(), Cause::NoPackets));
    }
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    if dir.join(PACKETS).is_file() {
        found.push(dir.to_owned());
        return Ok(());
    }
    let failed = |error| Fault::of(dir.display().to_string(), Cause::Io(error));
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, found)?;
        }
    }
    Ok(())
}
