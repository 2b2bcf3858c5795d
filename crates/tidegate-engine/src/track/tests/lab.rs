//! The runner of the packet tables: an engine, and beside it what must be seen of it.
//!
//! The expectation is carried from row to row: it takes the changes that a row names, and is
//! compared with everything that the engine shows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::Family;

use super::script::{Change, Judged, Row, Step};
use crate::event::{EventKind, EventMask};
use crate::flow::{Counter, Flow, Status};
use crate::limits::Limits;
use crate::stats::Stats;
use crate::testkit::{Datagram, Host, LAN, WAN, World, kept};
use crate::time::Instant;
use crate::track::{InvalidReason, PeerFlags, ProtoState};
use crate::tuple::{Direction, Tuple};
use crate::{CtInfo, Engine, Packet, Settings, Verdict};

/// A flow, as far as it can be seen from outside.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    reply: Tuple,
    pub(super) status: Status,
    pub(super) state: Option<&'static str>,
    /// Its deadline, as the table keeps it.
    pub(super) ends: Instant,
    mark: u32,
    /// Flags and scale, client first, whoever opened the connection.
    pub(super) peers: [(PeerFlags, u8); 2],
    /// By direction.
    acct: Option<[Counter; 2]>,
}

impl View {
    fn of(flow: &Flow, client: core::net::IpAddr) -> Self {
        let mut peers = match &flow.proto {
            ProtoState::Tcp(tcp) => tcp.seen.map(|peer| (peer.flags, peer.scale)),
            _ => Default::default(),
        };
        if flow.orig.src != client {
            peers.swap(0, 1);
        }
        Self {
            reply: flow.reply,
            status: flow.status,
            state: flow.proto.name(),
            ends: kept(flow.deadline),
            mark: flow.mark,
            peers,
            acct: flow.acct,
        }
    }

    fn fresh(orig: &Tuple) -> Self {
        Self {
            reply: orig.invert().expect("what opens a flow can be answered"),
            status: Status::CONFIRMED,
            state: None,
            ends: Instant::ZERO,
            mark: 0,
            peers: Default::default(),
            acct: Some(Default::default()),
        }
    }
}

/// All that can be seen after a row.
struct Seen {
    packet: Option<Passed>,
    /// By original tuple.
    flows: BTreeMap<Tuple, View>,
    count: usize,
    events: Vec<Announced>,
    stats: Stats,
}

/// An event: its kind, what changed, and the flow as it was then, with its original tuple.
type Announced = (EventKind, EventMask, Tuple, View);

fn destroyed(orig: Tuple, view: View) -> Announced {
    (EventKind::Destroy, EventMask::DESTROY, orig, view)
}

/// What becomes of a packet: its verdict, its state and its bytes.
type Passed = (Verdict, Option<CtInfo>, Vec<u8>);

/// The engine under test, and what is expected of it.
pub(super) struct Lab {
    engine: Engine,
    family: Family,
    now: Instant,
    flows: BTreeMap<Tuple, View>,
    stats: Stats,
}

impl Lab {
    pub(super) fn new(family: Family, settings: &[(&str, &str)]) -> Self {
        let mut engine = Engine::new(Settings {
            limits: Limits { buckets: 512, ..Limits::default() },
            ..Settings::default()
        });
        for (key, value) in settings {
            engine.set(key, value).expect("a setting that exists");
        }
        let (flows, stats) = (BTreeMap::new(), Stats::default());
        Self { engine, family, now: Instant::ZERO, flows, stats }
    }

    pub(super) fn play(&mut self, row: &Row, gap: Duration) {
        let (expected, packet) = match &row.step {
            Step::Quiet(time) => (self.expect_silence(*time, row.then), None),
            Step::Packet(datagram, judged) => {
                let events = self.age(gap);
                let change = Change::parse(row.then);
                let expected = self.expect(datagram, *judged, &change, events);
                (expected, Some(self.process(datagram)))
            }
        };
        let seen = self.observe(packet);
        let what = alloc::format!("\n\n{:?}: {}\n", self.family, row.what);
        assert_eq!(seen.packet, expected.packet, "{what}");
        assert_eq!(seen.flows, expected.flows, "{what}");
        assert_eq!(seen.events, expected.events, "{what}");
        assert_eq!((seen.count, seen.stats), (expected.count, expected.stats), "{what}");
    }

    fn process(&mut self, datagram: &Datagram) -> Passed {
        let mut bytes = datagram.bytes(self.family);
        let mut packet = Packet::received(&mut bytes, datagram.from.ingress());
        let outcome = self.engine.process(self.now, &mut packet, &World::new());
        (outcome.verdict, outcome.conntrack, bytes)
    }

    fn observe(&mut self, packet: Option<Passed>) -> Seen {
        let client = Host::Client.address(self.family);
        let flows = self.engine.flows();
        let flows = flows.map(|(_, flow)| (flow.orig, View::of(&flow, client))).collect();
        let count = self.engine.count();
        let stats = self.engine.stats().clone();
        let events = core::iter::from_fn(|| self.engine.poll_event()?.into_flow())
            .map(|event| {
                let view = View::of(&event.flow, client);
                (event.kind, event.changes, event.flow.orig, view)
            })
            .collect();
        Seen { packet, flows, count, events, stats }
    }

