//! What left the router because of one packet, or between two, and by which
//! port.
//!
//! All bytes lie in one buffer that is reused from packet to packet. A caller
//! who doesn't want them says so, and nothing is copied.

use std::ops::Range;

use tidegate_engine::fib::PortId;

use super::ingress::trimmed;

/// Why a packet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is the packet that came in.
    Forwarded,
    /// The host stack answered.
    Local,
    /// A rule answered: REJECT, or SYNPROXY, which speaks for others.
    Reject,
    /// The router owed an error.
    Router,
}

impl Origin {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "fwd",
            Self::Local => "local",
            Self::Reject => "reject",
            Self::Router => "router",
        }
    }
}

/// One datagram that left.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// By which port.
    pub port: PortId,
    /// Why.
    pub origin: Origin,
    /// From the IP header on.
    pub datagram: &'a [u8],
}

/// Everything that left because of one packet.
#[derive(Debug, Default)]
pub struct Outbox {
    keeps_bytes: bool,
    bytes: Vec<u8>,
    left: Vec<(PortId, Origin, Range<usize>)>,
}

impl Outbox {
    /// From now on the bytes are kept for [`Outbox::left`], or not.
    pub fn keep_bytes(&mut self, keep: bool) {
        self.keeps_bytes = keep;
    }

    /// What left, in sending order.
    pub fn left(&self) -> impl Iterator<Item = Left<'_>> {
        self.left.iter().map(|(port, origin, range)| Left {
            port: *port,
            origin: *origin,
            datagram: &self.bytes[range.clone()],
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.left.clear();
    }

    /// Sends a datagram by `port`.
    pub(super) fn send(&mut self, port: PortId, origin: Origin, datagram: &[u8]) {
        let start = self.bytes.len();
        if self.keeps_bytes {
            self.bytes.extend_from_slice(trimmed(datagram));
        }
        self.left.push((port, origin, start..self.bytes.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::topology::{IN0, OUT0};

    /// 24 bytes by its header, and link padding behind them.
    const PADDED: [u8; 30] = {
        let mut bytes = [0; 30];
        bytes[0] = 0x45;
        bytes[3] = 24;
        bytes
    };

    #[test]
    fn what_left_is_kept_in_order_and_without_padding() {
        let mut outbox = Outbox::default();
        outbox.keep_bytes(true);
        outbox.send(OUT0, Origin::Forwarded, &PADDED);
        outbox.send(IN0, Origin::Router, &PADDED);
        let left: Vec<_> = outbox.left().map(|left| (left.port, left.datagram.len())).collect();
        assert_eq!(left, [(OUT0, 24), (IN0, 24)]);
        outbox.clear();
        assert_eq!(outbox.left().count(), 0);
    }

    #[test]
    fn who_does_not_want_bytes_gets_none() {
        let mut outbox = Outbox::default();
        outbox.send(OUT0, Origin::Forwarded, &PADDED);
        assert_eq!(outbox.left().map(|left| left.datagram.len()).collect::<Vec<_>>(), [0]);
    }
}
