//! A table at a glance: what the lab's screen and the page show.
//!
//! A [`Surveyor`] reads the whole table, once for each look, and remembers only the largest and newest flows, sums by
//! state and by source, and what it takes to know rates the next time.

mod links;
mod sums;

use std::cmp::Reverse;
use std::net::IpAddr;

use serde::Serialize;
use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::Subsystem;

pub(crate) use self::links::LinkRate;
use self::links::Meter;
use self::sums::Sums;
use crate::client::{ClientError, Flow, Place, Request, Table, names};
use crate::cmd::count::counts;
use crate::cmd::stats::{read, reasons};
use crate::present::time_of_day;
use crate::render::counters::Reason;

/// A table at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Survey {
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
    /// How many flows there are.
    pub(crate) entries: u64,
    /// How many there may be, if the table says so.
    pub(crate) max: Option<u64>,
    /// Flows that began since the last look and are still there, a second.
    pub(crate) new_rate: Option<f64>,
    /// How many flows are in each state, the most frequent first.
    pub(crate) states: Vec<(String, u64)>,
    /// The sources that have carried most.
    pub(crate) talkers: Vec<Talker>,
    /// The flows that have carried most.
    pub(crate) largest: Vec<FlowRow>,
    /// The flows that began last.
    pub(crate) newest: Vec<FlowRow>,
    /// Why packets were dropped or called INVALID; an engine knows, a kernel doesn't.
    pub(crate) reasons: Vec<Reason>,
    /// Counters of all processors together that are not 0.
    pub(crate) counters: Vec<(&'static str, u64)>,
    /// What the interfaces of the network carry.
    pub(crate) links: Vec<LinkRate>,
}

/// A source of flows.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Talker {
    /// Its address.
    pub(crate) address: IpAddr,
    /// Its flows.
    pub(crate) flows: u64,
    /// What they carried, both ways.
    pub(crate) packets: u64,
    /// The same in bytes.
    pub(crate) bytes: u64,
    /// Bits a second since the last look.
    pub(crate) bit_rate: Option<f64>,
}

/// A flow, as people look at it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FlowRow {
    /// Its number.
    pub(crate) id: u32,
    /// The protocol's name or number.
    pub(crate) proto: String,
    /// The tracker's state, or whether an answer was seen.
    pub(crate) state: &'static str,
    /// Source of the original direction.
    pub(crate) src: String,
    /// Destination of the original direction.
    pub(crate) dst: String,
    /// How outsiders see the source, if that is translated.
    pub(crate) seen_as: Option<String>,
    /// Who really answers, if the destination is translated.
    pub(crate) sent_to: Option<String>,
    /// What it carried, both ways.
    pub(crate) packets: u64,
    /// The same in bytes.
    pub(crate) bytes: u64,
    /// The rest of its life in seconds.
    pub(crate) timeout: Option<u32>,
    /// How long it has lived, in seconds.
    pub(crate) age: Option<u64>,
    #[serde(skip)]
    start: u64,
}

/// Looks at a table again and again, from a thread of the table's network.
#[derive(Debug)]
pub(crate) struct Surveyor {
    place: Place,
    before: Option<(Stopwatch, u64, Sums)>,
    meter: Meter,
}

impl Surveyor {
    /// Has not looked yet.
    pub(crate) fn of(place: Place) -> Self {
        Self { place, before: None, meter: Meter::default() }
    }

    /// Looks.
    ///
    /// # Errors
    /// The table gives no answer.
    pub(crate) fn look(&mut self) -> Result<Survey, ClientError> {
        let now = time_of_day();
        let mut table = Table::open(&self.place)?;
        let counts = counts(&mut table)?;
        let mut sums = Sums::default();
        let mut survey = Survey {
            time: now,
            entries: counts.entries.into(),
            max: counts.max.map(u64::from),
            reasons: met(reasons(&self.place, &mut table)?),
            counters: counters(&mut table)?,
            links: self.meter.read(),
            ..Survey::default()
        };
        let request = Request::new(Subsystem::Conntrack, message::GET, Family::default());
        table.dump(&request, |message| {
            let flow = Flow::parse(message)?;
            sums.add(&flow);
            survey.keep(FlowRow::of(&flow, now));
            Ok::<_, ClientError>(())
        })?;
        survey.settle(&sums, self.before.as_ref());
        self.before = Some((Stopwatch::start(), now, sums));
        Ok(survey)
    }
}

