//! The index: hash chains over both tuples of every flow, as Linux has them.
//!
//! A node of a chain is one direction of one flow. Chains are singly linked
//! through the slab, new nodes go to the front. The key is secret, so that
//! nobody outside can aim at a bucket.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::hash::{SipKey, scale};
use super::slab::{NIL, Slab};
use crate::flow::FlowId;
use crate::tuple::{Direction, Tuple, Zone};

pub(super) struct Index {
    key: SipKey,
    heads: Vec<u32>,
}

fn node(slot: u32, dir: Direction) -> u32 {
    slot << 1 | dir.index() as u32
}

fn direction(node: u32) -> Direction {
    if node & 1 == 0 { Direction::Original } else { Direction::Reply }
}

impl Index {
    pub(super) fn new(key: SipKey, buckets: u32) -> Self {
        Self { key, heads: vec![NIL; buckets.max(1) as usize] }
    }

    pub(super) fn bucket_of(&self, tuple: &Tuple, zone: u16) -> u32 {
        scale(hash(&self.key, tuple, zone), self.heads.len() as u32)
    }

    /// The bucket `step` places after `bucket`.
    pub(super) fn wrap(&self, bucket: u32, step: u32) -> u32 {
        (bucket + step) % self.heads.len() as u32
    }

    /// The flows that have this tuple and are filed under the number that `zone` has for the
    /// direction `filed`, newest first. Their own zone must have the same number in the direction
    /// that they are found in: a zone of one direction is no zone for the other one (Linux:
    /// `nf_ct_key_equal`).
    pub(super) fn filed<'a>(
        &'a self,
        slab: &'a Slab,
        tuple: &'a Tuple,
        zone: Zone,
        filed: Direction,
    ) -> impl Iterator<Item = (FlowId, Direction)> + 'a {
        let number = zone.id_in(filed);
        self.nodes(slab, self.bucket_of(tuple, number)).filter_map(move |node| {
            let (id, flow) = slab.at(node >> 1)?;
            let dir = direction(node);
            let same_zone = flow.zone.id_in(dir) == number && zone.id_in(dir) == number;
            (flow.tuple(dir) == tuple && same_zone).then_some((id, dir))
        })
    }

    pub(super) fn chain_len(&self, slab: &Slab, tuple: &Tuple, zone: u16) -> u32 {
        self.nodes(slab, self.bucket_of(tuple, zone)).count() as u32
    }

    /// The flows of a bucket; one with both tuples in it comes once.
    pub(super) fn chain<'a>(
        &'a self,
        slab: &'a Slab,
        bucket: u32,
    ) -> impl Iterator<Item = FlowId> + 'a {
        let mut seen: Vec<u32> = Vec::new();
        self.nodes(slab, bucket).filter_map(move |node| {
            let slot = node >> 1;
            if seen.contains(&slot) {
                return None;
            }
            seen.push(slot);
            slab.at(slot).map(|(id, _)| id)
        })
    }

    pub(super) fn link(&mut self, slab: &mut Slab, id: FlowId) {
        for dir in [Direction::Original, Direction::Reply] {
            let Some(bucket) = self.bucket_in(slab, id, dir) else { return };
            let head = &mut self.heads[bucket as usize];
            slab.links_mut(id.slot).next[dir.index()] = *head;
            *head = node(id.slot, dir);
        }
    }

    pub(super) fn unlink(&mut self, slab: &mut Slab, id: FlowId) {
        for dir in [Direction::Original, Direction::Reply] {
            let Some(bucket) = self.bucket_in(slab, id, dir) else { return };
            let target = node(id.slot, dir);
            let next = slab.links(id.slot).next[dir.index()];
            let before = self.nodes(slab, bucket).take_while(|node| *node != target).last();
            match before {
                None => self.heads[bucket as usize] = next,
                Some(before) => {
                    slab.links_mut(before >> 1).next[direction(before).index()] = next;
                }
            }
        }
    }

    pub(super) fn resize(&mut self, slab: &mut Slab, buckets: u32) {
        let mut all: Vec<u32> = Vec::new();
        for bucket in 0..self.heads.len() as u32 {
            all.extend(self.nodes(slab, bucket));
        }
        self.heads = vec![NIL; buckets.max(1) as usize];
        for node in all.into_iter().rev() {
            self.push(slab, node);
        }
    }

    fn push(&mut self, slab: &mut Slab, node: u32) {
        let Some((id, _)) = slab.at(node >> 1) else { return };
        let Some(bucket) = self.bucket_in(slab, id, direction(node)) else { return };
        let head = &mut self.heads[bucket as usize];
        slab.links_mut(id.slot).next[direction(node).index()] = *head;
        *head = node;
    }

    fn bucket_in(&self, slab: &Slab, id: FlowId, dir: Direction) -> Option<u32> {
        let flow = slab.flow(id)?;
        Some(self.bucket_of(flow.tuple(dir), flow.zone.id_in(dir)))
    }

    fn nodes<'a>(&'a self, slab: &'a Slab, bucket: u32) -> impl Iterator<Item = u32> + 'a {
        let head = self.heads[bucket as usize];
        let exists = |node: u32| (node != NIL).then_some(node);
        core::iter::successors(exists(head), move |node| {
            exists(slab.links(node >> 1).next[direction(*node).index()])
        })
    }
}

/// The keyed hash of a tuple in its zone.
fn hash(key: &SipKey, tuple: &Tuple, zone: u16) -> u64 {
    let rest = u64::from(tuple.sport)
        | u64::from(tuple.dport) << 16
        | u64::from(zone) << 32
        | u64::from(tuple.proto) << 48;
    match (tuple.src, tuple.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let addresses = u64::from(src.to_bits()) | u64::from(dst.to_bits()) << 32;
            key.hash_words([addresses, rest])
        }
        (src, dst) => {
            let [src, dst] = [src, dst].map(wide);
            key.hash_words([src as u64, (src >> 64) as u64, dst as u64, (dst >> 64) as u64, rest])
        }
    }
}

fn wide(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}
