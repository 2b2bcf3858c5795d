//! The floor: the least work that a stateful path can do.
//!
//! Parse the datagram, put its tuple into one order for both directions, hash it with a key, read
//! one line of the index and one entry, compare the whole key, write when it was seen and how much,
//! say yes. Three passes over a burst of 128, each asking for what the next one needs. No protocol,
//! no window, no timer, no rule, no checksum.

use std::hint::black_box;

use tidegate_wire::{Family, proto};

use crate::clock::timed;
use crate::order::Permutation;
use crate::plan::Plan;
use crate::prefetch::Cache;
use crate::reference::entries::{Entries, Key, Shape, V4, V6};
use crate::ring::{BURST, Ring};
use crate::subject::{Pass, Subject};
use crate::traffic::{Steady, Traffic};

/// A table of flows, and their packets.
pub struct Floor<S, const W: usize> {
    table: Entries<W>,
    steady: Steady,
    ring: Ring,
    now: u64,
    _shape: core::marker::PhantomData<S>,
}

impl Floor<V4, 2> {
    /// The floor of a family.
    #[must_use]
    pub fn boxed(family: Family, flows: u32) -> Box<dyn Subject> {
        match family {
            Family::V4 => Box::new(Self::of(flows)),
            Family::V6 => Box::new(Floor::<V6, 5>::of(flows)),
        }
    }
}

impl<S: Shape<W>, const W: usize> Floor<S, W> {
    fn of(flows: u32) -> Self {
        Self {
            table: table::<S, W>(flows),
            steady: Steady::new(proto::TCP, Plan::Spread, flows, false),
            ring: Ring::new(S::FAMILY),
            now: 0,
            _shape: core::marker::PhantomData,
        }
    }

    /// A burst through all three passes; how many packets may pass.
    #[inline(never)]
    fn burst(&mut self) -> usize {
        let table = &mut self.table;
        let mut keys = [[0; W]; BURST];
        let mut hashes = [0; BURST];
        let packets = self.ring.packets();
        for ((packet, key), hash) in packets.iter().zip(&mut keys).zip(&mut hashes) {
            *key = S::read(packet.bytes).unwrap_or([0; W]);
            *hash = table.hash(key);
            table.ask_line(*hash, Cache::L2);
        }
        let mut found = [0; BURST];
        for (hash, number) in hashes.iter().zip(&mut found) {
            *number = table.candidate(*hash, Cache::L2).unwrap_or_default();
        }
        let mut passed = 0;
        for ((packet, key), number) in packets.iter().zip(&keys).zip(found) {
            let mut number = number;
            if !table.entries[number as usize].has(key) {
                let Some(elsewhere) = table.search(key) else { continue };
                number = elsewhere;
            }
            table.entries[number as usize].see(self.now, packet.bytes.len());
            passed += 1;
        }
        self.now += 1;
        passed
    }
}

impl<S: Shape<W>, const W: usize> Subject for Floor<S, W> {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = 2 * items / BURST as u64;
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
        assert_eq!(passed as u64, bursts * BURST as u64, "the floor lost a flow");
        Pass::of(bursts * BURST as u64, whole.saturating_sub(writing), 0)
    }
}

/// Looking up alone: hash, index line, entry, whole key, from keys at hand.
pub struct FloorLookup<S, const W: usize> {
    table: Entries<W>,
    order: Permutation,
    flows: u32,
    _shape: core::marker::PhantomData<S>,
}

impl FloorLookup<V4, 2> {
    /// The look-up of a family.
    #[must_use]
    pub fn boxed(family: Family, flows: u32) -> Box<dyn Subject> {
        match family {
            Family::V4 => Box::new(Self::of(flows)),
            Family::V6 => Box::new(FloorLookup::<V6, 5>::of(flows)),
        }
    }
}

impl<S: Shape<W>, const W: usize> FloorLookup<S, W> {
    fn of(flows: u32) -> Self {
        let order = Permutation::new(flows, 3);
        Self { table: table::<S, W>(flows), order, flows, _shape: core::marker::PhantomData }
    }

    #[inline]
    fn keys(&self, burst: u64) -> [Key<W>; BURST] {
        let first = burst * BURST as u64;
        core::array::from_fn(|i| {
            let position = (first + i as u64) % u64::from(self.flows);
            S::of(&Plan::Spread.ends(self.order.at(position as u32)), proto::TCP)
        })
    }

    #[inline(never)]
    fn find(&self, keys: &[Key<W>; BURST]) -> usize {
        let mut hashes = [0; BURST];
        for (key, hash) in keys.iter().zip(&mut hashes) {
            *hash = self.table.hash(key);
            self.table.ask_line(*hash, Cache::L2);
        }
        let mut found = [0; BURST];
        for (hash, number) in hashes.iter().zip(&mut found) {
            *number = self.table.candidate(*hash, Cache::L2).unwrap_or_default();
        }
        let is_there = |(key, number): (&Key<W>, u32)| {
            self.table.entries[number as usize].has(key) || self.table.search(key).is_some()
        };
        keys.iter().zip(found).filter(|pair| is_there(*pair)).count()
    }
}

impl<S: Shape<W>, const W: usize> Subject for FloorLookup<S, W> {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = 2 * items / BURST as u64;
        let making = timed(|| {
            for burst in 0..bursts {
                black_box(&self.keys(burst));
            }
        });
        let mut found = 0;
        let whole = timed(|| {
            for burst in 0..bursts {
                let keys = self.keys(burst);
                found += self.find(black_box(&keys));
            }
        });
        assert_eq!(found as u64, bursts * BURST as u64, "the floor lost a flow");
        Pass::of(bursts * BURST as u64, whole.saturating_sub(making), 0)
    }
}

fn table<S: Shape<W>, const W: usize>(flows: u32) -> Entries<W> {
    Entries::new((0..flows as usize).map(|flow| S::of(&Plan::Spread.ends(flow as u32), proto::TCP)))
}
