//! What a sender left to those behind it: the end of a checksum, and the cutting of a long segment.
//!
//! Hosts hand their network card datagrams of up to 64 kB whose checksum is begun, not done; between
//! virtual links nobody ever does the rest. Who rewrites such a datagram must know the state of its
//! checksum, and so that is a type ([`Checksum`]):
//!
//! - of a *full* one every change of what it covers is a change of the field (RFC 1624);
//! - of a *partial* one the field holds the sum of the pseudo header, folded and not complemented.
//!   Addresses and the length change it; ports and payload don't.
//!
//! A fragment never has a partial checksum: who cuts a datagram finishes it first. The sum in IPv4's
//! own header is always full.

use core::num::NonZeroU16;

use crate::checksum::{Delta, pseudo_header};
use crate::dissect::Headers;
use crate::packet::{Tcp, Udp, tcp, udp};
use crate::proto;

/// The state of the upper layer's checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Checksum {
    /// It is there, and may be wrong.
    #[default]
    Full,
    /// It is there, and somebody below has found it right.
    Verified,
    /// The field holds the sum of the pseudo header alone. Nobody verifies it: it came from a host
    /// that trusts the way to whoever finishes it.
    Partial,
}

impl Checksum {
    /// Whether the rest of it is still to be added.
    #[inline]
    pub fn is_partial(self) -> bool {
        self == Self::Partial
    }

    /// Whether it can be wrong.
    #[inline]
    pub fn is_in_doubt(self) -> bool {
        self == Self::Full
    }

    /// What the field must hold after a change, given what it held before: `covered` is what has changed in
    /// the pseudo header, `rest` what has changed in header and payload.
    #[inline]
    #[must_use]
    pub fn mended(self, field: u16, covered: Delta, rest: Delta) -> u16 {
        match self {
            Self::Full | Self::Verified => covered.and(rest).apply(field),
            Self::Partial => !covered.apply(!field),
        }
    }
}

/// What was left to do about a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Offload {
    /// The state of its checksum.
    pub checksum: Checksum,
    /// If it is a superframe: how many bytes of payload each of the segments has that it stands for; the last
    /// one has what is left.
    pub segment: Option<NonZeroU16>,
}

impl Offload {
    /// Nothing.
    pub const NONE: Self = Self { checksum: Checksum::Full, segment: None };

    /// Whether the datagram can go on any link as it is.
    pub fn is_none(self) -> bool {
        !self.checksum.is_partial() && self.segment.is_none()
    }

    /// Length of the longest datagram that a superframe becomes, in bytes. `None` if it is none, or
    /// neither TCP nor UDP.
    pub fn longest_segment(self, datagram: &[u8], headers: &Headers) -> Option<usize> {
        let size = usize::from(self.segment?.get());
        Some(payload_offset(datagram, headers)? + size)
    }
}

/// Where the payload of a TCP segment or a UDP datagram begins, counted from the IP header's first byte.
pub(crate) fn payload_offset(datagram: &[u8], headers: &Headers) -> Option<usize> {
    let upper = headers.payload(datagram);
    let header_len = match headers.proto {
        proto::TCP => Tcp::new(upper)?.header_len().max(tcp::HEADER_LEN),
        proto::UDP => udp::HEADER_LEN,
        _ => return None,
    };
    Some(headers.l4? + header_len)
}

/// Computes the checksum of a TCP segment or UDP datagram that nobody has finished yet. Whether there was
/// one: other protocols have no partial checksum here, but SCTP's, which is no sum.
pub fn finish(datagram: &mut [u8], headers: &Headers) -> bool {
    let Some(upper) = upper_layer(datagram, headers) else { return false };
    match headers.proto {
        proto::TCP => {
            Tcp::new(upper).map(|mut tcp| tcp.fill_checksum(headers.src, headers.dst)).is_some()
        }
        proto::UDP => {
            Udp::new(upper).map(|mut udp| udp.fill_checksum(headers.src, headers.dst)).is_some()
        }
        _ => false,
    }
}

/// The other way round: leaves the checksum of a TCP segment or UDP datagram to somebody behind, whatever the
/// field held. Whether it could be.
pub fn begin(datagram: &mut [u8], headers: &Headers) -> bool {
    let Headers { src, dst, proto, .. } = *headers;
    let Some(upper) = upper_layer(datagram, headers) else { return false };
    let sum = pseudo_header(src, dst, proto, upper.len()).partial();
    match proto {
        proto::TCP => Tcp::new(upper).map(|mut tcp| tcp.set_checksum(sum)).is_some(),
        proto::UDP => Udp::new(upper).map(|mut udp| udp.set_checksum(sum)).is_some(),
        _ => false,
    }
}

fn upper_layer<'a>(datagram: &'a mut [u8], headers: &Headers) -> Option<&'a mut [u8]> {
    let end = headers.len.min(datagram.len());
    datagram.get_mut(headers.l4?..end)
}

#[cfg(test)]
mod tests;
