//! What a table held at a moment that was recorded.
//!
//! The last whole snapshot before the moment is changed by what happened until then. What a table doesn't tell as an
//! event isn't known: packets that only refresh a timeout, and counters. So the rest of a flow's life is what it was when
//! it was last told of, less the time that passed; where that is over and no end was told, the flow carried packets since,
//! and 0 stands for an unknown rest.
//!
//! Memory is taken for flows that changed since the snapshot, not for others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tidegate_gateway::snapshot::{Cause, Gap, Opening, Part, Reader};
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::{Attr, Flags, Message, Writer, stats};

use super::segments;
use crate::client::{ClientError, kept};

/// A recorded table at a moment.
#[derive(Debug)]
pub(crate) struct Past {
    /// The segment whose snapshot it stands on.
    pub(crate) segment: PathBuf,
    /// What that begins with.
    pub(crate) opening: Opening,
    /// The moment, in nanoseconds since 1970.
    pub(crate) at: u64,
    /// When something was missed that may matter.
    pub(crate) gaps: Vec<Gap>,
    /// Flows that were there when the recorder began may end without a word (`nf_conntrack_events` is 2).
    may_end_silently: bool,
    changes: BTreeMap<Vec<u8>, Fate>,
}

/// What became of a flow since the snapshot.
#[derive(Debug)]
enum Fate {
    Gone,
    /// It began at the snapshot or later; `hides`: the snapshot may have had another of the same tuple.
    New {
        told: Told,
        hides: bool,
    },
    /// It changed.
    Changed(Told),
}

/// What was told of a flow, and when.
#[derive(Debug)]
struct Told {
    time: u64,
    message: Vec<u8>,
}

impl Past {
    /// The table of a recording, or of one segment, at a moment; at the end if none is named.
    ///
    /// # Errors
    /// Nothing was recorded then, or it can't be read.
    pub(crate) fn open(path: &Path, at: Option<u64>) -> Result<Self, ClientError> {
        let file = |error| ClientError::File { path: path.to_owned(), error };
        let all = if path.is_dir() { segments(path).map_err(file)? } else { vec![path.to_owned()] };
        let mut fault = None;
        for segment in all.into_iter().rev() {
            match Self::of_segment(&segment, at) {
                Ok(Some(past)) => return Ok(past),
                Ok(None) => {}
                // A snapshot that isn't whole is no ground to stand on; the one before is, with its events.
                Err(error) => fault = fault.or(Some(error)),
            }
        }
        Err(fault.unwrap_or_else(|| ClientError::NotRecorded(path.to_owned())))
    }

    /// `None`: the segment begins later.
    fn of_segment(segment: &Path, at: Option<u64>) -> Result<Option<Self>, ClientError> {
        let mut reader = Reader::open(segment)?;
        let opening = reader.opening().clone();
        if at.is_some_and(|at| at < opening.time) {
            return Ok(None);
        }
        let mut past = Self {
            segment: segment.to_owned(),
            at: at.unwrap_or(u64::MAX),
            gaps: Vec::new(),
            may_end_silently: false,
            changes: BTreeMap::new(),
            opening,
        };
        let closed = past.skip_snapshot(&mut reader)?;
        let last = past.read_events(&mut reader, closed)?;
        match at {
            None => past.at = last.max(closed),
            Some(at) if at > last => past.gaps.push(Gap { from: last, to: at }),
            Some(_) => {}
        }
        Ok(Some(past))
    }

    /// When the snapshot was whole.
    fn skip_snapshot(&mut self, reader: &mut Reader) -> Result<u64, ClientError> {
        loop {
            match reader.part()? {
                Some(Part::Closing(closing)) => return Ok(closing.time),
                Some(Part::Settings(settings)) => {
                    let is_mute = ("net.netfilter.nf_conntrack_events".to_owned(), "2".to_owned());
                    let is_first = self
                        .opening
                        .listens_since
                        .is_none_or(|since| since + SOON > self.opening.time);
                    self.may_end_silently = is_first && settings.contains(&is_mute);
                }
                Some(_) => {}
                None => return Err(reader.fault(Cause::Unfinished).into()),
            }
        }
    }

    /// Reads what happened until the moment; returns until when somebody listened.
    fn read_events(&mut self, reader: &mut Reader, closed: u64) -> Result<u64, ClientError> {
        let mut last = closed;
        loop {
            let part = match reader.part() {
                Ok(Some(part)) => part,
                Ok(None) => return Ok(last),
                Err(fault) if fault.cause.is_early_end() => return Ok(last),
                // Behind damage nothing can be found; what is before is good.
                Err(fault) if matches!(fault.cause, Cause::Checksum) => return Ok(last),
                Err(fault) => return Err(fault.into()),
            };
            match part {
                Part::Events(mut events) => events.each(|time, message| {
                    last = last.max(time);
                    if time <= self.at { self.apply(time, message, closed) } else { Ok(()) }
                })?,
                Part::Gap(gap) => {
                    last = last.max(gap.to);
                    if gap.from < gap.to && gap.from <= self.at {
                        self.gaps.push(gap);
                    }
                }
                _ => {}
            }
            if last > self.at {
                return Ok(last);
            }
        }
    }

