//! The engine: every decision that connection tracking, firewall and NAT make
//! about a packet, and nothing else.
//!
//! It is handed packets, time and answers about routes ([`Fib`]); it rewrites the
//! packets in place and returns verdicts. No socket, clock, thread or source of
//! randomness is inside: the same calls with the same seed give the same bytes
//! and the same table, always.
//!
//! # The packet's path
//!
//! 1. [`Engine::process`] takes a datagram; `tidegate_wire::dissect` parses it
//!    once. What is malformed ends here, with a counted [`DropReason`].
//! 2. `path` walks the hooks in netfilter's order: fragments are put together
//!    (`defrag`), then the [`rules`] of each table, conntrack ([`track`]), NAT
//!    ([`nat`]), the route, the last hook.
//! 3. An unconfirmed flow is a type of its own ([`flow::Draft`]): a flow is in
//!    the table only when its first packet has passed every hook.
//! 4. The caller sends, delivers or forgets the packet as the [`Verdict`] says,
//!    and fetches what else is due: [`Engine::poll_output`],
//!    [`Engine::poll_event`], [`Engine::poll_log`].
//! 5. Between packets [`Engine::handle_timeout`] expires flows.
//!
//! A packet of an established flow that nothing can stop takes a shorter way with
//! the same outcome (`path::express`), and many packets at once take it at less
//! cost each ([`Engine::process_batch`]).
//!
//! The reference for all of it is Linux 6.18.
#![no_std]

extern crate alloc;

pub mod command;
mod defrag;
mod engine;
pub mod event;
pub mod expect;
pub mod fib;
pub mod flow;
pub mod helper;
pub mod ipset;
pub mod limits;
pub mod log;
pub mod nat;
pub mod packet;
mod path;
pub mod rand;
pub mod rules;
pub mod stats;
pub mod steer;
pub mod synproxy;
mod table;
#[cfg(test)]
mod testkit;
pub mod time;
pub mod trace;
pub mod track;
pub mod tuple;
pub mod verdict;

pub use self::engine::{Caveat, Engine, Outcome, Rehearsal, Settings};
pub use self::fib::Fib;
pub use self::packet::{CtInfo, Output, Packet};
pub use self::verdict::{DropReason, Verdict};
