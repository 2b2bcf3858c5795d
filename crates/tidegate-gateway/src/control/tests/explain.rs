//! What would become of a packet: asked by whoever may look, answered when somebody who knows the world comes by.

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::Packet;
use tidegate_wire::netlink::tidegate::{self, Attribute as Own};
use tidegate_wire::packet::ipv4::{self, Ipv4Repr};
use tidegate_wire::packet::udp::{self, UdpRepr};

use super::*;
use crate::replay::topology::{Passage, World};

/// A datagram of the flow that [`Lab::flow`] makes.
fn datagram(port: u16) -> Vec<u8> {
    let mut bytes = vec![0; ipv4::HEADER_LEN + udp::HEADER_LEN];
    let [src, dst] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Into::into);
    let (proto, payload_len) = (proto::UDP, udp::HEADER_LEN);
    let header =
        Ipv4Repr { src, dst, proto, ttl: 64, tos: 0, id: 0, dont_fragment: true, payload_len };
    header.emit(&mut bytes);
    UdpRepr { src_port: port, dst_port: 53, payload_len: 0 }.emit(&mut bytes[ipv4::HEADER_LEN..]);
    bytes
}

fn question(attributes: &[Own<'_>]) -> Vec<u8> {
    let kind = (Subsystem::Tidegate, tidegate::message::EXPLAIN);
    request(kind, Flags::DUMP, 0, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

fn passage() -> World {
    World::Passage(Passage::default())
}

impl Lab {
    /// Asks, and has whoever knows the world come by.
    fn explained(&mut self, id: SessionId, attributes: &[Own<'_>]) -> Result<String, i32> {
        let mut answers = self.ask(id, &question(attributes));
        let fib = passage();
        self.server.explain((&self.engine, self.now), &fib, |name| fib.port_of(name));
        answers.extend(messages(&self.datagrams(id)));
        if let Some(errno) = answers.iter().find_map(error_of) {
            return Err(errno);
        }
        assert!(answers.last().is_some_and(is_done), "{answers:?}");
        let mut text = String::new();
        for (header, payload) in &answers[..answers.len() - 1] {
            let message = tidegate_wire::netlink::Message { header: *header, payload };
            for attribute in tidegate::attributes(message.body().expect("a body").1) {
                let Own::Text(line) = attribute.expect("an attribute") else { panic!("a text") };
                text += str::from_utf8(line).expect("UTF-8");
            }
        }
        Ok(text)
    }
}

#[test]
fn a_packet_of_a_flow_is_explained_to_who_may_only_look() {
    let mut lab = Lab::new();
    lab.flow(tidegate_wire::Family::V4, 1000, ASSURED);
    let id = lab.server.open(Access::ReadOnly);
    let bytes = datagram(1000);
    let before = format!("{:?}", lab.engine.flows().collect::<Vec<_>>());
    let text = lab.explained(id, &[Own::Packet(&bytes)]).expect("an answer");
    assert_eq!(format!("{:?}", lab.engine.flows().collect::<Vec<_>>()), before);
    for part in ["in by in0\n  10.0.0.1:1000 > 10.0.0.2:53", "[ASSURED]", "would leave by out0"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let own = lab.explained(id, &[Own::Packet(&bytes), Own::Name(b"out0"), Own::Number(7)]);
    assert!(own.expect("an answer").starts_with("in by out0\n"));
}

/// What is told is what an engine tells by itself when the packet comes.
#[test]
fn the_steps_are_those_that_the_packet_takes() {
    let mut lab = Lab::new();
    let id = lab.admin();
    let mut bytes = datagram(1);
    let text = lab.explained(id, &[Own::Packet(&bytes)]).expect("an answer");
    let mut trace = tidegate_engine::trace::Trace::default();
    let mut packet = Packet::received(&mut bytes, PortId(0));
    lab.engine.process_traced(lab.now, &mut packet, &passage(), &mut trace);
    let steps = crate::text::Steps { steps: &trace.steps, fib: &passage() }.to_string();
    assert!(!steps.is_empty() && text.contains(&steps), "{text}\n{steps}");
}

/// Each row: what is wrong, what is asked, and the errno.
#[test]
fn questions_without_an_answer_are_refused() {
    let mut lab = Lab::new();
    let id = lab.admin();
    let bytes = datagram(1);
    let rows: [(&str, &[Own<'_>], i32); 3] = [
        ("no packet", &[], 22),
        ("no such port", &[Own::Packet(&bytes), Own::Name(b"eth9")], 19),
        ("what has no meaning here", &[Own::Packet(&bytes), Own::Count(1)], 95),
    ];
    for (what, attributes, errno) in rows {
        assert_eq!(lab.explained(id, attributes), Err(errno), "{what}");
    }
    assert!(lab.explained(id, &[Own::Packet(b"")]).is_ok_and(|text| text.contains("malformed")));
}

#[test]
fn a_question_waits_and_keeps_only_listings_out() {
    let mut lab = Lab::new();
    let id = lab.admin();
    let bytes = datagram(1);
    assert!(lab.ask(id, &question(&[Own::Packet(&bytes)])).is_empty());
    assert_eq!(lab.errno(id, &dump(0, &[])), 16, "one thing at a time");
    let stats =
        request((Subsystem::Conntrack, conntrack::message::GET_STATS), Flags::empty(), 0, |_| {});
    assert_eq!(lab.ask(id, &stats).len(), 1);
    let fib = passage();
    lab.server.explain((&lab.engine, lab.now), &fib, |name| fib.port_of(name));
    assert!(messages(&lab.datagrams(id)).last().is_some_and(is_done));
}
