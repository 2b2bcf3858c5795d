//! The one file of a live gateway: which interfaces, whose world, which rules, who may look.
//!
//! It is TOML. A key that isn't known is refused, since what is passed over would be missed; a fault is told with file,
//! line and field. Files that it names are looked for beside it, unless their paths are absolute. What can be known to be
//! wrong without touching anything is found by [`Config::read`]; what the named files say, by
//! [`Provisions`](crate::replay::Provisions).

mod captures;
#[cfg(test)]
mod tests;
mod workers;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;

pub use self::captures::CaptureFiles;
use self::workers::Pin;
use crate::control::socket::Policy;
use crate::daemon::Pace;
use crate::fib::fixed::{Description, FixedWorld};
use crate::replay::{Cause, Fault, Inputs};

/// What the file says.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file itself, as messages call it.
    pub file: PathBuf,
    /// The interfaces that packets are forwarded between. None: no packets.
    pub interfaces: Vec<Interface>,
    /// How many workers share the packets, each of them a thread.
    pub workers: u16,
    /// The processors that workers keep to, in their order and over again; empty: any.
    pub cores: Vec<usize>,
    /// Rules, settings, sets, policies, labels.
    pub inputs: Inputs,
    /// The control socket.
    pub control: Control,
    /// How many events are kept for listeners who are behind.
    pub backlog: usize,
    /// A world that doesn't change, instead of the kernel's.
    pub fixed: Option<Description>,
    /// Whether the kernel is kept from forwarding and answering the same packets.
    pub take_over: bool,
    /// How many microseconds without a packet are spent looking for the next, before sleep.
    pub busy_poll: u32,
    /// Where figures are served to Prometheus, if they are.
    pub metrics: Option<SocketAddr>,
    /// What becomes of copies of packets.
    pub log: Log,
    /// Where flows are written at the end, to be taken over at the next start.
    pub state: Option<PathBuf>,
}

/// What is written down, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The form of what is said on stderr.
    pub format: LogFormat,
    /// The capture that packets are written to which NFLOG rules copy; `None`: they are let go.
    pub nflog: Option<PathBuf>,
    /// How many bytes of packets that may hold.
    pub nflog_limit: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, nflog: None, nflog_limit: USUAL_NFLOG_LIMIT }
    }
}

/// The form of what is said on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object on each line, with its time and severity.
    Json,
}

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// How its packets come and go.
    pub plane: Plane,
    /// What is done about checksums, where the plane leaves a choice.
    pub checksum: Checksum,
    /// What is read and written instead of a wire.
    pub capture: Option<CaptureFiles>,
}

/// How packets come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// The best that works here.
    #[default]
    Auto,
    /// AF_PACKET: any interface.
    #[serde(alias = "packet")]
    AfPacket,
    /// AF_XDP.
    #[serde(alias = "xdp")]
    AfXdp,
    /// A TUN interface that is there (`ip tuntap add`).
    Tun,
    /// Captures: no interface at all.
    Pcap,
}

impl Plane {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::AfPacket => "af-packet",
            Self::AfXdp => "af-xdp",
            Self::Tun => "tun",
            Self::Pcap => "pcap",
        }
    }
}

/// What is done about checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// They are taken as they come.
    #[default]
    Trust,
    /// They are left to the far side, which is told where they belong.
    Metadata,
}

/// The control socket.
#[derive(Debug, Clone)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
    /// Who may connect, and who may change anything.
    pub policy: Policy,
}

