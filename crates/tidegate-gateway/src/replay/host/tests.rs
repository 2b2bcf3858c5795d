//! The host's answers against what a Linux 6.18 host answered, byte for byte
//! but for the IPv4 identification.

use super::*;
use crate::replay::topology::{IN0, OUT0, Router};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn answer(question: &[u8], in_port: PortId) -> Option<Vec<u8>> {
    let world = World::Router(Router::default());
    let reply = Host::default().answer(Instant::ZERO, question, in_port, &world);
    reply.map(|reply| reply.datagram)
}

/// Without IPv4's identification and the header checksum that covers it.
fn comparable(mut datagram: Vec<u8>) -> Vec<u8> {
    if datagram.first().is_some_and(|byte| byte >> 4 == 4) {
        assert!(tidegate_wire::packet::Ipv4::new(&datagram[..]).unwrap().checksum_ok());
        datagram[4..6].fill(0);
        datagram[10..12].fill(0);
    }
    datagram
}

#[test]
fn the_host_answers_as_linux_does() {
    for (what, port, question, expected) in RECORDED {
        let given = answer(&bytes(question), *port).map(comparable);
        assert_eq!(given, expected.map(|hex| comparable(bytes(hex))), "{what}");
    }
}

#[test]
fn a_long_datagram_is_quoted_as_far_as_the_error_may_go() {
    let header = tidegate_wire::packet::Ipv4Repr {
        src: [10, 0, 1, 2].into(),
        dst: [10, 0, 1, 1].into(),
        proto: 253,
        ttl: 64,
        tos: 0,
        id: 1,
        dont_fragment: false,
        payload_len: 1000,
    };
    let mut question = vec![7; 1020];
    header.emit(&mut question);
    let error = answer(&question, IN0).unwrap();
    assert_eq!(error.len(), 576);
    assert_eq!(error[28..], question[..548]);
}

#[test]
fn a_timestamp_request_gets_the_time_of_day() {
    let mut question = bytes("4500002800004000400124d30a0001020a000101");
    question.extend(bytes("0d00f29a0064000100000000000000000000000000000000"));
    question[22..24].copy_from_slice(&0xf29a_u16.to_be_bytes());
    question.truncate(40);
    let world = World::Router(Router::default());
    let noon_of_day_two = Instant::from_nanos(129_600_000_000_000);
    let answer = Host::default().answer(noon_of_day_two, &question, IN0, &world).unwrap().datagram;
    assert_eq!(answer[20..22], [14, 0]);
    assert_eq!(answer[32..36], 43_200_000_u32.to_be_bytes());
    assert_eq!(answer[36..40], 43_200_000_u32.to_be_bytes());
}

#[test]
fn no_cut_of_a_question_makes_the_host_panic() {
    let question = bytes(
        "6000000000203afffd000001000000000000000000000002fd000001000000000000000000000001\
         87007d9800000000fd0000010000000000000000000000010101020000000102",
    );
    for len in 0..question.len() {
        assert_eq!(answer(&question[..len], IN0), None, "cut to {len} bytes");
    }
}

