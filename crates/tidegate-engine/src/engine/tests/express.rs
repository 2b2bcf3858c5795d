//! The express path against the walk: four engines of one seed see the same traffic. One gets its
//! packets in batches, one asks the express paths for each and walks where both give up, one gets them
//! with checksums that nobody has finished, and one
//! always walks, which is right by definition. After every batch nothing may tell them apart. All four are alone, or the
//! first of several workers, who hands over what isn't his.

mod net;
mod traffic;

use core::cell::RefCell;

use proptest::prelude::{ProptestConfig, any, prop};
use proptest::strategy::Strategy;
use proptest::test_runner::TestRunner;

use tidegate_wire::checksum::transport;
use tidegate_wire::{offload, proto};

use self::net::{Net, RULES, rules};
use self::traffic::{Op, Options, Talk, ops, talks};
use super::*;
use crate::packet::Checksum;
use crate::path::NEAR;
use crate::path::fresh;
use crate::steer::Steering;
use crate::table::Spot;

/// What is set once per case.
#[derive(Clone, Debug)]
struct Setup {
    /// Which of [`RULES`].
    rules: usize,
    acct: bool,
    checksum: bool,
    timestamp: bool,
    be_liberal: bool,
    events: u8,
    /// Few flows, so that early drop has work.
    is_small: bool,
    /// Among how many each engine is the first.
    workers: usize,
}

fn setups() -> impl Strategy<Value = Setup> {
    let switches = (any::<bool>(), prop::bool::weighted(0.8), any::<bool>());
    let more = (prop::bool::weighted(0.2), 0..3u8, prop::bool::weighted(0.3));
    let workers = prop::sample::select([1, 1, 1, 2].as_slice());
    (0..RULES.len(), switches, more, workers).prop_map(
        |(rules, (acct, checksum, timestamp), (be_liberal, events, is_small), workers)| Setup {
            rules,
            acct,
            checksum,
            timestamp,
            be_liberal,
            events,
            is_small,
            workers,
        },
    )
}

impl Setup {
    fn engine(&self) -> Engine {
        let mut limits = Limits {
            acct: self.acct,
            checksum: self.checksum,
            timestamp: self.timestamp,
            events: self.events,
            ..limits()
        };
        limits.tcp.be_liberal = self.be_liberal;
        if self.is_small {
            (limits.max, limits.buckets) = (3, 4);
        }
        let mut engine = engine(limits);
        for family in Family::ALL {
            engine.replace_rules(&rules(family, RULES[self.rules].1, false));
        }
        let steering = Steering::new(7, 0, self.workers).filter(|_| self.workers > 1);
        steering.into_iter().for_each(|steering| engine.join(steering));
        engine
    }
}

/// How many packets there were, and how many of them took the express path.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    packets: usize,
    rides: usize,
    /// Those of them that began flows or changed them.
    fresh: usize,
    /// Those of these that began one at a worker among several, and packets that were handed over there.
    at_home: usize,
    handed_over: usize,
}

/// A packet that the walk has seen already, and what became of it there.
struct Walked {
    bytes: Vec<u8>,
    in_port: crate::fib::PortId,
    outcome: Outcome,
    after: Vec<u8>,
}

/// The engines, and the world around them.
struct Quartet {
    batch: Engine,
    single: Engine,
    /// Its packets have partial checksums.
    partial: Engine,
    walk: Engine,
    net: Net,
    now: Instant,
    talks: Vec<Talk>,
    /// What the batch has still to see.
    queue: Vec<Walked>,
    share: Share,
}