/// The reasons that some packet met.
fn met(mut reasons: Vec<Reason>) -> Vec<Reason> {
    reasons.retain(|reason| reason.count > 0);
    reasons
}

/// All counters of a table that are not 0.
fn counters(table: &mut Table) -> Result<Vec<(&'static str, u64)>, ClientError> {
    let totals = read(table)?.totals();

    Ok(totals.into_iter().filter(|(_, value)| *value > 0).collect())
}

impl Survey {
    /// Keeps a flow if it may be one of the largest or newest.
    fn keep(&mut self, row: FlowRow) {
        if row.bytes > 0 {
            self.largest.push(row.clone());
        }
        self.newest.push(row);
        if self.newest.len() >= 8 * SHOWN {
            self.prune();
        }
    }

    fn prune(&mut self) {
        self.largest.sort_by_key(|row| Reverse((row.bytes, row.id)));
        self.largest.truncate(SHOWN);
        self.newest.sort_by_key(|row| Reverse((row.start, row.id)));
        self.newest.truncate(SHOWN);
    }

    fn settle(&mut self, sums: &Sums, before: Option<&(Stopwatch, u64, Sums)>) {
        self.prune();
        self.states = sums.states();
        let earlier =
            before.map(|(clock, _, sums)| (sums, clock.elapsed().as_secs_f64().max(1e-3)));
        self.talkers = sums.talkers(earlier);
        self.talkers.truncate(SHOWN);
        self.new_rate = before.map(|(clock, time, _)| {
            sums.begun_since(*time) as f64 / clock.elapsed().as_secs_f64().max(1e-3)
        });
    }
}

impl FlowRow {
    fn of(flow: &Flow<'_>, now: u64) -> Self {
        let [original, reply] = &flow.tuples;
        let end = |address: Option<IpAddr>, port: Option<u16>| match (address, port) {
            (None, _) => "?".to_owned(),
            (Some(IpAddr::V6(address)), Some(port)) => format!("[{address}]:{port}"),
            (Some(address), Some(port)) => format!("{address}:{port}"),
            (Some(address), None) => address.to_string(),
        };
        let counted = flow.counted().unwrap_or_default();
        Self {
            id: flow.id.unwrap_or(0),
            proto: protocol(flow.proto()),
            state: state(flow),
            src: end(original.src, original.sport),
            dst: end(original.dst, original.dport),
            seen_as: flow.is_source_translated().then(|| end(reply.dst, reply.dport)),
            sent_to: flow.is_destination_translated().then(|| end(reply.src, reply.sport)),
            packets: counted.packets,
            bytes: counted.bytes,
            timeout: flow.timeout,
            age: flow.age(now),
            start: flow.times.as_ref().and_then(|times| times.start).unwrap_or(0),
        }
    }
}

/// The protocol's name, or its number.
fn protocol(number: u8) -> String {
    match names::protocol(number) {
        "unknown" => number.to_string(),
        name => name.to_owned(),
    }
}

/// The tracker's state; for protocols without any, whether an answer was seen.
fn state(flow: &Flow<'_>) -> &'static str {
    match flow.state() {
        Some(state) => state,
        None if flow.has(names::bit::ASSURED) => "ASSURED",
        None if flow.has(names::bit::SEEN_REPLY) => "REPLIED",
        None => "UNREPLIED",
    }
}

/// So many rows of a kind.
const SHOWN: usize = 40;
