//! One pass over a table, counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Family, expect};

use super::metrics::{self, Metric};
use super::page::Page;
use crate::client::names::{self, bit};
use crate::client::{ClientError, Expected, Flow, Place, Request, Settings, Table};
use crate::cmd::Failure;
use crate::cmd::count::{Counts, counts};
use crate::cmd::list::request;
use crate::cmd::stats::{read, reasons};
use crate::filter::Filter;
use crate::present::time_of_day;
use crate::render::counters::Reason;
use crate::top::group::{Group, Groups, state_of};

/// A destination: address, protocol, port.
type Destination = (Option<IpAddr>, u8, Option<u16>);

/// What a table was found to hold.
#[derive(Debug)]
pub(crate) struct Census {
    at: u64,
    took: Duration,
    counts: Counts,
    stats: Vec<(&'static str, u64)>,
    reasons: Vec<Reason>,
    flows: Flows,
    expectations: BTreeMap<String, u64>,
    expectations_limit: Option<f64>,
}

/// Flows, counted in several ways.
#[derive(Debug)]
pub(crate) struct Flows {
    kinds: BTreeMap<(u8, u8, &'static str), u64>,
    statuses: [u64; STATUSES.len()],
    zones: Groups<u16>,
    sources: Groups<Option<IpAddr>>,
    destinations: Groups<Destination>,
}

impl Census {
    /// Counts a table.
    ///
    /// # Errors
    /// It gives no answer.
    pub(crate) fn take(place: &Place) -> Result<Self, Failure> {
        let (clock, at) = (Stopwatch::start(), time_of_day());
        let mut table = Table::open(place)?;
        let counts = counts(&mut table)?;
        let stats = read(&mut table)?.totals();
        let mut flows = Flows::new(ROOM);
        let filter = Filter::default();
        table.dump(&request(place, &filter, message::GET), |message| {
            flows.add(&Flow::parse(message)?);
            Ok::<_, ClientError>(())
        })?;
        Ok(Self {
            at,
            counts,
            stats,
            reasons: reasons(place, &mut table)?,
            flows,
            expectations: expectations(&mut table)?,
            expectations_limit: expectations_limit(place),
            took: clock.elapsed(),
        })
    }

    /// How many entries there were.
    pub(crate) fn entries(&self) -> u64 {
        self.counts.entries.into()
    }

    /// How many entries there may be, if there is a limit.
    pub(crate) fn limit(&self) -> Option<u64> {
        self.counts.max.map(u64::from).filter(|max| *max > 0)
    }

    /// Writes it, with the first `top` of those of which there are many.
    pub(crate) fn write(&self, page: &mut Page, top: usize) {
        page.one(metrics::ENTRIES, f64::from(self.counts.entries));
        if let Some(max) = self.counts.max {
            page.one(metrics::ENTRIES_LIMIT, f64::from(max));
        }
        if let Some(limit) = self.limit() {
            page.one(metrics::FILL, f64::from(self.counts.entries) / limit as f64);
        }
        self.write_stats(page);
        self.flows.write(page, top);
        let by_helper = self
            .expectations
            .iter()
            .map(|(helper, count)| (vec![("helper", helper.clone())], *count as f64));
        page.many(metrics::EXPECTATIONS, by_helper);
        if let Some(limit) = self.expectations_limit {
            page.one(metrics::EXPECTATIONS_LIMIT, limit);
        }
        let by_reason = self.reasons.iter().map(|Reason { class, name, count }| {
            (vec![("class", class.clone()), ("reason", name.clone())], *count as f64)
        });
        page.many(metrics::PACKETS, by_reason);
        page.one(metrics::PASS, self.took.as_secs_f64());
        page.one(metrics::AGE, time_of_day().saturating_sub(self.at) as f64 / 1e9);
    }

    fn write_stats(&self, page: &mut Page) {
        for (name, metric) in metrics::STAT.into_iter().chain(metrics::MORE_STAT) {
            let found = self.stats.iter().find(|(known, _)| *known == name);
            found.into_iter().for_each(|(_, count)| page.one(metric, *count as f64));
        }
        page.one(metrics::STAT_IGNORE, 0.0);
    }
}

impl Flows {
    /// None yet, and room for so many groups of each sort.
    pub(super) fn new(room: usize) -> Self {
        Self {
            kinds: BTreeMap::new(),
            statuses: [0; STATUSES.len()],
            zones: Groups::new(room),
            sources: Groups::new(room),
            destinations: Groups::new(room),
        }
    }

