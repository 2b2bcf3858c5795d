//! What is wrong with a file of snapshots, and where.

use std::path::PathBuf;
use std::{fmt, io};

/// A file can't be read, or not further.
#[derive(Debug)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The block, the first being 0, and the byte that it begins at; `None` if none was reached.
    pub block: Option<(u64, u64)>,
    /// Why.
    pub cause: Cause,
}

/// Why a file of snapshots can't be read.
#[derive(Debug)]
pub enum Cause {
    /// The system's word.
    Io(io::Error),
    /// It doesn't begin as such files do.
    NoSnapshot,
    /// Another version's.
    Version(u16),
    /// Made on a machine of the other byte order.
    ByteOrder,
    /// It ends in the middle of a block.
    Cut,
    /// It ends before the block that says that all is there.
    Unfinished,
    /// A block says that it has so many bytes.
    TooLarge(u32),
    /// A block's checksum is not that of its content.
    Checksum,
    /// A block holds something else than its kind says.
    Damaged(&'static str),
}

impl Cause {
    /// Whether the file just ends early, as after a crash of who wrote it.
    #[must_use]
    pub fn is_early_end(&self) -> bool {
        matches!(self, Self::Cut | Self::Unfinished)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        if let Some((block, at)) = self.block {
            write!(f, "block {block} at byte {at}: ")?;
        }
        write!(f, "{}", self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::NoSnapshot => f.write_str("this is no snapshot of a connection tracking table"),
            Self::Version(version) => {
                write!(
                    f,
                    "a snapshot of version {version}; this program reads version {}",
                    super::VERSION
                )
            }
            Self::ByteOrder => f.write_str("made on a machine of the other byte order"),
            Self::Cut => f.write_str("the file ends in the middle of it"),
            Self::Unfinished => f.write_str("the file ends before the snapshot does"),
            Self::TooLarge(len) => write!(f, "{len} bytes are more than a block may have"),
            Self::Checksum => f.write_str("the checksum differs: it was damaged or overwritten"),
            Self::Damaged(how) => write!(f, "it {how}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
