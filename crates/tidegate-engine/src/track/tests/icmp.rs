//! ICMP and what the two families have in common: queries, answers, and errors about other flows.

use tidegate_wire::Family;
use tidegate_wire::packet::tcp::TcpFlags;

use super::script::Judged::{Error, Established, Invalid, New, Related};
use super::script::{exchange, quiet, row};
use crate::testkit::{Datagram, Host, icmp, other, ping, pong, tcp, udp, unreachable};

const V4: &[Family] = &[Family::V4];

#[test]
#[rustfmt::skip]
fn a_ping_and_its_answers() {
    exchange().play(&[
        row("a request",                    ping(Host::Client, 5), New,         "30"),
        row("unanswered yet",               ping(Host::Client, 5), New,         "30"),
        row("answered",                     pong(Host::Server, 5), Established, "30 +seen_reply"),
        row("twice",                        pong(Host::Server, 5), Established, "30"),
        row("the next, for long",           ping(Host::Client, 5), Established, "30"),
        row("another identifier",           ping(Host::Client, 6), New,         "30"),
        row("the same from the other side", ping(Host::Server, 5), New,         "30"),
        row("is a flow of its own",         pong(Host::Client, 5), Established, "30 +seen_reply"),
        quiet("half a minute",              30, "gone"),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_answer_to_nothing_is_invalid() {
    exchange().play(&[
        row("an unsolicited answer",        pong(Host::Server, 5), Invalid("icmp_new"), ""),
        row("a request",                    ping(Host::Client, 5), New,                 "30"),
        row("answered by its own sender",   pong(Host::Client, 5), Invalid("icmp_new"), ""),
        row("answered as another",          pong(Host::Server, 6), Invalid("icmp_new"), ""),
        row("answered wrongly",             pong(Host::Server, 5).corrupt(), Error("bad_checksum"), ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn settings_and_checksums() {
    exchange()
        .with("net.netfilter.nf_conntrack_icmp_timeout", "3")
        .with("net.netfilter.nf_conntrack_icmpv6_timeout", "3")
        .play(&[
        row("a request",                    ping(Host::Client, 5),           New, "3"),
    ]);
    exchange().with("net.netfilter.nf_conntrack_checksum", "0").play(&[
        row("a spoilt request",             ping(Host::Client, 5).corrupt(), New, "30"),
    ]);
}

#[test]
#[rustfmt::skip]
fn requests_of_other_kinds_have_their_answers() {
    for (what, request, answer) in [("timestamp", 13, 14), ("information", 15, 16), ("mask", 17, 18)] {
        exchange().only(V4).play(&[
            row(what,                       icmp(Host::Client, request, 0, 5 << 16).data(4), New,         "30"),
            row("answered",                 icmp(Host::Server, answer, 0, 5 << 16).data(4),  Established, "30 +seen_reply"),
            row("answered to the other",    icmp(Host::Client, answer, 0, 5 << 16).data(4),  Invalid("icmp_new"), ""),
        ]);
    }
    exchange().only(V4).play(&[
        row("a code is part of the tuple",  icmp(Host::Client, 8, 3, 5 << 16), New,         "30"),
        row("on the way back too",          icmp(Host::Server, 0, 3, 5 << 16), Established, "30 +seen_reply"),
    ]);
}

#[test]
fn every_type_without_an_answer_is_invalid() {
    let begins = [8, 13, 15, 17];
    let answers = [0, 14, 16, 18];
    let errors = [3, 4, 5, 11, 12];
    for kind in (0..=u8::MAX).filter(|kind| !begins.contains(kind)) {
        let judged = match kind {
            _ if answers.contains(&kind) => Invalid("icmp_new"),
            _ if errors.contains(&kind) => Error("icmp_unrelated"),
            0..=18 => Invalid("not_answerable"),
            19.. => Error("icmp_type"),
        };
        let message = icmp(Host::Client, kind, 0, 5 << 16).data(28);
        exchange().only(V4).play(&[row("any type", message, judged, "")]);
    }
}

fn query() -> Datagram {
    udp(Host::Client, 40)
}

#[test]
#[rustfmt::skip]
fn an_error_is_related_to_what_it_quotes_and_changes_nothing() {
    exchange().play(&[
        row("a query",                      query(),                                        New,         "30"),
        row("refused by the server",        unreachable(Host::Server, &query()),            Related,     ""),
        row("refused by a router between",  unreachable(Host::Between, &query()),           Related,     ""),
        row("ports are quote enough",       unreachable(Host::Server, &query()).quoting(4), Related,     ""),
        row("the query is still unanswered", query(),                                       New,         "30"),
        row("about an answer never seen",   unreachable(Host::Client, &udp(Host::Server, 9)), Related,   ""),
        row("the answer",                   udp(Host::Server, 9),                           Established, "30 +seen_reply"),
        row("refused, as the server sees",  unreachable(Host::Between, &udp(Host::Server, 9)), Related,  ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_may_be_about_any_protocol() {
    let segment = || tcp(Host::Client, TcpFlags::SYN, 1000, 0);
    let elsewhere = || tcp(Host::Client, TcpFlags::ACK, 77_777_777, 1);
    exchange().play(&[
        row("a SYN",                        segment(),                                  New,     "SYN_SENT 120"),
        row("refused",                      unreachable(Host::Between, &segment()),     Related, ""),
        row("numbers are not compared",     unreachable(Host::Between, &elsewhere()),   Related, ""),
        row("a request",                    ping(Host::Client, 5),                      New,     "30"),
        row("refused",                      unreachable(Host::Between, &ping(Host::Client, 5)), Related, ""),
        row("eight octets are enough",      unreachable(Host::Between, &ping(Host::Client, 5)).quoting(8), Related, ""),
        row("seven are not",                unreachable(Host::Between, &ping(Host::Client, 5)).quoting(7), Error("icmp_unrelated"), ""),
        row("something without ports",      other(Host::Client, 89, b"data"),           New,     "600"),
        row("refused",                      unreachable(Host::Between, &other(Host::Client, 89, b"data")), Related, ""),
        row("an IP header is enough there", unreachable(Host::Between, &other(Host::Client, 89, b"data")).quoting(0), Related, ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_that_fits_nothing_is_invalid() {
    exchange().play(&[
        row("about an unknown flow",        unreachable(Host::Server, &query()),                     Error("icmp_unrelated"), ""),
        row("a query",                      query(),                                                 New, "30"),
        row("about other ports",            unreachable(Host::Server, &query().ports(40_000, 81)),   Error("icmp_unrelated"), ""),
        row("quoting an IP header only",    unreachable(Host::Server, &query()).quoting(0),          Error("icmp_unrelated"), ""),
        row("quoting half the ports",       unreachable(Host::Server, &query()).quoting(3),          Error("icmp_unrelated"), ""),
        row("with a wrong checksum",        unreachable(Host::Server, &query()).corrupt(),           Error("bad_checksum"), ""),
        row("sent to somebody else",        unreachable(Host::Client, &query()).to(Host::Between),   Error("icmp_outer_address"), ""),
        row("about an error",               unreachable(Host::Server, &unreachable(Host::Client, &udp(Host::Server, 9))), Error("icmp_unrelated"), ""),
    ]);
    exchange().only(V4).play(&[
        row("a query",                      query(), New, "30"),
        row("quoting a later fragment",     unreachable(Host::Server, &query()).edited(|l4| l4[8 + 7] = 1), Error("icmp_unrelated"), ""),
        row("quoting a first fragment",     unreachable(Host::Server, &query()).edited(|l4| l4[8 + 6] = 0x20), Related, ""),
        row("quoting a version that nobody looks at", unreachable(Host::Server, &query()).edited(|l4| l4[8] = 0x75), Related, ""),
        row("cut in its own header",        unreachable(Host::Server, &query()).edited(|l4| l4.truncate(7)), Error("icmp_short"), ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn every_kind_of_error_is_one() {
    for kind in [3, 4, 5, 11, 12] {
        exchange().only(V4).play(&[
            row("a query",                  query(), New, "30"),
            row("and any error about it",   unreachable(Host::Between, &query()).kind(kind), Related, ""),
        ]);
    }
}