    /// Counts a flow.
    pub(super) fn add(&mut self, flow: &Flow<'_>) {
        let (proto, [original, _]) = (flow.proto(), &flow.tuples);
        *self.kinds.entry((flow.family, proto, state_of(flow))).or_default() += 1;
        let has = [
            flow.has(bit::ASSURED),
            !flow.has(bit::SEEN_REPLY),
            flow.has(bit::EXPECTED),
            flow.is_source_translated(),
            flow.is_destination_translated(),
            flow.has(bit::OFFLOAD) || flow.has(bit::HW_OFFLOAD),
        ];
        for (count, has) in self.statuses.iter_mut().zip(has) {
            *count += u64::from(has);
        }
        self.zones.of(flow.zone.unwrap_or(0)).add(flow, None, None);
        self.sources.of(original.src).add(flow, None, None);
        self.destinations.of((original.dst, proto, original.dport)).add(flow, None, None);
    }

    /// Writes them.
    pub(super) fn write(&self, page: &mut Page, top: usize) {
        let kinds = self.kinds.iter().map(|((family, proto, state), count)| {
            let labels = vec![
                ("family", names::family(*family).to_owned()),
                ("protocol", protocol(*proto)),
                ("state", (*state).to_owned()),
            ];
            (labels, *count as f64)
        });
        page.many(metrics::FLOWS, kinds);
        let statuses = STATUSES.into_iter().zip(self.statuses);
        page.many(
            metrics::STATUS,
            statuses.map(|(name, count)| (vec![("status", name.to_owned())], count as f64)),
        );
        let zone = |zone: Option<u16>| vec![("zone", other(zone.map(|zone| zone.to_string())))];
        first(page, metrics::ZONE, (&self.zones, top), zone);
        let source = |source: Option<Option<IpAddr>>| vec![("source", other(source.map(address)))];
        first(page, metrics::SOURCE, (&self.sources, top), source);
        first(page, metrics::DESTINATION, (&self.destinations, top), destination);
        page.one(metrics::SOURCES, self.sources.count().0 as f64);
        page.one(metrics::DESTINATIONS, self.destinations.count().0 as f64);
    }
}

/// Writes the largest groups, each under its labels, and all others together.
fn first<K: Copy + Eq + std::hash::Hash + Ord>(
    page: &mut Page,
    metric: Metric,
    (groups, top): (&Groups<K>, usize),
    labels: impl Fn(Option<K>) -> Vec<(&'static str, String)>,
) {
    let mut all = groups.sorted();
    all.sort_by_key(|(_, group)| std::cmp::Reverse(group.flows));
    let rest = all.split_off(top.min(all.len()));
    let sum = |groups: &[(K, Group)]| groups.iter().map(|(_, group)| group.flows).sum::<u64>();
    let others = sum(&rest) + groups.rest.flows;
    let named = all.into_iter().map(|(key, group)| (labels(Some(key)), group.flows as f64));
    page.many(metric, named.chain([(labels(None), others as f64)]));
}

fn destination(destination: Option<Destination>) -> Vec<(&'static str, String)> {
    let parts = destination.map(|(to, proto, port)| {
        let port = port.map_or_else(String::new, |port| port.to_string());
        [address(to), protocol(proto), port]
    });
    let [to, proto, port] = parts.unwrap_or_else(|| [OTHER, OTHER, OTHER].map(str::to_owned));
    vec![("destination", to), ("protocol", proto), ("port", port)]
}

fn other(name: Option<String>) -> String {
    name.unwrap_or_else(|| OTHER.to_owned())
}

fn address(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

fn protocol(number: u8) -> String {
    match names::protocol(number) {
        "unknown" => number.to_string(),
        name => name.to_owned(),
    }
}

/// How many expectations there are, by helper.
fn expectations(table: &mut Table) -> Result<BTreeMap<String, u64>, ClientError> {
    let mut found = BTreeMap::new();
    let request = Request::new(Subsystem::Expect, expect::message::GET, Family::default());
    table.dump(&request, |message| {
        let expected = Expected::parse(message)?;
        let helper = String::from_utf8_lossy(expected.helper.unwrap_or_default()).into_owned();
        *found.entry(helper).or_default() += 1;
        Ok::<_, ClientError>(())
    })?;
    Ok(found)
}

/// How many there may be, where that can be read.
fn expectations_limit(place: &Place) -> Option<f64> {
    let value = Settings::of(place).ok()?.value("net.netfilter.nf_conntrack_expect_max").ok()?;
    value.parse().ok()
}

const STATUSES: [&str; 6] =
    ["assured", "unreplied", "expected", "source_nat", "destination_nat", "offload"];
const OTHER: &str = "other";
/// More sources, destinations or zones are not told apart.
const ROOM: usize = 65_536;
