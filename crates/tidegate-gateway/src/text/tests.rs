//! The text forms against what Linux 6.18 and conntrack(8) 1.4.7 printed.

use std::net::IpAddr;
use std::time::Duration;

use tidegate_engine::event::{Event, EventKind, EventMask, ExpectationEvent, FlowEvent};
use tidegate_engine::expect::Expectation;
use tidegate_engine::fib::PortId;
use tidegate_engine::flow::{Counter, Flow, FlowId, Lifetime, Status};
use tidegate_engine::time::Instant;
use tidegate_engine::track::{Gre, ProtoState, Sctp, SctpState, Tcp, TcpState};
use tidegate_engine::tuple::{Tuple, Zone, ZoneScope};
use tidegate_engine::{Engine, Packet, Settings};
use tidegate_wire::packet::ipv4::Ipv4Repr;
use tidegate_wire::packet::udp::{Udp, UdpRepr};
use tidegate_wire::{Family, proto};

use super::*;
use crate::replay::topology::{Passage, World};

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

/// A flow that an engine made, to be written over.
fn some_flow() -> (FlowId, Flow) {
    let hex = "45000021000040003f11f4c70a000102cb0071029c400035000dcc717175657279";
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let mut bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
    let mut engine = Engine::new(Settings { start: NOW, ..Settings::default() });
    let mut packet = Packet::received(&mut bytes, PortId(0));
    let outcome = engine.process(NOW, &mut packet, &World::Passage(Passage::default()));
    let id = outcome.flow.expect("a UDP datagram begins a flow");
    (id, engine.flow(id).unwrap().clone())
}

fn tuple(proto: u8, src: &str, dst: &str, words: (u16, u16)) -> Tuple {
    let [src, dst]: [IpAddr; 2] = [src, dst].map(|addr| addr.parse().unwrap());
    Tuple { src, dst, sport: words.0, dport: words.1, proto }
}

/// A flow from 10.1.0.2 to 10.2.0.2 with `secs` to live, seen both ways.
fn flow(proto: u8, words: (u16, u16), secs: u64) -> Flow {
    let orig = tuple(proto, "10.1.0.2", "10.2.0.2", words);
    but(some_flow().1, |flow| {
        flow.orig = orig;
        flow.reply = orig.invert().unwrap();
        flow.status = Status::CONFIRMED | Status::SEEN_REPLY;
        // The kernel rounds down, and the readings were taken a little late.
        flow.deadline = NOW + Duration::from_millis(secs * 1000 + 900);
        flow.proto = ProtoState::None;
    })
}

fn but(mut flow: Flow, change: impl FnOnce(&mut Flow)) -> Flow {
    change(&mut flow);
    flow
}

fn tcp(state: TcpState) -> ProtoState {
    let mut tcp = Tcp::default();
    tcp.state = state;
    ProtoState::Tcp(tcp)
}

fn sctp(state: SctpState) -> ProtoState {
    let mut sctp = Sctp::default();
    sctp.state = state;
    ProtoState::Sctp(sctp)
}

#[test]
fn proc_lines_are_the_kernels() {
    for (flow, line) in flows_and_lines() {
        assert_eq!(ProcLine { flow: &flow, now: NOW }.to_string(), line);
    }
}

