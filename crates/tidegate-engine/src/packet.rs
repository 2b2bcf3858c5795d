//! The packet as the engine sees it: a datagram in the caller's buffer and what
//! travels with it.
//!
//! The engine rewrites in place and never keeps a reference past the call. It
//! looks at nothing below the IP header except through [`LinkHeader`], which
//! `-m mac` and LOG need.

use alloc::vec::Vec;
use core::net::IpAddr;

use tidegate_wire::Headers;
use tidegate_wire::offload;
pub use tidegate_wire::offload::{Checksum, Offload};
use tidegate_wire::packet::ethernet::MacAddr;

use crate::defrag::FragmentPlan;
use crate::fib::PortId;
use crate::flow::{Care, Draft, Flow, FlowId};
use crate::rules::Template;
use crate::table::FlowTable;
use crate::tuple::Direction;

/// The link-layer header that a datagram came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHeader {
    /// Destination address.
    pub dst: MacAddr,
    /// Source address.
    pub src: MacAddr,
    /// EtherType.
    pub ethertype: u16,
}

/// One datagram and its metadata.
#[derive(Debug)]
pub struct Packet<'a> {
    /// The datagram, from the IP header on; link padding may follow it.
    pub bytes: &'a mut [u8],
    /// The port it came in by; `None` for the host's own packets.
    pub in_port: Option<PortId>,
    /// The link header it came with, where there was one.
    pub link: Option<LinkHeader>,
    /// The packet mark.
    pub mark: u32,
    /// What its sender left to those behind it: the end of its checksum, the cutting of a superframe. A superframe
    /// counts as one packet, and is too big for a link only if the pieces are.
    pub offload: Offload,
}

impl<'a> Packet<'a> {
    /// A datagram received on `in_port`.
    #[must_use]
    pub fn received(bytes: &'a mut [u8], in_port: PortId) -> Self {
        Self { bytes, in_port: Some(in_port), link: None, mark: 0, offload: Offload::NONE }
    }

    /// A datagram of the host's own.
    #[must_use]
    pub fn local(bytes: &'a mut [u8]) -> Self {
        Self { bytes, in_port: None, link: None, mark: 0, offload: Offload::NONE }
    }
}

/// Whose socket sent a packet of the host, for `-m owner`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// One of the kernel's own, without a process.
    Kernel,
    /// A process's.
    Process {
        /// Its user.
        user: u32,
        /// Its group.
        group: u32,
        /// Its supplementary groups.
        groups: Vec<u32>,
    },
}

/// A packet that is not in a buffer of the caller's: of the engine's own making
/// (REJECT, ICMP errors), or put together or cut by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The datagram.
    pub bytes: Vec<u8>,
    /// Where it goes.
    pub destination: Destination,
    /// Why it is here.
    pub origin: Origin,
    /// What is still to be done about it: as with the caller's packet that it was.
    pub offload: Offload,
}

/// Where a packet of the output queue goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Out.
    Port {
        /// By this port.
        port: PortId,
        /// To this on-link neighbour.
        next_hop: IpAddr,
    },
    /// To the host's own stack.
    Host,
}

/// Why a packet is in the output queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller's own packet, put together from fragments or cut into them.
    Forwarded,
    /// A REJECT rule answered.
    Reject,
    /// The router owed an ICMP error.
    Router,
    /// SYNPROXY spoke in somebody's name.
    Synproxy,
}

/// What conntrack thinks of one packet, as `-m conntrack --ctstate` sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtInfo {
    /// Belongs to no flow and may not begin one.
    Invalid,
    /// Deliberately not tracked.
    Untracked,
    /// Of the original direction, no answer seen yet.
    New,
    /// Of a flow that was answered.
    Established(Direction),
    /// An error about a flow, or the first packets of an expected one.
    Related(Direction),
}

impl CtInfo {
    /// `NEW`, `ESTABLISHED`, `RELATED`, `INVALID` or `UNTRACKED`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::Untracked => "UNTRACKED",
            Self::New => "NEW",
            Self::Established(_) => "ESTABLISHED",
            Self::Related(_) => "RELATED",
        }
    }

    /// The packet's direction, where it has a flow.
    #[must_use]
    pub fn direction(self) -> Option<Direction> {
        match self {
            Self::Invalid | Self::Untracked => None,
            Self::New => Some(Direction::Original),
            Self::Established(dir) | Self::Related(dir) => Some(dir),
        }
    }
}

