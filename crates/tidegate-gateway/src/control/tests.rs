//! The server without a socket: what is asked, what is answered, what it costs.

mod events;
mod explain;
mod flows;
mod hostile;
mod others;
mod state;
mod team;

use std::time::Duration;

use tidegate_engine::command::{Change, Creation};
use tidegate_engine::flow::{FlowId, Status};
use tidegate_engine::limits::Limits;
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::{Tuple, Zone};
use tidegate_engine::{Engine, Settings};
use tidegate_wire::netlink::conntrack::{self, Attribute};
use tidegate_wire::netlink::frame::{Control, Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::{Messages, Writer};
use tidegate_wire::proto;

use super::{Access, Hangup, Server, SessionId};

/// A server and its engine.
struct Lab {
    engine: Engine,
    server: Server,
    now: Instant,
}

/// A message that came back: its header and payload.
type Answer = (Header, Vec<u8>);

impl Lab {
    fn new() -> Self {
        Self::with(Limits { acct: true, timestamp: true, ..Limits::default() }, 1000)
    }

    fn with(limits: Limits, backlog: usize) -> Self {
        let now = Instant::ZERO + Duration::from_secs(100);
        let engine = Engine::new(Settings { limits, seed: 1, start: now, ..Settings::default() });
        Self { engine, server: Server::new(backlog), now }
    }

    fn admin(&mut self) -> SessionId {
        self.server.open(Access::Admin)
    }

    /// Makes a UDP flow with this source port.
    fn flow(&mut self, family: tidegate_wire::Family, port: u16, with: Change<'_>) -> FlowId {
        let orig = Tuple { sport: port, ..tuple(family) };
        let with = Change { timeout: with.timeout.or(Some(100)), ..with };
        let reply = orig.invert().expect("an answer");
        let creation =
            Creation { orig, reply, zone: Zone::default(), with, nat: [None; 2], master: None };
        self.engine.create(self.now, &creation).expect("made")
    }

    /// Makes one of each of these ports.
    fn flows(
        &mut self,
        family: tidegate_wire::Family,
        ports: std::ops::RangeInclusive<u16>,
        with: Change<'_>,
    ) {
        for port in ports {
            self.flow(family, port, with);
        }
    }

    /// All datagrams that answer one.
    fn exchange(&mut self, id: SessionId, datagram: &[u8]) -> Result<Vec<Vec<u8>>, Hangup> {
        self.server.receive(&mut self.engine, self.now, id, datagram)?;
        Ok(self.datagrams(id))
    }

    /// All that is there to be sent.
    fn datagrams(&mut self, id: SessionId) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let is_more = self.server.work(&mut self.engine, self.now);
            while let Some(datagram) = self.server.next_for(id) {
                all.push(datagram.to_vec());
                self.server.sent(id);
            }
            if !is_more && !self.server.has_for(id) {
                let again = self.server.work(&mut self.engine, self.now);
                if !again && !self.server.has_for(id) {
                    return all;
                }
            }
        }
    }

    /// All messages that answer a request.
    fn ask(&mut self, id: SessionId, request: &[u8]) -> Vec<Answer> {
        messages(&self.exchange(id, request).expect("a message"))
    }

    /// The errno that answers a request; 0 is an acknowledgement.
    fn errno(&mut self, id: SessionId, request: &[u8]) -> i32 {
        let answers = self.ask(id, request);
        let codes: Vec<_> = answers.iter().filter_map(error_of).collect();
        assert_eq!(codes.len(), 1, "{answers:?}");
        codes[0]
    }
}

fn messages(datagrams: &[Vec<u8>]) -> Vec<Answer> {
    let all = datagrams.iter().flat_map(|datagram| Messages::new(datagram));
    all.map(|message| message.expect("a whole message"))
        .map(|message| (message.header, message.payload.to_vec()))
        .collect()
}

fn error_of((header, payload): &Answer) -> Option<i32> {
    match (tidegate_wire::netlink::Message { header: *header, payload }).control() {
        Some(Control::Error(errno)) => Some(errno),
        _ => None,
    }
}

fn is_done((header, payload): &Answer) -> bool {
    let message = tidegate_wire::netlink::Message { header: *header, payload };
    message.control() == Some(Control::Done(0))
}

fn tuple(family: tidegate_wire::Family) -> Tuple {
    let [src, dst] = match family {
        tidegate_wire::Family::V4 => ["10.0.0.1", "10.0.0.2"],
        tidegate_wire::Family::V6 => ["fd00::1", "fd00::2"],
    }
    .map(|addr| addr.parse().expect("an address"));
    Tuple { src, dst, sport: 1000, dport: 53, proto: proto::UDP }
}

/// The original tuple of the flow that [`Lab::flow`] makes.
fn original(family: tidegate_wire::Family, port: u16) -> Attribute<'static> {
    Attribute::Original(super::tuple::told(&Tuple { sport: port, ..tuple(family) }))
}

fn reply(family: tidegate_wire::Family, port: u16) -> Attribute<'static> {
    let tuple = Tuple { sport: port, ..tuple(family) }.invert().expect("an answer");
    Attribute::Reply(super::tuple::told(&tuple))
}

/// The port that the lab's clients say they are.
const PORT: u32 = 4711;

fn request(
    (subsystem, number): (Subsystem, u8),
    flags: Flags,
    family: u8,
    write: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let kind = Header::kind_of(subsystem, number);
    let header = Header { kind, flags: Flags::REQUEST | flags, seq: 77, pid: PORT };
    let mut out = Vec::new();
    let family = Family { family, ..Family::default() };
    Writer::new(&mut out).message(header, family, write);
    out
}

/// A request about flows with these attributes.
fn about(number: u8, flags: Flags, family: u8, attributes: &[Attribute<'_>]) -> Vec<u8> {
    request((Subsystem::Conntrack, number), flags, family, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    })
}

fn dump(family: u8, attributes: &[Attribute<'_>]) -> Vec<u8> {
    about(conntrack::message::GET, Flags::DUMP, family, attributes)
}

/// What is said of a flow.
fn attributes(answer: &Answer) -> Vec<Attribute<'_>> {
    let message = tidegate_wire::netlink::Message { header: answer.0, payload: &answer.1 };
    let (_, attrs) = message.body().expect("a body");
    conntrack::attributes(attrs).map(|attribute| attribute.expect("an attribute")).collect()
}

/// The source ports of the flows that answer, in order.
fn ports(answers: &[Answer]) -> Vec<u16> {
    let told = answers.iter().filter(|(header, _)| header.kind >> 8 == 1);
    let mut ports: Vec<u16> = told
        .filter_map(|answer| {
            attributes(answer).into_iter().find_map(|attribute| match attribute {
                Attribute::Original(tuple) => tuple.sport,
                _ => None,
            })
        })
        .collect();
    ports.sort_unstable();
    ports
}

const ASSURED: Change<'static> = Change {
    helper: None,
    timeout: None,
    status: Some(Status::CONFIRMED.union(Status::ASSURED).union(Status::SEEN_REPLY)),
    proto: tidegate_engine::command::ProtoChange::None,
    mark: None,
    corrections: [None; 2],
    labels: None,
    secmark: None,
};
