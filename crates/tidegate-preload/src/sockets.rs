//! The descriptors that stand for netlink sockets, and what netlink would remember of each.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString, c_int};
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What netlink remembers of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// The type that the program asked for.
    pub(crate) kind: c_int,
    /// Its address, unlike that of any other netlink socket of the process.
    pub(crate) port: u32,
    /// The groups that it listens to, a bit for each.
    pub(crate) groups: u32,
}

/// All of them, by descriptor.
#[derive(Debug)]
pub(crate) struct Sockets {
    open: BTreeMap<c_int, Socket>,
    made: u32,
}

static SOCKETS: Mutex<Sockets> = Mutex::new(Sockets { open: BTreeMap::new(), made: 0 });

/// The engine's socket, if programs are to be led to one.
pub(crate) fn path() -> Option<&'static CString> {
    static PATH: OnceLock<Option<CString>> = OnceLock::new();
    let path = PATH.get_or_init(|| {
        let path = std::env::var_os("TIDEGATE_SOCKET").map(OsString::into_vec)?;
        CString::new(path).ok().filter(|path| !path.is_empty())
    });
    path.as_ref()
}

impl Sockets {
    /// The table, for as long as the guard lives.
    pub(crate) fn lock() -> MutexGuard<'static, Self> {
        SOCKETS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a descriptor, if it is one of ours.
    pub(crate) fn find(descriptor: c_int) -> Option<Socket> {
        Self::lock().open.get(&descriptor).copied()
    }

    /// Notes a new socket, and gives it an address: the first one has the process's number, as in the kernel.
    pub(crate) fn add(&mut self, descriptor: c_int, kind: c_int) -> u32 {
        self.made += 1;
        let port = if self.made == 1 { std::process::id() } else { 1 << 31 | self.made };
        self.set(descriptor, Socket { kind, port, groups: 0 });
        port
    }

    /// Notes what a descriptor stands for now.
    pub(crate) fn set(&mut self, descriptor: c_int, socket: Socket) {
        self.open.insert(descriptor, socket);
    }

    /// Forgets a descriptor.
    pub(crate) fn forget(&mut self, descriptor: c_int) {
        self.open.remove(&descriptor);
    }

    /// Notes that a descriptor is another one's copy now, or no longer is.
    pub(crate) fn copy(&mut self, from: c_int, to: c_int) {
        match self.open.get(&from).copied() {
            Some(socket) => self.set(to, socket),
            None => self.forget(to),
        }
    }
}
