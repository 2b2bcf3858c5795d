//! Sources against a list: who is newest, whoever came and went.

use alloc::vec::Vec;

use tidegate_wire::{Family, proto};

use super::*;
use crate::rand::Rng;
use crate::testkit::flow;

/// A slab, its sources, and the slots in the order of their arrival.
struct Town {
    slab: Slab,
    sources: Sources,
    residents: Vec<u32>,
}

/// The flow from a source of that number to somebody of that number, from a zone that counts for both directions or
/// for one.
fn from(family: Family, source: u32, to: u16, zone: Zone) -> Flow {
    let [src, dst]: [IpAddr; 2] = match family {
        Family::V4 => [0x0a00_0000 | source >> 8, 0xcb00_7100 | u32::from(to >> 8)]
            .map(|bits| core::net::Ipv4Addr::from_bits(bits).into()),
        Family::V6 => [u128::from(source >> 8) << 40 | 1, u128::from(to >> 8) << 8 | 2]
            .map(|bits| core::net::Ipv6Addr::from_bits(0xfd << 120 | bits).into()),
    };
    let (sport, dport) = (1000 + (source & 0xff) as u16, 1 + (to & 0xff));
    let mut flow = flow(Tuple { src, dst, sport, dport, proto: proto::UDP });
    flow.reply.dport = 7;
    flow.status = Status::SRC_NAT_DONE;
    flow.zone = zone;
    flow
}

impl Town {
    fn new() -> Self {
        let (slab, sources) = (Slab::default(), Sources::new(IndexKey::new([3, 4])));
        Self { slab, sources, residents: Vec::new() }
    }

    fn enter(&mut self, flow: &Flow) -> u32 {
        let slot = self.slab.insert(flow).slot;
        self.sources.link(&mut self.slab, slot, flow);
        self.residents.push(slot);
        slot
    }

    fn leave(&mut self, slot: u32) {
        let flow = self.slab.read(slot);
        self.sources.unlink(&mut self.slab, slot, &flow);
        self.slab.remove(slot);
        self.residents.retain(|other| *other != slot);
    }

    fn seen(&self, flow: &Flow) -> Vec<u32> {
        self.sources.slots(&self.slab, &flow.orig, flow.zone).collect()
    }

    /// Fails unless the list of a flow's source is what it should be.
    fn check_source(&self, flow: &Flow) {
        let own = Source::of(&flow.orig, flow.zone);
        let residents = self.residents.iter().rev().copied();
        let expected: Vec<u32> =
            residents.filter(|slot| Source::of_flow(&self.slab, *slot) == own).collect();
        assert_eq!(self.seen(flow), expected, "{:?}", flow.orig);
    }

    /// Fails unless all lists are, and each source hangs where it belongs.
    fn check(&self) {
        for slot in &self.residents {
            self.check_source(&self.slab.read(*slot));
        }
        let mut newest = 0;
        for bucket in 0..self.sources.buckets.len() {
            let mut next = exists(*self.sources.buckets.at(bucket));
            while let Some(slot) = next {
                newest += 1;
                let hash = self.sources.hash(&Source::of_flow(&self.slab, slot));
                assert_eq!(self.sources.bucket(hash), bucket);
                next = exists(self.slab.links(slot).newer);
            }
        }
        assert_eq!(self.sources.len, newest);
        let buckets = self.sources.buckets.len();
        assert!(
            newest <= CROWD * buckets && (CROWD * buckets).div_ceil(2) <= newest.max(1),
            "{newest} sources, {buckets}"
        );
    }
}

const NOWHERE: Zone = Zone { id: 0, scope: ZoneScope::Both };

#[test]
fn the_newest_of_a_source_comes_first_whoever_leaves() {
    for family in Family::ALL {
        // Of five flows of one source, beside others that share its bucket or do not: those that leave, in this order.
        let rows: [&[usize]; 6] =
            [&[4, 3, 2, 1, 0], &[0, 1, 2, 3, 4], &[2, 1, 3, 4, 0], &[4, 0, 2, 3, 1], &[1], &[3, 4]];
        for others in [0, 1, 2, 40] {
            for leaving in rows {
                let mut town = Town::new();
                let neighbours: Vec<Flow> =
                    (0..others).map(|n| from(family, 77 + n, 0, NOWHERE)).collect();
                neighbours.iter().for_each(|flow| _ = town.enter(flow));
                let slots: Vec<u32> =
                    (0..5).map(|to| town.enter(&from(family, 5, to, NOWHERE))).collect();
                town.check();
                for nth in leaving {
                    town.leave(slots[*nth]);
                    town.check();
                }
                let again = town.enter(&from(family, 5, 9, NOWHERE));
                assert_eq!(town.seen(&from(family, 5, 1, NOWHERE)).first(), Some(&again));
                town.check();
                neighbours.iter().for_each(|flow| assert_eq!(town.seen(flow).len(), 1));
            }
        }
    }
}

