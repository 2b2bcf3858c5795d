//! Sockets of rtnetlink: one that listens, one that asks.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::rule::RuleMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily as SocketFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send,
    socket_with, sockopt,
};
use tidegate_wire::Family;

/// What can be asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Links,
    Addresses,
    Rules(Family),
    Routes(Family),
    Neighbours,
}

/// A socket, and room for what comes from it.
#[derive(Debug)]
pub(super) struct Socket {
    socket: OwnedFd,
    buffer: Vec<u8>,
    number: u32,
}

/// What came.
pub(super) enum Received {
    Messages(Vec<Told>),
    /// Some were lost.
    Lost,
    Nothing,
}

/// What a message says.
pub(super) enum Told {
    /// Something, with the message's flags.
    Notice(RouteNetlinkMessage, u16),
    /// Settings of an interface have changed.
    Settings,
    /// It can't be read, for this reason.
    Unread(String),
}

impl Socket {
    /// One to which the kernel tells all changes.
    pub(super) fn listening() -> io::Result<Self> {
        let found = Self::open(GROUPS)?;
        // What may not be is as large as it may: losses are made good.
        let _ = sockopt::set_socket_recv_buffer_size_force(&found.socket, ROOM);
        Ok(found)
    }

    /// One to ask by.
    pub(super) fn asking() -> io::Result<Self> {
        let found = Self::open(0)?;
        sockopt::set_socket_timeout(&found.socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(found)
    }

    fn open(groups: u32) -> io::Result<Self> {
        let (raw, flags) = (SocketType::RAW, SocketFlags::CLOEXEC);
        let socket = socket_with(SocketFamily::NETLINK, raw, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket, buffer: vec![0; LARGEST_DATAGRAM], number: 0 })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What has come; doesn't wait.
    pub(super) fn receive(&mut self) -> io::Result<Received> {
        loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT) {
                Ok((len, _)) => {
                    let datagram = Datagram(&self.buffer[..len]);
                    return Ok(Received::Messages(datagram.filter_map(Message::told).collect()));
                }
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::NOBUFS) => return Ok(Received::Lost),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// All there is of a kind, and why some of it can't be read. What has changed meanwhile makes it begin anew, a few
    /// times.
    pub(super) fn dump(
        &mut self,
        kind: Kind,
    ) -> io::Result<(Vec<RouteNetlinkMessage>, Vec<String>)> {
        let mut found = Vec::new();
        for _ in 0..TRIES {
            found.clear();
            self.send(request(kind), NLM_F_DUMP)?;
            if !self.receive_dump(&mut found)? {
                break;
            }
        }
        let (mut read, mut unread) = (Vec::new(), Vec::new());
        for message in found {
            match message {
                Ok(message) => read.push(message),
                Err(error) => unread.push(error),
            }
        }
        Ok((read, unread))
    }

    /// Receives until the end; whether it was disturbed.
    fn receive_dump(
        &mut self,
        found: &mut Vec<Result<RouteNetlinkMessage, String>>,
    ) -> io::Result<bool> {
        let mut is_disturbed = false;
        loop {
            let (len, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
            for message in Datagram(&self.buffer[..len]) {
                if message.number != self.number {
                    continue;
                }
                is_disturbed |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.end() {
                    Some(Ok(())) => return Ok(is_disturbed),
                    Some(Err(error)) => return Err(error),
                    None => found.extend(message.read()),
                }
            }
        }
    }

    /// Has the kernel look for a neighbour. It doesn't say whether it will.
    pub(super) fn send_neighbour(&mut self, index: u32, addr: IpAddr) -> io::Result<()> {
        // Refusals of earlier ones, which would fill the socket.
        while recv(&self.socket, &mut self.buffer[..], RecvFlags::DONTWAIT).is_ok() {}
        let mut message = NeighbourMessage::default();
        message.header.ifindex = index;
        message.header.flags = NeighbourFlags::Use;
        let (family, addr) = match addr {
            IpAddr::V4(addr) => (AddressFamily::Inet, NeighbourAddress::Inet(addr)),
            IpAddr::V6(addr) => (AddressFamily::Inet6, NeighbourAddress::Inet6(addr)),
        };
        message.header.family = family;
        message.attributes.push(NeighbourAttribute::Destination(addr));
        self.send(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.number;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(())
    }
}

fn request(kind: Kind) -> RouteNetlinkMessage {
    match kind {
        Kind::Links => RouteNetlinkMessage::GetLink(LinkMessage::default()),
        Kind::Addresses => RouteNetlinkMessage::GetAddress(AddressMessage::default()),
        Kind::Neighbours => RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()),
        Kind::Rules(family) => {
            let mut message = RuleMessage::default();
            message.header.family = address_family(family);
            RouteNetlinkMessage::GetRule(message)
        }
        Kind::Routes(family) => {
            let mut message = RouteMessage::default();
            message.header.address_family = address_family(family);
            RouteNetlinkMessage::GetRoute(message)
        }
    }
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The messages of a datagram.
struct Datagram<'a>(&'a [u8]);

/// One of them.
struct Message<'a> {
    bytes: &'a [u8],
    number: u32,
    flags: u16,
}

impl<'a> Iterator for Datagram<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header = NetlinkBuffer::new_checked(&self.0).ok()?;
        let (number, flags) = (header.sequence_number(), header.flags());
        let len = header.length() as usize;
        let (bytes, _) = self.0.split_at_checked(len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message { bytes, number, flags })
    }
}

impl Message<'_> {
    /// What it says as a notice.
    fn told(self) -> Option<Told> {
        if let Some(NEW_NETCONF | DEL_NETCONF) = self.kind() {
            return Some(Told::Settings);
        }
        Some(match self.read()? {
            Ok(notice) => Told::Notice(notice, self.flags),
            Err(error) => Told::Unread(error),
        })
    }

    fn kind(&self) -> Option<u16> {
        let kind = self.bytes.get(4..6)?.try_into().ok()?;
        Some(u16::from_ne_bytes(kind))
    }

    /// What it says, if that is about the world.
    fn read(&self) -> Option<Result<RouteNetlinkMessage, String>> {
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(self.bytes) {
            Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => {
                Some(Ok(message))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.to_string())),
        }
    }

    /// Whether the answer is over, and how.
    fn end(&self) -> Option<io::Result<()>> {
        let code = || {
            let code = self.bytes.get(16..20)?.try_into().ok()?;
            Some(i32::from_ne_bytes(code))
        };
        match self.kind()? {
            DONE | ERROR => match code().unwrap_or(0) {
                0 => Some(Ok(())),
                code => Some(Err(io::Error::from_raw_os_error(-code))),
            },
            _ => None,
        }
    }
}

/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `RTM_NEWNETCONF`, `RTM_DELNETCONF`.
const NEW_NETCONF: u16 = 80;
const DEL_NETCONF: u16 = 81;
/// `NLMSG_DONE`.
const DONE: u16 = 3;

/// As bits: RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE, IPV4_NETCONF.
const GROUPS: u32 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 23;
/// The kernel fills datagrams up to this length if there is room for it.
const LARGEST_DATAGRAM: usize = 64 << 10;
/// What may wait to be read.
const ROOM: usize = 8 << 20;
/// So long the kernel may take for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// So often a disturbed answer is asked for again.
const TRIES: usize = 8;
