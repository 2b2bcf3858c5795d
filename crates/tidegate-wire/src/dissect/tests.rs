//! Dissection by rows of bytes, and properties of damaged ones.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::packet::{Ipv4Repr, Ipv6Repr};

fn v4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    Ipv4Repr {
        src: [192, 0, 2, 1].into(),
        dst: [198, 51, 100, 2].into(),
        proto,
        ttl: 64,
        tos: 0,
        id: 0xbeef,
        dont_fragment: false,
        payload_len: payload.len(),
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

fn v6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40];
    Ipv6Repr {
        src: "2001:db8::1".parse().unwrap(),
        dst: "2001:db8::2".parse().unwrap(),
        next_header,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: payload.len(),
    }
    .emit(&mut bytes);
    bytes.extend(payload);
    bytes
}

/// Sets bytes and makes an IPv4 header checksum right again.
fn with(mut bytes: Vec<u8>, edits: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in edits {
        bytes[*at] = *byte;
    }
    if bytes[0] >> 4 == 4 {
        Ipv4::new(&mut bytes[..]).unwrap().fill_checksum();
    }
    bytes
}

fn padded(mut bytes: Vec<u8>, padding: usize) -> Vec<u8> {
    bytes.resize(bytes.len() + padding, 0xee);
    bytes
}

#[test]
fn malformed_rows() {
    use Malformed::*;
    let short_options = with(v4(17, &[0; 3]), &[(0, 0x46), (3, 23)]);
    let rows: Vec<(&str, Vec<u8>, Malformed)> = vec![
        ("nothing", vec![], Empty),
        ("version 0", vec![0; 40], BadVersion(0)),
        ("version 5", with(v6(17, &[]), &[(0, 0x50)]), BadVersion(5)),
        ("IPv4, only the first byte", vec![0x45], HeaderTooShort),
        ("IPv4, one byte short of a header", v4(17, &[])[..19].to_vec(), HeaderTooShort),
        ("IPv4, header length 16", with(v4(17, &[0; 8]), &[(0, 0x44)]), HeaderTooShort),
        ("IPv4, options beyond the bytes present", short_options, HeaderTooShort),
        (
            "IPv4, checksum off by a TTL",
            {
                let mut bytes = v4(17, &[0; 8]);
                bytes[8] -= 1;
                bytes
            },
            BadHeaderChecksum,
        ),
        ("IPv4, total length 16", with(v4(17, &[0; 8]), &[(3, 16)]), LengthBelowHeader),
        ("IPv4, total length 0", with(v4(17, &[0; 8]), &[(3, 0)]), LengthBelowHeader),
        (
            "IPv4, one byte missing",
            v4(17, &[0; 8])[..27].to_vec(),
            Truncated { need: 28, have: 27 },
        ),
        (
            "a bad checksum is seen before a bad length",
            {
                let mut bytes = v4(17, &[0; 8]);
                bytes[3] = 200;
                bytes
            },
            BadHeaderChecksum,
        ),
        ("IPv6, one byte short of a header", v6(17, &[])[..39].to_vec(), HeaderTooShort),
        (
            "IPv6, one byte missing",
            v6(17, &[0; 8])[..47].to_vec(),
            Truncated { need: 48, have: 47 },
        ),
        ("IPv6, multicast source", with(v6(17, &[]), &[(8, 0xff), (9, 0x0e)]), MulticastSource),
        (
            "IPv6, destination of scope 0",
            with(v6(17, &[]), &[(24, 0xff), (25, 0x10)]),
            ReservedScope,
        ),
    ];
    for (what, bytes, want) in rows {
        assert_eq!(dissect(&bytes), Err(want), "{what}");
    }
}

