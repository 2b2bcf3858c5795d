//! SYNs to a flow that exists: let through on suspicion, believed when answered, or the beginning
//! of the next flow.

use super::*;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::exchange;

/// A connection that was closed in good order, and then these rows.
#[rustfmt::skip]
fn closed(rows: &[Row]) -> Vec<Row> {
    let closing = [
        row("the client is done",           c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("the server too",               s(FIN | ACK, 5001, 1002), Established, "LAST_ACK 30 client-unacked server+unacked"),
        row("the last ACK",                 c(ACK, 1002, 5002),       Established, "TIME_WAIT 120 server-unacked"),
    ];
    established(&[&closing, rows].concat())
}

#[test]
#[rustfmt::skip]
fn time_wait_is_reopened_by_any_syn_of_either_side() {
    exchange().play(&closed(&[
        row("a SYN with a higher number",   c(SYN, 9000, 0),          New,         "again SYN_SENT 120"),
        row("is answered",                  s(SYN | ACK, 7000, 9001), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
    ]));
    exchange().play(&closed(&[
        row("a SYN with a lower number",    c(SYN, 7, 0),             New,         "again SYN_SENT 120"),
    ]));
    exchange().play(&closed(&[
        row("a SYN of the server's",        s(SYN, 9000, 0),          New,         "again SYN_SENT 120"),
        row("which the client answers",     c(SYN | ACK, 1, 9001),    Established, "SYN_RECV 60 +seen_reply client+max_ack"),
        row("and the server completes",     s(ACK, 9001, 2),          Established, "ESTABLISHED 432000 +assured server+max_ack"),
    ]));
}

#[test]
#[rustfmt::skip]
fn an_aborted_flow_is_reopened_by_the_side_that_aborted_it() {
    exchange().play(&established(&[
        row("the client aborts",            c(RST, 1001, 0),          Established, "CLOSE 10"),
        row("and begins anew",              c(SYN, 9000, 0),          New,         "again SYN_SENT 120"),
    ]));
    exchange().play(&established(&[
        row("the server aborts",            s(RST, 5001, 0),          Established, "CLOSE 10"),
        row("a SYN of its own is nothing",  s(SYN, 9000, 0),          Invalid("tcp_state"), ""),
        row("the client's SYN goes by",     c(SYN, 9000, 0),          Established, "ignored"),
        row("until the server answers",     s(SYN | ACK, 7000, 9001), Established, "SYN_RECV 60 client-max_ack"),
        row("and the client completes",     c(ACK, 9001, 7001),       Established, "ESTABLISHED 432000 client+max_ack"),
    ]));
    exchange().play(&closed(&[
        row("after a FIN it's all one",     s(RST, 5002, 0),          Established, "CLOSE 10"),
        row("who aborted",                  c(SYN, 9000, 0),          New,         "again SYN_SENT 120"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_syn_in_an_established_flow_goes_by() {
    let stray = [
        row("a SYN out of step",            c(SYN, 9000, 0).opts(&[3, 3, 7, 4, 2]), Established, "ignored"),
    ];
    exchange().play(&established(&[&stray[..], &[
        row("is not answered: all as ever", c(ACK, 1001, 5001).data(10), Established, "300 client+unacked"),
    ]].concat()));
    exchange().play(&established(&[&stray[..], &[
        row("the server answers it",        s(SYN | ACK, 7000, 9001).opts(&[3, 3, 2]), Established,
            "SYN_RECV 60 client-max_ack client+scale client+sack client.scale=7 server+scale server.scale=2"),
        row("and the client completes",     c(ACK, 9001, 7001),       Established, "ESTABLISHED 432000 client+max_ack"),
    ]].concat()));
    exchange().play(&established(&[&stray[..], &[
        row("a SYN/ACK of something else",  s(SYN | ACK, 7000, 9002), Established, "ignored"),
        row("and then the right one",       s(SYN | ACK, 7000, 9001), Established, "ignored"),
    ]].concat()));
    exchange().play(&established(&[&stray[..], &[
        row("the server resets it",         s(RST | ACK, 0, 9001),    Established, "CLOSE 10"),
    ]].concat()));
    exchange().play(&established(&[&stray[..], &[
        row("the server challenges it",     s(ACK, 5001, 1001),       Established, "432000"),
        row("the client resets",            c(RST, 1001, 0),          Established, "CLOSE 10"),
        row("and tries again",              c(SYN, 9000, 0),          New,         "again SYN_SENT 120"),
    ]].concat()));
    exchange().play(&established(&[
        row("a SYN of the server's",        s(SYN, 9000, 0),          Invalid("tcp_state"), ""),
    ]));
    exchange().play(&established(&[
        row("a SYN with a lower number",    c(SYN, 500, 0).win(0),    Established, "ignored"),
        row("the server answers it",        s(SYN | ACK, 7000, 501),  Established, "SYN_RECV 60 client-max_ack"),
        row("far beyond the new window",    c(ACK, 90_000, 7001),     Invalid("tcp_seq_over"), ""),
        row("beyond it, not the old one",   c(ACK, 10_502, 7001),     Established, "ignored client+unacked"),
    ]));
    exchange().play(&[
        row("data out of nowhere",          c(ACK, 1001, 5001).data(10), New,         "ESTABLISHED 300 client+sack client+liberal server+sack server+liberal"),
        row("is answered",                  s(ACK, 5001, 1011),          Established, "300 +seen_reply server+max_ack"),
        row("a SYN out of step",            c(SYN, 9000, 0),             Established, "ignored"),
        row("is answered: liberal no more", s(SYN | ACK, 7000, 9001).opts(&[3, 3, 2]), Established,
            "SYN_RECV 60 client-sack client-liberal server-sack server+scale"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_challenge_ack_is_not_the_last_ack() {
    exchange().play(&established(&[
        row("the client is done",           c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("the server too",               s(FIN | ACK, 5001, 1002), Established, "LAST_ACK 30 client-unacked server+unacked"),
        row("the client opens early",       c(SYN, 9000, 0),          Established, "ignored"),
        row("the server challenges",        s(ACK, 5002, 1002),       Established, "ignored"),
        row("a second ACK is the last one", s(ACK, 5002, 1002),       Established, "TIME_WAIT 120"),
    ]));
    exchange().play(&established(&[
        row("the client is done",           c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("the server too",               s(FIN | ACK, 5001, 1002), Established, "LAST_ACK 30 client-unacked server+unacked"),
        row("the client opens early",       c(SYN, 9000, 0),          Established, "ignored"),
        row("and the server answers",       s(SYN | ACK, 7000, 9001), Established, "SYN_RECV 60 client-close_init client-max_ack server-unacked"),
    ]));
    exchange().play(&established(&[
        row("the client is done",           c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("the server too",               s(FIN | ACK, 5001, 1002), Established, "LAST_ACK 30 client-unacked server+unacked"),
        row("the client opens early",       c(SYN, 9000, 0),          Established, "ignored"),
        row("something else goes by",       s(SYN | ACK, 7000, 9999), Established, "ignored"),
        row("so this is the last ACK",      c(ACK, 1002, 5002),       Established, "TIME_WAIT 120 server-unacked"),
    ]));
    exchange().play(&established(&[
        row("the server is done",           s(FIN | ACK, 5001, 1001), Established, "FIN_WAIT 120 server+close_init server+unacked"),
        row("the client too",               c(FIN | ACK, 1001, 5002), Established, "LAST_ACK 30 server-unacked client+unacked"),
        row("without a SYN it is the last", s(ACK, 5002, 1002),       Established, "TIME_WAIT 120 client-unacked"),
    ]));
}
