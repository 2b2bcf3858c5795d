//! Flows: listed, shown, made, changed, deleted, flushed; by whom, and within what bounds.

use std::io::Cursor;
use std::net::{Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family::{V4, V6};
use tidegate_wire::netlink::conntrack::{Filter, message};
use tidegate_wire::netlink::tidegate::{self, Condition, Field};
use tidegate_wire::packet::ipv4::{HEADER_LEN, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::udp::UdpRepr;
use tidegate_wire::pcap::{Capture, InterfaceDesc, LinkType, Writer as PcapWriter};

use super::*;
use crate::daemon::{CapturePlane, DataPlane, Pace};

fn udp_datagram(family: tidegate_wire::Family, port: u16) -> Vec<u8> {
    let (src_port, dst_port, payload_len) = (port, 53, 8);
    let mut bytes = match family {
        V4 => {
            let mut bytes = vec![0; HEADER_LEN];
            let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
            let (proto, ttl, payload_len) = (proto::UDP, 64, 16);
            Ipv4Repr { src, dst, proto, ttl, tos: 0, id: 7, dont_fragment: true, payload_len }
                .emit(&mut bytes);
            bytes
        }
        V6 => {
            let mut bytes = vec![0; ipv6::HEADER_LEN];
            let [src, dst] = [1, 2].map(|end| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, end));
            Ipv6Repr {
                src,
                dst,
                next_header: proto::UDP,
                hop_limit: 64,
                traffic_class: 0,
                flow_label: 0,
                payload_len: 16,
            }
            .emit(&mut bytes);
            bytes
        }
    };
    let mut udp = vec![0; 16];
    UdpRepr { src_port, dst_port, payload_len }.emit(&mut udp);
    bytes.extend(udp);
    bytes
}

/// A data plane with these datagrams.
fn plane(datagrams: &[Vec<u8>]) -> CapturePlane {
    let ports = [InterfaceDesc { name: "", link: LinkType::RawIp }];
    let mut writer = PcapWriter::new(Vec::new(), &ports).expect("a capture");
    for datagram in datagrams {
        writer.write(0, 1_000_000_000, datagram).expect("a frame");
    }
    let bytes = writer.finish().expect("a capture");
    let reader: Box<dyn std::io::Read + Send> = Box::new(Cursor::new(bytes));
    let capture = Capture::open(reader).expect("a capture");
    CapturePlane::new(capture, "memory".to_owned(), Pace::AtOnce)
}

#[test]
fn flows_of_packets_are_listed_in_datagrams_that_every_program_can_read() {
    let mut lab = Lab::new();
    let packets: Vec<_> =
        (0..100).map(|number| udp_datagram([V4, V6][number % 2], number as u16 + 1)).collect();
    let taken = plane(&packets).turn(&mut lab.engine, lab.now, 1000).expect("packets");
    assert_eq!((taken, lab.engine.count()), (100, 100));
    let id = lab.admin();
    let datagrams = lab.exchange(id, &dump(Family::ANY, &[])).expect("a message");
    assert!(datagrams.len() > 5 && datagrams.iter().all(|datagram| datagram.len() <= 4096));
    let answers = messages(&datagrams);
    let (done, flows) = answers.split_last().expect("an answer");
    assert!(is_done(done) && flows.len() == 100);
    assert_eq!(ports(flows), (1..=100).collect::<Vec<_>>());
    for (header, _) in &answers {
        assert_eq!((header.seq, header.pid), (77, PORT));
        assert!(header.flags.contains(Flags::MULTI));
    }
    let counters = attributes(&flows[0]).into_iter().find_map(|attribute| match attribute {
        Attribute::CountersOriginal(counters) => counters.packets.zip(counters.bytes),
        _ => None,
    });
    assert_eq!(counters, Some((1, 36)));
}

#[test]
fn a_listing_waits_for_its_reader_and_takes_no_more_memory_than_that() {
    let mut lab = Lab::new();
    for port in 1..=20_000 {
        lab.flow(V4, port, Change::default());
    }
    let id = lab.admin();
    lab.server.receive(&mut lab.engine, lab.now, id, &dump(Family::ANY, &[])).expect("a message");
    for _ in 0..1000 {
        lab.server.work(&mut lab.engine, lab.now);
    }
    assert!(!lab.server.work(&mut lab.engine, lab.now), "nothing more until somebody reads");
    assert!(!lab.server.is_ready(id), "and no further request is read");
    let mut waiting = 0;
    while let Some(datagram) = lab.server.next_for(id) {
        waiting += datagram.len();
        lab.server.sent(id);
    }
    assert!(waiting <= (1 << 16) + 4096, "{waiting} bytes");
    let rest = messages(&lab.datagrams(id));
    assert!(is_done(rest.last().expect("an end")));
    assert!(rest.len() > 19_000, "all the others follow: {}", rest.len());
}

#[test]
fn a_second_listing_is_refused_while_there_is_one() {
    let mut lab = Lab::new();
    lab.flows(V4, 1..=3000, Change::default());
    let id = lab.admin();
    let both = [dump(Family::ANY, &[]), dump(Family::ANY, &[])].concat();
    let answers = lab.ask(id, &both);
    assert_eq!(answers.iter().filter_map(error_of).collect::<Vec<_>>(), [16], "EBUSY");
    assert_eq!(ports(&answers).len(), 3000);
}

#[test]
fn who_may_only_look_changes_nothing() {
    let mut lab = Lab::new();
    lab.flow(V4, 7, Change::default());
    let id = lab.server.open(Access::ReadOnly);
    let flags = Flags::CREATE | Flags::ACK;
    let changing = [
        about(message::NEW, flags, Family::V4, &[original(V4, 7), Attribute::Mark(5)]),
        about(message::DELETE, Flags::ACK, Family::V4, &[original(V4, 7)]),
        about(message::DELETE, Flags::ACK, Family::V4, &[]),
        about(message::GET_CTRZERO, Flags::DUMP, Family::V4, &[]),
        request((Subsystem::Expect, 0), flags, Family::V4, |_| {}),
        request((Subsystem::Expect, 2), flags, Family::V4, |_| {}),
        request((Subsystem::Timeout, 0), flags, 0, |_| {}),
        request((Subsystem::Timeout, 2), flags, 0, |_| {}),
        request((Subsystem::Timeout, 3), flags, 0, |_| {}),
        request((Subsystem::Tidegate, tidegate::message::DELETE), flags, 0, |_| {}),
        request((Subsystem::Tidegate, tidegate::message::SET), flags, 0, |_| {}),
        request((Subsystem::Tidegate, tidegate::message::SETS), flags, 0, |_| {}),
    ];
    for request in &changing {
        assert_eq!(lab.errno(id, request), 1, "EPERM");
    }
    assert_eq!(ports(&lab.ask(id, &dump(Family::ANY, &[]))), [7]);
    assert_eq!(lab.engine.flows().map(|(_, flow)| flow.mark).collect::<Vec<_>>(), [0]);
}

/// Each row: a request, the flags that it comes with, what answers it.
#[test]
fn a_flow_is_made_changed_and_deleted() {
    let mut lab = Lab::new();
    let id = lab.admin();
    let create = Flags::CREATE | Flags::EXCL | Flags::ACK;
    let new = [original(V4, 7), reply(V4, 7), Attribute::Timeout(50)];
    let mark = [original(V4, 7), Attribute::Mark(5)];
    let nat = [original(V4, 7), Attribute::NatSource(conntrack::NatRange::default())];
    let by_reply = [reply(V4, 7), Attribute::Mark(6)];
    let other_id = [original(V4, 7), Attribute::Id(1)];
    let rows = [
        ("change what isn't there", message::NEW, Flags::ACK, &mark[..], 2),
        ("delete what isn't there", message::DELETE, Flags::ACK, &mark[..1], 2),
        ("show what isn't there", message::GET, Flags::ACK, &mark[..1], 2),
        ("half a flow", message::NEW, create, &new[..1], 22),
        ("no timeout", message::NEW, create, &new[..2], 22),
        ("a flow", message::NEW, create, &new[..], 0),
        ("the same", message::NEW, create, &new[..], 17),
        ("its mark", message::NEW, Flags::ACK, &mark[..], 0),
        ("by its reply", message::NEW, Flags::ACK, &by_reply[..], 0),
        ("another mapping", message::NEW, Flags::ACK, &nat[..], 95),
        ("another flow of its tuple", message::DELETE, Flags::ACK, &other_id[..], 2),
        ("the flow", message::DELETE, Flags::ACK, &mark[..1], 0),
    ];
    for (what, number, flags, attributes, errno) in rows {
        let request = about(number, flags, Family::V4, attributes);
        assert_eq!(lab.errno(id, &request), errno, "{what}");
    }
    assert_eq!(lab.engine.count(), 0);
    let no_family = about(message::GET, Flags::ACK, Family::ANY, &[original(V4, 7)]);
    assert_eq!(lab.errno(id, &no_family), 95, "whose tuple?");
}

#[test]
fn one_flow_is_shown_with_the_reference_of_who_asks() {
    let mut lab = Lab::new();
    lab.flow(V6, 7, Change { mark: Some((9, u32::MAX)), labels: Some((4, u128::MAX)), ..ASSURED });
    let id = lab.admin();
    let get = about(message::GET, Flags::ACK, Family::V6, &[reply(V6, 7)]);
    let answers = lab.ask(id, &get);
    assert_eq!((answers.len(), error_of(&answers[1])), (2, Some(0)));
    let said = attributes(&answers[0]);
    for wanted in [Attribute::Mark(9), Attribute::Use(2), Attribute::Status(0xe)] {
        assert!(said.contains(&wanted), "{wanted:?} in {said:?}");
    }
    let labels = 4_u128.to_ne_bytes();
    assert!(said.contains(&Attribute::Labels(&labels)));
    let listed = lab.ask(id, &dump(Family::ANY, &[]));
    assert!(attributes(&listed[0]).contains(&Attribute::Use(1)));
}

fn filter(original: u32) -> Attribute<'static> {
    Attribute::Filter(Filter { original: Some(original), ..Filter::default() })
}

