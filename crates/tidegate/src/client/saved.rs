//! A table that was written down: answers come from a file, as they were given when it was made.
//!
//! A request for flows is answered with all of them, for every condition is tried by the caller anyway. What would
//! change something is refused.

use std::path::PathBuf;

use rustix::io::Errno;
use tidegate_gateway::snapshot::{Cause, Opening, Part, Reader, Records};
use tidegate_wire::netlink::conntrack::{self, Attribute, message};
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Attrs, Header, Message, Tuple, expect};

use super::error::ClientError;
use super::{Flow, Request, keep};

/// A table in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// The file.
    pub(crate) path: PathBuf,
}

impl Saved {
    /// What the file begins with.
    ///
    /// # Errors
    /// There is none, or it is no snapshot.
    pub(crate) fn opening(&self) -> Result<Opening, ClientError> {
        Ok(Reader::open(&self.path)?.opening().clone())
    }

    /// The settings that the table had.
    ///
    /// # Errors
    /// The file can't be read.
    pub(super) fn settings(&self) -> Result<Vec<(String, String)>, ClientError> {
        let mut reader = Reader::open(&self.path)?;
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
        let wanted = Wanted::of(request.kind).ok_or_else(|| self.refusal())?;
        let mut reader = Reader::open(&self.path).map_err(ClientError::from)?;
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
                    // Those of expectations come as messages of flows (see `wire::netlink::stats`): numbers tell all apart.
                    Wanted::Statistics if message.header.kind as u8 != request.kind as u8 => Ok(()),
                    _ => each(message).map_err(Stop::Caller),
                })
                .map_err(Stop::into_error)?;
        }
    }

    /// The answer to a request for one thing.
    pub(super) fn ask(&self, request: &Request) -> Result<Option<Vec<u8>>, ClientError> {
        let of = |number| Header::kind_of(Subsystem::Conntrack, number);
        if request.kind == of(message::GET_STATS) {
            return self.first(request, |_| true);
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
            || expectations(expect::message::GET_STATS_CPU);
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
