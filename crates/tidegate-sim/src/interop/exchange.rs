//! The same requests to the kernel and to a server: every answer and every event, byte by byte.
//!
//! Before they are compared, messages are read and written again with what can't be the same put to zero: numbers of
//! flows, times, and the requester's port. Seconds that are left are rounded up to hundreds.

use std::thread;
use std::time::Duration;

use tidegate_engine::limits::Limits;
use tidegate_engine::time::Instant;
use tidegate_engine::{Engine, Settings};
use tidegate_gateway::control::{Access, Server, SessionId};
use tidegate_wire::netlink::conntrack::{self, Attribute, Timestamp};
use tidegate_wire::netlink::frame::{Control, Header, Subsystem};
use tidegate_wire::netlink::{Message, Messages, Writer, expect, stats};

use super::namespace::{self, Kernel, SETTINGS};
use super::requests::{Request, all, joining};
use super::{Failure, Report};

/// Compares both on all requests.
///
/// # Errors
/// The kernel can't be asked.
pub fn compare() -> Result<Report, Failure> {
    let run = || -> Result<Report, Failure> {
        namespace::enter(&SETTINGS)?;
        let mut sides = Sides::new()?;
        let mut report = Report::default();
        for request in all() {
            let [kernel, engine] = sides.ask(&request)?;
            report.add(&request.what, &shown(&kernel), &shown(&engine));
            let [kernel, engine] = sides.listen()?;
            report.add(&format!("{}: its events", request.what), &shown(&kernel), &shown(&engine));
        }
        Ok(report)
    };
    // The thread takes its namespace with it.
    thread::spawn(run).join().map_err(|_| "the comparison has panicked")?
}

/// What one side said: comparable messages.
type Said = Vec<Vec<u8>>;

/// The kernel and a server, each with one who asks and one who listens.
struct Sides {
    kernel: Kernel,
    listener: Kernel,
    engine: Engine,
    server: Server,
    client: SessionId,
    hearer: SessionId,
}

const GROUPS: u32 = 0x3f;
const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

impl Sides {
    fn new() -> Result<Self, Failure> {
        let mut limits = Limits::default();
        for (name, value) in SETTINGS {
            limits.set(name, value).map_err(|error| error.to_string())?;
        }
        let mut engine = Engine::new(Settings { limits, start: NOW, ..Settings::default() });
        let mut server = Server::new(1000);
        let (client, hearer) = (server.open(Access::Admin), server.open(Access::ReadOnly));
        let join = joining(GROUPS);
        server.receive(&mut engine, NOW, hearer, &join).map_err(|_| "the server hung up")?;
        let (kernel, listener) = (Kernel::open(0)?, Kernel::open(GROUPS)?);
        Ok(Self { kernel, listener, engine, server, client, hearer })
    }

    /// What both answer, as comparable messages.
    fn ask(&mut self, request: &Request) -> Result<[Said; 2], Failure> {
        self.kernel.send(&request.bytes)?;
        let mut kernel = Vec::new();
        while !is_complete(&kernel) {
            let datagram = self.kernel.receive(true)?.ok_or("the kernel is silent")?;
            kernel.extend(comparable(&datagram));
        }
        self.server
            .receive(&mut self.engine, NOW, self.client, &request.bytes)
            .map_err(|_| "the server hung up")?;
        let engine = self.datagrams(self.client);
        Ok([sorted(kernel), sorted(engine)])
    }

    /// What both have to tell of it.
    fn listen(&mut self) -> Result<[Said; 2], Failure> {
        let heard = self.listener.heard()?;
        let kernel = heard.iter().flat_map(|datagram| comparable(datagram)).collect();
        let engine = self.datagrams(self.hearer);
        Ok([sorted(kernel), sorted(engine)])
    }

    fn datagrams(&mut self, id: SessionId) -> Vec<Vec<u8>> {
        let now = NOW + Duration::from_millis(1);
        let mut all = Vec::new();
        loop {
            let is_more = self.server.work(&mut self.engine, now);
            while let Some(datagram) = self.server.next_for(id) {
                all.extend(comparable(datagram));
                self.server.sent(id);
            }
            if !is_more && !self.server.has_for(id) {
                return all;
            }
        }
    }
}

/// Whether the kernel's answer has come to its end.
fn is_complete(messages: &[Vec<u8>]) -> bool {
    let last = messages.last().and_then(|bytes| Messages::new(bytes).next()?.ok()?.control());
    matches!(last, Some(Control::Done(_) | Control::Error(_)))
}

/// Listings have an order of their own.
fn sorted(mut messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    messages.sort();
    messages
}

fn shown(messages: &[Vec<u8>]) -> String {
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    messages.iter().map(hex).collect::<Vec<_>>().join("\n")
}

/// The messages of a datagram, without what can't be the same. What wouldn't be written as it was read is left as it
/// is.
fn comparable(datagram: &[u8]) -> Vec<Vec<u8>> {
    Messages::new(datagram).flatten().map(|message| one(&message)).collect()
}

fn one(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    let header = Header { pid: 0, ..message.header };
    match (message.control(), header.subsystem(), message.body()) {
        (None, Some((subsystem, number)), Ok((family, attrs))) => {
            // Per-CPU statistics are of as many CPUs as there are.
            let has_flows =
                subsystem == Subsystem::Conntrack as u8 && number <= conntrack::message::DELETE;
            // The kernel's limit is the whole machine's.
            let is_stats =
                (subsystem, number) == (Subsystem::Conntrack as u8, conntrack::message::GET_STATS);
            let has_expectations = subsystem == Subsystem::Expect as u8;
            writer.message(header, family, |writer| {
                for attr in attrs.flatten() {
                    if has_flows && let Ok(attribute) = Attribute::parse(&attr) {
                        if !is_idle_proxy(&attribute) {
                            timeless(attribute).write(writer);
                        }
                    } else if has_expectations && let Ok(one) = expect::Attribute::parse(&attr) {
                        timeless_expectation(one).write(writer);
                    } else if !(is_stats && attr.kind == stats::MAX_ENTRIES) {
                        writer.attr(attr);
                    }
                }
            });
        }
        _ => {
            let Message { payload, .. } = *message;
            writer.raw(header, payload);
        }
    }
    out
}

/// The kernel gives each flow that is made by hand room for SYNPROXY's numbers, and tells it even if there are none.
fn is_idle_proxy(attribute: &Attribute<'_>) -> bool {
    matches!(attribute, Attribute::SynProxy(proxy) if [proxy.isn, proxy.its, proxy.tsoff] == [Some(0); 3])
}

/// Seconds are told in hundreds, so that the kernel may take its time.
fn timeless(attribute: Attribute<'_>) -> Attribute<'_> {
    match attribute {
        Attribute::Id(_) => Attribute::Id(0),
        Attribute::Timeout(seconds) => Attribute::Timeout(seconds.div_ceil(100) * 100),
        Attribute::EventTime(_) => Attribute::EventTime(0),
        Attribute::Timestamp(times) => Attribute::Timestamp(Timestamp {
            start: times.start.map(|_| 0),
            stop: times.stop.map(|_| 0),
            ..times
        }),
        other => other,
    }
}

fn timeless_expectation(attribute: expect::Attribute<'_>) -> expect::Attribute<'_> {
    match attribute {
        expect::Attribute::Id(_) => expect::Attribute::Id(0),
        expect::Attribute::Timeout(seconds) => {
            expect::Attribute::Timeout(seconds.div_ceil(100) * 100)
        }
        other => other,
    }
}
