//! Slots are given lowest first, and memory goes back.

use core::time::Duration;

use super::*;
use crate::testkit::{Host, flow, udp};

fn nth(family: Family, port: u16) -> Flow {
    flow(udp(Host::Client, 0).ports(port, 53).tuple(family))
}

fn filled(flows: u16) -> (Slab, Vec<FlowId>) {
    let mut slab = Slab::default();
    let ids = (0..flows).map(|port| slab.insert(&nth(Family::V4, port))).collect();
    (slab, ids)
}

#[test]
fn each_family_counts_from_its_own_zero() {
    let mut slab = Slab::default();
    let slots = [Family::V4, Family::V6, Family::V6, Family::V4]
        .map(|family| slab.insert(&nth(family, 1)).slot);
    assert_eq!(slots, [0, V6, V6 | 1, 1]);
    assert_eq!(slab.slots().collect::<Vec<u32>>(), [0, 1, V6, V6 | 1]);
}

#[test]
fn a_slot_in_the_first_segment_that_has_one_is_given() {
    let (mut slab, ids) = filled(3 * SEGMENT);
    let [second, third] = [1, 2].map(|segments| u32::from(segments * SEGMENT) + 100);
    for slot in [third, second, 700, 20] {
        slab.remove(ids[slot as usize].slot);
    }
    let mut given = || slab.insert(&nth(Family::V4, 9)).slot;
    assert_eq!([given(), given()], [20, 700], "of a segment the last one that became free");
    assert_eq!([given(), given(), given()], [second, third, u32::from(3 * SEGMENT)]);
}

#[test]
fn generations_tell_tenants_apart() {
    let (mut slab, ids) = filled(2);
    slab.remove(ids[0].slot);
    assert!(!slab.has(ids[0]) && slab.load(ids[0]).is_none());
    let next = slab.insert(&nth(Family::V4, 7));
    assert_eq!((next.slot, slab.id_of(next.slot)), (ids[0].slot, next));
    assert!(slab.has(next) && slab.has(ids[1]) && !slab.has(ids[0]));
    assert_eq!((slab.age(ids[1]), slab.age(next)), (1, 0));
    slab.generation = GENERATION;
    let wrapped = slab.insert(&nth(Family::V4, 8));
    assert_eq!((wrapped.generation, slab.age(FlowId { slot: 9, generation: GENERATION })), (0, 1));
    let never = FlowId { slot: 1 << 20, generation: 1 };
    assert!(!slab.has(never) && slab.timer(never.slot).is_none());
}

#[test]
fn the_last_segments_go_back_when_nobody_is_in_them() {
    const FEW: usize = 100;
    let segment = usize::from(SEGMENT);
    let (mut slab, ids) = filled(2 * SEGMENT + 7);
    assert_eq!((slab.v4.records.len(), slab.v4.houses.len()), (u32::from(2 * SEGMENT) + 7, 3));
    // Those of the middle leave first, and most of the beginning, which gives nothing back.
    ids[segment..2 * segment].iter().for_each(|id| slab.remove(id.slot));
    ids[FEW..segment].iter().for_each(|id| slab.remove(id.slot));
    assert_eq!(slab.v4.records.len(), u32::from(2 * SEGMENT) + 7);
    // With the last of the end both go.
    ids[2 * segment..].iter().for_each(|id| slab.remove(id.slot));
    assert_eq!((slab.v4.records.len(), slab.v4.houses.len()), (u32::from(SEGMENT), 1));
    assert!(ids[FEW..].iter().all(|id| !slab.has(*id) && slab.timer(id.slot).is_none()));
    assert!(ids[..FEW].iter().all(|id| slab.has(*id)));
    // And come again.
    let mut given: Vec<u32> =
        (0..SEGMENT).map(|port| slab.insert(&nth(Family::V4, port)).slot).collect();
    given.sort_unstable();
    assert!(given.iter().copied().eq(FEW as u32..(FEW + segment) as u32));
    assert_eq!(slab.slots().count(), FEW + segment);
    // The last of all stays, as the one before is full.
    given[segment - FEW..].iter().for_each(|slot| slab.remove(*slot));
    assert_eq!((slab.v4.records.len(), slab.v4.houses.len()), ((FEW + segment) as u32, 2));
}

/// Slots of a segment.
const SEGMENT: u16 = Column::<Record<Key4>>::SEGMENT as u16;

#[test]
fn births_are_for_those_who_want_them() {
    let mut slab = Slab::default();
    let born = |start: Option<u64>| {
        let start = start.map(Instant::from_nanos);
        let lifetime = Some(Lifetime { start, stop: None });
        Flow { lifetime, ..nth(Family::V6, 1) }
    };
    for start in [0, 7, u64::MAX - 1] {
        let id = slab.insert(&born(Some(start)));
        let lifetime = slab.load(id).and_then(|flow| flow.lifetime);
        assert_eq!(
            lifetime,
            Some(Lifetime { start: Some(Instant::from_nanos(start)), stop: None })
        );
        // A flow that is written back keeps it.
        slab.update(id.slot, &nth(Family::V6, 1));
        assert_eq!(slab.load(id).and_then(|flow| flow.lifetime), lifetime);
        slab.remove(id.slot);
        let next = slab.insert(&nth(Family::V6, 2));
        assert_eq!(slab.load(next).and_then(|flow| flow.lifetime), None, "it is not inherited");
        slab.remove(next.slot);
    }
}

#[test]
fn a_timer_is_that_of_the_tenant() {
    let (mut slab, ids) = filled(1);
    slab.set_armed(0, 9);
    let mut flow = slab.load(ids[0]).expect("it is there");
    flow.deadline = Instant::ZERO + Duration::from_secs(30);
    slab.update(0, &flow);
    assert_eq!(slab.timer(0), Some(Timer { deadline: 28_611, armed: &mut 9 }));
    slab.remove(0);
    assert_eq!(slab.timer(0), None);
}
