//! What a translation leaves of an upper layer's header, protocol by protocol.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::*;

const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 2));
const NEW: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));

/// `segment` between [`OLD`] and [`PEER`] after the end `manip` has become
/// [`NEW`], with 1024 for port or key.
fn translated(proto: u8, segment: &[u8], manip: Manip) -> core::result::Result<Vec<u8>, ()> {
    let (src, dst) = match manip {
        Manip::Src => (NEW, PEER),
        Manip::Dst => (PEER, NEW),
    };
    let target = Tuple { src, dst, sport: 1024, dport: 1024, proto };
    let mut bytes = segment.to_vec();
    let delta = Delta::new().addr(OLD, NEW);
    upper_layer(
        &mut bytes,
        proto,
        &target,
        manip,
        Covered { addresses: delta, state: Checksum::Full },
    )
    .map(|()| bytes)
    .map_err(|_| ())
}

/// An SCTP packet from port 5000 to port 6000 that was recorded.
const INIT: [u8; 32] = [
    0x13, 0x88, 0x17, 0x70, 0, 0, 0, 0, 0x59, 0xcd, 0xa6, 0x42, 1, 0, 0, 20, 0, 0, 0x11, 0x11, 0,
    1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1,
];

#[test]
fn sctp_gets_a_port_and_a_checksum() {
    for (manip, at) in [(Manip::Src, 0), (Manip::Dst, 2)] {
        let mut spoilt = INIT;
        spoilt[8] ^= 1;
        for before in [INIT, spoilt] {
            let after = translated(proto::SCTP, &before, manip).unwrap();
            let mut want = INIT;
            want[at..at + 2].copy_from_slice(&1024_u16.to_be_bytes());
            assert!(Sctp::new(&after[..]).unwrap().checksum_ok(), "{manip:?}");
            assert_eq!((&after[..8], &after[12..]), (&want[..8], &want[12..]), "{manip:?}");
        }
    }
}

#[test]
fn a_quoted_sctp_header_needs_no_checksum() {
    let after = translated(proto::SCTP, &INIT[..11], Manip::Src).unwrap();
    assert_eq!(after, [&[4, 0], &INIT[2..11]].concat());
    assert_eq!(translated(proto::SCTP, &INIT[..7], Manip::Src), Err(()));
}

#[test]
fn udplite_keeps_its_checksum_right_whatever_it_covers() {
    let datagrams = [(0_u16, 0xfb62_u16), (8, 0x0065), (13, 0x69fb), (18, 0xfb50)];
    for (coverage, checksum) in datagrams {
        let mut before = *b"\xb7\x99\x00\x5a    0123456789";
        before[4..6].copy_from_slice(&coverage.to_be_bytes());
        before[6..8].copy_from_slice(&checksum.to_be_bytes());
        let after = translated(proto::UDPLITE, &before, Manip::Src).unwrap();
        let view = UdpLite::new(&after[..]).unwrap();
        assert!(view.checksum_ok(NEW, PEER, proto::UDPLITE), "coverage {coverage}");
        assert_eq!((view.src_port(), view.dst_port()), (1024, 90));
        assert_eq!(after[8..], before[8..]);
    }
    assert_eq!(translated(proto::UDPLITE, &[0; 7], Manip::Src), Err(()));
}

#[test]
fn gre_changes_only_a_receivers_key() {
    type Row = (&'static str, [u8; 8], Manip, core::result::Result<[u8; 8], ()>);
    let tunnel = [0x20, 0, 8, 0, 0, 0, 0, 77];
    let call = [0x30, 1, 0x88, 0x0b, 0, 0, 0, 5];
    let unknown = [0, 2, 8, 0, 0, 0, 0, 0];
    let rows: [Row; 6] = [
        ("a tunnel's source", tunnel, Manip::Src, Ok(tunnel)),
        ("a tunnel's destination", tunnel, Manip::Dst, Ok(tunnel)),
        ("the caller's key isn't there", call, Manip::Src, Ok(call)),
        ("the callee's is", call, Manip::Dst, Ok([0x30, 1, 0x88, 0x0b, 0, 0, 4, 0])),
        ("an unknown version from us", unknown, Manip::Src, Ok(unknown)),
        ("an unknown version to us", unknown, Manip::Dst, Err(())),
    ];
    for (what, before, manip, after) in rows {
        let want = after.map(|bytes| bytes.to_vec());
        assert_eq!(translated(proto::GRE, &before, manip), want, "{what}");
    }
    assert_eq!(translated(proto::GRE, &tunnel[..7], Manip::Src), Err(()), "cut");
}
