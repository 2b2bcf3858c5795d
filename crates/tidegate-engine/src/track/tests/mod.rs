//! The trackers, by packet tables: see [`script`] for how to read one.

mod generic;
mod icmp;
mod icmpv6;
mod lab;
mod script;
mod tcp;
mod udp;
