//! The ring: a burst of datagrams whose buffers stay in the cache and whose headers are written
//! anew each time, checksums included.
//!
//! Writing is no part of what is measured: it is measured alone and subtracted. Data are zeros, so
//! that the sums are those of the headers.

use std::array;

use tidegate_engine::Packet;
use tidegate_engine::fib::PortId;
use tidegate_wire::{Family, proto};

use crate::plan::{Ends, Place, Side};

/// How many packets a burst has.
pub const BURST: usize = 128;

/// What a datagram carries above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// 32 bytes of data: 60 bytes in IPv4, 80 in IPv6.
    Udp,
    /// A segment with [`DATA`] bytes and a timestamp, as most hosts send them.
    Stamped {
        /// Sequence number.
        seq: u32,
        /// Acknowledgement number.
        ack: u32,
    },
    /// A segment.
    Tcp {
        /// Flags, as the header has them.
        flags: u8,
        /// Sequence number.
        seq: u32,
        /// Acknowledgement number.
        ack: u32,
    },
}

/// FIN, SYN, PSH and ACK as the TCP header has them.
pub const FIN: u8 = 1;
/// See [`FIN`].
pub const SYN: u8 = 2;
/// See [`FIN`]; a segment with PSH carries [`DATA`] bytes, others none.
pub const PSH: u8 = 8;
/// See [`FIN`].
pub const ACK: u8 = 16;
/// How many bytes of data a segment with PSH carries.
pub const DATA: u32 = 20;

/// A burst of datagrams in the making.
pub struct Ring {
    family: Family,
    slots: Box<[Slot; BURST]>,
    filled: usize,
}

#[derive(Clone, Copy)]
struct Slot {
    bytes: [u8; ROOM],
    len: usize,
    port: PortId,
}

/// The port of the router behind which clients are.
pub const LAN: PortId = PortId(0);
/// The port to everybody else.
pub const WAN: PortId = PortId(1);

impl Ring {
    /// An empty burst.
    #[must_use]
    pub fn new(family: Family) -> Self {
        let slot = Slot { bytes: [0; ROOM], len: 0, port: LAN };
        Self { family, slots: Box::new([slot; BURST]), filled: 0 }
    }

    /// The family of its datagrams.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// How many datagrams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Forgets the burst.
    #[inline]
    pub fn clear(&mut self) {
        self.filled = 0;
    }

    /// Appends a datagram from the client of `ends` to its server. => fewer than [`BURST`] so far
    #[inline]
    pub fn push(&mut self, ends: &Ends, body: Body) {
        let slot = &mut self.slots[self.filled];
        self.filled += 1;
        slot.port = if ends.client.side == Side::Client { LAN } else { WAN };
        let at = match self.family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        let (sum, len) = upper(&mut slot.bytes, at, ends, body);
        slot.len = at + len;
        let sum = match self.family {
            Family::V4 => ipv4(&mut slot.bytes, ends, body, len) + sum,
            Family::V6 => ipv6(&mut slot.bytes, ends, body, len) + sum,
        };
        let field = at + if matches!(body, Body::Udp) { 6 } else { 16 };
        // A zero would say that a UDP datagram has no checksum; all ones are the same sum.
        let written = match checksum(sum) {
            0 => u16::MAX,
            sum => sum,
        };
        put16(&mut slot.bytes, field, written);
    }

    /// The datagrams as an engine takes them.
    #[inline]
    pub fn packets(&mut self) -> [Packet<'_>; BURST] {
        let mut slots = self.slots.iter_mut();
        array::from_fn(|_| match slots.next() {
            Some(slot) => Packet::received(&mut slot.bytes[..slot.len], slot.port),
            None => Packet::received(&mut [], LAN),
        })
    }

    /// The datagrams as they are.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.slots[..self.filled].iter().map(|slot| &slot.bytes[..slot.len])
    }
}

/// Writes the upper layer, all but its checksum; its sum, and its length in bytes.
#[inline]
fn upper(bytes: &mut [u8; ROOM], at: usize, ends: &Ends, body: Body) -> (u64, usize) {
    let ports = u32::from(ends.client_port) << 16 | u32::from(ends.server_port);
    put32(bytes, at, ports);
    match body {
        Body::Udp => {
            put32(bytes, at + 4, UDP_LEN << 16);
            bytes[at + 8..at + 40].fill(0);
            (words(ports) + u64::from(UDP_LEN), UDP_LEN as usize)
        }
        Body::Stamped { seq, ack } => {
            let header = [seq, ack, 8 << 28 | u32::from(PSH | ACK) << 16 | WINDOW, 0];
            let rest = header.into_iter().chain(TIMESTAMP).chain([0; 5]);
            let mut sum = words(ports);
            for (i, word) in rest.enumerate() {
                put32(bytes, at + 4 + 4 * i, word);
                sum += words(word);
            }
            (sum, 32 + DATA as usize)
        }
        Body::Tcp { flags, seq, ack } => {
            let options = if flags & SYN != 0 { OPTIONS } else { [0; 5] };
            let header = if flags & SYN != 0 { 8 } else { 5 };
            let first = header << 28 | u32::from(flags) << 16 | WINDOW;
            for (i, word) in [seq, ack, first, 0].into_iter().chain(options).enumerate() {
                put32(bytes, at + 4 + 4 * i, word);
            }
            let len = header as usize * 4 + if flags & PSH != 0 { DATA as usize } else { 0 };
            let sum = [ports, seq, ack, first].into_iter().chain(options).map(words).sum::<u64>();
            (sum, len)
        }
    }
}

