//! What the two ends of a proxied connection say, in their own numbers.
//!
//! A client counts its own octets from the number of its SYN and the server's from the cookie that it was given; the
//! server counts its own from its SYN/ACK's and the client's from those of the SYN that the router made. Time stamps
//! are told in the same way. So a move means the same whatever the cookie is.

use std::time::Duration;

use tidegate_wire::packet::tcp::TcpFlags;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Client,
    Server,
}

/// One segment, and how long nothing happens before it. All numbers count from the sender's or the other end's first.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) by: Party,
    pub(super) pause: Duration,
    /// Whether an operator deletes all entries first.
    pub(super) is_after_flush: bool,
    /// Which of the client's connections it is.
    pub(super) connection: u16,
    pub(super) flags: TcpFlags,
    pub(super) seq: u32,
    pub(super) ack: Option<u32>,
    pub(super) window: u16,
    pub(super) options: Vec<Opt>,
    pub(super) data: usize,
    pub(super) has_bad_checksum: bool,
}

/// An option of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opt {
    Nop,
    Mss(u16),
    Scale(u8),
    SackPermitted,
    /// The sender's clock, and the other end's.
    Stamps(u32, u32),
    /// A block that was received.
    Sack(u32, u32),
}

pub(super) const SYN: TcpFlags = TcpFlags::SYN;
pub(super) const ACK: TcpFlags = TcpFlags::ACK;
pub(super) const SYN_ACK: TcpFlags = TcpFlags::SYN.union(TcpFlags::ACK);
pub(super) const FIN_ACK: TcpFlags = TcpFlags::FIN.union(TcpFlags::ACK);
pub(super) const RST: TcpFlags = TcpFlags::RST;
pub(super) const RST_ACK: TcpFlags = TcpFlags::RST.union(TcpFlags::ACK);
pub(super) const ECN: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);

/// A segment of the client's.
pub(super) fn client(flags: TcpFlags, seq: u32) -> Move {
    said_by(Party::Client, flags, seq)
}

/// A segment of the server's.
pub(super) fn server(flags: TcpFlags, seq: u32) -> Move {
    said_by(Party::Server, flags, seq)
}

fn said_by(by: Party, flags: TcpFlags, seq: u32) -> Move {
    Move {
        by,
        pause: Duration::ZERO,
        is_after_flush: false,
        connection: 0,
        flags,
        seq,
        ack: None,
        window: 8000,
        options: Vec::new(),
        data: 0,
        has_bad_checksum: false,
    }
}

impl Move {
    pub(super) fn ack(self, ack: u32) -> Self {
        Self { ack: Some(ack), ..self }
    }

    pub(super) fn with(mut self, options: &[Opt]) -> Self {
        self.options.extend_from_slice(options);
        self
    }

    pub(super) fn stamps(self, own: u32, other: u32) -> Self {
        self.with(&[Opt::Nop, Opt::Nop, Opt::Stamps(own, other)])
    }

    pub(super) fn data(self, data: usize) -> Self {
        Self { data, ..self }
    }

    pub(super) fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    pub(super) fn after(self, milliseconds: u64) -> Self {
        Self { pause: Duration::from_millis(milliseconds), ..self }
    }

    pub(super) fn after_flush(self) -> Self {
        Self { is_after_flush: true, ..self }
    }

    pub(super) fn of_connection(self, connection: u16) -> Self {
        Self { connection, ..self }
    }

    pub(super) fn with_bad_checksum(self) -> Self {
        Self { has_bad_checksum: true, ..self }
    }
}

impl Opt {
    /// Its bytes; `stamps` are the first time stamps of the sender and of the other end, `first` the other's number.
    pub(super) fn bytes(self, stamps: (u32, u32), first: u32) -> Vec<u8> {
        let word = |of: u32, count: u32| of.wrapping_add(count).to_be_bytes();
        match self {
            Self::Nop => vec![1],
            Self::Mss(mss) => [&[2, 4][..], &mss.to_be_bytes()].concat(),
            Self::Scale(scale) => vec![3, 3, scale],
            Self::SackPermitted => vec![4, 2],
            Self::Sack(left, right) => {
                [&[5, 10][..], &word(first, left), &word(first, right)].concat()
            }
            Self::Stamps(own, other) => {
                [&[8, 10][..], &word(stamps.0, own), &word(stamps.1, other)].concat()
            }
        }
    }
}
