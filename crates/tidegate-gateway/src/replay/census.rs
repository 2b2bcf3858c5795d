//! The figures of a summary, gathered while a replay runs.
//!
//! What happens with each packet is counted by the packet; what is told of
//! flows is counted once, when a flow ends or, for those still in the table, at
//! the end. So memory grows with hosts and kinds of flow, never with packets.

mod growth;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use tidegate_engine::event::{Event, EventKind, FlowEvent};
use tidegate_engine::flow::{Flow, Status};
use tidegate_engine::packet::CtInfo;
use tidegate_engine::time::Instant;
use tidegate_engine::verdict::{Onward, Verdict};
use tidegate_wire::proto;

pub use self::growth::Growth;
use super::run::{Arrival, Passed, Replay};
use crate::text::l4_name;

/// Packets, by what was noticed of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Frames in the capture.
    pub frames: u64,
    /// Frames without an IP datagram, such as ARP.
    pub not_ip: u64,
    /// Bytes of all datagrams, from the IP header on.
    pub bytes: u64,
    /// Packets whose end was not captured.
    pub cut: u64,
    /// Packets whose TTL or hop limit was raised.
    pub aged: u64,
    /// Packets with checksums that were left to the sender's network card.
    pub offloaded: u64,
    /// Packets that left.
    pub forwarded: u64,
    /// Packets for the router itself.
    pub local: u64,
    /// Fragments kept until their datagram was whole.
    pub held: u64,
    /// Packets that were dropped.
    pub dropped: u64,
    /// Packets by the state that conntrack gave them, in the order of
    /// [`STATES`].
    pub states: [u64; STATES.len()],
    /// Packets of DCCP: Linux 6.18 has no tracker for it any more, but people
    /// expect one.
    pub dccp: u64,
}

/// The states of packets, in the order of [`PacketCounts::states`].
pub const STATES: [&str; 5] = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"];

/// What flows have in common that a summary counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowKind {
    /// Upper-layer protocol, by name.
    pub l4: &'static str,
    /// Its last state: the tracker's, or `UNREPLIED`, `REPLIED`, `ASSURED`.
    pub state: &'static str,
}

/// Flows whose addresses were translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatCounts {
    /// The source only.
    pub source: u64,
    /// The destination only.
    pub destination: u64,
    /// Both.
    pub both: u64,
}

/// What one host sent and got in the flows that it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Talker {
    /// Flows begun.
    pub flows: u64,
    /// Packets both ways.
    pub packets: u64,
    /// Bytes both ways, from the IP header on.
    pub bytes: u64,
}

/// The figures of a summary.
#[derive(Debug, Default)]
pub struct Census {
    /// Packets.
    pub packets: PacketCounts,
    /// Flows that were ever in the table.
    pub flows: BTreeMap<FlowKind, u64>,
    /// Translated ones among them.
    pub nat: NatCounts,
    /// The size of the table over time.
    pub growth: Growth,
    /// Time from the first packet to the last.
    pub span: Duration,
    talkers: HashMap<IpAddr, Talker>,
    first: Option<Instant>,
}

impl Census {
    /// Counts a packet that has passed.
    pub fn packet(&mut self, replay: &Replay, arrival: &Arrival, passed: &Passed) {
        let counts = &mut self.packets;
        counts.frames += 1;
        self.span = arrival.at.saturating_sub(*self.first.get_or_insert(arrival.at));
        let Some(outcome) = passed.outcome else {
            counts.not_ip += 1;
            return;
        };
        counts.bytes += arrival.len as u64;
        counts.cut += u64::from(replay.ingress().is_cut());
        counts.aged += u64::from(replay.ingress().is_aged());
        counts.offloaded += u64::from(replay.ingress().is_offloaded());
        match outcome.verdict {
            Verdict::Forward { .. } | Verdict::Queued(Onward::Forward) => counts.forwarded += 1,
            Verdict::Local | Verdict::Queued(Onward::Local) => counts.local += 1,
            Verdict::Held => counts.held += 1,
            Verdict::Drop(_) => counts.dropped += 1,
        }
        if let Some(info) = outcome.conntrack {
            counts.states[state_index(info)] += 1;
        }
        counts.dccp += u64::from(replay.ingress().proto() == proto::DCCP);
        self.growth.note(arrival.at, replay.engine().count());
    }

    /// Counts a flow that has ended.
    pub fn event(&mut self, event: &Event) {
        if let Event::Flow(FlowEvent { kind: EventKind::Destroy, flow, .. }) = event {
            self.flow(flow);
        }
    }

    /// Counts the flows that are still in the table. To be called once, at the
    /// end.
    pub fn finish(&mut self, replay: &Replay) {
        for (_, flow) in replay.engine().flows() {
            self.flow(&flow);
        }
    }

    /// All flows that were ever in the table.
    #[must_use]
    pub fn flow_count(&self) -> u64 {
        self.flows.values().sum()
    }

    /// Hosts that began flows.
    #[must_use]
    pub fn host_count(&self) -> usize {
        self.talkers.len()
    }

    /// The `limit` hosts that score highest, best first; equals by address.
    pub fn top_talkers(&self, limit: usize, score: fn(&Talker) -> u64) -> Vec<(IpAddr, Talker)> {
        let mut ranked: Vec<_> =
            self.talkers.iter().map(|(addr, talker)| (*addr, *talker)).collect();
        ranked.sort_by_key(|(addr, talker)| (std::cmp::Reverse(score(talker)), *addr));
        ranked.truncate(limit);
        ranked
    }

    fn flow(&mut self, flow: &Flow) {
        *self.flows.entry(kind_of(flow)).or_default() += 1;
        let nat = &mut self.nat;
        match (flow.is(Status::SRC_NAT), flow.is(Status::DST_NAT)) {
            (true, true) => nat.both += 1,
            (true, false) => nat.source += 1,
            (false, true) => nat.destination += 1,
            (false, false) => {}
        }
        let talker = self.talkers.entry(flow.orig.src).or_default();
        talker.flows += 1;
        for counter in flow.acct.iter().flatten() {
            talker.packets += counter.packets;
            talker.bytes += counter.bytes;
        }
    }
}

fn kind_of(flow: &Flow) -> FlowKind {
    let by_status = match (flow.is(Status::SEEN_REPLY), flow.is(Status::ASSURED)) {
        (_, true) => "ASSURED",
        (true, false) => "REPLIED",
        (false, false) => "UNREPLIED",
    };
    FlowKind { l4: l4_name(flow.orig.proto), state: flow.proto.name().unwrap_or(by_status) }
}

fn state_index(info: CtInfo) -> usize {
    match info {
        CtInfo::New => 0,
        CtInfo::Established(_) => 1,
        CtInfo::Related(_) => 2,
        CtInfo::Invalid => 3,
        CtInfo::Untracked => 4,
    }
}
