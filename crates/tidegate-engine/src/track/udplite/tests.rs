//! UDP-Lite: coverage, the checksum as Linux verifies it, and streams.

use alloc::boxed::Box;
use core::net::IpAddr;

use tidegate_wire::checksum::pseudo_header;

use super::*;
use crate::track::trial::{Payload, Row, orig, play, play_under, reply};

/// Ten bytes of data behind the header.
const LEN: usize = 18;
const UNVERIFIED: [(&str, &str); 1] = [("net.netfilter.nf_conntrack_checksum", "0")];

/// A datagram with that coverage; `number` is the protocol in the pseudo header,
/// and `spoil` is added to the checksum.
fn datagram(coverage: u16, number: u8, spoil: u16) -> Payload {
    Box::new(move |src: IpAddr, dst: IpAddr| {
        let mut bytes = *b"\x9c\x40\x00\x5a    0123456789";
        bytes[4..6].copy_from_slice(&coverage.to_be_bytes());
        bytes[6..8].fill(0);
        let covered = if coverage == 0 { LEN } else { usize::from(coverage).min(LEN) };
        let sum = pseudo_header(src, dst, number, LEN).bytes(&bytes[..covered]).finish();
        bytes[6..8].copy_from_slice(&(sum ^ spoil).to_be_bytes());
        bytes.to_vec()
    })
}

fn conforming() -> Payload {
    datagram(8, proto::UDPLITE, 0)
}

fn as_udp(coverage: u16) -> Payload {
    datagram(coverage, proto::UDP, 0)
}

fn raw(bytes: &'static [u8]) -> Payload {
    Box::new(|_, _| bytes.to_vec())
}

fn conversation(packet: fn() -> Payload) -> [Row; 5] {
    [
        orig("a datagram", packet(), "30"),
        orig("another, still alone", packet(), "30"),
        reply("the first answer comes too late to count itself", packet(), "30"),
        reply("no two seconds as with UDP", packet(), "120 +assured"),
        orig("both ways", packet(), "120"),
    ]
}

#[test]
fn an_answered_flow_is_a_stream_at_once() {
    play_under(proto::UDPLITE, &UNVERIFIED, &conversation(conforming));
    play(proto::UDPLITE, &conversation(|| as_udp(8)));
}

#[test]
#[rustfmt::skip]
fn the_checksum_covers_what_the_header_says() {
    use InvalidReason::{BadChecksum, UdpLiteCoverage, UdpLiteNoChecksum, UdpShort};
    play(proto::UDPLITE, &[
        orig("everything, by zero",         as_udp(0),  "30"),
        orig("everything, by its length",   as_udp(18), "30"),
        orig("an odd part",                 as_udp(13), "30"),
        orig("the header",                  as_udp(8),  "30"),
        orig("less than the header",        as_udp(7),  "").refused(UdpLiteCoverage),
        orig("more than there is",          as_udp(19), "").refused(UdpLiteCoverage),
        orig("a wrong one",                 datagram(0, proto::UDP, 1), "").refused(BadChecksum),
        orig("as the RFC has it, and Linux refuses it", conforming(), "").refused(BadChecksum),
        orig("none",                        raw(&[0, 1, 0, 2, 0, 8, 0, 0]), "").refused(UdpLiteNoChecksum),
        orig("no whole header",             raw(&[0, 1, 0, 2, 0, 8, 0]), "").refused(UdpShort),
    ]);
}

/// Linux puts the lowest byte of an IPv4 datagram's length into the pseudo header.
#[test]
fn the_pseudo_header_of_a_long_datagram() {
    const LONG: usize = 308;
    let long = |pseudo_len: fn(bool) -> usize| -> Payload {
        Box::new(move |src: IpAddr, dst: IpAddr| {
            let mut bytes = alloc::vec![0x5a; LONG];
            bytes[4..8].fill(0);
            let len = pseudo_len(src.is_ipv4());
            let sum = pseudo_header(src, dst, proto::UDP, len).bytes(&bytes).finish();
            bytes[6..8].copy_from_slice(&sum.to_be_bytes());
            bytes
        })
    };
    let as_linux = |is_v4| if is_v4 { LONG & 0xff } else { LONG };
    let otherwise = |is_v4| if is_v4 { LONG } else { LONG & 0xff };
    play(
        proto::UDPLITE,
        &[
            orig("as Linux has it", long(as_linux), "30"),
            orig("the other way", long(otherwise), "").refused(InvalidReason::BadChecksum),
        ],
    );
}

#[test]
#[rustfmt::skip]
fn without_verification_coverage_still_counts() {
    use InvalidReason::{UdpLiteCoverage, UdpLiteNoChecksum};
    play_under(proto::UDPLITE, &UNVERIFIED, &[
        orig("coverage opens nothing",      as_udp(7), "").refused(UdpLiteCoverage),
        orig("nor does a missing checksum", raw(&[0, 1, 0, 2, 0, 0, 0, 0]), "").refused(UdpLiteNoChecksum),
        orig("a wrong checksum does",       datagram(0, proto::UDP, 1), "30"),
    ]);
}
