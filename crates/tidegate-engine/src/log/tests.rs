//! Log lines against those that the kernel wrote, and the rate limit.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::Family;
use tidegate_wire::packet::MacAddr;

use super::{LogLine, LogQueue, LogTopic, Sighting};
use crate::packet::LinkHeader;
use crate::rules::ast::{LogOptions, LogTarget};
use crate::time::Instant;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn target(prefix: &str, options: LogOptions) -> LogTarget {
    LogTarget { level: LogTarget::DEFAULT_LEVEL, prefix: prefix.into(), options }
}

/// Where a recorded packet was seen.
enum At {
    LanToWan,
    WanToLan,
    FromLan,
    ToLan,
}

impl At {
    fn ports(&self) -> (Option<&'static str>, Option<&'static str>) {
        match self {
            Self::LanToWan => (Some("in0"), Some("out0")),
            Self::WanToLan => (Some("out0"), Some("in0")),
            Self::FromLan => (Some("in0"), None),
            Self::ToLan => (None, Some("in0")),
        }
    }

    /// The link header that the sender on that side used.
    fn link(&self, family: Family) -> LinkHeader {
        let side = if matches!(self, Self::WanToLan) { 2 } else { 1 };
        let [dst, src] = [1, 2].map(|end| MacAddr([2, 0, 0, 0, side, end]));
        let ethertype = if family == Family::V4 { 0x0800 } else { 0x86dd };
        LinkHeader { dst, src, ethertype }
    }
}

fn line(at: &At, hex: &str, target: &LogTarget) -> LogLine {
    let datagram = bytes(hex);
    let family = if datagram[0] >> 4 == 4 { Family::V4 } else { Family::V6 };
    let (in_name, out_name) = at.ports();
    let link = Some(at.link(family));
    Sighting { datagram: &datagram, family, link, in_name, out_name, mark: 0 }.line(target)
}