impl Quartet {
    fn new(setup: &Setup, talks: Vec<Talk>) -> Self {
        Self {
            batch: setup.engine(),
            single: setup.engine(),
            partial: setup.engine(),
            walk: setup.engine(),
            net: Net::new(),
            now: Instant::ZERO,
            talks,
            queue: Vec::new(),
            share: Share::default(),
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Open { talk, is_answered, options } => self.open(*talk, *is_answered, *options),
            Op::Send { talk, shape } => self.send(*talk, shape),
            Op::Burst { talk, shape, count } => {
                for nth in 0..*count {
                    self.send(*talk, &shape.nth(nth));
                }
            }
            Op::Ping { v6, id } => {
                let family = if *v6 { Family::V6 } else { Family::V4 };
                self.receive(traffic::ping(family, *id), net::LAN);
            }
            Op::Error { talk } => {
                let talk = &self.talks[*talk % self.talks.len()];
                let bytes = talk.error(&talk.answer(&self.walk));
                self.receive(bytes, self.net.uplink());
            }
            Op::Wait { nanos } => {
                self.settle();
                self.now += Duration::from_nanos(*nanos);
            }
            Op::EndOfBatch => self.settle(),
            Op::Expire { budget } => self.command(|engine, now, net| {
                alloc::format!("{}", engine.handle_timeout(now, *budget, net))
            }),
            Op::Reroute => {
                self.settle();
                self.net.by_dsl = !self.net.by_dsl;
            }
            Op::Mark { nth, mark } => self.command(|engine, now, _| {
                let flow = engine.flows().nth(*nth).map(|(id, _)| id);
                alloc::format!("{:?}", flow.map(|id| engine.set_mark(now, id, *mark)))
            }),
            Op::Rules { nth } => self.command(|engine, _, _| {
                for family in Family::ALL {
                    engine.replace_rules(&rules(family, RULES[*nth % RULES.len()].1, true));
                }
                String::new()
            }),
            Op::Set { key, value } => self.command(|engine, _, _| {
                alloc::format!("{:?}", engine.set(key, &alloc::format!("{value}")))
            }),
            Op::Flush => self.command(|engine, now, _| alloc::format!("{}", engine.flush(now))),
        }
    }

    /// Does something between two batches, which gives the same everywhere.
    fn command(&mut self, mut order: impl FnMut(&mut Engine, Instant, &Net) -> String) {
        self.settle();
        let Self { batch, single, partial, walk, now, net, .. } = self;
        let expected = order(walk, *now, net);
        assert_eq!(order(batch, *now, net), expected);
        assert_eq!(order(single, *now, net), expected);
        assert_eq!(order(partial, *now, net), expected);
    }

    /// A handshake, or a query and its answer. A conversation that is going on is left alone, but
    /// for a single SYN.
    fn open(&mut self, talk: usize, is_answered: bool, options: Options) {
        if is_answered && self.talks[talk % self.talks.len()].is_up(&self.walk) {
            return;
        }
        for shape in traffic::opening(is_answered, options) {
            self.send(talk, &shape);
        }
    }

    fn send(&mut self, talk: usize, shape: &traffic::Shape) {
        let at = talk % self.talks.len();
        let answer = self.talks[at].answer(&self.walk);
        let talk = &mut self.talks[at];
        let datagrams = talk.datagrams(shape, &answer);
        let is_own = shape.reply && talk.is_local(&answer);
        let in_port = if shape.reply == talk.from_lan { self.net.uplink() } else { net::LAN };
        for bytes in datagrams {
            if is_own {
                self.send_local(&bytes);
            } else {
                self.receive(bytes, in_port);
            }
        }
    }

    /// The router's own packets have no batches.
    fn send_local(&mut self, bytes: &[u8]) {
        self.command(|engine, now, net| {
            let mut bytes = bytes.to_vec();
            let outcome = engine.send_local(now, &mut Packet::local(&mut bytes), net);
            alloc::format!("{outcome:?} {bytes:?}")
        });
    }

