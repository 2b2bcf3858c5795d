//! The flow: one tracked connection.
//!
//! Life-cycle: a [`Draft`] is made for the first packet and exists only as long
//! as that packet travels; confirmation at the last hook turns it into a
//! [`Flow`] in the table. A flow dies by timeout, command, early drop or its
//! tracker's word; [`Status::DYING`] marks the rest of the packet that saw it
//! die. A flow knows nothing of the table's index.

mod care;

use core::fmt;
use core::time::Duration;

use bitflags::bitflags;

use crate::event::EventMask;
use crate::helper::Helper;
use crate::limits::PolicyId;
use crate::time::Instant;
use crate::track::ProtoState;
use crate::tuple::{Direction, Tuple, Zone, proto_name};

pub(crate) use self::care::{Care, ack_offset};
pub use self::care::{Correction, Master};

/// Names a flow in its table. A stale id (its slot was given to another flow)
/// is told by the generation and finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// The flow that the packet at hand may begin, as long as it is not in the table.
    pub(crate) const UNBORN: Self = Self { slot: u32::MAX, generation: u32::MAX };

    /// The id as one number: generation in the high half, slot in the low.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }
}

bitflags! {
    /// The status bits of a flow, with the kernel's numbers
    /// (`enum ip_conntrack_status`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Status: u32 {
        /// Announced by a helper's expectation.
        const EXPECTED = 1 << 0;
        /// A packet of the reply direction was accepted.
        const SEEN_REPLY = 1 << 1;
        /// The tracker judged it real: never evicted by early drop.
        const ASSURED = 1 << 2;
        /// In the table.
        const CONFIRMED = 1 << 3;
        /// The source is translated.
        const SRC_NAT = 1 << 4;
        /// The destination is translated.
        const DST_NAT = 1 << 5;
        /// Sequence numbers are shifted.
        const SEQ_ADJUST = 1 << 6;
        /// Source translation has been decided.
        const SRC_NAT_DONE = 1 << 7;
        /// Destination translation has been decided.
        const DST_NAT_DONE = 1 << 8;
        /// Removed from the table.
        const DYING = 1 << 9;
        /// The timeout is not renewed by packets.
        const FIXED_TIMEOUT = 1 << 10;
        /// Reply-only entry left by clash resolution.
        const NAT_CLASH = 1 << 12;
        /// A helper was assigned by rule.
        const HELPER = 1 << 13;
        /// Either kind of translation.
        const NAT = Self::SRC_NAT.bits() | Self::DST_NAT.bits();
        /// Both kinds have been decided.
        const NAT_DONE = Self::SRC_NAT_DONE.bits() | Self::DST_NAT_DONE.bits();
    }
}

/// The labels of a flow, numbered from 0 to 127.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels([u64; 2]);

impl Labels {
    /// None.
    pub const NONE: Self = Self([0; 2]);

    /// Whether the label is set.
    #[must_use]
    pub fn has(&self, label: u8) -> bool {
        self.0[usize::from(label / 64 % 2)] & 1 << (label % 64) != 0
    }

    /// Sets it.
    pub fn set(&mut self, label: u8) {
        self.0[usize::from(label / 64 % 2)] |= 1 << (label % 64);
    }

    /// Those whose bits are set, label 0 in the lowest bit.
    #[must_use]
    pub fn of_bits(bits: u128) -> Self {
        Self([bits as u64, (bits >> 64) as u64])
    }

    /// All as one number, label 0 in the lowest bit.
    #[must_use]
    pub fn bits(&self) -> u128 {
        u128::from(self.0[1]) << 64 | u128::from(self.0[0])
    }
}

/// Packets and bytes of one direction; bytes are whole L3 datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Packets accepted by the tracker.
    pub packets: u64,
    /// Their L3 lengths, summed.
    pub bytes: u64,
}

impl Counter {
    /// Counts a packet of `bytes` L3 bytes. What is beyond 64 bits is lost, as in Linux: whoever sets a counter may have set
    /// it to its most.
    #[inline]
    pub(crate) fn count(&mut self, bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes as u64);
    }
}

/// When the flow entered and left the table (`nf_conntrack_timestamp`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Confirmed at.
    pub start: Option<Instant>,
    /// Deleted at.
    pub stop: Option<Instant>,
}

