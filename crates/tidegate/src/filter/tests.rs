//! Conditions against flows, and what of them goes along to the table.

use tidegate_wire::netlink::conntrack::{Attribute, Counters, ProtoInfo, TcpInfo, Timestamp};
use tidegate_wire::netlink::{Attrs, Tuple, Writer, conntrack};

use super::*;
use crate::flags::Cli;
use crate::flags::Command;

/// The filter that the options of `tidegate list` make.
fn filter(options: &str) -> Filter {
    let words = ["tidegate", "list"].into_iter().chain(options.split_whitespace());
    match <Cli as clap::Parser>::try_parse_from(words).expect(options).command {
        Command::List(args) => args.filter.filter(),
        other => panic!("{other:?}"),
    }
}

/// An established TCP connection behind source NAT.
fn flow() -> Flow<'static> {
    let tuple = |src: &str, dst: &str, sport, dport| Tuple {
        src: src.parse().ok(),
        dst: dst.parse().ok(),
        proto: Some(6),
        sport: Some(sport),
        dport: Some(dport),
        ..Tuple::default()
    };
    let counted = |packets, bytes| {
        Some(Counters { packets: Some(packets), bytes: Some(bytes), ..Counters::default() })
    };
    let tcp = Some(TcpInfo { state: Some(3), ..TcpInfo::default() });
    Flow {
        family: 2,
        tuples: [
            tuple("10.0.0.1", "192.0.2.80", 40_000, 443),
            tuple("192.0.2.80", "198.51.100.1", 443, 1024),
        ],
        status: Some(0x1e),
        info: ProtoInfo { tcp, ..ProtoInfo::default() },
        timeout: Some(431_999),
        mark: Some(0x105),
        counters: [counted(10, 1000), counted(5, 9000)],
        id: Some(77),
        zone: Some(3),
        helper: Some(b"ftp"),
        times: Some(Timestamp { start: Some(5 * SECOND), ..Timestamp::default() }),
        labels: Some(&[8, 0, 0, 0]),
        ..Flow::default()
    }
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_flow_meets_a_condition_or_not() {
    let rows = [
        ("", true),
        ("-f ipv4", true),
        ("-f ipv6", false),
        ("-p tcp", true),
        ("-p 17", false),
        ("--state established", true),
        ("--state SYN_SENT,ESTABLISHED", true),
        ("--state CLOSE", false),
        ("-u ASSURED,SEEN_REPLY", true),
        ("-u UNREPLIED", false),
        ("-u !ASSURED", false),
        ("-u SRC_NAT,!DST_NAT", true),
        ("-s 10.0.0.0/8", true),
        ("-s 10.0.0.2", false),
        ("-d 192.0.2.80", true),
        ("-r 192.0.2.80", true),
        ("-q 198.51.100.0/24", true),
        ("-q 10.0.0.1", false),
        ("-a 198.51.100.1", true),
        ("-a 203.0.113.0/24", false),
        ("--sport 40000", true),
        ("--dport 400-500", true),
        ("--reply-sport 443 --reply-dport 1024", true),
        ("--reply-dport 40000", false),
        ("--port 1024", true),
        ("--port 1", false),
        ("-n", true),
        ("-n 198.51.100.0/24", true),
        ("-n 10.0.0.0/8", false),
        ("-g", false),
        ("--any-nat", true),
        ("-w 3", true),
        ("-w 0", false),
        ("--orig-zone 3", false),
        ("-m 0x105", true),
        ("-m 5/0xff", true),
        ("-m 5", false),
        ("-l 3", true),
        ("-l 3,4", false),
        ("--helper ftp", true),
        ("--helper sip", false),
        ("--id 77", true),
        ("--timeout >4d", true),
        ("--timeout <1h", false),
        ("--age 55", true),
        ("--age >1m", false),
        ("--packets 15", true),
        ("--bytes >9k", true),
        ("--bytes >10k", false),
        ("-p tcp --dport 443 -s 10.0.0.1 -u ASSURED", true),
        ("-p tcp --dport 443 -s 10.0.0.1 -u ASSURED -m 1", false),
    ];
    let now = 60 * SECOND;
    for (options, expected) in rows {
        assert_eq!(filter(options).accepts(&flow(), now), expected, "{options}");
    }
}

/// Of a message that tells little, only conditions on what it tells can hold.
#[test]
fn what_is_not_told_meets_no_condition() {
    let bare = Flow { family: 2, ..Flow::default() };
    for options in
        ["-u !ASSURED", "--state NONE", "-s 0.0.0.0/0", "--timeout >=0", "--age >=0", "--bytes >=0"]
    {
        assert!(!filter(options).accepts(&bare, 0), "{options}");
    }
    assert!(filter("-w 0 -m 0").accepts(&bare, 0), "the table leaves out what is 0");
}

/// Each row: options, the family's number, which parts of both tuples, and whether status, mark and zone go along.
#[test]
fn what_the_table_can_try_goes_along() {
    let rows = [
        ("", 0, (0, 0), "---"),
        ("-p tcp --dport 443", 0, (0, 0), "---"),
        ("-f ipv4 -p tcp --dport 443", 2, (0b10_1000, 0b1000), "---"),
        ("-s 10.0.0.1 -d 10.0.0.2", 2, (0b11, 0), "---"),
        ("-s 10.0.0.0/8 -q 10.0.0.2", 2, (0, 0b10), "---"),
        ("-s 2001:db8::1 -p udp --sport 1", 10, (0b1_1000, 0b1000), "---"),
        ("-f ipv4 --dport 443", 2, (0, 0), "---"),
        ("-f ipv4 -p gre --sport 1", 2, (0b1000, 0b1000), "---"),
        ("-u ASSURED,!SEEN_REPLY -m 5/7 -w 3", 0, (0, 0), "smz"),
        ("-w 0", 0, (0, 0), "---"),
    ];
    for (options, family, parts, others) in rows {
        let filter = filter(options);
        let mut bytes = Vec::new();
        filter.push(&mut Writer::new(&mut bytes));
        let (mut found, mut said) = ((0, 0), ["-"; 3]);
        for attribute in conntrack::attributes(Attrs::new(&bytes)) {
            match attribute.expect("as written") {
                Attribute::Filter(bits) => {
                    found = (bits.original.expect("both"), bits.reply.expect("both"));
                }
                Attribute::StatusMask(_) => said[0] = "s",
                Attribute::MarkMask(_) => said[1] = "m",
                Attribute::Zone(_) => said[2] = "z",
                _ => {}
            }
        }
        let all = (filter.family().family, found, said.concat());
        assert_eq!(all, (family, parts, others.to_owned()), "{options}");
    }
}
