//! Sockets of several workers, among whom an interface's frames are shared (`PACKET_FANOUT`).
//!
//! A socket that has joined no group hears everything, and a socket can join only when it hears already. So until all have
//! joined, they hear through a filter that lets nothing pass.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use libc::{SO_ATTACH_FILTER, SO_DETACH_FILTER, SOL_PACKET, SOL_SOCKET};
use tidegate_engine::steer::Steering;

use super::super::homeward;
use super::super::system::{Filter, option, set_option};

/// Not in every libc.
const PACKET_FANOUT: i32 = 18;
const PACKET_FANOUT_DATA: i32 = 22;
/// Packets of a flow come to one socket, by the kernel's own hash of it.
const HASH: u32 = 0;
/// A program says to which.
const PROGRAM: u32 = 7;
/// A number that no other group has is chosen for this one.
const UNIQUE: u32 = 0x2000;
/// What the interface sends is not heard: the sockets' own option for this doesn't count in a group.
const IGNORE_OUTGOING: u32 = 0x4000;

/// See the module's documentation.
pub(super) struct Group {
    workers: usize,
    /// What chooses among the sockets, if not the kernel's hash does.
    program: Option<OwnedFd>,
    /// Once the first has founded it.
    number: Option<u32>,
    sockets: Vec<OwnedFd>,
}

impl Group {
    /// Of one, which is none.
    pub(super) fn alone() -> Self {
        Self { workers: 1, program: None, number: None, sockets: Vec::new() }
    }

    /// Of all workers.
    pub(super) fn of(steering: Option<&Steering>) -> Self {
        let Some(steering) = steering else { return Self::alone() };
        let program = homeward::load(steering).ok();
        Self { workers: steering.workers(), program, ..Self::alone() }
    }

    /// Of how many.
    pub(super) fn workers(&self) -> usize {
        self.workers
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
        let choice = if self.program.is_some() { PROGRAM } else { HASH };
        let kind = (choice | IGNORE_OUTGOING) << 16;
        let fd = socket.as_fd();
        match self.number {
            Some(number) => set_option(fd, SOL_PACKET, PACKET_FANOUT, kind | number)?,
            None => {
                set_option(fd, SOL_PACKET, PACKET_FANOUT, kind | UNIQUE << 16)?;
                let told: u32 = option(fd, SOL_PACKET, PACKET_FANOUT)?;
                self.number = Some(told & 0xffff);
                if let Some(program) = &self.program {
                    set_option(fd, SOL_PACKET, PACKET_FANOUT_DATA, program.as_raw_fd())?;
                }
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
