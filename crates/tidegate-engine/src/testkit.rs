//! A small world for tests: a router with two ports, a host behind each, and the packets that they
//! exchange.
//!
//! A [`Datagram`] says what a packet means, not what its bytes are, so that one table of packets
//! serves both address families. [`World`] answers the engine's questions about routes. Nothing
//! here decides or checks anything.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::packet::ipv4::{self, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::tcp::{TcpFlags, TcpRepr};
use tidegate_wire::packet::udp::UdpRepr;
use tidegate_wire::{Family, SeqNum, proto};

use crate::event::EventMask;
use crate::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use crate::flow::{Flow, Labels, Status};
use crate::time::Instant;
use crate::track::ProtoState;
use crate::tuple::{Tuple, Zone};

/// The router's port towards [`Host::Client`].
pub(crate) const LAN: PortId = PortId(0);
/// The router's port towards everybody else.
pub(crate) const WAN: PortId = PortId(1);

/// The client's port, wherever a datagram has ports.
pub(crate) const CLIENT_PORT: u16 = 40_000;
/// The server's port.
pub(crate) const SERVER_PORT: u16 = 80;

/// Who sends and who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// Behind [`LAN`].
    Client,
    /// Behind [`WAN`].
    Server,
    /// A router on the way, behind [`WAN`].
    Between,
    /// A router on the link, behind [`WAN`], by its link-local address.
    Neighbour,
    /// The machine under test itself.
    Router,
    /// A multicast group.
    Group,
}

impl Host {
    pub(crate) fn address(self, family: Family) -> IpAddr {
        let (v4, v6) = match self {
            Self::Client => ([10, 0, 1, 2], 0xfd00_0001_u128 << 96 | 2),
            Self::Server => ([203, 0, 113, 2], 0x2001_0db8_0001_u128 << 80 | 2),
            Self::Between => ([203, 0, 113, 254], 0x2001_0db8_0001_u128 << 80 | 0xfe),
            Self::Neighbour => ([169, 254, 0, 254], 0xfe80_u128 << 112 | 0xfe),
            Self::Router => ([10, 0, 1, 1], 0xfd00_0001_u128 << 96 | 1),
            Self::Group => ([224, 0, 0, 1], 0xff02_u128 << 112 | 1),
        };
        match family {
            Family::V4 => Ipv4Addr::from(v4).into(),
            Family::V6 => Ipv6Addr::from_bits(v6).into(),
        }
    }

    /// The port of the router that this host's packets come in by.
    pub(crate) fn ingress(self) -> PortId {
        if self == Self::Client { LAN } else { WAN }
    }

    /// The other end of a conversation.
    pub(crate) fn peer(self) -> Self {
        if self == Self::Client { Self::Server } else { Self::Client }
    }

    fn port(self) -> u16 {
        if self == Self::Client { CLIENT_PORT } else { SERVER_PORT }
    }
}

/// The router's view: the client's subnet behind [`LAN`], everything else behind [`WAN`].
pub(crate) struct World {
    lan: Port,
    wan: Port,
}

impl World {
    pub(crate) fn new() -> Self {
        let port = |name: &str| Port { name: name.to_string(), mtu: 1500, loopback: false };
        Self { lan: port("lan"), wan: port("wan") }
    }
}

impl Fib for World {
    fn route(&self, query: &RouteQuery) -> Route {
        let client = Host::Client.address(Family::of(query.dst));
        match self.addr_type(query.dst, None) {
            AddrType::Local => Route::Local { broadcast: false },
            AddrType::Multicast => Route::Local { broadcast: true },
            _ if query.dst == client => Route::Forward { port: LAN, next_hop: query.dst },
            _ => Route::Forward { port: WAN, next_hop: query.dst },
        }
    }

    fn addr_type(&self, addr: IpAddr, _: Option<PortId>) -> AddrType {
        match addr {
            _ if addr == Host::Router.address(Family::of(addr)) => AddrType::Local,
            _ if addr.is_multicast() => AddrType::Multicast,
            _ => AddrType::Unicast,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        if port == LAN { &self.lan } else { &self.wan }
    }

    fn source_for(&self, peer: IpAddr, _: Option<PortId>) -> Option<IpAddr> {
        Some(Host::Router.address(Family::of(peer)))
    }

    fn primary_address(&self, _: PortId, family: Family) -> Option<IpAddr> {
        Some(Host::Router.address(family))
    }
}

/// A packet, in either address family.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: Host,
    pub(crate) to: Host,
    ttl: u8,
    body: Body,
    edit: Option<fn(&mut Vec<u8>)>,
    bad_checksum: bool,
}

