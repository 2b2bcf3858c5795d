//! What the probes found: figures without any judgement. Checks read nothing else, so a test can make its own.

use std::net::IpAddr;
use std::time::Duration;

use super::blind::Blind;
use super::census::{Backend, Census, Heavy, Source};
use super::foreign::quoted;
use crate::record::fills::Fill;
use crate::redact::Redactor;

/// All that is known of a table and its surroundings.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Where and when.
    pub(crate) scene: Scene,
    /// How full.
    pub(crate) room: Room,
    /// What it counted.
    pub(crate) counters: Counters,
    /// Flows that came while we listened.
    pub(crate) arrivals: Option<Arrivals>,
    /// Who is in it.
    pub(crate) census: Census,
    /// What the kernel logged.
    pub(crate) log: Option<Log>,
    /// How full the table was in the last day, as far as that was recorded.
    pub(crate) past: Vec<Fill>,
    /// The machine's memory.
    pub(crate) memory: Memory,
    /// The other network namespaces.
    pub(crate) spaces: Vec<Space>,
    /// Counters of losses outside of connection tracking, and of the cloud's own tables.
    pub(crate) elsewhere: Vec<Rise>,
    /// The maps in which Cilium tracks connections.
    pub(crate) maps: Vec<String>,
    /// What rules say.
    pub(crate) rules: Rules,
    /// The addresses of this machine, as far as it tells.
    pub(crate) local: Vec<IpAddr>,
    /// The setting `log_invalid`.
    pub(crate) log_invalid: Option<u64>,
    /// The session that this runs in.
    pub(crate) ssh: Option<Ssh>,
    /// Who is behind an address: filled in for the suspects only.
    pub(crate) owners: Vec<Owner>,
    /// UDP services whose clients speak on and are never answered, by where they are translated to: how many of those
    /// that were looked at twice.
    pub(crate) refreshed: Vec<(Backend, u64)>,
    /// The expectations.
    pub(crate) expected: Expected,
    /// What could not be seen, and why.
    pub(crate) blind: Blind,
}

impl Facts {
    /// Whether an address of this machine is the source, or lies in its /64.
    pub(crate) fn is_local(&self, source: Source) -> bool {
        self.local.iter().any(|own| Source::of(*own) == source)
    }

    /// Leaves out what names somebody and isn't of the table itself, whose flows were made unrecognisable before.
    pub(crate) fn hide(&mut self, redactor: &Redactor) {
        self.rules.users.clear();
        self.rules.sources.clear();
        for range in &mut self.rules.ranges {
            range.address = redactor.ip(range.address);
        }
        self.expected.source = self.expected.source.map(|(ip, count)| (redactor.ip(ip), count));
        self.spaces.clear();
        self.local.clear();
        self.owners.clear();
        self.ssh = None;
        if let Some(arrivals) = &mut self.arrivals {
            arrivals.sources = Heavy::new(1);
        }
        (self.scene.options, self.scene.prefix) = (String::new(), String::new());
        self.blind.note(HIDDEN);
    }

    /// A timeout in seconds, by its name without `nf_conntrack_`.
    pub(crate) fn timeout(&self, name: &str) -> Option<u64> {
        self.census.timers.value(name)
    }
}

/// Where and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    /// Whose table it is.
    pub(crate) table: Whose,
    /// The number of the network namespace.
    pub(crate) inode: Option<u64>,
    /// It is the machine's first namespace, where limits can be set.
    pub(crate) is_first: bool,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// How long the probes took.
    pub(crate) took: Duration,
    /// The options that lead our own commands to the table, with a blank in front.
    pub(crate) options: String,
    /// How a program of the system is led there, with a blank behind.
    pub(crate) prefix: String,
}

/// Whose table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The kernel's.
    #[default]
    Kernel,
    /// An engine's.
    Engine,
    /// One in a file, of another time or machine: the surroundings that can be seen are not its own.
    File,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Flows, as the table counts them.
    pub(crate) count: u64,
    /// How many there may be; `None`: no limit, or not told.
    pub(crate) max: Option<u64>,
    /// Buckets of its hash table.
    pub(crate) buckets: Option<u64>,
}

impl Room {
    /// How full, in thousandths; `None` without a limit.
    pub(crate) fn permille(&self) -> Option<u64> {
        self.max.filter(|max| *max > 0).map(|max| self.count.saturating_mul(1000) / max)
    }
}

/// What a table counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Since the beginning, by name.
    pub(crate) totals: Vec<(&'static str, u64)>,
    /// While we looked.
    pub(crate) grown: Vec<(&'static str, u64)>,
    /// How much the number of flows changed meanwhile.
    pub(crate) growth: i64,
    /// For how long we looked.
    pub(crate) span: Duration,
}

impl Counters {
    /// A counter.
    pub(crate) fn total(&self, name: &str) -> u64 {
        self.totals.iter().find(|(known, _)| *known == name).map_or(0, |(_, value)| *value)
    }

    /// New flows that were refused for want of room, a second. Those whose tuple or port was taken, or whose chain was
    /// too long, are dropped as well, but for another reason.
    pub(crate) fn refused(&self) -> f64 {
        (self.rate("drop") - self.rate("insert_failed")).max(0.0)
    }

    /// How much it grew a second.
    pub(crate) fn rate(&self, name: &str) -> f64 {
        let grown = self.grown.iter().find(|(known, _)| *known == name);
        per_second(grown.map_or(0, |(_, value)| *value), self.span)
    }
}

/// So many a second.
pub(crate) fn per_second(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() }
}

