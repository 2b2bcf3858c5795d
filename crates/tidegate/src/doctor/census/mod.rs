//! Who is in a table: one pass over its flows, in memory that doesn't grow with them.
//!
//! Each flow belongs to one [`Class`], and within it to groups: of its source and destination together, of its source,
//! of its destination. Groups of the same kind and class share no flow, so some of them add up to a part of the whole.

mod heavy;
mod idle;

use std::net::{IpAddr, Ipv6Addr};

use tidegate_wire::netlink::Tuple;
use tidegate_wire::proto;

pub(crate) use self::heavy::{Group, Heavy};
pub(crate) use self::idle::{EDGES, Idle, TCP_PATIENCE, UDP_PATIENCE};
use crate::client::Flow;
use crate::client::names::bit;
use crate::timers::Timers;

/// What a flow is like, in the eyes of who looks for a culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// TCP whose handshake isn't done.
    HalfOpen,
    /// TCP that is up.
    Established,
    /// TCP that has begun to end, or was reset.
    Closing,
    /// TCP that has ended.
    TimeWait,
    /// UDP without an answer.
    UdpUnreplied,
    /// UDP with one.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// All else.
    Other,
}

impl Class {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::HalfOpen,
        Self::Established,
        Self::Closing,
        Self::TimeWait,
        Self::UdpUnreplied,
        Self::Udp,
        Self::Icmp,
        Self::Other,
    ];

    fn of(flow: &Flow<'_>) -> Self {
        match flow.proto() {
            proto::TCP => match flow.state() {
                Some("ESTABLISHED") => Self::Established,
                Some("TIME_WAIT") => Self::TimeWait,
                Some("FIN_WAIT" | "CLOSE_WAIT" | "LAST_ACK" | "CLOSE") => Self::Closing,
                _ => Self::HalfOpen,
            },
            proto::UDP | proto::UDPLITE if flow.has(bit::SEEN_REPLY) => Self::Udp,
            proto::UDP | proto::UDPLITE => Self::UdpUnreplied,
            proto::ICMP | proto::ICMPV6 => Self::Icmp,
            _ => Self::Other,
        }
    }

    /// Its name on the page.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HalfOpen => "TCP half-open",
            Self::Established => "ESTABLISHED",
            Self::Closing => "TCP closing",
            Self::TimeWait => "TIME_WAIT",
            Self::UdpUnreplied => "UDP UNREPLIED",
            Self::Udp => "UDP answered",
            Self::Icmp => "ICMP",
            Self::Other => "other protocols",
        }
    }

    /// The options of a command that mean this class.
    pub(crate) fn options(self) -> &'static str {
        match self {
            Self::HalfOpen => "-p tcp --state SYN_SENT,SYN_RECV,SYN_SENT2",
            Self::Established => "-p tcp --state ESTABLISHED",
            Self::Closing => "-p tcp --state FIN_WAIT,CLOSE_WAIT,LAST_ACK,CLOSE",
            Self::TimeWait => "-p tcp --state TIME_WAIT",
            Self::UdpUnreplied => "-p udp -u UNREPLIED",
            Self::Udp => "-p udp -u SEEN_REPLY",
            Self::Icmp => "-p icmp",
            Self::Other => "",
        }
    }

    /// For so many seconds an idle flow of the class is to be kept, and counts as live: RFC 5382 and RFC 4787. `None`:
    /// nobody misses it.
    fn patience(self) -> Option<u32> {
        match self {
            Self::Established => Some(TCP_PATIENCE),
            Self::Udp | Self::Other => Some(UDP_PATIENCE),
            Self::HalfOpen | Self::Closing | Self::TimeWait | Self::UdpUnreplied | Self::Icmp => {
                None
            }
        }
    }
}

/// Who sends: an address of IPv4, or the /64 that one of IPv6 lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Source(pub(crate) IpAddr);

impl Source {
    /// That of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self(address),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// One end of a protocol: an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Spot {
    /// The upper layer's protocol number.
    pub(crate) proto: u8,
    /// The address.
    pub(crate) address: IpAddr,
    /// The port; `None` where there are none.
    pub(crate) port: Option<u16>,
}

