//! Fragments become datagrams before any rule sees them, and fragments again on the way out.
//!
//! The path hands every received datagram to [`Defrag::admit`] at the very first of its hooks
//! (priority -400). What is no fragment comes back at once; a fragment is held in the queue of its
//! datagram until the last hole is filled ([`Admission::Complete`]), until it is refused, or until
//! [`Defrag::expire`] gives the queue up. Every datagram that was put together takes a
//! [`FragmentPlan`] along, by which [`refragment`] undoes the work behind POSTROUTING.
//!
//! The rules are Linux's: those of `ip_defrag` for IPv4 (`v4`), of `nf_ct_frag6_gather` for IPv6
//! (`v6`), of `inet_frag_queue_insert` for both (`queue`).
//!
//! # Bounded memory
//!
//! Each family has its own budget, `ipfrag_high_thresh` and `nf_conntrack_frag6_high_thresh`. A
//! fragment costs its size and a fixed overhead, a queue another fixed overhead (`pool`). A
//! fragment that doesn't fit is refused, and nothing is evicted for it: as in Linux, only time,
//! completion or a fatal error frees memory. A budget of 0 refuses all fragments. Linux lets one
//! sender have all of it; here a source has a share (`source`), so that it can't starve the others.
//!
//! Queues are kept in ordered maps: equal calls give equal answers. This module knows headers and
//! time, but no rule, route, port or flow, and it sends nothing.

mod pool;
mod queue;
mod refragment;
mod source;
mod v4;
mod v6;

use alloc::vec::Vec;

use tidegate_wire::{Family, Headers};

use self::pool::{Budget, Key, Pool};
pub(crate) use self::refragment::{FragmentPlan, exceeds_mtu, fragment_v4, refragment};
use crate::limits::Limits;
use crate::time::Instant;

/// The incomplete datagrams of both families.
#[derive(Debug)]
pub(crate) struct Defrag {
    v4: Pool,
    v6: Pool,
}

/// Which of the two hooks with a defragmenter a fragment is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    /// PREROUTING.
    Received,
    /// OUTPUT.
    Sent,
}

/// Where a fragment is. Fragments of different hooks or zones never meet, and neither do those for
/// a link-local or multicast IPv6 address that came by different ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The hook.
    pub(crate) entry: Entry,
    /// The conntrack zone that was chosen before defragmentation; 0 if none was.
    pub(crate) zone: u16,
    /// The number of the port it came in by; `None` for the host's own packets.
    pub(crate) port: Option<u16>,
}

/// What became of a packet at the defragmenter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It goes on as it is. It is no fragment, or one of IPv6 that Linux doesn't touch: a first
    /// fragment that doesn't reach into its upper layer's header far enough, or one that is
    /// followed by more and whose length is no multiple of 8 (which also ends its queue).
    Whole,
    /// It is held until the rest arrives.
    Held,
    /// It was the last that was missing: this goes on in its place. An IPv6 datagram that is whole
    /// in spite of its fragment header (RFC 6946) comes out without it.
    Complete(Datagram),
    /// It is dropped.
    Refused(FragmentError),
}

/// A datagram put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Datagram {
    /// The whole datagram, with the first fragment's headers made right for it.
    pub(crate) bytes: Vec<u8>,
    /// How it came, and how it is to be sent.
    pub(crate) plan: FragmentPlan,
}

/// Why a fragment, or the datagram it completed, is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FragmentError {
    /// All its bytes are here already; what is held stays (RFC 5722 erratum 3089).
    Duplicate,
    /// It overlaps in part with others; the datagram is given up (RFC 5722 section 4).
    Overlap,
    /// It has no data, or contradicts where the datagram was said to end. The datagram is given up
    /// if it is IPv4's.
    BadLength,
    /// The datagram would be longer than 65535 bytes (IPv6: its payload).
    TooLong,
    /// Some fragments can carry congestion marks and others can't (RFC 3168 section 5.3).
    Ecn,
    /// The IPv6 fragment header is cut short.
    NoHeaderChain,
    /// The family's memory is used up.
    Full,
    /// The source has its share of the family's memory.
    SourceFull,
}

impl FragmentError {
    /// Each of them once, at the place that [`index`](Self::index) names.
    pub const ALL: [Self; 8] = [
        Self::Duplicate,
        Self::Overlap,
        Self::BadLength,
        Self::TooLong,
        Self::Ecn,
        Self::NoHeaderChain,
        Self::Full,
        Self::SourceFull,
    ];

    /// Its place in [`ALL`](Self::ALL), for counters.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name in counters and listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::Overlap => "overlap",
            Self::BadLength => "bad-length",
            Self::TooLong => "too-long",
            Self::Ecn => "ecn",
            Self::NoHeaderChain => "no-header-chain",
            Self::Full => "full",
            Self::SourceFull => "source-full",
        }
    }

    /// Whether the queue ends with it. Linux is stricter with IPv4 here.
    fn ends_queue(self, family: Family) -> bool {
        match self {
            Self::Overlap | Self::TooLong | Self::Ecn => true,
            Self::BadLength => family == Family::V4,
            Self::Duplicate | Self::NoHeaderChain | Self::Full | Self::SourceFull => false,
        }
    }
}

/// A datagram that stayed incomplete for too long.
///
/// If its first fragment had arrived, "time exceeded" (reassembly) is due to its source, quoting
/// that fragment: for IPv4 only if the datagram was for the host itself, for IPv6 always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Its family.
    pub(crate) family: Family,
    /// Where its latest fragment was.
    pub(crate) place: Place,
    /// The first fragment as it was received, `None` if it never was.
    pub(crate) first_fragment: Option<Vec<u8>>,
}

impl Defrag {
    /// A defragmenter that holds nothing.
    pub(crate) fn new() -> Self {
        Self { v4: Pool::new(Family::V4), v6: Pool::new(Family::V6) }
    }

    /// Takes a packet whose `headers` dissection found. A queue's lifetime is what `limits` says
    /// when its first fragment arrives.
    ///
    /// => [`expire`](Self::expire) was called for `now` until it had nothing more.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        limits: &Limits,
        place: Place,
        bytes: &[u8],
        headers: &Headers,
    ) -> Admission {
        let arrival = match headers.family {
            Family::V4 => Ok(v4::arrival(bytes, headers)),
            Family::V6 => v6::arrival(bytes, headers),
        };
        let arrival = match arrival {
            Ok(Some(arrival)) => arrival,
            Ok(None) => return Admission::Whole,
            Err(error) => return Admission::Refused(error),
        };
        let (pool, budget) = match headers.family {
            Family::V4 => (&mut self.v4, Budget::of_v4(limits)),
            Family::V6 => (&mut self.v6, Budget::of_v6(limits)),
        };
        pool.admit(now, budget, Key::new(place, headers, &arrival), place, &arrival)
    }

    /// Gives up the one of the queues due at `now` that is due longest; `None` if none is.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Expired> {
        let (v4, v6) = (self.v4.next_deadline(), self.v6.next_deadline());
        match (v4, v6) {
            (Some(v4), Some(v6)) if v6 < v4 => self.v6.expire(now),
            (Some(_), _) => self.v4.expire(now),
            (None, _) => self.v6.expire(now),
        }
    }

    /// When the next queue is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let deadlines = [self.v4.next_deadline(), self.v6.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// What a family's queues cost at present, in the bytes that its budget counts.
    pub(crate) fn held(&self, family: Family) -> u64 {
        match family {
            Family::V4 => self.v4.held(),
            Family::V6 => self.v6.held(),
        }
    }
}

#[cfg(test)]
mod tests;
