//! Who is where.
//!
//! ```text
//!   client ---- lan [ gateway ] wan ---- server
//!   10.0.1.2    .1              .1       10.0.2.2
//!   10.8.0.0/16 behind it                10.9.0.0/16 behind it
//! ```
//!
//! Behind both hosts lie networks whose stations exist only as packets that the bench makes itself.

use std::net::Ipv4Addr;

use tidegate_wire::packet::ethernet::MacAddr;

/// The client.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 2);
/// The gateway, for the client.
pub(crate) const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
/// The gateway, for the server.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
/// The server.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The network behind the client, and the one behind the server.
pub(crate) const BEHIND: [&str; 2] = ["10.8.0.0/16", "10.9.0.0/16"];

/// A station behind the client.
pub(crate) fn guest(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a08_0000 | number & 0xffff)
}

/// A station behind the server.
pub(crate) fn service(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a09_0000 | number & 0xffff)
}

/// Whether a packet that has come to a host is for a station behind it, and not for the host's own stack.
pub(crate) fn is_behind(addr: Ipv4Addr) -> bool {
    matches!(addr.octets(), [10, 8 | 9, ..])
}

/// The hardware address of whoever has this one.
pub(crate) fn mac_of(addr: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = addr.octets();
    MacAddr([2, 0, a, b, c, d])
}