    fn apply(&mut self, time: u64, event: &Message<'_>, closed: u64) -> Result<(), ClientError> {
        let Some(key) = key_of(event) else { return Ok(()) };
        let number = event.header.subsystem().map(|(_, number)| number);
        if number == Some(message::DELETE) {
            match self.changes.get(&key) {
                // The snapshot doesn't know it.
                Some(Fate::New { hides: false, .. }) => self.changes.remove(&key),
                _ => self.changes.insert(key, Fate::Gone),
            };
            return Ok(());
        }
        let told = |message| Told { time, message };
        let is_new = event.header.flags.contains(Flags::CREATE);
        let before = self.changes.remove(&key);
        // What was missed may be the end of one that the snapshot had.
        let hides = match &before {
            None => time <= closed || !self.gaps.is_empty(),
            Some(Fate::New { hides, .. }) => *hides,
            Some(Fate::Gone | Fate::Changed(_)) => true,
        };
        let fate = match before {
            Some(Fate::New { told: known, .. }) if !is_new => {
                Fate::New { told: told(merged(&known.message, event)?), hides }
            }
            Some(Fate::Changed(known)) if !is_new => {
                Fate::Changed(told(merged(&known.message, event)?))
            }
            None if !is_new => Fate::Changed(told(crate::client::keep(event))),
            _ => Fate::New { told: told(crate::client::keep(event)), hides },
        };
        self.changes.insert(key, fate);
        Ok(())
    }

    /// The answer to how many flows there are: of the snapshot it says how many there may be.
    pub(crate) fn counted(&self, answer: Option<Vec<u8>>) -> Result<Vec<u8>, ClientError> {
        let mut count: u32 = 0;
        self.each_flow(|_| {
            count += 1;
            Ok::<_, ClientError>(())
        })?;
        let answer = answer.unwrap_or_default();
        let Some(message) = kept(&answer) else { return Ok(answer) };
        let value = count.to_be_bytes();
        rewritten(&message, &[Attr { kind: stats::ENTRIES, nested: false, value: &value }])
    }

    /// Hands over each flow that the table held.
    pub(crate) fn each_flow<E: From<ClientError>>(
        &self,
        mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut seen = BTreeSet::new();
        let mut reader = Reader::open(&self.segment).map_err(ClientError::from)?;
        while let Some(part) = reader.part().map_err(ClientError::from)? {
            let Part::Flows(mut flows) = part else {
                if let Part::Closing(_) = part { break } else { continue }
            };
            let mut stop = Ok(());
            let read = flows.each(|_, flow| {
                let key = match self.changes.is_empty() {
                    true => Vec::new(),
                    false => key_of(flow).unwrap_or_default(),
                };
                stop = self.emit_known(&key, flow, &mut each);
                if let Some((key, Fate::Changed(_))) = self.changes.get_key_value(&key) {
                    seen.insert(key);
                }
                if stop.is_ok() { Ok(()) } else { Err(ClientError::Closed) }
            });
            stop?;
            read.map_err(E::from)?;
        }
        for (key, fate) in &self.changes {
            match fate {
                Fate::New { told, .. } => self.emit(told.time, &told.message, true, &mut each)?,
                Fate::Changed(told) if !seen.contains(key) => {
                    self.emit(told.time, &told.message, true, &mut each)?;
                }
                Fate::Changed(_) | Fate::Gone => {}
            }
        }
        Ok(())
    }

    /// Hands over a flow of the snapshot as it was later, if it was there.
    fn emit_known<E: From<ClientError>>(
        &self,
        key: &[u8],
        flow: &Message<'_>,
        each: &mut impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.changes.get(key) {
            Some(Fate::Gone | Fate::New { .. }) => Ok(()),
            Some(Fate::Changed(told)) => {
                let Some(change) = kept(&told.message) else { return Ok(()) };
                let flow = merged(&crate::client::keep(flow), &change).map_err(E::from)?;
                self.emit(told.time, &flow, true, each)
            }
            None => {
                let speaks = !self.may_end_silently;
                self.emit(self.opening.time, &crate::client::keep(flow), speaks, each)
            }
        }
    }