impl std::fmt::Display for Spot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.address, self.port) {
            (address, None) => write!(f, "{address}"),
            (IpAddr::V4(address), Some(port)) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
        }
    }
}

/// Flows counted by what matters when something is to be done with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) flows: u64,
    /// With an answer.
    pub(crate) answered: u64,
    /// That aren't evicted early.
    pub(crate) assured: u64,
    /// Somebody would miss them: they are open and not idle for longer than RFC 5382 and RFC 4787 have a NAT keep them.
    pub(crate) live: u64,
    /// With a translated source or destination.
    pub(crate) translated: u64,
    /// Live ones that die with their entry, as only that knows their translation.
    pub(crate) live_translated: u64,
    /// All whose idle time is known.
    pub(crate) idle: Idle,
    /// The live ones of them.
    pub(crate) live_idle: Idle,
    /// The network that all sources lie in: its address and length.
    pub(crate) sources: Option<(IpAddr, u8)>,
}

/// What is to be counted of a flow, found out once for all the groups that it belongs to.
struct Glance {
    answered: bool,
    assured: bool,
    translated: bool,
    live: bool,
    /// Its class by idle time, if that is known.
    idle: Option<usize>,
    source: Option<IpAddr>,
}

impl Glance {
    fn at(flow: &Flow<'_>, class: Class, idle: Option<u32>) -> Self {
        let answered = flow.has(bit::SEEN_REPLY);
        let is_missed = |patience| idle.is_none_or(|idle| idle <= patience);
        Self {
            answered,
            assured: flow.has(bit::ASSURED),
            translated: flow.is_source_translated() || flow.is_destination_translated(),
            live: answered && class.patience().is_some_and(is_missed),
            idle: idle.map(Idle::class),
            source: flow.tuples[0].src,
        }
    }
}

impl Tally {
    fn add(&mut self, flow: &Glance) {
        self.flows += 1;
        self.answered += u64::from(flow.answered);
        self.assured += u64::from(flow.assured);
        self.translated += u64::from(flow.translated);
        if let Some(class) = flow.idle {
            self.idle.add(class);
        }
        if let Some(source) = flow.source {
            let widened = self.sources.map_or((source, width(source)), |net| widen(net, source));
            self.sources = Some(widened);
        }
        if flow.live {
            self.live += 1;
            self.live_translated += u64::from(flow.translated);
            self.live_idle.add(flow.idle.unwrap_or(0));
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The smallest network that holds both.
fn widen((network, len): (IpAddr, u8), address: IpAddr) -> (IpAddr, u8) {
    match (network, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let len = len.min((a.to_bits() ^ b.to_bits()).leading_zeros() as u8);
            let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
            (IpAddr::V4((a.to_bits() & mask).into()), len)
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let len = len.min((a.to_bits() ^ b.to_bits()).leading_zeros() as u8);
            let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
            (IpAddr::V6((a.to_bits() & mask).into()), len)
        }
        _ => (network, 0),
    }
}

/// The ports of an external address that may be taken toward one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pool {
    /// The address that sources are translated to.
    pub(crate) external: IpAddr,
    /// Where the flows go.
    pub(crate) destination: Spot,
}

/// A service and one of those that it is translated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Backend {
    /// What clients speak to.
    pub(crate) service: Spot,
    /// Who answers, or should.
    pub(crate) server: Spot,
}

/// A flow that waits for its first answer.
#[derive(Clone, Debug)]
pub(crate) struct Unheard {
    /// Where it goes.
    pub(crate) backend: Backend,
    /// Its original tuple.
    pub(crate) tuple: Tuple,
    /// Its zone.
    pub(crate) zone: Option<u16>,
    /// The rest of its life when it was seen.
    pub(crate) left: u32,
}

