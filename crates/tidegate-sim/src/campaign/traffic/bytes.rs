//! Packets as bytes: what a host says, with right lengths and checksums.
//!
//! Whoever wants them wrong makes them wrong afterwards ([`mutate`](super::mutate)).

use std::net::IpAddr;

use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::crc32c::Crc32c;
use tidegate_wire::proto;

/// The IP header's part of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Envelope {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) proto: u8,
    pub(super) ttl: u8,
    pub(super) tos: u8,
    pub(super) id: u16,
    pub(super) dont_fragment: bool,
}

/// A TCP segment.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) options: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// What is in a packet, but for addresses and ports.
#[derive(Debug, Clone)]
pub(super) enum Upper {
    Tcp(Segment),
    Udp(Vec<u8>),
    /// The number of bytes that the checksum covers, and the payload.
    UdpLite(u16, Vec<u8>),
    /// Type of ICMP, then of ICMPv6; the identifier is the talk's port.
    Echo {
        kinds: (u8, u8),
        seq: u16,
        payload: Vec<u8>,
    },
    /// Verification tag and chunks.
    Sctp(u32, Vec<u8>),
    /// Anything else, whole.
    Other(u8, Vec<u8>),
}

impl Upper {
    /// The protocol's number.
    pub(super) fn proto(&self, is_v6: bool) -> u8 {
        match self {
            Self::Tcp(_) => proto::TCP,
            Self::Udp(_) => proto::UDP,
            Self::UdpLite(..) => proto::UDPLITE,
            Self::Echo { .. } if is_v6 => proto::ICMPV6,
            Self::Echo { .. } => proto::ICMP,
            Self::Sctp(..) => proto::SCTP,
            Self::Other(number, _) => *number,
        }
    }

    /// The bytes behind the IP header, without checksums.
    pub(super) fn bytes(&self, sport: u16, dport: u16, is_v6: bool) -> Vec<u8> {
        let ports = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
        match self {
            Self::Tcp(segment) => [ports, segment.bytes()].concat(),
            Self::Udp(payload) => {
                let len = (8 + payload.len()) as u16;
                [&ports[..], &len.to_be_bytes(), &[0, 0], payload].concat()
            }
            Self::UdpLite(cover, payload) => {
                [&ports[..], &cover.to_be_bytes(), &[0, 0], payload].concat()
            }
            Self::Echo { kinds: (v4, v6), seq, payload } => {
                let kind = if is_v6 { *v6 } else { *v4 };
                let id = if matches!(kind, 8 | 128 | 13 | 15 | 17) { sport } else { dport };
                let head = [kind, 0, 0, 0];
                [&head[..], &id.to_be_bytes(), &seq.to_be_bytes(), payload].concat()
            }
            Self::Sctp(tag, chunks) => [&ports[..], &tag.to_be_bytes(), &[0; 4], chunks].concat(),
            Self::Other(_, bytes) => bytes.clone(),
        }
    }
}

impl Segment {
    fn bytes(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4).min(40), 0);
        let offset = (5 + options.len() / 4) as u8;
        let mut bytes = [self.seq.to_be_bytes(), self.ack.to_be_bytes()].concat();
        bytes.extend([offset << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend(&self.payload);
        bytes
    }
}

/// A whole datagram with right checksums.
pub(super) fn datagram(envelope: &Envelope, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(envelope, payload.len());
    bytes.extend(payload);
    complete_checksums(&mut bytes);
    bytes
}

fn header(envelope: &Envelope, len: usize) -> Vec<u8> {
    let Envelope { src, dst, proto, ttl, tos, id, dont_fragment } = *envelope;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut bytes = vec![0x45, tos];
            bytes.extend(((20 + len) as u16).to_be_bytes());
            bytes.extend(id.to_be_bytes());
            bytes.extend([if dont_fragment { 0x40 } else { 0 }, 0, ttl, proto, 0, 0]);
            bytes.extend(src.octets());
            bytes.extend(dst.octets());
            bytes
        }
        (src, dst) => {
            let octets = |addr| match addr {
                IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
                IpAddr::V6(addr) => addr.octets(),
            };
            let mut bytes = vec![0x60 | tos >> 4, tos << 4, 0, 0];
            bytes.extend((len as u16).to_be_bytes());
            bytes.extend([proto, ttl]);
            bytes.extend(octets(src));
            bytes.extend(octets(dst));
            bytes
        }
    }
}

