//! The targets: what a rule does with a packet that it matches.

use alloc::boxed::Box;
use alloc::string::String;

use bitflags::bitflags;

use super::{AddressRange, CtDirection, Network, PortRange, TargetExtension};
use crate::event::EventMask;

/// What follows `-j` or `-g`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// No target: the rule only counts.
    None,
    /// `-j CHAIN`: go through a user chain of the table, and on behind this rule if it returns.
    Jump(String),
    /// `-g CHAIN`: the same, but a return goes to where this rule's chain was called from.
    Goto(String),
    /// The packet leaves the table.
    Accept,
    /// The packet ends here.
    Drop,
    /// The chain ends here; in a built-in chain the policy follows.
    Return,
    /// Answer and drop; `filter` at INPUT, FORWARD and OUTPUT only.
    Reject(RejectWith),
    /// Write a line about the packet and go on.
    Log(LogTarget),
    /// Choose the flow's source; `nat` at POSTROUTING and INPUT only.
    Snat(SnatTarget),
    /// Choose the flow's destination; `nat` at PREROUTING and OUTPUT only.
    Dnat(DnatTarget),
    /// Source translation to the outgoing interface's address; `nat` at POSTROUTING only.
    Masquerade(MasqueradeTarget),
    /// Destination translation to the router itself; `nat` at PREROUTING and OUTPUT only.
    Redirect(RedirectTarget),
    /// Replace the network part of an address, host by host; `nat` only. At PREROUTING and OUTPUT the destination's,
    /// at POSTROUTING and INPUT the source's.
    Netmap(Network),
    /// Change the packet's mark and go on.
    Mark(MarkTarget),
    /// Change or copy the flow's mark and go on.
    Connmark(ConnmarkTarget),
    /// Say how the packet is to be tracked, unless that was said already, and go on; `raw` only.
    Ct(CtTarget),
    /// Exempt the packet from tracking and go on; `raw` only.
    Notrack,
    /// Any other, by its name.
    Extension(Box<TargetExtension>),
}

impl Target {
    /// The word after `-j` or `-g`; empty without target.
    pub fn name(&self) -> &str {
        match self {
            Self::None => "",
            Self::Jump(chain) | Self::Goto(chain) => chain,
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Return => "RETURN",
            Self::Reject(_) => "REJECT",
            Self::Log(_) => "LOG",
            Self::Snat(_) => "SNAT",
            Self::Dnat(_) => "DNAT",
            Self::Masquerade(_) => "MASQUERADE",
            Self::Redirect(_) => "REDIRECT",
            Self::Netmap(_) => "NETMAP",
            Self::Mark(_) => "MARK",
            Self::Connmark(_) => "CONNMARK",
            Self::Ct(_) => "CT",
            Self::Notrack => "NOTRACK",
            Self::Extension(one) => one.name(),
        }
    }
}

/// REJECT's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectWith {
    /// A TCP RST; the rule has `-p tcp`.
    TcpReset,
    /// An ICMP destination unreachable message; IPv4.
    Icmp(IcmpReject),
    /// An ICMPv6 message; IPv6.
    Icmpv6(Icmpv6Reject),
}

/// Codes of ICMP destination unreachable (type 3) that REJECT can send (RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum IcmpReject {
    /// `icmp-net-unreachable`
    NetUnreachable = 0,
    /// `icmp-host-unreachable`
    HostUnreachable = 1,
    /// `icmp-proto-unreachable`
    ProtoUnreachable = 2,
    /// `icmp-port-unreachable`, the default
    PortUnreachable = 3,
    /// `icmp-net-prohibited`
    NetProhibited = 9,
    /// `icmp-host-prohibited`
    HostProhibited = 10,
    /// `icmp-admin-prohibited`
    AdminProhibited = 13,
}

/// Codes of ICMPv6 destination unreachable (type 1) that REJECT can send (RFC 4443 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Icmpv6Reject {
    /// `icmp6-no-route`
    NoRoute = 0,
    /// `icmp6-adm-prohibited`
    AdmProhibited = 1,
    /// `icmp6-addr-unreachable`
    AddrUnreachable = 3,
    /// `icmp6-port-unreachable`, the default
    PortUnreachable = 4,
    /// `icmp6-policy-fail`
    PolicyFail = 5,
    /// `icmp6-reject-route`
    RejectRoute = 6,
}

/// What LOG writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Syslog severity, 0 (emergency) to 7 (debug).
    pub level: u8,
    /// What the line begins with; at most 29 bytes.
    pub prefix: String,
    /// What is told beyond the usual.
    pub options: LogOptions,
}

impl LogTarget {
    /// The level if none is given: warning.
    pub const DEFAULT_LEVEL: u8 = 4;
}

bitflags! {
    /// Details in a log line, with the kernel's bits (XT_LOG_*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct LogOptions: u8 {
        /// `--log-tcp-sequence`
        const TCP_SEQUENCE = 0x01;
        /// `--log-tcp-options`
        const TCP_OPTIONS = 0x02;
        /// `--log-ip-options`
        const IP_OPTIONS = 0x04;
        /// `--log-uid`
        const UID = 0x08;
        /// `--log-macdecode`
        const MACDECODE = 0x20;
        /// What is logged where no rule says what.
        const USUAL = 0x0f;
    }
}

