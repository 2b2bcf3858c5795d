//! A pass over the table: each flow is looked at once and forgotten, but for those that come first.

use std::sync::Arc;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;
use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::proto;

use super::column::{Rate, Sort};
use super::group::{By, Group, GroupKey, Groups, state_of};
use super::owner::Owners;
use super::rank::Ranking;
use super::rates::Counters;
use crate::client::names::bit;
use crate::client::{ClientError, Counted, Flow, Place, Table, keep};
use crate::cmd::list::request;
use crate::filter::Filter;
use crate::present::time_of_day;

/// What is asked of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Which flows.
    pub(crate) filter: Filter,
    /// What they are grouped by; `None`: each is a row.
    pub(crate) by: Option<By>,
    /// Which rows come first.
    pub(crate) sort: Sort,
    /// How many rows are wanted.
    pub(crate) limit: usize,
}

/// A flow that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowRow {
    /// Its tuples.
    pub(crate) tuples: [Tuple; 2],
    /// Its protocol.
    pub(crate) proto: u8,
    /// Its state; of a protocol without states whether it was answered.
    pub(crate) state: &'static str,
    /// The rest of its life, in seconds.
    pub(crate) left: Option<u32>,
    /// Mark.
    pub(crate) mark: u32,
    /// Zone.
    pub(crate) zone: u16,
    /// What it counted.
    pub(crate) counted: Option<Counted>,
    /// What a second brings.
    pub(crate) rate: Option<Rate>,
    /// Which addresses are translated: source, destination.
    pub(crate) is_translated: [bool; 2],
    /// Its message, for whoever wants to do something to it.
    pub(crate) message: Vec<u8>,
}

impl FlowRow {
    fn new(flow: &Flow<'_>, rate: Option<Rate>, message: Vec<u8>) -> Self {
        Self {
            tuples: flow.tuples.clone(),
            proto: flow.proto(),
            state: state_of(flow),
            left: flow.timeout,
            mark: flow.mark.unwrap_or(0),
            zone: flow.zone.unwrap_or(0),
            counted: flow.counted(),
            rate,
            is_translated: [flow.is_source_translated(), flow.is_destination_translated()],
            message,
        }
    }
}

/// A group that is shown.
#[derive(Clone, Debug)]
pub(crate) struct GroupRow {
    /// What its flows have in common.
    pub(crate) key: GroupKey,
    /// In words, where the key has none.
    pub(crate) owner: Option<String>,
    /// Its flows.
    pub(crate) group: Group,
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    /// Flows.
    Flows(Vec<FlowRow>),
    /// Groups; how many there are, and whether that is all.
    Groups(Vec<GroupRow>, usize, bool),
}

/// All flows that were meant, together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Together.
    pub(crate) all: Group,
    /// By protocol: TCP, UDP, ICMP of both families, SCTP, others.
    pub(crate) protocols: [u64; 5],
    /// Of TCP, those that are established.
    pub(crate) established: u64,
    /// Those that are assured.
    pub(crate) assured: u64,
    /// Those whose source or destination is translated.
    pub(crate) translated: [u64; 2],
    /// Those of IPv6.
    pub(crate) ipv6: u64,
    /// Those that somebody counts for.
    pub(crate) counted: u64,
    /// Those whose rate is known.
    pub(crate) rated: u64,
}

/// What a pass found.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// What was asked.
    pub(crate) question: Question,
    /// When it began, in nanoseconds since 1970.
    pub(crate) at: u64,
    /// How long it took.
    pub(crate) took: Duration,
    /// The rows that come first.
    pub(crate) rows: Rows,
    /// All together.
    pub(crate) totals: Totals,
}

/// Why a pass came to no end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The table gave no answer.
    Table(ClientError),
    /// Something else is asked by now.
    Superseded,
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        Self::Table(error)
    }
}

/// Makes passes, and remembers what one needs of the one before.
#[derive(Debug)]
pub(crate) struct Survey {
    place: Place,
    counters: Counters,
    began: Option<Stopwatch>,
    before: Option<Question>,
    groups: Option<Groups<GroupKey>>,
    owners: Option<KnownOwners>,
}

