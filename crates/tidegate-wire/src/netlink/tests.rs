//! What was written reads as it was, and what the kernel wrote is written as it was.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::string::String;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::conntrack::{self, Attribute};
use super::frame::{Control, Subsystem};
use super::tuple::Icmp;
use super::*;

/// What a kernel sent: a name and a message in each line.
const RECORDED: &str = include_str!("kernel-6.18.txt");

fn recorded() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| {
        let (name, hex) = line.split_once(": ").expect("a name and bytes");
        let digits = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("digits"));
        (name, digits.map(|pair| u8::from_str_radix(pair, 16).expect("a byte")).collect())
    })
}

/// Reads a message as far as it goes, and writes what was read.
fn rewritten(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    let (family, attrs) = message.body().expect("a body");
    let subsystem = message.header.subsystem().expect("no control message");
    writer.message(message.header, family, |writer| match subsystem {
        // The kernel's answer about expectations names the wrong subsystem.
        (
            1,
            conntrack::message::GET_STATS_CPU
            | conntrack::message::GET_STATS
            | expect::message::GET_STATS_CPU,
        ) => {
            stats::counters(attrs).for_each(|counter| {
                let (kind, count) = counter.expect("a counter");
                writer.counter(kind, count);
            });
        }
        (1, _) => {
            conntrack::attributes(attrs).for_each(|attr| attr.expect("an attribute").write(writer))
        }
        (2, _) => {
            expect::attributes(attrs).for_each(|attr| attr.expect("an attribute").write(writer))
        }
        (8, _) => {
            timeout::attributes(attrs).for_each(|attr| attr.expect("an attribute").write(writer))
        }
        other => panic!("{other:?}"),
    });
    out
}

#[test]
fn what_the_kernel_wrote_is_written_alike() {
    let (mut bodies, mut controls) = (0, 0);
    for (name, bytes) in recorded() {
        let messages: Vec<_> = Messages::new(&bytes).collect();
        let [Ok(message)] = messages[..] else { panic!("{name}: {messages:?}") };
        if message.control().is_some() {
            controls += 1;
            continue;
        }
        assert_eq!(rewritten(&message), bytes, "{name}");
        bodies += 1;
    }
    assert!(bodies > 35 && controls > 5, "{bodies} and {controls}");
}

#[test]
fn all_that_the_kernel_says_of_a_flow_is_known() {
    let mut kinds = [false; 32];
    for (name, bytes) in recorded().filter(|(name, _)| ["dump", "event"].contains(name)) {
        let message = Messages::new(&bytes).next().expect("a message").expect("a whole one");
        if message.header.subsystem().is_none_or(|(subsystem, _)| subsystem != 1) {
            continue;
        }
        for attr in message.body().expect("a body").1 {
            let attr = attr.expect("an attribute");
            kinds[usize::from(attr.kind)] = true;
            let read = Attribute::parse(&attr).expect("known");
            assert!(!matches!(read, Attribute::Other(_)), "{name}: {read:?}");
        }
    }
    assert!(kinds.iter().filter(|seen| **seen).count() > 10, "{kinds:?}");
}

#[test]
fn a_message_of_the_kernel_reads_as_conntrack_prints_it() {
    let texts: Vec<String> = recorded()
        .filter(|(name, _)| *name == "dump")
        .map(|(_, bytes)| {
            let message = Messages::new(&bytes).next().expect("a message").expect("a whole one");
            if message.header.kind < 16 {
                return String::new();
            }
            let (_, attrs) = message.body().expect("a body");
            let all: Result<Vec<_>, _> = conntrack::attributes(attrs).collect();
            std::format!("{:?}", all.expect("attributes"))
        })
        .collect();
    let all = texts.concat();
    for part in [
        "src: Some(10.0.0.1), dst: Some(10.0.0.2), proto: Some(6), sport: Some(1000), dport: Some(80)",
        "icmp: Some(Icmp { is_v6: false, id: Some(77), kind: Some(8), code: Some(0) })",
        "src: Some(::1), dst: Some(::1), proto: Some(17)",
        "zone: Some(6)",
        "Zone(5)",
        "Mark(9)",
        "name: Some([102, 116, 112])",
        "sctp: Some(SctpInfo { state: Some(4)",
    ] {
        assert!(all.contains(part), "no {part} in {all}");
    }
}