/// One tracked connection, as a value: changing it changes no table.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The tuple of the first packet.
    pub orig: Tuple,
    /// The tuple of the answers: the inverse of `orig` as NAT changed it.
    pub reply: Tuple,
    /// Status bits.
    pub status: Status,
    /// When it expires unless a packet renews it. The table keeps it in ticks of
    /// 2^20 ns, rounded up, as Linux does in jiffies, and counts a flow as expired
    /// from the first nanosecond of that tick on.
    pub deadline: Instant,
    /// Its zone.
    pub zone: Zone,
    /// The connection mark.
    pub mark: u32,
    /// Its labels, a bit for each (`-m connlabel`).
    pub labels: Labels,
    /// Its security mark, 0 for none. No rule here reads or sets it: a flow has what the caller gave it or its master.
    pub secmark: u32,
    /// The timeouts that it has instead of the settings' (`CT --timeout`).
    pub policy: Option<PolicyId>,
    /// What the protocol's tracker remembers.
    pub proto: ProtoState,
    /// Accounting; only flows created while it is enabled carry it.
    pub acct: Option<[Counter; 2]>,
    /// Timestamps; only flows created while they are enabled carry them.
    pub lifetime: Option<Lifetime>,
    /// The interface a masqueraded flow left by.
    pub masquerade_port: Option<crate::fib::PortId>,
    /// Whether SYNPROXY stands before its server.
    pub(crate) is_proxied: bool,
    /// The helper that reads its payload.
    pub(crate) helper: Option<Helper>,
    /// The helper of the flow that announced it.
    pub(crate) master_helper: Option<Helper>,
    /// Changes not yet announced; see [`crate::event`].
    pub(crate) pending: EventMask,
    /// Which changes are announced (`CT --ctevents`), together with all others of the same packet.
    pub(crate) announced: EventMask,
}

impl Flow {
    /// The tuple of one direction.
    #[must_use]
    pub fn tuple(&self, dir: Direction) -> &Tuple {
        match dir {
            Direction::Original => &self.orig,
            Direction::Reply => &self.reply,
        }
    }

    /// Whether every bit of `bits` is set.
    #[must_use]
    pub fn is(&self, bits: Status) -> bool {
        self.status.contains(bits)
    }

    /// The helper that reads its payload.
    #[must_use]
    pub fn helper(&self) -> Option<Helper> {
        self.helper
    }

    /// The helper of the flow that announced it, if it was announced.
    #[must_use]
    pub fn master_helper(&self) -> Option<Helper> {
        self.master_helper
    }

    /// What is left of its life; zero when expired.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_sub(now)
    }

    /// Renews the deadline, unless it is fixed.
    pub(crate) fn refresh(&mut self, now: Instant, timeout: Duration) {
        if !self.is(Status::FIXED_TIMEOUT) {
            self.deadline = now + timeout;
        }
    }

    /// Counts a packet of `bytes` L3 bytes, where the flow carries counters.
    pub(crate) fn account(&mut self, dir: Direction, bytes: usize) {
        if let Some(acct) = &mut self.acct {
            acct[dir.index()].count(bytes);
        }
    }

    /// Notes a change to be announced when the packet has passed.
    pub(crate) fn note(&mut self, change: EventMask) {
        self.pending |= change;
    }

    /// The tuple that packets of direction `dir` must look like after
    /// translation: the inverse of the other direction's tuple.
    ///
    /// Both tuples of a flow are invertible, because one was made by inverting
    /// the other and NAT changes only addresses, ports and identifiers.
    #[must_use]
    pub fn target(&self, dir: Direction) -> Tuple {
        let other = self.tuple(dir.opposite());
        other.invert().unwrap_or(*other)
    }
}

/// One line about a flow, as conntrack(8) prints it; see [`Flow::summary`].
pub struct Summary<'a> {
    flow: &'a Flow,
    now: Instant,
}

impl Flow {
    /// A line for people: protocol, seconds left, state, tuples, status, mark.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Summary<'_> {
        Summary { flow: self, now }
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flow, now } = self;
        let proto = flow.orig.proto;
        write!(f, "{} {proto} {}", proto_name(proto), flow.remaining(*now).as_secs())?;
        if let Some(state) = flow.proto.name() {
            write!(f, " {state}")?;
        }
        write!(f, " {}", flow.orig)?;
        if !flow.is(Status::SEEN_REPLY) {
            f.write_str(" [UNREPLIED]")?;
        }
        write!(f, " {}", flow.reply)?;
        if flow.is(Status::ASSURED) {
            f.write_str(" [ASSURED]")?;
        }
        write!(f, " mark={}", flow.mark)
    }
}

/// A flow that is not in the table yet: its packet has not passed every hook.
///
/// Dropping the packet drops the draft, and nothing remains of it. Linux marks
/// this by a missing `CONFIRMED` bit; here it is a type of its own.
#[derive(Clone, Debug)]
pub struct Draft(pub(crate) Flow);

impl Draft {
    /// The flow it may become.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.0
    }
}
