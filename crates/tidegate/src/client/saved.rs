//! A table that was written down: answers come from a file, as they were given when it was made.
//!
//! A request for flows is answered with all of them, for every condition is tried by the caller anyway. What would
//! change something is refused.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;
use tidegate_gateway::snapshot::{Cause, Gap, Opening, Part, Reader, Records};
use tidegate_wire::netlink::conntrack::{self, Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Attrs, Header, Message, Tuple, expect, tidegate};

use super::error::ClientError;
use super::{Flow, Request, keep};
use crate::record::past::{self, Happened, Past};

/// A table in a file, or in a recording at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    /// The file, or the recording's directory.
    pub(crate) path: PathBuf,
    /// The moment, in nanoseconds since 1970.
    at: Option<u64>,
    past: Arc<OnceLock<Past>>,
}

impl Saved {
    /// That of a file; if a moment is named, or it is a directory, as it was then or at the end.
    pub(crate) fn new(path: &Path, at: Option<u64>) -> Self {
        Self { path: path.to_owned(), at, past: Arc::default() }
    }

    /// The moment of a recording; `None`: it is a snapshot.
    fn past(&self) -> Result<Option<&Past>, ClientError> {
        if self.at.is_none() && !self.path.is_dir() {
            return Ok(None);
        }
        if self.past.get().is_none() {
            // If another thread was faster its result is the same.
            let _ = self.past.set(Past::open(&self.path, self.at)?);
        }
        Ok(self.past.get())
    }

    /// The file that holds the snapshot.
    fn file(&self) -> Result<&Path, ClientError> {
        Ok(self.past()?.map_or(&self.path, |past| &past.segment))
    }

    /// Hands over what happened until the moment.
    ///
    /// # Errors
    /// It can't be read, or `each` wants no more.
    pub(crate) fn each_event<E: From<ClientError>>(
        &self,
        each: impl FnMut(Happened<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        past::each_event(&self.path, self.at, each)
    }

    /// When something was missed of what is told.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn gaps(&self) -> Result<&[Gap], ClientError> {
        Ok(self.past()?.map_or(&[], |past| &past.gaps))
    }

    /// What the file begins with.
    ///
    /// # Errors
    /// There is none, or it is no snapshot.
    pub(crate) fn opening(&self) -> Result<Opening, ClientError> {
        Ok(match self.past()? {
            Some(past) => Opening { time: past.at, ..past.opening.clone() },
            None => Reader::open(&self.path)?.opening().clone(),
        })
    }

    /// The settings that the table had.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, ClientError> {
        let mut reader = Reader::open(self.file()?)?;
        while let Some(part) = reader.part()? {
            match part {
                Part::Settings(all) => return Ok(all),
                Part::Flows(_) | Part::Closing(_) => break,
                _ => {}
            }
        }
        Ok(Vec::new())
    }

    /// Hands over the messages that answer a request for many.
    pub(super) fn dump<E: From<ClientError>>(
        &self,
        request: &Request,
        mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let answer = answer_to(request.kind);
        let wanted = Wanted::of(request.kind).ok_or_else(|| self.refusal())?;
        if let (Wanted::Flows, Some(past)) = (wanted, self.past()?) {
            return past.each_flow(each);
        }
        let mut reader = Reader::open(self.file()?).map_err(ClientError::from)?;
        loop {
            let part = reader.part().map_err(ClientError::from)?;
            let Some(part) = part else {
                let fault = reader.fault(Cause::Unfinished);
                return Err(ClientError::from(fault).into());
            };
            if wanted.is_answered_before(&part) {
                return Ok(());
            }
            let Some(mut records) = wanted.records(part) else { continue };
            records
                .each(|_, message| match wanted {
                    Wanted::Statistics if message.header.kind != answer => Ok(()),
                    _ => each(message).map_err(Stop::Caller),
                })
                .map_err(Stop::into_error)?;
        }
    }

    /// The answer to a request for one thing.
    pub(super) fn ask(&self, request: &Request) -> Result<Option<Vec<u8>>, ClientError> {
        let of = |number| Header::kind_of(Subsystem::Conntrack, number);
        if request.kind == of(message::GET_STATS) {
            let answer = self.first(request, |_| true)?;
            return match self.past()? {
                Some(past) => past.counted(answer).map(Some),
                None => Ok(answer),
            };
        }
        if request.kind != of(message::GET) {
            return Err(self.refusal());
        }
        let looked_for = LookedFor::of(&request.attributes)?;
        let found = self.first(request, |flow| looked_for.is(flow))?;
        found.map(Some).ok_or(ClientError::Refused(Errno::NOENT))
    }

    /// The first message of an answer that is meant.
    fn first(
        &self,
        request: &Request,
        mut is_meant: impl FnMut(&Flow<'_>) -> bool,
    ) -> Result<Option<Vec<u8>>, ClientError> {
        let mut found = None;
        let done = self.dump(request, |message| {
            let is_statistics = message.header.kind != Header::kind_of(Subsystem::Conntrack, 0);
            if is_statistics || is_meant(&Flow::parse(message)?) {
                found = Some(keep(message));
                return Err(ClientError::Closed);
            }
            Ok(())
        });
        match (found, done) {
            (None, Err(error)) => Err(error),
            (found, _) => Ok(found),
        }
    }

    fn refusal(&self) -> ClientError {
        ClientError::ReadOnly(self.path.clone())
    }
}

