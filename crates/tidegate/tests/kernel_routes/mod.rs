//! The kernel's own answer to where a packet goes, as `ip route get` has it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send, socket};
use tidegate_engine::fib::{PortId, Route};

/// Where a packet goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// The engine's number of an interface, and the kernel's.
    pub(crate) in_port: Option<(PortId, u32)>,
    pub(crate) mark: u32,
}

/// What the kernel says.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its way; ports are those of the mirror that `ask` was told of.
    pub(crate) way: Route,
    pub(crate) source: Option<IpAddr>,
    pub(crate) is_anycast: bool,
}

/// A socket to ask by.
pub(crate) struct Oracle {
    socket: OwnedFd,
}

impl Oracle {
    pub(crate) fn open() -> Self {
        let family = rustix::net::AddressFamily::NETLINK;
        Self { socket: socket(family, SocketType::RAW, None).unwrap() }
    }

    pub(crate) fn ask(&mut self, question: &Question, port: impl Fn(u32) -> PortId) -> Answer {
        let mut message = RouteMessage::default();
        let address = |addr| match addr {
            IpAddr::V4(addr) => RouteAddress::Inet(addr),
            IpAddr::V6(addr) => RouteAddress::Inet6(addr),
        };
        let (family, bits) = match question.dst {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message.header.address_family = family;
        message.header.destination_prefix_length = bits;
        message.attributes.push(RouteAttribute::Destination(address(question.dst)));
        if let Some((_, index)) = question.in_port {
            message.header.source_prefix_length = bits;
            message.attributes.push(RouteAttribute::Source(address(question.src)));
            message.attributes.push(RouteAttribute::Iif(index));
        }
        message.attributes.push(RouteAttribute::Mark(question.mark));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(message));
        request.header.flags = NLM_F_REQUEST;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty()).unwrap();
        let mut buffer = [0; 8192];
        let (len, _) = recv(&self.socket, &mut buffer[..], RecvFlags::empty()).unwrap();
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer[..len]).unwrap();
        match answer.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                read(question, &route, port)
            }
            NetlinkPayload::Error(error) => refused(-error.raw_code()),
            other => panic!("{other:?}"),
        }
    }
}

fn refused(errno: i32) -> Answer {
    let way = match errno {
        // EINVAL: a martian, or a blackhole.
        22 => Route::Blackhole,
        // EACCES, ENETUNREACH, EHOSTUNREACH.
        13 | 101 | 113 => Route::Unreachable,
        _ => panic!("{}", std::io::Error::from_raw_os_error(errno)),
    };
    Answer { way, source: None, is_anycast: false }
}

fn read(question: &Question, route: &RouteMessage, port: impl Fn(u32) -> PortId) -> Answer {
    let plain = |addr: &RouteAddress| match addr {
        RouteAddress::Inet(addr) => IpAddr::from(*addr),
        RouteAddress::Inet6(addr) => IpAddr::from(*addr),
        other => panic!("{other:?}"),
    };
    let (mut out, mut next_hop, mut source) = (None, question.dst, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => out = Some(*index),
            RouteAttribute::Gateway(addr) => next_hop = plain(addr),
            RouteAttribute::Via(RouteVia::Inet6(addr)) => next_hop = (*addr).into(),
            RouteAttribute::PrefSource(addr) => source = Some(plain(addr)),
            _ => {}
        }
    }
    let forward = || Route::Forward { port: port(out.unwrap()), next_hop };
    let is_own = question.in_port.is_none();
    let way = match route.header.kind {
        RouteType::Local | RouteType::Anycast => Route::Local { broadcast: false },
        RouteType::Broadcast => Route::Local { broadcast: true },
        RouteType::Multicast if !is_own => Route::Local { broadcast: true },
        RouteType::Unicast | RouteType::Multicast => forward(),
        RouteType::BlackHole => Route::Blackhole,
        RouteType::Unreachable | RouteType::Prohibit => Route::Unreachable,
        other => panic!("{other:?}"),
    };
    Answer { way, source, is_anycast: route.header.kind == RouteType::Anycast }
}
