//! Events: what became of a flow, told once per packet.
//!
//! Changes are noted on the flow while a packet travels and announced together
//! when it passes the last hook, as the kernel's `ecache` does. A packet that
//! is dropped on the way leaves its notes for the next one. Deletion is
//! announced at once.

use alloc::collections::VecDeque;

use bitflags::bitflags;

use crate::expect::Expectation;
use crate::flow::{Flow, FlowId};
use crate::time::Instant;

bitflags! {
    /// What changed, with the kernel's bit numbers (`enum ip_conntrack_events`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct EventMask: u16 {
        /// A new flow.
        const NEW = 1 << 0;
        /// A new flow that an expectation announced.
        const RELATED = 1 << 1;
        /// The flow is gone.
        const DESTROY = 1 << 2;
        /// First packet of the reply direction.
        const REPLY = 1 << 3;
        /// Became assured.
        const ASSURED = 1 << 4;
        /// The tracker's state changed.
        const PROTOINFO = 1 << 5;
        /// A helper was assigned.
        const HELPER = 1 << 6;
        /// The mark changed.
        const MARK = 1 << 7;
        /// Sequence adjustment changed.
        const SEQADJ = 1 << 8;
        /// The security mark changed.
        const SECMARK = 1 << 9;
        /// The labels changed.
        const LABEL = 1 << 10;
        /// What SYNPROXY remembers changed.
        const SYNPROXY = 1 << 11;
    }
}

bitflags! {
    /// What is told of expectations, with the kernel's bits (`1 << IPEXP_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ExpectMask: u8 {
        /// One began.
        const NEW = 1 << 0;
        /// One ended.
        const DESTROY = 1 << 1;
    }
}

/// The three kinds of message that a listener sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `[NEW]`
    New,
    /// `[UPDATE]`
    Update,
    /// `[DESTROY]`
    Destroy,
}

/// One message.
#[derive(Clone, Debug)]
pub enum Event {
    /// About a flow.
    Flow(FlowEvent),
    /// About an expectation.
    Expectation(ExpectationEvent),
}

impl Event {
    /// The message, if it is about a flow.
    #[must_use]
    pub fn flow(&self) -> Option<&FlowEvent> {
        match self {
            Self::Flow(event) => Some(event),
            Self::Expectation(_) => None,
        }
    }

    /// See [`Event::flow`].
    #[must_use]
    pub fn into_flow(self) -> Option<FlowEvent> {
        match self {
            Self::Flow(event) => Some(event),
            Self::Expectation(_) => None,
        }
    }
}

/// One message about one flow, which is shown as it was then.
#[derive(Clone, Debug)]
pub struct FlowEvent {
    /// The kind of message.
    pub kind: EventKind,
    /// Everything that changed with this packet.
    pub changes: EventMask,
    /// When.
    pub at: Instant,
    /// Which flow.
    pub id: FlowId,
    /// The flow at that moment.
    pub flow: Flow,
}

/// One message about one expectation, which is shown as it was then.
#[derive(Clone, Debug)]
pub struct ExpectationEvent {
    /// [`EventKind::New`] or [`EventKind::Destroy`].
    pub kind: EventKind,
    /// When.
    pub at: Instant,
    /// The expectation at that moment.
    pub expectation: Expectation,
}

/// Events waiting to be fetched, oldest first.
///
/// Bounded: when it is full further events are dropped and counted, so that a
/// caller who never asks costs no memory. Switched off by
/// `net.netfilter.nf_conntrack_events = 0`.
#[derive(Debug)]
pub struct EventQueue {
    queue: VecDeque<Event>,
    limit: usize,
    lost: u64,
}

impl EventQueue {
    /// A queue of at most `limit` events.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), limit, lost: 0 }
    }

    /// The oldest event, if any.
    pub fn pop(&mut self) -> Option<Event> {
        self.queue.pop_front()
    }

    /// How many events found the queue full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Announces what was noted on a confirmed flow: all of it if the flow announces any of it. Linux:
    /// `nf_ct_deliver_cached_events`.
    pub(crate) fn announce(&mut self, at: Instant, id: FlowId, flow: &mut Flow) {
        let changes = core::mem::take(&mut flow.pending);
        self.announce_as(at, id, (changes, flow.announced), || flow.clone());
    }

    /// [`EventQueue::announce`] for what changed with a flow that is only asked for if it is told.
    pub(crate) fn announce_as(
        &mut self,
        at: Instant,
        id: FlowId,
        (changes, announced): (EventMask, EventMask),
        flow: impl FnOnce() -> Flow,
    ) {
        if !changes.intersects(announced) {
            return;
        }
        let first = EventMask::NEW | EventMask::RELATED;
        let kind = if changes.intersects(first) { EventKind::New } else { EventKind::Update };
        self.push(|| Event::Flow(FlowEvent { kind, changes, at, id, flow: flow() }));
    }

    /// Announces the end of a flow.
    pub(crate) fn destroyed(&mut self, at: Instant, id: FlowId, flow: &Flow) {
        if flow.announced.contains(EventMask::DESTROY) {
            self.destroyed_as(at, id, || flow.clone());
        }
    }

    /// [`EventQueue::destroyed`], of a flow that announces it and is only asked for if it is told.
    pub(crate) fn destroyed_as(&mut self, at: Instant, id: FlowId, flow: impl FnOnce() -> Flow) {
        let (kind, changes) = (EventKind::Destroy, EventMask::DESTROY);
        self.push(|| Event::Flow(FlowEvent { kind, changes, at, id, flow: flow() }));
    }

    /// Announces what became of an expectation.
    pub(crate) fn tell(&mut self, event: impl FnOnce() -> ExpectationEvent) {
        self.push(|| Event::Expectation(event()));
    }

    fn push(&mut self, event: impl FnOnce() -> Event) {
        if self.queue.len() < self.limit {
            self.queue.push_back(event());
        } else {
            self.lost += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::Family;

    use super::*;
    use crate::testkit::{Host, flow, udp};

    #[test]
    fn a_flow_that_announces_one_change_of_a_packet_announces_all() {
        let (new, mark) = (EventMask::NEW, EventMask::MARK);
        let (reply, both) = (EventMask::REPLY, new | mark);
        let rows = [
            ("all", EventMask::all(), both, Some((EventKind::New, both))),
            ("one of two", mark, both, Some((EventKind::New, both))),
            ("the only one", mark, mark, Some((EventKind::Update, mark))),
            ("another", reply, both, None),
            ("none", EventMask::empty(), both, None),
            ("nothing to tell", EventMask::all(), EventMask::empty(), None),
        ];
        for (what, announced, noted, expected) in rows {
            let mut flow = flow(udp(Host::Client, 1).tuple(Family::V4));
            flow.announced = announced;
            flow.note(noted);
            let mut queue = EventQueue::new(9);
            queue.announce(Instant::ZERO, FlowId { slot: 0, generation: 0 }, &mut flow);
            let event = queue.pop();
            let event = event.as_ref().and_then(Event::flow);
            let found = event.map(|event| (event.kind, event.changes));
            assert_eq!(found, expected, "{what}");
            assert!(flow.pending.is_empty(), "{what}: told or not, it is done with");
        }
    }
}
