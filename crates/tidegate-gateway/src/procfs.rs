//! Files as in `/proc`, over FUSE: for the one-liners that people have, `sysctl -w` and node_exporter.
//!
//! ```text
//! reader --> kernel --> filesystem (inodes, handles) --> tree (which file is it)
//!                            |
//!                            +--> reading (an open file, read from front to back) --> Source (what it says)
//! ```
//!
//! The names, modes and errors are those of procfs: sizes are 0, a file says what is true when it is opened and read,
//! a setting takes one whole value per write. What the files say is the [`Source`]'s business, which may be an engine
//! in this process or the socket of another.

mod filesystem;
mod reading;
mod tree;

use std::io::{self, Read};
use std::path::Path;

use fuser::{BackgroundSession, Config, MountOption, SessionACL};

use self::filesystem::ProcFs;
pub use self::tree::Setting;
use self::tree::Tree;

/// Where the files' contents come from.
pub trait Source: Send + Sync + 'static {
    /// The settings that there are, by their names in `/proc/sys`, with slashes: `net/netfilter/nf_conntrack_max`.
    ///
    /// # Errors
    /// The source can't be asked.
    fn settings(&self) -> io::Result<Vec<Setting>>;

    /// Begins to read a file. Its text may be made as it is read.
    ///
    /// # Errors
    /// What a reader of the file shall get.
    fn open(&self, file: File<'_>) -> io::Result<Box<dyn Read + Send>>;

    /// Gives a setting a value, which comes as it was written, with its newline.
    ///
    /// # Errors
    /// What the writer shall get; the kernel's is `EINVAL` for what is no number or out of its range.
    fn write(&self, setting: &str, value: &str) -> io::Result<()>;
}

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File<'a> {
    /// `net/nf_conntrack`
    Flows,
    /// `net/nf_conntrack_expect`
    Expectations,
    /// `net/stat/nf_conntrack`
    Statistics,
    /// `sys/…`
    Setting(&'a str),
}

/// Who may use the files, apart from their modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audience {
    /// The user that mounts them.
    #[default]
    Owner,
    /// Everybody, as the files' modes say. An ordinary user needs `user_allow_other` in `/etc/fuse.conf` for that.
    All,
}

/// The files, as long as it lives.
#[derive(Debug)]
pub struct Mounted(BackgroundSession);

/// Puts the files below `mountpoint`, a directory, and serves them on a thread of their own.
///
/// # Errors
/// The source has no answer, FUSE can't be had, or the directory can't be mounted on.
pub fn mount(source: impl Source, mountpoint: &Path, audience: Audience) -> io::Result<Mounted> {
    let tree = Tree::new(source.settings()?);
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("tidegate".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
    ];
    config.acl = match audience {
        Audience::Owner => SessionACL::Owner,
        Audience::All => SessionACL::All,
    };
    fuser::spawn_mount(ProcFs::new(source, tree), mountpoint, &config).map(Mounted)
}

impl Mounted {
    /// Whether somebody has taken the files away.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.guard.is_finished()
    }

    /// Waits until somebody else takes the files away (`umount`).
    ///
    /// # Errors
    /// FUSE failed.
    pub fn wait(self) -> io::Result<()> {
        self.0.join()
    }

    /// Takes the files away.
    ///
    /// # Errors
    /// They are in use.
    pub fn unmount(self) -> io::Result<()> {
        self.0.umount_and_join()
    }
}

#[cfg(test)]
mod tests;
