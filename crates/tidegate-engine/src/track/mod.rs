//! Trackers: what each protocol makes of a packet.
//!
//! A tracker is one function: it sees a flow, a parsed packet and its
//! direction, changes the flow's protocol state and deadline, and returns a
//! `Judgement`. It knows neither table, NAT, rules nor the other trackers.
//! Growing one is a file here and a row in `judge`.

mod cells;
mod doubt;
mod generic;
pub(crate) mod gre;
pub(crate) mod icmp;
pub(crate) mod icmpv6;
mod life;
mod reason;
mod sctp;
pub mod tcp;
pub(crate) mod udp;
mod udplite;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;

use core::time::Duration;

use tidegate_wire::checksum::Sum;
use tidegate_wire::{Headers, proto};

use crate::event::EventMask;
use crate::flow::{Correction, Flow, Status};
use crate::limits::{Limits, Timeout};
use crate::rules::ExpressProto;
use crate::time::Instant;
use crate::tuple::Direction;

pub(crate) use self::cells::Cells;
pub(crate) use self::doubt::{Doubt, Shortened};
pub use self::gre::Gre;
pub(crate) use self::life::{Case, Life};
pub use self::reason::{IgnoreReason, InvalidReason, MisplacedChunk};
pub use self::sctp::{Sctp, SctpState};
pub use self::tcp::{Peer, PeerFlags, Tcp, TcpState};
pub use self::udp::Udp;

/// What a flow's tracker remembers between packets.
#[derive(Clone, Debug, Default)]
pub enum ProtoState {
    /// Nothing: ICMP, ICMPv6, UDP-Lite and protocols without a tracker.
    #[default]
    None,
    /// See [`Tcp`].
    Tcp(Tcp),
    /// See [`Udp`].
    Udp(Udp),
    /// See [`Sctp`].
    Sctp(Sctp),
    /// See [`Gre`].
    Gre(Gre),
}

impl ProtoState {
    /// The state's name as `conntrack -L` prints it; `None` for protocols
    /// without named states.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Self::Tcp(tcp) => Some(tcp.state.name()),
            Self::Sctp(sctp) => Some(sctp.state.name()),
            Self::None | Self::Udp(_) | Self::Gre(_) => None,
        }
    }

    /// Whether the connection is on its way out: it may be evicted under
    /// pressure although it is assured. Linux: `can_early_drop`.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.state.is_closing(),
            Self::Sctp(sctp) => sctp.state.is_closing(),
            Self::None | Self::Udp(_) | Self::Gre(_) => false,
        }
    }
}

/// A packet as a tracker sees it.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    pub(crate) datagram: &'a [u8],
    pub(crate) headers: &'a Headers,
    pub(crate) dir: Direction,
    pub(crate) now: Instant,
    pub(crate) limits: &'a Limits,
    /// Checksums are verified at PREROUTING only: what the host sends is right.
    pub(crate) verify_checksum: bool,
    /// How the sequence numbers of both directions are corrected, if they ever were.
    pub(crate) corrections: Option<&'a [Correction; 2]>,
}

impl<'a> Segment<'a> {
    /// The upper-layer header and what follows it.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.headers.payload(self.datagram)
    }

    /// Whether the upper-layer checksum is wrong, if it is to be verified.
    pub(crate) fn has_bad_checksum(&self) -> bool {
        self.verify_checksum && !checksum_is_right(self.headers, self.payload())
    }
}

/// A plain packet, as a tracker's express paths see it. Nobody doubts its checksum any more.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    /// The upper-layer header and what follows it.
    pub(crate) payload: &'a [u8],
    pub(crate) dir: Direction,
    pub(crate) now: Instant,
    pub(crate) limits: &'a Limits,
}

