//! Capture files: frames out of pcap and pcapng, frames into pcapng. Needs std.
//!
//! ```text
//! open ---> next_frame ---> Some(Frame) ---+--> link::datagram ---> the IP datagram in it
//!               ^                          |
//!               +--------------------------+    ---> None, or CaptureError and then None
//! ```
//!
//! [`read`] finds out the format by itself and gives every frame the same shape: nanoseconds since
//! 1970, link type, bytes. [`link`] peels the link layer off, [`nflog`] is the one that NFLOG writes. [`mod@write`] writes pcapng with
//! nanoseconds. Files are damaged and cut short in real life: whatever the bytes say, nothing here
//! panics, and nothing trusts a length before the bytes are there.

pub mod link;
pub mod nflog;
pub mod read;
pub mod write;

mod classic;
mod error;
mod input;
mod pcapng;

pub use error::{CaptureError, Field};
pub use link::{Link, LinkType, datagram};
pub use read::{Capture, Frame, Interface};
pub use write::{InterfaceDesc, Writer};

#[cfg(test)]
mod tests;
