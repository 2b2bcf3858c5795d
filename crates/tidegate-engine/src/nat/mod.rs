//! NAT: an edit of the reply tuple, decided once per flow and direction.
//!
//! `bind` decides for a draft what its reply tuple shall be; afterwards every
//! packet is rewritten from the tuples alone (`rewrite`), so that rule changes
//! never touch a living flow. Where no rule speaks a *null binding* is made: the
//! flow keeps its addresses, but may get another source port if its reply would
//! be mistaken for another flow's.
//!
//! The decisions are those of Linux 6.18 (`nf_nat_core.c`).

mod address;
pub(crate) mod bind;
mod port;
pub(crate) mod rewrite;
pub(crate) mod seqadj;

#[cfg(test)]
mod tests;

use core::net::IpAddr;

use crate::flow::{Flow, Status};
use crate::tuple::Direction;

/// Which end of a packet is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manip {
    /// The source: at POSTROUTING and INPUT.
    Src,
    /// The destination: at PREROUTING and OUTPUT.
    Dst,
}

impl Manip {
    fn opposite(self) -> Self {
        match self {
            Self::Src => Self::Dst,
            Self::Dst => Self::Src,
        }
    }

    /// Set once this end is decided.
    pub(crate) fn done_bit(self) -> Status {
        match self {
            Self::Src => Status::SRC_NAT_DONE,
            Self::Dst => Status::DST_NAT_DONE,
        }
    }

    /// Set if this end of the flow is changed.
    fn changed_bit(self) -> Status {
        match self {
            Self::Src => Status::SRC_NAT,
            Self::Dst => Status::DST_NAT,
        }
    }

    /// Whether packets of direction `dir` have this end rewritten: on the way
    /// back source and destination change places.
    pub(crate) fn applies(self, flow: &Flow, dir: Direction) -> bool {
        self.applies_to(flow.status, dir)
    }

    /// [`Manip::applies`], of a flow of that status.
    pub(crate) fn applies_to(self, status: Status, dir: Direction) -> bool {
        let end = match dir {
            Direction::Original => self,
            Direction::Reply => self.opposite(),
        };
        status.contains(end.changed_bit())
    }
}

/// What a flow may be mapped to. Linux: `struct nf_nat_range2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// First and last address; `None`: the address stays.
    pub addrs: Option<(IpAddr, IpAddr)>,
    /// First and last port or ICMP identifier; `None`: any of the same class.
    pub ports: Option<(u16, u16)>,
    /// The port that is mapped to the first of `ports`; the others follow.
    pub base_port: Option<u16>,
    /// Choose the port at random (`--random` and `--random-fully` are the same
    /// to Linux since 5.x).
    pub random: bool,
    /// Give a client the same address towards all servers.
    pub persistent: bool,
}
