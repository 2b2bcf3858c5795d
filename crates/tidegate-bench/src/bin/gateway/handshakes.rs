//! TCP connections of hosts without stacks: each packet is answered from what it says, so that next to all processor time
//! goes to the gateway.
//!
//! A connection is eight packets: SYN, SYN+ACK, ACK, a request of 64 bytes, an answer of 512, FIN, FIN, ACK. A certain
//! number of them is under way at any time.

use std::io;
use std::time::Duration;

use tidegate_gateway::clock::Stopwatch;

use crate::account::{Account, Spent};
use crate::addresses::{CLIENT, INSIDE, OUTSIDE, SERVER, guest, is_behind, service};
use crate::hosts::Hosts;
use crate::report::Row;
use crate::router::{CLIENTS_CPU, Gateway, pin};
use crate::segment::{ACK, FIN, PSH, RST, SYN, Segment, Way};
use crate::wire::{BATCH, Cable, Outbox};

/// Connections under way.
const WINDOW: u64 = 512;
/// So long nothing may happen before what is under way is given up: longer than a busy machine leaves anybody waiting.
const PATIENCE: Duration = Duration::from_secs(2);
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(200);
const REQUEST: u16 = 64;
const ANSWER: u16 = 512;
/// Source ports of a guest: above those that a NAT might mind.
const PORTS: u64 = 60_000;
const FIRST_PORT: u64 = 2000;

/// Both hosts, on one thread.
pub(crate) struct Pair {
    client: Cable,
    server: Cable,
    begun: u64,
    /// What has come to its end, and how.
    pub(crate) tally: Tally,
}

/// How connections ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Closed by both sides.
    pub(crate) closed: u64,
    /// Ended by a reset of the client's, as it was meant to.
    pub(crate) aborted: u64,
    /// Refused by somebody.
    pub(crate) refused: u64,
    /// No answer came.
    pub(crate) given_up: u64,
}

impl Tally {
    /// All of them.
    pub(crate) fn ended(&self) -> u64 {
        self.closed + self.aborted + self.refused + self.given_up
    }
}

/// What has been seen by a packet socket is of no use to the stack of a host.
const DEAF: &str = "table netdev deaf { chain deaf { type filter hook ingress device eth0 priority 0; \
                    meta protocol ip drop; }; }";

