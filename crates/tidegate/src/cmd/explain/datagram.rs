//! A datagram from its description, with all lengths and checksums.

use std::net::IpAddr;

use tidegate_wire::packet::sctp::{Sctp, kind};
use tidegate_wire::packet::tcp::{self, TcpFlags, TcpRepr};
use tidegate_wire::packet::udp::{self, UdpRepr};
use tidegate_wire::packet::{ipv4, ipv6};
use tidegate_wire::{SeqNum, checksum, proto};

use crate::flags::packet::PacketArgs;

/// Builds it.
///
/// # Errors
/// Something is missing, or doesn't go together.
pub(super) fn build(args: &PacketArgs) -> Result<Vec<u8>, String> {
    let (Some(proto), Some(src), Some(dst)) = (args.proto, args.src, args.dst) else {
        return Err("which packet? -p, -s and -d, or --hex, or --pcap".to_owned());
    };
    let mut segment = segment(args, proto)?;
    if segment.len() > LONGEST {
        return Err(format!("a payload of {} bytes is too long", segment.len()));
    }
    fill_checksum(proto, (src, dst), &mut segment);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) if proto != proto::ICMPV6 => {
            let header = ipv4::Ipv4Repr {
                src,
                dst,
                proto,
                ttl: args.ttl,
                tos: 0,
                id: 0,
                dont_fragment: true,
                payload_len: segment.len(),
            };
            Ok(behind(ipv4::HEADER_LEN, |buf| header.emit(buf), &segment))
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) if proto != proto::ICMP => {
            let header = ipv6::Ipv6Repr {
                src,
                dst,
                next_header: proto,
                hop_limit: args.ttl,
                traffic_class: 0,
                flow_label: 0,
                payload_len: segment.len(),
            };
            Ok(behind(ipv6::HEADER_LEN, |buf| header.emit(buf), &segment))
        }
        (IpAddr::V4(_), IpAddr::V4(_)) => Err("ICMPv6 has IPv6 addresses".to_owned()),
        (IpAddr::V6(_), IpAddr::V6(_)) => Err("ICMP has IPv4 addresses; or -p icmpv6".to_owned()),
        _ => Err(format!("{src} and {dst} are of different families")),
    }
}

/// The upper layer, its checksum zero.
fn segment(args: &PacketArgs, proto: u8) -> Result<Vec<u8>, String> {
    let payload = args.payload.as_ref().map_or(&[][..], |hex| &hex.0);
    let src_port = args.sport.unwrap_or(SPORT);
    let dst_port = || args.dport.ok_or("this protocol has --dport");
    Ok(match proto {
        proto::TCP => {
            let header = TcpRepr {
                src_port,
                dst_port: dst_port()?,
                seq: SeqNum(args.seq),
                ack: SeqNum(args.ack),
                flags: args.flags.unwrap_or(TcpFlags::SYN),
                window: WINDOW,
            };
            behind(tcp::HEADER_LEN, |buf| header.emit(buf), payload)
        }
        proto::UDP | proto::UDPLITE => {
            let header = UdpRepr { src_port, dst_port: dst_port()?, payload_len: payload.len() };
            behind(udp::HEADER_LEN, |buf| header.emit(buf), payload)
        }
        proto::ICMP | proto::ICMPV6 => {
            let echo = if proto == proto::ICMP { ICMP_ECHO } else { ICMPV6_ECHO };
            let [high, low] = args.icmp_id.unwrap_or(1).to_be_bytes();
            let (icmp_type, code) = (args.icmp_type.unwrap_or(echo), args.icmp_code.unwrap_or(0));
            [&[icmp_type, code, 0, 0, high, low, 0, 1], payload].concat()
        }
        proto::SCTP => {
            let [[a, b], [c, d]] = [src_port, dst_port()?].map(u16::to_be_bytes);
            let chunks = if payload.is_empty() { &INIT[..] } else { payload };
            [&[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0], chunks].concat()
        }
        proto::GRE if payload.is_empty() => GRE_OF_IPV4.to_vec(),
        _ => payload.to_vec(),
    })
}

