//! A flow as ctnetlink tells it, attribute by attribute in the kernel's order. Linux: `ctnetlink_fill_info`,
//! `ctnetlink_conntrack_event`.

use tidegate_engine::Engine;
use tidegate_engine::event::{EventKind, EventMask, FlowEvent};
use tidegate_engine::flow::{Correction, Counter, Flow, FlowId, Labels, Status};
use tidegate_engine::synproxy::Proxy;
use tidegate_engine::time::{Instant, WallClock};
use tidegate_engine::track::{Peer, ProtoState};
use tidegate_engine::tuple::{Direction, Tuple, ZoneScope};
use tidegate_wire::netlink::Writer;
use tidegate_wire::netlink::conntrack::{
    Attribute, Counters, Help, ProtoInfo, SctpInfo, SeqAdj, SynProxy, TcpInfo, Timestamp,
};

use super::tuple::told;

/// What is told of a flow besides the flow itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// The number that is shown of it.
    pub(super) id: u32,
    /// The original tuple of its master.
    pub(super) master: Option<Tuple>,
    pub(super) corrections: [Correction; 2],
    /// What SYNPROXY remembers of it.
    pub(super) proxy: Option<Proxy>,
    pub(super) wall: WallClock,
}

impl Circumstances {
    /// Those of a flow of the table, or of one that has just left it.
    pub(super) fn of(engine: &Engine, id: FlowId) -> Self {
        Self {
            id: engine.shown_id(id),
            master: engine.master_of(id).map(|master| master.tuple),
            corrections: engine.corrections_of(id),
            proxy: engine.proxy_of(id),
            wall: engine.wall_clock(),
        }
    }
}

/// All that a listing says of a flow. `references`: those that the kernel would have to it.
pub(super) fn describe(
    writer: &mut Writer<'_>,
    (now, references): (Instant, u32),
    flow: &Flow,
    about: &Circumstances,
) {
    tuples(writer, flow);
    Attribute::Status(status(flow)).write(writer);
    Attribute::Mark(flow.mark).write(writer);
    Attribute::Id(about.id).write(writer);
    Attribute::Use(references).write(writer);
    master(writer, about);
    Attribute::Timeout(seconds_left(flow, now)).write(writer);
    proto_info(writer, flow, false);
    counters(writer, flow);
    timestamp(writer, flow, about);
    help(writer, flow);
    labels(writer, flow);
    corrections(writer, flow, about);
    proxy(writer, about);
}

/// All that an event says of a flow.
pub(super) fn announce(writer: &mut Writer<'_>, event: &FlowEvent, about: &Circumstances) {
    let FlowEvent { flow, changes, .. } = event;
    tuples(writer, flow);
    Attribute::Id(about.id).write(writer);
    let is_end = event.kind == EventKind::Destroy;
    let end = if is_end { Status::DYING } else { Status::empty() };
    Attribute::Status(status(flow) | end.bits()).write(writer);
    let left = seconds_left(flow, event.at);
    if !is_end || left > 0 {
        Attribute::Timeout(left).write(writer);
    }
    if is_end {
        counters(writer, flow);
        timestamp(writer, flow, about);
        proto_info(writer, flow, true);
    } else {
        news(writer, event, about);
    }
    if flow.mark != 0 || changes.contains(EventMask::MARK) {
        Attribute::Mark(flow.mark).write(writer);
    }
    if flow.lifetime.is_some() {
        Attribute::EventTime(on_the_wall(event.at, about)).write(writer);
    }
}

/// What only a beginning or a change says.
fn news(writer: &mut Writer<'_>, event: &FlowEvent, about: &Circumstances) {
    let FlowEvent { flow, changes, .. } = event;
    if changes.contains(EventMask::PROTOINFO) {
        proto_info(writer, flow, false);
    }
    help(writer, flow);
    if changes.contains(EventMask::LABEL) {
        labels(writer, flow);
    }
    if changes.contains(EventMask::RELATED) {
        master(writer, about);
    }
    if changes.contains(EventMask::SEQADJ) {
        corrections(writer, flow, about);
    }
    if changes.contains(EventMask::SYNPROXY) {
        proxy(writer, about);
    }
}