/// The line of an IPv4 or IPv6 packet without what comes before `SRC=`.
fn words(hex: &str, options: LogOptions) -> String {
    let text = line(&At::ToLan, hex, &target("", options)).text;
    text.strip_prefix("IN= OUT=in0 ").unwrap().into()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn lines_that_linux_wrote() {
    let tcp = LogOptions::TCP_SEQUENCE | LogOptions::TCP_OPTIONS | LogOptions::IP_OPTIONS;
    let none = LogOptions::empty();
    let rows: [(&str, &str, LogOptions, At, &str); 12] = [
        (
            "a SYN with everything",
            "4510002c000040003f06f4b70a000102cb00710203e8005000000001000000006002ffff4ce90000020405b4",
            tcp,
            At::LanToWan,
            "TCP: IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=44 TOS=0x10 PREC=0x00 TTL=63 ID=0 DF PROTO=TCP SPT=1000 DPT=80 SEQ=1 ACK=0 WINDOW=65535 RES=0x00 SYN URGP=0 OPT (020405B4)",
        ),
        (
            "flags in their order, no options",
            "4500002c000040003f06f4c70a000102cb0071020003005000000009000000075058ffff8f5e000064617461",
            tcp,
            At::LanToWan,
            "TCP: IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=44 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF PROTO=TCP SPT=3 DPT=80 SEQ=9 ACK=7 WINDOW=65535 RES=0x00 ECE ACK PSH URGP=0",
        ),
        (
            "UDP, the prefix put right before IN",
            "4500001d000040003f11f4cb0a000102cb00710203e8003500093cba78",
            none,
            At::LanToWan,
            "UDP-IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=29 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF PROTO=UDP SPT=1000 DPT=53 LEN=9",
        ),
        (
            "echo",
            "45000024000040003f01f4d40a000102cb00710208006668000100016162636465666768",
            none,
            At::LanToWan,
            "IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=36 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF PROTO=ICMP TYPE=8 CODE=0 ID=1 SEQ=1",
        ),
        (
            "an ICMP error and what it quotes",
            "45000038000000003f0134c1cb0071020a0001020304b707000005144500001d000040004011f3cb0a000102cb00710203e8003500093cba",
            none,
            At::WanToLan,
            "IN=out0 OUT=in0 MAC=02:00:00:00:02:01:02:00:00:00:02:02:08:00 SRC=203.0.113.2 DST=10.0.1.2 LEN=56 TOS=0x00 PREC=0x00 TTL=63 ID=0 PROTO=ICMP TYPE=3 CODE=4 [SRC=10.0.1.2 DST=203.0.113.2 LEN=29 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=UDP SPT=1000 DPT=53 LEN=9 ] MTU=1300",
        ),
        (
            "SCTP is only a number",
            "45000034000040003f84f4410a000102cb0071020001000200000000c412e7c7010000140000000100010000000a000a00000001",
            none,
            At::LanToWan,
            "other IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=52 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF PROTO=132",
        ),
        (
            "a protocol without name",
            "45000017000040003ffdf3e50a000102cb007102010203",
            none,
            At::LanToWan,
            "IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=203.0.113.2 LEN=23 TOS=0x00 PREC=0x00 TTL=63 ID=0 DF PROTO=253",
        ),
        (
            "to the router",
            "4500002400004000400124d70a0001020a00010108006666000200026162636465666768",
            none,
            At::FromLan,
            "in: IN=in0 OUT= MAC=02:00:00:00:01:01:02:00:00:00:01:02:08:00 SRC=10.0.1.2 DST=10.0.1.1 LEN=36 TOS=0x00 PREC=0x00 TTL=64 ID=0 DF PROTO=ICMP TYPE=8 CODE=0 ID=2 SEQ=2",
        ),
        (
            "its answer has no link header",
            "450000240cc800004001580f0a0001010a00010200006e66000200026162636465666768",
            none,
            At::ToLan,
            "out: IN= OUT=in0 SRC=10.0.1.1 DST=10.0.1.2 LEN=36 TOS=0x00 PREC=0x00 TTL=64 ID=3272 PROTO=ICMP TYPE=0 CODE=0 ID=2 SEQ=2",
        ),
        (
            "TCP over IPv6",
            "620123450014063ffd00000100000000000000000000000220010db8000100000000000000000002000100020000004d000000005002ffff84d30000",
            LogOptions::TCP_SEQUENCE,
            At::LanToWan,
            "six: IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:86:dd SRC=fd00:0001:0000:0000:0000:0000:0000:0002 DST=2001:0db8:0001:0000:0000:0000:0000:0002 LEN=60 TC=32 HOPLIMIT=63 FLOWLBL=74565 PROTO=TCP SPT=1 DPT=2 SEQ=77 ACK=0 WINDOW=65535 RES=0x00 SYN URGP=0",
        ),
        (
            "UDP over IPv6",
            "600000000009113ffd00000100000000000000000000000220010db80001000000000000000000020001000200095d1978",
            LogOptions::TCP_SEQUENCE,
            At::LanToWan,
            "six: IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:86:dd SRC=fd00:0001:0000:0000:0000:0000:0000:0002 DST=2001:0db8:0001:0000:0000:0000:0000:0002 LEN=49 TC=0 HOPLIMIT=63 FLOWLBL=0 PROTO=UDP SPT=1 DPT=2 LEN=9",
        ),
        (
            "ICMPv6",
            "6000000000103a3ffd00000100000000000000000000000220010db80001000000000000000000028000c357000400046162636465666768",
            LogOptions::TCP_SEQUENCE,
            At::LanToWan,
            "six: IN=in0 OUT=out0 MAC=02:00:00:00:01:01:02:00:00:00:01:02:86:dd SRC=fd00:0001:0000:0000:0000:0000:0000:0002 DST=2001:0db8:0001:0000:0000:0000:0000:0002 LEN=56 TC=0 HOPLIMIT=63 FLOWLBL=0 PROTO=ICMPv6 TYPE=128 CODE=0 ID=4 SEQ=4",
        ),
    ];
    for (what, hex, options, at, expected) in rows {
        let prefix = &expected[..expected.find("IN=").unwrap()];
        assert_eq!(line(&at, hex, &target(prefix, options)).text, expected, "{what}");
    }
}

/// An IPv4 header of a datagram between 10.0.0.1 and 10.0.0.2: the octets between TTL and source are left out.
fn ipv4(first: &str, fragment: &str, proto: u8, rest: &str) -> String {
    format!("{first} 0001 {fragment} 40 {proto:02x} 0000 0a000001 0a000002 {rest}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn ipv4_headers() {
    let frame = |middle: &str| format!("SRC=10.0.0.1 DST=10.0.0.2 {middle}");
    let ip_options = LogOptions::IP_OPTIONS;
    let none = LogOptions::empty();
    let rows: [(&str, String, LogOptions, &str); 9] = [
        (
            "service, precedence, and every flag",
            ipv4("45be0014", "e000", 253, ""),
            none,
            "LEN=20 TOS=0x1E PREC=0xA0 TTL=64 ID=1 CE DF MF PROTO=253",
        ),
        (
            "a later fragment has no ports, its offset is in units of 8",
            ipv4("45000014", "2005", 6, "0000000000000000000000000000000000000000"),
            none,
            "LEN=20 TOS=0x00 PREC=0x00 TTL=64 ID=1 MF FRAG:5 PROTO=TCP",
        ),
        (
            "of UDP-Lite",
            ipv4("45000014", "0001", 136, ""),
            none,
            "LEN=20 TOS=0x00 PREC=0x00 TTL=64 ID=1 FRAG:1 PROTO=UDPLITE",
        ),
        (
            "of ICMP",
            ipv4("45000014", "0001", 1, "0800000000000000"),
            none,
            "LEN=20 TOS=0x00 PREC=0x00 TTL=64 ID=1 FRAG:1 PROTO=ICMP",
        ),
        (
            "of ESP",
            ipv4("45000014", "0001", 50, "0000000000000000"),
            none,
            "LEN=20 TOS=0x00 PREC=0x00 TTL=64 ID=1 FRAG:1 PROTO=ESP",
        ),
        (
            "of AH, which isn't named",
            ipv4("45000014", "0001", 51, ""),
            none,
            "LEN=20 TOS=0x00 PREC=0x00 TTL=64 ID=1 FRAG:1",
        ),
        (
            "options asked for",
            ipv4("46000018", "0000", 253, "01020304"),
            ip_options,
            "LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=1 OPT (01020304) PROTO=253",
        ),
        (
            "options not asked for",
            ipv4("46000018", "0000", 253, "01020304"),
            none,
            "LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=253",
        ),
        (
            "options that are not there",
            ipv4("46000018", "0000", 253, ""),
            ip_options,
            "LEN=24 TOS=0x00 PREC=0x00 TTL=64 ID=1 TRUNCATED",
        ),
    ];
    for (what, hex, options, expected) in rows {
        assert_eq!(words(&hex, options), frame(expected), "{what}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn what_ipv4_carries() {
    let all = LogOptions::TCP_SEQUENCE | LogOptions::TCP_OPTIONS;
    let quoted = "45000020 0001 0000 40 11 0000 0a000003 0a000004";
    let rows: [(&str, u8, String, &str); 20] = [
        ("TCP cut short", 6, "00010002000000".into(), "PROTO=TCP INCOMPLETE [7 bytes]"),
        (
            "reserved bits and accurate ECN",
            6,
            "0001000200000003000000045fff000a00000007".into(),
            "PROTO=TCP SPT=1 DPT=2 SEQ=3 ACK=4 WINDOW=10 RES=0x38 AE CWR ECE URG ACK PSH RST SYN FIN URGP=7",
        ),
        (
            "TCP options cut short",
            6,
            "0001000200000003000000046000000a00000000 0204".into(),
            "PROTO=TCP SPT=1 DPT=2 SEQ=3 ACK=4 WINDOW=10 RES=0x00 URGP=0 OPT (TRUNCATED)",
        ),
        ("UDP cut short", 17, "00".into(), "PROTO=UDP INCOMPLETE [1 bytes]"),
        ("UDP-Lite", 136, "0001000200080000".into(), "PROTO=UDPLITE SPT=1 DPT=2 LEN=8"),
        ("ICMP cut short", 1, "0800".into(), "PROTO=ICMP INCOMPLETE [2 bytes]"),
        (
            "a timestamp needs 20 bytes",
            1,
            "0d00000000000000".into(),
            "PROTO=ICMP TYPE=13 CODE=0 INCOMPLETE [8 bytes]",
        ),
        (
            "and tells nothing",
            1,
            "0d00000000000000000000000000000000000000".into(),
            "PROTO=ICMP TYPE=13 CODE=0",
        ),
        (
            "an address mask needs 12",
            1,
            "1100000000000000000000".into(),
            "PROTO=ICMP TYPE=17 CODE=0 INCOMPLETE [11 bytes]",
        ),
        (
            "an error needs the header that it quotes",
            1,
            "0b000000000000004500".into(),
            "PROTO=ICMP TYPE=11 CODE=0 INCOMPLETE [10 bytes]",
        ),
        (
            "a redirect, its quote cut short",
            1,
            format!("05010000 0a000009 {quoted} 0001"),
            "PROTO=ICMP TYPE=5 CODE=1 GATEWAY=10.0.0.9 [SRC=10.0.0.3 DST=10.0.0.4 LEN=32 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=UDP INCOMPLETE [2 bytes] ]",
        ),
        (
            "a parameter problem quotes nothing",
            1,
            format!("0c000000 14000000 {quoted}"),
            "PROTO=ICMP TYPE=12 CODE=0 PARAMETER=20",
        ),
        (
            "an error about an error is not followed further",
            1,
            format!(
                "03030000 00000000 45000038 0001 0000 40 01 0000 0a000003 0a000004 03040000 00000514 {quoted}"
            ),
            "PROTO=ICMP TYPE=3 CODE=3 [SRC=10.0.0.3 DST=10.0.0.4 LEN=56 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=ICMP TYPE=3 CODE=4 MTU=1300 ]",
        ),
        (
            "a quoted header that lies about its length",
            1,
            "03030000 00000000 4f00003c 0001 0000 40 11 0000 0a000003 0a000004".into(),
            "PROTO=ICMP TYPE=3 CODE=3 [SRC=10.0.0.3 DST=10.0.0.4 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 PROTO=UDP INCOMPLETE [4294967256 bytes] ]",
        ),
        ("a type without meaning", 1, "2a07000000000000".into(), "PROTO=ICMP TYPE=42 CODE=7"),
        ("AH", 51, "060400000000beef00000001".into(), "PROTO=AH SPI=0xbeef"),
        ("AH cut short", 51, "0604000000000bad".into(), "PROTO=AH INCOMPLETE [8 bytes]"),
        ("ESP", 50, "0000beef00000001".into(), "PROTO=ESP SPI=0xbeef"),
        ("ESP cut short", 50, "0000beef".into(), "PROTO=ESP INCOMPLETE [4 bytes]"),
        ("anything else", 47, "00000800".into(), "PROTO=47"),
    ];
    for (what, number, payload, expected) in rows {
        let text = words(&ipv4("45000014", "0000", number, &payload), all);
        let (_, found) = text.split_once("ID=1 ").unwrap();
        assert_eq!(found, expected, "{what}");
    }
}

/// An IPv6 header of a datagram from ::1 to ::2.
fn ipv6(next: u8, payload: &str) -> String {
    let len = bytes(payload).len();
    let zeros = "0".repeat(28);
    format!("60000000 {len:04x} {next:02x} 40 {zeros}0001 {zeros}0002 {payload}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn what_ipv6_carries() {
    let none = LogOptions::empty();
    let asked = LogOptions::IP_OPTIONS;
    let udp = "0001000200080000";
    let fragment = "11000011 0000000a";
    let rows: [(&str, u8, String, LogOptions, &str); 19] = [
        (
            "options not asked for",
            0,
            format!("1100000000000000 {udp}"),
            none,
            "PROTO=UDP SPT=1 DPT=2 LEN=8",
        ),
        (
            "options asked for",
            0,
            format!("3c00000000000000 1100000000000000 {udp}"),
            asked,
            "OPT ( ) OPT ( ) PROTO=UDP SPT=1 DPT=2 LEN=8",
        ),
        ("options cut short", 0, "11".into(), none, "TRUNCATED"),
        (
            "a first fragment",
            44,
            format!("11000001 0000000a {udp}"),
            none,
            "FRAG:0 INCOMPLETE ID:0000000a PROTO=UDP SPT=1 DPT=2 LEN=8",
        ),
        ("a later one", 44, fragment.into(), none, "FRAG:16 INCOMPLETE ID:0000000a PROTO=UDP"),
        ("its header cut short", 44, "110000".into(), none, "FRAG:TRUNCATED"),
        (
            "a later one, asked",
            44,
            fragment.into(),
            asked,
            "OPT ( FRAG:16 INCOMPLETE ID:0000000a ) PROTO=UDP",
        ),
        (
            "options in a later one",
            44,
            "3c000010 0000000a 1100000000000000".into(),
            asked,
            "OPT ( FRAG:16 ID:0000000a ) OPT ( )",
        ),
        ("ESP not asked for", 50, "0000beef00000001".into(), none, ""),
        ("ESP asked for", 50, "0000beef00000001".into(), asked, "OPT ( ESP SPI=0xbeef )"),
        ("ESP cut short", 50, "0000beef".into(), asked, "OPT ( ESP INCOMPLETE [4 bytes] )"),
        (
            "AH asked for",
            51,
            format!("1101000000 00beef 00000001 {udp}"),
            asked,
            "OPT ( AH SPI=0xbeef ) PROTO=UDP SPT=1 DPT=2 LEN=8",
        ),
        ("AH cut short", 51, "1101000000".into(), asked, "OPT ( AH INCOMPLETE [5 bytes] )"),
        ("nothing behind", 59, String::new(), none, "PROTO=59"),
        ("ICMPv6 cut short", 58, "8000".into(), none, "PROTO=ICMPv6 INCOMPLETE [2 bytes]"),
        (
            "a neighbour's question",
            58,
            "8700000000000000".into(),
            none,
            "PROTO=ICMPv6 TYPE=135 CODE=0",
        ),
        (
            "too big, and what was",
            58,
            format!("02000000 00000500 {}", ipv6(17, udp)),
            none,
            "PROTO=ICMPv6 TYPE=2 CODE=0 [SRC=0000:0000:0000:0000:0000:0000:0000:0001 DST=0000:0000:0000:0000:0000:0000:0000:0002 LEN=48 TC=0 HOPLIMIT=64 FLOWLBL=0 PROTO=UDP SPT=1 DPT=2 LEN=8 ] MTU=1280",
        ),
        (
            "a parameter problem about nothing",
            58,
            "04000000 0000002a".into(),
            none,
            "PROTO=ICMPv6 TYPE=4 CODE=0 POINTER=0000002a [TRUNCATED]",
        ),
        ("UDP-Lite", 136, udp.into(), none, "PROTO=UDPLITE SPT=1 DPT=2 LEN=8"),
    ];
    for (what, next, payload, options, expected) in rows {
        let text = words(&ipv6(next, &payload), options);
        let found = text.split_once("FLOWLBL=0").unwrap().1;
        assert_eq!(found.trim_start(), expected, "{what}");
    }
}

#[test]
fn link_headers_and_marks() {
    let datagram = bytes(&ipv4("45000014", "0000", 253, ""));
    let header = Some(At::WanToLan.link(Family::V4));
    let macdecode = LogOptions::MACDECODE;
    let none = LogOptions::empty();
    let rows = [
        ("as bytes", header, none, 0, "MAC=02:00:00:00:02:01:02:00:00:00:02:02:08:00 SRC="),
        (
            "decoded",
            header,
            macdecode,
            0,
            "MACSRC=02:00:00:00:02:02 MACDST=02:00:00:00:02:01 MACPROTO=0800 SRC=",
        ),
        ("none", None, none, 0, "MAC= SRC="),
        ("none to decode", None, macdecode, 0, "MAC= SRC="),
        ("a mark at the end", header, none, 0xbeef, "PROTO=253 MARK=0xbeef"),
    ];
    for (what, link, options, mark, part) in rows {
        let (family, in_name, out_name) = (Family::V4, Some("eth0"), None);
        let sighting = Sighting { datagram: &datagram, family, link, in_name, out_name, mark };
        let text = sighting.line(&target("", options)).text;
        assert!(text.contains(part), "{what}: {text}");
    }
}

#[test]
fn a_header_cut_short_ends_the_line_before_the_mark() {
    let text = |payload: &str| {
        let datagram = bytes(&ipv4("45000014", "0000", 17, payload));
        let (in_name, out_name) = (Some("a"), None);
        let family = Family::V4;
        let sighting =
            Sighting { datagram: &datagram, family, link: None, in_name, out_name, mark: 1 };
        sighting.line(&target("", LogOptions::empty())).text
    };
    assert!(text("0001000200080000").ends_with("LEN=8 MARK=0x1"));
    assert!(text("00").ends_with("INCOMPLETE [1 bytes]"));
}

#[test]
fn a_line_ends_with_the_kernels_buffer() {
    let options = "3c00000000000000".repeat(200);
    let text = words(&ipv6(60, &options), LogOptions::IP_OPTIONS);
    assert_eq!("IN= OUT=in0 ".len() + text.len(), 1016 - 1, "the cut fell on a blank");
}

#[test]
fn a_full_queue_loses_the_newest_lines_and_counts_them() {
    let mut queue = LogQueue::default();
    for number in 0..LogQueue::LIMIT + 3 {
        queue.push(LogLine { text: format!("{number}"), level: 4, topic: LogTopic::Table });
    }
    assert_eq!(queue.lost(), 3);
    assert_eq!(queue.pop().unwrap().text, "0");
    let rest = core::iter::from_fn(|| queue.pop()).last().unwrap();
    assert_eq!(rest.text, format!("{}", LogQueue::LIMIT - 1));
}

#[test]
fn complaints_about_a_full_table_are_limited() {
    let full = "nf_conntrack: nf_conntrack: table full, dropping packet";
    let rows: [(&str, u64, u32, &[&str]); 5] = [
        ("ten are printed", 0, 12, &[full; 10]),
        ("no more within five seconds", 5_000, 3, &[]),
        ("then the others are told", 5_001, 1, &["net_ratelimit: 5 callbacks suppressed", full]),
        ("the new window is no different", 6_000, 9, &[full; 9]),
        ("nothing to tell", 20_000, 1, &[full]),
    ];
    let mut queue = LogQueue::default();
    for (what, millis, times, expected) in rows {
        let now = Instant::ZERO + Duration::from_millis(millis);
        (0..times).for_each(|_| queue.table_full(now));
        let lines: Vec<LogLine> = core::iter::from_fn(|| queue.pop()).collect();
        assert!(lines.iter().all(|line| line.level == 4), "{what}");
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, expected, "{what}");
    }
}
