//! Commands, the host's own packets, and what the router says by itself.

use tidegate_wire::{dissect, proto};

use super::*;
use crate::flow::Status;
use crate::packet::Origin;
use crate::testkit::{CLIENT_PORT, WAN};
use crate::track::checksum_is_right;
use crate::tuple::ZoneScope;
use crate::verdict::DropReason;

fn query() -> Datagram {
    udp(Host::Client, 20)
}

#[test]
fn a_flow_is_deleted_by_its_original_tuple() {
    for family in Family::ALL {
        let mut engine = engine(limits());
        receive(&mut engine, at(0), family, &query());
        told(&mut engine);
        let tuple = query().tuple(family);
        let reply = tuple.invert().expect("an answer");
        let elsewhere = Zone { id: 5, scope: ZoneScope::Both };
        assert!(!engine.delete(at(1), &reply, Zone::default()), "not by its reply tuple");
        assert!(!engine.delete(at(1), &tuple, elsewhere), "not in another zone");
        assert!(!engine.delete(at(30), &tuple, Zone::default()), "not when it has expired");
        assert_eq!((engine.count(), told(&mut engine).len()), (1, 0));

        assert!(engine.delete(at(1), &tuple, Zone::default()));
        assert_eq!(told(&mut engine), [(EventKind::Destroy, EventMask::DESTROY, CLIENT_PORT)]);
        assert!(!engine.delete(at(1), &tuple, Zone::default()), "only once");
        assert_eq!((engine.count(), engine.next_deadline()), (0, None));
    }
}

#[test]
fn a_flush_takes_all() {
    let mut engine = engine(limits());
    for family in Family::ALL {
        receive(&mut engine, at(0), family, &query());
        receive(&mut engine, at(0), family, &ping(Host::Client, 5));
    }
    told(&mut engine);
    assert_eq!(engine.flush(at(1)), 4);
    let events = told(&mut engine);
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|(kind, ..)| *kind == EventKind::Destroy));
    assert_eq!((engine.count(), engine.flush(at(1)), engine.next_deadline()), (0, 0, None));
    let outcome = receive(&mut engine, at(1), Family::V4, &query());
    assert_eq!(outcome.conntrack, Some(CtInfo::New), "it begins anew");
}

#[test]
fn a_mark_is_announced_when_it_changes() {
    let mut engine = engine(limits());
    let id = receive(&mut engine, at(0), Family::V4, &query()).flow.expect("a flow");
    told(&mut engine);
    assert!(engine.set_mark(at(1), id, 7));
    let changes = told(&mut engine);
    let [(EventKind::Update, changes, CLIENT_PORT)] = changes[..] else { panic!("{changes:?}") };
    let all = EventMask::MARK | EventMask::PROTOINFO | EventMask::ASSURED | EventMask::LABEL;
    assert!(changes.contains(all), "all that an operator might have changed: {changes:?}");
    assert!(engine.set_mark(at(1), id, 7));
    assert_eq!(told(&mut engine), []);
    receive(&mut engine, at(2), Family::V4, &query());
    assert_eq!(engine.flow(id).map(|flow| flow.mark), Some(7), "packets leave it alone");
    engine.flush(at(2));
    assert!(!engine.set_mark(at(2), id, 8), "there is no such flow any more");
}

#[test]
fn a_flow_is_found_by_either_tuple() {
    let mut engine = engine(limits());
    let id = receive(&mut engine, at(0), Family::V6, &query()).flow.expect("a flow");
    let tuple = query().tuple(Family::V6);
    let reply = tuple.invert().expect("an answer");
    assert_eq!(engine.find(at(0), &tuple, Zone::default()), Some((id, Direction::Original)));
    assert_eq!(engine.find(at(0), &reply, Zone::default()), Some((id, Direction::Reply)));
    assert_eq!(engine.find(at(0), &tuple, Zone { id: 5, ..Zone::default() }), None);
    assert_eq!(engine.find(at(30), &tuple, Zone::default()), None);
}

#[test]
fn what_was_expected_is_related_until_it_is_answered() {
    let mut engine = engine(limits());
    let id = receive(&mut engine, at(0), Family::V4, &query()).flow.expect("a flow");
    let mut flow = engine.flow(id).expect("a flow");
    flow.status |= Status::EXPECTED;
    engine.table.save(id, &flow);
    let mut judged =
        |datagram: &Datagram| receive(&mut engine, at(1), Family::V4, datagram).conntrack;
    assert_eq!(judged(&query()), Some(CtInfo::Related(Direction::Original)));
    let answer = udp(Host::Server, 0);
    assert_eq!(judged(&answer), Some(CtInfo::Established(Direction::Reply)));
    assert_eq!(judged(&query()), Some(CtInfo::Established(Direction::Original)));
}

