//! The far ends of the router's two ports: raw frames in, raw frames out.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send,
    setsockopt, socket, sockopt,
};
use std::os::fd::AsFd;

/// A raw socket on one interface of the thread's network namespace.
#[derive(Debug)]
pub(super) struct Port {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Port {
    /// A socket that sends by interface `name`, and hears everything there if it `listens`.
    pub(super) fn open(name: &str, listens: bool) -> io::Result<Self> {
        let protocol = listens.then_some(SockProtocol::EthAll);
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, protocol)?;
        if listens {
            // An ordinary user has less, which is enough: it is emptied after each packet.
            let _ = setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
        }
        bind(socket.as_raw_fd(), &link_address(name)?)?;
        Ok(Self { socket, buffer: vec![0; 1 << 16] })
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// The next frame that came by, if there is one yet.
    pub(super) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
            Ok(len) => Ok(Some(self.buffer[..len].to_vec())),
            Err(Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a frame; whether one is there.
    pub(super) fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut polled, timeout)? > 0)
    }
}

fn link_address(name: &str) -> io::Result<LinkAddr> {
    let address = getifaddrs()?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied());
    address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}")))
}

const RECEIVE_BUFFER: usize = 8 << 20;
