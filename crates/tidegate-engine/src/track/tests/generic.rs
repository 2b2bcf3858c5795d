//! Protocols without a tracker: addresses and one timeout.

use tidegate_wire::proto;

use super::script::Judged::{Established, Invalid, New};
use super::script::{exchange, quiet, row};
use crate::testkit::{Datagram, Host, other};

/// OSPF, which has no ports.
const OSPF: u8 = 89;

fn c(proto: u8) -> Datagram {
    other(Host::Client, proto, b"whatever it means")
}

fn s(proto: u8) -> Datagram {
    other(Host::Server, proto, b"and the answer")
}

#[test]
#[rustfmt::skip]
fn addresses_and_protocol_make_a_flow() {
    exchange().play(&[
        row("something",                    c(OSPF),        New,         "600"),
        row("more of it",                   c(OSPF),        New,         "600"),
        row("is answered",                  s(OSPF),        Established, "600 +seen_reply"),
        row("for long, but never assured",  c(OSPF),        Established, "600"),
        row("another protocol",             c(proto::ESP),  New,         "600"),
        row("DCCP has no tracker any more", c(proto::DCCP), New,         "600"),
        quiet("all ten minutes",            600, "gone"),
    ]);
}

#[test]
#[rustfmt::skip]
fn nothing_need_follow_the_ip_header() {
    exchange().with("net.netfilter.nf_conntrack_generic_timeout", "5").play(&[
        row("an empty datagram",            other(Host::Client, OSPF, b""), New, "5"),
    ]);
}

#[test]
#[rustfmt::skip]
fn the_other_familys_icmp_begins_nothing() {
    let ping_v4 = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    let ping_v6 = [128, 0, 0, 0, 0, 1, 0, 1];
    exchange().only(&[tidegate_wire::Family::V6]).play(&[
        row("ICMP over IPv6",               other(Host::Client, proto::ICMP, &ping_v4), Invalid("icmp_new"), ""),
        row("no next header",               other(Host::Client, proto::NO_NEXT_HEADER, &[]), Invalid("no_upper_layer"), ""),
    ]);
    exchange().only(&[tidegate_wire::Family::V4]).play(&[
        row("ICMPv6 over IPv4",             other(Host::Client, proto::ICMPV6, &ping_v6), Invalid("icmp_new"), ""),
    ]);
}