/// Who is in a table.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    /// The table's timeouts.
    pub(crate) timers: Timers,
    /// When it was listed, in nanoseconds since 1970.
    now: u64,
    /// Some UDP flows without an answer from where they are translated to.
    pub(crate) unheard: Vec<Unheard>,
    /// Flows that were seen.
    pub(crate) seen: u64,
    /// Not all of them were: the time was over.
    pub(crate) is_partial: bool,
    /// Those that a flow table or a network card carries.
    pub(crate) offloaded: u64,
    /// All flows, by class.
    pub(crate) classes: [Tally; Class::ALL.len()],
    /// By source and destination.
    pub(crate) pairs: Heavy<(Class, Source, Spot)>,
    /// By source.
    pub(crate) sources: Heavy<(Class, Source)>,
    /// By destination.
    pub(crate) destinations: Heavy<(Class, Spot)>,
    /// By source, whatever their class.
    pub(crate) owners: Heavy<Source, ()>,
    /// Those whose source is translated, by what they take a port of.
    pub(crate) pools: Heavy<(Class, Pool)>,
    /// UDP whose destination is translated.
    pub(crate) backends: Heavy<Backend>,
}

impl Census {
    /// Nobody yet, in a table with these timeouts, at a time in nanoseconds since 1970.
    pub(crate) fn new(timers: Timers, now: u64) -> Self {
        Self {
            timers,
            now,
            unheard: Vec::new(),
            seen: 0,
            is_partial: false,
            offloaded: 0,
            classes: [Tally::default(); Class::ALL.len()],
            pairs: Heavy::new(ROOM),
            sources: Heavy::new(ROOM),
            destinations: Heavy::new(ROOM),
            owners: Heavy::new(4 * ROOM),
            pools: Heavy::new(ROOM),
            backends: Heavy::new(ROOM),
        }
    }

    /// Counts a flow.
    pub(crate) fn add(&mut self, flow: &Flow<'_>) {
        let class = Class::of(flow);
        let idle = self.timers.idle(flow, self.now);
        // What is sure: advice must not touch a flow that may be younger.
        let idle = idle.most.map(|_| u32::try_from(idle.least).unwrap_or(u32::MAX));
        self.seen += 1;
        self.offloaded += u64::from(flow.has(bit::OFFLOAD));
        let glance = Glance::at(flow, class, idle);
        self.classes[class as usize].add(&glance);
        let [original, reply] = &flow.tuples;
        let (Some(source), Some(target)) = (original.src, original.dst) else { return };
        let (source, proto) = (Source::of(source), flow.proto());
        let there = Spot { proto, address: target, port: original.dport };
        self.pairs.count((class, source, there)).add(&glance);
        self.sources.count((class, source)).add(&glance);
        self.destinations.count((class, there)).add(&glance);
        self.owners.count(source);
        let (Some(external), Some(server)) = (reply.dst, reply.src) else { return };
        let server = Spot { proto, address: server, port: reply.sport };
        if flow.is_source_translated() && matches!(proto, proto::TCP | proto::UDP) {
            let pool = Pool { external, destination: server };
            self.pools.count((class, pool)).add(&glance);
        }
        if proto == proto::UDP && flow.is_destination_translated() {
            let backend = Backend { service: there, server };
            if class == Class::UdpUnreplied && self.unheard.len() < SAMPLES {
                let tuple = original.clone();
                self.unheard.push(Unheard {
                    backend,
                    tuple,
                    zone: flow.zone,
                    left: flow.timeout.unwrap_or(0),
                });
            }
            self.backends.count(backend).add(&glance);
        }
    }

    /// Whether nobody showed us any: an empty table is another thing.
    pub(crate) fn is_unseen(&self) -> bool {
        self.is_partial && self.seen == 0
    }

    /// The flows of a class.
    pub(crate) fn class(&self, class: Class) -> &Tally {
        &self.classes[class as usize]
    }

    /// A figure of all classes together.
    pub(crate) fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.classes.iter().map(of).sum()
    }
}

/// Groups of each kind that are sure to be kept.
const ROOM: usize = 2048;
/// Flows that are looked at again.
const SAMPLES: usize = 256;