#[test]
fn the_family_announced_must_be_the_headers() {
    let (four, six) = (v4(17, &[]), v6(17, &[]));
    assert_eq!(dissect_as(Family::V4, &six), Err(Malformed::BadVersion(6)));
    assert_eq!(dissect_as(Family::V6, &four), Err(Malformed::BadVersion(4)));
    assert_eq!(dissect_as(Family::V4, &four), dissect(&four));
    assert_eq!(dissect_as(Family::V6, &six), dissect(&six));
    assert_eq!(dissect_as(Family::V4, &[]), Err(Malformed::Empty));
}

#[test]
fn reasons_are_numbered_and_named_apart() {
    for (place, reason) in Malformed::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place, "{reason}");
        let same = Malformed::ALL.iter().filter(|other| other.name() == reason.name());
        assert_eq!(same.count(), 1, "{reason}");
    }
}

#[test]
fn ipv4_headers_whole() {
    let bytes = padded(v4(6, &[7; 20]), 6);
    let want = Headers {
        family: Family::V4,
        src: "192.0.2.1".parse().unwrap(),
        dst: "198.51.100.2".parse().unwrap(),
        proto: 6,
        l4: Some(20),
        len: 40,
        ip_header_len: 20,
        fragment: None,
        checksum: Checksum::Full,
    };
    assert_eq!(dissect(&bytes), Ok(want));
    assert_eq!(want.payload(&bytes), [7; 20], "padding is no payload");
}

#[test]
fn ipv4_rows() {
    let fragment = |offset, more| Some(Fragment { offset, more, id: 0xbeef });
    // What, bytes, upper layer, length, fragment.
    let rows = [
        ("no payload", v4(17, &[]), Some(20), 20, None),
        ("options", with(v4(17, &[1; 12]), &[(0, 0x46)]), Some(24), 32, None),
        ("options and nothing else", with(v4(17, &[1; 4]), &[(0, 0x46)]), Some(24), 24, None),
        ("a TCP header too short to be one", v4(6, &[0; 3]), Some(20), 23, None),
        ("DF is no fragmentation", with(v4(6, &[0; 8]), &[(6, 0x40)]), Some(20), 28, None),
        ("first fragment", with(v4(6, &[0; 8]), &[(6, 0x20)]), Some(20), 28, fragment(0, true)),
        ("middle", with(v4(6, &[0; 8]), &[(6, 0x20), (7, 1)]), None, 28, fragment(8, true)),
        ("last", with(v4(6, &[0; 8]), &[(6, 0x1f), (7, 0xff)]), None, 28, fragment(65528, false)),
    ];
    for (what, bytes, l4, len, fragment) in rows {
        let headers = dissect(&bytes).unwrap();
        assert_eq!((headers.l4, headers.len, headers.fragment), (l4, len, fragment), "{what}");
    }
}

/// An extension header of `8 * (units + 1)` bytes.
fn extension(next: u8, units: u8) -> Vec<u8> {
    let mut bytes = vec![0; (usize::from(units) + 1) * 8];
    (bytes[0], bytes[1]) = (next, units);
    if bytes.len() == 8 {
        bytes[2..8].copy_from_slice(&[1, 4, 0, 0, 0, 0]);
    }
    bytes
}

fn fragment_header(next: u8, offset: u16, more: bool) -> Vec<u8> {
    let [high, low] = (offset | u16::from(more)).to_be_bytes();
    vec![next, 0, high, low, 0xde, 0xad, 0xbe, 0xef]
}