#[derive(Clone, Debug)]
enum Body {
    Tcp { ports: (u16, u16), header: TcpRepr, options: Vec<u8>, len: usize },
    Udp { ports: (u16, u16), len: usize, checksum: bool },
    Echo { reply: bool, id: u16 },
    Icmp { kind: u8, code: u8, rest: u32, data: Vec<u8> },
    Error { kind: Option<u8>, lead: Vec<u8>, about: Box<Datagram>, quoted: usize },
    Other { proto: u8, bytes: Vec<u8> },
}

/// A segment between the two hosts, with a window of 10 000 and no data.
pub(crate) fn tcp(from: Host, flags: TcpFlags, seq: u32, ack: u32) -> Datagram {
    let ports = (from.port(), from.peer().port());
    let (seq, ack) = (SeqNum(seq), SeqNum(ack));
    let header = TcpRepr { src_port: ports.0, dst_port: ports.1, seq, ack, flags, window: 10_000 };
    Datagram::new(from, Body::Tcp { ports, header, options: Vec::new(), len: 0 })
}

/// A UDP datagram of `len` bytes of data.
pub(crate) fn udp(from: Host, len: usize) -> Datagram {
    let ports = (from.port(), from.peer().port());
    Datagram::new(from, Body::Udp { ports, len, checksum: true })
}

/// An echo request of that identifier.
pub(crate) fn ping(from: Host, id: u16) -> Datagram {
    Datagram::new(from, Body::Echo { reply: false, id })
}

/// An echo reply of that identifier.
pub(crate) fn pong(from: Host, id: u16) -> Datagram {
    Datagram::new(from, Body::Echo { reply: true, id })
}

/// Any message of the family's ICMP; `rest` is the header's second half.
pub(crate) fn icmp(from: Host, kind: u8, code: u8, rest: u32) -> Datagram {
    Datagram::new(from, Body::Icmp { kind, code, rest, data: Vec::new() })
}

/// "Host unreachable", sent to the sender of `about`, which it quotes whole.
pub(crate) fn unreachable(from: Host, about: &Datagram) -> Datagram {
    let (to, about) = (about.from, Box::new(about.clone()));
    let body = Body::Error { kind: None, lead: Vec::new(), about, quoted: usize::MAX };
    Datagram { to, ..Datagram::new(from, body) }
}

/// A packet of a protocol without ports.
pub(crate) fn other(from: Host, proto: u8, bytes: &[u8]) -> Datagram {
    Datagram::new(from, Body::Other { proto, bytes: bytes.to_vec() })
}

impl Datagram {
    fn new(from: Host, body: Body) -> Self {
        Self { from, to: from.peer(), ttl: 64, body, edit: None, bad_checksum: false }
    }

    /// Sends it elsewhere.
    pub(crate) fn to(self, to: Host) -> Self {
        Self { to, ..self }
    }

    /// Gives it that many bytes of data.
    pub(crate) fn data(mut self, bytes: usize) -> Self {
        match &mut self.body {
            Body::Tcp { len, .. } | Body::Udp { len, .. } => *len = bytes,
            Body::Icmp { data, .. } => *data = vec![0x5a; bytes],
            Body::Echo { .. } | Body::Error { .. } | Body::Other { .. } => {}
        }
        self
    }

    /// Makes an ICMP error one of that type.
    pub(crate) fn kind(mut self, of: u8) -> Self {
        if let Body::Error { kind, .. } = &mut self.body {
            *kind = Some(of);
        }
        self
    }

    /// Puts these bytes between an ICMP error's header and its quote.
    pub(crate) fn lead(mut self, bytes: &[u8]) -> Self {
        if let Body::Error { lead, .. } = &mut self.body {
            *lead = bytes.to_vec();
        }
        self
    }

    /// Announces this window.
    pub(crate) fn win(mut self, window: u16) -> Self {
        if let Body::Tcp { header, .. } = &mut self.body {
            header.window = window;
        }
        self
    }

