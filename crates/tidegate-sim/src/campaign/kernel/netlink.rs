//! Netfilter's netlink: requests, dumps, multicast messages, and the attributes in them.
//!
//! A [`Netlink`] is one socket in the network namespace of the thread that opened it. Attributes
//! are read in place ([`Attributes`]) and never trusted for their lengths.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};

/// A netlink socket of netfilter's.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One message: what it is, and its body behind the netlink header.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// Subsystem in the upper byte, kind in the lower.
    pub(super) kind: u16,
    /// `NLM_F_*`.
    pub(super) flags: u16,
    /// The `nfgenmsg` and the attributes.
    pub(super) body: Vec<u8>,
}

impl Netlink {
    /// A socket that hears the multicast groups of `mask`, where group 1 is the lowest bit.
    pub(super) fn open(mask: u32) -> io::Result<Self> {
        let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        // Only the machine's own root may have more than the system's limit.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
        }
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, mask))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; 1 << 18] })
    }

    /// All multicast messages that are there by now.
    ///
    /// # Errors
    /// Also when messages were lost, because nothing after that can be relied upon.
    pub(super) fn heard(&mut self) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        loop {
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(len) => messages.extend(parse(&self.buffer[..len])),
                Err(Errno::EAGAIN) => return Ok(messages),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The answers to a dump request.
    pub(super) fn dump(&mut self, kind: u16) -> io::Result<Vec<Message>> {
        self.send(&[(kind, REQUEST | DUMP, vec![0; GENERIC_LEN])])?;
        let mut answers = Vec::new();
        loop {
            for message in self.receive()? {
                match message.kind {
                    DONE => return Ok(answers),
                    ERROR => check(&message)?,
                    _ => answers.push(message),
                }
            }
        }
    }

    /// Asks for things one by one, many at a time; what isn't there is left out.
    pub(super) fn find_all<'a>(
        &mut self,
        kind: u16,
        bodies: impl Iterator<Item = &'a Vec<u8>>,
    ) -> io::Result<Vec<Message>> {
        let bodies: Vec<_> = bodies.map(|body| (kind, REQUEST, body.clone())).collect();
        let mut found = Vec::new();
        for some in bodies.chunks(AT_ONCE) {
            self.send(some)?;
            let mut open = some.len();
            while open > 0 {
                for message in self.receive()? {
                    open -= 1;
                    match message.kind {
                        ERROR if error_of(&message) == Some(Errno::ENOENT) => {}
                        ERROR => check(&message)?,
                        _ => found.push(message),
                    }
                }
            }
        }
        Ok(found)
    }

    /// A request that is only acknowledged. What it asks to delete may be gone already.
    pub(super) fn command(&mut self, kind: u16, body: Vec<u8>) -> io::Result<()> {
        self.send(&[(kind, REQUEST | ACKNOWLEDGE, body)])?;
        for message in self.receive()? {
            if error_of(&message) != Some(Errno::ENOENT) {
                check(&message)?;
            }
        }
        Ok(())
    }

    fn send(&mut self, requests: &[(u16, u16, Vec<u8>)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for (kind, flags, body) in requests {
            self.sequence += 1;
            bytes.extend((HEADER_LEN as u32 + body.len() as u32).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(flags.to_ne_bytes());
            bytes.extend(self.sequence.to_ne_bytes());
            bytes.extend(0u32.to_ne_bytes());
            bytes.extend(body);
        }
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&mut self) -> io::Result<Vec<Message>> {
        let len = recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        Ok(parse(&self.buffer[..len]))
    }
}

fn parse(mut bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(header) = bytes.first_chunk::<HEADER_LEN>() {
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = bytes.get(HEADER_LEN..len) else { break };
        messages.push(Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            body: body.to_vec(),
        });
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    messages
}

fn error_of(message: &Message) -> Option<Errno> {
    let code = i32::from_ne_bytes(*message.body.first_chunk()?);
    (message.kind == ERROR && code != 0).then(|| Errno::from_raw(-code))
}

fn check(message: &Message) -> io::Result<()> {
    error_of(message).map_or(Ok(()), |error| Err(error.into()))
}

/// The attributes in a stretch of bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// Those of a message's body, behind its `nfgenmsg`.
    pub(super) fn of_body(body: &'a [u8]) -> Self {
        Self(body.get(GENERIC_LEN..).unwrap_or_default())
    }

    /// The contents of attribute `kind`.
    pub(super) fn find(self, kind: u16) -> Option<&'a [u8]> {
        let mut bytes = self.0;
        while let Some(header) = bytes.first_chunk::<ATTRIBUTE_HEADER_LEN>() {
            let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
            let contents = bytes.get(ATTRIBUTE_HEADER_LEN..len)?;
            if u16::from_ne_bytes([header[2], header[3]]) & KIND_MASK == kind {
                return Some(contents);
            }
            bytes = bytes.get(len.next_multiple_of(4)..)?;
        }
        None
    }

    /// The attributes within attribute `kind`; none if there is none.
    pub(super) fn nested(self, kind: u16) -> Self {
        Self(self.find(kind).unwrap_or_default())
    }

    /// The number in attribute `kind`, most significant byte first as all of netfilter's are.
    pub(super) fn number(self, kind: u16) -> Option<u64> {
        Some(self.find(kind)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The text in attribute `kind`.
    pub(super) fn text(self, kind: u16) -> Option<&'a str> {
        let bytes = self.find(kind)?.split(|byte| *byte == 0).next()?;
        str::from_utf8(bytes).ok()
    }
}

/// The header of a message of netfilter's: address family, version, resource.
pub(super) fn generic(family: u8) -> Vec<u8> {
    vec![family, 0, 0, 0]
}

/// Adds an attribute to a body.
pub(super) fn push_attribute(body: &mut Vec<u8>, kind: u16, contents: &[u8]) {
    body.extend(((ATTRIBUTE_HEADER_LEN + contents.len()) as u16).to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(contents);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Marks an attribute that has others within.
pub(super) const NESTED: u16 = 0x8000;

const KIND_MASK: u16 = 0x3fff;
const HEADER_LEN: usize = 16;
const GENERIC_LEN: usize = 4;
const ATTRIBUTE_HEADER_LEN: usize = 4;
const RECEIVE_BUFFER: usize = 8 << 20;
/// Requests in one system call: their answers must fit into an ordinary user's receive buffer.
const AT_ONCE: usize = 50;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
