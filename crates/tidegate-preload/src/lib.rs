//! Lets unmodified programs speak to Tidegate where they mean to speak to the kernel's netfilter.
//!
//! The dynamic linker loads this library before all others (`LD_PRELOAD`) and finds the functions of [`calls`] in it
//! first. A socket for NETLINK_NETFILTER becomes one that is connected to the path in `TIDEGATE_SOCKET`; every other
//! call goes on to the C library as it is. What netlink has and a Unix socket has not (ports, groups, the kernel's
//! address) is made up here or told to the server in messages of its own subsystem.
//!
//! A statically linked program, one of another privilege (setuid), or one that makes system calls by itself never asks
//! the dynamic linker, and so never comes here.
//!
//! * [`calls`]: the functions that take the C library's place;
//! * `real`: the C library's own;
//! * `sockets`: which descriptors are ours;
//! * `frames`: what is told to the server and heard from it.

pub mod calls;
mod frames;
mod real;
mod sockets;

/// Names the server's socket.
pub const VARIABLE: &str = "TIDEGATE_SOCKET";
