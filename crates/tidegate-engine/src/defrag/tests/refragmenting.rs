//! What leaves: kept boundaries, new ones, flags and options.

use super::*;
use crate::defrag::refragment::TooBig;

fn plan(max_size: usize, sizes: &[usize], dont_fragment: bool) -> FragmentPlan {
    FragmentPlan { max_size, sizes: sizes.to_vec(), dont_fragment, id: 9 }
}

fn refragmented(datagram: &[u8], plan: &FragmentPlan, mtu: u32) -> Result<Vec<Vec<u8>>, TooBig> {
    refragment(datagram, &dissect(datagram).unwrap(), plan, mtu)
}

fn with_df(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram[6] |= 0x40;
    Ipv4::new(&mut *datagram).unwrap().fill_checksum();
    datagram
}

/// Sizes as `from`, `to` and whether more follow.
fn cuts(sizes: &[usize]) -> Vec<(usize, usize, bool)> {
    let end: usize = sizes.iter().sum();
    let ends = sizes.iter().scan(0, |to, size| {
        *to += size;
        Some(*to)
    });
    ends.zip(sizes).map(|(to, size)| (to - size, to, to < end)).collect()
}

#[test]
fn ipv4_sizes() {
    #[expect(clippy::type_complexity, reason = "a table")]
    let rows: [(&str, usize, &[usize], u32, &[usize]); 8] = [
        ("boundaries are kept", 100, &[84, 64, 80], 1500, &[64, 64, 80]),
        ("one fragment larger than the port takes", 164, &[164, 64], 100, &[80, 80, 48]),
        ("all fit though the whole doesn't", 164, &[84, 144], 164, &[64, 144]),
        ("as large as the largest, whatever the MTU", 84, &[], 1500, &[64, 64, 64, 16]),
        ("the first doesn't end at a multiple of 8", 144, &[40, 188], 1500, &[120, 88]),
        ("an inner one doesn't", 144, &[60, 44, 124], 1500, &[120, 88]),
        ("the datagram has grown", 100, &[84, 64, 72], 1500, &[80, 80, 48]),
        ("more room than needed: one piece", 228, &[40, 188], 1500, &[208]),
    ];
    let datagram = v4(proto::UDP, &payload(208));
    for (what, max_size, sizes, mtu, want) in rows {
        let fragments = refragmented(&datagram, &plan(max_size, sizes, false), mtu).unwrap();
        assert_eq!(fragments, cut_v4(&datagram, &cuts(want)), "{what}");
    }
    let no_room = plan(27, &[], false);
    assert_eq!(refragmented(&datagram, &no_room, 1500), Err(TooBig), "7 bytes of data are none");
}

#[test]
fn ipv6_sizes() {
    #[expect(clippy::type_complexity, reason = "a table")]
    let rows: [(&str, usize, &[usize], u32, &[usize]); 5] = [
        ("boundaries are kept", 1448, &[1440, 1400, 200], 1500, &[1400, 1400, 200]),
        ("also of small ones", 1048, &[40 + 1000, 1000, 1000], 1280, &[1000, 1000, 1000]),
        ("new ones are those of the largest", 1448, &[], 1500, &[1400, 1400, 200]),
        ("but not below 1280 bytes", 600, &[100, 2940], 1500, &[1232, 1232, 536]),
        ("no fragments where none was smaller than the whole", 3040, &[1440, 1600], 3040, &[]),
    ];
    let datagram = v6(proto::UDP, &payload(3000));
    for (what, max_size, sizes, mtu, want) in rows {
        let fragments = refragmented(&datagram, &plan(max_size, sizes, false), mtu).unwrap();
        let want = match want {
            [] => Vec::from([datagram.clone()]),
            sizes => cut_v6(&datagram, &cuts(sizes)),
        };
        assert_eq!(fragments, want, "{what}");
    }
    let too_large = plan(1501, &[1440, 1400, 200], false);
    assert_eq!(refragmented(&datagram, &too_large, 1500), Err(TooBig));
}

