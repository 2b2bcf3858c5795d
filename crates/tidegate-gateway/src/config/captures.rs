//! Interfaces that are captures: what the file says of them, and what can't be.

use std::fs;
use std::path::PathBuf;

use super::{Interface, Plane, Reader, WrittenInterface};
use crate::daemon::Pace;
use crate::fib::fixed::Description;

/// Captures instead of a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureFiles {
    /// Where frames come from.
    pub read: Option<PathBuf>,
    /// Where they go.
    pub write: Option<PathBuf>,
    /// How fast they come.
    pub pace: Pace,
}

impl Reader<'_> {
    pub(super) fn capture(
        &mut self,
        plane: Plane,
        written: &WrittenInterface,
    ) -> Option<CaptureFiles> {
        let at = written.name.span().start;
        let is_said = written.read.is_some() || written.write.is_some();
        if plane != Plane::Pcap {
            if is_said || written.pace.is_some() {
                self.refuse(at, "interface.read, write, pace", "only for the plane pcap");
            }
            return None;
        }
        if !is_said {
            self.refuse(at, "interface.read", "nothing to read, nor (interface.write) to write");
        }
        let path = |path: &Option<PathBuf>| path.as_deref().map(|path| self.beside(path));
        let (read, write) = (path(&written.read), path(&written.write));
        if let Some(Err(error)) = read.as_deref().map(fs::metadata) {
            self.refuse(at, "interface.read", &error.to_string());
        }
        let whole =
            |path: &Option<PathBuf>| path.as_ref().and_then(|path| path.canonicalize().ok());
        if whole(&read).is_some_and(|read| whole(&write) == Some(read)) {
            self.refuse(at, "interface.write", "the capture that is read would be begun anew");
        }
        Some(CaptureFiles { read, write, pace: written.pace.unwrap_or(Pace::AsRecorded) })
    }

    /// A capture's interface is known to nobody but the file.
    pub(super) fn check_links(
        &mut self,
        interfaces: &[Interface],
        world: Option<&Description>,
        at: usize,
    ) {
        for Interface { name, .. } in interfaces.iter().filter(|one| one.plane == Plane::Pcap) {
            let is_known =
                world.is_some_and(|world| world.links.iter().any(|link| link.name == *name));
            if !is_known {
                self.refuse(at, "world.link", &format!("`{name}' of the plane pcap is missing"));
            }
        }
    }
}
