//! A flow table as one writes it on the first day: a hash map from five-tuples to records.
//!
//! One look-up a packet, no prefetch, no timer, nothing of a protocol: what is left when one takes
//! hashbrown and stops thinking. Both directions of a flow share a key, as with the floor.

use core::hash::{BuildHasher, Hash};
use std::hint::black_box;

use hashbrown::HashMap;
use tidegate_wire::{Family, proto};

use crate::clock::timed;
use crate::plan::Plan;
use crate::reference::entries::{Key, Shape, V4, V6};
use crate::ring::{BURST, Ring};
use crate::session::is_roomy;
use crate::subject::{Pass, Subject};
use crate::traffic::{Steady, Traffic};

/// Flows in a hash map, and their packets.
pub struct Naive<H, S, const W: usize> {
    flows: HashMap<FiveTuple<W>, Record, H>,
    steady: Steady,
    ring: Ring,
    now: u64,
    _shape: core::marker::PhantomData<S>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FiveTuple<const W: usize>(Key<W>);

/// 64 bytes, as much as the floor's entry.
#[derive(Clone, Copy, Default)]
struct Record {
    last_seen: u64,
    packets: u64,
    bytes: u64,
    _state: [u64; 5],
}

impl<H: BuildHasher + Default + 'static> Naive<H, V4, 2> {
    /// The table of a family.
    #[must_use]
    pub fn boxed(family: Family, flows: u32) -> Box<dyn Subject> {
        match family {
            Family::V4 => Box::new(Self::of(flows)),
            Family::V6 => Box::new(Naive::<H, V6, 5>::of(flows)),
        }
    }
}

impl<H: BuildHasher + Default, S: Shape<W>, const W: usize> Naive<H, S, W> {
    /// The flows are put in one by one, so that the map is as large as its growth makes it; only
    /// where the old map and the new one had no room beside each other it gets that size at once.
    fn of(count: u32) -> Self {
        let at_once = if is_roomy(count) { 0 } else { count as usize };
        let mut flows = HashMap::with_capacity_and_hasher(at_once, H::default());
        for flow in 0..count {
            let key = FiveTuple(S::of(&Plan::Spread.ends(flow), proto::TCP));
            flows.insert(key, Record::default());
        }
        let steady = Steady::new(proto::TCP, Plan::Spread, count, false);
        let ring = Ring::new(S::FAMILY);
        Self { flows, steady, ring, now: 0, _shape: core::marker::PhantomData }
    }

    #[inline(never)]
    fn burst(&mut self) -> usize {
        let mut passed = 0;
        for packet in &self.ring.packets() {
            let record = S::read(packet.bytes).and_then(|key| self.flows.get_mut(&FiveTuple(key)));
            let Some(record) = record else { continue };
            record.last_seen = self.now;
            record.packets += 1;
            record.bytes += packet.bytes.len() as u64;
            passed += 1;
        }
        self.now += 1;
        passed
    }
}

impl<H: BuildHasher + Default, S: Shape<W>, const W: usize> Subject for Naive<H, S, W> {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = items / BURST as u64;
        let mut alone = self.steady.clone();
        let writing = timed(|| {
            for _ in 0..bursts {
                alone.burst(&mut self.ring);
                black_box(&self.ring.packets());
            }
        });
        let mut passed = 0;
        let whole = timed(|| {
            for _ in 0..bursts {
                self.steady.burst(&mut self.ring);
                passed += self.burst();
            }
        });
        assert_eq!(passed as u64, bursts * BURST as u64, "the map lost a flow");
        Pass::of(bursts * BURST as u64, whole.saturating_sub(writing), 0)
    }
}
