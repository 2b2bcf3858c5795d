//! The state machine: opening, closing, and the transition table itself.

use alloc::vec::Vec;

use tidegate_wire::{Family, dissect};

use super::*;
use crate::flow::{Flow, Status};
use crate::limits::Limits;
use crate::time::Instant;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::{exchange, quiet};
use crate::track::{
    IgnoreReason, InvalidReason, Judgement, PeerFlags, ProtoState, Segment, Tcp, TcpState, judge,
};
use crate::tuple::Direction;

#[test]
#[rustfmt::skip]
fn the_client_closes() {
    exchange().play(&established(&[
        row("data waits for its ACK",       c(ACK, 1001, 5001).data(100), Established, "300 client+unacked"),
        row("which comes",                  s(ACK, 5001, 1101),           Established, "432000 client-unacked"),
        row("the client is done",           c(FIN | ACK, 1101, 5001),     Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("the server knows",             s(ACK, 5001, 1102),           Established, "CLOSE_WAIT 60 client-unacked"),
        row("and is done too",              s(FIN | ACK, 5001, 1102),     Established, "LAST_ACK 30 server+unacked"),
        row("the last ACK",                 c(ACK, 1102, 5002),           Established, "TIME_WAIT 120 server-unacked"),
        row("each further one begins anew", c(ACK, 1102, 5002),           Established, "120"),
        row("a late FIN too",               s(FIN | ACK, 5001, 1102),     Established, "120"),
        quiet("almost two minutes",         119, ""),
        quiet("the two minutes are up",     1, "gone"),
    ]));
}

#[test]
#[rustfmt::skip]
fn the_server_closes_and_the_client_goes_on_for_a_while() {
    exchange().play(&established(&[
        row("the server is done",       s(FIN | ACK, 5001, 1001),    Established, "FIN_WAIT 120 server+close_init server+unacked"),
        row("the client knows",         c(ACK, 1001, 5002),          Established, "CLOSE_WAIT 60 server-unacked"),
        row("but still has data",       c(ACK, 1001, 5002).data(10), Established, "60 client+unacked"),
        row("which is acknowledged",    s(ACK, 5002, 1011),          Established, "60 client-unacked"),
        row("the client is done",       c(FIN | ACK, 1011, 5002),    Established, "LAST_ACK 30 client+unacked"),
        row("and says so again",        c(FIN | ACK, 1011, 5002),    Established, "30"),
        row("the last ACK",             s(ACK, 5002, 1012),          Established, "TIME_WAIT 120 client-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn both_close_at_once() {
    exchange().play(&established(&[
        row("the client's FIN",         c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("crosses the server's",     s(FIN | ACK, 5001, 1001), Established, "LAST_ACK 30 server+unacked"),
        row("the client acknowledges",  c(ACK, 1002, 5002),       Established, "TIME_WAIT 120 server-unacked"),
        row("and so does the server",   s(ACK, 5002, 1002),       Established, "120 client-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn both_open_at_once() {
    let crossing = [
        row("the client's SYN",         c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("crosses the server's",     s(SYN, 5000, 0),          Established, "SYN_SENT2 +seen_reply uncounted"),
        row("the client answers",       c(SYN | ACK, 1000, 5001), Established, "SYN_RECV 60 client+max_ack"),
    ];
    exchange().play(&[&crossing[..], &[
        row("so does the server",       s(SYN | ACK, 5000, 1001), Established, "ignored"),
        row("the client completes",     c(ACK, 1001, 5001),       Established, "ESTABLISHED 432000 +assured"),
        row("the server too",           s(ACK, 5001, 1001),       Established, "432000 server+max_ack"),
    ]].concat());
    exchange().play(&[&crossing[..], &[
        row("an ACK of the server is enough", s(ACK, 5001, 1001), Established, "ESTABLISHED 432000 +assured server+max_ack"),
    ]].concat());
    exchange().play(&[&crossing[..2], &[
        row("the server answers first", s(SYN | ACK, 5000, 1001), Established, "SYN_RECV 60 server+max_ack"),
        row("the client completes",     c(ACK, 1001, 5001),       Established, "ESTABLISHED 432000 +assured client+max_ack"),
    ]].concat());
}

#[test]
#[rustfmt::skip]
fn a_repeated_syn_does_not_keep_a_half_open_flow() {
    exchange().play(&[
        row("the client opens",              c(SYN, 1000, 0),          New, "SYN_SENT 120"),
        row("again",                         c(SYN, 1000, 0),          New, "uncounted"),
        row("with a lower number",           c(SYN, 400, 0),           New, "uncounted"),
        quiet("almost two minutes",          117, ""),
        quiet("since the first",             1, "gone"),
    ]);
    exchange().play(&[
        row("the client opens",              c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("anew with a higher number",     c(SYN, 2000, 0),          New,         "uncounted"),
        row("which the server acknowledges", s(SYN | ACK, 5000, 2001), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client repeats its SYN",    c(SYN, 2000, 0),          Established, "ignored"),
        row("the server its answer",         s(SYN | ACK, 5000, 2001), Established, "60 +protoinfo"),
        row("the client completes",          c(ACK, 2001, 5001),       Established, "ESTABLISHED 432000 +assured client+max_ack"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_answer_to_something_else_changes_nothing() {
    exchange().play(&[
        row("the client opens",              c(SYN, 1000, 0),          New,                     "SYN_SENT 120"),
        row("a SYN/ACK of another SYN",      s(SYN | ACK, 5000, 9999), Invalid("tcp_ack_over"), ""),
        row("a FIN",                         s(FIN | ACK, 5000, 1001), Invalid("tcp_state"),    ""),
        row("data before the answer",        c(ACK, 1001, 5001),       Invalid("tcp_state"),    ""),
        row("the right SYN/ACK",             s(SYN | ACK, 5000, 1001), Established,             "SYN_RECV 60 +seen_reply server+max_ack"),
        row("a SYN of the server's",         s(SYN, 5000, 0),          Invalid("tcp_state"),    ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_ack_instead_of_an_answer_may_be_a_challenge() {
    let challenged = [
        row("the client opens",              c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("the server still remembers",    s(ACK, 7000, 800_000),    Established, "ignored +seen_reply"),
    ];
    exchange().play(&[&challenged[..], &[
        row("later SYNs are answered ones",  c(SYN, 1000, 0),          Established, "120"),
    ]].concat());
    exchange().play(&[&challenged[..], &[
        row("the client resets what it does not know", c(RST, 800_000, 0), Established, "CLOSE 10"),
        row("and opens again",               c(SYN, 1000, 0),          New,         "again SYN_SENT 120"),
    ]].concat());
    exchange().play(&[&challenged[..], &[
        row("or by what it acknowledges",    c(RST | ACK, 800_001, 7000), Established, "CLOSE 10"),
    ]].concat());
    exchange().play(&[&challenged[..], &[
        row("but not by anything",           c(RST | ACK, 800_001, 7001), Invalid("tcp_seq_over"), ""),
    ]].concat());
}

#[test]
#[rustfmt::skip]
fn a_flow_is_picked_up_in_the_middle() {
    exchange().play(&[
        row("data out of nowhere",     c(ACK, 1001, 5001).data(10), New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("is answered",             s(ACK, 5001, 1011),          Established, "300 +seen_reply server+max_ack"),
        row("and now believed",        c(ACK, 1011, 5001),          Established, "432000 +assured client+max_ack"),
    ]);
    exchange().play(&[
        row("an ACK out of nowhere",   c(ACK, 1001, 5001),          New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("data, not learnt from",   c(ACK, 1001, 5001).data(10), New,         "300"),
        row("so its ACK isn't either", s(ACK, 5001, 1011),          Established, "300 +seen_reply"),
        row("the next one is",         c(ACK, 1011, 5001),          Established, "300 +assured client+max_ack client+unacked"),
    ]);
    exchange().play(&[
        row("a closed window",         c(ACK, 1001, 5001).win(0),   New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("is a window, too",        c(ACK, 1001, 5001),          New,         "300"),
    ]);
    exchange().play(&[
        row("a keep-alive probe",      c(ACK, 1000, 5001),          New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("whose octet we missed",   s(ACK, 5001, 1001),          Established, "300 +seen_reply server+max_ack"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_flow_is_not_picked_up_where_loose_is_off() {
    exchange().with("net.netfilter.nf_conntrack_tcp_loose", "0").play(&[
        row("an ACK out of nowhere",   c(ACK, 1001, 5001),          Invalid("tcp_not_loose"), ""),
        row("from the other side",     s(ACK, 5001, 1001),          Invalid("tcp_not_loose"), ""),
        row("a SYN still opens",       c(SYN, 1000, 0),             New,                      "SYN_SENT 120"),
    ]);
}

#[test]
#[rustfmt::skip]
fn sequence_numbers_wrap() {
    const C: u32 = u32::MAX - 10;
    const S: u32 = u32::MAX - 100;
    exchange().play(&[
        row("the client opens",         c(SYN, C, 0),                            New,         "SYN_SENT 120"),
        row("the server answers",       s(SYN | ACK, S, C + 1),                  Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client completes",     c(ACK, C + 1, S + 1),                    Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("data over the wrap",       c(ACK, C + 1, S + 1).data(100),          Established, "300 client+unacked"),
        row("is acknowledged",          s(ACK, S + 1, 90),                       Established, "432000 client-unacked"),
        row("an ACK of more is not",    s(ACK, S + 1, 91),                       Invalid("tcp_ack_over"), ""),
        row("data the other way",       s(ACK, S + 1, 90).data(200),             Established, "300 server+unacked"),
        row("is acknowledged too",      c(ACK, 90, 100),                         Established, "432000 server-unacked"),
        row("a RST before the wrap",    c(RST, C + 1, 0),                        Invalid("tcp_rst"), ""),
        row("and one where it belongs", c(RST, 90, 0),                           Established, "CLOSE 10"),
    ]);
}

/// The cells as the kernel has them: a state, `ig`nored, or `iv` (invalid); `ss*` is a SYN that
/// opens the flow again.
#[rustfmt::skip]
const CELLS: [(Direction, &str, &str); 10] = [
    //                             no  ss  sr  es  fw  cw  la  tw   cl   s2
    (Direction::Original, "syn",    "ss  ss  ig  ig  ig  ig  ig  ss*  ss*  s2"),
    (Direction::Original, "synack", "iv  iv  sr  iv  iv  iv  iv  iv   iv   sr"),
    (Direction::Original, "fin",    "iv  iv  fw  fw  la  la  la  tw   cl   iv"),
    (Direction::Original, "ack",    "es  iv  es  es  cw  cw  tw  tw   cl   iv"),
    (Direction::Original, "rst",    "iv  cl  cl  cl  cl  cl  cl  cl   cl   cl"),
    (Direction::Reply,    "syn",    "iv  s2  iv  iv  iv  iv  iv  ss*  iv   s2"),
    (Direction::Reply,    "synack", "iv  sr  ig  ig  ig  ig  ig  ig   ig   sr"),
    (Direction::Reply,    "fin",    "iv  iv  fw  fw  la  la  la  tw   cl   iv"),
    (Direction::Reply,    "ack",    "iv  ig  sr  es  cw  cw  tw  tw   cl   ig"),
    (Direction::Reply,    "rst",    "iv  cl  cl  cl  cl  cl  cl  cl   cl   cl"),
];

#[test]
fn every_transition_is_the_kernels() {
    for (dir, segment, cells) in CELLS {
        let cells: Vec<&str> = cells.split_whitespace().collect();
        assert_eq!(cells.len(), STATES.len());
        for (state, cell) in STATES.into_iter().zip(cells) {
            let seen = becomes(dir, segment, state);
            assert_eq!(seen, cell, "{segment}, {dir:?}, in {}", state.name());
        }
    }
}

const STATES: [TcpState; 10] = [
    TcpState::None,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::Established,
    TcpState::FinWait,
    TcpState::CloseWait,
    TcpState::LastAck,
    TcpState::TimeWait,
    TcpState::Close,
    TcpState::SynSent2,
];

const CODES: [&str; 10] = ["no", "ss", "sr", "es", "fw", "cw", "la", "tw", "cl", "s2"];

/// What a segment makes of a flow in that state whose windows are not known.
fn becomes(dir: Direction, segment: &str, state: TcpState) -> &'static str {
    let flags = match segment {
        "syn" => SYN,
        "synack" => SYN | ACK,
        "fin" => FIN | ACK,
        "ack" => ACK,
        _ => RST,
    };
    let host = if dir == Direction::Original { Host::Client } else { Host::Server };
    let bytes = tcp(host, flags, 100, 0).bytes(Family::V4);
    let headers = dissect(&bytes).expect("a whole datagram");
    let limits = Limits::default();
    let (datagram, now) = (&bytes[..], Instant::ZERO);
    let segment = Segment {
        datagram,
        headers: &headers,
        dir,
        now,
        limits: &limits,
        verify_checksum: true,
        corrections: None,
    };
    let mut flow = flow_in(state);
    match judge(&mut flow, &segment) {
        Judgement::Accept => match &flow.proto {
            ProtoState::Tcp(tcp) => CODES[tcp.state as usize],
            other => panic!("no longer TCP: {other:?}"),
        },
        Judgement::Ignore(IgnoreReason::TcpState(_, of, from)) if (of, from) == (dir, state) => {
            "ig"
        }
        Judgement::Invalid(InvalidReason::TcpState(_, of, from)) if (of, from) == (dir, state) => {
            "iv"
        }
        Judgement::Reopen => "ss*",
        other => panic!("{other:?}"),
    }
}

/// A flow that was answered and where somebody once sent a FIN.
fn flow_in(state: TcpState) -> Flow {
    let orig = tcp(Host::Client, SYN, 0, 0).tuple(Family::V4);
    let mut tcp = Tcp { state, ..Tcp::default() };
    tcp.seen[0].flags = PeerFlags::CLOSE_INIT;
    let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED;
    Flow { status, proto: ProtoState::Tcp(tcp), ..crate::testkit::flow(orig) }
}
