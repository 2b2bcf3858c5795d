//! The bytes: which header the whole gets, and how IPv6's chain of headers is read.

use super::*;

#[test]
fn ipv4s_header_is_the_first_fragments() {
    let data = payload(208);
    let whole = v4(proto::UDP, &data);
    let first = piece_v4(&whole, 0, 64, M);
    let mut last = piece_v4(&whole, 64, 208, L);
    let mut ip = Ipv4::new(&mut *last).unwrap();
    ip.set_ttl(3);
    ip.set_tos(0x48);
    let datagram = Bench::new().complete(&[last, first]);
    assert_eq!(datagram.bytes, whole);
    assert_eq!(datagram.plan.max_size, 20 + 144);
    assert_eq!(datagram.plan.sizes, [20 + 64, 144]);
}

#[test]
fn ipv6s_header_is_the_first_fragments() {
    let whole = v6(proto::UDP, &payload(208));
    let first = piece_v6(&whole, 0, 64, M);
    let mut last = piece_v6(&whole, 64, 208, L);
    Ipv6::new(&mut *last).unwrap().set_hop_limit(3);
    last[40] = proto::TCP;
    let datagram = Bench::new().complete(&[last, first]);
    assert_eq!(datagram.bytes, whole);
    assert_eq!(datagram.plan.max_size, 48 + 144);
    assert_eq!(datagram.plan.sizes, [40 + 64, 144]);
    assert_eq!(datagram.plan.id, 9);
}

#[test]
fn congestion_marks_are_joined_as_in_rfc_3168() {
    let (not_ect, ect1, ect0, ce) = (0, 1, 2, 3);
    let refused = None;
    let rows = [
        ("none can be marked", not_ect, not_ect, Some(not_ect)),
        ("ECT(0)", ect0, ect0, Some(ect0)),
        ("ECT(1)", ect1, ect1, Some(ect1)),
        ("both kinds of ECT: the first fragment's", ect0, ect1, Some(ect0)),
        ("both kinds of ECT, the other way round", ect1, ect0, Some(ect1)),
        ("all marked", ce, ce, Some(ce)),
        ("the first marked", ce, ect0, Some(ce)),
        ("another marked", ect0, ce, Some(ce)),
        ("another marked, ECT(1)", ect1, ce, Some(ce)),
        ("marked, though one can't be", not_ect, ce, refused),
        ("marked, though another can't be", ce, not_ect, refused),
        ("one can't be marked, the other can", not_ect, ect0, refused),
        ("the first can be marked, the other can't", ect1, not_ect, refused),
    ];
    for (what, one, other, want) in rows {
        let four = v4(proto::UDP, &payload(208));
        let mut v4s = cut_v4(&four, &[(0, 64, M), (64, 208, L)]);
        let mut v6s = cut_v6(&v6(proto::UDP, &payload(208)), &[(0, 64, M), (64, 208, L)]);
        for (index, ecn) in [one, other].into_iter().enumerate() {
            Ipv4::new(&mut *v4s[index]).unwrap().set_tos(0x20 | ecn);
            Ipv6::new(&mut *v6s[index]).unwrap().set_traffic_class(0x20 | ecn);
        }
        if let Some(ecn) = want {
            let v4 = Bench::new().complete(&v4s).bytes;
            assert_eq!(Ipv4::new(&v4).unwrap().tos(), 0x20 | ecn, "IPv4: {what}");
            assert!(Ipv4::new(&v4).unwrap().checksum_ok(), "IPv4: {what}");
            let v6 = Bench::new().complete(&v6s).bytes;
            assert_eq!(Ipv6::new(&v6).unwrap().traffic_class(), 0x20 | ecn, "IPv6: {what}");
        } else {
            assert_eq!(answers(&v4s), "held ecn", "IPv4: {what}");
            assert_eq!(answers(&v6s), "held ecn", "IPv6: {what}");
        }
    }
}

#[test]
fn dont_fragment_comes_back_with_the_largest() {
    let rows = [
        ("none has it", [false, false, false], false),
        ("the largest has it", [false, true, false], true),
        ("only a smaller one has it", [true, false, false], false),
        ("all have it", [true, true, true], true),
    ];
    let whole = v4(proto::UDP, &payload(208));
    for (what, flags, want) in rows {
        let mut fragments = cut_v4(&whole, &[(0, 64, M), (64, 168, M), (168, 208, L)]);
        for (fragment, flag) in fragments.iter_mut().zip(flags) {
            fragment[6] |= u8::from(flag) << 6;
            Ipv4::new(&mut **fragment).unwrap().fill_checksum();
        }
        let datagram = Bench::new().complete(&fragments);
        assert_eq!(datagram.plan.dont_fragment, want, "{what}");
        assert_eq!(Ipv4::new(&datagram.bytes).unwrap().dont_fragment(), want, "{what}");
    }
}

