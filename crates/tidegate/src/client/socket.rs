//! A socket that carries netlink messages: one that the kernel answers, or one that an engine does.
//!
//! Datagram for datagram they carry the same.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::error::ClientError;

/// A socket, and the datagram that came last.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Socket {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; LARGEST_DATAGRAM] }
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, datagram: &[u8]) -> Result<(), ClientError> {
        match send(&self.socket, datagram, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ClientError::Closed),
            Err(errno) => Err(ClientError::Broken(errno.into())),
        }
    }

    /// From now on [`Self::receive`] gives up waiting now and then.
    pub(super) fn be_impatient(&mut self) -> Result<(), ClientError> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| ClientError::Broken(errno.into()))
    }

    /// Waits for the next datagram, which is empty if the wait was given up; `None` if some were lost before it.
    pub(super) fn receive(&mut self) -> Result<Option<&[u8]>, ClientError> {
        loop {
            match recv(&self.socket, &mut self.buffer[..], RecvFlags::empty()) {
                Ok((0, _)) | Err(Errno::CONNRESET) => return Err(ClientError::Closed),
                Ok((len, _)) => return Ok(Some(&self.buffer[..len])),
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Ok(None),
                Err(Errno::AGAIN) => return Ok(Some(&[])),
                Err(errno) => return Err(ClientError::Broken(errno.into())),
            }
        }
    }
}

/// The kernel fills datagrams up to this length if there is room for it.
const LARGEST_DATAGRAM: usize = 32 << 10;
/// So long an impatient listener waits.
const PATIENCE: Duration = Duration::from_millis(200);
