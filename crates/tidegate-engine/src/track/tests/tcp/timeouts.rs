//! Timeouts: each state's own, and the four reasons for a shorter one.

use super::*;
use crate::track::tests::script::Judged::Invalid;
use crate::track::tests::script::{exchange, quiet};

#[test]
#[rustfmt::skip]
fn data_in_flight_shortens_the_life_of_an_established_flow() {
    exchange().play(&established(&[
        row("the client's data",            c(ACK, 1001, 5001).data(100), Established, "300 client+unacked"),
        row("half of it acknowledged",      s(ACK, 5001, 1051),           Established, "300"),
        row("all of it",                    s(ACK, 5001, 1101),           Established, "432000 client-unacked"),
        row("the server's data",            s(ACK, 5001, 1101).data(100), Established, "300 server+unacked"),
        row("the client's too",             c(ACK, 1101, 5001).data(100), Established, "300 client+unacked"),
        row("one side is not enough",       c(ACK, 1201, 5101),           Established, "300 server-unacked"),
        row("both are",                     s(ACK, 5101, 1201),           Established, "432000 client-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_closed_window_shortens_it_too() {
    exchange().play(&established(&[
        row("the server's window closes",   s(ACK, 5001, 1001).win(0),    Established, "300"),
        row("a probe, which is refused",    c(ACK, 1000, 5001),           Established, "432000"),
        row("it is still closed",           s(ACK, 5001, 1001).win(0),    Established, "300"),
        row("it opens",                     s(ACK, 5001, 1001),           Established, "432000"),
    ]));
}

#[test]
#[rustfmt::skip]
fn so_does_the_same_ack_again_and_again() {
    exchange().play(&established(&[
        row("the ACK of the handshake",     c(ACK, 1001, 5001),           Established, "432000"),
        row("again",                        c(ACK, 1001, 5001),           Established, "432000"),
        row("the third repetition",         c(ACK, 1001, 5001),           Established, "300"),
        row("which comes before a RST's 10", c(RST, 1050, 0),             Established, "300 client+unacked"),
        row("an ACK of another kind",       s(ACK, 5001, 1050),           Established, "432000 client-unacked"),
        row("the same, with less window",   s(ACK, 5001, 1050).win(9999), Established, "432000"),
    ]));
    exchange().play(&established(&[
        row("the same data",                c(ACK, 1001, 5001).data(5),   Established, "300 client+unacked"),
        row("repeated",                     c(ACK, 1001, 5001).data(5),   Established, "300"),
        row("between, the server",          s(ACK, 5001, 1001),           Established, "300"),
        row("so the count begins anew",     c(ACK, 1001, 5001).data(5),   Established, "300"),
    ]));
    exchange()
        .with("net.netfilter.nf_conntrack_tcp_max_retrans", "1")
        .with("net.netfilter.nf_conntrack_tcp_timeout_max_retrans", "200")
        .play(&established(&[
        row("the first repetition",         c(ACK, 1001, 5001),           Established, "200"),
        row("states that are shorter stay", c(FIN | ACK, 1001, 5001),     Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("an ACK that is new",           s(ACK, 5001, 1002),           Established, "CLOSE_WAIT 60 client-unacked"),
    ]));
}

#[test]
#[rustfmt::skip]
fn a_window_that_no_ack_announced_yet_counts_as_closed() {
    exchange().with("net.netfilter.nf_conntrack_tcp_timeout_max_retrans", "17").play(&[
        row("the client opens",             c(SYN, 1000, 0),              New,         "SYN_SENT 17"),
        row("the server answers",           s(SYN | ACK, 5000, 1001),     Established, "SYN_RECV 17 +seen_reply server+max_ack"),
        row("the client completes",         c(ACK, 1001, 5001),           Established, "ESTABLISHED 432000 +assured client+max_ack"),
    ]);
}

#[test]
#[rustfmt::skip]
fn short_states_are_not_shortened() {
    exchange().play(&established(&[
        row("a FIN, with a closed window",  c(FIN | ACK, 1001, 5001).win(0), Established, "FIN_WAIT 120 client+close_init client+unacked"),
        row("its ACK, likewise",            s(ACK, 5001, 1002).win(0),       Established, "CLOSE_WAIT 60 client-unacked"),
        row("again",                        s(ACK, 5001, 1002).win(0),       Established, "60"),
        row("and again",                    s(ACK, 5001, 1002).win(0),       Established, "60"),
        row("and again",                    s(ACK, 5001, 1002).win(0),       Established, "60"),
    ]));
}

#[test]
#[rustfmt::skip]
fn ends_out_of_window_from_both_sides_shorten_it() {
    exchange().play(&established(&[
        row("the client's FIN, far off",    c(FIN | ACK, 500_000, 5001), Invalid("tcp_seq_over"), ""),
        row("once more",                    c(FIN | ACK, 500_000, 5001), Invalid("tcp_seq_over"), ""),
        row("the server's RST, far off",    s(RST, 900_000, 0),          Invalid("tcp_seq_over"), "300"),
        row("once more: not renewed",       s(RST, 900_000, 0),          Invalid("tcp_seq_over"), ""),
        row("a good packet sets it right",  c(ACK, 1001, 5001),          Established,             "432000"),
    ]));
    exchange().play(&established(&[
        quiet("the timers are set anew",    200, ""),
        row("the client's FIN, far off",    c(FIN | ACK, 500_000, 5001), Invalid("tcp_seq_over"), ""),
        row("the server's RST, far off",    s(RST, 900_000, 0),          Invalid("tcp_seq_over"), "300"),
        quiet("and that is the end of it",  300, "gone"),
    ]));
    exchange().play(&established(&[
        row("data, far off",                c(ACK, 500_000, 5001),       Invalid("tcp_seq_over"), ""),
        row("is no end",                    s(FIN | ACK, 900_000, 1001), Invalid("tcp_seq_over"), ""),
    ]));
    let short = exchange()
        .with("net.netfilter.nf_conntrack_tcp_timeout_established", "100")
        .with("net.netfilter.nf_conntrack_tcp_timeout_unacknowledged", "50");
    short.play(&[
        row("the client opens",     c(SYN, 1000, 0),          New,         "SYN_SENT 120"),
        row("the server answers",   s(SYN | ACK, 5000, 1001), Established, "SYN_RECV 60 +seen_reply server+max_ack"),
        row("the client completes", c(ACK, 1001, 5001),       Established, "ESTABLISHED 100 +assured client+max_ack"),
        row("the client's FIN, far off",    c(FIN | ACK, 500_000, 5001), Invalid("tcp_seq_over"), ""),
        row("the server's: it's over soon",  s(FIN | ACK, 900_000, 1001), Invalid("tcp_seq_over"), ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn every_state_has_its_own() {
    let tuned = || exchange()
        .with("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "11")
        .with("net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "12")
        .with("net.netfilter.nf_conntrack_tcp_timeout_established", "13")
        .with("net.netfilter.nf_conntrack_tcp_timeout_fin_wait", "14")
        .with("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "15")
        .with("net.netfilter.nf_conntrack_tcp_timeout_last_ack", "16")
        .with("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "17")
        .with("net.netfilter.nf_conntrack_tcp_timeout_close", "18");
    tuned().play(&[
        row("SYN_SENT",                     c(SYN, 1000, 0),          New,         "SYN_SENT 11"),
        row("SYN_RECV",                     s(SYN | ACK, 5000, 1001), Established, "SYN_RECV 12 +seen_reply server+max_ack"),
        row("ESTABLISHED",                  c(ACK, 1001, 5001),       Established, "ESTABLISHED 13 +assured client+max_ack"),
        row("FIN_WAIT",                     c(FIN | ACK, 1001, 5001), Established, "FIN_WAIT 14 client+close_init client+unacked"),
        row("CLOSE_WAIT",                   s(ACK, 5001, 1002),       Established, "CLOSE_WAIT 15 client-unacked"),
        row("LAST_ACK",                     s(FIN | ACK, 5001, 1002), Established, "LAST_ACK 16 server+unacked"),
        row("TIME_WAIT",                    c(ACK, 1002, 5002),       Established, "TIME_WAIT 17 server-unacked"),
        row("CLOSE",                        s(RST, 1, 0),             Established, "CLOSE 18"),
    ]);
    tuned().play(&[
        row("SYN_SENT",                     c(SYN, 1000, 0),          New,         "SYN_SENT 11"),
        row("the first SYN is not counted", s(SYN, 5000, 0),          Established, "SYN_SENT2 +seen_reply uncounted"),
        row("SYN_SENT2 has no setting",     s(SYN, 5000, 0),          Established, "120"),
    ]);
}
