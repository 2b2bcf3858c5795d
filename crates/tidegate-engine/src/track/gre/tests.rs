//! GRE: half a minute, three minutes once answered; and what tells flows apart.

use alloc::boxed::Box;

use super::*;
use crate::track::trial::{Payload, orig, play, play_under, reply};
use tidegate_wire::proto;

const IPV4: [u8; 4] = [0, 0, 8, 0];

fn packet(bytes: &'static [u8]) -> Payload {
    Box::new(|_, _| bytes.to_vec())
}

#[test]
#[rustfmt::skip]
fn an_answered_flow_is_a_stream_at_once() {
    play(proto::GRE, &[
        orig("a packet",                          packet(&IPV4), "30"),
        orig("another, still alone",              packet(&IPV4), "30"),
        reply("the first answer comes too late to count itself", packet(&IPV4), "30"),
        orig("from now on it is a conversation",  packet(&IPV4), "180 +assured"),
        reply("both ways",                        packet(&IPV4), "180"),
        orig("a cut header is as good",           packet(&[0]),  "180"),
    ]);
    let other = [
        ("net.netfilter.nf_conntrack_gre_timeout", "40"),
        ("net.netfilter.nf_conntrack_gre_timeout_stream", "170"),
    ];
    play_under(proto::GRE, &other, &[
        orig("a packet",                          packet(&IPV4), "40"),
        reply("its answer",                       packet(&IPV4), "40"),
        reply("a stream",                         packet(&IPV4), "170 +assured"),
    ]);
}

#[test]
fn keys() {
    type Keys = Result<Option<u16>, InvalidReason>;
    let rows: [(&str, &[u8], Keys); 7] = [
        ("version 0 has none", &IPV4, Ok(None)),
        ("even with a key", &[0x20, 0, 8, 0, 0, 0, 0, 77], Ok(None)),
        ("a call", &[0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34], Ok(Some(0x1234))),
        ("a call of something else", &[0x30, 1, 8, 0, 0, 4, 0, 5], Err(InvalidReason::GreProtocol)),
        ("a call cut short", &[0x30, 1, 8, 0, 0, 4, 0], Ok(None)),
        ("an unknown version", &[0x30, 2, 8, 0, 0, 4, 0, 5], Ok(None)),
        ("nothing at all", &[], Ok(None)),
    ];
    for (what, payload, want) in rows {
        assert_eq!(super::receiver_key(payload), want, "{what}");
    }
}
