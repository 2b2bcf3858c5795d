//! Where the express path of what is fresh must leave a packet to the walk.

use core::slice;

use super::*;
use crate::path::train::Train;
use crate::rules::parse;
use crate::table::{FlowTable, Spot};
use crate::tuple::{Direction, Zone};

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

/// The index takes another key amid a burst, as too many flows are at home in one place. Who comes behind in the burst gets
/// what he gets alone.
#[test]
fn a_burst_goes_on_under_a_new_key() {
    for family in Family::ALL {
        let [mut burst, mut single] = [engine(limits()), engine(limits())];
        let mut ports = (1..=u16::MAX).flat_map(|port| (1..5000).map(move |other| (port, other)));
        let (mut now, mut begun, mut changed) = (at(1), 0, None);
        while changed.is_none() {
            assert!(begun < 2000, "the key is never changed");
            let crowd = crowd(&burst.table, family, &mut ports);
            begun += crowd.len();
            // Each second one is followed by another packet of the one before: of whose flow nothing was seen when the
            // burst was looked at, and whose hash is of the old key by then.
            let all = crowd.chunks(2).flat_map(|two| [&two[0], &two[1], &two[0]]);
            let mut bytes: Vec<Vec<u8>> = all.map(|one| one.bytes(family)).collect();
            let mut again = bytes.clone();
            let mut packets: Vec<_> = bytes
                .iter_mut()
                .map(|bytes| Packet::received(bytes, Host::Client.ingress()))
                .collect();
            let mut outcomes = Vec::new();
            burst.process_batch(now, &mut packets, &World::new(), |_, outcome| {
                outcomes.push(outcome)
            });
            for (number, (bytes, outcome)) in again.iter_mut().zip(&outcomes).enumerate() {
                assert_eq!(receive_bytes(&mut single, now, bytes, Host::Client), *outcome);
                changed = changed.or(single.table.has_new_key().then_some(number));
            }
            assert_eq!(bytes, again, "{family:?}");
            assert_eq!(burst.table.has_new_key(), changed.is_some());
            now += Duration::from_millis(1);
        }
        assert!(
            changed.is_some_and(|number| (1..100).contains(&number)),
            "{changed:?} is not amid"
        );
        assert_eq!(burst.count(), begun, "{family:?}: nobody is there twice");
    }
}

/// Eighty datagrams of flows that are at home next to each other, which one in 4,096 is.
fn crowd(
    table: &FlowTable,
    family: Family,
    ports: &mut impl Iterator<Item = (u16, u16)>,
) -> Vec<Datagram> {
    let hash =
        |one: &Datagram| table.hash(&one.tuple(family), Zone::default(), Direction::Original);
    let datagrams = ports.map(|(port, other)| udp(Host::Client, 9).ports(port, other));
    datagrams.filter(|one| hash(one) >> 20 == 7).take(80).collect()
}