    fn receive(&mut self, bytes: Vec<u8>, in_port: crate::fib::PortId) {
        let Self { single, partial, walk, net, now, queue, share, .. } = self;
        let mut after = bytes.clone();
        let mut packet = Packet::received(&mut after, in_port);
        // Explaining takes its time: only some are.
        // What is explained is not handed over.
        let outcome = if share.packets % 3 == 0 && walk.steering().is_none() {
            super::rehearsal::rehearsed(walk, *now, &mut packet, net)
        } else {
            walk.process_traced(*now, &mut packet, net, &mut Trace::default())
        };

        let mut again = bytes.clone();
        let mut packet = Packet::received(&mut again, in_port);
        single.give_up_fragments(*now, net);
        let mut glances = [Glance::NOTHING; BURST];
        let datagram = core::iter::once(crate::engine::sight(&single.limits, &packet));
        let mut spots = [Spot::NOWHERE; BURST + NEAR];
        Glance::all(&mut glances, &mut spots, 1, datagram, &single.table);
        let glance = glances[0];
        let usual = crate::path::express::pass(single, *now, &mut packet, net, &glance);
        let is_usual = usual.is_some();
        let taken = match usual {
            Some(outcome) => Ok(outcome),
            None => {
                let told = &mut |_: &mut Packet<'_>, outcome| outcome;
                fresh::pass(single, *now, &mut packet, net, &glance, told)
            }
        };
        let ridden = taken.ok();
        share.packets += 1;
        share.fresh += usize::from(ridden.is_some() && !is_usual);
        share.rides += usize::from(is_usual);
        let is_new = ridden.is_some_and(|outcome| outcome.conntrack == Some(CtInfo::New));
        share.at_home += usize::from(is_new && single.steering().is_some());
        let is_express = ridden.is_some();
        let seen = taken.unwrap_or_else(|pause| {
            let walked =
                Walk::new(single, *now, net, &mut ()).receive_glanced(&mut packet, &glance, pause);
            let outcome = single.settle(walked);
            crate::path::express::vet(single, &glance, &outcome);
            outcome
        });
        assert_eq!((seen, &again), (outcome, &after), "express: {is_express}, of {bytes:02x?}");
        leave_checksum(partial, (*now, net), (bytes.clone(), in_port), (outcome, &after));
        queue.push(Walked { bytes, in_port, outcome, after });
    }

    /// Lets the batch catch up, and compares all there is.
    fn settle(&mut self) {
        let mut queue = core::mem::take(&mut self.queue);
        let expected: Vec<(Outcome, Vec<u8>)> = queue
            .iter_mut()
            .map(|walked| (walked.outcome, core::mem::take(&mut walked.after)))
            .collect();
        let mut packets: Vec<Packet<'_>> = queue
            .iter_mut()
            .map(|walked| Packet::received(&mut walked.bytes, walked.in_port))
            .collect();
        let mut seen = Vec::new();
        // An empty batch gives fragments up that are overdue, of which the others have not heard.
        if !packets.is_empty() {
            self.batch.process_batch(self.now, &mut packets, &self.net, |packet, outcome| {
                seen.push((outcome, packet.bytes.to_vec()));
            });
        }
        assert_eq!(seen, expected);
        let tables = [&self.walk, &self.partial]
            .map(|engine| alloc::format!("{:?}", engine.flows().collect::<Vec<_>>()));
        assert_eq!(tables[1], tables[0], "with partial checksums");
        while self.partial.poll_output().is_some() {}
        while self.partial.poll_event().is_some() {}
        while self.partial.poll_log().is_some() {}
        self.share.handed_over += core::iter::from_fn(|| self.partial.poll_parcel()).count();
        while self.partial.poll_notice().is_some() {}
        let expected = whole(&mut self.walk);
        assert_eq!(whole(&mut self.single), expected, "one by one");
        assert_eq!(whole(&mut self.batch), expected, "in a batch");
    }
}

/// Processes a packet whose checksum is not finished yet, if it was right; afterwards it must be the same, finished.
fn leave_checksum(
    engine: &mut Engine,
    (now, net): (Instant, &Net),
    (mut bytes, in_port): (Vec<u8>, crate::fib::PortId),
    (outcome, after): (Outcome, &[u8]),
) {
    let is_partial = begin_checksum(&mut bytes);
    let mut packet = Packet::received(&mut bytes, in_port);
    if is_partial {
        packet.offload.checksum = Checksum::Partial;
    }
    assert_eq!(engine.process(now, &mut packet, net), outcome, "partial: {is_partial}");
    if !matches!(outcome.verdict, Verdict::Forward { .. } | Verdict::Local) {
        return;
    }
    assert_eq!(packet.offload.checksum.is_partial(), is_partial);
    if is_partial {
        let headers = tidegate_wire::dissect(&bytes).unwrap();
        assert!(offload::finish(&mut bytes, &headers));
    }
    assert_eq!(bytes, after, "partial: {is_partial}");
}