/// Where the upper layer of a datagram without extension headers begins, and what it is. A later
/// fragment has none.
pub(super) fn upper_layer(datagram: &[u8]) -> Option<(usize, u8)> {
    match datagram.first()? >> 4 {
        4 => {
            let is_later = datagram.get(6)? & 0x1f != 0 || *datagram.get(7)? != 0;
            let at = usize::from(datagram[0] & 15) * 4;
            (!is_later && at >= 20 && at <= datagram.len()).then_some((at, *datagram.get(9)?))
        }
        _ => (datagram.len() >= 40).then(|| (40, datagram[6])),
    }
}

/// Source and destination of a datagram.
pub(super) fn addresses(datagram: &[u8]) -> Option<(IpAddr, IpAddr)> {
    Some(match datagram.first()? >> 4 {
        4 => {
            let at = |at: usize| Some(IpAddr::from(*datagram.get(at..)?.first_chunk::<4>()?));
            (at(12)?, at(16)?)
        }
        _ => {
            let at = |at: usize| Some(IpAddr::from(*datagram.get(at..)?.first_chunk::<16>()?));
            (at(8)?, at(24)?)
        }
    })
}

/// Writes the right header checksum into an IPv4 datagram.
pub(super) fn complete_header_checksum(datagram: &mut [u8]) {
    let len = usize::from(datagram[0] & 15) * 4;
    if datagram[0] >> 4 == 4 && len >= 20 && len <= datagram.len() {
        datagram[10..12].fill(0);
        let sum = Sum::new().bytes(&datagram[..len]).finish();
        datagram[10..12].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Writes the right checksums into a whole datagram without extension headers.
pub(in crate::campaign) fn complete_checksums(datagram: &mut [u8]) {
    complete_header_checksum(datagram);
    let (Some((at, proto)), Some((src, dst))) = (upper_layer(datagram), addresses(datagram)) else {
        return;
    };
    let segment = &mut datagram[at..];
    let place = match proto {
        proto::TCP => 16,
        proto::UDP | proto::UDPLITE => 6,
        proto::ICMP | proto::ICMPV6 => 2,
        proto::SCTP => return complete_crc(segment),
        _ => return,
    };
    let Some(field) = segment.get_mut(place..place + 2) else { return };
    field.fill(0);
    let sum = match proto {
        proto::ICMP => Sum::new().bytes(segment).finish(),
        proto::UDPLITE => partial_sum(src, dst, segment),
        _ => transport(src, dst, proto, segment),
    };
    let is_datagram = matches!(proto, proto::UDP | proto::UDPLITE);
    let sum = if sum == 0 && is_datagram { 0xffff } else { sum };
    segment[place..place + 2].copy_from_slice(&sum.to_be_bytes());
}

/// UDP-Lite's: the pseudo header has the whole length, the sum only what is covered (RFC 3828).
fn partial_sum(src: IpAddr, dst: IpAddr, segment: &[u8]) -> u16 {
    let cover = usize::from(u16::from_be_bytes([segment[4], segment[5]]));
    let covered = if (8..=segment.len()).contains(&cover) { cover } else { segment.len() };
    let pseudo = tidegate_wire::checksum::pseudo_header(src, dst, proto::UDPLITE, segment.len());
    pseudo.bytes(&segment[..covered]).finish()
}

fn complete_crc(segment: &mut [u8]) {
    if segment.len() >= 12 {
        segment[8..12].fill(0);
        let crc = Crc32c::new().bytes(segment).finish();
        segment[8..12].copy_from_slice(&crc.to_le_bytes());
    }
}