/// `-j SNAT`; at least one of `addresses` and `ports`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnatTarget {
    /// New sources to choose from.
    pub addresses: Option<AddressRange>,
    /// New source ports (or ICMP ids) to choose from.
    pub ports: Option<PortRange>,
    /// How to choose.
    pub flags: NatFlags,
}

/// `-j DNAT`; at least one of `addresses` and `ports`. Never with [`NatFlags::RANDOM_FULLY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnatTarget {
    /// New destinations to choose from.
    pub addresses: Option<AddressRange>,
    /// New destination ports to choose from.
    pub ports: Option<PortRange>,
    /// Map instead of choose: the packet's port minus this, added to the first of `ports`.
    pub base_port: Option<u16>,
    /// How to choose.
    pub flags: NatFlags,
}

/// `-j MASQUERADE`. Never with [`NatFlags::PERSISTENT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MasqueradeTarget {
    /// New source ports to choose from.
    pub ports: Option<PortRange>,
    /// How to choose.
    pub flags: NatFlags,
}

/// `-j REDIRECT`. Only ever with [`NatFlags::RANDOM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectTarget {
    /// New destination ports to choose from.
    pub ports: Option<PortRange>,
    /// How to choose.
    pub flags: NatFlags,
}

bitflags! {
    /// How a translation chooses among ports and addresses.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct NatFlags: u8 {
        /// `--random`: the port search starts at a hash of the tuple.
        const RANDOM = 0x01;
        /// `--random-fully`: it starts at a random port.
        const RANDOM_FULLY = 0x02;
        /// `--persistent`: a client keeps its address for all destinations.
        const PERSISTENT = 0x04;
    }
}

/// `-j MARK --set-xmark`, into which all its other options translate: `mark = (mark & !mask) ^ value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkTarget {
    /// Bits to flip after clearing.
    pub value: u32,
    /// Bits to clear.
    pub mask: u32,
}

/// `-j CONNMARK`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnmarkTarget {
    /// What to do.
    pub operation: ConnmarkOperation,
    /// Shift the mark that is set, saved or restored.
    pub shift: Option<Shift>,
}

/// What CONNMARK does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnmarkOperation {
    /// `--set-xmark`: `flow = (flow & !mask) ^ value`, then the shift.
    Set {
        /// Bits to flip after clearing.
        value: u32,
        /// Bits to clear.
        mask: u32,
    },
    /// `--save-mark`: `flow = (flow & !ctmask) ^ shifted(packet & nfmask)`.
    Save {
        /// Bits of the packet's mark to take.
        nfmask: u32,
        /// Bits of the flow's mark to clear.
        ctmask: u32,
    },
    /// `--restore-mark`: `packet = (packet & !nfmask) ^ shifted(flow & ctmask)`.
    Restore {
        /// Bits of the packet's mark to clear.
        nfmask: u32,
        /// Bits of the flow's mark to take.
        ctmask: u32,
    },
}

/// A shift by 1 to 31 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// `--left-shift-mark`
    Left(u8),
    /// `--right-shift-mark`
    Right(u8),
}

/// `-j CT`: the template for a flow that the packet may begin. All absent is still a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CtTarget {
    /// `--notrack`: exempt from tracking; then the rest is without effect.
    pub notrack: bool,
    /// `--helper`
    pub helper: Option<String>,
    /// `--timeout`: name of a timeout policy.
    pub timeout: Option<String>,
    /// `--ctevents`: report only these; empty means all.
    pub events: CtEvents,
    /// `--expevents`, likewise.
    pub expect_events: ExpectEvents,
    /// `--zone`, `--zone-orig`, `--zone-reply`; zone 0 is no zone.
    pub zone: Option<CtZone>,
}

/// The zone in which a flow is looked up and entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtZone {
    /// The direction whose tuple is in the zone; both without.
    pub direction: Option<CtDirection>,
    /// Which zone.
    pub id: ZoneId,
}

/// A zone's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneId {
    /// This one; never 0.
    Id(u16),
    /// The lower 16 bits of the packet's mark.
    Mark,
}

bitflags! {
    /// Those of [`EventMask`] that `--ctevents` can choose, under the names it has for them.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct CtEvents: u16 {
        /// A flow began.
        const NEW = EventMask::NEW.bits();
        /// An expected flow began.
        const RELATED = EventMask::RELATED.bits();
        /// A flow ended.
        const DESTROY = EventMask::DESTROY.bits();
        /// The first reply was seen.
        const REPLY = EventMask::REPLY.bits();
        /// It was assured.
        const ASSURED = EventMask::ASSURED.bits();
        /// The tracker's state changed.
        const PROTOINFO = EventMask::PROTOINFO.bits();
        /// A helper was attached.
        const HELPER = EventMask::HELPER.bits();
        /// The mark changed.
        const MARK = EventMask::MARK.bits();
        /// Sequence numbers are adjusted.
        const NATSEQINFO = EventMask::SEQADJ.bits();
        /// The security mark changed.
        const SECMARK = EventMask::SECMARK.bits();
    }
}

bitflags! {
    /// Events of an expectation, with the kernel's bits (`1 << IPEXP_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ExpectEvents: u8 {
        /// An expectation began.
        const NEW = 1 << 0;
    }
}