    /// Carries these TCP options, padded to whole words.
    pub(crate) fn opts(mut self, bytes: &[u8]) -> Self {
        if let Body::Tcp { options, .. } = &mut self.body {
            *options = bytes.to_vec();
            options.resize(bytes.len().next_multiple_of(4), 0);
        }
        self
    }

    /// Uses these ports, source first.
    pub(crate) fn ports(mut self, src: u16, dst: u16) -> Self {
        if let Body::Tcp { ports, .. } | Body::Udp { ports, .. } = &mut self.body {
            *ports = (src, dst);
        }
        self
    }

    /// UDP without a checksum.
    pub(crate) fn no_checksum(mut self) -> Self {
        if let Body::Udp { checksum, .. } = &mut self.body {
            *checksum = false;
        }
        self
    }

    /// An ICMP error that quotes only this much of the IP payload.
    pub(crate) fn quoting(mut self, bytes: usize) -> Self {
        if let Body::Error { quoted, .. } = &mut self.body {
            *quoted = bytes;
        }
        self
    }

    /// Changes the upper layer's bytes before the checksum is computed.
    pub(crate) fn edited(self, edit: fn(&mut Vec<u8>)) -> Self {
        Self { edit: Some(edit), ..self }
    }

    /// Spoils the checksum.
    pub(crate) fn corrupt(self) -> Self {
        Self { bad_checksum: true, ..self }
    }

    /// Has this TTL or hop limit.
    pub(crate) fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    /// The datagram as it came out of the router.
    pub(crate) fn forwarded(&self) -> Self {
        self.clone().ttl(self.ttl.saturating_sub(1))
    }

    /// The tuple that conntrack must look up; of an error, the answer to what it quotes.
    pub(crate) fn tuple(&self, family: Family) -> Tuple {
        let (sport, dport) = match &self.body {
            Body::Tcp { ports, .. } | Body::Udp { ports, .. } => *ports,
            Body::Echo { reply, id } => (*id, Tuple::icmp_word(echo_kind(family, *reply), 0)),
            Body::Icmp { kind, code, rest, .. } => {
                ((rest >> 16) as u16, Tuple::icmp_word(*kind, *code))
            }
            Body::Error { about, .. } => {
                let quoted = about.tuple(family);
                return quoted.invert().unwrap_or(quoted);
            }
            Body::Other { .. } => (0, 0),
        };
        let (src, dst) = (self.from.address(family), self.to.address(family));
        Tuple { src, dst, sport, dport, proto: self.proto(family) }
    }

    fn proto(&self, family: Family) -> u8 {
        match (&self.body, family) {
            (Body::Tcp { .. }, _) => proto::TCP,
            (Body::Udp { .. }, _) => proto::UDP,
            (Body::Other { proto, .. }, _) => *proto,
            (_, Family::V4) => proto::ICMP,
            (_, Family::V6) => proto::ICMPV6,
        }
    }

    /// The bytes, from the IP header on.
    pub(crate) fn bytes(&self, family: Family) -> Vec<u8> {
        let (src, dst) = (self.from.address(family), self.to.address(family));
        let proto = self.proto(family);
        let mut segment = self.segment(family);
        if let Some(edit) = self.edit {
            edit(&mut segment);
        }
        let has_checksum = !matches!(self.body, Body::Udp { checksum: false, .. });
        if has_checksum && !matches!(self.body, Body::Other { .. }) {
            fill_checksum(src, dst, proto, &mut segment, self.bad_checksum);
        }
        ip_datagram((src, dst), proto, self.ttl, &segment)
    }

    fn segment(&self, family: Family) -> Vec<u8> {
        match &self.body {
            Body::Tcp { ports, header, options, len } => {
                let header = TcpRepr { src_port: ports.0, dst_port: ports.1, ..*header };
                tcp_segment(&header, options, *len)
            }
            Body::Udp { ports, len, .. } => udp_datagram(*ports, *len),
            Body::Echo { reply, id } => {
                let rest = u32::from(*id) << 16 | 1;
                icmp_message(echo_kind(family, *reply), 0, rest, b"ping")
            }
            Body::Icmp { kind, code, rest, data } => icmp_message(*kind, *code, *rest, data),
            Body::Error { kind, lead, about, quoted } => {
                let (unreachable, header) = match family {
                    Family::V4 => (3, ipv4::HEADER_LEN),
                    Family::V6 => (1, ipv6::HEADER_LEN),
                };
                let whole = about.bytes(family);
                let end = header.saturating_add(*quoted).min(whole.len());
                icmp_message(kind.unwrap_or(unreachable), 0, 0, &[lead, &whole[..end]].concat())
            }
            Body::Other { bytes, .. } => bytes.clone(),
        }
    }
}

