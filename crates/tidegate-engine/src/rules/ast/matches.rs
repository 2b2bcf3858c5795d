//! The matches: conditions of a rule beyond its [`Spec`](super::Spec), one variant for each `-m NAME`.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use bitflags::bitflags;

use super::{MatchExtension, Network, Protocol, Term};

/// One `-m NAME` with its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `tcp`; the rule has `-p tcp`.
    Tcp(TcpMatch),
    /// `udp`; the rule has `-p udp`.
    Udp(UdpMatch),
    /// `icmp`; IPv4, and the rule has `-p icmp`.
    Icmp(Term<IcmpPattern>),
    /// `icmp6`; IPv6, and the rule has `-p icmpv6`. Never [`IcmpPattern::Any`].
    Icmp6(Term<IcmpPattern>),
    /// `state`: the conntrack match's `--ctstate` under its old name, without `SNAT` and `DNAT`.
    State(Term<CtStates>),
    /// `conntrack`; at least one condition.
    Conntrack(ConntrackMatch),
    /// `mark`: the packet's mark.
    Mark(Term<MarkPattern>),
    /// `connmark`: the flow's mark.
    Connmark(Term<MarkPattern>),
    /// `helper`: the helper of the flow that announced the packet's flow, by name; any without.
    Helper(Term<String>),
    /// `comment`: always holds.
    Comment(String),
    /// `multiport`; the rule has `-p` tcp, udp, udplite, sctp or dccp.
    Multiport(Term<Multiport>),
    /// `limit`: a token bucket.
    Limit(LimitMatch),
    /// `addrtype`: what the routing table says about an address.
    Addrtype(AddrtypeMatch),
    /// `mac`: the source address in an Ethernet header.
    Mac(Term<[u8; 6]>),
    /// `iprange`; at least one condition.
    Iprange(IprangeMatch),
    /// Any other, by its name.
    Extension(Box<MatchExtension>),
}

/// Ports from `first` to `last`, both included. `first > last` holds no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl PortRange {
    /// Every port.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Whether the range holds the port.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

/// Conditions of the tcp match; the default holds for every first fragment with a whole TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpMatch {
    /// `--sport`; every port only if negated.
    pub source: Option<Term<PortRange>>,
    /// `--dport`, likewise.
    pub destination: Option<Term<PortRange>>,
    /// `--tcp-option`: an option of this kind is present. Never 0.
    pub option: Option<Term<u8>>,
    /// `--tcp-flags`, or `--syn` for SYN out of FIN,SYN,RST,ACK.
    pub flags: Option<Term<TcpFlagTest>>,
}

/// Of the flags in `mask`, exactly those in `set` are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlagTest {
    /// The flags to look at.
    pub mask: TcpFlags,
    /// Those that must be set; one that isn't in `mask` can never be.
    pub set: TcpFlags,
}

bitflags! {
    /// TCP header flags, by their bits in the header.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TcpFlags: u8 {
        /// FIN
        const FIN = 0x01;
        /// SYN
        const SYN = 0x02;
        /// RST
        const RST = 0x04;
        /// PSH
        const PSH = 0x08;
        /// ACK
        const ACK = 0x10;
        /// URG
        const URG = 0x20;
    }
}

/// Conditions of the udp match; the default holds for every first fragment with a whole UDP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpMatch {
    /// `--sport`; every port only if negated.
    pub source: Option<Term<PortRange>>,
    /// `--dport`, likewise.
    pub destination: Option<Term<PortRange>>,
}

/// Which ICMP messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpPattern {
    /// All; in IPv4 also written as type 255.
    Any,
    /// A type with any code.
    Type(u8),
    /// A type and a code.
    TypeCode(u8, u8),
}

bitflags! {
    /// States of a packet in the eyes of connection tracking, as `--ctstate` and `--state` list them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CtStates: u8 {
        /// The packet belongs to no flow and could not begin one.
        const INVALID = 0x01;
        /// It begins a flow, or the flow has not seen a reply.
        const NEW = 0x02;
        /// It begins an expected flow, or is an ICMP error about a flow.
        const RELATED = 0x04;
        /// It belongs to a flow seen in both directions.
        const ESTABLISHED = 0x08;
        /// It was exempted from tracking.
        const UNTRACKED = 0x10;
        /// Its flow's source is translated.
        const SNAT = 0x20;
        /// Its flow's destination is translated.
        const DNAT = 0x40;
    }
}

/// Conditions of the conntrack match. A packet without a flow only meets `state`: then the others are ignored, and
/// without `state` the match fails even if the others are negated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackMatch {
    /// `--ctstate`
    pub state: Option<Term<CtStates>>,
    /// `--ctproto`: protocol of the flow's original tuple. 0 is a number here, not every protocol.
    pub protocol: Option<Term<Protocol>>,
    /// `--ctorigsrc`, `--ctorigdst`, `--ctreplsrc`, `--ctrepldst`
    pub addresses: CtAddresses,
    /// The same with `port` at the end.
    pub ports: CtPorts,
    /// `--ctstatus`; the empty set means that the flow has none of these bits.
    pub status: Option<Term<CtStatus>>,
    /// `--ctexpire`: whole seconds that the flow has left.
    pub expire: Option<Term<SecondsRange>>,
    /// `--ctdir`: the packet's direction.
    pub direction: Option<CtDirection>,
}

/// Addresses of a flow's tuples. A network that holds every address is kept: it still asks for a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtAddresses {
    /// Source of the original tuple.
    pub original_source: Option<Term<Network>>,
    /// Destination of the original tuple.
    pub original_destination: Option<Term<Network>>,
    /// Source of the reply tuple.
    pub reply_source: Option<Term<Network>>,
    /// Destination of the reply tuple.
    pub reply_destination: Option<Term<Network>>,
}

