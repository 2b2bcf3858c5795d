//! Where the express path of what is fresh must leave a packet to the walk.

use core::slice;

use super::*;
use crate::path::train::Train;
use crate::rules::parse;
use crate::table::Spot;

/// A connection that was picked up midway is new as long as nobody answers, without being a SYN.
#[test]
fn a_new_segment_need_not_be_a_syn() {
    let segment = |number| tcp(Host::Client, TcpFlags::ACK, number, 1).data(9);
    for family in Family::ALL {
        let mut engine = engine(limits());
        let first = receive(&mut engine, at(1), family, &segment(1000));
        assert_eq!(first.conntrack, Some(CtInfo::New));
        let rule = "-A FORWARD -p tcp -m tcp ! --syn -m state --state NEW -j DROP";
        let rules = alloc::format!("*filter\n{rule}\nCOMMIT\n");
        engine.replace_rules(&parse(family, "rules", &rules).unwrap());
        let second = receive(&mut engine, at(2), family, &segment(1009));
        assert_eq!(second.conntrack, Some(CtInfo::New));
        assert!(matches!(second.verdict, Verdict::Drop(_)), "{family:?}: {second:?}");
    }
}

/// What was glanced at before the index took another key is looked up under the new one.
#[test]
fn a_new_key_outdates_glances() {
    let query = |port| udp(Host::Client, 9).ports(port, 53);
    let glance = |engine: &Engine, bytes: &mut [u8]| {
        let packet = Packet::received(bytes, Host::Client.ingress());
        let mut glance = Glance::of(sight(&engine.limits, &packet), &engine.table);
        glance.slot = None;
        glance
    };
    for family in Family::ALL {
        let mut engine = engine(limits());
        for port in 1..400 {
            receive(&mut engine, at(1), family, &query(port));
        }
        let before = glance(&engine, &mut query(7).bytes(family));
        engine.table.renew_key(&mut engine.rng);
        // With each of these some move that are there, until all have.
        for port in (400..500).chain([7]) {
            let mut bytes = query(port).bytes(family);
            let glance = if port == 7 { before } else { glance(&engine, &mut bytes) };
            let mut packet = Packet::received(&mut bytes, Host::Client.ingress());
            let (packets, glances) = (slice::from_mut(&mut packet), slice::from_ref(&glance));
            let train = Train { packets, glances, spots: &[Spot::NOWHERE] };
            engine.take_all(at(1), train, &World::new(), &mut |_, _| {});
        }
        assert_eq!(engine.count(), 499, "{family:?}: nobody is there twice");
    }
}
