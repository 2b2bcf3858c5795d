//! UDP: thirty seconds, two minutes for a stream, and what is no UDP.

use alloc::vec::Vec;

use super::script::Judged::{Established, Invalid, New};
use super::script::{Row, exchange, pause, quiet, row};
use crate::testkit::{Datagram, Host, udp};

fn c() -> Datagram {
    udp(Host::Client, 20)
}

fn s() -> Datagram {
    udp(Host::Server, 20)
}

#[test]
#[rustfmt::skip]
fn a_flow_that_nobody_answers_is_new_for_ever() {
    exchange().play(&[
        row("a query",                      c(), New, "30"),
        row("repeated",                     c(), New, "30"),
        quiet("almost half a minute",       29, ""),
        row("is too late at thirty",        c(), New, "30"),
        quiet("silence",                    30, "gone"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_query_and_its_answer_are_no_stream() {
    exchange().play(&[
        row("a query",                      c(), New,         "30"),
        row("its answer, a second later",   s(), Established, "30 +seen_reply"),
        row("still two seconds",            c(), Established, "30"),
        pause("a moment more",              1),
    ]);
    exchange().play(&[
        row("a query",                      c(), New,         "30"),
        quiet("its answer takes long",      20, ""),
        row("but is the first",             s(), Established, "30 +seen_reply"),
        row("the next packet tells",        s(), Established, "120 +assured"),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_flow_that_lives_on_is_a_stream() {
    exchange().play(&[
        row("a query",                      c(), New,         "30"),
        row("its answer",                   s(), Established, "30 +seen_reply"),
        row("after two seconds, no more",   c(), Established, "30"),
        row("after three: a stream",        c(), Established, "120 +assured"),
        row("of both sides",                s(), Established, "120"),
        quiet("two minutes less one",       119, ""),
        quiet("and it is over",             1, "gone"),
        row("the server opens another",     s(), New,         "30"),
    ]);
}

#[test]
#[rustfmt::skip]
fn two_seconds_are_measured_exactly() {
    let answered = [
        row("a query",                      c(), New,         "30"),
        row("its answer",                   s(), Established, "30 +seen_reply"),
    ];
    let at = |milliseconds, what, then| [pause("", milliseconds), row(what, c(), Established, then)];
    exchange().at_once().play(&[&answered[..], &at(2000, "at two seconds",  "30")].concat());
    exchange().at_once().play(&[&answered[..], &at(2001, "and after them", "120 +assured")].concat());
}

#[test]
#[rustfmt::skip]
fn settings_reach_a_flow_with_its_next_packet() {
    let tuned = exchange()
        .with("net.netfilter.nf_conntrack_udp_timeout", "7")
        .with("net.netfilter.nf_conntrack_udp_timeout_stream", "9");
    tuned.play(&[
        row("a query",                      c(), New,         "7"),
        row("its answer",                   s(), Established, "7 +seen_reply"),
        quiet("a while",                    3, ""),
        row("a stream",                     s(), Established, "9 +assured"),
    ]);
}

#[test]
#[rustfmt::skip]
fn what_is_no_udp() {
    let edited = |edit: fn(&mut Vec<u8>)| c().no_checksum().edited(edit);
    exchange().play(&[
        row("a wrong checksum",             c().corrupt(),                  Invalid("bad_checksum"), ""),
        row("a length beyond the end",      edited(|l4| l4[5] = 29),        Invalid("udp_length"), ""),
        row("a length below the header's",  edited(|l4| l4[5] = 7),         Invalid("udp_length"), ""),
        row("half a header",                edited(|l4| l4.truncate(7)),    Invalid("udp_short"), ""),
        row("not even ports",               edited(|l4| l4.truncate(3)),    Invalid("no_upper_layer"), ""),
    ]);
    for (what, odd) in [
        ("no checksum",                     c().no_checksum()),
        ("a length short of the end",       edited(|l4| l4[5] = 20)),
        ("no data at all",                  c().data(0)),
        ("port 0",                          c().ports(0, 0)),
    ] {
        exchange().play(&[row(what, odd, New, "30")]);
    }
    exchange().with("net.netfilter.nf_conntrack_checksum", "0").play(&[
        row("unless nobody looks",          c().corrupt(),                  New, "30"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_invalid_datagram_leaves_its_flow_alone() {
    exchange().play(&[
        row("a query",                      c(),           New,                     "30"),
        row("a spoilt answer",              s().corrupt(), Invalid("bad_checksum"), ""),
        row("so it is still unanswered",    c(),           New,                     "30"),
    ]);
}

#[test]
#[rustfmt::skip]
fn flows_are_told_apart_by_their_ports() {
    let rows: Vec<Row> = Vec::from([
        row("from one port",                c().ports(1000, 53), New,         "30"),
        row("from another",                 c().ports(1001, 53), New,         "30"),
        row("to another",                   c().ports(1000, 54), New,         "30"),
        row("the second is answered",       s().ports(53, 1001), Established, "30 +seen_reply"),
        row("the first is not",             c().ports(1000, 53), New,         "30"),
    ]);
    exchange().play(&rows);
}
