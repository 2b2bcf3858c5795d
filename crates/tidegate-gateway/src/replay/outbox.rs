//! What left the router because of one packet, and by which port.
//!
//! All bytes lie in one buffer that is reused from packet to packet. A caller
//! who doesn't want them says so, and nothing is copied.

use std::ops::Range;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet;

use super::ingress::trimmed;

/// Why a packet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is the packet that came in.
    Forwarded,
    /// The host stack answered.
    Local,
    /// A REJECT rule answered.
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

impl From<packet::Origin> for Origin {
    fn from(origin: packet::Origin) -> Self {
        match origin {
            packet::Origin::Forwarded => Self::Forwarded,
            packet::Origin::Reject => Self::Reject,
            packet::Origin::Router => Self::Router,
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
    use tidegate_wire::packet::Ipv4Repr;

    use super::*;
    use crate::replay::topology::OUT0;

    #[test]
    fn link_padding_does_not_leave() {
        let [src, dst] = [[10, 0, 1, 2], [203, 0, 113, 2]].map(Into::into);
        let (proto, ttl, tos, id, dont_fragment, payload_len) = (17, 63, 0, 3, false, 30);
        let mut datagram = vec![0; 50];
        Ipv4Repr { src, dst, proto, ttl, tos, id, dont_fragment, payload_len }.emit(&mut datagram);
        let padded = [datagram.clone(), vec![0; 16]].concat();
        let mut outbox = Outbox::default();
        outbox.keep_bytes(true);
        outbox.send(OUT0, Origin::Forwarded, &padded);
        assert_eq!(outbox.left().map(|left| left.datagram).collect::<Vec<_>>(), [datagram]);
    }
}
