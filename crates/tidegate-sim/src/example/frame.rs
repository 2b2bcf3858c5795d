//! Frames of the example, and the capture file that holds them.

use std::io::{self, Write};
use std::net::IpAddr;

use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::packet::ipv4::{self, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::tcp::{self, Tcp, TcpFlags, TcpRepr};
use tidegate_wire::packet::udp::{self, Udp, UdpRepr};
use tidegate_wire::packet::{ethernet, icmp};
use tidegate_wire::{SeqNum, proto};

/// Address and port.
pub(crate) type Endpoint = (IpAddr, u16);

/// Where a frame enters the router; its source MAC tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Lan,
    Wan,
}

impl Side {
    pub(super) fn opposite(self) -> Self {
        match self {
            Self::Lan => Self::Wan,
            Self::Wan => Self::Lan,
        }
    }

    /// Destination and source address of a frame that enters here.
    fn addresses(self) -> [[u8; 6]; 2] {
        let port = if self == Self::Lan { 1 } else { 2 };
        [[2, 0, 0, 0, port, 1], [2, 0, 0, 0, port, 2]]
    }
}

/// A TCP segment with `len` bytes of payload.
pub(crate) fn tcp(
    side: Side,
    from: Endpoint,
    to: Endpoint,
    flags: TcpFlags,
    (seq, ack): (u32, u32),
    len: usize,
) -> Vec<u8> {
    let header = TcpRepr {
        src_port: from.1,
        dst_port: to.1,
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags,
        window: 64_240,
    };
    let mut segment = vec![b'.'; tcp::HEADER_LEN + len];
    header.emit(&mut segment);
    if let Some(mut tcp) = Tcp::new(&mut segment[..]) {
        tcp.fill_checksum(from.0, to.0);
    }
    frame(side, &datagram(from.0, to.0, proto::TCP, &segment))
}

/// A UDP datagram with `len` bytes of payload.
pub(crate) fn udp(side: Side, from: Endpoint, to: Endpoint, len: usize) -> Vec<u8> {
    frame(side, &udp_datagram(from, to, len))
}

fn udp_datagram(from: Endpoint, to: Endpoint, len: usize) -> Vec<u8> {
    let mut segment = vec![b'.'; udp::HEADER_LEN + len];
    UdpRepr { src_port: from.1, dst_port: to.1, payload_len: len }.emit(&mut segment);
    if let Some(mut udp) = Udp::new(&mut segment[..]) {
        udp.fill_checksum(from.0, to.0);
    }
    datagram(from.0, to.0, proto::UDP, &segment)
}

/// An echo request or reply.
pub(super) fn ping(
    side: Side,
    from: IpAddr,
    to: IpAddr,
    request: bool,
    (id, seq): (u16, u16),
) -> Vec<u8> {
    let kind = if request { icmp::ECHO_REQUEST } else { icmp::ECHO_REPLY };
    let [id, seq] = [id.to_be_bytes(), seq.to_be_bytes()];
    let rest = [id[0], id[1], seq[0], seq[1]];
    frame(side, &datagram(from, to, proto::ICMP, &message(kind, 0, rest, &[b'.'; 48])))
}

/// "Port unreachable" from the outside, about a datagram of `len` bytes.
pub(super) fn quote_unreachable(
    (from, to): (IpAddr, IpAddr),
    quoted_from: Endpoint,
    quoted_to: Endpoint,
    len: usize,
) -> Vec<u8> {
    let quote = udp_datagram(quoted_from, quoted_to, len);
    let message = message(icmp::UNREACHABLE, 3, [0; 4], &quote);
    frame(Side::Wan, &datagram(from, to, proto::ICMP, &message))
}

fn message(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend(rest);
    message.extend(body);
    let checksum = Sum::new().bytes(&message).finish();
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    message
}

fn datagram(src: IpAddr, dst: IpAddr, proto: u8, payload: &[u8]) -> Vec<u8> {
    debug_assert!(proto == proto::ICMP || transport(src, dst, proto, payload) == 0);
    let payload_len = payload.len();
    let mut bytes = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let (ttl, tos, id, dont_fragment) = (64, 0, 0, true);
            let header = Ipv4Repr { src, dst, proto, ttl, tos, id, dont_fragment, payload_len };
            let mut bytes = vec![0; ipv4::HEADER_LEN];
            header.emit(&mut bytes);
            bytes
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (hop_limit, traffic_class, flow_label) = (64, 0, 0);
            let next_header = proto;
            let header = Ipv6Repr {
                src,
                dst,
                next_header,
                hop_limit,
                traffic_class,
                flow_label,
                payload_len,
            };
            let mut bytes = vec![0; ipv6::HEADER_LEN];
            header.emit(&mut bytes);
            bytes
        }
        _ => Vec::new(),
    };
    bytes.extend(payload);
    bytes
}

fn frame(side: Side, datagram: &[u8]) -> Vec<u8> {
    let [to, from] = side.addresses();
    let is_v4 = datagram.first().is_some_and(|byte| byte >> 4 == 4);
    let ethertype = if is_v4 { ethernet::IPV4 } else { ethernet::IPV6 };
    [&to[..], &from[..], &ethertype.to_be_bytes(), datagram].concat()
}

/// A classic capture file.
pub(super) fn capture(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = capture_head();
    for (time, frame) in frames {
        // Writing to memory cannot fail.
        let _ = write_frame(&mut file, *time, frame);
    }
    file
}

/// The head of a classic capture file: Ethernet, nanoseconds.
pub(crate) fn capture_head() -> Vec<u8> {
    const NANOSECOND_MAGIC: u32 = 0xa1b2_3c4d;
    const VERSION: u32 = 4 << 16 | 2;
    const ETHERNET: u32 = 1;
    words([NANOSECOND_MAGIC, VERSION, 0, 0, 65_535, ETHERNET])
}

/// One record of a classic capture file; `time` counts nanoseconds from zero.
pub(crate) fn write_frame(sink: &mut impl Write, time: u64, frame: &[u8]) -> io::Result<()> {
    const SECOND: u64 = 1_000_000_000;
    let len = frame.len() as u32;
    sink.write_all(&words([(time / SECOND) as u32, (time % SECOND) as u32, len, len]))?;
    sink.write_all(frame)
}

fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