    /// Lets time pass; flows whose time is up are gone, and that is announced.
    fn age(&mut self, time: Duration) -> Vec<Announced> {
        self.now += time;
        self.engine.handle_timeout(self.now, usize::MAX, &World::new());
        let is_over = |(_, view): &(&Tuple, &View)| view.ends <= kept(self.now);
        let dead = self.flows.iter().filter(is_over).map(|(orig, view)| (view.ends, *orig));
        let mut dead: Vec<(Instant, Tuple)> = dead.collect();
        dead.sort();
        let mut leave = |orig| self.flows.remove(&orig).map(|view| destroyed(orig, view));
        dead.into_iter().filter_map(|(_, orig)| leave(orig)).collect()
    }

    fn expect_silence(&mut self, time: Duration, then: &str) -> Seen {
        let before = self.flows.len();
        let events = self.age(time);
        let gone = then == "gone";
        assert!(gone || then.is_empty(), "silence changes nothing but: gone");
        assert_eq!(gone, before > 0 && self.flows.is_empty(), "whether the last flow runs out");
        self.expected(None, events)
    }

    fn expect(
        &mut self,
        datagram: &Datagram,
        judged: Judged,
        change: &Change,
        mut events: Vec<Announced>,
    ) -> Seen {
        let found = self.flow_of(&datagram.tuple(self.family));
        let info = self.expect_judgement(judged, found.map(|(_, dir)| dir));
        let is_part = matches!(judged, Judged::New | Judged::Established);
        match found {
            Some((orig, _)) if change.again => {
                let old = self.flows.remove(&orig).expect("it was found");
                events.push(destroyed(orig, old));
                events.push(self.expect_opening(datagram, change));
            }
            Some((orig, dir)) => {
                let counts = is_part && !change.uncounted;
                let changes = self.expect_change(datagram, orig, counts.then_some(dir), change);
                events.extend(changes);
            }
            None if is_part => {
                assert!(!change.again && !change.gone, "there is no flow that could go");
                events.push(self.expect_opening(datagram, change));
            }
            None => assert!(change.is_nothing(), "there is no flow that could change"),
        }
        let packet = self.expect_packet(datagram, info);
        self.expected(Some(packet), events)
    }

    fn flow_of(&self, tuple: &Tuple) -> Option<(Tuple, Direction)> {
        self.flows.iter().find_map(|(orig, view)| {
            (orig == tuple)
                .then_some((*orig, Direction::Original))
                .or((view.reply == *tuple).then_some((*orig, Direction::Reply)))
        })
    }

    /// Counts the packet in the statistics, and says what rules see.
    fn expect_judgement(&mut self, judged: Judged, dir: Option<Direction>) -> Option<CtInfo> {
        let reason = |name| {
            InvalidReason::NAMES.iter().position(|known| *known == name).expect("a reason's name")
        };
        match judged {
            Judged::New => Some(CtInfo::New),
            Judged::Established => dir.map(CtInfo::Established),
            Judged::Related => dir.map(CtInfo::Related),
            Judged::Untracked => Some(CtInfo::Untracked),
            Judged::Invalid(name) => {
                self.stats.invalid += 1;
                self.stats.invalid_reasons[reason(name)] += 1;
                Some(CtInfo::Invalid)
            }
            Judged::Error(name) => {
                self.stats.error += 1;
                self.stats.invalid_reasons[reason(name)] += 1;
                Some(CtInfo::Invalid)
            }
        }
    }

    fn expect_opening(&mut self, datagram: &Datagram, change: &Change) -> Announced {
        let orig = datagram.tuple(self.family);
        let mut view = View::fresh(&orig);
        let noted = change.apply(&mut view, self.now);
        if let Some(acct) = &mut view.acct {
            acct[0] = Counter { packets: 1, bytes: datagram.bytes(self.family).len() as u64 };
        }
        self.flows.insert(orig, view.clone());
        (EventKind::New, EventMask::NEW | noted, orig, view)
    }

    fn expect_change(
        &mut self,
        datagram: &Datagram,
        orig: Tuple,
        counted: Option<Direction>,
        change: &Change,
    ) -> Option<Announced> {
        let view = self.flows.get_mut(&orig)?;
        let noted = change.apply(view, self.now);
        if let (Some(dir), Some(acct)) = (counted, &mut view.acct) {
            acct[dir.index()].packets += 1;
            acct[dir.index()].bytes += datagram.bytes(self.family).len() as u64;
        }
        if change.gone {
            return self.flows.remove(&orig).map(|last| destroyed(orig, last));
        }
        (!noted.is_empty()).then(|| (EventKind::Update, noted, orig, view.clone()))
    }

    /// Where the packet goes and how it looks then.
    fn expect_packet(&self, datagram: &Datagram, info: Option<CtInfo>) -> Passed {
        let unchanged = datagram.bytes(self.family);
        let (port, next_hop) = match datagram.to {
            Host::Router | Host::Group => return (Verdict::Local, info, unchanged),
            Host::Client => (LAN, Host::Client.address(self.family)),
            host => (WAN, host.address(self.family)),
        };
        let bytes = datagram.forwarded().bytes(self.family);
        (Verdict::Forward { port, next_hop }, info, bytes)
    }

    fn expected(&self, packet: Option<Passed>, events: Vec<Announced>) -> Seen {
        let (flows, stats) = (self.flows.clone(), self.stats.clone());
        Seen { packet, count: flows.len(), flows, events, stats }
    }
}