/// What was asked, by which port, in hex, and what the recorded host answered.
type Row = (&'static str, PortId, &'static str, Option<&'static str>);

const RECORDED: &[Row] = &[
    (
        "echo request",
        IN0,
        "4500002400004000400124d70a0001020a00010108006668000100016162636465666768",
        Some("45000024897000004001db660a0001010a00010200006e68000100016162636465666768"),
    ),
    (
        "echo request to the far side's address",
        OUT0,
        "45000024000040004001f3d5cb0071020a00010108006668000100016162636465666768",
        Some("450000244cd500004001e7000a000101cb00710200006e68000100016162636465666768"),
    ),
    (
        "UDP to a closed port",
        IN0,
        "4500002200004000401124c90a0001020a00010100010002000eb188636c6f736564",
        Some(
            "45c0003e898200004001da7a0a0001010a0001020303131f00000000\
             4500002200004000401124c90a0001020a00010100010002000eb188636c6f736564",
        ),
    ),
    (
        "a protocol that nobody serves",
        IN0,
        "450000240000400040fd23db0a0001020a0001016e6f20737563682070726f746f636f6c",
        Some(
            "45c00040898500004001da750a0001010a0001020302d1e000000000\
             450000240000400040fd23db0a0001020a0001016e6f20737563682070726f746f636f6c",
        ),
    ),
    (
        "SYN to a closed port: RST that acknowledges it",
        IN0,
        "4500002800004000400624ce0a0001020a00010101f6005000000064000000005002ffff97360000",
        Some(
            "4500002800004000400624ce0a0001010a000102005001f60000000000000065\
             5014000097230000",
        ),
    ),
    (
        "ACK to a closed port: RST at the acknowledged number",
        IN0,
        "4500002b00004000400624cb0a0001020a0001010204005000000064000000c85010ffff\
         d1ec0000616263",
        Some(
            "4500002800004000400624ce0a0001010a00010200500204000000c800000000\
             5004000096c20000",
        ),
    ),
    (
        "RST is never answered",
        IN0,
        "4500002800004000400624ce0a0001020a00010101f8005000000064000000005004ffff97320000",
        None,
    ),
    (
        "address mask requests are ignored",
        IN0,
        "4500002000004000400124db0a0001020a0001011100eefd0001000100000000",
        None,
    ),
    (
        "SYN to a closed port, IPv6",
        IN0,
        "6000000000140640fd000001000000000000000000000002fd000001000000000000000000000001\
         0001000200000064000000005002ffffb5750000",
        Some(
            "6000000000140640fd000001000000000000000000000001\
             fd00000100000000000000000000000200020001000000000000006550140000b5620000",
        ),
    ),
    (
        "UDP to a closed port, IPv6",
        IN0,
        "6000000000091140fd000001000000000000000000000002\
         fd0000010000000000000000000000010001000200098dd278",
        Some(
            "6000000000393a40fd000001000000000000000000000001\
             fd0000010000000000000000000000020104935200000000\
             6000000000091140fd000001000000000000000000000002\
             fd0000010000000000000000000000010001000200098dd278",
        ),
    ),
    (
        "a next header that nobody serves: the pointer names the field",
        IN0,
        "600000000007fd40fd000001000000000000000000000002\
         fd0000010000000000000000000000016e6f2073756368",
        Some(
            "6000000000373a40fd000001000000000000000000000001\
             fd00000100000000000000000000000204013deb00000006\
             600000000007fd40fd000001000000000000000000000002\
             fd0000010000000000000000000000016e6f2073756368",
        ),
    ),
    (
        "echo request, IPv6",
        IN0,
        "6000000000103a40fd00000100000000000000000000000220010db8000100000000000000000001\
         8000c35e000100016162636465666768",
        Some(
            "6000000000103a4020010db8000100000000000000000001\
             fd0000010000000000000000000000028100c25e000100016162636465666768",
        ),
    ),
    (
        "neighbour solicitation for the router's address",
        IN0,
        "6000000000203afffd000001000000000000000000000002fd000001000000000000000000000001\
         87007d9800000000fd0000010000000000000000000000010101020000000102",
        Some(
            "6000000000183afffd000001000000000000000000000001\
             fd0000010000000000000000000000028800c0a2c0000000\
             fd000001000000000000000000000001",
        ),
    ),
    (
        "neighbour advertisement",
        IN0,
        "6000000000203afffd000001000000000000000000000002fd000001000000000000000000000001\
         88001b9760000000fd0000010000000000000000000000020201020000000102",
        None,
    ),
    (
        "UDP with a wrong checksum",
        IN0,
        "4500002300004000401124c80a0001020a00010100010002000f50e76261642073756d",
        None,
    ),
    (
        "ICMP with a wrong checksum",
        IN0,
        "4500002400004000400124d70a0001020a00010108007454000900016162636465666768",
        None,
    ),
    (
        "UDP-Lite that covers everything",
        OUT0,
        "45000020000040004088c251cb007102cb007101003503e80000a27a6c697465",
        Some(
            "45c0003c5c9200004001a56acb007101cb0071020303759600000000\
             45000020000040004088c251cb007102cb007101003503e80000a27a6c697465",
        ),
    ),
    (
        "UDP to the subnet's broadcast address",
        IN0,
        "4500001d00004000401123d00a0001020a0001ff00010011000970c978",
        None,
    ),
];
