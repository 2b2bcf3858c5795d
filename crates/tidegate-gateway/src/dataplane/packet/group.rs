//! Sockets of several workers, among whom an interface's frames are shared (`PACKET_FANOUT`).
//!
//! A socket that has joined no group hears everything, and a socket can join only when it hears already. So until all have
//! joined, they hear through a filter that lets nothing pass.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use libc::{SO_ATTACH_FILTER, SO_DETACH_FILTER, SOL_PACKET, SOL_SOCKET};

use super::super::system::{Filter, option, set_option};

/// Not in every libc. Packets of a flow come to one socket, by the kernel's own hash of it.
const PACKET_FANOUT: i32 = 18;
const HASH: u32 = 0;
/// A number that no other group has is chosen for this one.
const UNIQUE: u32 = 0x2000;
/// What the interface sends is not heard: the sockets' own option for this doesn't count in a group.
const IGNORE_OUTGOING: u32 = 0x4000;

/// See the module's documentation.
pub(super) struct Group {
    workers: usize,
    /// Once the first has founded it.
    number: Option<u32>,
    sockets: Vec<OwnedFd>,
}

impl Group {
    /// Of so many; of one there is no group.
    pub(super) fn of(workers: usize) -> Self {
        Self { workers, number: None, sockets: Vec::new() }
    }

    /// Keeps a socket from hearing anything until the group is complete.
    pub(super) fn silence(&self, socket: &OwnedFd) -> io::Result<()> {
        if self.workers == 1 {
            return Ok(());
        }
        set_option(socket.as_fd(), SOL_SOCKET, SO_ATTACH_FILTER, Filter::nothing())
    }

    /// Takes a socket in, which hears its interface by now.
    pub(super) fn join(&mut self, socket: OwnedFd) -> io::Result<()> {
        if self.workers == 1 {
            return Ok(());
        }
        let kind = (HASH | IGNORE_OUTGOING) << 16;
        let fd = socket.as_fd();
        match self.number {
            Some(number) => set_option(fd, SOL_PACKET, PACKET_FANOUT, kind | number)?,
            None => {
                set_option(fd, SOL_PACKET, PACKET_FANOUT, kind | UNIQUE << 16)?;
                let told: u32 = option(fd, SOL_PACKET, PACKET_FANOUT)?;
                self.number = Some(told & 0xffff);
            }
        }
        self.sockets.push(socket);
        Ok(())
    }

    /// All have joined: now they hear.
    pub(super) fn begin(self) -> io::Result<()> {
        self.sockets
            .iter()
            .try_for_each(|socket| set_option(socket.as_fd(), SOL_SOCKET, SO_DETACH_FILTER, 0_i32))
    }
}
