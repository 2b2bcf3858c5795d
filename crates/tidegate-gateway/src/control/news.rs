//! What has happened lately: the engine's events, numbered, for all who listen.
//!
//! One queue serves everybody. A listener is a place in it, so that one who doesn't read costs nothing, and loses what
//! falls out of the queue at its other end. Messages are only written when somebody is there to read them.

use std::collections::VecDeque;

use tidegate_engine::Engine;
use tidegate_engine::event::{Event, EventKind};
use tidegate_engine::time::Instant;
use tidegate_wire::netlink::conntrack::{group, message};
use tidegate_wire::netlink::frame::{Family, Flags, Header, Subsystem, Writer};

use super::condition::{Conditions, Subject};
use super::engines::{At, Engines};
use super::flow::Circumstances;
use super::team::Said;
use super::{expectation, flow};

/// Who brought an event about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    /// What the requester's messages carry as their sender.
    pub(super) port: u32,
    /// The requester wants to hear of it in any case.
    pub(super) echo_to: Option<u64>,
}

/// One event.
#[derive(Debug)]
pub(super) struct Item {
    /// Its number, from 1.
    pub(super) sequence: u64,
    event: Event,
    about: Circumstances,
    cause: Option<Cause>,
}

/// The events that are still known.
#[derive(Debug)]
pub(super) struct News {
    items: VecDeque<Item>,
    most: usize,
    /// The number of the next one.
    next: u64,
}

impl News {
    /// None so far; `most` are kept.
    pub(super) fn new(most: usize) -> Self {
        Self { items: VecDeque::new(), most: most.max(1), next: 1 }
    }

    /// Takes over what an engine has to tell: what it has told somebody already, and the rest, all of that brought about
    /// by `cause`, if anybody.
    pub(super) fn gather(&mut self, at: &mut At<'_>, cause: Option<Cause>) {
        let Said { events, lost } = at.take_said();
        self.miss(lost);
        events.into_iter().for_each(|(event, about)| self.put(event, about, None));
        while let Some(event) = at.poll_event() {
            let about = circumstances(at, &event);
            self.put(event, about, cause);
        }
    }

    /// Takes over what all engines have to tell. What is taken at once is put into the order in which it came about; what a
    /// worker tells while others are asked comes with the next call, behind what may be younger.
    pub(super) fn gather_all(&mut self, engines: &mut Engines<'_>, now: Instant) {
        if engines.workers() == 1 {
            return self.gather(&mut engines.at(0, now), None);
        }
        let mut all = Vec::new();
        for worker in 0..engines.workers() {
            let Some(mut at) = engines.told(worker, now) else { continue };
            let Said { events, lost } = at.take_said();
            self.miss(lost);
            all.extend(events);
        }
        // Those of one worker, and so of one flow, keep their order.
        all.sort_by_key(|(event, _)| event_time(event));
        all.into_iter().for_each(|(event, about)| self.put(event, about, None));
    }

    fn put(&mut self, event: Event, about: Circumstances, cause: Option<Cause>) {
        if self.items.len() == self.most {
            self.items.pop_front();
        }
        self.items.push_back(Item { sequence: self.next, event, about, cause });
        self.next += 1;
    }

    /// So many are known to nobody; nor is what came before them from now on.
    fn miss(&mut self, lost: u64) {
        if lost > 0 {
            self.items.clear();
            self.next += lost;
        }
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The number of the first event that is still known, or of the next one.
    pub(super) fn first(&self) -> u64 {
        self.items.front().map_or(self.next, |item| item.sequence)
    }

    /// The events from a number on.
    pub(super) fn since(&self, sequence: u64) -> impl Iterator<Item = &Item> {
        let known = sequence.saturating_sub(self.first()) as usize;
        self.items.range(known.min(self.items.len())..)
    }
}

fn event_time(event: &Event) -> Instant {
    match event {
        Event::Flow(event) => event.at,
        Event::Expectation(event) => event.at,
    }
}

/// What is to be told beside an event that an engine has just told.
pub(super) fn circumstances(engine: &Engine, event: &Event) -> Circumstances {
    match event {
        Event::Flow(event) => Circumstances::of(engine, event.id),
        Event::Expectation(event) => {
            let number = event.expectation.number();
            let id = engine.shown_expectation_id(number);
            let wall = engine.wall_clock();
            let corrections = Default::default();
            Circumstances { id, master: None, corrections, proxy: None, wall }
        }
    }
}

impl Item {
    /// The bit of its group.
    pub(super) fn group(&self) -> u32 {
        let (kind, groups) = match &self.event {
            Event::Flow(event) => (event.kind, [group::NEW, group::UPDATE, group::DESTROY]),
            Event::Expectation(event) => {
                let groups = [group::EXPECT_NEW, group::EXPECT_UPDATE, group::EXPECT_DESTROY];
                (event.kind, groups)
            }
        };
        let group = match kind {
            EventKind::New => groups[0],
            EventKind::Update => groups[1],
            EventKind::Destroy => groups[2],
        };
        1 << (group - 1)
    }

    /// Whether this session asked for it, and wants to hear of what it did.
    pub(super) fn echoes_to(&self, session: u64) -> bool {
        self.cause.is_some_and(|cause| cause.echo_to == Some(session))
    }

    /// Whether it is about a flow that meets all conditions, or there are none.
    pub(super) fn meets(&self, conditions: &Conditions) -> bool {
        match &self.event {
            Event::Flow(event) => {
                let (flow, id, now) = (&event.flow, self.about.id, event.at);
                conditions.hold(&Subject { flow, id, now })
            }
            Event::Expectation(_) => conditions.is_empty(),
        }
    }

    /// When it happened, in nanoseconds since 1970.
    pub(super) fn time(&self) -> u64 {
        self.about.wall.offset.saturating_add(event_time(&self.event).nanos())
    }

    /// The kernel's message about it: its kind and flags, and the family.
    pub(super) fn frame(&self) -> (Header, Family) {
        let (subsystem, kind, family) = match &self.event {
            Event::Flow(event) => (Subsystem::Conntrack, event.kind, event.flow.orig.family()),
            Event::Expectation(event) => {
                (Subsystem::Expect, event.kind, event.expectation.tuple.family())
            }
        };
        let (number, flags) = match kind {
            EventKind::New => (message::NEW, Flags::CREATE | Flags::EXCL),
            EventKind::Update => (message::NEW, Flags::empty()),
            EventKind::Destroy => (message::DELETE, Flags::empty()),
        };
        let pid = self.cause.map_or(0, |cause| cause.port);
        let header = Header { kind: Header::kind_of(subsystem, number), flags, seq: 0, pid };
        (header, Family::of(family))
    }

    /// Writes the message as the kernel does.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let (header, family) = self.frame();
        writer.message(header, family, |writer| self.write_body(writer));
    }

    /// Writes the message's attributes.
    pub(super) fn write_body(&self, writer: &mut Writer<'_>) {
        match &self.event {
            Event::Flow(event) => flow::announce(writer, event, &self.about),
            Event::Expectation(event) => {
                expectation::describe(writer, event.at, &event.expectation, self.about.id);
            }
        }
    }
}
