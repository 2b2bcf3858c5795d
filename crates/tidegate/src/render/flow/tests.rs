//! Forms against lines: those of conntrack(8) as it printed them.

use tidegate_wire::netlink::Tuple;
use tidegate_wire::netlink::conntrack::{Counters, ProtoInfo, SctpInfo, TcpInfo, Timestamp};
use tidegate_wire::netlink::tuple::Icmp;

use super::*;
use crate::client::names::bit;

const SECOND: u64 = 1_000_000_000;

fn tuple(proto: u8, ends: [&str; 2], ports: Option<[u16; 2]>) -> Tuple {
    Tuple {
        src: ends[0].parse().ok(),
        dst: ends[1].parse().ok(),
        proto: Some(proto),
        sport: ports.map(|[sport, _]| sport),
        dport: ports.map(|[_, dport]| dport),
        ..Tuple::default()
    }
}

fn flow(proto: u8, ends: [&str; 2], ports: Option<[u16; 2]>) -> Flow<'static> {
    let [src, dst] = ends;
    let back = ports.map(|[sport, dport]| [dport, sport]);
    Flow {
        family: if src.contains(':') { 10 } else { 2 },
        tuples: [tuple(proto, [src, dst], ports), tuple(proto, [dst, src], back)],
        status: Some(bit::CONFIRMED),
        timeout: Some(99),
        mark: Some(0),
        uses: Some(1),
        id: Some(887_825_417),
        ..Flow::default()
    }
}

fn udp() -> Flow<'static> {
    flow(17, ["10.0.0.1", "10.0.0.2"], Some([1000, 53]))
}

