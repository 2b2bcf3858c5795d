//! A full table: who gets in, who is thrown out, whom it does not concern.

use super::*;
use crate::flow::Status;
use crate::rules::parse;
use crate::verdict::DropReason;

/// A table of `max` flows, all in one bucket, so that early drop sees all of them.
fn small(max: u32) -> Engine {
    engine(Limits { max, buckets: 1, ..limits() })
}

fn query(port: u16) -> Datagram {
    udp(Host::Client, 0).ports(port, 53)
}

/// Makes the flow of that port a stream, which is assured.
fn stream(engine: &mut Engine, family: Family, port: u16) {
    receive(engine, at(0), family, &query(port));
    receive(engine, at(0), family, &udp(Host::Server, 0).ports(53, port));
    receive(engine, at(3), family, &query(port));
}

fn ports(engine: &Engine) -> Vec<u16> {
    let mut ports: Vec<u16> = engine.flows().map(|(_, flow)| flow.orig.sport).collect();
    ports.sort_unstable();
    ports
}

const FULL: Verdict = Verdict::Drop(DropReason::TableFull);

#[test]
fn a_table_of_assured_flows_takes_no_more() {
    for family in Family::ALL {
        let mut engine = small(5);
        (1..=5).for_each(|port| stream(&mut engine, family, port));
        assert!(engine.flows().all(|(_, flow)| flow.is(Status::ASSURED)));

        let outcome = receive(&mut engine, at(3), family, &query(6));
        assert_eq!((outcome.verdict, outcome.conntrack, outcome.flow), (FULL, None, None));
        let rst = tcp(Host::Client, TcpFlags::RST, 1, 0);
        assert_eq!(receive(&mut engine, at(3), family, &rst).verdict, FULL, "though it is INVALID");

        assert_eq!(ports(&engine), [1, 2, 3, 4, 5]);
        assert_eq!((engine.stats().drop, engine.stats().early_drop), (2, 0));
        assert_eq!(engine.stats().drops[DropReason::TableFull.index()], 2);
        assert_eq!(engine.stats().invalid, 0);
    }
}

/// A first packet may look for room before it walks. It is refused as if it had only walked: rules count it as far as
/// conntrack, and what has expired on its way is put away once.
#[test]
fn who_finds_no_room_is_refused_where_the_walk_refuses() {
    let text =
        "*raw\n-A PREROUTING -p udp -j ACCEPT\nCOMMIT\n*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n";
    for family in Family::ALL {
        let mut engines = [small(3), small(3)];
        for engine in &mut engines {
            engine.replace_rules(&parse(family, "rules", text).unwrap());
            (1..=2).for_each(|port| stream(engine, family, port));
            receive(engine, at(3), family, &query(3));
        }
        // By then the third has expired, and nobody has taken it out.
        let [express, walk] = engines.each_mut();
        for number in 4..=6 {
            let (now, datagram) = (at(40), query(number));
            let outcome = receive(express, now, family, &datagram);
            let mut bytes = datagram.bytes(family);
            let mut packet = Packet::received(&mut bytes, datagram.from.ingress());
            let walked =
                walk.process_traced(now, &mut packet, &World::new(), &mut Trace::default());
            assert_eq!(outcome, walked);
            assert_eq!(outcome.verdict == FULL, number == 4, "the third made room, as no victim");
            assert_eq!(express.rules(family, true), walk.rules(family, true));
            assert_eq!(everything(express), everything(walk));
        }
    }
}

#[test]
fn a_full_table_does_not_concern_what_needs_no_room() {
    let (mut engine, family) = (small(2), Family::V6);
    stream(&mut engine, family, 1);
    stream(&mut engine, family, 2);
    let judged = |engine: &mut Engine, datagram: &Datagram| {
        let outcome = receive(engine, at(3), family, datagram);
        outcome.conntrack.map(CtInfo::name)
    };
    assert_eq!(judged(&mut engine, &query(1)), Some("ESTABLISHED"));
    assert_eq!(judged(&mut engine, &unreachable(Host::Server, &query(1))), Some("RELATED"));
    let neighbours = icmp(Host::Client, 135, 0, 0).data(16).to(Host::Group);
    assert_eq!(judged(&mut engine, &neighbours), Some("UNTRACKED"));
    let unanswerable = icmp(Host::Client, 200, 0, 0);
    assert_eq!(judged(&mut engine, &unanswerable), Some("INVALID"));
    assert_eq!(engine.stats().drop, 0);
}

#[test]
fn early_drop_takes_what_is_not_assured() {
    for family in Family::ALL {
        let mut engine = small(3);
        stream(&mut engine, family, 1);
        receive(&mut engine, at(3), family, &query(2));
        receive(&mut engine, at(3), family, &query(3));
        told(&mut engine);

        let outcome = receive(&mut engine, at(3), family, &query(4));
        assert_eq!(outcome.conntrack, Some(CtInfo::New));
        assert_eq!(ports(&engine), [1, 4], "all of the bucket that are not assured");
        assert_eq!((engine.stats().drop, engine.stats().early_drop), (0, 2));
        let mut events = told(&mut engine);
        events.sort_by_key(|(.., port)| *port);
        let expected = [
            (EventKind::Destroy, EventMask::DESTROY, 2),
            (EventKind::Destroy, EventMask::DESTROY, 3),
            (EventKind::New, EventMask::NEW, 4),
        ];
        assert_eq!(events, expected);
    }
}

#[test]
fn a_limit_of_zero_is_none() {
    let mut engine = engine(Limits { max: 0, ..limits() });
    for port in 1..=1000 {
        receive(&mut engine, at(0), Family::V4, &query(port));
    }
    assert_eq!((engine.count(), engine.stats().drop), (1000, 0));
}

#[test]
fn a_chain_that_is_too_long_refuses_at_the_end() {
    let mut engine = small(0);
    let refused = (1..100).find(|port| {
        let outcome = receive(&mut engine, at(0), Family::V4, &query(*port));
        outcome.verdict == Verdict::Drop(DropReason::ChainTooLong)
    });
    assert!(refused.is_some());
    assert_eq!((engine.stats().chaintoolong, engine.stats().insert_failed), (1, 1));
}

#[test]
fn events_that_nobody_fetches_are_lost_and_counted() {
    let settings = Settings { limits: limits(), event_backlog: 2, ..Settings::default() };
    let mut engine = Engine::new(settings);
    for port in 1..=5 {
        receive(&mut engine, at(0), Family::V4, &query(port));
    }
    assert_eq!(told(&mut engine).len(), 2);
    assert_eq!(engine.events.lost(), 3);
}