fn flows_and_lines() -> [(Flow, &'static str); 7] {
    let echo = Tuple::icmp_word(8, 0);
    let echo_v6 = Tuple::icmp_word(128, 0);
    let v6 = tuple(58, "fd00:1::2", "fd00:2::2", (5, echo_v6));
    let counters = [Counter { packets: 1, bytes: 29 }, Counter::default()];
    let unreplied = Status::CONFIRMED;
    [
        (
            but(flow(6, (4000, 80), 431_999), |flow| {
                flow.proto = tcp(TcpState::Established);
                flow.status |= Status::ASSURED;
            }),
            "ipv4     2 tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=10.2.0.2 sport=4000 dport=80 \
             src=10.2.0.2 dst=10.1.0.2 sport=80 dport=4000 [ASSURED] mark=0 zone=0 use=2",
        ),
        (
            but(flow(17, (6000, 53), 29), |flow| {
                flow.acct = Some(counters);
                flow.status = unreplied;
            }),
            "ipv4     2 udp      17 29 src=10.1.0.2 dst=10.2.0.2 sport=6000 dport=53 packets=1 bytes=29 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=53 dport=6000 packets=0 bytes=0 mark=0 zone=0 use=2",
        ),
        (
            flow(1, (3872, echo), 29),
            "ipv4     2 icmp     1 29 src=10.1.0.2 dst=10.2.0.2 type=8 code=0 id=3872 \
             src=10.2.0.2 dst=10.1.0.2 type=0 code=0 id=3872 mark=0 zone=0 use=2",
        ),
        (
            flow(50, (0, 0), 599),
            "ipv4     2 unknown  50 599 src=10.1.0.2 dst=10.2.0.2 src=10.2.0.2 dst=10.1.0.2 mark=0 zone=0 use=2",
        ),
        (
            but(flow(17, (6000, 54), 29), |flow| {
                flow.status = unreplied;
                flow.zone = Zone { id: 6, scope: ZoneScope::Original };
            }),
            "ipv4     2 udp      17 29 src=10.1.0.2 dst=10.2.0.2 sport=6000 dport=54 zone-orig=6 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=54 dport=6000 mark=0 use=2",
        ),
        (
            but(flow(58, (5, echo_v6), 29), |flow| {
                flow.orig = v6;
                flow.reply = v6.invert().unwrap();
            }),
            "ipv6     10 icmpv6   58 29 src=fd00:0001:0000:0000:0000:0000:0000:0002 \
             dst=fd00:0002:0000:0000:0000:0000:0000:0002 type=128 code=0 id=5 \
             src=fd00:0002:0000:0000:0000:0000:0000:0002 dst=fd00:0001:0000:0000:0000:0000:0000:0002 \
             type=129 code=0 id=5 mark=0 zone=0 use=2",
        ),
        (
            but(flow(17, (5000, 6000), 9), |flow| {
                let start = Some(Instant::from_nanos(990_000_000_000));
                flow.mark = 7;
                flow.zone = Zone { id: 3, scope: ZoneScope::Reply };
                flow.lifetime = Some(Lifetime { start, stop: None });
            }),
            "ipv4     2 udp      17 9 src=10.1.0.2 dst=10.2.0.2 sport=5000 dport=6000 \
             src=10.2.0.2 dst=10.1.0.2 sport=6000 dport=5000 zone-reply=3 mark=7 delta-time=10 use=2",
        ),
    ]
}

#[test]
fn proc_lines_tell_what_only_a_protocol_has() {
    let association = but(flow(132, (5000, 6000), 9), |flow| {
        flow.proto = sctp(SctpState::Closed);
        flow.status |= Status::ASSURED;
    });
    let call = but(flow(47, (0, 5), 39), |flow| {
        let (timeout, stream_timeout) = (Duration::from_secs(40), Duration::from_secs(170));
        flow.proto = ProtoState::Gre(Gre { timeout, stream_timeout });
        flow.status = Status::CONFIRMED;
    });
    let rows = [
        (
            association,
            "ipv4     2 sctp     132 9 CLOSED src=10.1.0.2 dst=10.2.0.2 sport=5000 dport=6000 \
             src=10.2.0.2 dst=10.1.0.2 sport=6000 dport=5000 [ASSURED] mark=0 zone=0 use=2",
        ),
        (
            call,
            "ipv4     2 gre      47 39 timeout=40, stream_timeout=170 src=10.1.0.2 dst=10.2.0.2 \
             srckey=0x0 dstkey=0x5 [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 srckey=0x5 dstkey=0x0 \
             mark=0 zone=0 use=2",
        ),
    ];
    for (flow, line) in rows {
        assert_eq!(ProcLine { flow: &flow, now: NOW }.to_string(), line);
    }
}

#[test]
fn events_carry_what_their_messages_do() {
    let counters = [Counter { packets: 8, bytes: 1033 }, Counter { packets: 6, bytes: 252 }];
    let tcp_flow = but(flow(6, (20077, 80), 120), |flow| {
        flow.proto = tcp(TcpState::SynSent);
        flow.status = Status::CONFIRMED;
        flow.acct = Some(counters);
        flow.mark = 6;
    });
    let begun = EventMask::NEW | EventMask::PROTOINFO;
    let rows = [
        (
            "a new flow has a state and no counters",
            (EventKind::New, begun, tcp_flow.clone()),
            "    [NEW] tcp      6 120 SYN_SENT src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 mark=6",
            "[NEW] ipv4 tcp 6 t=120 SYN_SENT src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 mark=6",
        ),
        (
            "an update without a change of state doesn't tell it",
            (EventKind::Update, EventMask::REPLY, tcp_flow.clone()),
            " [UPDATE] tcp      6 120 src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 mark=6",
            "[UPDATE] ipv4 tcp 6 t=120 src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 mark=6",
        ),
        (
            "keys in hex for people and in decimal for scenarios",
            (EventKind::New, EventMask::NEW, flow(47, (0, 0x3333), 30)),
            "    [NEW] gre      47 30 src=10.1.0.2 dst=10.2.0.2 srckey=0x0 dstkey=0x3333 \
             src=10.2.0.2 dst=10.1.0.2 srckey=0x3333 dstkey=0x0",
            "[NEW] ipv4 gre 47 t=30 src=10.1.0.2 dst=10.2.0.2 srckey=0 dstkey=13107 \
             src=10.2.0.2 dst=10.1.0.2 srckey=13107 dstkey=0",
        ),
        (
            "the end of an expired flow has counters and no time-out",
            (EventKind::Destroy, EventMask::DESTROY, but(tcp_flow, |flow| flow.deadline = NOW)),
            "[DESTROY] tcp      6 SYN_SENT src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 packets=8 bytes=1033 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 packets=6 bytes=252 mark=6",
            "[DESTROY] ipv4 tcp 6 SYN_SENT src=10.1.0.2 dst=10.2.0.2 sport=20077 dport=80 \
             [UNREPLIED] src=10.2.0.2 dst=10.1.0.2 sport=80 dport=20077 mark=6 packets=8,6 bytes=1033,252",
        ),
    ];
    let (id, _) = some_flow();
    for (what, (kind, changes, flow), listed, compact) in rows {
        let event = FlowEvent { kind, changes, at: NOW, id, flow };
        assert_eq!(Announcement(&event).to_string(), listed, "{what}");
        assert_eq!(CompactEvent(&Event::Flow(event)).to_string(), compact, "{what}");
    }
}

#[test]
fn packets_read_in_one_line() {
    let rows = [
        (
            "45000021000040003f11f4c70a000102cb0071029c400035000dcc717175657279",
            "10.0.1.2:40000 > 203.0.113.2:53 udp len 5 ttl 63",
        ),
        (
            "6000000000140640fd000001000000000000000000000002fd000001000000000000000000000001\
             0001000200000064000000005002ffffb5750000",
            "[fd00:1::2]:1 > [fd00:1::1]:2 tcp [SYN] seq 100 ack 0 win 65535 len 0 ttl 64",
        ),
        (
            "45c0003e898200004001da7a0a0001010a0001020303131f00000000\
             4500002200004000401124c90a0001020a00010100010002000eb188636c6f736564",
            "10.0.1.1 > 10.0.1.2 icmp type 3 code 3 ttl 64 {10.0.1.2:1 > 10.0.1.1:2 udp len 6}",
        ),
        (
            "450000240000400040fd23db0a0001020a0001016e6f20737563682070726f746f636f6c",
            "10.0.1.2 > 10.0.1.1 proto 253 len 16 ttl 64",
        ),
    ];
    for (hex, line) in rows {
        let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        assert_eq!(PacketLine(&bytes).to_string(), line);
        for len in 0..bytes.len() {
            let _ = PacketLine(&bytes[..len]).to_string();
        }
    }
}

/// The expectation of a scenario's only request.
fn expectation(payload: &[u8], rule: &str, port: u16) -> Expectation {
    let mut engine = Engine::new(Settings { start: NOW, ..Settings::default() });
    let rules = format!("*raw\n-A PREROUTING {rule}\nCOMMIT\n");
    engine.replace_rules(&tidegate_engine::rules::parse(Family::V4, "test", &rules).unwrap());
    let ends = ["10.0.1.2".parse().unwrap(), "203.0.113.2".parse().unwrap()];
    let mut bytes = vec![0; 28];
    let payload_len = payload.len();
    Ipv4Repr {
        src: ends[0],
        dst: ends[1],
        proto: proto::UDP,
        ttl: 64,
        tos: 0,
        id: 1,
        dont_fragment: true,
        payload_len: 8 + payload_len,
    }
    .emit(&mut bytes);
    UdpRepr { src_port: 5060, dst_port: port, payload_len }.emit(&mut bytes[20..]);
    bytes.extend_from_slice(payload);
    Udp::new(&mut bytes[20..]).unwrap().fill_checksum(ends[0].into(), ends[1].into());
    let mut packet = Packet::received(&mut bytes, PortId(0));
    engine.process(NOW, &mut packet, &World::Passage(Passage::default()));
    engine.expectations().next().expect("an expectation").clone()
}

#[test]
fn expectations_are_shown_as_the_kernel_and_the_tool_do() {
    let register = b"REGISTER sip:x SIP/2.0\r\nCSeq: 1 REGISTER\r\n\
        Contact: <sip:b@10.0.1.2:5062>;expires=60\r\n\r\n";
    let tftp = expectation(b"\0\x01f", "-p udp --dport 69 -j CT --helper tftp", 69);
    let sip = expectation(register, "-p udp --dport 5060 -j CT --helper sip", 5060);
    let mask = "mask-src=255.255.255.255 mask-dst=255.255.255.255 sport=0 dport=65535";
    let rows = [
        (
            &tftp,
            "300 l3proto = 2 proto=17 src=203.0.113.2 dst=10.0.1.2 sport=0 dport=5060 tftp",
            format!(
                "300 proto=17 src=203.0.113.2 dst=10.0.1.2 sport=0 dport=5060 {mask} \
                 master-src=10.0.1.2 master-dst=203.0.113.2 sport=5060 dport=69 class=0 helper=tftp"
            ),
        ),
        (
            &sip,
            "180 l3proto = 2 proto=17 src=203.0.113.2 dst=10.0.1.2 sport=0 dport=5062 \
             PERMANENT,INACTIVE sip/signalling",
            format!(
                "180 proto=17 src=203.0.113.2 dst=10.0.1.2 sport=0 dport=5062 {mask} \
                 master-src=10.0.1.2 master-dst=203.0.113.2 sport=5060 dport=5060 \
                 PERMANENT,INACTIVE class=0 helper=sip"
            ),
        ),
    ];
    for (expectation, proc, listed) in rows {
        assert_eq!(ProcExpectation { expectation, now: NOW }.to_string(), proc);
        assert_eq!(ListedExpectation { expectation, now: NOW }.to_string(), listed);
    }
    let event = ExpectationEvent { kind: EventKind::New, at: NOW, expectation: sip };
    let told = "[EXP_NEW] ipv4 udp 17 t=180 src=203.0.113.2 dst=10.0.1.2 sport=0 dport=5062 \
                mask src=255.255.255.255 dst=255.255.255.255 sport=0 dport=65535 \
                master src=10.0.1.2 dst=203.0.113.2 sport=5060 dport=5060 PERMANENT|INACTIVE helper=sip";
    assert_eq!(CompactEvent(&Event::Expectation(event)).to_string(), told);
}
