//! The table of expectations: who meets whom, and who has to go.

use alloc::vec::Vec;
use core::time::Duration;

use tidegate_wire::packet::tcp::TcpFlags;
use tidegate_wire::{Family, proto};

use super::*;
use crate::event::{Event, EventKind, EventQueue};
use crate::flow::Flow;
use crate::testkit::{Host, flow, tcp};

const MASTER: FlowId = FlowId { slot: 1, generation: 1 };
const OTHER: FlowId = FlowId { slot: 2, generation: 1 };
const ZONE: Zone = Zone { id: 0, scope: crate::tuple::ZoneScope::Both };

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// The control connection, whose expectations' events are all told.
fn master(family: Family) -> Flow {
    let flow = flow(tcp(Host::Client, TcpFlags::ACK, 0, 0).tuple(family));
    Flow { helper: Some(Helper::Ftp), ..flow }
}

/// From the server, at any port, to a port of the client.
fn expected(master_id: FlowId, family: Family, port: u16) -> Expectation {
    let [src, dst] = [Host::Server, Host::Client].map(|host| host.address(family));
    let announced =
        Announcement { src: Some(src), sport: None, dst, dport: port, proto: proto::TCP };
    Expectation::new(master_id, &master(family), 0, &announced)
}

fn from_server(family: Family, port: u16) -> Tuple {
    let [src, dst] = [Host::Server, Host::Client].map(|host| host.address(family));
    Tuple { src, dst, sport: 20, dport: port, proto: proto::TCP }
}

fn bounds(class: usize) -> Bounds {
    Bounds { class, timeout: Duration::from_secs(300), all: 100, shares: false }
}

/// A table and its events.
struct Lab {
    table: Expectations,
    events: EventQueue,
}

impl Lab {
    fn new() -> Self {
        Self { table: Expectations::default(), events: EventQueue::new(1000) }
    }

    fn relate(&mut self, seconds: u64, one: Expectation, bounds: Bounds) -> Result<(), Refusal> {
        self.table.relate(at(seconds), one, bounds, &mut self.events)
    }

    fn take(&mut self, seconds: u64, tuple: &Tuple) -> Option<Expectation> {
        self.table.take(at(seconds), (tuple, ZONE), &mut self.events)
    }

    /// The ports whose expectations began and ended since the last call.
    fn told(&mut self) -> Vec<(EventKind, u16)> {
        let expectation = |event| match event {
            Event::Expectation(event) => Some((event.kind, event.expectation.tuple.dport)),
            Event::Flow(_) => None,
        };
        core::iter::from_fn(|| self.events.pop()).filter_map(expectation).collect()
    }

    fn ports(&self) -> Vec<u16> {
        self.table.iter().map(|one| one.tuple.dport).collect()
    }
}

#[test]
fn only_the_expected_flow_is_met_and_only_once() {
    for family in Family::ALL {
        let mut lab = Lab::new();
        let good = from_server(family, 5000);
        assert_eq!(lab.relate(0, expected(MASTER, family, 5000), bounds(1)), Ok(()));
        let rows = [
            ("another port", Tuple { dport: 5001, ..good }),
            ("another protocol", Tuple { proto: proto::UDP, ..good }),
            ("another source", Tuple { src: Host::Between.address(family), ..good }),
            ("another destination", Tuple { dst: Host::Router.address(family), ..good }),
        ];
        for (what, tuple) in rows {
            assert_eq!(lab.take(1, &tuple), None, "{what}");
        }
        let zone = Zone { id: 3, ..ZONE };
        assert_eq!(lab.table.take(at(1), (&good, zone), &mut lab.events), None, "another zone");
        let met = lab.take(1, &Tuple { sport: 9, ..good }).expect("any source port");
        assert_eq!((met.master.id, met.remaining(at(1)).as_secs()), (MASTER, 299));
        assert_eq!(lab.take(1, &good), None, "used up");
        assert_eq!(lab.told(), [(EventKind::New, 5000), (EventKind::Destroy, 5000)]);
        let stats = ExpectationStats { new: 1, create: 1, delete: 1 };
        assert_eq!(lab.table.stats(), stats);
    }
}

#[test]
fn a_permanent_one_stays_and_an_inactive_one_waits() {
    let mut lab = Lab::new();
    let mut one = expected(MASTER, Family::V4, 5000);
    one.flags = ExpectFlags::PERMANENT | ExpectFlags::INACTIVE;
    lab.relate(0, one, bounds(1)).unwrap();
    let tuple = from_server(Family::V4, 5000);
    assert_eq!(lab.take(1, &tuple), None, "inactive");
    assert!(lab.table.find(at(1), &tuple, ZONE).is_some(), "but there");
    assert!(lab.table.activate(MASTER, |one| one.tuple.dport == 5000, at(60)));
    assert!(!lab.table.activate(OTHER, |_| true, at(90)), "nobody else's");
    assert!(lab.take(59, &tuple).is_some() && lab.take(59, &tuple).is_some(), "permanent");
    assert_eq!(lab.take(60, &tuple), None, "expired");
    assert_eq!(lab.told(), [(EventKind::New, 5000), (EventKind::Destroy, 5000)]);
}