/// Each row: what is asked of the flows 1 (IPv4, mark 5), 2 (IPv4, assured) and 3 (IPv6), and who is there or the errno.
#[test]
fn the_kernels_filters_choose() {
    let zone = Attribute::Zone(4);
    let odd = Attribute::Original(tidegate_wire::netlink::Tuple {
        src: Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        proto: Some(proto::UDP),
        sport: Some(2),
        ..tidegate_wire::netlink::Tuple::default()
    });
    type Row<'a> = (&'a str, u8, Vec<Attribute<'a>>, Result<&'a [u16], i32>);
    let rows: [Row<'_>; 17] = [
        ("nothing", Family::ANY, vec![], Ok(&[1, 2, 3])),
        ("a family", Family::V6, vec![], Ok(&[3])),
        ("a mark", Family::ANY, vec![Attribute::Mark(5)], Ok(&[1])),
        ("a bit of it", Family::ANY, vec![Attribute::Mark(4), Attribute::MarkMask(6)], Ok(&[1])),
        (
            "a bit that isn't",
            Family::ANY,
            vec![Attribute::Mark(0), Attribute::MarkMask(1)],
            Ok(&[2, 3]),
        ),
        ("a mask alone is no filter", Family::ANY, vec![Attribute::MarkMask(1)], Ok(&[1, 2, 3])),
        ("but not in one", Family::V4, vec![Attribute::MarkMask(1)], Err(22)),
        ("a status", Family::ANY, vec![Attribute::Status(4)], Ok(&[2])),
        (
            "no status",
            Family::ANY,
            vec![Attribute::Status(0), Attribute::StatusMask(4)],
            Ok(&[1, 3]),
        ),
        ("any status", Family::ANY, vec![Attribute::Status(0)], Err(22)),
        ("a zone", Family::ANY, vec![zone], Ok(&[])),
        ("a tuple without a filter", Family::V4, vec![odd.clone()], Ok(&[1, 2])),
        ("a port", Family::V4, vec![odd.clone(), filter(0x18)], Ok(&[2])),
        ("a source", Family::V4, vec![odd.clone(), filter(1)], Ok(&[1, 2])),
        ("a destination that isn't said", Family::V4, vec![odd.clone(), filter(2)], Err(22)),
        ("a port of no protocol", Family::V4, vec![odd.clone(), filter(0x10)], Err(22)),
        ("of no family", Family::ANY, vec![odd.clone(), filter(1)], Err(95)),
    ];
    for (what, family, attributes, expected) in rows {
        let mut lab = Lab::new();
        lab.flow(V4, 1, Change { mark: Some((5, u32::MAX)), ..Change::default() });
        lab.flow(V4, 2, ASSURED);
        lab.flow(V6, 3, Change::default());
        let id = lab.admin();
        let answers = lab.ask(id, &dump(family, &attributes));
        match expected {
            Ok(wanted) => assert_eq!(ports(&answers), wanted, "{what}"),
            Err(errno) => assert_eq!(error_of(&answers[0]), Some(errno), "{what}"),
        }
        let filtered =
            answers.iter().any(|(header, _)| header.flags.contains(Flags::DUMP_FILTERED));
        let is_filter =
            family != 0 || attributes.iter().any(|a| !matches!(a, Attribute::MarkMask(_)));
        assert!(!filtered || is_filter, "{what}");
    }
}