    /// Hands over a flow that was last told of at `time`, with what is left of its life; one that doesn't speak is gone
    /// when its time is up.
    fn emit<E: From<ClientError>>(
        &self,
        time: u64,
        flow: &[u8],
        speaks: bool,
        each: &mut impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let passed = self.at.saturating_sub(time) / NANOS;
        let Some(message) = kept(flow) else { return Ok(()) };
        if passed == 0 {
            return each(&message);
        }
        let rest = attr_of(&message, TIMEOUT)
            .and_then(|attr| Some(u32::from_be_bytes(*attr.value.first_chunk()?)));
        let Some(rest) = rest.map(u64::from) else { return each(&message) };
        if rest < passed && !speaks {
            return Ok(());
        }
        let rest = (rest.saturating_sub(passed) as u32).to_be_bytes();
        let aged = rewritten(&message, &[Attr { kind: TIMEOUT, nested: false, value: &rest }]);
        let aged = aged.map_err(E::from)?;
        kept(&aged).map_or(Ok(()), |message| each(&message))
    }
}

/// What was recorded besides snapshots.
pub(crate) enum Happened<'a> {
    /// Something happened to a flow, at a time in nanoseconds since 1970.
    Event(u64, &'a Message<'a>),
    /// Something was missed.
    Gap(Gap),
}

/// Hands over what happened until a moment, from the oldest on that is kept.
///
/// # Errors
/// It can't be read, or `each` wants no more.
pub(crate) fn each_event<E: From<ClientError>>(
    path: &Path,
    until: Option<u64>,
    mut each: impl FnMut(Happened<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let file = |error| ClientError::File { path: path.to_owned(), error };
    let all = if path.is_dir() { segments(path).map_err(file)? } else { vec![path.to_owned()] };
    let until = until.unwrap_or(u64::MAX);
    let mut last = 0;
    for segment in all {
        // What came while the snapshot was taken is in the segment before as well.
        let known = last;
        let mut stop = Ok(());
        let read = events_of(&segment, |happened| {
            let time = match &happened {
                Happened::Event(time, _) => *time,
                Happened::Gap(gap) => gap.to,
            };
            last = last.max(time);
            stop = if time > known && time <= until { each(happened) } else { Ok(()) };
            if stop.is_ok() { Ok(()) } else { Err(ClientError::Closed) }
        });
        stop?;
        match read {
            Err(ClientError::Snapshot(fault)) if fault.cause.is_early_end() => {}
            read => read.map_err(E::from)?,
        }
    }
    Ok(())
}

fn events_of(
    segment: &Path,
    mut each: impl FnMut(Happened<'_>) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    let mut reader = Reader::open(segment)?;
    while let Some(part) = reader.part()? {
        match part {
            Part::Events(mut events) => {
                events.each(|time, message| each(Happened::Event(time, message)))?;
            }
            Part::Gap(gap) if gap.from < gap.to => each(Happened::Gap(gap))?,
            _ => {}
        }
    }
    Ok(())
}

/// What tells a flow from others of its table: the tuple of its first packet, and its zone.
fn key_of(message: &Message<'_>) -> Option<Vec<u8>> {
    let mut key = attr_of(message, TUPLE_ORIG)?.value.to_vec();
    key.extend(attr_of(message, ZONE).map_or(&[][..], |zone| zone.value));
    Some(key)
}

fn attr_of<'a>(message: &Message<'a>, kind: u16) -> Option<Attr<'a>> {
    let (_, attrs) = message.body().ok()?;
    attrs.flatten().find(|attr| attr.kind == kind)
}

/// A flow's message with what another says of it.
fn merged(known: &[u8], newer: &Message<'_>) -> Result<Vec<u8>, ClientError> {
    let Some(known) = kept(known) else { return Ok(crate::client::keep(newer)) };
    let (_, attrs) = newer.body()?;
    rewritten(&known, &attrs.flatten().collect::<Vec<_>>())
}

/// A message with these attributes in place of its own of the same kinds; those that it hasn't come last.
fn rewritten(message: &Message<'_>, newer: &[Attr<'_>]) -> Result<Vec<u8>, ClientError> {
    let (family, attrs) = message.body()?;
    let old: Vec<_> = attrs.flatten().collect();
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(message.header, family, |writer| {
        let of = |attr: &Attr<'_>| newer.iter().find(|new| new.kind == attr.kind).copied();
        old.iter().for_each(|attr| writer.attr(of(attr).unwrap_or(*attr)));
        let is_more = |new: &&Attr<'_>| old.iter().all(|attr| attr.kind != new.kind);
        newer.iter().filter(is_more).for_each(|attr| writer.attr(*attr));
    });
    Ok(bytes)
}

/// `CTA_TUPLE_ORIG`, `CTA_TIMEOUT`, `CTA_ZONE`.
const TUPLE_ORIG: u16 = 1;
const TIMEOUT: u16 = 7;
const ZONE: u16 = 18;
const NANOS: u64 = 1_000_000_000;
/// A segment that begins so soon after the recorder listens is the first.
const SOON: u64 = 5 * NANOS;
