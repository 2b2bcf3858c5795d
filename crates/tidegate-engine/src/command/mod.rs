//! What an operator does to flows and expectations, by hand or by program.
//!
//! Whatever ctnetlink can ask of a kernel is a method of [`Engine`] here, with the kernel's checks, in its order, and
//! with its errors; what changes is announced as the kernel announces it. Nothing here takes longer than the flows
//! that it is about: a table is walked by a [`Cursor`], as many slots at a time as the caller wants.
//!
//! * `walk`: looking at all flows, piece by piece;
//! * `flow`: making, changing and deleting one; `resume`: taking one over;
//! * `expectation`: the same of expectations;
//! * `policy`: timeouts, everybody's and those under a name.
//!
//! Linux: `nf_conntrack_netlink.c`.

mod expectation;
mod flow;
mod policy;
mod resume;
mod walk;

pub use self::expectation::Announcing;
pub use self::flow::{Change, Creation, ProtoChange, TcpChange};
pub use self::policy::{NewPolicy, OnExisting};
pub use self::resume::Resumed;
pub use self::walk::Cursor;

use core::fmt;

use crate::engine::Engine;
use crate::flow::FlowId;

/// Why a command was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// There is no such flow, expectation or master.
    NotFound,
    /// There is one with one of the tuples.
    Exists,
    /// What is asked for can't be changed.
    Busy,
    /// Something is missing, or is not what it must be.
    Invalid,
    /// A number is beyond what there can be.
    Range,
    /// There is no such helper, the flow can't have one, or it can only be said of new flows.
    NotSupported,
    /// The timeout is fixed.
    NotPermitted,
    /// The table is full.
    NoMemory,
    /// A hash chain would be too long.
    NoSpace,
    /// Another expectation says just the same.
    Already,
    /// There are too many expectations.
    TooMany,
}

impl CommandError {
    /// The number that Linux has for it, on most of its architectures.
    #[must_use]
    pub fn errno(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::NotFound => 2,
            Self::NoMemory => 12,
            Self::Busy => 16,
            Self::Exists => 17,
            Self::Invalid => 22,
            Self::TooMany => 24,
            Self::NoSpace => 28,
            Self::Range => 34,
            Self::NotSupported => 95,
            Self::Already => 114,
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotPermitted => "its timeout is fixed",
            Self::NotFound => "there is no such thing",
            Self::NoMemory => "the table is full",
            Self::Busy => "that can't be changed",
            Self::Exists => "there is one with this tuple",
            Self::Invalid => "something is missing or not what it must be",
            Self::TooMany => "there are too many expectations",
            Self::NoSpace => "a hash chain would be too long",
            Self::Range => "a number is too large",
            Self::NotSupported => "this can't be had",
            Self::Already => "this is expected already",
        })
    }
}

impl core::error::Error for CommandError {}

/// What became of a command.
pub type Done<T = ()> = Result<T, CommandError>;

impl Engine {
    /// The number that is shown of a flow: the same as long as it lives, and telling nothing of where it lies. Two
    /// flows may have the same one, though hardly ever. Linux: `nf_ct_get_id`.
    #[must_use]
    pub fn shown_id(&self, id: FlowId) -> u32 {
        self.ids.hash_words([id.as_u64(), 0]) as u32
    }

    /// The number that is shown of an expectation, which is the `number`th one that there was.
    #[must_use]
    pub fn shown_expectation_id(&self, number: u64) -> u32 {
        self.ids.hash_words([number, 1]) as u32
    }
}

#[cfg(test)]
mod tests;
