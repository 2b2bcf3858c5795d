//! All I/O around the engine, as a library: what reads packets, answers its
//! questions about the world, and writes down what it decided.
//!
//! - [`replay`]: a recorded capture goes through an engine under the capture's
//!   own clock;
//! - [`text`]: flows and events in the words of `/proc/net/nf_conntrack` and
//!   conntrack(8);
//! - [`clock`]: the one place where the machine's time is read;
//! - [`config`]: the one file of a live gateway;
//! - [`control`]: ctnetlink, served from an engine;
//! - [`dataplane`]: packets from and to real links;
//! - [`daemon`]: an engine, its control socket and its packets, kept going;
//! - [`fib`]: interfaces, routes and neighbours, the kernel's or a file's;
//! - [`privileges`]: what is given up once a gateway has begun;
//! - [`rival`]: the kernel, where it forwards as well;
//! - [`memory`]: an allocator that puts a large table on huge pages;
//! - [`snapshot`]: files of what a table held at a moment, and of what happened since.
//!
//! This crate never decides what becomes of a packet, and looks into a
//! tracker's state only to print it.

pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod fib;
pub mod memory;
pub mod privileges;
pub mod procfs;
pub mod replay;
pub mod rival;
pub mod snapshot;
pub mod text;
