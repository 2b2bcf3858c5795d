//! What goes through the whole table: the collector, and the end of masqueraded flows.

use super::*;
use crate::flow::Status;
use crate::rules::parse;
use crate::testkit::{LAN, WAN};

fn query(port: u16) -> Datagram {
    udp(Host::Client, 0).ports(port, 53)
}

/// Makes the flow of that port a stream, which is assured.
fn stream(engine: &mut Engine, family: Family, port: u16) {
    receive(engine, at(0), family, &query(port));
    receive(engine, at(0), family, &udp(Host::Server, 0).ports(53, port));
    receive(engine, at(3), family, &query(port));
}

/// A connection that was established and is closed by its client's FIN.
fn closing(engine: &mut Engine, family: Family, port: u16) {
    let from = |host, flags, seq, ack| {
        let ports = if host == Host::Client { (port, 80) } else { (80, port) };
        tcp(host, flags, seq, ack).ports(ports.0, ports.1)
    };
    for datagram in [
        from(Host::Client, TcpFlags::SYN, 1, 0),
        from(Host::Server, TcpFlags::SYN | TcpFlags::ACK, 9, 2),
        from(Host::Client, TcpFlags::ACK, 2, 10),
        from(Host::Client, TcpFlags::FIN | TcpFlags::ACK, 2, 10),
    ] {
        receive(engine, at(3), family, &datagram);
    }
}

fn ports(engine: &Engine) -> Vec<u16> {
    let mut ports: Vec<u16> = engine.flows().map(|(_, flow)| flow.orig.sport).collect();
    ports.sort_unstable();
    ports
}

/// Sees to the deadlines up to a time, one flow at a time.
fn live_until(engine: &mut Engine, end: Instant) {
    while let Some(deadline) = engine.next_deadline().filter(|deadline| *deadline <= end) {
        engine.handle_timeout(deadline.max(at(3)), 1, &World::new());
    }
}

#[test]
fn a_full_table_has_the_collector_come_for_what_is_closing() {
    for family in Family::ALL {
        let mut engine = engine(Limits { max: 100, ..limits() });
        (1..=50).for_each(|port| stream(&mut engine, family, port));
        (51..=100).for_each(|port| closing(&mut engine, family, port));
        assert!(engine.flows().all(|(_, flow)| flow.is(Status::ASSURED)));
        live_until(&mut engine, at(60));
        assert_eq!(engine.count(), 100, "nobody was turned away yet");
        let turned_away = receive(&mut engine, at(60), family, &query(101)).verdict;
        assert!(matches!(turned_away, Verdict::Drop(_)));
        live_until(&mut engine, at(119));
        assert_eq!(engine.count(), 100, "{family}: it comes within a minute, here after one");
        live_until(&mut engine, at(120));
        assert_eq!(engine.count(), 94, "{family}: until the table is no longer nearly full");
        assert!((1..=50).all(|port| ports(&engine).contains(&port)), "{family}: streams stay");
        assert_eq!((engine.stats().early_drop, engine.errands.waiting.len()), (0, 0));
    }
}

#[test]
fn a_table_that_has_room_again_is_left_alone() {
    let mut engine = engine(Limits { max: 2, buckets: 1, ..limits() });
    stream(&mut engine, Family::V4, 1);
    closing(&mut engine, Family::V4, 2);
    receive(&mut engine, at(3), Family::V4, &query(3));
    assert!(engine.set("net.netfilter.nf_conntrack_max", "4").is_ok());
    live_until(&mut engine, at(63));
    assert_eq!(ports(&engine), [1, 2]);
}

#[test]
fn flows_that_were_masqueraded_end_with_their_address() {
    for family in Family::ALL {
        let own = Host::Router.address(family);
        let other = Host::Server.address(family);
        let rows = [
            ("the address", WAN, Some(own), 1),
            ("another address of the port", WAN, Some(other), 4),
            ("the port", WAN, None, 1),
            ("another port", LAN, None, 4),
        ];
        for (what, port, addr, left) in rows {
            let mut engine = engine(limits());
            let text = "*nat\n-A POSTROUTING -p udp -j MASQUERADE\nCOMMIT\n";
            engine.replace_rules(&parse(family, "nat", text).unwrap());
            (1..=3).for_each(|port| {
                receive(&mut engine, at(3), family, &query(port));
            });
            closing(&mut engine, family, 4);
            told(&mut engine);
            assert!(engine.forget_masquerade(port, addr));
            assert_eq!(engine.count(), 4, "{what}: not before deadlines are seen to");
            live_until(&mut engine, at(3));
            assert_eq!(engine.count(), left, "{family}: {what}");
            let ends = told(&mut engine).len();
            assert_eq!(ends, 4 - left, "{family}: {what}: each end is told");
        }
    }
}

#[test]
fn errands_are_bounded_and_the_same_one_is_one() {
    let mut engine = engine(limits());
    let addr = |number: u32| Some(core::net::Ipv4Addr::from_bits(number).into());
    assert!((0..1024).all(|number| engine.forget_masquerade(WAN, addr(number % 1024))));
    assert!(!engine.forget_masquerade(WAN, addr(5000)));
    live_until(&mut engine, at(3));
    assert!(engine.forget_masquerade(WAN, None) && engine.forget_masquerade(WAN, None));
    assert_eq!(engine.errands.waiting.len(), 1);
}