fn echo_kind(family: Family, reply: bool) -> u8 {
    match (family, reply) {
        (Family::V4, false) => 8,
        (Family::V4, true) => 0,
        (Family::V6, false) => 128,
        (Family::V6, true) => 129,
    }
}

/// A segment with these options, which are whole words, and `len` bytes of data.
pub(crate) fn tcp_segment(header: &TcpRepr, options: &[u8], len: usize) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut segment = vec![0x5a; header_len + len];
    header.emit(&mut segment);
    segment[12] = (header_len as u8 / 4) << 4;
    segment[20..header_len].copy_from_slice(options);
    segment
}

/// A UDP datagram of `len` bytes of data.
pub(crate) fn udp_datagram((src_port, dst_port): (u16, u16), len: usize) -> Vec<u8> {
    let mut datagram = vec![0x5a; 8 + len];
    UdpRepr { src_port, dst_port, payload_len: len }.emit(&mut datagram);
    datagram
}

/// A message of either ICMP; `rest` is the header's second half.
pub(crate) fn icmp_message(kind: u8, code: u8, rest: u32, data: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest.to_be_bytes());
    message.extend(data);
    message
}

/// Writes the checksum, or a wrong one; nothing where the header is cut short before it.
pub(crate) fn fill_checksum(src: IpAddr, dst: IpAddr, proto: u8, segment: &mut [u8], spoil: bool) {
    let at = match proto {
        proto::TCP => 16,
        proto::UDP => 6,
        _ => 2,
    };
    if segment.len() < at + 2 {
        return;
    }
    segment[at..at + 2].fill(0);
    let sum = match proto {
        proto::ICMP => Sum::new().bytes(segment).finish(),
        _ => transport(src, dst, proto, segment),
    };
    let sum = if proto == proto::UDP && sum == 0 { 0xffff } else { sum };
    let sum = if spoil { sum ^ 0x40 } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// An IP datagram without options around `segment`.
pub(crate) fn ip_datagram(ends: (IpAddr, IpAddr), proto: u8, ttl: u8, segment: &[u8]) -> Vec<u8> {
    let payload_len = segment.len();
    let mut bytes = match ends {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut bytes = vec![0; ipv4::HEADER_LEN];
            let header =
                Ipv4Repr { src, dst, proto, ttl, tos: 0, id: 7, dont_fragment: true, payload_len };
            header.emit(&mut bytes);
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let mut bytes = vec![0; ipv6::HEADER_LEN];
            let (next_header, hop_limit) = (proto, ttl);
            Ipv6Repr {
                src,
                dst,
                next_header,
                hop_limit,
                traffic_class: 0,
                flow_label: 0,
                payload_len,
            }
            .emit(&mut bytes);
            bytes
        }
        (src, dst) => panic!("{src} and {dst} are of different families"),
    };
    bytes.extend(segment);
    bytes
}

/// A deadline as the table keeps it: rounded up to a multiple of 2^20 ns.
pub(crate) fn kept(deadline: Instant) -> Instant {
    Instant::from_nanos(deadline.nanos().div_ceil(1 << 20) << 20)
}

/// A flow with that original tuple, answered by its inverse; nothing else is known of it.
pub(crate) fn flow(orig: Tuple) -> Flow {
    Flow {
        orig,
        reply: orig.invert().expect("a tuple that can be answered"),
        status: Status::empty(),
        deadline: Instant::ZERO,
        zone: Zone::default(),
        mark: 0,
        labels: Labels::NONE,
        secmark: 0,
        policy: None,
        proto: ProtoState::None,
        acct: None,
        lifetime: None,
        masquerade_port: None,
        is_proxied: false,
        helper: None,
        master_helper: None,
        pending: EventMask::empty(),
        announced: EventMask::all(),
    }
}