#[test]
fn ipv4s_dont_fragment() {
    let datagram = with_df(v4(proto::UDP, &payload(208)));
    let flags = |plan: &FragmentPlan, mtu| {
        refragmented(&datagram, plan, mtu).map(|fragments| {
            fragments.iter().map(|bytes| Ipv4::new(bytes).unwrap().dont_fragment()).collect()
        })
    };
    let (kept, cut) = (plan(100, &[84, 64, 80], true), plan(100, &[60, 88, 80], true));
    assert_eq!(flags(&kept, 1500), Ok(Vec::from([false; 3])), "lost where boundaries are kept");
    assert_eq!(flags(&cut, 1500), Ok(Vec::from([true; 3])));
    assert_eq!(flags(&kept, 100), Ok(Vec::from([false; 3])));
    assert_eq!(flags(&kept, 99), Err(TooBig));
}

#[test]
fn what_exceeds_the_mtu() {
    let (four, six) = (v4(proto::UDP, &payload(208)), v6(proto::UDP, &payload(208)));
    let four_df = with_df(four.clone());
    let came_small = plan(100, &[84, 64, 80], true);
    let rows = [
        ("IPv4 as large as the MTU", &four_df, None, 228, false),
        ("IPv4 with DF", &four_df, None, 227, true),
        ("IPv4 without DF", &four, None, 100, false),
        ("IPv4 with DF that came in fragments that fit", &four_df, Some(&came_small), 100, false),
        ("IPv4 with DF that came in larger ones", &four_df, Some(&came_small), 99, true),
        ("IPv4 without DF that came in larger ones", &four, Some(&came_small), 99, false),
        ("IPv6 as large as the MTU", &six, None, 248, false),
        ("IPv6", &six, None, 247, true),
        ("IPv6 that came in fragments that fit", &six, Some(&came_small), 100, false),
        ("IPv6 that came in larger ones", &six, Some(&came_small), 99, true),
    ];
    for (what, datagram, plan, mtu, want) in rows {
        let headers = dissect(datagram).unwrap();
        assert_eq!(exceeds_mtu(datagram, &headers, plan, mtu), want, "{what}");
    }
}

#[test]
fn a_plain_datagram_is_cut_at_the_mtu() {
    let datagram = v4(proto::UDP, &payload(208));
    let mut padded = datagram.clone();
    padded.extend([0xee; 9]);
    let headers = dissect(&padded).unwrap();
    let want = cut_v4(&datagram, &cuts(&[96, 96, 16]));
    assert_eq!(fragment_v4(&padded, &headers, 120), want);
    assert_eq!(fragment_v4(&padded, &headers, 27), [] as [Vec<u8>; 0]);
}

