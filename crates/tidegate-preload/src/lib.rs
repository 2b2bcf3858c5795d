//! A shared object for `LD_PRELOAD`: unmodified programs that speak ctnetlink to the kernel speak it to an engine.
//!
//! ```text
//! program --- socket(AF_NETLINK, NETLINK_NETFILTER) ---> this ---> Unix socket, $TIDEGATE_SOCKET ---> engine
//!         --- every other socket ----------------------> libc ---> kernel
//! ```
//!
//! One datagram there is one datagram here, unchanged. What netlink keeps in addresses and socket options goes along
//! in messages of the private subsystem (`notice`); what the program asks of its socket is answered as a netlink
//! socket would. `poll` works by itself, for the descriptor is a real one.
//!
//! `calls` are the functions that the program finds in place of libc's; `libc_own` are libc's; `sockets` knows
//! which descriptors are ours. All unsafe code of the shim is in `calls`, `libc_own` and `memory`, the caller's
//! memory seen as slices.
//!
//! It does nothing for programs without a dynamic loader and for those that gain privileges when they start. A program
//! with several threads that forks while another thread makes or closes a socket may find the table of descriptors
//! locked in the child: call `exec` there, as POSIX asks.

mod calls;
mod libc_own;
mod memory;
mod notice;
mod sockets;
