//! Flows and events as text, in the words that scripts already know.
//!
//! | form | grammar | type |
//! | --- | --- | --- |
//! | a line of `/proc/net/nf_conntrack` | Linux `ct_seq_show` | [`ProcLine`] |
//! | a line of `conntrack -E` | conntrack-tools `nfct_snprintf` | [`Announcement`] |
//! | a line of `/proc/net/nf_conntrack_expect` | Linux `exp_seq_show` | [`ProcExpectation`] |
//! | a line of `conntrack -L expect` | conntrack-tools `nfexp_snprintf` | [`ListedExpectation`] |
//! | an event of the scenario format | its section 4 | [`CompactEvent`] |
//! | a packet | see there | [`PacketLine`] |
//! | a packet's way | see there | [`Steps`], [`Prospect`] |
//!
//! All are [`Display`](std::fmt::Display) views of borrowed values: nothing is allocated, and
//! nothing ends in a line feed; but for ways, which are lines.

mod event;
pub(crate) mod expect;
mod packet;
mod proc;
mod steps;
mod tuple;

#[cfg(test)]
mod tests;

pub use event::{Announcement, CompactEvent};
pub use expect::{ListedExpectation, ProcExpectation};
pub use packet::PacketLine;
pub use proc::ProcLine;
pub use steps::{Prospect, Steps};

use tidegate_wire::proto;

/// The name that the kernel has for an upper-layer protocol (`l4proto_name`);
/// `unknown` for most.
#[must_use]
pub fn l4_name(proto: u8) -> &'static str {
    match proto {
        proto::ICMP => "icmp",
        proto::TCP => "tcp",
        proto::UDP => "udp",
        proto::GRE => "gre",
        proto::SCTP => "sctp",
        proto::UDPLITE => "udplite",
        proto::ICMPV6 => "icmpv6",
        _ => "unknown",
    }
}

/// `ORIGINAL` or `REPLY`.
#[must_use]
pub fn direction_name(dir: tidegate_engine::tuple::Direction) -> &'static str {
    match dir {
        tidegate_engine::tuple::Direction::Original => "ORIGINAL",
        tidegate_engine::tuple::Direction::Reply => "REPLY",
    }
}
