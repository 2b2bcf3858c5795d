//! The file system itself: the kernel's questions about inodes and handles, answered from the tree and the source.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::reading::{Piece, Reading};
use super::tree::{Kind, Node, ROOT, Tree};
use super::{File, Source};

/// The mounted files.
pub(super) struct ProcFs<S> {
    source: S,
    tree: Tree,
    open: Mutex<Handles>,
    owner: (u32, u32),
}

#[derive(Default)]
struct Handles {
    last: u64,
    readings: BTreeMap<u64, Reading>,
}

/// Nothing about the tree changes.
const FOREVER: Duration = Duration::from_secs(3600);

impl<S: Source> ProcFs<S> {
    pub(super) fn new(source: S, tree: Tree) -> Self {
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { source, tree, open: Mutex::default(), owner }
    }

    fn node(&self, inode: INodeNo) -> Result<&Node, Errno> {
        self.tree.node(inode.0).ok_or(Errno::ENOENT)
    }

    fn file(&self, inode: INodeNo) -> Result<File<'_>, Errno> {
        self.node(inode)?.file().ok_or(Errno::EISDIR)
    }

    fn attributes(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        let node = self.node(inode)?;
        let is_directory = matches!(node.kind, Kind::Directory);
        Ok(FileAttr {
            ino: inode,
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_directory { FileType::Directory } else { FileType::RegularFile },
            perm: node.mode(),
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    /// Who only writes has nothing to read.
    fn begin(&self, inode: INodeNo, flags: OpenFlags) -> Result<u64, Errno> {
        let file = self.file(inode)?;
        let reading = match flags.acc_mode() {
            OpenAccMode::O_WRONLY => None,
            OpenAccMode::O_RDONLY | OpenAccMode::O_RDWR => Some(self.text(file)?),
        };
        let mut open = self.handles();
        open.last += 1;
        let handle = open.last;
        open.readings.extend(reading.map(|reading| (handle, reading)));
        Ok(handle)
    }

    fn text(&self, file: File<'_>) -> Result<Reading, Errno> {
        self.source.open(file).map(Reading::new).map_err(errno)
    }

    fn piece(&self, inode: INodeNo, handle: u64, at: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let file = self.file(inode)?;
        // Taken out while it is read, so that a slow reader keeps nobody waiting.
        let reading = self.handles().readings.remove(&handle);
        let mut reading = reading.ok_or(Errno::EBADF)?;
        let mut piece = reading.read(at, len);
        if let Ok(Piece::Behind) = piece {
            reading = self.text(file)?;
            piece = reading.read(at, len);
        }
        self.handles().readings.insert(handle, reading);
        match piece.map_err(errno)? {
            Piece::Here(bytes) => Ok(bytes),
            Piece::Behind => Err(Errno::EIO),
        }
    }

    /// As procfs does (`sysctl_writes_strict`): a write is a value, and only at the beginning.
    fn set(&self, inode: INodeNo, offset: u64, value: &[u8]) -> Result<(), Errno> {
        let File::Setting(name) = self.file(inode)? else { return Err(Errno::EACCES) };
        let value = str::from_utf8(value).map_err(|_| Errno::EINVAL)?;
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        self.source.write(name, value).map_err(errno)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn errno(error: io::Error) -> Errno {
    Errno::from(error)
}

impl<S: Source> Filesystem for ProcFs<S> {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = name.to_str().and_then(|name| self.tree.find(parent.0, name));
        match found.ok_or(Errno::ENOENT).and_then(|number| self.attributes(INodeNo(number))) {
            Ok(attributes) => reply.entry(&FOREVER, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(error),
        }
    }

    /// A shell's `>` cuts the file before it writes, which changes nothing.
    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let is_owners = mode.is_some() || uid.is_some() || gid.is_some();
        match self.attributes(inode) {
            Ok(_) if is_owners => reply.error(Errno::EPERM),
            Ok(attributes) => reply.attr(&FOREVER, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match self.begin(inode, flags) {
            Ok(handle) => reply.opened(FileHandle(handle), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.piece(inode, handle.0, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.set(inode, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.handles().readings.remove(&handle.0);
        reply.ok();
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(node) = self.node(inode) else { return reply.error(Errno::ENOENT) };
        let dots = [(inode.0, "."), (node.parent.max(ROOT), "..")];
        let entries = self.tree.entries(inode.0).map(|(number, node)| (number, node.name.as_str()));
        let all = (1..).zip(dots.into_iter().chain(entries));
        for (next, (number, name)) in all.skip_while(|(next, _)| *next <= offset) {
            let is_directory = self.node(INodeNo(number)).is_ok_and(|node| node.file().is_none());
            let kind = if is_directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(number), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }
}