/// Writes the IPv4 header; the sum of the pseudo header.
#[inline]
fn ipv4(bytes: &mut [u8; ROOM], ends: &Ends, body: Body, len: usize) -> u64 {
    let (src, dst) = (ends.client.v4(), ends.server.v4());
    let proto = u32::from(proto_of(body));
    let length = len as u32 + 20;
    // Version and header length, identification, "don't fragment"; a TTL of 64.
    let fixed = [0x4500_0000 | length, 0x1234_4000, 64 << 24 | proto << 16];
    let addresses = words(src) + words(dst);
    let sum = fixed.into_iter().map(words).sum::<u64>() + addresses;
    let third = fixed[2] | u32::from(checksum(sum));
    for (i, word) in [fixed[0], fixed[1], third, src, dst].into_iter().enumerate() {
        put32(bytes, 4 * i, word);
    }
    addresses + u64::from(proto) + len as u64
}

/// Writes the IPv6 header; the sum of the pseudo header.
#[inline]
fn ipv6(bytes: &mut [u8; ROOM], ends: &Ends, body: Body, len: usize) -> u64 {
    let proto = proto_of(body);
    put32(bytes, 0, 0x6000_0000);
    put32(bytes, 4, (len as u32) << 16 | u32::from(proto) << 8 | 64);
    let sum = put_v6(bytes, 8, ends.client) + put_v6(bytes, 24, ends.server);
    sum + u64::from(proto) + len as u64
}

#[inline]
fn put_v6(bytes: &mut [u8; ROOM], at: usize, place: Place) -> u64 {
    let prefix = place.v6_prefix();
    for (i, word) in prefix.into_iter().enumerate() {
        put16(bytes, at + 2 * i, word);
    }
    put32(bytes, at + 12, place.host);
    prefix.into_iter().map(u64::from).sum::<u64>() + words(place.host)
}

#[inline]
fn proto_of(body: Body) -> u8 {
    if matches!(body, Body::Udp) { proto::UDP } else { proto::TCP }
}

/// Both halves of a double word, added.
#[inline]
fn words(dword: u32) -> u64 {
    u64::from(dword >> 16) + u64::from(dword & 0xffff)
}

#[inline]
fn checksum(sum: u64) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    !((sum & 0xffff) + (sum >> 16)) as u16
}

#[inline]
fn put16(bytes: &mut [u8; ROOM], at: usize, word: u16) {
    bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

#[inline]
fn put32(bytes: &mut [u8; ROOM], at: usize, dword: u32) {
    bytes[at..at + 4].copy_from_slice(&dword.to_be_bytes());
}

/// Room for the longest datagram, and a whole number of cache lines with the rest of the slot.
const ROOM: usize = 112;
/// Header and 32 bytes of data.
const UDP_LEN: u32 = 40;
const WINDOW: u32 = 0xfaf0;
/// Two NOPs and a timestamp (RFC 7323, appendix A).
const TIMESTAMP: [u32; 3] = [0x0101_080a, 0x0012_d687, 0x0345_6789];
/// MSS 1460, SACK permitted, window scale 7, in the order of a Linux host whose `tcp_timestamps` is 0; and the first bytes
/// of no data.
const OPTIONS: [u32; 5] = [0x0204_05b4, 0x0101_0402, 0x0103_0307, 0, 0];

#[cfg(test)]
mod tests {
    use tidegate_wire::checksum::{Sum, transport};
    use tidegate_wire::dissect;

    use super::*;
    use crate::plan::Plan;

    #[test]
    fn datagrams_are_what_they_say_and_their_checksums_are_right() {
        let bodies = [
            (Body::Udp, 40),
            (Body::Tcp { flags: SYN, seq: 7, ack: 0 }, 32),
            (Body::Tcp { flags: SYN | ACK, seq: u32::MAX, ack: 8 }, 32),
            (Body::Tcp { flags: ACK | PSH, seq: 0x8000_0001, ack: 8 }, 40),
            (Body::Stamped { seq: 11, ack: 0xffff_0000 }, 52),
            (Body::Tcp { flags: ACK | FIN, seq: 9, ack: 0xffff_0000 }, 20),
        ];
        for family in [Family::V4, Family::V6] {
            let mut ring = Ring::new(family);
            for (flow, (body, _)) in (0..).zip(bodies) {
                ring.push(&Plan::Spread.ends(flow), body);
            }
            for (flow, (bytes, (body, len))) in (0..).zip(ring.datagrams().zip(bodies)) {
                let headers = dissect(bytes).expect("well formed");
                let tuple = Plan::Spread.ends(flow).tuple(family, proto_of(body));
                assert_eq!(
                    (headers.src, headers.dst, headers.proto),
                    (tuple.src, tuple.dst, tuple.proto)
                );
                let upper = &bytes[bytes.len() - len..];
                assert_eq!(
                    transport(tuple.src, tuple.dst, tuple.proto, upper),
                    0,
                    "{family:?} {body:?}"
                );
                assert_eq!(upper[..2], tuple.sport.to_be_bytes());
                if family == Family::V4 {
                    assert_eq!(Sum::new().bytes(&bytes[..20]).finish(), 0, "{body:?}");
                }
            }
        }
    }
}