/// Who owned what at some time.
#[derive(Debug)]
struct KnownOwners {
    since: Stopwatch,
    by: Option<By>,
    owners: Arc<Owners>,
}

impl Survey {
    /// Of a table.
    pub(crate) fn new(place: Place) -> Self {
        let counters = Counters::new(REMEMBERED);
        Self { place, counters, began: None, before: None, groups: None, owners: None }
    }

    /// Makes a pass; `is_over` says now and then that nobody waits for it any more.
    ///
    /// # Errors
    /// The table gives no answer, or nobody waits.
    pub(crate) fn pass(
        &mut self,
        question: &Question,
        is_over: &dyn Fn() -> bool,
    ) -> Result<Snapshot, Stop> {
        let clock = Stopwatch::start();
        let since = self.began.replace(clock).map(|before| before.elapsed());
        let mut table = Table::open(&self.place)?;
        let dump = request(&self.place, &question.filter, message::GET);
        let snapshot = self.sift(question, since, |sieve| {
            let mut seen = 0_u64;
            table.dump(&dump, |message| {
                if seen.is_multiple_of(LOOK_UP) && is_over() {
                    return Err(Stop::Superseded);
                }
                seen += 1;
                sieve.take(&Flow::parse(message)?, &|| keep(message));
                Ok(())
            })
        })?;
        Ok(Snapshot { took: clock.elapsed(), ..snapshot })
    }

    /// Looks at all flows that `feed` brings, so long after the pass before.
    fn sift(
        &mut self,
        question: &Question,
        since: Option<Duration>,
        feed: impl FnOnce(&mut Sieve<'_>) -> Result<(), Stop>,
    ) -> Result<Snapshot, Stop> {
        let at = time_of_day();
        let elapsed = self.begin(question, since);
        let owners = self.owners_for(question.by);
        let mut sieve = Sieve::new(question, &mut self.counters, &owners, at);
        let done = feed(&mut sieve);
        let Sieve { ranking, groups, totals, .. } = sieve;
        if let Err(stop) = done {
            // What this pass didn't come to would look as if it had ended.
            self.before = None;
            return Err(stop);
        }
        self.counters.end();
        let rows = match groups {
            None => Rows::Flows(ranking.into_rows()),
            Some(groups) => self.rows_of(groups, question, (elapsed, &owners)),
        };
        Ok(Snapshot { question: question.clone(), at, took: Duration::ZERO, rows, totals })
    }

    /// What is remembered is of use if the same flows are meant.
    fn begin(&mut self, question: &Question, since: Option<Duration>) -> Option<Duration> {
        let before = self.before.replace(question.clone());
        let before = before.filter(|earlier| earlier.filter == question.filter);
        if before.is_none() {
            self.counters.forget();
        }
        if before.as_ref().is_none_or(|earlier| earlier.by != question.by) {
            self.groups = None;
        }
        let elapsed = since.filter(|_| before.is_some());
        self.counters.begin(elapsed);
        elapsed
    }

    /// Who owns what; it is looked anew after some seconds.
    fn owners_for(&mut self, by: Option<By>) -> Arc<Owners> {
        let by = by.filter(|by| matches!(by, By::Process | By::Container));
        let is_fresh = |known: &&KnownOwners| known.by == by && known.since.elapsed() < OWNERS_LAST;
        if let Some(known) = self.owners.as_ref().filter(is_fresh) {
            return known.owners.clone();
        }
        let owners = Arc::new(Owners::look(by));
        self.owners = Some(KnownOwners { since: Stopwatch::start(), by, owners: owners.clone() });
        owners
    }

    /// What a pass over these flows finds, so long after the one before.
    #[cfg(test)]
    pub(super) fn over(
        &mut self,
        question: &Question,
        since: Option<Duration>,
        flows: &[Flow<'_>],
    ) -> Snapshot {
        let feed = |sieve: &mut Sieve<'_>| {
            for (flow, number) in flows.iter().zip(0_usize..) {
                sieve.take(flow, &|| vec![number as u8]);
            }
            Ok(())
        };
        self.sift(question, since, feed).expect("nothing stops it")
    }

    fn rows_of(
        &mut self,
        mut groups: Groups<GroupKey>,
        question: &Question,
        (elapsed, owners): (Option<Duration>, &Owners),
    ) -> Rows {
        let before = self.groups.take();
        if let (Some(before), Some(elapsed)) = (before, elapsed) {
            let seconds = elapsed.as_secs_f64().max(1e-3);
            groups.each(|key, group| {
                let then = before.flows(key).unwrap_or(0);
                group.growth = Some((group.flows as f64 - then as f64) / seconds);
            });
        }
        let (count, is_all) = groups.count();
        let mut ranking = Ranking::new(question.limit);
        let name = |key| match key {
            GroupKey::Owner(number) => Some(owners.name(number).to_owned()),
            _ => None,
        };
        for (key, group) in groups.sorted() {
            let place = question.sort.of_group(&key, &group);
            ranking.add(place, || GroupRow { key, owner: name(key), group });
        }
        self.groups = Some(groups);
        Rows::Groups(ranking.into_rows(), count, is_all)
    }
}

/// What becomes of the flows of a pass.
struct Sieve<'a> {
    question: &'a Question,
    counters: &'a mut Counters,
    owners: &'a Owners,
    now: u64,
    ranking: Ranking<FlowRow>,
    groups: Option<Groups<GroupKey>>,
    totals: Totals,
}

