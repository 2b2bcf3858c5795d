//! TCP. In all tables the client's numbers are around 1000 and the server's around 5000.

mod reopen;
mod reset;
mod sanity;
mod states;
mod timeouts;
mod window;

use alloc::vec::Vec;

use tidegate_wire::packet::tcp::TcpFlags;

use super::script::Judged::{Established, New};
use super::script::{Row, row};
use crate::testkit::{Datagram, Host, tcp};

const FIN: TcpFlags = TcpFlags::FIN;
const SYN: TcpFlags = TcpFlags::SYN;
const RST: TcpFlags = TcpFlags::RST;
const ACK: TcpFlags = TcpFlags::ACK;

/// From the client.
fn c(flags: TcpFlags, seq: u32, ack: u32) -> Datagram {
    tcp(Host::Client, flags, seq, ack)
}

/// From the server.
fn s(flags: TcpFlags, seq: u32, ack: u32) -> Datagram {
    tcp(Host::Server, flags, seq, ack)
}

/// A handshake without options, and then these rows.
#[rustfmt::skip]
fn established(rows: &[Row]) -> Vec<Row> {
    let handshake = [
        row("the client opens",     c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("the server answers",   s(SYN | ACK, 5000, 1001), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client completes", c(ACK, 1001, 5001),       Established, "ESTABLISHED 432000 +assured client+max_ack"),
    ];
    [&handshake, rows].concat()
}