fn chosen(number: u8, conditions: &[Condition<'_>]) -> Vec<u8> {
    request((Subsystem::Tidegate, number), Flags::ACK, 0, |writer| {
        for condition in conditions {
            tidegate::Attribute::Condition(condition.clone()).write(writer);
        }
    })
}

#[test]
fn conditions_choose_by_every_field() {
    let mut lab = Lab::new();
    lab.flow(V4, 1, Change { mark: Some((5, u32::MAX)), timeout: Some(10), ..Change::default() });
    lab.flow(V4, 2, Change { labels: Some((1 << 99, u128::MAX)), ..ASSURED });
    lab.flow(V6, 3, Change::default());
    let v4 = u32::from(Ipv4Addr::new(10, 0, 0, 1)).into();
    let same = |field, number| Condition::between(field, number, number);
    let rows: [(Condition<'_>, &[u16]); 12] = [
        (same(Field::Family, 10), &[3]),
        (same(Field::Family, 10).negated(), &[1, 2]),
        (same(Field::Protocol, 17), &[1, 2, 3]),
        (same(Field::State, 3), &[]),
        (Condition::of(Field::State), &[]),
        (same(Field::Mark, 5), &[1]),
        (Condition::masked(Field::Status, 4, 4), &[2]),
        (Condition::masked(Field::Labels, 1 << 99, 1 << 99), &[2]),
        (Condition::between(Field::Timeout, 0, 10), &[1]),
        (Condition::between(Field::OriginalSource, v4, v4), &[1, 2]),
        (Condition::between(Field::ReplyDestinationPort, 2, 3), &[2, 3]),
        (Condition::named(Field::Helper, b"ftp").negated(), &[1, 2, 3]),
    ];
    let id = lab.admin();
    for (condition, expected) in rows {
        let listed =
            lab.ask(id, &chosen(tidegate::message::LIST, std::slice::from_ref(&condition)));
        assert_eq!(ports(&listed), expected, "{condition:?}");
        let counted =
            lab.ask(id, &chosen(tidegate::message::COUNT, std::slice::from_ref(&condition)));
        assert_eq!(count_of(&counted[0]), Some(expected.len() as u64), "{condition:?}");
    }
    let unknown = Condition { field: 99, ..Condition::of(Field::Mark) };
    assert_eq!(lab.errno(id, &chosen(tidegate::message::LIST, &[unknown])), 95);
    let no_name = Condition::named(Field::Mark, b"five");
    assert_eq!(lab.errno(id, &chosen(tidegate::message::LIST, &[no_name])), 22);
    assert_eq!(lab.errno(id, &chosen(tidegate::message::DELETE, &[])), 22, "not all by mistake");
    let deleted = lab.ask(id, &chosen(tidegate::message::DELETE, &[same(Field::Family, 2)]));
    assert_eq!((count_of(&deleted[0]), lab.engine.count()), (Some(2), 1));
}

fn count_of(answer: &Answer) -> Option<u64> {
    let message = tidegate_wire::netlink::Message { header: answer.0, payload: &answer.1 };
    tidegate::attributes(message.body().ok()?.1).flatten().find_map(|attribute| match attribute {
        tidegate::Attribute::Count(count) => Some(count),
        _ => None,
    })
}

#[test]
fn what_follows_a_flush_waits_for_it() {
    let mut lab = Lab::new();
    lab.flows(V4, 1..=5000, Change::default());
    let id = lab.admin();
    let flush = about(message::DELETE, Flags::ACK, Family::V4, &[]);
    let stats = request((Subsystem::Conntrack, message::GET_STATS), Flags::empty(), 0, |_| {});
    let answers = lab.ask(id, &[flush, stats].concat());
    assert_eq!((error_of(&answers[0]), answers.len(), lab.engine.count()), (Some(0), 2, 0));
    let counters = tidegate_wire::netlink::stats::counters;
    let message = tidegate_wire::netlink::Message { header: answers[1].0, payload: &answers[1].1 };
    let counts: Vec<_> = counters(message.body().expect("a body").1).flatten().collect();
    assert_eq!(counts, [(1, 0), (2, 262_144)]);
}

/// Older programs fill in a family that they don't mean.
#[test]
fn a_flush_heeds_the_family_of_who_means_it() {
    for (version, left) in [(0, 0), (1, 1)] {
        let mut lab = Lab::new();
        lab.flow(V4, 1, Change::default());
        lab.flow(V6, 2, Change::default());
        let id = lab.admin();
        let mut flush = about(message::DELETE, Flags::ACK, Family::V4, &[]);
        flush[17] = version;
        assert_eq!((lab.errno(id, &flush), lab.engine.count()), (0, left));
    }
}

#[test]
fn counters_are_read_and_begin_anew() {
    let mut lab = Lab::new();
    let packets = [udp_datagram(V4, 5), udp_datagram(V4, 5)];
    plane(&packets).turn(&mut lab.engine, lab.now, 10).expect("packets");
    let id = lab.admin();
    let zero = about(message::GET_CTRZERO, Flags::DUMP, Family::ANY, &[]);
    for expected in [2, 0] {
        let answers = lab.ask(id, &zero);
        let packets = attributes(&answers[0]).into_iter().find_map(|attribute| match attribute {
            Attribute::CountersOriginal(counters) => counters.packets,
            _ => None,
        });
        assert_eq!(packets, Some(expected));
    }
}

/// A piece of a listing, and one of a flush: no matter how many there are, each takes less than a millisecond of a
/// machine with nothing else to do. Here a piece's share of the whole is looked at, which no clock disturbs.
#[test]
fn nobody_is_held_up_by_a_large_table() {
    let mut lab = Lab::new();
    for family in [V4, V6] {
        lab.flows(family, 1..=30_000, Change::default());
    }
    let id = lab.admin();
    let count = chosen(tidegate::message::COUNT, &[Condition::between(Field::Mark, 1, 1)]);
    lab.server.receive(&mut lab.engine, lab.now, id, &count).expect("a message");
    let mut pieces = 0;
    while lab.server.work(&mut lab.engine, lab.now) {
        pieces += 1;
    }
    assert!(pieces >= 60_000 / 512, "{pieces} pieces");
    assert_eq!(count_of(&messages(&lab.datagrams(id))[0]), Some(0));
}
