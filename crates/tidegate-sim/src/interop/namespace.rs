//! A network namespace of the calling thread's own, gone with the thread and its sockets.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::Failure;

/// Moves the calling thread into a fresh namespace, with these settings.
pub(super) fn enter(settings: &[(&str, &str)]) -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| format!("a network namespace: {error}"))?;
    for (name, value) in settings {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&path, value).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// The kernel's netfilter, as a program speaks to it.
pub(super) struct Kernel {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What the settings of both sides are.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    ("net.netfilter.nf_conntrack_acct", "1"),
    ("net.netfilter.nf_conntrack_timestamp", "1"),
    ("net.netfilter.nf_conntrack_events", "1"),
];

impl Kernel {
    /// A socket in the thread's namespace that hears the groups of `mask`.
    pub(super) fn open(mask: u32) -> Result<Self, Failure> {
        let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkNetFilter);
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, mask))?;
        let patience = TimeVal::new(2, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Self { socket, buffer: vec![0; 1 << 18] })
    }

    /// Sends a request.
    pub(super) fn send(&self, request: &[u8]) -> Result<(), Failure> {
        send(self.socket.as_raw_fd(), request, MsgFlags::empty())?;
        Ok(())
    }

    /// The next datagram; `None` if there is none, or, with `waits`, none comes.
    pub(super) fn receive(&mut self, waits: bool) -> Result<Option<Vec<u8>>, Failure> {
        let flags = if waits { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT };
        match recv(self.socket.as_raw_fd(), &mut self.buffer, flags) {
            Ok(len) => Ok(Some(self.buffer[..len].to_vec())),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All datagrams that are there by now.
    pub(super) fn heard(&mut self) -> Result<Vec<Vec<u8>>, Failure> {
        // What was brought about before is delivered by then.
        std::thread::sleep(Duration::from_millis(2));
        let mut all = Vec::new();
        while let Some(datagram) = self.receive(false)? {
            all.push(datagram);
        }
        Ok(all)
    }
}
