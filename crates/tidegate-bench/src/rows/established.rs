//! Packets of established flows, and dumps of a full table.

use std::hint::black_box;
use std::time::Duration;

use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::clock::timed;
use crate::plan::Plan;
use crate::ring::{BURST, Ring};
use crate::rows::{RowName, lookup};
use crate::rulesets::Rules;
use crate::session::Session;
use crate::subject::{Pass, Subject};
use crate::traffic::{Skewed, Steady, Traffic};

/// How unequal flows are: the exponent of Zipf's law that fits the packets per flow of `skype.pcap`
/// best (maximum likelihood over ranks). Of nDPI's test captures, which `tidegate-sim
/// fetch-captures` fetches, it is the one with the most flows of real use: 312, counted with our own
/// replay, with 3,067 packets. Others lie between 0.7 (`alexa-app.pcapng`) and 1.5 (`reddit.pcap`).
pub const ZIPF_EXPONENT: f64 = 0.98;

/// A bed and the traffic through it, all of it of established flows.
pub struct Stream<'a, T> {
    /// The bed.
    pub bed: &'a mut Bed,
    /// The traffic.
    pub traffic: T,
    /// The buffers.
    pub ring: Ring,
}

impl<'a, T: Traffic> Stream<'a, T> {
    /// Traffic through a bed.
    #[must_use]
    pub fn new(bed: &'a mut Bed, traffic: T) -> Self {
        let ring = Ring::new(bed.family());
        Self { bed, traffic, ring }
    }

    /// Writes packets and has nobody look at them.
    pub fn write(&mut self, bursts: u64) {
        let mut alone = self.traffic.clone();
        for _ in 0..bursts {
            alone.burst(&mut self.ring);
            black_box(&self.ring.packets());
        }
    }

    /// Writes packets and has the engine process them; how many were of an established flow.
    pub fn process(&mut self, bursts: u64) -> u64 {
        let mut established = 0;
        for _ in 0..bursts {
            self.traffic.burst(&mut self.ring);
            let tally = self.bed.burst(&mut self.ring);
            established += tally.established.min(tally.forwarded) as u64;
        }
        established
    }
}

impl Stream<'_, Steady> {
    /// Has every flow speak both ways, after a while: what is asked once of a flow and direction has
    /// been asked then, and a UDP flow has become a stream.
    fn settle(&mut self) {
        self.bed.wait(Duration::from_secs(3));
        let rounds = self.traffic.rounds() + 2;
        while self.traffic.rounds() < rounds {
            self.process(1);
        }
    }
}

impl<T: Traffic> Subject for Stream<'_, T> {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = items / BURST as u64;
        let writing = timed(|| self.write(bursts));
        let before = allocations();
        let mut established = 0;
        let whole = timed(|| established = self.process(bursts));
        assert_eq!(established, bursts * BURST as u64, "not all packets passed as established");
        Pass::of(established, whole.saturating_sub(writing), allocations() - before)
    }
}

/// TCP flows without rules: packets, look-ups, dumps.
pub fn tcp(session: &mut Session<'_>) {
    let rows = [RowName::TcpEstablished, RowName::TcpTimestamps, RowName::Lookup, RowName::Dump];
    if !session.wants(&rows) {
        return;
    }
    let mut bed = laid(session, proto::TCP, Rules::None);
    let bytes = session.bytes_per_flow();
    let steady = Steady::new(proto::TCP, Plan::Spread, session.flows, false);
    let mut stream = Stream::new(&mut bed, steady.clone());
    session.record(RowName::TcpEstablished, &mut stream, bytes);
    stream.traffic = stream.traffic.stamped();
    session.record(RowName::TcpTimestamps, &mut stream, bytes);
    lookup::run(session, &bed, steady);
    session.record(RowName::Dump, &mut Dump { bed: &bed }, None);
}

/// UDP flows without rules.
pub fn udp(session: &mut Session<'_>) {
    if !session.wants(&[RowName::UdpEstablished, RowName::Zipf]) {
        return;
    }
    let mut bed = laid(session, proto::UDP, Rules::None);
    let bytes = session.bytes_per_flow();
    let steady = Steady::new(proto::UDP, Plan::Spread, session.flows, false);
    let mut stream = Stream::new(&mut bed, steady);
    stream.settle();
    session.record(RowName::UdpEstablished, &mut stream, bytes);
    let skewed = Skewed::new(Plan::Spread, session.flows, ZIPF_EXPONENT);
    session.record(RowName::Zipf, &mut Stream::new(&mut bed, skewed), None);
}

/// TCP flows under rules. Long lists and late ones are loaded when the flows are there, so that
/// laying them does not take hours.
pub fn rules(session: &mut Session<'_>) {
    let plain = [
        (RowName::TcpRules20, Rules::Twenty),
        (RowName::TcpRules20Late, Rules::TwentyLate),
        (RowName::TcpRules20Marked, Rules::TwentyMarked),
    ];
    ruled(session, Counting::Off, Rules::Twenty, &plain);
    let nat = [
        (RowName::TcpRules20Nat, Rules::TwentyNat),
        (RowName::TcpRules10kNat, Rules::TenThousandNat),
    ];
    ruled(session, Counting::Off, Rules::TwentyNat, &nat);
    let counted = [(RowName::TcpRules20NatAcct, Rules::TwentyNat)];
    ruled(session, Counting::On, Rules::TwentyNat, &counted);
}

/// Whether flows count their packets and bytes (`nf_conntrack_acct`).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    Off,
    On,
}

fn ruled(
    session: &mut Session<'_>,
    counting: Counting,
    laid_under: Rules,
    rows: &[(RowName, Rules)],
) {
    if !rows.iter().any(|(name, _)| session.plea.wants(*name)) {
        return;
    }
    let mut bed = laid_counting(session, counting, proto::TCP, laid_under);
    let bytes = session.bytes_per_flow();
    let translated = laid_under.translates();
    let steady = Steady::new(proto::TCP, Plan::Spread, session.flows, translated);
    let mut stream = Stream::new(&mut bed, steady);
    for (name, rules) in rows {
        stream.bed.load(*rules);
        stream.settle();
        session.record(*name, &mut stream, bytes);
    }
}

/// A bed full of the session's flows.
fn laid(session: &Session<'_>, proto: u8, rules: Rules) -> Bed {
    laid_counting(session, Counting::Off, proto, rules)
}

fn laid_counting(session: &Session<'_>, counting: Counting, proto: u8, rules: Rules) -> Bed {
    session.weigh(|| {
        let mut bed = Bed::new(session.family, session.flows, rules);
        if counting == Counting::On {
            bed.count_packets();
        }
        bed.lay(proto, Plan::Spread, session.flows, rules.translates());
        bed
    })
}

/// A walk over all flows, as often as makes up the items.
struct Dump<'a> {
    bed: &'a Bed,
}

impl Subject for Dump<'_> {
    fn pass(&mut self, items: u64) -> Pass {
        let flows = self.bed.engine.count() as u64;
        let walks = items.div_ceil(flows);
        let before = allocations();
        let whole = timed(|| {
            for _ in 0..walks {
                for (_, flow) in self.bed.engine.flows() {
                    black_box((flow.orig, flow.deadline));
                }
            }
        });
        Pass::of(walks * flows, whole, allocations() - before)
    }
}