#[test]
fn the_kernels_answers_are_told_apart() {
    let controls = |wanted: &str| {
        let (_, bytes) = recorded().filter(|(name, _)| *name == wanted).last().expect("recorded");
        Messages::new(&bytes).next().expect("a message").expect("a whole one").control()
    };
    assert_eq!(controls("dump"), Some(Control::Done(0)));
    assert_eq!(controls("stats"), Some(Control::Error(0)));
    assert_eq!(controls("no such flow"), Some(Control::Error(95)), "EOPNOTSUPP: no family");
}

#[test]
fn an_answer_repeats_what_was_asked() {
    for (_, bytes) in recorded() {
        let request = Messages::new(&bytes).next().expect("a message").expect("a whole one");
        for (errno, is_capped) in [(0, false), (2, false), (2, true)] {
            let mut out = Vec::new();
            Writer::new(&mut out).error(&request, errno, is_capped);
            let answer = Messages::new(&out).next().expect("a message").expect("a whole one");
            assert_eq!(answer.control(), Some(Control::Error(errno)));
            assert_eq!(answer.header.seq, request.header.seq);
            let is_short = is_capped || errno == 0;
            let expected = if is_short { &bytes[..frame::HEADER_LEN] } else { &bytes[..] };
            assert_eq!(&answer.payload[4..], expected);
        }
    }
}

#[test]
fn every_field_has_its_number() {
    for (number, field) in (1..).zip(tidegate::Field::ALL) {
        assert_eq!((field as u16, tidegate::Field::of_number(number)), (number, Some(field)));
    }
    assert_eq!([0, 27].map(tidegate::Field::of_number), [None, None]);
}

#[test]
fn a_condition_holds_between_its_ends_under_its_mask() {
    use tidegate::{Condition, Field};
    let rows = [
        ("a range", Condition::between(Field::Mark, 5, 7), [false, true, true, false]),
        (
            "not a range",
            Condition::between(Field::Mark, 5, 7).negated(),
            [true, false, false, true],
        ),
        ("bits", Condition::masked(Field::Mark, 5, 4), [true, true, true, false]),
        ("anything", Condition::of(Field::Mark), [true; 4]),
    ];
    for (what, condition, expected) in rows {
        assert_eq!([4, 5, 7, 8].map(|number| condition.holds(number)), expected, "{what}");
    }
}

#[test]
fn no_errno_is_too_low_to_be_told() {
    for errno in [i32::MIN, -1, i32::MAX] {
        let (_, bytes) = recorded().next().expect("a message");
        let request = Messages::new(&bytes).next().expect("a message").expect("a whole one");
        let mut out = Vec::new();
        Writer::new(&mut out).error(&request, errno, true);
        let answer = Messages::new(&out).next().expect("a message").expect("a whole one");
        assert_eq!(answer.control(), Some(Control::Error(errno)));
    }
}

#[test]
fn what_is_cut_or_too_long_is_refused_and_ends_the_list() {
    for (name, bytes) in recorded() {
        for len in 1..bytes.len() {
            let read: Vec<_> = Messages::new(&bytes[..len]).collect();
            let is_padding = len + 4 > bytes.len() && matches!(read[..], [Ok(_)]);
            assert!(is_padding || matches!(read[..], [Err(_)]), "{name}, {len}: {read:?}");
        }
        let mut long = bytes.clone();
        long[..4].copy_from_slice(&(bytes.len() as u32 + 1).to_ne_bytes());
        let read: Vec<_> = Messages::new(&long).collect();
        assert_eq!(read, [Err(FrameError::Length(0, bytes.len() as u32 + 1))]);
    }
}