#[test]
fn without_events_nothing_is_told() {
    let mut engine = engine(Limits { events: 0, ..limits() });
    let id = receive(&mut engine, at(0), Family::V4, &query()).flow.expect("a flow");
    engine.set_mark(at(0), id, 7);
    engine.set("net.netfilter.nf_conntrack_events", "1").expect("a setting");
    receive(&mut engine, at(1), Family::V4, &udp(Host::Server, 0));
    engine.flush(at(1));
    assert_eq!(told(&mut engine), [], "a flow that was born mute stays so");
}

#[test]
fn resizing_loses_nobody() {
    let mut engine = engine(limits());
    for port in 1..=500 {
        receive(&mut engine, at(0), Family::V4, &query().ports(port, 53));
    }
    engine.set("net.netfilter.nf_conntrack_buckets", "1000").expect("a setting");
    assert_eq!(engine.limits().buckets, 1024);
    for port in 1..=500 {
        let answer = udp(Host::Server, 0).ports(53, port);
        let outcome = receive(&mut engine, at(1), Family::V4, &answer);
        assert_eq!(outcome.conntrack, Some(CtInfo::Established(Direction::Reply)));
    }
    assert_eq!(engine.count(), 500);
}

#[test]
fn the_hosts_own_checksums_are_not_verified() {
    for family in Family::ALL {
        let mut engine = engine(limits());
        let mut bytes = udp(Host::Client, 9).corrupt().bytes(family);
        let outcome = engine.send_local(at(0), &mut Packet::local(&mut bytes), &World::new());
        assert_eq!(outcome.conntrack, Some(CtInfo::New));
        assert!(outcome.flow.is_some());
        let next_hop = Host::Server.address(family);
        assert_eq!(outcome.verdict, Verdict::Forward { port: WAN, next_hop });
    }
}

#[test]
fn what_is_for_the_router_itself_is_confirmed_on_the_way_in() {
    for family in Family::ALL {
        let mut engine = engine(limits());
        let outcome = receive(&mut engine, at(0), family, &ping(Host::Client, 1).to(Host::Router));
        assert_eq!((outcome.verdict, engine.count()), (Verdict::Local, 1));
        assert!(outcome.flow.is_some());
    }
}

#[test]
fn a_packet_that_is_dropped_on_the_way_leaves_no_flow() {
    for family in Family::ALL {
        let mut engine = engine(limits());
        let weary = query().ttl(1);
        let outcome = receive(&mut engine, at(0), family, &weary);
        assert_eq!(outcome.verdict, Verdict::Drop(DropReason::TtlExceeded));
        assert_eq!(outcome.conntrack, Some(CtInfo::New));
        assert_eq!((engine.count(), outcome.flow, told(&mut engine).len()), (0, None, 0));
        check_complaint(&mut engine, family, &weary, [11, 3]);

        let large = query().data(1600);
        let outcome = receive(&mut engine, at(0), family, &large);
        assert_eq!(outcome.verdict, Verdict::Drop(DropReason::TooBig));
        check_complaint(&mut engine, family, &large, [3, 2]);
        assert_eq!(engine.count(), 0);
    }
}

/// The router's own error: of this type, to the sender, quoting the packet as it came.
fn check_complaint(engine: &mut Engine, family: Family, about: &Datagram, [v4, v6]: [u8; 2]) {
    let output = engine.poll_output().expect("an ICMP error");
    assert_eq!(engine.poll_output(), None);
    assert_eq!(output.origin, Origin::Router);
    let headers = dissect(&output.bytes).expect("a sound datagram");
    let client = Host::Client.address(family);
    assert_eq!((headers.src, headers.dst), (Host::Router.address(family), client));
    let (proto, kind) = match family {
        Family::V4 => (proto::ICMP, v4),
        Family::V6 => (proto::ICMPV6, v6),
    };
    let message = headers.payload(&output.bytes);
    assert_eq!((headers.proto, message[0]), (proto, kind));
    assert!(checksum_is_right(&headers, message));
    assert!(about.bytes(family).starts_with(&message[8..]), "it quotes what came in");
}