fn tuples(writer: &mut Writer<'_>, flow: &Flow) {
    let zone = flow.zone;
    let in_scope = |scope| (zone.scope == scope && zone.id != 0).then_some(zone.id);
    let one = |dir, scope| tidegate_wire::netlink::Tuple {
        zone: in_scope(scope),
        ..told(flow.tuple(dir))
    };
    Attribute::Original(one(Direction::Original, ZoneScope::Original)).write(writer);
    Attribute::Reply(one(Direction::Reply, ZoneScope::Reply)).write(writer);
    if let Some(id) = in_scope(ZoneScope::Both) {
        Attribute::Zone(id).write(writer);
    }
}

/// Whoever is told of a flow, it is or was in the table.
fn status(flow: &Flow) -> u32 {
    (flow.status | Status::CONFIRMED).bits()
}

fn seconds_left(flow: &Flow, now: Instant) -> u32 {
    u32::try_from(flow.remaining(now).as_secs()).unwrap_or(u32::MAX)
}

fn master(writer: &mut Writer<'_>, about: &Circumstances) {
    if let Some(tuple) = &about.master {
        Attribute::Master(told(tuple)).write(writer);
    }
}

fn proto_info(writer: &mut Writer<'_>, flow: &Flow, only_state: bool) {
    let mut info = ProtoInfo::default();
    match &flow.proto {
        ProtoState::Tcp(tcp) => {
            let [one, other] = &tcp.seen;
            let detail = |number| (!only_state).then_some(number);
            let flags = |peer: &Peer| (!only_state).then(|| u16::from(peer.flags.bits()) << 8);
            info.tcp = Some(TcpInfo {
                state: Some(tcp.state as u8),
                scale_original: detail(one.scale),
                scale_reply: detail(other.scale),
                flags_original: flags(one),
                flags_reply: flags(other),
                unknown: Vec::new(),
            });
        }
        ProtoState::Sctp(sctp) => {
            let [one, other] = sctp.tags.map(|tag| (!only_state).then_some(tag));
            info.sctp = Some(SctpInfo {
                state: Some(sctp.state as u8),
                tag_original: one,
                tag_reply: other,
                unknown: Vec::new(),
            });
        }
        ProtoState::None | ProtoState::Udp(_) | ProtoState::Gre(_) => return,
    }
    Attribute::ProtoInfo(info).write(writer);
}

fn counters(writer: &mut Writer<'_>, flow: &Flow) {
    let Some([one, other]) = flow.acct else { return };
    let told = |counter: Counter| Counters {
        packets: Some(counter.packets),
        bytes: Some(counter.bytes),
        unknown: Vec::new(),
    };
    Attribute::CountersOriginal(told(one)).write(writer);
    Attribute::CountersReply(told(other)).write(writer);
}

fn timestamp(writer: &mut Writer<'_>, flow: &Flow, about: &Circumstances) {
    let Some(lifetime) = flow.lifetime else { return };
    let start = lifetime.start.map(|at| on_the_wall(at, about));
    let stop = lifetime.stop.map(|at| on_the_wall(at, about));
    Attribute::Timestamp(Timestamp { start, stop, unknown: Vec::new() }).write(writer);
}

fn on_the_wall(at: Instant, about: &Circumstances) -> u64 {
    about.wall.offset.saturating_add(at.nanos())
}

fn help(writer: &mut Writer<'_>, flow: &Flow) {
    if let Some(helper) = flow.helper() {
        let name = Some(helper.name().as_bytes());
        Attribute::Help(Help { name, unknown: Vec::new() }).write(writer);
    }
}

fn proxy(writer: &mut Writer<'_>, about: &Circumstances) {
    let Some(Proxy { isn, its, clock_offset }) = about.proxy else { return };
    let (isn, its, tsoff) = (Some(isn.0), Some(its), Some(clock_offset));
    Attribute::SynProxy(SynProxy { isn, its, tsoff, unknown: Vec::new() }).write(writer);
}

/// In words of 32 bits, as the kernel keeps them.
fn labels(writer: &mut Writer<'_>, flow: &Flow) {
    if flow.labels != Labels::NONE {
        Attribute::Labels(&flow.labels.bits().to_ne_bytes()).write(writer);
    }
}

fn corrections(writer: &mut Writer<'_>, flow: &Flow, about: &Circumstances) {
    if !flow.is(Status::SEQ_ADJUST) {
        return;
    }
    let [one, other] = about.corrections.map(|correction| SeqAdj {
        position: Some(correction.position.0),
        before: Some(correction.before as u32),
        after: Some(correction.after as u32),
        unknown: Vec::new(),
    });
    Attribute::SeqAdjOriginal(one).write(writer);
    Attribute::SeqAdjReply(other).write(writer);
}