fn ah(next: u8, len: u8) -> Vec<u8> {
    let mut bytes = vec![0; (usize::from(len) + 2) * 4];
    (bytes[0], bytes[1]) = (next, len);
    bytes
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn ipv6_chains() {
    use proto::*;
    let fragment = |offset, more| Some(Fragment { offset, more, id: 0xdead_beef });
    let (hop, dest, rt) = (HOP_BY_HOP, DESTINATION_OPTIONS, IPV6_ROUTING);
    let udp = vec![0; 8];
    // What, first header, the pieces that follow, and from it: protocol, upper layer, fragment.
    type Row = (&'static str, u8, Vec<Vec<u8>>, u8, Option<usize>, Option<Fragment>);
    let rows: Vec<Row> = vec![
        ("no extension", UDP, vec![udp.clone()], UDP, Some(40), None),
        ("no extension, no data", UDP, vec![], UDP, Some(40), None),
        ("hop-by-hop", hop, vec![extension(UDP, 0), udp.clone()], UDP, Some(48), None),
        (
            "destination options of 24",
            dest,
            vec![extension(TCP, 2), udp.clone()],
            TCP,
            Some(64),
            None,
        ),
        (
            "hop-by-hop, routing, destination",
            hop,
            vec![extension(rt, 0), extension(dest, 1), extension(ICMPV6, 0), udp.clone()],
            ICMPV6,
            Some(72),
            None,
        ),
        (
            "hop-by-hop where it must not be is only skipped",
            dest,
            vec![extension(hop, 0), extension(UDP, 0), udp.clone()],
            UDP,
            Some(56),
            None,
        ),
        ("AH counts in units of 4", AH, vec![ah(TCP, 4), udp.clone()], TCP, Some(64), None),
        ("ESP is an upper layer", dest, vec![extension(ESP, 0), udp.clone()], ESP, Some(48), None),
        ("mobility is an upper layer", MOBILITY, vec![udp.clone()], MOBILITY, Some(40), None),
        ("no next header", NO_NEXT_HEADER, vec![udp.clone()], NO_NEXT_HEADER, None, None),
        (
            "no next header later",
            dest,
            vec![extension(NO_NEXT_HEADER, 0)],
            NO_NEXT_HEADER,
            None,
            None,
        ),
        ("upper layer right at the end", dest, vec![extension(TCP, 0)], TCP, Some(48), None),
        (
            "extension ends beyond the datagram",
            dest,
            vec![vec![TCP, 1, 0, 0, 0, 0, 0, 0]],
            TCP,
            Some(56),
            None,
        ),
        ("only three bytes of a routing header", rt, vec![vec![TCP, 0, 0]], rt, None, None),
        ("only one byte of an extension", dest, vec![vec![TCP]], dest, None, None),
        ("extension missing", rt, vec![], rt, None, None),
        ("chain breaks at the second", dest, vec![extension(rt, 0), vec![6]], rt, None, None),
        (
            "first fragment",
            IPV6_FRAGMENT,
            vec![fragment_header(TCP, 0, true), udp.clone()],
            TCP,
            Some(48),
            fragment(0, true),
        ),
        (
            "atomic fragment",
            IPV6_FRAGMENT,
            vec![fragment_header(TCP, 0, false), udp.clone()],
            TCP,
            Some(48),
            fragment(0, false),
        ),
        (
            "a later fragment names the protocol but has no upper layer",
            IPV6_FRAGMENT,
            vec![fragment_header(TCP, 1448, true), udp.clone()],
            TCP,
            None,
            fragment(1448, true),
        ),
        (
            "a later fragment that starts with an extension is not followed",
            IPV6_FRAGMENT,
            vec![fragment_header(dest, 8, false), udp.clone()],
            dest,
            None,
            fragment(8, false),
        ),
        (
            "a first fragment behind and before extensions",
            dest,
            vec![
                extension(IPV6_FRAGMENT, 0),
                fragment_header(dest, 0, true),
                extension(UDP, 0),
                udp.clone(),
            ],
            UDP,
            Some(64),
            fragment(0, true),
        ),
        (
            "of two fragment headers the first counts, but the second stops",
            IPV6_FRAGMENT,
            vec![fragment_header(IPV6_FRAGMENT, 0, true), fragment_header(TCP, 16, false)],
            TCP,
            None,
            fragment(0, true),
        ),
        (
            "fragment header cut in its id",
            IPV6_FRAGMENT,
            vec![fragment_header(TCP, 8, false)[..6].to_vec()],
            IPV6_FRAGMENT,
            None,
            None,
        ),
    ];
    for (what, first, pieces, proto, l4, fragment) in rows {
        let bytes = padded(v6(first, &pieces.concat()), 3);
        let headers = dissect(&bytes).unwrap();
        assert_eq!((headers.proto, headers.l4, headers.fragment), (proto, l4, fragment), "{what}");
        assert_eq!((headers.len, headers.ip_header_len), (bytes.len() - 3, 40), "{what}");
    }
    assert!(fragment(0, false).unwrap().is_atomic() && !fragment(0, true).unwrap().is_atomic());
}

/// A hop-by-hop header with these options, filled up with the zeroes that are not PadN's but Pad1s.
fn hop_by_hop(options: &[u8]) -> Vec<u8> {
    let len = (options.len() + 2).next_multiple_of(8);
    let mut bytes = vec![proto::UDP, (len / 8 - 1) as u8];
    bytes.extend(options);
    bytes.resize(len, 0);
    bytes
}

#[test]
fn hop_by_hop_rows() {
    // What, the options, whether the datagram survives.
    let rows: [(&str, &[u8], bool); 19] = [
        ("six Pad1", &[], true),
        ("PadN of 6", &[1, 4, 0, 0, 0, 0], true),
        ("PadN that isn't zero", &[1, 4, 0, 0, 9, 0], false),
        ("seven bytes of padding", &[5, 2, 0, 0, 1, 4, 0, 0, 0, 0, 0, 30, 1, 7], true),
        ("eight bytes of padding", &[5, 2, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 30, 0], false),
        (
            "padding before and after an option counts apart",
            &[1, 3, 0, 0, 0, 5, 2, 0, 0, 1, 3, 0, 0, 0],
            true,
        ),
        ("router alert", &[5, 2, 0, 0], true),
        ("router alert of length 1", &[5, 1, 0], false),
        ("unknown, to be skipped", &[0x1e, 1, 7], true),
        ("unknown, to be dropped", &[0x5e, 1, 7], false),
        ("unknown, to be dropped with an error", &[0x9e, 1, 7], false),
        ("unknown, to be dropped with an error to unicast", &[0xde, 1, 7], false),
        ("an option longer than the header", &[0x1e, 5, 0, 0, 0, 0], false),
        ("no room for a length", &[0x1e, 3, 1, 2, 3, 0x1e], false),
        ("eight options", &[30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0], true),
        ("nine options", &[30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0, 30, 0], false),
        ("jumbo in front of a short payload", &[194, 4, 0, 1, 0, 0], false),
        ("IOAM out of line", &[49, 2, 0, 0], false),
        ("IOAM in line", &[0, 0, 49, 2, 0, 0], true),
    ];
    for (what, options, accepted) in rows {
        let bytes = v6(proto::HOP_BY_HOP, &[hop_by_hop(options), vec![0; 8]].concat());
        let want = if accepted { Ok(()) } else { Err(Malformed::BadHopByHop) };
        assert_eq!(dissect(&bytes).map(drop), want, "{what}");
    }
    let cut = v6(proto::HOP_BY_HOP, &[proto::UDP, 1, 1, 4, 0, 0, 0, 0]);
    assert_eq!(
        dissect(&cut),
        Err(Malformed::BadHopByHop),
        "a header that ends beyond the datagram"
    );
}

#[test]
fn a_payload_length_of_zero() {
    let plain = with(v6(proto::UDP, &[0; 8]), &[(5, 0)]);
    assert_eq!(dissect(&plain).unwrap().len, 40, "means no payload");

    let hop = v6(proto::HOP_BY_HOP, &[hop_by_hop(&[]), vec![0; 8]].concat());
    let hop = with(hop, &[(5, 0)]);
    assert_eq!(dissect(&hop).unwrap().len, 56, "before a hop-by-hop header means all there is");

    let mut jumbo = hop_by_hop(&[194, 4, 0, 1, 0, 0]);
    jumbo.resize(0x1_0000, 0);
    let jumbo = padded(with(v6(proto::HOP_BY_HOP, &jumbo), &[(4, 0), (5, 0)]), 9);
    assert_eq!(dissect(&jumbo).unwrap().len, 0x1_0028, "with a jumbo option means what that says");
    let need = Malformed::Truncated { need: 0x1_0028, have: 0x1_0000 };
    assert_eq!(dissect(&jumbo[..0x1_0000]), Err(need));
}

#[test]
fn quoted_rows() {
    // What, bytes, and from them: upper layer and length.
    type Row = (&'static str, Vec<u8>, Option<(Option<usize>, usize)>);
    let rows: Vec<Row> = vec![
        ("nothing", vec![], None),
        ("cut to eight bytes of payload", v4(6, &[0; 100])[..28].to_vec(), Some((Some(20), 28))),
        ("only the header", v4(6, &[0; 100])[..20].to_vec(), Some((Some(20), 20))),
        ("header cut", v4(6, &[0; 100])[..19].to_vec(), None),
        ("header length 16", with(v4(6, &[0; 8]), &[(0, 0x44)]), None),
        ("options cut", with(v4(6, &[0; 8]), &[(0, 0x4f)]), None),
        ("wrong checksum", vec![0x45; 28], Some((None, 28))),
        ("shorter than the bytes present", padded(v4(17, &[0; 8]), 9), Some((Some(20), 37))),
        ("later fragment", with(v4(17, &[0; 8]), &[(7, 3)]), Some((None, 28))),
        ("IPv6 cut", v6(17, &[0; 100])[..48].to_vec(), Some((Some(40), 48))),
        ("IPv6 header cut", v6(17, &[0; 100])[..39].to_vec(), None),
        ("IPv6 shorter than the bytes present", padded(v6(17, &[0; 8]), 9), Some((Some(40), 57))),
        ("another version", vec![0x55; 60], Some((None, 60))),
    ];
    for (what, bytes, want) in rows {
        let found = quoted(&bytes).map(|headers| (headers.l4, headers.len));
        assert_eq!(found, want, "{what}");
    }
}

/// Reads a quote as what its version says.
fn quoted(bytes: &[u8]) -> Option<Headers> {
    let is_v6 = bytes.first().is_some_and(|byte| byte >> 4 == 6);
    dissect_quoted(if is_v6 { Family::V6 } else { Family::V4 }, bytes)
}

#[test]
fn no_truncation_panics_or_passes() {
    let samples = [
        with(v4(6, &[1; 40]), &[(0, 0x48)]),
        v6(0, &[hop_by_hop(&[5, 2, 0, 0]), fragment_header(6, 0, true), vec![0; 20]].concat()),
        v6(proto::AH, &[ah(proto::DESTINATION_OPTIONS, 4), extension(6, 3), vec![0; 20]].concat()),
    ];
    for sample in samples {
        assert!(dissect(&sample).is_ok());
        for end in 0..sample.len() {
            assert!(dissect(&sample[..end]).is_err(), "{end} of {}", sample.len());
            if let Some(headers) = quoted(&sample[..end]) {
                assert!(headers.payload(&sample[..end]).len() <= end);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_found_lies_within(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        six: bool,
        next in 0usize..8,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = if six { 0x60 } else { 0x45 };
        }
        if six && bytes.len() >= 40 {
            let payload_len = (bytes.len() - 40) as u8;
            bytes[4..6].copy_from_slice(&[0, payload_len]);
            bytes[6] = [0, 43, 44, 51, 59, 60, 6, 17][next];
            bytes[8] = 0x20;
        }
        for headers in [dissect(&bytes).ok(), quoted(&bytes)].into_iter().flatten() {
            prop_assert!(headers.len <= bytes.len());
            let found_beyond = headers.l4.is_some_and(|l4| l4 > bytes.len());
            prop_assert!(!found_beyond || six && headers.payload(&bytes).is_empty(), "{:?}", headers);
            prop_assert!(headers.payload(&bytes).len() <= headers.len);
        }
    }
}