/// Connections a second that are made and closed.
pub(crate) fn run(hosts: &Hosts, gateway: &Gateway, length: Duration) -> io::Result<Row> {
    for host in [&hosts.client, &hosts.server] {
        host.call("nft", &[DEAF])?;
    }
    std::thread::scope(|scope| {
        let work = || {
            pin(0, CLIENTS_CPU)?;
            let mut pair = Pair::open(hosts)?;
            let begin = Stopwatch::start();
            pair.keep_on(0, |_| (begin.elapsed() < WARM_UP).then_some(u64::MAX))?;
            let before = pair.tally;
            let account = Account::open(gateway.clock());
            let begin = Stopwatch::start();
            pair.keep_on(0, |_| (begin.elapsed() < length).then_some(u64::MAX))?;
            Ok(row(before, pair.tally, account.close()))
        };
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn row(before: Tally, after: Tally, spent: Spent) -> Row {
    let closed = after.closed - before.closed;
    let lost = after.refused + after.given_up;
    let rate = closed as f64 / spent.wall;
    Row { items: closed, lost, of: after.ended(), ..Row::of(rate, "connections/s", spent) }
}

impl Pair {
    /// Takes both cables.
    pub(crate) fn open(hosts: &Hosts) -> io::Result<Self> {
        let client = Cable::open(&hosts.client, CLIENT, INSIDE)?;
        let server = Cable::open(&hosts.server, SERVER, OUTSIDE)?;
        Ok(Self { client, server, begun: 0, tally: Tally::default() })
    }

    /// Makes and closes connections as long as `most` says how many there may be in all, and waits for the end of the
    /// last. Every `aborts`th is aborted; with 0, none.
    pub(crate) fn keep_on(
        &mut self,
        aborts: u64,
        mut most: impl FnMut(&Tally) -> Option<u64>,
    ) -> io::Result<()> {
        let mut last = (self.tally.ended(), Stopwatch::start());
        loop {
            let most = most(&self.tally);
            if let Some(most) = most {
                self.begin(most);
            }
            let moved = self.move_on(aborts)?;
            let ended = self.tally.ended();
            if most.is_none() && ended >= self.begun {
                return Ok(());
            }
            if ended != last.0 {
                last = (ended, Stopwatch::start());
            } else if last.1.elapsed() > PATIENCE {
                self.tally.given_up += self.begun.saturating_sub(ended);
            }
            if moved == 0 {
                Cable::wait([&self.client, &self.server]);
            }
        }
    }

    /// Begins as many as may be under way, and not more than `most` in all.
    fn begin(&mut self, most: u64) {
        let under_way = self.begun.saturating_sub(self.tally.ended());
        let room = WINDOW.saturating_sub(under_way).min(BATCH as u64);
        let room = room.min(most.saturating_sub(self.begun));
        for number in self.begun..self.begun + room {
            let (round, port) = (number / PORTS, number % PORTS + FIRST_PORT);
            let (guest, service) = (guest(round as u32), service(round as u32));
            let way = Way { src: (guest, port as u16), dst: (service, 80) };
            let seq = (number as u32).wrapping_mul(2_654_435_761);
            put(self.client.outbox(), &Segment { way, flags: SYN, seq, ack: 0, data: 0 });
        }
        self.begun += room;
        self.client.flush();
    }

    /// Answers what has come on both sides; how many packets that were.
    fn move_on(&mut self, aborts: u64) -> io::Result<usize> {
        let Self { client, server, tally, .. } = self;
        let mut moved = server.answer(|datagram, outbox| {
            if let Some(segment) = meant(datagram) {
                serve(&segment, outbox);
            }
        })?;
        server.flush();
        moved += client.answer(|datagram, outbox| {
            if let Some(segment) = meant(datagram) {
                ask(&segment, aborts, outbox, tally);
            }
        })?;
        client.flush();
        Ok(moved)
    }
}

/// A segment that is not for a host's own stack.
fn meant(datagram: &[u8]) -> Option<Segment> {
    Segment::read(datagram).filter(|segment| is_behind(segment.way.dst.0))
}

/// The server.
fn serve(segment: &Segment, outbox: &mut Outbox) {
    let answer = match segment.flags {
        SYN => Segment { seq: !segment.seq, ..segment.answer(SYN | ACK, 0) },
        _ if segment.data > 0 => segment.answer(PSH | ACK, ANSWER),
        flags if flags & (FIN | RST) == FIN => segment.answer(FIN | ACK, 0),
        _ => return,
    };
    put(outbox, &answer);
}

/// The client.
fn ask(segment: &Segment, aborts: u64, outbox: &mut Outbox, tally: &mut Tally) {
    let flags = segment.flags;
    if flags & RST != 0 {
        tally.refused += 1;
    } else if flags & SYN != 0 {
        put(outbox, &segment.answer(ACK, 0));
        put(outbox, &segment.answer(PSH | ACK, REQUEST));
    } else if segment.data > 0 && aborts > 0 && u64::from(segment.way.dst.1) % aborts == 0 {
        put(outbox, &segment.answer(RST | ACK, 0));
        tally.aborted += 1;
    } else if segment.data > 0 {
        put(outbox, &segment.answer(FIN | ACK, 0));
    } else if flags & FIN != 0 {
        put(outbox, &segment.answer(ACK, 0));
        tally.closed += 1;
    }
}

fn put(outbox: &mut Outbox, segment: &Segment) {
    outbox.put(segment.len(), |bytes| segment.write(bytes));
}
