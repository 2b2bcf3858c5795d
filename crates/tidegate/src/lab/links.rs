//! Links, addresses and routes of the calling thread's network, made by rtnetlink.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::net::netdevice::name_to_index;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType};

/// A conversation with the kernel about the network that the thread was in when it began.
pub(super) struct Links {
    socket: OwnedFd,
    sequence: u32,
}

/// One end of a cable: its name and the network that it is in.
pub(super) struct End<'a> {
    /// The interface's name.
    pub(super) name: &'a str,
    /// The network.
    pub(super) network: BorrowedFd<'a>,
}

/// What both ends of a cable have in common.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// The longest datagram.
    pub(super) mtu: u32,
    /// How many queues they send and receive by.
    pub(super) queues: u32,
}

impl Links {
    /// Begins the conversation.
    pub(super) fn open() -> io::Result<Self> {
        let (family, kind) = (net::AddressFamily::NETLINK, SocketType::RAW);
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// A pair of virtual interfaces, of which what enters one leaves the other.
    pub(super) fn cable(&mut self, name: &str, far: &End<'_>, kind: Kind) -> io::Result<()> {
        let Kind { mtu, queues } = kind;
        let common = [
            LinkAttribute::Mtu(mtu),
            LinkAttribute::NumRxQueues(queues),
            LinkAttribute::NumTxQueues(queues),
        ];
        let mut peer = named(far.name);
        peer.attributes.push(LinkAttribute::NetNsFd(far.network.as_raw_fd()));
        peer.attributes.extend(common.clone());
        let mut link = named(name);
        link.attributes.extend(common);
        link.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.make(RouteNetlinkMessage::NewLink(link))
    }

    /// Switches an interface on.
    pub(super) fn switch_on(&mut self, name: &str) -> io::Result<()> {
        let mut link = named(name);
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::NewLink(link), 0)
    }

    /// Gives an interface an address.
    pub(super) fn address(&mut self, name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family_of(address);
        message.header.prefix_len = prefix;
        message.header.index = name_to_index(&self.socket, name)?;
        message.header.flags = AddressHeaderFlags::Nodad;
        message.attributes =
            vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        self.make(RouteNetlinkMessage::NewAddress(message))
    }

    /// Routes a network, given by an address and its prefix's length, by a gateway.
    pub(super) fn route(&mut self, to: (IpAddr, u8), gateway: IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family_of(gateway),
            destination_prefix_length: to.1,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            scope: RouteScope::Universe,
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        if to.1 > 0 {
            message.attributes.push(RouteAttribute::Destination(route_address(to.0)));
        }
        message.attributes.push(RouteAttribute::Gateway(route_address(gateway)));
        self.make(RouteNetlinkMessage::NewRoute(message))
    }

    fn make(&mut self, message: RouteNetlinkMessage) -> io::Result<()> {
        self.ask(message, NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Sends a request and waits for its acknowledgement.
    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut datagram = vec![0; request.buffer_len()];
        request.serialize(&mut datagram);
        net::send(&self.socket, &datagram, SendFlags::empty())?;
        self.acknowledged()
    }

    fn acknowledged(&self) -> io::Result<()> {
        let mut buffer = [0; 8192];
        loop {
            let (len, _) = net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&buffer[..len]);
            let answer = answer.map_err(|error| io::Error::other(error.to_string()))?;
            if answer.header.sequence_number != self.sequence {
                continue;
            }
            if let NetlinkPayload::Error(error) = answer.payload {
                return match error.code {
                    None => Ok(()),
                    Some(code) => Err(io::Error::from_raw_os_error(-code.get())),
                };
            }
        }
    }
}

fn named(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}