#[test]
fn the_oldest_of_a_class_makes_room() {
    let mut lab = Lab::new();
    for port in 1..=4 {
        lab.relate(port.into(), expected(MASTER, Family::V4, port), bounds(3)).unwrap();
    }
    assert_eq!(lab.ports(), [2, 3, 4]);
    let other_class = Expectation { class: 1, ..expected(MASTER, Family::V4, 9) };
    lab.relate(5, other_class, bounds(3)).unwrap();
    lab.relate(5, expected(OTHER, Family::V4, 10), bounds(3)).unwrap();
    assert_eq!(lab.ports(), [2, 3, 4, 9, 10], "neither another class nor another master");
    lab.relate(6, expected(MASTER, Family::V4, 3), bounds(3)).unwrap();
    assert_eq!(lab.ports(), [2, 4, 9, 10, 3], "one that comes again is renewed");
    lab.told();
    lab.table.orphan(MASTER, at(7), &mut lab.events);
    let gone = [3, 9, 4, 2].map(|port| (EventKind::Destroy, port));
    assert_eq!((lab.ports(), lab.told()), (alloc::vec![10], gone.to_vec()), "newest first");
}

#[test]
fn a_flow_is_expected_by_one_only() {
    let mut lab = Lab::new();
    let shares = Bounds { shares: true, ..bounds(3) };
    lab.relate(0, expected(MASTER, Family::V4, 1), bounds(3)).unwrap();
    let wide = |mut one: Expectation| {
        one.tuple.src = unspecified(Family::V4);
        one.mask.src = unspecified(Family::V4);
        one
    };
    let class = Expectation { class: 1, ..expected(MASTER, Family::V4, 1) };
    let rows = [
        ("another master", expected(OTHER, Family::V4, 1), bounds(3), Err(Refusal::Busy)),
        ("which may share it", expected(OTHER, Family::V4, 1), shares, Err(Refusal::Already)),
        ("a wider one", wide(expected(MASTER, Family::V4, 1)), bounds(3), Err(Refusal::Busy)),
        ("another class", class, bounds(3), Err(Refusal::Already)),
        ("another port", expected(OTHER, Family::V4, 2), bounds(3), Ok(())),
        ("the other family", expected(OTHER, Family::V6, 1), bounds(3), Ok(())),
    ];
    for (what, one, bounds, outcome) in rows {
        assert_eq!(lab.relate(1, one, bounds), outcome, "{what}");
    }
    let full = Bounds { all: 3, ..bounds(9) };
    assert_eq!(lab.relate(1, expected(MASTER, Family::V4, 7), full), Err(Refusal::Full));
    assert_eq!(lab.relate(300, expected(MASTER, Family::V4, 7), full), Ok(()), "one has expired");
}

#[test]
fn nobody_knows_of_what_an_unborn_flow_announces() {
    let mut lab = Lab::new();
    let tuple = from_server(Family::V6, 5000);
    lab.relate(0, expected(FlowId::UNBORN, Family::V6, 5000), bounds(1)).unwrap();
    assert_eq!(lab.take(0, &tuple), None);
    lab.table.adopt(MASTER);
    assert_eq!(lab.take(0, &tuple).map(|one| one.master.id), Some(MASTER));
    lab.relate(0, expected(FlowId::UNBORN, Family::V6, 5000), bounds(1)).unwrap();
    lab.table.orphan(FlowId::UNBORN, at(0), &mut lab.events);
    lab.table.adopt(MASTER);
    assert_eq!((lab.take(0, &tuple), lab.table.is_empty()), (None, true));
}

#[test]
fn a_flood_is_bounded() {
    let mut lab = Lab::new();
    let bounds = Bounds { class: 8, all: 50, ..bounds(8) };
    let mut refused = 0;
    for slot in 0..1000u32 {
        let master = FlowId { slot, generation: 7 };
        for port in 0..20 {
            let one = expected(master, Family::V4, slot as u16 * 20 + port);
            refused += usize::from(lab.relate(0, one, bounds).is_err());
        }
    }
    assert_eq!((lab.table.iter().count(), refused > 0), (50, true));
    assert_eq!(lab.table.next_deadline(), Some(at(300)));
    assert_eq!(lab.table.expire(at(300), &mut lab.events), 50);
    assert_eq!((lab.table.next_deadline(), lab.table.is_empty()), (None, true));
    let stats = lab.table.stats();
    assert_eq!(stats.create, stats.delete);
}
