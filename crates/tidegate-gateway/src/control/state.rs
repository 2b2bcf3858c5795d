//! A table that goes from one process to the next: written down when the first one stops, taken over by the second.
//!
//! The file is a [snapshot](crate::snapshot), which everything that reads those reads. What ctnetlink doesn't say of a flow
//! isn't in it: windows of TCP, which are learnt anew; the interface of a masqueraded flow, which is found by its route;
//! what helpers remember of a conversation; timeout policies; when it began. Nor are expectations taken over.

use std::io::{self, Read, Write};

use tidegate_engine::Engine;
use tidegate_engine::command::{Creation, Cursor, ProtoChange, Resumed};
use tidegate_engine::fib::{AddrType, Fib, PortId, Route, RouteQuery};
use tidegate_engine::flow::{Counter, Status};
use tidegate_engine::synproxy::Proxy;
use tidegate_engine::time::Instant;
use tidegate_engine::track::PeerFlags;
use tidegate_wire::SeqNum;
use tidegate_wire::netlink::conntrack::{self, Attribute, Counters, message};
use tidegate_wire::netlink::frame::{Family, Flags, Header, Messages, Subsystem};
use tidegate_wire::netlink::{Attrs, Message, Writer as MessageWriter};

use super::body::Body;
use super::engines::Engines;
use super::flow::{Circumstances, describe};
use crate::snapshot::{Fault, Kind, Opening, Part, Reader, Writer, byte_order};

/// What became of a file's flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// They are in the table.
    pub taken: u64,
    /// Their time is over.
    pub late: u64,
    /// There is no room, or they can't be.
    pub refused: u64,
}

/// Writes all flows of engines that call themselves `place`; how many there were.
///
/// # Errors
/// Nothing can be written there.
pub fn save<'e>(
    engines: impl Into<Engines<'e>>,
    now: Instant,
    place: &str,
    out: impl Write,
) -> io::Result<u64> {
    let engines = &mut engines.into();
    let wall = engines.ask(now, Engine::wall_clock);
    let time = || wall.offset.saturating_add(now.nanos());
    let opening = Opening {
        time: time(),
        table: "engine".to_owned(),
        place: place.to_owned(),
        program: concat!("tidegate ", env!("CARGO_PKG_VERSION")).to_owned(),
        order: byte_order().to_owned(),
        ..Opening::default()
    };
    let mut writer = Writer::begin(out, &opening)?;
    for worker in 0..engines.workers() {
        save_one(&engines.at(worker, now), now, &mut writer)?;
    }
    writer.close(time()).map(|closing| closing.flows)
}

fn save_one(engine: &Engine, now: Instant, writer: &mut Writer<impl Write>) -> io::Result<()> {
    let (mut cursor, mut scratch, mut written) = (Cursor::default(), Vec::new(), Ok(()));
    while !cursor.is_at_end() && written.is_ok() {
        engine.walk(now, &mut cursor, PIECE, |id, flow| {
            scratch.clear();
            let kind = Header::kind_of(Subsystem::Conntrack, message::NEW);
            let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
            let about = Circumstances::of(engine, id);
            let mut message = MessageWriter::new(&mut scratch);
            message.message(header, Family::of(flow.orig.family()), |writer| {
                describe(writer, (now, 1), flow, &about);
            });
            let messages = Messages::new(&scratch).flatten();
            for message in messages {
                if written.is_ok() {
                    written = writer.message(Kind::Flows, &message);
                }
            }
            core::ops::ControlFlow::Continue(())
        });
    }
    written
}

/// Takes over the flows of a file whose time isn't over: the clock on the wall goes on while nobody runs.
///
/// # Errors
/// The file is damaged; what came before is in the table.
pub fn load<'e, R: Read>(
    engines: impl Into<Engines<'e>>,
    now: Instant,
    fib: &impl Fib,
    mut reader: Reader<R>,
) -> Result<Taken, Fault> {
    let mut engines = engines.into();
    let wall = engines.ask(now, Engine::wall_clock).offset.saturating_add(now.nanos());
    let passed = wall.saturating_sub(reader.opening().time) / 1_000_000_000;
    let max = engines.limits(now).max as usize;
    // However flows are spread: all together are counted.
    engines.change(now, |engine| engine.set_share(max));
    let mut loading = Loading { engines, now, fib, passed, max, taken: Taken::default() };
    // A flow can only be attached to a master that is there.
    let mut attached: Vec<(Header, Vec<u8>)> = Vec::new();
    while let Some(part) = reader.part()? {
        match part {
            Part::Flows(mut flows) => flows.each(|_, message| {
                if has_master(message) {
                    attached.push((message.header, message.payload.to_vec()));
                } else {
                    loading.take(message);
                }
                Ok::<(), Fault>(())
            })?,
            Part::Closing(_) => break,
            _ => {}
        }
    }
    for (header, payload) in &attached {
        loading.take(&Message { header: *header, payload });
    }
    Ok(loading.taken)
}