/// A tracker's part of the express paths.
pub(crate) trait Express {
    /// Whose packets.
    const PROTO: ExpressProto;
    /// How long its shortest header is.
    const HEADER: usize;
    /// Whether a packet with this upper layer may be a usual one, whatever its flow. What begins and ends flows is
    /// not, and need not be looked up twice.
    fn may_take(upper: &[u8]) -> bool;
    /// Whether a flow with this memory may have usual packets.
    fn is_up(cells: &Cells) -> bool;
    /// Takes a plain packet as [`judge`] would, if it is the usual one; for how long it renews the flow.
    /// `None`: nothing has changed, ask [`judge`]. => [`Express::may_take`] and [`Express::is_up`]
    fn take(cells: &mut Cells, segment: &Plain<'_>) -> Option<Timeout>;
    /// Makes empty cells the memory of a flow that a plain packet begins. `None`: ask [`judge`], and forget what was
    /// written.
    fn first(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()>;
    /// What an ordinary plain packet does to a flow that it may change. `None`: ask [`Express::turn_anyhow`]; of the flow
    /// nothing has changed, and what was done to `life` does not count.
    fn turn(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()>;
    /// [`Express::turn`] for any plain packet. `None`: ask [`judge`]; here, too, nothing counts that was done.
    fn turn_anyhow(cells: &mut Cells, life: &mut Life, segment: &Plain<'_>) -> Option<()>;
}

/// Whether the checksum over payload and pseudo header is right, or somebody else answers for it.
pub(crate) fn checksum_is_right(headers: &Headers, payload: &[u8]) -> bool {
    use tidegate_wire::checksum::transport;
    match headers.proto {
        _ if !headers.checksum.is_in_doubt() => true,
        proto::ICMP => Sum::new().bytes(payload).finish() == 0,
        proto => transport(headers.src, headers.dst, proto, payload) == 0,
    }
}

/// What a tracker makes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Part of the flow; state, deadline and counters are updated.
    Accept,
    /// Let through as part of the flow, but nothing was learnt from it.
    Ignore(IgnoreReason),
    /// Not part of the flow; the packet goes on as INVALID.
    Invalid(InvalidReason),
    /// The same, and the flow will not live as long.
    Shortened(InvalidReason, Shortened),
    /// The flow is over and this packet begins another one: delete it and look
    /// up again.
    Reopen,
    /// Part of the flow and the last of it: delete the flow at once.
    Close,
}

impl Judgement {
    /// Why nothing was learnt from the packet.
    pub(crate) fn ignored(self) -> Option<IgnoreReason> {
        match self {
            Self::Ignore(reason) => Some(reason),
            Self::Accept | Self::Invalid(_) | Self::Shortened(..) | Self::Reopen | Self::Close => {
                None
            }
        }
    }
}

/// Hands the packet to its protocol's tracker.
pub(crate) fn judge(flow: &mut Flow, segment: &Segment<'_>) -> Judgement {
    match flow.orig.proto {
        proto::TCP => tcp::judge(flow, segment),
        proto::UDP => udp::judge(flow, segment),
        proto::UDPLITE => udplite::judge(flow, segment),
        proto::SCTP => sctp::judge(flow, segment),
        proto::GRE => gre::judge(flow, segment),
        proto::ICMP => icmp::judge(flow, segment),
        proto::ICMPV6 => icmpv6::judge(flow, segment),
        _ => generic::judge(flow, segment),
    }
}

/// Renews the deadline and counts the packet. Linux: `nf_ct_refresh_acct`.
fn renew(flow: &mut Flow, segment: &Segment<'_>, timeout: Duration) {
    flow.refresh(segment.now, timeout);
    flow.account(segment.dir, segment.headers.len);
}

/// [`renew`] for a protocol without states: a flow that was answered lives
/// longer and is assured.
fn renew_conversation(
    flow: &mut Flow,
    segment: &Segment<'_>,
    unanswered: Duration,
    answered: Duration,
) {
    if flow.is(Status::SEEN_REPLY) {
        renew(flow, segment, answered);
        assure(flow);
    } else {
        renew(flow, segment, unanswered);
    }
}

/// Makes the flow safe from early drop; an entry left by clash resolution never
/// is.
fn assure(flow: &mut Flow) {
    if !flow.status.intersects(Status::ASSURED | Status::NAT_CLASH) {
        flow.status |= Status::ASSURED;
        flow.note(EventMask::ASSURED);
    }
}