/// The flow that a packet in transit belongs to.
#[derive(Clone, Debug, Default)]
pub(crate) enum Tracked {
    /// Conntrack has not seen it, or judged it invalid.
    #[default]
    None,
    /// Marked `--notrack`, or of a kind that is never tracked.
    Untracked,
    /// The first packet of a flow that is not in the table yet.
    Draft(Draft, CtInfo),
    /// A packet of a flow in the table.
    Flow(Held, CtInfo),
}

/// A flow of the table in the hands of a packet: what is changed must be saved, but for what is
/// only to be announced.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) id: FlowId,
    pub(crate) flow: Flow,
}

impl Held {
    /// Writes the flow back, without what is still to be announced: that stays with the packet.
    pub(crate) fn save(&mut self, table: &mut FlowTable) {
        let pending = core::mem::take(&mut self.flow.pending);
        table.save(self.id, &self.flow);
        self.flow.pending = pending;
    }
}

impl Tracked {
    /// The state that rules see.
    pub(crate) fn info(&self) -> CtInfo {
        match self {
            Self::None => CtInfo::Invalid,
            Self::Untracked => CtInfo::Untracked,
            Self::Draft(_, info) | Self::Flow(_, info) => *info,
        }
    }

    /// The flow, in the table or not.
    pub(crate) fn flow(&self) -> Option<&Flow> {
        match self {
            Self::Draft(draft, _) => Some(&draft.0),
            Self::Flow(held, _) => Some(&held.flow),
            Self::None | Self::Untracked => None,
        }
    }

    /// See [`Tracked::flow`].
    pub(crate) fn flow_mut(&mut self) -> Option<&mut Flow> {
        match self {
            Self::Draft(draft, _) => Some(&mut draft.0),
            Self::Flow(held, _) => Some(&mut held.flow),
            Self::None | Self::Untracked => None,
        }
    }
}

/// A packet between two hooks: what was parsed once, and what was decided so far.
pub(crate) struct Transit<'p, 'b> {
    pub(crate) packet: &'p mut Packet<'b>,
    pub(crate) headers: Headers,
    pub(crate) tracked: Tracked,
    pub(crate) template: Option<Template>,
    pub(crate) out_port: Option<PortId>,
    /// How it came, if it was put together from fragments.
    pub(crate) plan: Option<FragmentPlan>,
    /// The datagram, if it has outgrown the caller's buffer.
    pub(crate) outgrown: Option<Vec<u8>>,
    /// It tells every rule that it meets.
    pub(crate) traced: bool,
    /// What its flow had that it has ended, if that was behind SYNPROXY.
    pub(crate) estate: Option<Care>,
}

impl<'p, 'b> Transit<'p, 'b> {
    pub(crate) fn new(
        packet: &'p mut Packet<'b>,
        headers: Headers,
        tracked: Tracked,
        plan: Option<FragmentPlan>,
    ) -> Self {
        let (template, out_port, outgrown, estate) = (None, None, None, None);
        let traced = false;
        Self { packet, headers, tracked, template, out_port, plan, outgrown, traced, estate }
    }

    /// Whether it is a superframe whose pieces are no longer than this.
    pub(crate) fn is_cut_to(&self, mtu: u32) -> bool {
        let longest = self.packet.offload.longest_segment(self.bytes(), &self.headers);
        longest.is_some_and(|longest| longest <= mtu as usize)
    }

    /// What is left to do about it now.
    pub(crate) fn offload(&self) -> Offload {
        Offload { checksum: self.headers.checksum, ..self.packet.offload }
    }

    /// Finishes its checksum, if that is partial.
    pub(crate) fn finish_checksum(&mut self) {
        if self.headers.checksum.is_partial() {
            let bytes = self.outgrown.as_deref_mut().unwrap_or(self.packet.bytes);
            offload::finish(bytes, &self.headers);
            self.headers.checksum = Checksum::Full;
        }
    }

    /// The datagram as it is now.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.outgrown.as_deref().unwrap_or(self.packet.bytes)
    }
}