fn addresses() -> impl Strategy<Value = [Option<IpAddr>; 2]> {
    let v4 = any::<[Option<[u8; 4]>; 2]>()
        .prop_map(|ips| ips.map(|ip| ip.map(|ip| Ipv4Addr::from(ip).into())));
    let v6 = any::<[Option<[u8; 16]>; 2]>()
        .prop_map(|ips| ips.map(|ip| ip.map(|ip| Ipv6Addr::from(ip).into())));
    prop_oneof![v4, v6]
}

/// Attributes that nobody knows, behind each other.
fn unknown() -> impl Strategy<Value = Vec<u8>> {
    let attr = (64_u16..0x3fff, any::<bool>(), vec(any::<u8>(), 0..9));
    vec(attr, 0..3).prop_map(|attrs| {
        let mut list = Vec::new();
        let mut writer = Writer::new(&mut list);
        for (kind, nested, value) in attrs {
            writer.attr(Attr { kind, nested, value: &value });
        }
        list
    })
}

fn tuples() -> impl Strategy<Value = Tuple> {
    let icmp = any::<(bool, Option<u16>, Option<u8>, Option<u8>)>();
    let icmp = icmp.prop_filter("says something", |(_, id, kind, code)| {
        id.is_some() || kind.is_some() || code.is_some()
    });
    let icmp = icmp.prop_map(|(is_v6, id, kind, code)| Icmp { is_v6, id, kind, code });
    let ports = any::<(Option<u8>, Option<u16>, Option<u16>, Option<u16>)>();
    (addresses(), ports, option::of(icmp), [unknown(), unknown(), unknown()]).prop_map(
        |([src, dst], (proto, sport, dport, zone), icmp, unknown)| Tuple {
            src,
            dst,
            proto,
            sport,
            dport,
            icmp,
            zone,
            unknown,
        },
    )
}

