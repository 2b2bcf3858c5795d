//! The control side: ctnetlink, served from an engine as a kernel serves it, and what a kernel can't say.
//!
//! ```text
//!            datagram in                                    datagrams out
//!  socket ---------------> Server::receive --> requests --> Outbox ------------> socket
//!                                |    ^            |          ^
//!                                v    |            v          | Server::work: listings and flushes, piece by piece
//!                             the engine          Job --------+
//!                                |
//!                                +--> News (numbered events) --> whoever listens
//! ```
//!
//! [`Server`] knows neither sockets nor clocks: it is handed datagrams, an engine and the time, and says what is to be
//! sent. The engine may be several workers' ([`Engines`], [`team`]). [`socket`] is the Unix socket around it. What a client
//! may do is a value, [`Access`]. A session costs a bounded amount of memory, whatever its client does or doesn't read, and
//! a bounded amount of time whenever it is looked at.
//!
//! Messages are those of Linux 6.18, attribute by attribute (`nf_conntrack_netlink.c`, `nfnetlink_cttimeout.c`).
//! Where a kernel passes over a request in silence, the answer here is an error.

mod body;
mod condition;
pub mod engines;
mod errno;
mod expectation;
mod filter;
mod flow;
mod job;
mod news;
mod outbox;
mod requests;
mod server;
mod session;
pub mod socket;
pub mod state;
pub mod team;
mod tuple;

#[cfg(test)]
mod tests;

pub use self::engines::Engines;
pub use self::errno::Errno;
pub use self::job::Question;
pub use self::server::{Server, SessionId};
pub use self::session::{Access, Hangup};
pub use self::team::Team;