#[test]
fn a_datagram_ends_at_65535_bytes() {
    let mut huge = v4(proto::UDP, &payload(1472));
    let last = |huge: &[u8], offset: u16, len: usize| {
        let mut bytes = piece_v4(huge, 0, len, L);
        Ipv4::new(&mut *bytes).unwrap().set_fragment(offset, false);
        bytes
    };
    huge[0] = 0x45;
    let fragments = |end: usize| {
        let mut bytes: Vec<_> = (0..44).map(|i| last(&huge, i * 1472, 1472)).collect();
        bytes.iter_mut().enumerate().for_each(|(i, fragment)| {
            Ipv4::new(&mut **fragment).unwrap().set_fragment(i as u16 * 1472, true);
        });
        bytes.push(last(&huge, 44 * 1472, end - 44 * 1472));
        bytes
    };
    assert!(answers(&fragments(65515)).ends_with("held complete"));
    assert!(answers(&fragments(65516)).ends_with("held too-long"));

    let mut beyond = piece_v6(&v6(proto::UDP, &payload(64)), 0, 64, L);
    beyond[42..44].copy_from_slice(&65472u16.to_be_bytes());
    assert_eq!(answers(&[beyond.clone()]), "too-long");
    beyond[42..44].copy_from_slice(&65464u16.to_be_bytes());
    assert_eq!(answers(&[beyond]), "held");
}

#[test]
fn an_atomic_fragment_loses_its_header() {
    let whole = v6(proto::UDP, &payload(60));
    let datagram = Bench::new().complete(&[piece_v6(&whole, 0, 60, L)]);
    assert_eq!(datagram.bytes, whole);
    assert_eq!(datagram.plan.max_size, 48 + 60);
}

/// A destination options header of `8 * (units + 1)` bytes.
fn options(next_header: u8, units: u8) -> Vec<u8> {
    let mut bytes = Vec::from([next_header, units, 1, 4, 0, 0, 0, 0]);
    bytes.resize(8 * (usize::from(units) + 1), 0);
    bytes
}

#[test]
fn headers_before_the_fragment_header_stay() {
    let data = payload(208);
    let whole = v6(proto::DESTINATION_OPTIONS, &[options(proto::UDP, 1), data.clone()].concat());
    let fragment = |position: u16, data: &[u8]| {
        let [high, low] = position.to_be_bytes();
        let header = [proto::UDP, 0, high, low, 0, 0, 0, 5];
        let extensions = [&options(proto::IPV6_FRAGMENT, 1)[..], &header, data].concat();
        v6(proto::DESTINATION_OPTIONS, &extensions)
    };
    let fragments = [fragment(1, &data[..64]), fragment(64, &data[64..])];
    let datagram = Bench::new().complete(&fragments);
    assert_eq!(datagram.bytes, whole);
    assert_eq!(datagram.plan.sizes, [40 + 16 + 64, 144]);
    let headers = dissect(&whole).unwrap();
    assert_eq!(refragment(&whole, &headers, &datagram.plan, 1500).unwrap(), fragments);
}

#[test]
fn ipv6_fragments_that_are_not_gathered() {
    let fragment =
        |next, position: u8, rest: &[u8]| [&[next, 0, 0, position, 0, 0, 0, 5][..], rest].concat();
    let first = |next, rest: &[u8]| (proto::IPV6_FRAGMENT, fragment(next, 1, rest));
    let cut_short = |bytes: &[u8]| (proto::IPV6_FRAGMENT, bytes.to_vec());
    let zeros = [0; 64];
    #[rustfmt::skip]
    let rows = [
        ("UDP's header just fits", first(proto::UDP, &zeros[..8]), "held"),
        ("TCP's header is cut", first(proto::TCP, &zeros[..16]), "whole"),
        ("TCP's header fits", first(proto::TCP, &zeros[..24]), "held"),
        ("no data in front of UDP", first(proto::UDP, &[]), "whole"),
        ("one byte of an unknown protocol would do", first(253, &zeros[..8]), "held"),
        ("a later fragment needs no header", (proto::IPV6_FRAGMENT, fragment(proto::TCP, 9, &zeros[..16])), "held"),
        ("options, then TCP's header is cut", first(proto::DESTINATION_OPTIONS, &[&options(proto::TCP, 0)[..], &zeros[..16]].concat()), "whole"),
        ("options that end behind the fragment", first(proto::DESTINATION_OPTIONS, &options(proto::UDP, 2)[..16]), "whole"),
        ("a chain that breaks off can't be judged", first(proto::DESTINATION_OPTIONS, &options(proto::DESTINATION_OPTIONS, 2)[..16]), "held"),
        ("no next header", first(proto::NO_NEXT_HEADER, &zeros[..8]), "held"),
        ("a later fragment inside a first", first(proto::IPV6_FRAGMENT, &fragment(proto::TCP, 9, &[])), "held"),
        ("a first fragment inside a first, TCP's header is cut", first(proto::IPV6_FRAGMENT, &fragment(proto::TCP, 1, &[])), "whole"),
        ("two bytes of a fragment header", cut_short(&[proto::UDP, 0]), "no-header-chain"),
        ("none at all", cut_short(&[]), "whole"),
        ("half a header of a later fragment", cut_short(&[proto::UDP, 0, 0, 8]), "no-header-chain"),
        ("half a header of a first fragment", cut_short(&[proto::UDP, 0, 0, 1]), "whole"),
        ("half a header in front of another", cut_short(&[proto::IPV6_FRAGMENT, 0, 0, 1]), "no-header-chain"),
        ("options end where a fragment header should be", (proto::DESTINATION_OPTIONS, options(proto::IPV6_FRAGMENT, 0)), "no-header-chain"),
        ("options end beyond", (proto::DESTINATION_OPTIONS, options(proto::IPV6_FRAGMENT, 1)[..8].to_vec()), "whole"),
        ("ESP hides what follows", (proto::ESP, fragment(proto::UDP, 1, &zeros[..16])), "whole"),
    ];
    for (what, (next_header, bytes), want) in rows {
        assert_eq!(answers(&[v6(next_header, &bytes)]), want, "{what}");
    }
}