proptest! {
    #[test]
    fn an_answer_comes_back(
        errno: i32, repeats: bool, payload in vec(any::<u8>(), 0..40), text in option::of(vec(1_u8.., 0..9)),
        numbers: [Option<u32>; 3], unknown in unknown(),
    ) {
        let header = Header { kind: 0x101, flags: Flags::REQUEST | Flags::ACK, seq: 7, pid: 9 };
        let request = Message { header, payload: &payload };
        let [offset, missing, missing_from] = numbers;
        let details = Details { text: text.as_deref(), offset, missing, missing_from, unknown };
        let answer = Answer { details, ..Answer::to(request, errno, repeats) };
        let mut out = Vec::new();
        Writer::new(&mut out).answer(&answer);
        let read: Vec<_> = answer::answers(&out).collect();
        prop_assert_eq!(&read[..], &[Ok(answer)][..]);
        for len in 0..out.len() {
            let _ = answer::answers(&out[..len]).count();
        }
    }

    #[test]
    fn what_only_tidegate_says_comes_back(
        numbers: [u64; 4], bits: u32, bytes in vec(any::<u8>(), 0..20), words in vec(1_u8.., 0..9),
        field: u16, is_negated: bool, range: [Option<u128>; 3], unknown in unknown(),
    ) {
        use super::tidegate::Attribute as A;
        let [mask, first, last] = range;
        let name = Some(&words[..]);
        let condition = tidegate::Condition { field, is_negated, mask, first, last, name, unknown: unknown.clone() };
        let all = [
            A::Sequence(numbers[0]), A::Last(numbers[1]), A::Groups(bits), A::Condition(condition),
            A::Count(numbers[2]), A::Name(&words), A::Value(&bytes), A::Class(&words), A::Kind(bits), A::Body(&unknown),
            A::Time(numbers[3]), A::Packet(&bytes), A::Text(&words), A::Number(bits),
            A::Other(Attr { kind: 99, nested: false, value: &bytes }),
        ];
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        all.iter().for_each(|attribute| attribute.write(&mut writer));
        let read: Vec<_> = tidegate::attributes(Attrs::new(&out)).map(|attr| attr.expect("as written")).collect();
        prop_assert_eq!(&read[..], &all[..]);
    }

    #[test]
    fn a_tuple_comes_back(tuple in tuples(), kind in 1_u16..30) {
        let mut out = Vec::new();
        tuple.write(kind, &mut Writer::new(&mut out));
        let attrs: Vec<_> = Attrs::new(&out).collect();
        let [Ok(attr)] = attrs[..] else { panic!("{attrs:?}") };
        prop_assert_eq!((attr.kind, attr.nested), (kind, true));
        prop_assert_eq!(Tuple::parse(&attr), Ok(tuple));
    }

    #[test]
    fn lists_of_numbers_come_back(
        numbers: [Option<u32>; 6], longs: [Option<u64>; 4], halves: [Option<u16>; 2], unknown in unknown(),
        ends in addresses(), name in option::of(vec(1_u8.., 0..9)),
    ) {
        let [position, before, after, isn, its, tsoff] = numbers;
        let [packets, bytes, start, stop] = longs;
        let ([first, last], [low, high]) = (ends, halves);
        let ports = conntrack::NatPorts { first: low, last: high, unknown: unknown.clone() };
        let all = [
            Attribute::SeqAdjReply(conntrack::SeqAdj { position, before, after, unknown: unknown.clone() }),
            Attribute::SynProxy(conntrack::SynProxy { isn, its, tsoff, unknown: unknown.clone() }),
            Attribute::CountersOriginal(conntrack::Counters { packets, bytes, unknown: unknown.clone() }),
            Attribute::Timestamp(conntrack::Timestamp { start, stop, unknown: unknown.clone() }),
            Attribute::NatSource(conntrack::NatRange { first, last, ports: Some(ports), unknown: unknown.clone() }),
            Attribute::Filter(conntrack::Filter { original: isn, reply: its, unknown: unknown.clone() }),
            Attribute::Help(conntrack::Help { name: name.as_deref(), unknown: unknown.clone() }),
            Attribute::ProtoInfo(conntrack::ProtoInfo {
                tcp: Some(conntrack::TcpInfo { state: Some(3), flags_reply: low, ..Default::default() }),
                sctp: Some(conntrack::SctpInfo { tag_original: isn, ..Default::default() }),
                unknown,
            }),
        ];
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        all.iter().for_each(|attribute| attribute.write(&mut writer));
        let read: Vec<_> = conntrack::attributes(Attrs::new(&out)).map(|attr| attr.expect("as written")).collect();
        prop_assert_eq!(&read[..], &all[..]);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..200), subsystem in prop::sample::select(&[1_u16, 2, 8][..])) {
        let mut framed = Vec::new();
        let kind = Header::kind_of(Subsystem::Conntrack, 0) & 0xff | subsystem << 8;
        let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
        Writer::new(&mut framed).message(header, Family::default(), |_| {});
        framed.truncate(frame::HEADER_LEN);
        framed.extend(&bytes);
        let len = framed.len() as u32;
        framed[..4].copy_from_slice(&len.to_ne_bytes());
        for message in Messages::new(&framed).chain(Messages::new(&bytes)).flatten() {
            let Ok((_, attrs)) = message.body() else { continue };
            let _ = conntrack::attributes(attrs.clone()).count();
            let _ = expect::attributes(attrs.clone()).count();
            let _ = timeout::attributes(attrs.clone()).count();
            let _ = stats::counters(attrs).count();
        }
    }

    #[test]
    fn a_damaged_message_of_the_kernel_is_read_or_refused(which in 0_usize..60, at in 0_usize..400, byte: u8) {
        let all: Vec<_> = recorded().collect();
        let mut bytes = all[which % all.len()].1.clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        for message in Messages::new(&bytes).flatten() {
            let Ok((_, attrs)) = message.body() else { continue };
            let _ = conntrack::attributes(attrs.clone()).count() + expect::attributes(attrs).count();
        }
    }
}
