//! Resets: which close, which are doubted, which are refused.

use super::*;
use crate::limits::Limits;
use crate::time::Instant;
use crate::track::tcp::close_by_reset;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::exchange;
use crate::track::{ProtoState, Tcp, TcpState};

#[test]
#[rustfmt::skip]
fn a_reset_must_be_exact() {
    exchange().play(&established(&[
        row("below what was acknowledged",  c(RST, 1000, 0),          Invalid("tcp_rst"), ""),
        row("from the server",              s(RST, 5000, 0),          Invalid("tcp_rst"), ""),
        row("in window, but not exact",     c(RST, 1050, 0),          Established, "10 client+unacked"),
        row("a challenge ACK repairs it",   s(ACK, 5001, 1001),       Established, "300"),
        row("beyond the window",            c(RST, 500_000, 0),       Invalid("tcp_seq_over"), ""),
        row("exact",                        c(RST, 1001, 0),          Established, "CLOSE 10"),
        row("late data",                    s(ACK, 5001, 1001),       Established, "10"),
        row("any other RST",                s(RST, 77, 0),            Established, "10"),
    ]));
    exchange().play(&established(&[
        row("exact, from the server",       s(RST | ACK, 5001, 1001), Established, "CLOSE 10"),
    ]));
}

#[test]
#[rustfmt::skip]
fn an_old_ack_does_not_lower_the_bar() {
    exchange().play(&established(&[
        row("data",                         c(ACK, 1001, 5001).data(100), Established, "300 client+unacked"),
        row("is acknowledged",              s(ACK, 5001, 1101),           Established, "432000 client-unacked"),
        row("and an old ACK comes late",    s(ACK, 5001, 1001),           Established, "432000"),
        row("a RST between the two",        c(RST, 1050, 0),              Invalid("tcp_rst"), ""),
        row("and an exact one",             c(RST, 1101, 0),              Established, "CLOSE 10"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_reset_may_follow_the_senders_own_data() {
    exchange().play(&established(&[
        row("data in flight",               c(ACK, 1001, 5001).data(19), Established, "300 client+unacked"),
        row("and a RST right behind",       c(RST, 1020, 0),             Established, "CLOSE 10"),
    ]));
    exchange().play(&established(&[
        row("data in flight",               c(ACK, 1001, 5001).data(19), Established, "300 client+unacked"),
        row("the server speaks",            s(ACK, 5001, 1001).data(5),  Established, "300 server+unacked"),
        row("so the RST is not behind it",  c(RST, 1020, 0),             Established, "10 server-unacked"),
    ]));
    exchange().play(&established(&[
        row("the server's data",            s(ACK, 5001, 1001).data(10), Established, "300 server+unacked"),
        row("are nothing to go on with",    c(RST, 5011, 0),             Established, "10 client+unacked server-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_closing_flow_believes_every_reset() {
    exchange().play(&established(&[
        row("the client is done",           c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("a RST from anywhere",          s(RST, 123_456_789, 0),   Established, "CLOSE 10"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_reset_as_the_only_answer_leaves_nothing() {
    for (what, answer, then) in [
        ("refused",                         s(RST | ACK, 0, 1001),    "CLOSE gone server+max_ack"),
        ("refused, by a broken stack",      s(RST | ACK, 0, 0),       "CLOSE gone server+max_ack"),
        ("refused, without an ACK",         s(RST, 0, 0),             "CLOSE gone"),
        ("refused, with a number",          s(RST | ACK, 7777, 1001), "CLOSE gone server+max_ack"),
    ] {
        exchange().play(&[
            row("the client opens",         c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
            row(what,                       answer,                   Established, then),
            row("and nothing is known",     s(RST | ACK, 0, 1001),    Invalid("tcp_new"), ""),
            row("the client opens again",   c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        ]);
    }
    exchange().play(&[
        row("the client opens",             c(SYN, 1_000_000, 0),     New,         "SYN_SENT 120"),
        row("refused, by a broken stack",   s(RST | ACK, 0, 0),       Established, "CLOSE gone server+max_ack"),
    ]);
    exchange().play(&[
        row("the client opens",             c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("an answer to another SYN",     s(SYN | ACK, 500_000, 9999), Invalid("tcp_ack_over"), ""),
        row("refused, without a number",    s(RST | ACK, 0, 1001),    Established, "CLOSE gone server+max_ack"),
    ]);
    exchange().play(&[
        row("the client opens",             c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("a RST for something else",     s(RST | ACK, 0, 6001),    Invalid("tcp_ack_over"), ""),
        row("the client changes its mind",  c(RST, 1001, 0),          New,         "CLOSE gone"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_reset_during_the_handshake_closes() {
    let answered = [
        row("the client opens",             c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("the server answers",           s(SYN | ACK, 5000, 1001), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("below what was acknowledged",  c(RST, 900, 0),           Invalid("tcp_rst"), ""),
    ];
    for (what, reset, then) in [
        ("exact",                           c(RST, 1001, 0),          "CLOSE 10"),
        ("in window is enough",             c(RST, 1050, 0),          "CLOSE 10 client+unacked"),
        ("without a number",                c(RST, 0, 0),             "CLOSE 10"),
        ("from the server",                 s(RST, 5001, 0),          "CLOSE 10"),
    ] {
        exchange().play(&[&answered[..], &[row(what, reset, Established, then)]].concat());
    }
}

#[test]
#[rustfmt::skip]
fn a_flow_that_is_not_assured_is_closed_by_any_reset_in_window() {
    exchange().play(&[
        row("data out of nowhere",          c(ACK, 1001, 5001).data(10), New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("is answered",                  s(ACK, 5001, 1011),          Established, "300 +seen_reply server+max_ack"),
        row("below what was acknowledged",  c(RST, 1010, 0),             Invalid("tcp_rst"), ""),
        row("not exact",                    c(RST, 1050, 0),             Established, "CLOSE 10 client+unacked"),
    ]);
}

#[test]
#[rustfmt::skip]
fn settings_change_what_is_believed() {
    exchange().with("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", "1").play(&established(&[
        row("below what was acknowledged",  c(RST, 900, 0),           Established, "10"),
    ]));
    exchange().with("net.netfilter.nf_conntrack_tcp_be_liberal", "1").play(&established(&[
        row("below what was acknowledged",  c(RST, 900, 0),           Invalid("tcp_rst"), ""),
        row("far beyond the window",        c(RST, 9_000_000, 0),     Established, "10"),
    ]));
}

#[test]
fn a_reset_of_the_routers_own_closes() {
    let limits = Limits::default();
    let mut flow = crate::testkit::flow(c(SYN, 0, 0).tuple(tidegate_wire::Family::V4));
    flow.proto = ProtoState::Tcp(Tcp::default());
    close_by_reset(&mut flow, Instant::ZERO, &limits);
    assert_eq!(flow.proto.name(), Some(TcpState::Close.name()));
    assert_eq!(flow.deadline, Instant::ZERO + limits.timeouts.tcp.close.as_duration());

    let later = Instant::from_nanos(5);
    let before = flow.deadline;
    close_by_reset(&mut flow, later, &limits);
    assert_eq!(flow.deadline, before, "a flow that is closed already is not kept longer");
}