fn shown(style: Style, flow: &Flow<'_>, on: Option<Occasion>) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(&mut out, style, 7 * SECOND);
    printer.flow(flow, on).expect("a Vec takes everything");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_line_is_that_of_conntrack() {
    for (style, flow, expected) in lines() {
        assert_eq!(shown(style, &flow, None), format!("{expected}\n"));
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn lines() -> Vec<(Style, Flow<'static>, &'static str)> {
    let text = Style::default();
    let full = Style { extended: true, id: true, ..text };
    let state = |number| TcpInfo { state: Some(number), ..TcpInfo::default() };
    let tcp = Flow {
        info: ProtoInfo { tcp: Some(state(3)), ..ProtoInfo::default() },
        status: Some(bit::CONFIRMED | bit::SEEN_REPLY | bit::ASSURED),
        mark: Some(5),
        helper: Some(b"ftp"),
        ..flow(6, ["10.0.0.1", "10.0.0.2"], Some([1000, 80]))
    };
    let icmp = |kind| Icmp { is_v6: false, id: Some(77), kind: Some(kind), code: Some(0) };
    let mut ping = flow(1, ["10.0.0.1", "10.0.0.2"], None);
    [ping.tuples[0].icmp, ping.tuples[1].icmp] = [Some(icmp(8)), Some(icmp(0))];
    let counters =
        |packets| Some(Counters { packets: Some(packets), bytes: Some(36), ..Counters::default() });
    let mut zones = Flow { counters: [counters(1), counters(0)], ..udp() };
    [zones.tuples[0].zone, zones.tuples[1].zone] = [Some(3), Some(4)];
    let sctp = SctpInfo { state: Some(4), ..SctpInfo::default() };
    vec![
        (
            text,
            udp(),
            "udp      17 99 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000 mark=0 use=1",
        ),
        (
            full,
            udp(),
            "ipv4     2 udp      17 99 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000 mark=0 use=1 id=887825417",
        ),
        (
            text,
            tcp,
            "tcp      6 99 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=80 src=10.0.0.2 dst=10.0.0.1 sport=80 dport=1000 [ASSURED] mark=5 helper=ftp use=1",
        ),
        (
            text,
            ping,
            "icmp     1 99 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=77 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=77 mark=0 use=1",
        ),
        (
            text,
            flow(47, ["10.0.0.1", "10.0.0.2"], Some([1, 16])),
            "gre      47 99 src=10.0.0.1 dst=10.0.0.2 srckey=0x1 dstkey=0x10 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x10 dstkey=0x1 mark=0 use=1",
        ),
        (
            text,
            flow(50, ["fd00::1", "::102:304"], None),
            "unknown  50 99 src=fd00::1 dst=::1.2.3.4 [UNREPLIED] src=::1.2.3.4 dst=fd00::1 mark=0 use=1",
        ),
        (
            text,
            zones,
            "udp      17 99 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 zone-orig=3 packets=1 bytes=36 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000 zone-reply=4 packets=0 bytes=36 mark=0 use=1",
        ),
        (
            text,
            Flow {
                info: ProtoInfo { sctp: Some(sctp), ..ProtoInfo::default() },
                ..flow(132, ["10.0.0.1", "10.0.0.2"], Some([1, 2]))
            },
            "sctp     132 99 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 mark=0 use=1",
        ),
        (
            text,
            Flow {
                zone: Some(7),
                context: Some(b"system_u"),
                times: Some(Timestamp { start: Some(5 * SECOND), ..Timestamp::default() }),
                ..udp()
            },
            "udp      17 99 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000 mark=0 secctx=system_u zone=7 delta-time=2 use=1",
        ),
        (
            text,
            Flow {
                status: Some(bit::CONFIRMED | bit::SEEN_REPLY | bit::ASSURED | bit::OFFLOAD),
                timeout: None,
                uses: None,
                ..udp()
            },
            "udp      17 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000 [OFFLOAD] mark=0",
        ),
    ]
}

#[test]
fn an_event_says_what_happened_and_through_whom() {
    let style = Style { timestamp: true, ..Style::default() };
    let on = |kind, port| Some(Occasion { kind, time: 1_500_000_000, port, number: None });
    let bare = Flow { uses: None, mark: None, ..udp() };
    let line = "udp      17 99 src=10.0.0.1 dst=10.0.0.2 sport=1000 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 sport=53 dport=1000";
    let rows = [
        (on(Kind::New, 0), format!("[1.500000]\t    [NEW] {line}\n")),
        (on(Kind::Update, 0), format!("[1.500000]\t [UPDATE] {line}\n")),
        (on(Kind::Destroy, 99), format!("[1.500000]\t[DESTROY] {line} [USERSPACE] portid=99\n")),
    ];
    for (on, expected) in rows {
        assert_eq!(shown(style, &bare, on), expected);
    }
}

#[test]
fn a_gap_is_told_in_every_form() {
    let rows = [
        (Shape::Text, "    [GAP] events 3 to 5 were lost here\n"),
        (
            Shape::Json,
            "{\"event\":\"GAP\",\"time\":\"1970-01-01T00:00:01.000000Z\",\"lost\":[3,5]}\n",
        ),
        (Shape::Csv, "GAP,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n"),
        (Shape::Xml, "<gap/>\n"),
    ];
    for (shape, expected) in rows {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Style { shape, ..Style::default() }, 0);
        printer.gap(SECOND, Some((3, 5))).expect("a Vec takes everything");
        let out = String::from_utf8(out).expect("text");
        assert!(out.ends_with(expected), "{shape:?}: {out}");
    }
}

#[test]
fn every_line_of_values_has_a_value_for_every_name() {
    let style = Style { shape: Shape::Csv, ..Style::default() };
    let text = shown(style, &udp(), None);
    let counts: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(counts, [31, 31], "{text}");
}

#[test]
fn an_object_has_the_names_of_a_replay() {
    let style = Style { shape: Shape::Json, ..Style::default() };
    let expected = "{\"l3\":\"ipv4\",\"l4\":\"udp\",\"l4num\":17,\
        \"orig\":{\"src\":\"10.0.0.1\",\"dst\":\"10.0.0.2\",\"sport\":1000,\"dport\":53},\
        \"reply\":{\"src\":\"10.0.0.2\",\"dst\":\"10.0.0.1\",\"sport\":53,\"dport\":1000},\
        \"status\":[\"CONFIRMED\"],\"timeout\":99,\"mark\":0,\"zone\":0,\"use\":1,\"id\":887825417}\n";
    assert_eq!(shown(style, &udp(), None), expected);
}