/// Ports of a flow's tuples; what stands in their place for protocols without ports is compared as a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CtPorts {
    /// Source of the original tuple.
    pub original_source: Option<Term<PortRange>>,
    /// Destination of the original tuple.
    pub original_destination: Option<Term<PortRange>>,
    /// Source of the reply tuple.
    pub reply_source: Option<Term<PortRange>>,
    /// Destination of the reply tuple.
    pub reply_destination: Option<Term<PortRange>>,
}

bitflags! {
    /// Status bits of a flow, with the kernel's numbers (IPS_*).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CtStatus: u8 {
        /// It was expected.
        const EXPECTED = 0x01;
        /// Packets of both directions were seen.
        const SEEN_REPLY = 0x02;
        /// It is never dropped early.
        const ASSURED = 0x04;
        /// Its first packet has left the router.
        const CONFIRMED = 0x08;
    }
}

/// Seconds from `first` to `last`, both included. `first > last` holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondsRange {
    /// The fewest.
    pub first: u32,
    /// The most.
    pub last: u32,
}

impl SecondsRange {
    /// Whether the range holds the time.
    pub fn contains(&self, seconds: u32) -> bool {
        (self.first..=self.last).contains(&seconds)
    }
}

/// The direction of a packet in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtDirection {
    /// That of the flow's first packet.
    Original,
    /// The other.
    Reply,
}

/// A mark that equals `value` in the bits of `mask`. A bit of `value` outside the mask can never match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkPattern {
    /// The value.
    pub value: u32,
    /// The bits that count.
    pub mask: u32,
}

impl MarkPattern {
    /// Whether a mark fits.
    pub fn matches(&self, mark: u32) -> bool {
        mark & self.mask == self.value
    }
}

/// A list of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiport {
    /// Which port of the packet.
    pub side: PortSide,
    /// One of these; at most 15, where a range counts as two.
    pub ports: Vec<PortRange>,
}

/// Which of a packet's ports a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortSide {
    /// `--sports`
    Source,
    /// `--dports`
    Destination,
    /// `--ports`: one or the other.
    Either,
}

/// A token bucket: one token each `interval`, at most `burst` of them, `burst` at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitMatch {
    /// In ten-thousandths of a second, as in the kernel's XT_LIMIT_SCALE; never 0.
    pub interval: u32,
    /// From 1 to 10000.
    pub burst: u32,
}

impl LimitMatch {
    /// Units of [`interval`](Self::interval) in a second.
    pub const SCALE: u32 = 10_000;
    /// The burst if none is given.
    pub const DEFAULT_BURST: u32 = 5;
    /// The interval if no rate is given: three an hour.
    pub const DEFAULT_INTERVAL: u32 = 1200 * Self::SCALE;
    /// The kernel counts in credits, of which a second brings so many (with 250 or 1000 clock ticks a second).
    pub const CREDITS_PER_SECOND: u32 = 32_000;

    /// Credits that a packet takes.
    pub fn cost(&self) -> u32 {
        credits(self.interval)
    }

    /// Credits of the full bucket. The kernel's arithmetic is 32 bits wide, and so is this: a slow rate with a large
    /// burst wraps around, to a bucket of fewer packets.
    pub fn capacity(&self) -> u32 {
        credits(self.interval.wrapping_mul(self.burst))
    }
}

/// A time in [`LimitMatch::SCALE`] parts of a second as credits, by the kernel's user2credits.
fn credits(time: u32) -> u32 {
    match time.checked_mul(LimitMatch::CREDITS_PER_SECOND) {
        Some(product) => product / LimitMatch::SCALE,
        None => (time / LimitMatch::SCALE).wrapping_mul(LimitMatch::CREDITS_PER_SECOND),
    }
}

/// Conditions on the routing type of addresses; at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddrtypeMatch {
    /// `--src-type`
    pub source: Option<Term<AddressTypes>>,
    /// `--dst-type`
    pub destination: Option<Term<AddressTypes>>,
    /// Ask for the type as seen from one interface only.
    pub limit_iface: Option<LimitIface>,
}

/// The interface from which an address' type is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitIface {
    /// `--limit-iface-in`
    In,
    /// `--limit-iface-out`
    Out,
}

bitflags! {
    /// Types of a route (RTN_*), by the bits of `1 << RTN_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct AddressTypes: u16 {
        /// The unspecified address.
        const UNSPEC = 1 << 0;
        /// A gateway or direct route.
        const UNICAST = 1 << 1;
        /// An address of this host.
        const LOCAL = 1 << 2;
        /// A broadcast address.
        const BROADCAST = 1 << 3;
        /// An anycast address.
        const ANYCAST = 1 << 4;
        /// A multicast address.
        const MULTICAST = 1 << 5;
        /// Dropped by a route.
        const BLACKHOLE = 1 << 6;
        /// No route, or one that says so.
        const UNREACHABLE = 1 << 7;
        /// Prohibited by a route.
        const PROHIBIT = 1 << 8;
        /// Not in this routing table.
        const THROW = 1 << 9;
        /// Obsolete.
        const NAT = 1 << 10;
        /// Obsolete.
        const XRESOLVE = 1 << 11;
    }
}

/// Conditions on address ranges; at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IprangeMatch {
    /// `--src-range`
    pub source: Option<Term<AddressRange>>,
    /// `--dst-range`
    pub destination: Option<Term<AddressRange>>,
}

/// Addresses of one family from `first` to `last` in network order, both included. `first > last` holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether the range holds the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }
}
