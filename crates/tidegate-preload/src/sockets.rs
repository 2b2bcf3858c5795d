//! Which descriptors are ours, and what netlink would know of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What netlink would know of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Its port: unique in its network namespace, as far as the program can tell.
    pub(crate) port: u32,
    /// A bit for each group that it is in.
    pub(crate) groups: u32,
}

/// All of them, by descriptor, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    open: BTreeMap<i32, Socket>,
    count: u32,
}

static SOCKETS: Mutex<Sockets> = Mutex::new(Sockets { open: BTreeMap::new(), count: 0 });

/// All of them, for the caller alone.
pub(crate) fn all() -> MutexGuard<'static, Sockets> {
    SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sockets {
    /// What is known of a descriptor that is ours.
    pub(crate) fn get(&self, fd: i32) -> Option<Socket> {
        self.open.get(&fd).copied()
    }

    /// Takes a new one in. The first one's port is the process's number, as the kernel has it; others have the highest
    /// bit.
    pub(crate) fn add(&mut self, fd: i32, process: u32) -> Socket {
        let port = if self.count == 0 { process } else { 1 << 31 | process << 8 ^ self.count };
        self.count += 1;
        let socket = Socket { port, groups: 0 };
        self.open.insert(fd, socket);
        socket
    }

    /// Changes what is known of a descriptor, if it is ours.
    pub(crate) fn set(&mut self, fd: i32, socket: Socket) {
        if let Some(known) = self.open.get_mut(&fd) {
            *known = socket;
        }
    }

    /// `copy` is another descriptor of the same socket now, or of something else.
    pub(crate) fn copy(&mut self, fd: i32, copy: i32) {
        match self.get(fd) {
            Some(socket) => drop(self.open.insert(copy, socket)),
            None => self.forget(copy),
        }
    }

    /// The descriptor is closed.
    pub(crate) fn forget(&mut self, fd: i32) {
        self.open.remove(&fd);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_copies_agree() {
        let mut sockets = Sockets::default();
        let one = sockets.add(3, 77);
        let other = sockets.add(4, 77);
        assert_eq!(one.port, 77);
        assert!(other.port != one.port && other.port >> 31 == 1);
        sockets.set(3, Socket { groups: 5, ..one });
        sockets.copy(3, 9);
        sockets.copy(8, 4);
        sockets.forget(3);
        assert_eq!(
            [3, 4, 9].map(|fd| sockets.get(fd)),
            [None, None, Some(Socket { groups: 5, ..one })]
        );
    }
}
