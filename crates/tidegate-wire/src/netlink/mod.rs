//! Netlink messages of the netfilter subsystems, both ways.
//!
//! conntrack(8), conntrackd and their like speak to the kernel in these, and to Tidegate. Parsing and
//! writing are each other's inverse: a message is read as a list of typed attributes in the order
//! in which they came, and written from one. What this file's values don't know is kept as it came.
//!
//! ```text
//! datagram --> frame::Messages --> Message --> Family + attr::Attrs --> conntrack::Attribute,
//!              (one after the other)           (who is asked)           expect::…, timeout::…, stats::…
//! ```
//!
//! * [`frame`]: messages in a datagram, their headers, errors and ends;
//! * [`attr`]: attributes in a message, nested ones too;
//! * [`answer`]: that a request succeeded or failed, and why;
//! * [`mod@tuple`], [`conntrack`], [`expect`], [`timeout`], [`stats`]: what attributes say;
//! * [`tidegate`]: what only Tidegate says.
//!
//! Shapes and numbers: `include/uapi/linux/netlink.h`, `netfilter/nfnetlink*.h` and
//! `nfnetlink_conntrack.h`. Headers are in the byte order of the machine, values in network order but
//! where the kernel has it otherwise. This module knows bytes only: no socket, no table, no policy.

pub mod answer;
pub mod attr;
pub mod conntrack;
pub mod expect;
pub mod frame;
pub mod stats;
pub mod tidegate;
pub mod timeout;
pub mod tuple;

pub use self::answer::{Answer, Details};
pub use self::attr::{Attr, AttrError, Attrs};
pub use self::frame::{Family, Flags, FrameError, Header, Message, Messages, Writer};
pub use self::tuple::Tuple;

#[cfg(test)]
mod tests;
