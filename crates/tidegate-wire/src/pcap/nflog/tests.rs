//! Frames as tcpdump writes them.

use std::vec::Vec;

use super::*;
use crate::pcap::{Link, LinkType, datagram};

const COPIED: Copied<'_> = Copied {
    family: Family::V4,
    group: 5,
    prefix: "abc ",
    hook: 2,
    in_index: Some(2),
    out_index: Some(3),
    mark: 0x17,
    time_ns: 1_700_000_001_000_002_999,
    payload: &[0x45, 1, 2, 3, 4],
};

#[test]
fn a_frame_is_as_the_kernel_sends_it() {
    let expected: [&[u8]; 8] = [
        &[2, 0, 0, 5],
        &[8, 0, 1, 0, 8, 0, 2, 0],
        &[9, 0, 10, 0, b'a', b'b', b'c', b' ', 0, 0, 0, 0],
        &[8, 0, 4, 0, 0, 0, 0, 2],
        &[8, 0, 5, 0, 0, 0, 0, 3],
        &[8, 0, 2, 0, 0, 0, 0, 0x17],
        &[20, 0, 3, 0, 0, 0, 0, 0, 0x65, 0x53, 0xf1, 1, 0, 0, 0, 0, 0, 0, 0, 2],
        &[9, 0, 9, 0, 0x45, 1, 2, 3, 4, 0, 0, 0],
    ];
    assert_eq!(COPIED.frame(), expected.concat());
}

#[test]
fn the_datagram_is_found() {
    for family in Family::ALL {
        let frame = Copied { family, ..COPIED }.frame();
        let Link { datagram, ethertype, .. } = datagram(LinkType::Nflog, &frame);
        assert_eq!(datagram, Some(COPIED.payload));
        assert_eq!(ethertype, Some(if family == Family::V4 { 0x0800 } else { 0x86dd }));
    }
}

#[test]
fn the_order_of_bytes_shows() {
    let big = [2, 0, 0, 1, 0, 8, 0, 1, 8, 0, 0, 0, 0, 6, 0, 9, 0x45, 7, 0, 0];
    assert_eq!(datagram(LinkType::Nflog, &big).datagram, Some(&[0x45, 7][..]));
}

#[test]
fn damaged_frames_have_no_more_than_is_there() {
    let frame = COPIED.frame();
    let payload_at = frame.len() - 8;
    for len in 0..frame.len() {
        let expected = (len >= payload_at).then(|| &frame[payload_at..len.min(payload_at + 5)]);
        assert_eq!(datagram(LinkType::Nflog, &frame[..len]).datagram, expected, "{len} bytes");
    }
    let rows: [&[u8]; 3] = [
        &[7, 0, 0, 1, 6, 0, 9, 0, 0x45, 7],
        &[2, 1, 0, 1, 6, 0, 9, 0, 0x45, 7],
        &[2, 0, 0, 1, 3, 0, 1, 0, 6, 0, 9, 0, 0x45, 7],
    ];
    for row in rows {
        assert_eq!(datagram(LinkType::Nflog, row).datagram, None, "{row:?}");
    }
}

#[test]
fn the_longest_datagram_loses_its_end() {
    let payload: Vec<u8> = [0x45].into_iter().cycle().take(65_535).collect();
    let frame = Copied { payload: &payload, ..COPIED }.frame();
    let found = datagram(LinkType::Nflog, &frame).datagram.map(<[u8]>::len);
    assert_eq!(found, Some(65_531));
}