/// Leaves a right checksum of a whole datagram unfinished; whether it could be.
fn begin_checksum(bytes: &mut [u8]) -> bool {
    let Ok(headers) = tidegate_wire::dissect(bytes) else { return false };
    let upper = headers.payload(bytes);
    let is_whole = match headers.proto {
        proto::TCP => upper.len() >= 20,
        proto::UDP => {
            upper.len() >= 8
                && upper[6..8] != [0, 0]
                && u16::from_be_bytes([upper[4], upper[5]]) as usize == upper.len()
        }
        _ => false,
    };
    let is_right = is_whole
        && headers.fragment.is_none()
        && transport(headers.src, headers.dst, headers.proto, upper) == 0;
    is_right && offload::begin(bytes, &headers)
}

/// Everything that can be seen of an engine.
fn whole(engine: &mut Engine) -> String {
    let logs: Vec<String> =
        core::iter::from_fn(|| engine.poll_log()).map(|line| line.text).collect();
    let rules = Family::ALL.map(|family| engine.rules(family, true));
    let found: Vec<_> =
        engine.flows().map(|(id, _)| id).filter(|id| engine.flow(*id).is_none()).collect();
    let parcels: Vec<_> = core::iter::from_fn(|| engine.poll_parcel()).collect();
    let notices: Vec<_> = core::iter::from_fn(|| engine.poll_notice()).collect();
    let handed = alloc::format!("{parcels:?}\n{notices:?}");
    alloc::format!("{}\n{logs:#?}\n{rules:#?}\n{found:?}\n{handed}", everything(engine))
}

#[test]
fn nothing_tells_the_express_path_from_the_walk() {
    let shares = RefCell::new([Share::default(); RULES.len()]);
    let case = (setups(), talks(), ops());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) };
    let result = TestRunner::new(config).run(&case, |(setup, talks, ops)| {
        let mut quartet = Quartet::new(&setup, talks);
        ops.iter().for_each(|op| quartet.apply(op));
        quartet.settle();
        let share = &mut shares.borrow_mut()[setup.rules];
        share.packets += quartet.share.packets;
        share.rides += quartet.share.rides;
        share.fresh += quartet.share.fresh;
        share.at_home += quartet.share.at_home;
        share.handed_over += quartet.share.handed_over;
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    check(&shares.into_inner());
}

/// Rules under which flows must have begun, or been changed, on the express path.
const FRESH: [&str; 3] = ["none", "established first", "masquerade"];

/// A good part of the packets must have taken the express path, or nothing was compared.
fn check(shares: &[Share; RULES.len()]) {
    let mut sum = Share::default();
    for ((name, _, is_fast), share) in RULES.iter().zip(shares) {
        let Share { packets, rides, fresh, at_home, handed_over } = *share;
        sum.at_home += at_home;
        sum.handed_over += handed_over;
        assert!(packets > 0, "nobody tried: {name}");
        if *is_fast {
            assert!(rides > 5, "{name}: only {rides} of {packets} packets were express");
            sum.packets += packets;
            sum.rides += rides;
            sum.fresh += fresh;
        }
        if FRESH.contains(name) {
            assert!(fresh > 5, "{name}: only {fresh} of {packets} packets were fresh");
        }
    }
    assert!(sum.rides * 8 > sum.packets, "{sum:?}: many should be express\n{shares:#?}");
    assert!(sum.fresh * 50 > sum.packets, "{sum:?}: flows should begin so, too\n{shares:#?}");
    assert!(sum.at_home > 5, "{sum:?}: and among workers");
    assert!(sum.handed_over > 50, "{sum:?}: where some are another one's");
}
