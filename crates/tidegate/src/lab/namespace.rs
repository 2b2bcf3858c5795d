//! Namespaces: the process's own of users, processes and mounts, and one network for each host of the lab.
//!
//! The first process makes the namespace of processes (and, unless it may do all that anyway, of users) and starts
//! itself again as the first process in it. When that one ends, however it ends, the kernel ends all others there, and
//! with the last process the networks go.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind, mount_change, mount_remount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Obstacle;

/// Makes a namespace of processes for the next child. Who may not do so becomes root in a namespace of users first.
/// The calling process must have one thread.
pub(super) fn leave_processes() -> Result<(), Obstacle> {
    match unshare(CloneFlags::CLONE_NEWPID) {
        Err(Errno::EPERM) => {}
        done => return done.map_err(forbidden),
    }
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID).map_err(forbidden)?;
    let files = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    files
        .into_iter()
        .try_for_each(|(path, text)| fs::write(path, text))
        .map_err(Obstacle::Forbidden)
}

/// Gives the calling process mounts of its own: what it mounts is seen by nobody else.
pub(super) fn leave_mounts() -> Result<(), Obstacle> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(forbidden)?;
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(|errno| Obstacle::Forbidden(errno.into()))
}

fn forbidden(errno: Errno) -> Obstacle {
    Obstacle::Forbidden(errno.into())
}

/// Lays a file over another one, for reading only.
pub(super) fn cover(file: &str, with: &std::path::Path) -> io::Result<()> {
    mount_bind(with, file)?;
    // Whoever made the file system may have forbidden more; then it stays as it is.
    let _ = mount_remount(file, MountFlags::BIND | MountFlags::RDONLY, "");
    Ok(())
}

/// A network of its own.
#[derive(Debug)]
pub(super) struct Network(OwnedFd);

impl Network {
    /// An empty network.
    pub(super) fn create() -> Result<Self, Obstacle> {
        let make = || -> io::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        };
        joined(thread::spawn(make).join()).map(Self).map_err(Obstacle::Forbidden)
    }

    /// Takes the calling thread into it: what the thread opens and starts from now on belongs there.
    pub(super) fn enter(&self) -> io::Result<()> {
        let network = Some(LinkNameSpaceType::Network);
        Ok(move_into_link_name_space(self.0.as_fd(), network)?)
    }

    /// Does something in it, and waits until it is done.
    pub(super) fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Obstacle> {
        let work = || self.enter().map(|()| work());
        let done = thread::scope(|scope| scope.spawn(work).join());
        joined(done).map_err(Obstacle::Forbidden)
    }
}

impl AsFd for Network {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What a thread came to; its panic is the caller's.
fn joined<T>(done: thread::Result<T>) -> T {
    done.unwrap_or_else(|panic| resume_unwind(panic))
}
