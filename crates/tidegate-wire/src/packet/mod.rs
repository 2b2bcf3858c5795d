//! Views of headers in place, one file per protocol.
//!
//! A view wraps a buffer that starts at its header: `Tcp<&[u8]>` reads, `Tcp<&mut [u8]>` also
//! writes. `new` checks once that the fixed part of the header is there and is the only call that
//! can fail. A `Repr` is the other direction: a header as values, written whole by `emit`.
//!
//! Panic contract
//! - after `new`, no getter and no setter panics, whatever the bytes say: parts whose place depends
//!   on a length field (options, payload) are clamped to the buffer;
//! - `emit` panics if its buffer is shorter than the header's `HEADER_LEN`.
//!
//! Setters of the IPv4 header keep its checksum right, because it covers nothing else. Setters of
//! the upper layers leave theirs alone: what it covers lies in two headers, so the caller collects
//! a [`Delta`](crate::checksum::Delta) over both and applies it once with `adjust`. SCTP's is no sum:
//! the caller computes it anew when it is done, with `fill_checksum`.

pub mod ethernet;
pub mod gre;
pub mod icmp;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod sctp;
pub mod tcp;
pub mod udp;
pub mod udplite;

pub use ethernet::{Ethernet, MacAddr};
pub use gre::Gre;
pub use icmp::Icmp;
pub use icmpv6::Icmpv6;
pub use ipv4::{Ipv4, Ipv4Repr};
pub use ipv6::{ExtensionHeader, Extensions, Ipv6, Ipv6Repr};
pub use sctp::Sctp;
pub use tcp::{Tcp, TcpFlags, TcpOption, TcpRepr};
pub use udp::{Udp, UdpRepr};
pub use udplite::UdpLite;

/// The big-endian word at `at`. => `at + 2 <= bytes.len()`
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The big-endian double word at `at`. => `at + 4 <= bytes.len()`
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a big-endian word at `at`. => `at + 2 <= bytes.len()`
fn put_u16(bytes: &mut [u8], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// Writes a big-endian double word at `at`. => `at + 4 <= bytes.len()`
fn put_u32(bytes: &mut [u8], at: usize, dword: u32) {
    bytes[at..at + 4].copy_from_slice(&dword.to_be_bytes());
}

/// `bytes[from..to]`, clamped to what is there.
fn clamped(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    let to = to.min(bytes.len());
    bytes.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests;