fn has_master(message: &Message<'_>) -> bool {
    let Ok((_, attrs)) = message.body() else { return false };
    conntrack::attributes(attrs).flatten().any(|one| matches!(one, Attribute::Master(_)))
}

struct Loading<'a, F> {
    engines: Engines<'a>,
    now: Instant,
    /// So many flows there may be; 0 is any number.
    max: usize,
    fib: &'a F,
    /// Seconds since the file was written.
    passed: u64,
    taken: Taken,
}

impl<F: Fib> Loading<'_, F> {
    fn take(&mut self, message: &Message<'_>) {
        let counter = match self.resume(message) {
            Some(true) => &mut self.taken.taken,
            Some(false) => &mut self.taken.late,
            None => &mut self.taken.refused,
        };
        *counter += 1;
    }

    /// Whether its time isn't over; `None`: it can't be.
    fn resume(&mut self, message: &Message<'_>) -> Option<bool> {
        let (family, attrs) = message.body().ok()?;
        let body = Body::parse(attrs.clone()).ok()?;
        let mut flow = body.creation(family.family).ok()?;
        let left = u64::from(flow.with.timeout?).saturating_sub(self.passed);
        if left == 0 {
            return Some(false);
        }
        flow.with.timeout = u32::try_from(left).ok();
        if let ProtoChange::Tcp(tcp) = &mut flow.with.proto {
            tcp.flags = tcp.flags.map(|told| told.map(|(flags, _)| (flags, LASTING)));
        }
        let status = Status::from_bits_truncate(body.status?);
        let (counters, proxy) = besides(attrs);
        let masquerade_port = self.masquerade_port(&flow, status);
        let resumed = Resumed { flow, status, counters, proxy, masquerade_port };
        if self.max > 0 && self.taken.taken >= self.max as u64 {
            return None;
        }
        let (_others, mut at) = self.engines.all_for(self.now, &flow).ok()?;
        let now = at.now;
        at.resume(now, &resumed).ok().map(|_| true)
    }

    /// Whose source is an address of ours is taken for masqueraded, on the interface by which its packets go.
    fn masquerade_port(&self, flow: &Creation<'_>, status: Status) -> Option<PortId> {
        let own = flow.reply.dst;
        let is_own = || self.fib.addr_type(own, None) == AddrType::Local;
        if !(status.contains(Status::SRC_NAT) && is_own()) {
            return None;
        }
        let query = RouteQuery { dst: flow.reply.src, src: own, in_port: None, mark: 0 };
        match self.fib.route(&query) {
            Route::Forward { port, .. } => Some(port),
            _ => None,
        }
    }
}

/// What a request to make a flow doesn't say.
fn besides(attrs: Attrs<'_>) -> (Option<[Counter; 2]>, Option<Proxy>) {
    let (mut counters, mut proxy) = ([None; 2], None);
    let counter = |told: &Counters| Some(Counter { packets: told.packets?, bytes: told.bytes? });
    for attribute in conntrack::attributes(attrs).flatten() {
        match attribute {
            Attribute::CountersOriginal(told) => counters[0] = counter(&told),
            Attribute::CountersReply(told) => counters[1] = counter(&told),
            Attribute::SynProxy(told) => {
                let all = told.isn.zip(told.its).zip(told.tsoff);
                proxy = all.map(|((isn, its), clock_offset)| Proxy {
                    isn: SeqNum(isn),
                    its,
                    clock_offset,
                });
            }
            _ => {}
        }
    }
    let [one, other] = counters;
    (one.zip(other).map(Into::into), proxy)
}

/// What is told of a TCP peer that doesn't speak of a single segment. A listing says of none that it is meant.
const LASTING: PeerFlags = PeerFlags::WINDOW_SCALE
    .union(PeerFlags::SACK_PERM)
    .union(PeerFlags::CLOSE_INIT)
    .union(PeerFlags::BE_LIBERAL)
    .union(PeerFlags::SIMULTANEOUS_OPEN);
/// Flows that are written in one go.
const PIECE: usize = 4096;