impl Default for Config {
    /// That of an empty file.
    fn default() -> Self {
        Self {
            file: PathBuf::new(),
            interfaces: Vec::new(),
            workers: 1,
            cores: Vec::new(),
            inputs: Inputs::default(),
            control: Control { socket: PathBuf::from(USUAL_SOCKET), policy: Policy::default() },
            backlog: usual_backlog(),
            fixed: None,
            take_over: false,
            busy_poll: 0,
            metrics: None,
            log: Log::default(),
            state: None,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    #[serde(default)]
    plane: Plane,
    #[serde(default = "one")]
    workers: Spanned<u16>,
    #[serde(default)]
    pin: Pin,
    #[serde(default)]
    take_over: bool,
    #[serde(default)]
    busy_poll: u32,
    #[serde(default = "usual_backlog")]
    backlog: usize,
    metrics: Option<SocketAddr>,
    state: Option<PathBuf>,
    rules4: Option<Spanned<PathBuf>>,
    rules6: Option<Spanned<PathBuf>>,
    sysctl: Option<Spanned<PathBuf>>,
    ipset: Option<Spanned<PathBuf>>,
    timeouts: Option<Spanned<PathBuf>>,
    labels: Option<Spanned<PathBuf>>,
    #[serde(default)]
    control: WrittenControl,
    #[serde(default)]
    log: WrittenLog,
    #[serde(default, rename = "interface")]
    interfaces: Vec<WrittenInterface>,
    world: Option<Spanned<Description>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenInterface {
    name: Spanned<String>,
    plane: Option<Plane>,
    queues: Option<Spanned<u16>>,
    #[serde(default = "usual_checksum")]
    checksum: Spanned<Checksum>,
    read: Option<PathBuf>,
    write: Option<PathBuf>,
    pace: Option<Pace>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenControl {
    socket: Option<PathBuf>,
    mode: Option<Spanned<String>>,
    group: Option<Spanned<Group>>,
    admin_group: Option<Spanned<Group>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WrittenLog {
    #[serde(default)]
    format: LogFormat,
    nflog: Option<PathBuf>,
    nflog_limit: Option<u64>,
}

/// A group's number or name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Group {
    Number(u32),
    Name(String),
}

fn one() -> Spanned<u16> {
    Spanned::new(0..0, 1)
}

fn usual_checksum() -> Spanned<Checksum> {
    Spanned::new(0..0, Checksum::Trust)
}

fn usual_backlog() -> usize {
    16_384
}

impl Config {
    /// Reads a file; of `workers`, if given, there are so many whatever it says.
    ///
    /// # Errors
    /// Every fault of it that can be known; those of the files that it names are not among them, but that they aren't
    /// there is.
    pub fn read(path: &Path, workers: Option<u16>) -> Result<Self, Vec<Fault>> {
        let text = text_of(path).map_err(|fault| vec![fault])?;
        Self::parse(path, &text, workers)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// See [`Config::read`].
    pub fn parse(path: &Path, text: &str, workers: Option<u16>) -> Result<Self, Vec<Fault>> {
        match Self::examine(path, text, workers) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    /// Reads a file as far as that goes, and tells all that is wrong with it. What is left out of the configuration
    /// is among the faults.
    #[must_use]
    pub fn survey(path: &Path) -> (Option<Self>, Vec<Fault>) {
        match text_of(path) {
            Ok(text) => Self::examine(path, &text, None),
            Err(fault) => (None, vec![fault]),
        }
    }

    fn examine(path: &Path, text: &str, workers: Option<u16>) -> (Option<Self>, Vec<Fault>) {
        let mut reader = Reader { path, text, faults: Vec::new() };
        let written: Written = match toml::from_str(text) {
            Ok(written) => written,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                reader.refuse(at, "", error.message());
                return (None, reader.faults);
            }
        };
        let config = reader.config(written, workers);
        reader.faults.sort_by_key(|fault| fault.line);
        (Some(config), reader.faults)
    }
}

fn text_of(path: &Path) -> Result<String, Fault> {
    let label = path.display().to_string();
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) => Err(Fault::of(label, Cause::NotText)),
        Err(error) => Err(Fault::of(label, Cause::Io(error))),
    }
}

/// A file that is being read.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn config(&mut self, written: Written, workers: Option<u16>) -> Config {
        let workers = workers.unwrap_or_else(|| self.workers(&written.workers));
        let interfaces = written.interfaces;
        self.check_names(&interfaces);
        self.check_queues(&interfaces, written.plane, workers);
        let interfaces: Vec<Interface> =
            interfaces.into_iter().map(|one| self.interface(one, written.plane)).collect();
        let at = written.world.as_ref().map(|world| world.span().start);
        let fixed = written.world.map(|world| self.world(world));
        self.check_links(&interfaces, fixed.as_ref(), at.unwrap_or(0));
        let inputs = Inputs {
            rules4: self.file("rules4", written.rules4),
            rules6: self.file("rules6", written.rules6),
            sysctl: self.file("sysctl", written.sysctl),
            sets: self.file("ipset", written.ipset),
            timeouts: self.file("timeouts", written.timeouts),
            labels: self.file("labels", written.labels),
        };
        Config {
            file: self.path.to_owned(),
            interfaces,
            workers,
            cores: written.pin.cores(),
            inputs,
            control: self.control(written.control),
            backlog: written.backlog,
            fixed,
            take_over: written.take_over,
            busy_poll: written.busy_poll,
            metrics: written.metrics,
            state: written.state.map(|path| self.beside(&path)),
            log: Log {
                format: written.log.format,
                nflog: written.log.nflog.map(|path| self.beside(&path)),
                nflog_limit: written.log.nflog_limit.unwrap_or(USUAL_NFLOG_LIMIT),
            },
        }
    }

    fn interface(&mut self, written: WrittenInterface, usual: Plane) -> Interface {
        let plane = written.plane.unwrap_or(usual);
        let (at, checksum) = (written.checksum.span().start, *written.checksum.get_ref());
        if plane != Plane::AfXdp && checksum != Checksum::Trust {
            let problem =
                "only af-xdp leaves a choice: the others carry what is unfinished as it is";
            self.refuse(at, "interface.checksum", problem);
        }
        let capture = self.capture(plane, &written);
        Interface { name: written.name.into_inner(), plane, checksum, capture }
    }

    fn check_names(&mut self, interfaces: &[WrittenInterface]) {
        for (number, WrittenInterface { name, .. }) in interfaces.iter().enumerate() {
            let at = name.span().start;
            let name = name.get_ref();
            if interfaces[..number].iter().any(|other| other.name.get_ref() == name) {
                self.refuse(at, "interface.name", &format!("there are two `{name}'"));
            }
            if name.is_empty() || name.len() > LONGEST_NAME {
                self.refuse(at, "interface.name", "no interface has such a name");
            }
        }
    }

    /// A world that contradicts itself is refused here, not when it is needed.
    fn world(&mut self, world: Spanned<Description>) -> Description {
        let at = world.span().start;
        let world = world.into_inner();
        if let Err(error) = FixedWorld::new(&world) {
            self.refuse(at, "world", &error.to_string());
        }
        world
    }

    fn control(&mut self, written: WrittenControl) -> Control {
        let mode = written.mode.map_or(0o600, |mode| self.mode(&mode));
        let policy = Policy {
            mode,
            group: self.group("control.group", written.group),
            admin_group: self.group("control.admin-group", written.admin_group),
        };
        let socket = written.socket.unwrap_or_else(|| PathBuf::from(USUAL_SOCKET));
        Control { socket: self.beside(&socket), policy }
    }

    fn mode(&mut self, written: &Spanned<String>) -> u32 {
        let mode = u32::from_str_radix(written.get_ref(), 8).ok().filter(|mode| *mode <= 0o777);
        mode.unwrap_or_else(|| {
            let at = written.span().start;
            self.refuse(at, "control.mode", "expected an octal number up to \"777\"");
            0
        })
    }

    fn group(&mut self, field: &str, written: Option<Spanned<Group>>) -> Option<u32> {
        let written = written?;
        let at = written.span().start;
        match written.into_inner() {
            Group::Number(number) => Some(number),
            Group::Name(name) => {
                let number =
                    group_number(&fs::read_to_string("/etc/group").unwrap_or_default(), &name);
                if number.is_none() {
                    self.refuse(at, field, &format!("there is no group `{name}'"));
                }
                number
            }
        }
    }

    fn positive(&mut self, field: &str, written: &Spanned<u16>) -> u16 {
        if *written.get_ref() == 0 {
            self.refuse(written.span().start, field, "must not be 0");
        }
        *written.get_ref()
    }

    /// A file that must be there.
    fn file(&mut self, field: &str, written: Option<Spanned<PathBuf>>) -> Option<PathBuf> {
        let written = written?;
        let path = self.beside(written.get_ref());
        if let Err(error) = fs::metadata(&path) {
            self.refuse(written.span().start, field, &format!("{}: {error}", path.display()));
            return None;
        }
        Some(path)
    }

    /// A path that is relative is so to the file.
    fn beside(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(parent) => parent.join(path),
            None => path.to_owned(),
        }
    }

    fn refuse(&mut self, at: usize, field: &str, problem: &str) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let cause = Cause::Config { field: field.to_owned(), problem: problem.to_owned() };
        self.faults.push(Fault::at(self.path.display().to_string(), line, cause));
    }
}

/// The number of a group, by a text like that of /etc/group.
fn group_number(text: &str, name: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// `IFNAMSIZ`, without the end.
const LONGEST_NAME: usize = 15;
/// As much is copied if the file doesn't say.
const USUAL_NFLOG_LIMIT: u64 = 1 << 30;
/// Where the socket is if the file doesn't say.
const USUAL_SOCKET: &str = "/run/tidegate.sock";

impl Plane {
    /// By its name.
    ///
    /// # Errors
    /// There is none of this name; which there are.
    pub fn named(name: &str) -> Result<Self, String> {
        let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
            name.into_deserializer();
        Self::deserialize(name).map_err(|error| error.to_string())
    }
}