#[test]
fn uncopied_options_stay_with_the_first_fragment() {
    #[rustfmt::skip]
    let rows: [(&str, [u8; 12], [u8; 12]); 5] = [
        ("router alert is copied", [148, 4, 0, 0, 1, 1, 0, 9, 9, 9, 9, 9], [148, 4, 0, 0, 1, 1, 0, 9, 9, 9, 9, 9]),
        ("record route is not", [7, 7, 4, 1, 2, 3, 4, 148, 4, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 148, 4, 0, 0, 0]),
        ("nothing counts behind the end", [0, 7, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0], [0, 7, 4, 4, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a broken length ends it", [68, 4, 5, 0, 7, 1, 7, 4, 4, 0, 0, 0], [1, 1, 1, 1, 7, 1, 7, 4, 4, 0, 0, 0]),
        ("so does one too long", [1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 4, 4], [1, 1, 1, 1, 1, 1, 1, 1, 1, 7, 4, 4]),
    ];
    for (what, options, later) in rows {
        let mut datagram = v4(proto::UDP, &[&options[..], &payload(208)].concat());
        datagram[0] = 0x48;
        Ipv4::new(&mut *datagram).unwrap().fill_checksum();
        let fragments = fragment_v4(&datagram, &dissect(&datagram).unwrap(), 120);
        let seen: Vec<_> = fragments.iter().map(|bytes| &bytes[20..32]).collect();
        assert_eq!(seen, [&options, &later, &later], "{what}");
        for fragment in &fragments {
            dissect(fragment).expect("a right header checksum");
        }
        assert_eq!(Bench::new().complete(&fragments).bytes, datagram, "{what}");
    }
}

#[test]
fn a_header_read_in_one_piece_moves_boundaries() {
    let rows: [(&str, usize, &[usize]); 6] = [
        ("it is in one piece", 28, &[28, 16, 8, 40]),
        ("it reaches into the second", 40, &[40, 4, 8, 40]),
        ("it takes the second", 44, &[44, 8, 40]),
        ("it takes the second and part of the third", 48, &[48, 4, 40]),
        ("it takes all", 92, &[92]),
        ("there is no such header", 93, &[28, 16, 8, 40]),
    ];
    for (what, len, want) in rows {
        let mut plan = plan(60, &[28, 16, 8, 40], false);
        plan.make_contiguous(len);
        assert_eq!(plan.sizes, want, "{what}");
    }
}

#[test]
fn a_cut_tcp_header_is_joined_before_routing() {
    let datagram = v4(proto::TCP, &payload(32));
    let fragments = cut_v4(&datagram, &cuts(&[8, 24]));
    let whole = Bench::new().complete(&fragments);
    let sent = refragmented(&whole.bytes, &whole.plan, 1500).unwrap();
    assert_eq!(sent, cut_v4(&datagram, &cuts(&[24, 8])));

    let mut bench = Bench::new();
    let own = Place { entry: Entry::Sent, ..RECEIVED };
    bench.give_at(own, &fragments[0]);
    let Admission::Complete(whole) = bench.give_at(own, &fragments[1]) else {
        panic!("not complete")
    };
    assert_eq!(refragmented(&whole.bytes, &whole.plan, 1500).unwrap(), fragments);
}

#[test]
fn where_ipv6s_fragment_header_goes() {
    let header = |next: u8, rest: &[u8]| [&[next, 0, 1, 4, 0, 0, 0, 0], rest].concat();
    let data = payload(1600);
    let udp = proto::UDP;
    let (hop, options, routing) =
        (proto::HOP_BY_HOP, proto::DESTINATION_OPTIONS, proto::IPV6_ROUTING);
    let rows = [
        ("nothing in front", v6(udp, &data), Some((40, 6))),
        ("behind hop-by-hop options", v6(hop, &header(udp, &data)), Some((48, 40))),
        ("behind destination options", v6(options, &header(udp, &data)), Some((48, 40))),
        (
            "before destination options that follow a routing header",
            v6(routing, &header(options, &header(udp, &data))),
            Some((48, 40)),
        ),
        (
            "behind destination options and a routing header",
            v6(options, &header(routing, &header(udp, &data))),
            Some((56, 48)),
        ),
        ("before AH", v6(proto::AH, &header(udp, &data)), Some((40, 6))),
        (
            "options longer than the first fragment",
            v6(options, &[&[udp, 180], &data[..]].concat()),
            None,
        ),
    ];
    for (what, datagram, want) in rows {
        let sizes = [1400, datagram.len() - 1400];
        let sent = refragmented(&datagram, &plan(1408, &sizes, false), 1500);
        let Some((at, named_at)) = want else {
            assert_eq!(sent, Err(TooBig), "{what}");
            continue;
        };
        let sent = sent.unwrap();
        for fragment in &sent {
            assert_eq!(
                fragment[..named_at],
                [&datagram[..4], &fragment[4..6], &datagram[6..named_at]].concat(),
                "{what}"
            );
            assert_eq!(fragment[named_at], proto::IPV6_FRAGMENT, "{what}");
            assert_eq!(fragment[at], datagram[named_at], "{what}");
            assert_eq!(fragment[at + 4..at + 8], [0, 0, 0, 9], "{what}");
        }
        assert_eq!(sent[0][at + 8..], datagram[at..1400], "{what}");
        assert_eq!(sent[1][at + 8..], datagram[1400..], "{what}");
    }
}
