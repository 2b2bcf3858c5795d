//! The index: hash chains over both tuples of every flow, as Linux has them.
//!
//! A node of a chain is one direction of one flow, numbered `slot * 2 + dir`;
//! new nodes go to the front. Nodes live in an array of their own and keep
//! their hash, so that walking a chain touches no flow but the one that is
//! looked for. The key is secret: nobody outside can aim at a bucket.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::hash::{SipKey, scale};
use super::slab::{NIL, Slab};
use crate::flow::{Flow, FlowId};
use crate::tuple::{Direction, Tuple, Zone};

pub(super) struct Index {
    key: SipKey,
    heads: Vec<u32>,
    nodes: Vec<Node>,
}

/// How many tuples [`Index::warm`] takes at once.
pub(super) const MAX_BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    hash: u32,
}

const UNUSED: Node = Node { next: NIL, hash: 0 };

/// Where a tuple goes, and what is there already.
pub(super) struct Place {
    pub(super) hash: u32,
    /// The flow that has this tuple.
    pub(super) taken: Option<(FlowId, Direction)>,
    /// Nodes in its bucket.
    pub(super) chain_len: u32,
}

impl Index {
    pub(super) fn new(key: SipKey, buckets: u32) -> Self {
        Self { key, heads: vec![NIL; buckets.max(1) as usize], nodes: Vec::new() }
    }

