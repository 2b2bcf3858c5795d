//! Why a request is refused, as numbers that every netlink program knows.

use std::fmt;

use tidegate_engine::command::CommandError;
use tidegate_wire::netlink::AttrError;

/// A Linux error number, as most of its architectures have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Who asks may not.
    pub const NOT_PERMITTED: Self = Self(1);
    /// There is no such thing.
    pub const NOT_FOUND: Self = Self(2);
    /// Something is going on already.
    pub const BUSY: Self = Self(16);
    /// There is one already.
    pub const EXISTS: Self = Self(17);
    /// There is no such port.
    pub const NO_DEVICE: Self = Self(19);
    /// It can't be understood, or something is missing.
    pub const INVALID: Self = Self(22);
    /// A value is too short, or too large.
    pub const RANGE: Self = Self(34);
    /// There is no such thing to be had.
    pub const NOT_SUPPORTED: Self = Self(95);
    /// Something was lost for want of room.
    pub const NO_BUFFERS: Self = Self(105);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

impl std::error::Error for Errno {}

impl From<CommandError> for Errno {
    fn from(error: CommandError) -> Self {
        Self(error.errno())
    }
}

impl From<AttrError> for Errno {
    fn from(error: AttrError) -> Self {
        match error {
            AttrError::Header(_) | AttrError::Length(..) => Self::INVALID,
            AttrError::Value(..) => Self::RANGE,
        }
    }
}
