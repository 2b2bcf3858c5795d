//! Events as text: what `conntrack -E` prints, and the compact form of the
//! scenario format.
//!
//! ```text
//! -E      = TYPE%9s SP L4NAME%-8s SP PROTO SP [SECS SP] [STATE SP] TUPLE [ZONE] [ACCT] [" [UNREPLIED]"] SP TUPLE
//!           [ZONE] [ACCT] [" [ASSURED]"] [" mark=" U] [" zone=" U] [" delta-time=" U] [" helper=" NAME]
//! compact = TYPE SP L3 SP L4 SP L4NUM [" t=" U] [SP STATE] SP TUPLE [" [UNREPLIED]"] SP TUPLE [" [ASSURED]"]
//!           [" mark=" U] [" zone=" U] [" helper=" NAME] [" packets=" U "," U " bytes=" U "," U]
//! TYPE    = "[NEW]" | "[UPDATE]" | "[DESTROY]"
//! ```
//!
//! A message carries what `ctnetlink_conntrack_event` puts into it: the state
//! when it changed, the counters at the end of a flow, and a time-out always but
//! at an end with less than a second left.

use std::fmt;

use tidegate_engine::event::{Event, EventKind, EventMask, FlowEvent};
use tidegate_engine::flow::{Counter, Flow, Status};
use tidegate_engine::tuple::{Direction, ZoneScope};

use super::tuple::{Style, TupleText};
use super::{expect, l4_name};

/// An event as `conntrack -E` prints it, without the line feed.
pub struct Announcement<'a>(pub &'a FlowEvent);

impl fmt::Display for Announcement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let (flow, proto) = (&event.flow, event.flow.orig.proto);
        write!(f, "{:>9} {:<8} {proto} ", kind_name(event.kind), l4_name(proto))?;
        if let Some(seconds) = timeout(event) {
            write!(f, "{seconds} ")?;
        }
        if let Some(state) = state(event) {
            write!(f, "{state} ")?;
        }
        self.fmt_direction(f, Direction::Original)?;
        if !flow.is(Status::SEEN_REPLY) {
            f.write_str(" [UNREPLIED]")?;
        }
        f.write_str(" ")?;
        self.fmt_direction(f, Direction::Reply)?;
        fmt_assured_and_marks(f, flow)?;
        match flow.lifetime.and_then(|lifetime| lifetime.start) {
            Some(start) if event.kind == EventKind::Destroy => {
                write!(f, " delta-time={}", event.at.saturating_sub(start).as_secs())?;
            }
            _ => {}
        }
        fmt_helper(f, event)
    }
}

impl Announcement<'_> {
    fn fmt_direction(&self, f: &mut fmt::Formatter<'_>, dir: Direction) -> fmt::Result {
        let flow = &self.0.flow;
        write!(f, "{}", TupleText(flow.tuple(dir), Style::Tool))?;
        match (flow.zone.scope, dir) {
            _ if flow.zone.id == 0 => {}
            (ZoneScope::Original, Direction::Original) => write!(f, " zone-orig={}", flow.zone.id)?,
            (ZoneScope::Reply, Direction::Reply) => write!(f, " zone-reply={}", flow.zone.id)?,
            _ => {}
        }
        match counters(self.0) {
            Some(acct) => {
                let counter = acct[dir.index()];
                write!(f, " packets={} bytes={}", counter.packets, counter.bytes)
            }
            None => Ok(()),
        }
    }
}

/// An event in the compact form of the scenario format.
pub struct CompactEvent<'a>(pub &'a Event);

impl fmt::Display for CompactEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Event::Flow(event) => CompactFlowEvent(event).fmt(f),
            Event::Expectation(event) => expect::write_compact(f, event),
        }
    }
}

struct CompactFlowEvent<'a>(&'a FlowEvent);

impl fmt::Display for CompactFlowEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.0;
        let flow = &event.flow;
        let (l3, proto) = (flow.orig.family().name(), flow.orig.proto);
        write!(f, "{} {l3} {} {proto}", kind_name(event.kind), l4_name(proto))?;
        if let Some(seconds) = timeout(event) {
            write!(f, " t={seconds}")?;
        }
        if let Some(state) = state(event) {
            write!(f, " {state}")?;
        }
        write!(f, " {}", TupleText(&flow.orig, Style::Compact))?;
        if !flow.is(Status::SEEN_REPLY) {
            f.write_str(" [UNREPLIED]")?;
        }
        write!(f, " {}", TupleText(&flow.reply, Style::Compact))?;
        fmt_assured_and_marks(f, flow)?;
        self.fmt_tail(f)
    }
}

impl CompactFlowEvent<'_> {
    fn fmt_tail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.0.flow.zone;
        match zone.scope {
            _ if zone.id == 0 => {}
            ZoneScope::Both => {}
            ZoneScope::Original => write!(f, " zone_orig={}", zone.id)?,
            ZoneScope::Reply => write!(f, " zone_reply={}", zone.id)?,
        }
        fmt_helper(f, self.0)?;
        match counters(self.0) {
            Some([orig, reply]) => {
                write!(f, " packets={},{}", orig.packets, reply.packets)?;
                write!(f, " bytes={},{}", orig.bytes, reply.bytes)
            }
            None => Ok(()),
        }
    }
}

/// The helper, which the end of a flow doesn't tell.
fn fmt_helper(f: &mut fmt::Formatter<'_>, event: &FlowEvent) -> fmt::Result {
    match event.flow.helper() {
        Some(helper) if event.kind != EventKind::Destroy => write!(f, " helper={}", helper.name()),
        _ => Ok(()),
    }
}

fn fmt_assured_and_marks(f: &mut fmt::Formatter<'_>, flow: &Flow) -> fmt::Result {
    if flow.is(Status::ASSURED) {
        f.write_str(" [ASSURED]")?;
    }
    if flow.mark != 0 {
        write!(f, " mark={}", flow.mark)?;
    }
    if flow.zone.scope == ZoneScope::Both && flow.zone.id != 0 {
        write!(f, " zone={}", flow.zone.id)?;
    }
    Ok(())
}

/// Whole seconds left when it happened, where the message carries them.
fn timeout(event: &FlowEvent) -> Option<u64> {
    let seconds = event.flow.remaining(event.at).as_secs();
    (event.kind != EventKind::Destroy || seconds > 0).then_some(seconds)
}

/// The tracker's state, where the message carries it: when it changed, and at
/// the end.
fn state(event: &FlowEvent) -> Option<&'static str> {
    let told = event.changes.contains(EventMask::PROTOINFO) || event.kind == EventKind::Destroy;
    event.flow.proto.name().filter(|_| told)
}

/// Counters, where the message carries them.
fn counters(event: &FlowEvent) -> Option<&[Counter; 2]> {
    event.flow.acct.as_ref().filter(|_| event.kind == EventKind::Destroy)
}

fn kind_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::New => "[NEW]",
        EventKind::Update => "[UPDATE]",
        EventKind::Destroy => "[DESTROY]",
    }
}
