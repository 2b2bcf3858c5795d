//! What a kernel refuses to make, and with which words.

use super::*;

pub(super) fn all() -> Vec<Request> {
    let udp = tuple(V4, proto::UDP, 99, 53);
    let [original, reply] = both(udp.clone());
    let timeout = Attribute::Timeout(60);
    let half =
        |attributes: &[Attribute<'_>], what| flow(what, message::NEW, CREATE, V4, attributes);
    let other_reply = Attribute::Reply(tuple(V4, proto::TCP, 1, 2));
    let no_port = Attribute::Original(Tuple { sport: None, ..udp.clone() });
    let no_source = Attribute::Original(Tuple { src: None, ..udp.clone() });
    let no_proto = Attribute::Original(Tuple { proto: None, ..udp.clone() });
    let taken = tuple(V4, proto::UDP, 1, 53);
    let short_mark = [0x06, 0, 8, 0, 1, 2, 0, 0];
    vec![
        half(&[original.clone(), reply.clone()], "no timeout"),
        half(&[original.clone(), timeout.clone()], "no reply"),
        half(&[reply.clone(), timeout.clone()], "no original"),
        half(std::slice::from_ref(&timeout), "no tuple"),
        half(&[original.clone(), other_reply, timeout.clone()], "two protocols"),
        half(&[no_port, reply.clone(), timeout.clone()], "no port"),
        half(&[no_source, reply.clone(), timeout.clone()], "no source"),
        half(&[no_proto, reply.clone(), timeout.clone()], "no protocol"),
        new("an error of ICMP", V4, icmp(V4, 3), &[]),
        new("not confirmed", V4, udp.clone(), &[Attribute::Status(4)]),
        new("dying", V4, udp.clone(), &[Attribute::Status(0x208)]),
        new("expected", V4, udp.clone(), &[Attribute::Status(9)]),
        new("translated by decree", V4, tuple(V4, proto::UDP, 98, 53), &[Attribute::Status(0x18)]),
        new("a helper that isn't", V4, udp.clone(), &[help("nobody")]),
        new("a helper of another protocol", V4, udp.clone(), &[help("ftp")]),
        new("no such master", V4, udp.clone(), &[Attribute::Master(udp.clone())]),
        new("a zone for each direction", V4, Tuple { zone: Some(6), ..udp.clone() }, &[]),
        new("two zones", V4, Tuple { zone: Some(6), ..udp.clone() }, &[Attribute::Zone(5)]),
        new("a tuple that is taken", V4, taken.clone(), &[]),
        new("taken from the other end", V4, back(&taken), &[]),
        new("no family", Family::ANY, udp.clone(), &[]),
        new("another family", V6, udp.clone(), &[]),
        new("a state that isn't", V4, tuple(V4, proto::TCP, 97, 1), &[tcp_state(17, None, None)]),
        new(
            "half a correction",
            V4,
            tuple(V4, proto::TCP, 96, 1),
            &[Attribute::SeqAdjReply(SeqAdj::default())],
        ),
        half_attribute("a mark that is too short", &short_mark),
        Request {
            what: "a number that isn't".to_owned(),
            bytes: build((Subsystem::Conntrack, 66), Flags::ACK, V4, |_| {}),
        },
    ]
}

/// A request to change a flow, with an attribute as bytes.
fn half_attribute(what: &str, attribute: &[u8]) -> Request {
    let mut bytes = flow(what, message::NEW, NONE, V4, &[]).bytes;
    bytes.extend_from_slice(attribute);
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    Request { what: what.to_owned(), bytes }
}
