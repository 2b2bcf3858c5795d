//! Doing something to all flows that a filter means, some at a time while the listing still comes.
//!
//! Between the moment when a flow is listed and the one when it is changed it may end, and another may take its
//! tuple. The first is counted as gone. The second is left alone where the request carries the entry's number, which
//! the kernel compares when it deletes.

use rustix::io::Errno;
use tidegate_wire::netlink::conntrack::{Attribute, message};
use tidegate_wire::netlink::{Family, Writer};

use super::{Failure, list};
use crate::client::{Flow, Place, Request, Table, keep, kept};
use crate::filter::Filter;
use crate::message as say;

/// What became of the flows that were meant.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Done.
    pub(super) done: u64,
    /// There no more when it was their turn.
    gone: u64,
    /// Refused.
    refused: u64,
    /// Why, the first time.
    first: Option<Errno>,
}

/// The flows that a filter means, at `now` in nanoseconds since 1970.
pub(super) struct Change<'a> {
    pub(super) place: &'a Place,
    pub(super) filter: &'a Filter,
    pub(super) now: u64,
}

impl Change<'_> {
    /// Hands over each flow that is meant.
    pub(super) fn each(
        &self,
        mut take: impl FnMut(&Flow<'_>, Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = list::request(self.place, self.filter, message::GET);
        Table::open(self.place)?.dump(&request, |message| {
            let flow = Flow::parse(message)?;
            if self.filter.accepts(&flow, self.now) { take(&flow, keep(message)) } else { Ok(()) }
        })
    }

    /// Makes a request for each flow that is meant, in a conversation of its own, and hands over the messages of those
    /// for which it succeeded.
    pub(super) fn apply(
        &self,
        request: impl Fn(&Flow<'_>) -> Request,
        mut done: impl FnMut(&mut Table, &[Vec<u8>]) -> Result<(), Failure>,
    ) -> Result<Tally, Failure> {
        let (mut tally, mut waiting) = (Tally::default(), Vec::new());
        let mut changer = Table::open(self.place)?;
        let mut change = |waiting: &mut Vec<(Request, Vec<u8>)>| {
            let (requests, messages): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
            let succeeded = tally.exchange(&mut changer, &requests, messages)?;
            done(&mut changer, &succeeded)
        };
        self.each(|flow, message| {
            waiting.push((request(flow), message));
            if waiting.len() < AT_ONCE { Ok(()) } else { change(&mut waiting) }
        })?;
        change(&mut waiting)?;
        Ok(tally)
    }
}

impl Tally {
    /// Makes requests about flows, whose messages are given, and hands back those for which it succeeded.
    pub(super) fn exchange(
        &mut self,
        changer: &mut Table,
        requests: &[Request],
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let outcomes = changer.exchange(requests)?;
        let mut succeeded = Vec::new();
        for (outcome, message) in outcomes.into_iter().zip(messages) {
            match outcome.error {
                None => {
                    self.done += 1;
                    succeeded.push(message);
                }
                Some(Errno::NOENT) => self.gone += 1,
                Some(errno) => {
                    self.refused += 1;
                    self.first.get_or_insert(errno);
                }
            }
        }
        Ok(succeeded)
    }

    /// Says what was done, in a verb such as `deleted`, and whether that is all.
    pub(super) fn report(&self, verb: &str) -> Result<(), Failure> {
        say::summary(format_args!("{} flow entries have been {verb}.", self.done));
        if self.gone > 0 {
            say::warning(format_args!("{} flow entries had ended before their turn", self.gone));
        }
        match self.first {
            Some(errno) if self.done == 0 => {
                Err(Failure::Table(crate::client::ClientError::Refused(errno)))
            }
            Some(errno) => {
                let why = std::io::Error::from(errno);
                let count = self.refused;
                Err(Failure::Partly(format!("{count} flow entries were not {verb}: {why}")))
            }
            None if self.done == 0 => Err(Failure::Nothing),
            None => Ok(()),
        }
    }
}

/// A flow's family, for a request about it.
pub(super) fn family_of(flow: &Flow<'_>) -> Family {
    Family { family: flow.family, ..Family::default() }
}

/// Writes what tells the flow from all others.
pub(super) fn write_identity(flow: &Flow<'_>, writer: &mut Writer<'_>) {
    Attribute::Original(flow.tuples[0].clone()).write(writer);
    if let Some(zone) = flow.zone {
        Attribute::Zone(zone).write(writer);
    }
}

/// Hands over the flows in messages that were kept.
pub(super) fn flows_in(
    messages: &[Vec<u8>],
    mut take: impl FnMut(&Flow<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for message in messages.iter().filter_map(|bytes| kept(bytes)) {
        take(&Flow::parse(&message)?)?;
    }
    Ok(())
}

/// As many are changed at once.
const AT_ONCE: usize = 50;