#[test]
fn zones_of_both_directions_are_sources_of_their_own() {
    for family in Family::ALL {
        let mut town = Town::new();
        let zone = |id, scope| Zone { id, scope };
        let zones = [
            zone(0, ZoneScope::Both),
            zone(5, ZoneScope::Both),
            zone(6, ZoneScope::Both),
            zone(5, ZoneScope::Original),
            zone(5, ZoneScope::Reply),
        ];
        let [default, five, six, original, reply] =
            zones.map(|zone| town.enter(&from(family, 1, 1, zone)));
        let seen = |zone| town.seen(&from(family, 1, 2, zone));
        assert_eq!(zones.map(seen)[1..3], [[five], [six]]);
        for zone in [zones[0], zones[3], zones[4]] {
            assert_eq!(seen(zone), [reply, original, default]);
        }
        let found = |town: &Town, zone| -> usize {
            town.sources.iter(&town.slab, from(family, 1, 2, zone).orig, zone).count()
        };
        // Within a list the number for the original direction tells.
        assert_eq!(zones.map(|zone| found(&town, zone)), [2, 1, 1, 1, 2]);
        town.leave(original);
        town.check();
        assert_eq!(zones.map(|zone| found(&town, zone)), [2, 1, 1, 0, 2]);
    }
}

#[test]
fn protocols_and_families_are_told_apart() {
    let mut town = Town::new();
    let mut flows: Vec<Flow> = Family::ALL.map(|family| from(family, 1, 1, NOWHERE)).to_vec();
    let mut tcp = from(Family::V4, 1, 1, NOWHERE);
    (tcp.orig.proto, tcp.reply.proto) = (proto::TCP, proto::TCP);
    flows.push(tcp);
    let slots: Vec<u32> = flows.iter().map(|flow| town.enter(flow)).collect();
    for (flow, slot) in flows.iter().zip(slots) {
        assert_eq!(town.seen(flow), [slot]);
    }
    town.check();
}

#[test]
fn a_flow_that_is_not_decided_is_not_listed() {
    let mut town = Town::new();
    let undecided = Flow { status: Status::DST_NAT_DONE, ..from(Family::V4, 1, 1, NOWHERE) };
    let slot = town.enter(&undecided);
    assert!(town.seen(&undecided).is_empty());
    town.leave(slot);
    assert_eq!((town.sources.len, town.sources.buckets.len()), (0, 0));
}

/// One source with as many flows as it can have towards one host, among others with few.
#[test]
fn thousands_of_one_source_are_no_burden_to_anybody() {
    const MANY: u16 = 40_000;
    for family in Family::ALL {
        let mut town = Town::new();
        let mut slots = Vec::new();
        for to in 0..MANY {
            let flow = from(family, 1, to, NOWHERE);
            let slot = town.slab.insert(&flow).slot;
            town.sources.link(&mut town.slab, slot, &flow);
            slots.push(slot);
            if to % 100 == 0 {
                let other = from(family, 2 + u32::from(to), 0, NOWHERE);
                let slot = town.slab.insert(&other).slot;
                town.sources.link(&mut town.slab, slot, &other);
            }
        }
        let sources = 1 + u32::from(MANY / 100);
        assert_eq!(town.sources.len, sources);
        assert!(town.sources.buckets.len() <= sources, "buckets are for sources, not flows");
        let seen = town.seen(&from(family, 1, 0, NOWHERE));
        assert!(seen.iter().eq(slots.iter().rev()));
        // No chain has more than the few sources that its bucket has.
        let longest = (0..town.sources.buckets.len()).map(|bucket| {
            let first = exists(*town.sources.buckets.at(bucket));
            core::iter::successors(first, |slot| exists(town.slab.links(*slot).newer)).count()
        });
        assert!(longest.max() <= Some(16));
        // They go from the middle outwards.
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|nth| nth.abs_diff(slots.len() / 2));
        for (gone, nth) in order.iter().enumerate() {
            let flow = town.slab.read(slots[*nth]);
            town.sources.unlink(&mut town.slab, slots[*nth], &flow);
            town.slab.remove(slots[*nth]);
            if gone % 10_000 == 0 {
                assert_eq!(town.seen(&flow).len(), slots.len() - gone - 1);
            }
        }
        assert_eq!(town.sources.len, sources - 1);
        assert!(town.seen(&from(family, 1, 0, NOWHERE)).is_empty());
    }
}

#[test]
fn any_order_of_coming_and_going_leaves_the_lists_right_and_in_the_end_nothing() {
    for family in Family::ALL {
        for (seed, most) in [(1, 3), (2, 40), (3, 300)] {
            let mut rng = Rng::new(seed);
            let mut town = Town::new();
            for step in 0..6 * most {
                let is_growing = step < 3 * most || step % 3 == 0;
                if is_growing || town.residents.is_empty() {
                    let (source, to) = (rng.below(most), rng.below(1 << 16) as u16);
                    town.enter(&from(family, source * 7, to, NOWHERE));
                } else {
                    let nth = rng.below(town.residents.len() as u32) as usize;
                    town.leave(town.residents[nth]);
                }
                if step % (most / 3) == 0 {
                    town.check();
                }
            }
            while let Some(slot) = town.residents.last().copied() {
                town.leave(slot);
            }
            town.check();
            assert_eq!((town.sources.len, town.sources.buckets.len()), (0, 1));
        }
    }
}