impl<'a> Sieve<'a> {
    fn new(
        question: &'a Question,
        counters: &'a mut Counters,
        owners: &'a Owners,
        now: u64,
    ) -> Self {
        let groups = question.by.map(|_| Groups::new(ROOM_FOR_GROUPS));
        let ranking = Ranking::new(question.limit);
        let totals = Totals::default();
        Self { question, counters, owners, now, ranking, groups, totals }
    }

    fn take(&mut self, flow: &Flow<'_>, message: &dyn Fn() -> Vec<u8>) {
        if !self.question.filter.accepts(flow, self.now) {
            return;
        }
        let counted = flow.counted();
        let rate = counted.and_then(|counted| self.counters.rate(flow, counted));
        self.totals.add(flow, counted, rate);
        match &mut self.groups {
            Some(groups) => {
                let by = self.question.by.unwrap_or(By::Source);
                let key = GroupKey::of(by, flow, self.owners.of(flow));
                groups.of(key).add(flow, counted, rate);
            }
            None => {
                let place = self.question.sort.of_flow(flow, rate);
                self.ranking.add(place, || FlowRow::new(flow, rate, message()));
            }
        }
    }
}

impl Totals {
    fn add(&mut self, flow: &Flow<'_>, counted: Option<Counted>, rate: Option<Rate>) {
        self.all.add(flow, counted, rate);
        let protocol = match flow.proto() {
            proto::TCP => 0,
            proto::UDP | proto::UDPLITE => 1,
            proto::ICMP | proto::ICMPV6 => 2,
            proto::SCTP => 3,
            _ => 4,
        };
        self.protocols[protocol] += 1;
        self.established += u64::from(flow.state() == Some("ESTABLISHED"));
        self.assured += u64::from(flow.has(bit::ASSURED));
        self.translated[0] += u64::from(flow.is_source_translated());
        self.translated[1] += u64::from(flow.is_destination_translated());
        self.ipv6 += u64::from(flow.family == tidegate_wire::Family::V6.number());
        self.counted += u64::from(counted.is_some());
        self.rated += u64::from(rate.is_some());
    }
}

/// The counters of more flows are not remembered, and they have no rates: 160 MB at the most.
pub(crate) const REMEMBERED: usize = 2_000_000;
/// More groups are not told apart.
const ROOM_FOR_GROUPS: usize = 65_536;
/// After so many flows it is asked whether anybody still waits.
const LOOK_UP: u64 = 1024;
const OWNERS_LAST: Duration = Duration::from_secs(5);
