//! The header that virtual links put in front of a frame to say what was left to do about it (virtio 1.3
//! section 5.1.6). Linux speaks it on TUN, TAP and packet sockets, in the byte order of the machine:
//! `virtio_net_hdr` of linux/virtio_net.h.

use core::num::NonZeroU16;

use crate::checksum::Sum;
use crate::family::Family;
use crate::offload::{self, Checksum, Offload};
use crate::packet::sctp::Sctp;
use crate::{dissect, proto};

/// The header's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct VirtioNet {
    /// [`NEEDS_CSUM`], [`DATA_VALID`].
    pub flags: u8,
    /// What kind of superframe it is, of the `GSO_*`.
    pub gso_type: u8,
    /// Length of the headers in front of the payload, a hint.
    pub hdr_len: u16,
    /// Bytes of payload of each segment.
    pub gso_size: u16,
    /// Where the checksum begins, counted from the frame's first byte.
    pub csum_start: u16,
    /// Where its field is, counted from there.
    pub csum_offset: u16,
}

impl VirtioNet {
    /// Reads it from the first [`HEADER_LEN`] bytes; `None` if there are fewer.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [flags, gso_type, words @ ..] = *bytes.first_chunk::<HEADER_LEN>()?;
        let word = |at: usize| u16::from_ne_bytes([words[at], words[at + 1]]);
        let (hdr_len, gso_size) = (word(0), word(2));
        Some(Self { flags, gso_type, hdr_len, gso_size, csum_start: word(4), csum_offset: word(6) })
    }

    /// The header's bytes.
    pub fn bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [self.flags, self.gso_type, 0, 0, 0, 0, 0, 0, 0, 0];
        let words = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset];
        for (place, word) in bytes[2..].chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// What was left to do about the datagram behind a link header of `link_len` bytes. A checksum that nobody can
    /// leave as it is while rewriting the datagram (of SCTP, of a datagram in a tunnel) is finished at once.
    ///
    /// # Errors
    /// The header contradicts itself or the datagram.
    pub fn offload(&self, datagram: &mut [u8], link_len: usize) -> Result<Offload, Contradiction> {
        let segment = match self.gso_type & !GSO_ECN {
            GSO_NONE => None,
            GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4 => {
                Some(NonZeroU16::new(self.gso_size).ok_or(Contradiction)?)
            }
            _ => return Err(Contradiction),
        };
        let checksum = match self.flags {
            flags if flags & NEEDS_CSUM != 0 => self.partial(datagram, link_len)?,
            // Each piece of a superframe has a checksum of its own, so there is none to verify.
            _ if segment.is_some() => begun(datagram)?,
            flags if flags & DATA_VALID != 0 => Checksum::Verified,
            _ => Checksum::Full,
        };
        Ok(Offload { checksum, segment })
    }

    fn partial(&self, datagram: &mut [u8], link_len: usize) -> Result<Checksum, Contradiction> {
        let start = usize::from(self.csum_start).checked_sub(link_len).ok_or(Contradiction)?;
        let is_sum = match (upper_protocol(datagram), self.csum_offset) {
            (Some((proto::TCP, at)), TCP_FIELD) => at == start,
            (Some((proto::UDP, at)), UDP_FIELD) => at == start,
            _ => false,
        };
        if is_sum {
            return Ok(Checksum::Partial);
        }
        let len = dissect(datagram).map_or(datagram.len(), |headers| headers.len);
        let covered = datagram.get_mut(start..len).ok_or(Contradiction)?;
        self.finish(covered).map(|()| Checksum::Verified)
    }

    /// Finishes a checksum that covers these bytes.
    fn finish(&self, covered: &mut [u8]) -> Result<(), Contradiction> {
        let at = usize::from(self.csum_offset);
        if covered.len() < at + 2 {
            return Err(Contradiction);
        }
        if self.csum_offset == SCTP_FIELD {
            return Sctp::new(covered).map(|mut sctp| sctp.fill_checksum()).ok_or(Contradiction);
        }
        let sum = Sum::new().bytes(covered).finish();
        let sum = if sum == 0 && self.csum_offset == UDP_FIELD { 0xffff } else { sum };
        covered[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        Ok(())
    }

    /// The header for a datagram behind a link header of `link_len` bytes about which this is left to do.
    pub fn of(offload: Offload, datagram: &[u8], link_len: usize) -> Self {
        if offload.is_none() {
            return Self::default();
        }
        let Ok(headers) = dissect(datagram) else { return Self::default() };
        let (Some(l4), Some(payload)) = (headers.l4, offload::payload_offset(datagram, &headers))
        else {
            return Self::default();
        };
        let (field, gso_type) = match (headers.proto, headers.family) {
            (proto::TCP, Family::V4) => (TCP_FIELD, GSO_TCPV4),
            (proto::TCP, Family::V6) => (TCP_FIELD, GSO_TCPV6),
            _ => (UDP_FIELD, GSO_UDP_L4),
        };
        let mut header = Self {
            hdr_len: (link_len + payload) as u16,
            csum_start: (link_len + l4) as u16,
            csum_offset: field,
            flags: NEEDS_CSUM,
            ..Self::default()
        };
        if let Some(size) = offload.segment {
            (header.gso_type, header.gso_size) = (gso_type, size.get());
        }
        header
    }
}

/// The header contradicts itself or the frame behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contradiction;

fn begun(datagram: &mut [u8]) -> Result<Checksum, Contradiction> {
    let headers = dissect(datagram).map_err(|_| Contradiction)?;
    offload::begin(datagram, &headers).then_some(Checksum::Partial).ok_or(Contradiction)
}

/// The upper layer's protocol, and where it begins, of a datagram without extension headers.
fn upper_protocol(datagram: &[u8]) -> Option<(u8, usize)> {
    let first = *datagram.first()?;
    match first >> 4 {
        4 => Some((*datagram.get(9)?, usize::from(first & 15) * 4)),
        6 => match *datagram.get(6)? {
            next if proto::is_ipv6_extension(next) => {
                let headers = dissect(datagram).ok()?;
                Some((headers.proto, headers.l4?))
            }
            next => Some((next, 40)),
        },
        _ => None,
    }
}

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 10;
/// The checksum is partial.
pub const NEEDS_CSUM: u8 = 1;
/// The checksum was found right.
pub const DATA_VALID: u8 = 2;
/// No superframe.
pub const GSO_NONE: u8 = 0;
/// A superframe of TCP over IPv4.
pub const GSO_TCPV4: u8 = 1;
/// A superframe of TCP over IPv6.
pub const GSO_TCPV6: u8 = 4;
/// A superframe of UDP datagrams.
pub const GSO_UDP_L4: u8 = 5;
/// With CWR set, which only the first segment gets.
pub const GSO_ECN: u8 = 0x80;

const TCP_FIELD: u16 = 16;
const UDP_FIELD: u16 = 6;
const SCTP_FIELD: u16 = 8;

#[cfg(test)]
mod tests;
