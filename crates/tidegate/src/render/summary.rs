//! The summary: what an operator wants to know of a capture before reading
//! further. [`Summary`] holds the figures, as JSON shows them; [`page`] puts
//! them into words.

mod page;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;
use tidegate_engine::track::InvalidReason;
use tidegate_engine::verdict::DropReason;
use tidegate_gateway::replay::Replay;
use tidegate_gateway::replay::census::{Census, STATES, Talker};
use tidegate_gateway::replay::run::START;
use tidegate_wire::pcap::LinkType;

/// How many hosts are listed.
const TOP: usize = 5;

/// All figures of a summary.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    capture: Capture,
    packets: Packets,
    flows: Flows,
    nat: Nat,
    talkers: Talkers,
    #[serde(serialize_with = "as_map")]
    invalid: Reasons,
    #[serde(serialize_with = "as_map")]
    dropped: Reasons,
    table: Table,
    /// Packets of protocols that have no tracker here.
    #[serde(serialize_with = "as_map")]
    not_tracked_in_full: Reasons,
    #[serde(skip)]
    elapsed: Duration,
}

type Reasons = Vec<(&'static str, u64)>;

#[derive(Debug, Serialize)]
struct Capture {
    name: String,
    links: Vec<String>,
    /// First packet, in nanoseconds since 1970.
    start_ns: u64,
    seconds: f64,
    #[serde(skip)]
    span: Duration,
}

#[derive(Debug, Serialize)]
struct Packets {
    frames: u64,
    not_ip: u64,
    bytes: u64,
    forwarded: u64,
    local: u64,
    fragments_held: u64,
    dropped: u64,
    cut_short: u64,
    ttl_raised: u64,
    checksums_completed: u64,
    #[serde(serialize_with = "as_map")]
    states: Reasons,
}

#[derive(Debug, Serialize)]
struct Flows {
    total: u64,
    hosts: usize,
    in_table: usize,
    events_are_off: bool,
    /// By protocol, then by last state.
    kinds: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

#[derive(Debug, Serialize)]
struct Nat {
    source: u64,
    destination: u64,
    both: u64,
}

#[derive(Debug, Serialize)]
struct Talkers {
    by_flows: Vec<Host>,
    by_bytes: Vec<Host>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Host {
    address: IpAddr,
    flows: u64,
    packets: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Table {
    /// `nf_conntrack_max` of the replay.
    max: u32,
    peak: usize,
    peak_after_seconds: f64,
    early_drops: u64,
    /// Growth in the second half of the capture.
    growth: Option<Growth>,
    forecast: Forecast,
}

#[derive(Debug, Serialize)]
struct Growth {
    seconds: f64,
    flows: i64,
    #[serde(skip)]
    per_second: f64,
}

/// Whether this traffic would fill a table.
#[derive(Debug, Serialize)]
struct Forecast {
    /// Of this size.
    size: u64,
    /// The table was that large within the capture.
    reached: bool,
    /// Otherwise, seconds after the end of the capture at the pace of its
    /// second half.
    fills_after_seconds: Option<f64>,
    #[serde(skip)]
    fills_after: Option<Duration>,
}

impl Summary {
    /// The figures of a replay at its end.
    pub(crate) fn new(
        census: &Census,
        replay: &Replay,
        table_size: u64,
        elapsed: Duration,
    ) -> Self {
        let stats = replay.engine().stats();
        Self {
            capture: Capture::new(census, replay),
            packets: Packets::new(census),
            flows: Flows::new(census, replay),
            nat: Nat {
                source: census.nat.source,
                destination: census.nat.destination,
                both: census.nat.both,
            },
            talkers: Talkers {
                by_flows: top(census, |talker| talker.flows),
                by_bytes: top(census, |talker| talker.bytes),
            },
            invalid: ranked(InvalidReason::NAMES.into_iter().zip(stats.invalid_reasons)),
            dropped: ranked(DropReason::NAMES.into_iter().zip(stats.drops)),
            table: Table::new(census, replay, table_size),
            not_tracked_in_full: not_tracked_in_full(census),
            elapsed,
        }
    }

    /// Writes it as a page, in colour if `out` may go to a terminal that wants
    /// it, or as a JSON object.
    pub(crate) fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        let page = self.page();
        match anstream::AutoStream::choice(&io::stdout()) {
            anstream::ColorChoice::Never => {
                write!(out, "{}", anstream::adapter::strip_str(&page))
            }
            _ => out.write_all(page.as_bytes()),
        }
    }
}

impl Capture {
    fn new(census: &Census, replay: &Replay) -> Self {
        Self {
            name: replay.name().to_owned(),
            links: replay.links().iter().map(|link| link_name(*link)).collect(),
            start_ns: replay.wall_clock(START),
            seconds: census.span.as_secs_f64(),
            span: census.span,
        }
    }
}

impl Packets {
    fn new(census: &Census) -> Self {
        let counts = &census.packets;
        Self {
            frames: counts.frames,
            not_ip: counts.not_ip,
            bytes: counts.bytes,
            forwarded: counts.forwarded,
            local: counts.local,
            fragments_held: counts.held,
            dropped: counts.dropped,
            cut_short: counts.cut,
            ttl_raised: counts.aged,
            checksums_completed: counts.offloaded,
            states: STATES.into_iter().zip(counts.states).collect(),
        }
    }
}

impl Flows {
    fn new(census: &Census, replay: &Replay) -> Self {
        let mut kinds: BTreeMap<_, BTreeMap<_, u64>> = BTreeMap::new();
        for (kind, count) in &census.flows {
            kinds.entry(kind.l4).or_default().insert(kind.state, *count);
        }
        Self {
            total: census.flow_count(),
            hosts: census.host_count(),
            in_table: replay.engine().count(),
            events_are_off: replay.engine().limits().events == 0,
            kinds,
        }
    }
}

impl Table {
    fn new(census: &Census, replay: &Replay, size: u64) -> Self {
        let peak = census.growth.peak();
        let peak_flows = peak.map_or(0, |peak| peak.flows);
        let reached = peak_flows as u64 >= size;
        let slope = census.growth.second_half();
        let room = size.saturating_sub(replay.engine().count() as u64);
        let fills_after = slope.and_then(|slope| slope.time_for(room)).filter(|_| !reached);
        Self {
            max: replay.engine().limits().max,
            peak: peak_flows,
            peak_after_seconds: peak
                .map_or(0.0, |peak| peak.at.saturating_sub(START).as_secs_f64()),
            early_drops: replay.engine().stats().early_drop,
            growth: slope.map(|slope| Growth {
                seconds: slope.span.as_secs_f64(),
                flows: slope.flows,
                per_second: slope.per_second(),
            }),
            forecast: Forecast {
                size,
                reached,
                fills_after_seconds: fills_after.map(|time| time.as_secs_f64()),
                fills_after,
            },
        }
    }
}

fn top(census: &Census, score: fn(&Talker) -> u64) -> Vec<Host> {
    let hosts = census.top_talkers(TOP, score).into_iter();
    let host = |(address, talker): (IpAddr, Talker)| Host {
        address,
        flows: talker.flows,
        packets: talker.packets,
        bytes: talker.bytes,
    };
    hosts.map(host).collect()
}

/// Without the zeros, largest first.
fn ranked(counters: impl Iterator<Item = (&'static str, u64)>) -> Reasons {
    let mut reasons: Reasons = counters.filter(|(_, count)| *count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons
}

fn not_tracked_in_full(census: &Census) -> Reasons {
    let packets = [("DCCP", census.packets.dccp)];
    packets.into_iter().filter(|(_, count)| *count > 0).collect()
}

fn link_name(link: LinkType) -> String {
    match link {
        LinkType::Null | LinkType::Loop => "loopback".to_owned(),
        LinkType::Ethernet => "Ethernet".to_owned(),
        LinkType::RawIp | LinkType::Ipv4 | LinkType::Ipv6 => "raw IP".to_owned(),
        LinkType::LinuxSll => "Linux cooked".to_owned(),
        LinkType::LinuxSll2 => "Linux cooked v2".to_owned(),
        LinkType::Nflog => "packets that NFLOG copied".to_owned(),
        LinkType::Unsupported(number) => format!("unsupported link type {number}"),
    }
}

fn as_map<S: serde::Serializer>(list: &Reasons, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(list.iter().copied())
}
