//! The windows: the four bounds, scaling, selective acknowledgement.

use super::*;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::exchange;

/// The bounds meet numbers that go round below zero.
fn below(number: u32, by: u32) -> u32 {
    number.wrapping_sub(by)
}

/// A handshake without scaling: the client may be 1000 octets ahead, the server 2000.
#[rustfmt::skip]
fn narrow(rows: &[Row]) -> Vec<Row> {
    let handshake = [
        row("the client opens",     c(SYN, 1000, 0).win(2000),          New,         "SYN_SENT 120"),
        row("the server answers",   s(SYN | ACK, 5000, 1001).win(1000), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client completes", c(ACK, 1001, 5001).win(2000),       Established, "ESTABLISHED 432000 +assured client+max_ack"),
    ];
    [&handshake, rows].concat()
}

#[test]
#[rustfmt::skip]
fn the_right_edge_of_the_window() {
    exchange().play(&narrow(&[
        row("I: all that is allowed",       c(ACK, 1001, 5001).data(1000), Established, "300 client+unacked"),
        row("I: starting at the edge",      c(ACK, 2001, 5001).data(10),   Established, "300"),
        row("I: starting past the edge",    c(ACK, 2002, 5001).data(10),   Established, "ignored"),
        row("which the server may take",    s(ACK, 5001, 2012).win(1000),  Established, "432000 client-unacked"),
        // The window counts as 1010 now: it proved to be larger than announced.
        row("I: a whole window too far",    c(ACK, 4011, 5001).data(10),   Established, "ignored client+unacked"),
        row("I: and one octet more",        c(ACK, 4012, 5001).data(10),   Invalid("tcp_seq_over"), ""),
        row("I: far away",                  c(ACK, 90_000, 5001).data(10), Invalid("tcp_seq_over"), ""),
        row("III: an ACK of what isn't",    s(ACK, 5001, 4022),            Invalid("tcp_ack_over"), ""),
        row("III: an ACK of all that is",   s(ACK, 5001, 4021).win(1000),  Established, "432000 client-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn the_left_edge_of_the_window() {
    exchange().play(&narrow(&[
        row("data",                         c(ACK, 1001, 5001).data(1000),    Established, "300 client+unacked"),
        row("its ACK",                      s(ACK, 5001, 2001).win(1000),     Established, "432000 client-unacked"),
        row("II: sent again",               c(ACK, 1001, 5001).data(1000),    Established, "432000"),
        row("II: the oldest that may be",   c(ACK, 1000, 5001).data(1),       Established, "432000"),
        row("II: older by an octet",        c(ACK, 999, 5001).data(1),        Established, "ignored"),
        row("IV: the oldest ACK",           s(ACK, 5001, below(2001, 66_000)), Established, "432000"),
        row("IV: older by an octet",        s(ACK, 5001, below(2001, 66_001)), Established, "ignored"),
        row("III comes before IV",          s(ACK, 5001, 2002),               Invalid("tcp_ack_over"), ""),
        row("I before the others",          c(ACK, 90_000, 90_000),           Invalid("tcp_seq_over"), ""),
    ]));
}

#[test]
#[rustfmt::skip]
fn an_overshoot_must_fit_otherwise() {
    exchange().play(&narrow(&[
        row("past the edge, and a wrong ACK", c(ACK, 2002, 5002).data(10),           Invalid("tcp_seq_over"), ""),
        row("past the edge, and an old ACK",  c(ACK, 2002, below(5001, 66_001)).data(10), Invalid("tcp_seq_over"), ""),
        row("past the edge alone",            c(ACK, 2002, 5001).data(10),           Established, "ignored client+unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_closed_window_lets_a_probe_through() {
    exchange().play(&narrow(&[
        row("all that is allowed",          c(ACK, 1001, 5001).data(1000), Established, "300 client+unacked"),
        row("and now nothing is",           s(ACK, 5001, 2001).win(0),    Established, "300 client-unacked"),
        row("an octet past the edge",       c(ACK, 2002, 5001).data(1),   Established, "300 client+unacked"),
        row("one more is too many",         c(ACK, 2004, 5001).data(1),   Established, "ignored"),
    ]));
    exchange().play(&[
        row("the client opens",             c(SYN, 1000, 0),               New,         "SYN_SENT 120"),
        row("a SYN/ACK without a window",   s(SYN | ACK, 5000, 1001).win(0), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("is a beginning all the same",  s(ACK, 9_000_000, 1001),       Invalid("tcp_seq_over"), ""),
    ]);
    exchange().play(&[
        row("a SYN without a window",       c(SYN, 1000, 0).win(0),        New,         "SYN_SENT 120"),
        row("is a beginning all the same",  s(SYN | ACK, 5000, 1001),      Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("of these numbers",             c(ACK, 9_000_000, 5001),       Invalid("tcp_seq_over"), ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_keep_alive_and_its_answer_fit() {
    exchange().play(&established(&[
        row("an octet below",               c(ACK, 1000, 5001),         Established, "432000"),
        row("is answered",                  s(ACK, 5001, 1001),         Established, "432000"),
        row("with an octet of rubbish",     s(ACK, 5000, 1001).data(1), Established, "432000"),
        row("is answered too",              c(ACK, 1001, 5001),         Established, "432000"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_liberal_tracker_believes_all() {
    exchange().with("net.netfilter.nf_conntrack_tcp_be_liberal", "1").play(&established(&[
        row("I",                            c(ACK, 9_000_000, 5001).data(10), Established, "432000"),
        row("II",                           c(ACK, below(1001, 90_000), 5001), Established, "432000"),
        row("III",                          s(ACK, 5001, 500_000),            Established, "432000"),
        row("IV",                           s(ACK, 5001, below(1001, 90_000)), Established, "432000"),
        row("a FIN from nowhere",           c(FIN | ACK, 9_000_000, 5001),    Established, "FIN_WAIT 120 client+close_init"),
    ]));
}

#[test]
#[rustfmt::skip]
fn windows_are_scaled_where_both_sides_scale() {
    exchange().play(&[
        row("the client scales by 7",       c(SYN, 1000, 0).opts(&[3, 3, 7]),                   New,         "SYN_SENT 120 client+scale client.scale=7"),
        row("the server by 9",              s(SYN | ACK, 5000, 1001).opts(&[3, 3, 9]).win(100), Established, "SYN_RECV 60 +seen_reply server+max_ack server+scale server.scale=9"),
        row("ten times 128 octets",         c(ACK, 1001, 5001).win(10),                         Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("a SYN's own is not scaled",    c(ACK, 1102, 5001).data(10),                        Established, "ignored client+unacked"),
        row("an ACK's is: 51200 octets",    s(ACK, 5001, 1001).win(100),                        Established, "300"),
        row("to the edge",                  c(ACK, 52_201, 5001).win(10),                       Established, "300"),
        row("the server, to its edge",      s(ACK, 6281, 1001).win(100).data(5),                Established, "300 server+unacked"),
    ]);
}

#[test]
#[rustfmt::skip]
fn one_sided_scaling_is_none() {
    exchange().play(&[
        row("only the client offers",       c(SYN, 1000, 0).opts(&[3, 3, 7]),         New,         "SYN_SENT 120 client+scale client.scale=7"),
        row("the server does not",          s(SYN | ACK, 5000, 1001).opts(&[1]),      Established, "SYN_RECV 60 +seen_reply server+max_ack client.scale=0"),
        row("ten octets are ten octets",    c(ACK, 1001, 5001).win(10),               Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("to the edge",                  s(ACK, 5001, 1001).data(10),              Established, "300 server+unacked"),
        row("and past it",                  s(ACK, 5012, 1001).data(10),              Established, "ignored"),
    ]);
    exchange().play(&[
        row("the client does not",          c(SYN, 1000, 0),                          New,         "SYN_SENT 120"),
        row("only the server offers",       s(SYN | ACK, 5000, 1001).opts(&[3, 3, 7]), Established, "SYN_RECV 60 +seen_reply server+max_ack server+scale"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_ack_may_be_as_old_as_the_largest_window() {
    exchange().play(&[
        row("the client scales",            c(SYN, 1000, 0).opts(&[3, 3, 7]),             New,         "SYN_SENT 120 client+scale client.scale=7"),
        row("the server too",               s(SYN | ACK, 5000, 1001).opts(&[3, 3, 7]),    Established, "SYN_RECV 60 +seen_reply server+max_ack server+scale server.scale=7"),
        row("1000 times 128 octets",        c(ACK, 1001, 5001).win(1000),                 Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("the oldest ACK",               c(ACK, 1001, below(5001, 128_000)).win(1000), Established, "432000"),
        row("older by an octet",            c(ACK, 1001, below(5001, 128_001)).win(1000), Established, "ignored"),
    ]);
}

/// A SACK option of these blocks.
fn sack(blocks: &[[u32; 2]]) -> Vec<u8> {
    let mut option = Vec::from([1, 1, 5, 2 + 8 * blocks.len() as u8]);
    option.extend(blocks.as_flattened().iter().flat_map(|edge| edge.to_be_bytes()));
    option
}

#[test]
#[rustfmt::skip]
fn selective_acknowledgements_count_where_they_were_permitted() {
    let in_flight = [
        row("the server permits them too",  s(SYN | ACK, 5000, 1001).opts(&[4, 2]), Established, "SYN_RECV 60 +seen_reply server+max_ack server+sack"),
        row("the client completes",         c(ACK, 1001, 5001),                     Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("data",                         c(ACK, 1001, 5001).data(100),           Established, "300 client+unacked"),
        row("more data",                    c(ACK, 1101, 5001).data(100),           Established, "300"),
        row("the first part is missing",    s(ACK, 5001, 1001).opts(&sack(&[[1101, 1201]])), Established, "300"),
    ];
    exchange().play(&[&[
        row("the client permits them",      c(SYN, 1000, 0).opts(&[4, 2]),          New,         "SYN_SENT 120 client+sack"),
    ], &in_flight[..], &[
        row("octets that never were",       s(ACK, 5001, 1001).opts(&sack(&[[1101, 1202]])), Invalid("tcp_ack_over"), ""),
        row("the highest edge counts",      s(ACK, 5001, 1001).opts(&sack(&[[1150, 1202], [1101, 1120]])), Invalid("tcp_ack_over"), ""),
        row("and only whole blocks do",     s(ACK, 5001, 1001).opts(&[5, 9, 0, 0, 0, 0, 0, 0, 9, 9]), Established, "300"),
    ]].concat());
    exchange().play(&[&[
        row("the client does not",          c(SYN, 1000, 0),                        New,         "SYN_SENT 120"),
    ], &in_flight[..], &[
        row("so the option is not read",    s(ACK, 5001, 1001).opts(&sack(&[[1101, 1202]])), Established, "300"),
    ]].concat());
}

#[test]
#[rustfmt::skip]
fn a_hole_makes_the_window_larger() {
    exchange().play(&[
        row("the client permits SACK",      c(SYN, 1000, 0).opts(&[4, 2]).win(2000),           New,         "SYN_SENT 120 client+sack"),
        row("the server answers",           s(SYN | ACK, 5000, 1001).win(1000),                Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client completes",         c(ACK, 1001, 5001).win(2000),                      Established, "ESTABLISHED 432000 +assured client+max_ack"),
        row("data",                         c(ACK, 1001, 5001).data(1000),                     Established, "300 client+unacked"),
        row("older than a window",          c(ACK, 900, 5001).data(50),                        Established, "ignored"),
        row("half of it is missing",        s(ACK, 5001, 1001).opts(&sack(&[[1501, 2001]])).win(1000), Established, "300"),
        row("a window and a hole",          c(ACK, 900, 5001).data(50),                        Established, "300"),
    ]);
}
