//! The deterministic world that tests live in.
//!
//! Holds the judge of the engine: [`corpus`] carries scenarios with what a Linux kernel did in
//! them packet by packet, [`oracle`] compares a replay with that record, and [`captures`] brings
//! in real traffic that nobody of this project wrote. [`extensions`] asks our rules what iptables' own
//! tests ask, [`interop`] the engine's control socket what a kernel's netlink and conntrack(8) answer.
//! [`example`] makes the capture that the README
//! begins with. Nothing shipped depends on this crate.

pub mod campaign;
pub mod captures;
pub mod corpus;
pub mod example;
pub mod extensions;
pub mod interop;
pub mod oracle;
pub mod traffic;
