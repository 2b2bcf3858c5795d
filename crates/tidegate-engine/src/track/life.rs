//! What a tracker changes of a flow besides its own memory, apart from the flow.
//!
//! The walk has the flow as a value, the express path has the table's record of it. A tracker that
//! works on a [`Life`] serves both: it is taken from either, and written back to where it came from.

use super::{Plain, Segment};
use crate::event::EventMask;
use crate::flow::{Correction, Flow, Status};
use crate::limits::{Limits, Timeout};
use crate::time::Instant;
use crate::tuple::Direction;

/// The part of a flow that trackers change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) status: Status,
    pub(crate) deadline: Instant,
    /// What is to be announced.
    pub(crate) pending: EventMask,
    /// Whether SYNPROXY stands before the flow's server.
    pub(crate) is_proxied: bool,
    /// Whether the packet counts.
    pub(crate) counts: bool,
}

/// Under which circumstances a packet is judged.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) dir: Direction,
    pub(crate) now: Instant,
    pub(crate) limits: &'a Limits,
    /// See [`Segment::corrections`].
    pub(crate) corrections: Option<&'a [Correction; 2]>,
}

impl<'a> Segment<'a> {
    /// Everything but the packet.
    pub(super) fn case(&self) -> Case<'a> {
        let Self { dir, now, limits, corrections, .. } = *self;
        Case { dir, now, limits, corrections }
    }
}

impl<'a> Plain<'a> {
    /// See [`Segment::case`]; nobody corrects numbers on the express path.
    #[inline(always)]
    pub(crate) fn case(&self) -> Case<'a> {
        let Self { dir, now, limits, .. } = *self;
        Case { dir, now, limits, corrections: None }
    }
}

impl Life {
    /// That of a flow with nothing left to be announced.
    #[inline(always)]
    pub(crate) fn new(status: Status, deadline: Instant) -> Self {
        let pending = EventMask::empty();
        Self { status, deadline, pending, is_proxied: false, counts: false }
    }

    /// That of a flow whose packet is to be judged.
    pub(super) fn of(flow: &Flow) -> Self {
        let Flow { status, deadline, pending, is_proxied, .. } = *flow;
        Self { status, deadline, pending, is_proxied, counts: false }
    }

    /// Gives it back to its flow, whose packet it was.
    pub(super) fn write_to(self, flow: &mut Flow, segment: &Segment<'_>) {
        (flow.status, flow.deadline, flow.pending) = (self.status, self.deadline, self.pending);
        if self.counts {
            flow.account(segment.dir, segment.headers.len);
        }
    }

    /// Whether every bit of `bits` is set.
    #[inline(always)]
    pub(super) fn is(&self, bits: Status) -> bool {
        self.status.contains(bits)
    }

    /// See [`Flow::note`].
    #[inline(always)]
    pub(crate) fn note(&mut self, change: EventMask) {
        self.pending |= change;
    }

    /// Notes that a packet of this direction was accepted.
    #[inline(always)]
    pub(crate) fn see(&mut self, dir: Direction) {
        if dir == Direction::Reply && !self.is(Status::SEEN_REPLY) {
            self.status |= Status::SEEN_REPLY;
            self.note(EventMask::REPLY);
        }
    }

    /// Renews the deadline, unless it is fixed, and counts the packet. Linux: `nf_ct_refresh_acct`.
    #[inline(always)]
    pub(super) fn renew(&mut self, now: Instant, timeout: Timeout) {
        if !self.is(Status::FIXED_TIMEOUT) {
            self.deadline = now.after_seconds(timeout.0);
        }
        self.counts = true;
    }

    /// Makes the flow safe from early drop; an entry left by clash resolution never is.
    #[inline(always)]
    pub(super) fn assure(&mut self) {
        if !self.status.intersects(Status::ASSURED | Status::NAT_CLASH) {
            self.status |= Status::ASSURED;
            self.note(EventMask::ASSURED);
        }
    }
}
