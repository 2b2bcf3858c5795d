//! A socket that carries netlink messages: one that the kernel answers, or one that an engine does.
//!
//! Datagram for datagram they carry the same.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use super::error::ClientError;

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

/// What a datagram is received into. It belongs on the stack: reading the command line took more of that, and what it
/// took stays the process's.
pub(super) struct Room([MaybeUninit<u8>; LARGEST_DATAGRAM]);

impl Room {
    pub(super) const fn new() -> Self {
        Self([MaybeUninit::uninit(); LARGEST_DATAGRAM])
    }
}

impl Socket {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends a datagram.
    pub(super) fn send(&mut self, datagram: &[u8]) -> Result<(), ClientError> {
        match send(&self.0, datagram, SendFlags::NOSIGNAL) {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(ClientError::Closed),
            Err(errno) => Err(ClientError::Broken(errno.into())),
        }
    }

    /// From now on [`Self::receive`] gives up waiting now and then.
    pub(super) fn be_impatient(&mut self) -> Result<(), ClientError> {
        sockopt::set_socket_timeout(&self.0, sockopt::Timeout::Recv, Some(PATIENCE))
            .map_err(|errno| ClientError::Broken(errno.into()))
    }

    /// Waits for the next datagram, which is empty if the wait was given up; `None` if some were lost before it.
    pub(super) fn receive<'a>(
        &mut self,
        room: &'a mut Room,
    ) -> Result<Option<&'a [u8]>, ClientError> {
        match recv(&self.0, &mut room.0[..], RecvFlags::empty()) {
            Ok((_, 0)) | Err(Errno::CONNRESET) => Err(ClientError::Closed),
            Ok(((datagram, _), _)) => Ok(Some(datagram)),
            Err(Errno::NOBUFS) => Ok(None),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Some(&[])),
            Err(errno) => Err(ClientError::Broken(errno.into())),
        }
    }
}

/// The kernel fills datagrams up to this length if there is room for it.
const LARGEST_DATAGRAM: usize = 32 << 10;
/// So long an impatient listener waits.
const PATIENCE: Duration = Duration::from_millis(200);