fn behind(len: usize, emit: impl FnOnce(&mut [u8]), payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn fill_checksum(proto: u8, (src, dst): (IpAddr, IpAddr), segment: &mut [u8]) {
    let at = match proto {
        proto::TCP => 16,
        proto::UDP | proto::UDPLITE => 6,
        proto::ICMP | proto::ICMPV6 => 2,
        proto::SCTP => {
            if let Some(mut sctp) = Sctp::new(segment) {
                sctp.fill_checksum();
            }
            return;
        }
        _ => return,
    };
    let sum = match proto {
        proto::ICMP => checksum::Sum::new().bytes(segment).finish(),
        _ => checksum::transport(src, dst, proto, segment),
    };
    // A zero would say that there is none.
    let is_udp = matches!(proto, proto::UDP | proto::UDPLITE);
    let sum = if is_udp && sum == 0 { u16::MAX } else { sum };
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// More fits in no datagram of either family.
const LONGEST: usize = 65_515;
/// The first port that nobody has registered.
const SPORT: u16 = 49_152;
const WINDOW: u16 = 64_240;
const ICMP_ECHO: u8 = 8;
const ICMPV6_ECHO: u8 = 128;
/// The beginning of an association: tag 1, window, a stream each way, the first number 1.
const INIT: [u8; 20] = [kind::INIT, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1];
/// A header without any option.
const GRE_OF_IPV4: [u8; 4] = [0, 0, 8, 0];

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tidegate_wire::dissect;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        packet: PacketArgs,
    }

    fn built(line: &str) -> Result<Vec<u8>, String> {
        build(&Line::try_parse_from(line.split(' ')).expect("a line").packet)
    }

    #[test]
    fn what_is_described_is_a_datagram_with_good_checksums() {
        let rows = [
            "x -p tcp -s 10.0.0.1 -d 10.0.0.2 --dport 80",
            "x -p tcp -s fd00::1 -d fd00::2 --dport 80 --flags psh,ack --seq 7 --ack 9 --payload 616263",
            "x -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 5 --dport 53 --payload 01:02:03",
            "x -p udplite -s fd00::1 -d fd00::2 --dport 53",
            "x -p icmp -s 10.0.0.1 -d 10.0.0.2",
            "x -p icmpv6 -s fd00::1 -d fd00::2 --icmp-id 77",
        ];
        for row in rows {
            let bytes = built(row).expect(row);
            let headers = dissect(&bytes).expect(row);
            let segment = &bytes[headers.l4.expect(row)..];
            let (src, dst) = (headers.src, headers.dst);
            let sum = match headers.proto {
                proto::ICMP => checksum::Sum::new().bytes(segment).finish(),
                proto => checksum::transport(src, dst, proto, segment),
            };
            assert_eq!((headers.len, sum), (bytes.len(), 0), "{row}");
        }
        let sctp = built("x -p sctp -s 10.0.0.1 -d 10.0.0.2 --dport 80").expect("built");
        assert!(Sctp::new(&sctp[20..]).expect("a header").checksum_ok());
        assert_eq!(sctp.len(), 20 + 12 + INIT.len());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let rows = [
            ("x -p tcp -s 10.0.0.1 -d 10.0.0.2", "--dport"),
            ("x -p tcp -s 10.0.0.1 -d fd00::2 --dport 1", "different families"),
            ("x -p icmp -s fd00::1 -d fd00::2", "-p icmpv6"),
            ("x -p icmpv6 -s 10.0.0.1 -d 10.0.0.2", "IPv6 addresses"),
            ("x", "which packet?"),
        ];
        for (row, words) in rows {
            let refusal = built(row).expect_err(row);
            assert!(refusal.contains(words), "{row}: {refusal}");
        }
    }
}
