//! What is sent to do harm: it is answered with an error, or ends the connection, and changes nothing.

use tidegate_engine::rand::Rng;
use tidegate_wire::Family::{V4, V6};

use super::*;

/// Requests of every kind, each of them in order.
fn good(rng: &mut Rng) -> Vec<u8> {
    let subsystems = [1, 2, 8, 127, 1, 1];
    let kind = subsystems[rng.below(6) as usize] << 8 | rng.below(12) as u16;
    let flags = Flags::from_bits_retain(rng.u16() & 0xf0c | 1);
    let header = Header { kind, flags, seq: rng.next_u32(), pid: 0 };
    let family = Family { family: [0, 2, 10, 7][rng.below(4) as usize], ..Family::default() };
    let mut out = Vec::new();
    Writer::new(&mut out).message(header, family, |writer| {
        for _ in 0..rng.below(6) {
            some_attribute(rng, writer);
        }
    });
    out
}

fn some_attribute(rng: &mut Rng, writer: &mut Writer<'_>) {
    let family = if rng.below(2) == 0 { V4 } else { V6 };
    match rng.below(8) {
        0 => original(family, 7).write(writer),
        1 => reply(family, 7).write(writer),
        2 => Attribute::Timeout(rng.next_u32()).write(writer),
        3 => Attribute::Status(rng.next_u32()).write(writer),
        4 => Attribute::Mark(rng.next_u32()).write(writer),
        5 => {
            Attribute::Labels(&rng.next_u64().to_ne_bytes()[..rng.below(9) as usize]).write(writer)
        }
        6 => writer.nest(rng.below(30) as u16, |writer| {
            let value = rng.next_u64().to_ne_bytes();
            let value = &value[..rng.below(9) as usize];
            let kind = rng.below(12) as u16;
            writer.attr(tidegate_wire::netlink::Attr { kind, nested: false, value });
        }),
        _ => {
            let value = rng.next_u64().to_ne_bytes();
            let value = &value[..rng.below(9) as usize];
            let kind = rng.below(30) as u16;
            writer.attr(tidegate_wire::netlink::Attr { kind, nested: false, value });
        }
    }
}

/// Damages a request: cuts it, lies about a length, or changes bytes.
fn damaged(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good(rng);
    match rng.below(12) {
        0 => bytes.truncate(rng.below(bytes.len() as u32) as usize),
        1 => bytes[..4].copy_from_slice(&rng.next_u32().to_ne_bytes()),
        2 => bytes[..4].copy_from_slice(&(rng.below(40)).to_ne_bytes()),
        3 => bytes = (0..rng.below(300)).map(|_| rng.u16() as u8).collect(),
        _ => {
            for _ in 0..=rng.below(8) {
                let at = 4 + rng.below(bytes.len() as u32 - 4) as usize;
                bytes[at] = rng.u16() as u8;
            }
        }
    }
    bytes
}

fn everything(lab: &Lab) -> String {
    let flows: Vec<String> = lab.engine.flows().map(|flow| format!("{flow:?}")).collect();
    format!("{flows:?} {:?} {:?}", lab.engine.limits(), lab.engine.expectations_from(0).count())
}

fn populated() -> Lab {
    let mut lab = Lab::new();
    for family in [V4, V6] {
        lab.flows(family, 1..=20, ASSURED);
    }
    lab
}

#[test]
fn a_thousand_damaged_messages_are_answered_or_end_the_connection() {
    let mut rng = Rng::new(0x7469_6465);
    let mut lab = populated();
    let before = everything(&lab);
    let (mut refused, mut ended, mut meant) = (0, 0, 0);
    for number in 0..1000 {
        let bytes = damaged(&mut rng);
        let id = lab.server.open(Access::ReadOnly);
        match lab.exchange(id, &bytes) {
            Err(Hangup) => ended += 1,
            Ok(datagrams) => {
                let answers = messages(&datagrams);
                let is_refused =
                    answers.iter().any(|answer| error_of(answer).is_some_and(|e| e != 0));
                // What is still a request, in spite of all, is done.
                if is_refused {
                    refused += 1
                } else {
                    meant += 1
                }
                assert!(
                    answers.iter().all(|(header, _)| header.kind != 0),
                    "{number}: {bytes:02x?}"
                );
            }
        }
        lab.server.close(id);
    }
    assert!(refused > 500 && ended > 200 && meant < 100, "{refused}, {ended}, {meant}");
    assert_eq!(everything(&lab), before, "who may only look changes nothing");
    assert_eq!(lab.server.count(), 0);
}

#[test]
fn who_may_do_everything_does_no_harm_to_the_server_either() {
    let mut rng = Rng::new(99);
    let mut lab = populated();
    let mut id = lab.admin();
    for _ in 0..2000 {
        let bytes = if rng.below(2) == 0 { good(&mut rng) } else { damaged(&mut rng) };
        if lab.exchange(id, &bytes).is_err() {
            lab.server.close(id);
            id = lab.admin();
        }
        lab.now += Duration::from_millis(10);
        let _ = lab.engine.next_deadline();
    }
    let fresh = lab.admin();
    let answers = lab.ask(fresh, &dump(Family::ANY, &[]));
    assert!(is_done(answers.last().expect("an end")), "it still answers");
    assert_eq!(answers.len() - 1, lab.engine.flows().count());
}

/// Each row: what is no message at all.
#[test]
fn what_cannot_be_framed_ends_the_connection() {
    let rows: [(&str, Vec<u8>); 5] = [
        ("nothing", vec![]),
        ("a byte", vec![1]),
        ("half a header", vec![16, 0, 0, 0, 1, 1]),
        ("a length below a header's", [vec![15, 0, 0, 0], vec![0; 12]].concat()),
        ("a length beyond the end", [vec![200, 0, 0, 0], vec![0; 60]].concat()),
    ];
    for (what, bytes) in rows {
        let mut lab = Lab::new();
        let id = lab.admin();
        let done = lab.server.receive(&mut lab.engine, lab.now, id, &bytes);
        assert_eq!(done, Err(Hangup), "{what}");
        let first = [dump(Family::ANY, &[]), bytes].concat();
        let id = lab.admin();
        let done = lab.server.receive(&mut lab.engine, lab.now, id, &first);
        assert_eq!(done.is_err(), what != "nothing", "{what}, behind a request");
    }
}

/// Each row: a request that a kernel would pass over in silence, or refuse, and the errno.
#[test]
fn what_is_no_request_is_refused() {
    let get = conntrack::message::GET;
    let no_request = |bytes: Vec<u8>| {
        let mut bytes = bytes;
        bytes[6] &= !1;
        bytes
    };
    let kind = |kind: u16| {
        let mut bytes = dump(Family::ANY, &[]);
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes
    };
    let short = {
        let mut bytes = dump(Family::ANY, &[]);
        bytes.truncate(16);
        bytes[0] = 16;
        bytes
    };
    let rows = [
        ("no request", no_request(dump(Family::ANY, &[])), 22),
        ("a control message", kind(3), 22),
        ("the beginning of a batch", kind(16), 22),
        ("another subsystem", kind(0x0a01), 22),
        ("another number", kind(0x0142), 22),
        ("no family", short, 22),
        ("neither all nor one", about(get, Flags::empty(), Family::V4, &[]), 22),
    ];
    for (what, bytes, errno) in rows {
        let mut lab = Lab::new();
        let id = lab.admin();
        assert_eq!(lab.errno(id, &bytes), errno, "{what}");
    }
}
