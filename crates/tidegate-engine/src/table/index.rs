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
use crate::flow::{Flow, FlowId};
use crate::tuple::{Direction, Tuple, Zone};

pub(super) struct Index {
    key: SipKey,
    heads: Vec<u32>,
}

/// Where a tuple goes, and what is there already.
pub(super) struct Place {
    pub(super) bucket: u32,
    /// The flow that has this tuple.
    pub(super) taken: Option<(FlowId, Direction)>,
    /// Nodes in the bucket.
    pub(super) chain_len: u32,
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

    /// The flow under this tuple in the bucket of zone number `zone_id`, whose
    /// zone is the same as `zone` in the direction that it is found in.
    pub(super) fn find(
        &self,
        slab: &Slab,
        tuple: &Tuple,
        zone: Zone,
        zone_id: u16,
    ) -> Option<(FlowId, Direction)> {
        let bucket = self.bucket_of(tuple, zone_id);
        self.nodes(slab, bucket).find_map(|node| matching(slab, node, tuple, zone))
    }

    /// Where a new flow's tuple of direction `dir` would go.
    pub(super) fn place(&self, slab: &Slab, flow: &Flow, dir: Direction) -> Place {
        let (tuple, zone_id) = (flow.tuple(dir), flow.zone.id_in(dir));
        let bucket = self.bucket_of(tuple, zone_id);
        let mut place = Place { bucket, taken: None, chain_len: 0 };
        for node in self.nodes(slab, bucket) {
            place.chain_len += 1;
            if place.taken.is_none() {
                place.taken = matching(slab, node, tuple, flow.zone);
            }
        }
        place
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

    /// Links both nodes of a flow where [`Index::place`] said.
    pub(super) fn link(&mut self, slab: &mut Slab, id: FlowId, buckets: [u32; 2]) {
        for (dir, bucket) in [Direction::Original, Direction::Reply].into_iter().zip(buckets) {
            self.push(slab, node(id.slot, dir), bucket);
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
            let Some((id, _)) = slab.at(node >> 1) else { continue };
            if let Some(bucket) = self.bucket_in(slab, id, direction(node)) {
                self.push(slab, node, bucket);
            }
        }
    }

    fn push(&mut self, slab: &mut Slab, node: u32, bucket: u32) {
        let head = &mut self.heads[bucket as usize];
        slab.links_mut(node >> 1).next[direction(node).index()] = *head;
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

/// The flow of a node, if it has this tuple, and the same zone in the direction
/// of the node.
fn matching(slab: &Slab, node: u32, tuple: &Tuple, zone: Zone) -> Option<(FlowId, Direction)> {
    let (id, flow) = slab.at(node >> 1)?;
    let dir = direction(node);
    let same = flow.tuple(dir) == tuple && flow.zone.id_in(dir) == zone.id_in(dir);
    same.then_some((id, dir))
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