    /// The flows that have this tuple and are filed under the number that `zone`
    /// has for the direction `filed`, newest first. Their own zone is the same in
    /// the direction that they are found in: a zone of one direction is no zone
    /// for the other one (Linux: `nf_ct_key_equal`).
    pub(super) fn filed<'a>(
        &'a self,
        slab: &'a Slab,
        tuple: &'a Tuple,
        zone: Zone,
        filed: Direction,
    ) -> impl Iterator<Item = (FlowId, Direction)> + 'a {
        let hash = self.hash(tuple, zone.id_in(filed));
        self.chain(self.bucket(hash))
            .filter(move |number| self.nodes[*number as usize].hash == hash)
            .filter_map(move |number| matching(slab, number, tuple, zone))
    }

    /// Reads what looking these tuples up will read, one level for all of them
    /// before the next level: the processor waits for many lines at once instead
    /// of for one after the other. Changes nothing; the sum keeps the reads alive.
    pub(super) fn warm(&self, slab: &Slab, tuples: &[Tuple]) -> u64 {
        let mut numbers = [NIL; MAX_BATCH];
        for (number, tuple) in numbers.iter_mut().zip(tuples) {
            *number = self.bucket_of(tuple, 0);
        }
        let numbers = &mut numbers[..tuples.len().min(MAX_BATCH)];
        for number in numbers.iter_mut() {
            *number = self.heads[*number as usize];
        }
        let nodes = numbers.iter().filter_map(|number| self.nodes.get(*number as usize));
        let seen: u64 = nodes.map(|node| u64::from(node.hash)).sum();
        let slots = numbers.iter().filter(|number| **number != NIL).map(|number| number >> 1);
        seen.wrapping_add(slots.map(|slot| slab.warm(slot)).sum())
    }

    /// Where a new flow's tuple of direction `dir` would go; only flows that
    /// `is_alive` count as being there.
    pub(super) fn place(
        &self,
        slab: &Slab,
        flow: &Flow,
        dir: Direction,
        is_alive: impl Fn(FlowId) -> bool,
    ) -> Place {
        let tuple = flow.tuple(dir);
        let hash = self.hash(tuple, flow.zone.id_in(dir));
        let mut place = Place { hash, taken: None, chain_len: 0 };
        for number in self.chain(self.bucket(hash)) {
            place.chain_len += 1;
            if self.nodes[number as usize].hash == hash && place.taken.is_none() {
                let found = matching(slab, number, tuple, flow.zone);
                place.taken = found.filter(|(id, _)| is_alive(*id));
            }
        }
        place
    }

    /// Links both nodes of a flow, with the hashes that [`Index::place`] found.
    pub(super) fn link(&mut self, id: FlowId, hashes: [u32; 2]) {
        let end = (id.slot as usize + 1) * 2;
        if self.nodes.len() < end {
            self.nodes.resize(end, UNUSED);
        }
        for (dir, hash) in [Direction::Original, Direction::Reply].into_iter().zip(hashes) {
            let number = number_of(id, dir);
            self.nodes[number as usize].hash = hash;
            self.push(number);
        }
    }

    pub(super) fn unlink(&mut self, id: FlowId) {
        for dir in [Direction::Original, Direction::Reply] {
            let number = number_of(id, dir);
            let Node { next, hash } = self.nodes[number as usize];
            let bucket = self.bucket(hash);
            let before = self.chain(bucket).take_while(|other| *other != number).last();
            match before {
                None => self.heads[bucket as usize] = next,
                Some(before) => self.nodes[before as usize].next = next,
            }
        }
    }

    /// Files every node anew among another number of buckets.
    pub(super) fn resize(&mut self, buckets: u32) {
        let all: Vec<u32> =
            (0..self.heads.len() as u32).flat_map(|bucket| self.chain(bucket)).collect();
        self.heads = vec![NIL; buckets.max(1) as usize];
        for number in all.into_iter().rev() {
            self.push(number);
        }
    }

    /// The flows of the bucket `step` places after that of a tuple; one with
    /// both tuples in it comes once.
    pub(super) fn flows_near(
        &self,
        slab: &Slab,
        tuple: &Tuple,
        zone_id: u16,
        step: u32,
    ) -> Vec<FlowId> {
        let first = self.bucket_of(tuple, zone_id);
        let bucket = (first + step) % self.heads.len() as u32;
        let mut slots: Vec<u32> = Vec::new();
        for slot in self.chain(bucket).map(|number| number >> 1) {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        slots.into_iter().filter_map(|slot| slab.at(slot).map(|(id, _)| id)).collect()
    }

    fn push(&mut self, number: u32) {
        let bucket = self.bucket(self.nodes[number as usize].hash);
        let head = core::mem::replace(&mut self.heads[bucket as usize], number);
        self.nodes[number as usize].next = head;
    }

    fn chain(&self, bucket: u32) -> impl Iterator<Item = u32> + '_ {
        let exists = |number: u32| (number != NIL).then_some(number);
        core::iter::successors(exists(self.heads[bucket as usize]), move |number| {
            exists(self.nodes[*number as usize].next)
        })
    }

    /// The bucket of a tuple under a zone's number.
    pub(super) fn bucket_of(&self, tuple: &Tuple, zone_id: u16) -> u32 {
        self.bucket(self.hash(tuple, zone_id))
    }

    fn bucket(&self, hash: u32) -> u32 {
        scale(u64::from(hash) << 32, self.heads.len() as u32)
    }

    /// The high half of the keyed hash of a tuple in its zone.
    fn hash(&self, tuple: &Tuple, zone_id: u16) -> u32 {
        let rest = u64::from(tuple.sport)
            | u64::from(tuple.dport) << 16
            | u64::from(zone_id) << 32
            | u64::from(tuple.proto) << 48;
        let hash = match (tuple.src, tuple.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let addresses = u64::from(src.to_bits()) | u64::from(dst.to_bits()) << 32;
                self.key.hash_words([addresses, rest])
            }
            (src, dst) => {
                let [src, dst] = [src, dst].map(wide);
                let halves = |bits: u128| [bits as u64, (bits >> 64) as u64];
                let ([a, b], [c, d]) = (halves(src), halves(dst));
                self.key.hash_words([a, b, c, d, rest])
            }
        };
        (hash >> 32) as u32
    }
}

fn number_of(id: FlowId, dir: Direction) -> u32 {
    id.slot << 1 | dir.index() as u32
}

/// The flow of a node, if it has this tuple, and the same zone in the direction
/// of the node.
fn matching(slab: &Slab, number: u32, tuple: &Tuple, zone: Zone) -> Option<(FlowId, Direction)> {
    let (id, flow) = slab.at(number >> 1)?;
    let dir = if number & 1 == 0 { Direction::Original } else { Direction::Reply };
    let same = flow.tuple(dir) == tuple && flow.zone.id_in(dir) == zone.id_in(dir);
    same.then_some((id, dir))
}

fn wide(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}
