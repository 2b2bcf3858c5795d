//! ICMPv6 where it differs from ICMP: neighbours, listeners, unknown errors, redirects.

use tidegate_wire::Family;

use super::script::Judged::{Error, Established, Invalid, New, Related, Untracked};
use super::script::{Exchange, exchange, row};
use crate::testkit::{Datagram, Host, icmp, udp, unreachable};

fn exchange_v6() -> Exchange {
    exchange().only(&[Family::V6])
}

fn query() -> Datagram {
    udp(Host::Client, 40)
}

#[test]
fn every_type() {
    for kind in (0..=u8::MAX).filter(|kind| ![128, 139].contains(kind)) {
        let judged = match kind {
            0..=127 => Error("icmp_unrelated"),
            130..=136 | 143 | 151 | 152 => Untracked,
            129 | 140 => Invalid("icmp_new"),
            137 => Error("icmp_redirect"),
            _ => Invalid("not_answerable"),
        };
        let message = icmp(Host::Client, kind, 0, 5 << 16).data(40);
        exchange_v6().play(&[row("any type", message, judged, "")]);
    }
}

#[test]
#[rustfmt::skip]
fn node_information_is_asked_for_and_given() {
    exchange_v6().play(&[
        row("a question",                   icmp(Host::Client, 139, 0, 5 << 16), New,         "30"),
        row("its answer",                   icmp(Host::Server, 140, 0, 5 << 16), Established, "30 +seen_reply"),
    ]);
}

#[test]
#[rustfmt::skip]
fn neighbours_and_listeners_are_not_tracked() {
    exchange_v6().play(&[
        row("a solicitation to the group",  icmp(Host::Client, 135, 0, 0).data(16).to(Host::Group),  Untracked, ""),
        row("an advertisement to us",       icmp(Host::Client, 136, 0, 0).data(16).to(Host::Router), Untracked, ""),
        row("a listener's report",          icmp(Host::Client, 143, 0, 0).data(20).to(Host::Group),  Untracked, ""),
        row("a spoilt one is INVALID",      icmp(Host::Client, 135, 0, 0).data(16).to(Host::Group).corrupt(), Error("bad_checksum"), ""),
        row("so is one that is cut",        icmp(Host::Client, 135, 0, 0).edited(|l4| l4.truncate(7)), Error("icmp_short"), ""),
    ]);
}

#[test]
#[rustfmt::skip]
fn an_error_of_a_kind_that_nobody_knows_is_one() {
    let about = |kind| unreachable(Host::Between, &query()).kind(kind);
    exchange_v6().play(&[
        row("a query",                      query(),    New,     "30"),
        row("unreachable",                  about(1),   Related, ""),
        row("packet too big",               about(2),   Related, ""),
        row("time exceeded",                about(3),   Related, ""),
        row("parameter problem",            about(4),   Related, ""),
        row("whatever 100 may be",          about(100), Related, ""),
    ]);
}

/// A redirect about the client's query, with this option type and length in front of the quote.
fn redirect(option: [u8; 2]) -> Datagram {
    let mut lead = [0; 40];
    lead[32..34].copy_from_slice(&option);
    unreachable(Host::Neighbour, &query()).kind(137).lead(&lead).ttl(255)
}

#[test]
#[rustfmt::skip]
fn a_redirect_quotes_in_an_option() {
    exchange_v6().play(&[
        row("a query",                      query(),                 New,                    "30"),
        row("redirected",                   redirect([4, 12]),       Related,                ""),
        row("by no neighbour",              redirect([4, 12]).ttl(254), Error("icmp_redirect"), ""),
        row("by no router on the link",     icmp(Host::Between, 137, 0, 0).to(Host::Client).data(48).ttl(255), Error("icmp_redirect"), ""),
        row("without options",              icmp(Host::Neighbour, 137, 0, 0).to(Host::Client).data(32).ttl(255), Error("icmp_redirect_options"), ""),
        row("with an option of no length",  redirect([4, 0]),        Error("icmp_redirect_options"), ""),
        row("with another option first",    redirect([2, 1]),        Invalid("not_answerable"), ""),
        row("with a code",                  icmp(Host::Neighbour, 137, 1, 0).to(Host::Client).data(48).ttl(255), Invalid("not_answerable"), ""),
        row("cut in its header",            icmp(Host::Neighbour, 137, 0, 0).to(Host::Client).data(31).ttl(255), Error("icmp_short_redirect"), ""),
    ]);
}