/// Flows that came while we listened.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    /// How many.
    pub(crate) new: u64,
    /// For how long.
    pub(crate) span: Duration,
    /// There were more: some were lost.
    pub(crate) is_lossy: bool,
    /// From whom.
    pub(crate) sources: Heavy<Source, ()>,
}

impl Arrivals {
    /// How many a second.
    pub(crate) fn rate(&self) -> f64 {
        per_second(self.new, self.span)
    }
}

/// What the kernel logged of full tables, as far back as its buffer goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Of tables.
    pub(crate) full: Vec<Spell>,
    /// When the expectation table was full.
    pub(crate) expectations: Option<Spell>,
}

/// A time in which the same was logged again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spell {
    /// The network namespace that it is about; `None`: the first one.
    pub(crate) inode: Option<u64>,
    /// From when, in nanoseconds since 1970.
    pub(crate) first: u64,
    /// Until when.
    pub(crate) last: u64,
}

/// The machine's memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// That could be had.
    pub(crate) available: Option<u64>,
    /// That a flow takes in the kernel.
    pub(crate) flow: Option<u64>,
}

/// Another network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Space {
    /// Its number.
    pub(crate) inode: u64,
    /// What leads there: a process or a name.
    pub(crate) place: String,
    /// Who lives there: program, container, pod.
    pub(crate) who: String,
    /// Flows in its table.
    pub(crate) count: u64,
    /// Packets that its table refused.
    pub(crate) drops: u64,
}

/// A counter outside of connection tracking, and how it grew.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rise {
    /// Its name.
    pub(crate) name: String,
    /// What it counts.
    pub(crate) meaning: &'static str,
    /// What to do about it.
    pub(crate) advice: &'static str,
    /// Its value.
    pub(crate) total: u64,
    /// How much it grew a second.
    pub(crate) rate: f64,
}

/// What rules say, as far as the system's programs tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Rules that need connection tracking, as they are shown: why there is any.
    pub(crate) users: Vec<String>,
    /// Those of `iptables` that translate sources.
    pub(crate) sources: Vec<Rule>,
    /// Ports that sources are translated to.
    pub(crate) ranges: Vec<Range>,
    /// Whether there are rules that translate.
    pub(crate) translates: bool,
    /// There is `iptables`.
    pub(crate) has_iptables: bool,
    /// There is `nft`.
    pub(crate) has_nft: bool,
}

/// A rule of `iptables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// `iptables` or `ip6tables`.
    pub(crate) program: String,
    /// The table.
    pub(crate) table: String,
    /// The chain.
    pub(crate) chain: String,
    /// Which of the chain's it is, from 1.
    pub(crate) number: usize,
    /// All that follows the chain, without quotation.
    pub(crate) words: Vec<String>,
}

impl Rule {
    /// The command that puts a rule with these words in front of this one, and not of others: what stands before it
    /// is exempt from it. And the command that takes it away again.
    pub(crate) fn in_front(&self, words: &[String]) -> [String; 2] {
        let Self { program, table, chain, number, .. } = self;
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let (chain, words) = (quoted(chain), words.join(" "));
        [
            format!("{program} -t {table} -I {chain} {number} {words}"),
            format!("{program} -t {table} -D {chain} {words}"),
        ]
    }
}

/// Ports that a rule leaves to translated sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// The address that sources are translated to.
    pub(crate) address: IpAddr,
    /// The protocol; `None`: any.
    pub(crate) proto: Option<u8>,
    /// The first port.
    pub(crate) first: u16,
    /// The last one.
    pub(crate) last: u16,
}

/// The ssh session that this runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ssh {
    /// The other end.
    pub(crate) client: IpAddr,
    /// Whether it has an entry.
    pub(crate) is_tracked: bool,
}

/// Who is behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The address.
    pub(crate) address: IpAddr,
    /// Container or pod, program and process.
    pub(crate) who: String,
}

/// Expectations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// There are.
    pub(crate) count: u64,
    /// There may be.
    pub(crate) max: Option<u64>,
    /// The helper that has most, and its number.
    pub(crate) helper: Option<(String, u64)>,
    /// The source of the flow that has most, and its number.
    pub(crate) source: Option<(IpAddr, u64)>,
}

/// What is to be said of a page that others shall see.
const HIDDEN: &str = "addresses are others than the table's (--redact), so no line finds its flows; rules, owners, other \
     namespaces and your ssh are left out";