/// The kind of the messages that answer a request: that of the request, but for statistics of expectations, which
/// come as messages of flows (see `wire::netlink::stats`).
fn answer_to(kind: u16) -> u16 {
    let number = expect::message::GET_STATS_CPU;
    if kind == Header::kind_of(Subsystem::Expect, number) {
        return Header::kind_of(Subsystem::Conntrack, number);
    }
    kind
}

/// Which part of a file answers a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Statistics,
    Expectations,
    Flows,
}

impl Wanted {
    fn of(kind: u16) -> Option<Self> {
        let flows = |number| kind == Header::kind_of(Subsystem::Conntrack, number);
        let expectations = |number| kind == Header::kind_of(Subsystem::Expect, number);
        let statistics = flows(message::GET_STATS)
            || flows(message::GET_STATS_CPU)
            || expectations(expect::message::GET_STATS_CPU)
            || kind == Header::kind_of(Subsystem::Tidegate, tidegate::message::REASONS);
        if statistics {
            Some(Self::Statistics)
        } else if expectations(expect::message::GET) {
            Some(Self::Expectations)
        } else {
            flows(message::GET).then_some(Self::Flows)
        }
    }

    fn records(self, part: Part<'_>) -> Option<Records<'_>> {
        match (self, part) {
            (Self::Statistics, Part::Statistics(records))
            | (Self::Expectations, Part::Expectations(records))
            | (Self::Flows, Part::Flows(records)) => Some(records),
            _ => None,
        }
    }

    /// Whether there is nothing more from this part on.
    fn is_answered_before(self, part: &Part<'_>) -> bool {
        match part {
            Part::Closing(_) => true,
            Part::Flows(_) => self != Self::Flows,
            Part::Expectations(_) => self == Self::Statistics,
            _ => false,
        }
    }
}

/// Who wants no more: the reader of the file, or the one whom it is read for.
enum Stop<E> {
    File(ClientError),
    Caller(E),
}

impl<E: From<ClientError>> Stop<E> {
    fn into_error(self) -> E {
        match self {
            Self::File(error) => error.into(),
            Self::Caller(error) => error,
        }
    }
}

impl<E> From<tidegate_gateway::snapshot::Fault> for Stop<E> {
    fn from(fault: tidegate_gateway::snapshot::Fault) -> Self {
        Self::File(fault.into())
    }
}

/// A tuple that a flow is looked for by.
#[derive(Default)]
struct LookedFor {
    tuples: [Option<Tuple>; 2],
    zone: u16,
}

impl LookedFor {
    fn of(attributes: &[u8]) -> Result<Self, ClientError> {
        let mut looked_for = Self::default();
        for attribute in conntrack::attributes(Attrs::new(attributes)) {
            match attribute? {
                Attribute::Original(tuple) => looked_for.tuples[0] = Some(tuple),
                Attribute::Reply(tuple) => looked_for.tuples[1] = Some(tuple),
                Attribute::Zone(zone) => looked_for.zone = zone,
                _ => {}
            }
        }
        Ok(looked_for)
    }

    fn is(&self, flow: &Flow<'_>) -> bool {
        let is_in = |tuple: &Tuple| flow.tuples.iter().any(|known| is_same(known, tuple));
        self.zone == flow.zone.unwrap_or(0) && self.tuples.iter().flatten().all(is_in)
    }
}

/// Whether a flow's tuple is the one that is looked for, which may say less.
fn is_same(known: &Tuple, wanted: &Tuple) -> bool {
    (known.src, known.dst, known.proto) == (wanted.src, wanted.dst, wanted.proto)
        && (known.sport, known.dport) == (wanted.sport, wanted.dport)
        && (wanted.icmp.is_none() || known.icmp == wanted.icmp)
}
