//! What became of a packet: one verdict, and where it is a drop, one counted reason.
//!
//! The same names stand in statistics, traces and the manual.

use core::fmt;

use tidegate_wire::Malformed;

use crate::fib::PortId;

pub use crate::defrag::FragmentError;
pub use crate::helper::{HelperFault, Part, Purpose};

/// What the caller must do with the packet it handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it out.
    Forward {
        /// By this port.
        port: PortId,
        /// To this on-link neighbour.
        next_hop: core::net::IpAddr,
    },
    /// Hand it to the host's own stack.
    Local,
    /// Forget the buffer: it was a fragment, and is kept until its datagram is
    /// whole.
    Held,
    /// Forget the buffer: what goes on in its place waits in the output queue. It
    /// completed a datagram, or had to be cut.
    Queued(Onward),
    /// Forget it.
    Drop(DropReason),
}

/// Which way goes what is queued in a packet's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// Out.
    Forward,
    /// To the host's own stack.
    Local,
}

/// Where on its path a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before any hook: malformed.
    Rx,
    /// Reassembly.
    Defrag,
    /// The raw table, or conntrack itself.
    Raw,
    /// mangle or nat at PREROUTING.
    Prerouting,
    /// TTL, route, MTU.
    Routing,
    /// INPUT.
    Input,
    /// FORWARD.
    Forward,
    /// OUTPUT.
    Output,
    /// POSTROUTING.
    Postrouting,
    /// Confirmation at the last hook.
    Confirm,
}

impl Stage {
    /// The stage's name in records and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rx => "rx",
            Self::Defrag => "defrag",
            Self::Raw => "raw",
            Self::Prerouting => "prerouting",
            Self::Routing => "routing",
            Self::Input => "input",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Postrouting => "postrouting",
            Self::Confirm => "confirm",
        }
    }
}

/// Why a packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The IP layer refuses it before any hook.
    Malformed(Malformed),
    /// An IPv6 datagram came from another host with a loopback address, or to a multicast address of interface-local
    /// scope (RFC 4291 section 2.5.3, erratum 3480).
    NodeLocal,
    /// A fragment that cannot be part of a datagram.
    Fragment(FragmentError),
    /// A rule or a chain's policy says DROP.
    Rule(Stage),
    /// A rule says REJECT; the answer, if one is due, waits in the output queue.
    Reject(Stage),
    /// The table is full and nothing could be evicted.
    TableFull,
    /// NAT could not translate it.
    NatFailed(Stage),
    /// A masqueraded flow would leave by another interface; the flow is gone.
    NatPortChanged,
    /// Confirmation found the tuple taken by another flow.
    Clash,
    /// Confirmation found the hash chain too long.
    ChainTooLong,
    /// A helper could not make sense of it, or not announce what it says.
    Helper(HelperFault),
    /// Its sequence numbers could not be corrected: its TCP header is cut off, or an option is.
    SequenceAdjust,
    /// SYNPROXY took it; what it sent instead, if anything, waits in the output queue.
    Proxied(Stage),
    /// SYNPROXY found no cookie of ours in it, or one that is too old.
    BadCookie(Stage),
    /// TTL or hop limit exhausted in transit.
    TtlExceeded,
    /// Larger than the outgoing port's MTU and not to be fragmented.
    TooBig,
    /// No route.
    NoRoute,
    /// A destination or source that is never forwarded.
    Martian,
    /// It was to be handed to another worker, who has too much to do.
    Overrun,
}

impl DropReason {
    /// How many distinct names there are, for a table of counters.
    pub const COUNT: usize = 19;

    /// A dense index below [`DropReason::COUNT`]; the stage and the kind of
    /// malformation are not told apart.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::Fragment(_) => 1,
            Self::Rule(_) => 2,
            Self::Reject(_) => 3,
            Self::TableFull => 4,
            Self::NatFailed(_) => 5,
            Self::NatPortChanged => 6,
            Self::Clash => 7,
            Self::ChainTooLong => 8,
            Self::TtlExceeded => 9,
            Self::TooBig => 10,
            Self::NoRoute => 11,
            Self::Martian => 12,
            Self::NodeLocal => 13,
            Self::Helper(_) => 14,
            Self::SequenceAdjust => 15,
            Self::Proxied(_) => 16,
            Self::BadCookie(_) => 17,
            Self::Overrun => 18,
        }
    }

    /// The names, by index.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "malformed",
        "fragment",
        "rule",
        "reject",
        "table_full",
        "nat_failed",
        "nat_port_changed",
        "clash",
        "chain_too_long",
        "ttl_exceeded",
        "too_big",
        "no_route",
        "martian",
        "node_local",
        "helper",
        "sequence_adjust",
        "synproxy",
        "bad_cookie",
        "overrun",
    ];

    /// The reason's name, without its detail.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Where on its path the packet ended.
    #[must_use]
    pub fn stage(self) -> Stage {
        match self {
            Self::Malformed(_) | Self::NodeLocal => Stage::Rx,
            Self::Fragment(_) => Stage::Defrag,
            Self::Rule(stage)
            | Self::Reject(stage)
            | Self::NatFailed(stage)
            | Self::Proxied(stage)
            | Self::BadCookie(stage) => stage,
            Self::TableFull | Self::Overrun => Stage::Raw,
            Self::NatPortChanged => Stage::Postrouting,
            Self::Clash | Self::ChainTooLong | Self::Helper(_) | Self::SequenceAdjust => {
                Stage::Confirm
            }
            Self::TtlExceeded | Self::TooBig | Self::NoRoute | Self::Martian => Stage::Routing,
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(kind) => write!(f, "malformed: {kind}"),
            Self::Fragment(error) => write!(f, "fragment: {}", error.name()),
            Self::Rule(stage) => write!(f, "dropped by rule in {}", stage.name()),
            Self::Reject(stage) => write!(f, "rejected by rule in {}", stage.name()),
            Self::Proxied(stage) => write!(f, "taken by SYNPROXY in {}", stage.name()),
            Self::BadCookie(stage) => write!(f, "no SYN cookie in {}", stage.name()),
            Self::Helper(fault) => write!(f, "dropped by helper: {fault}"),
            other => f.write_str(other.name()),
        }
    }
}
