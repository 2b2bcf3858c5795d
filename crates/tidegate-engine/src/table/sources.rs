//! Flows by their source, for NAT: who already has a mapping keeps it.
//!
//! Only flows whose source translation is decided are filed (Linux:
//! `nf_nat_bysource`). Doubly linked through the slab, newest first.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::hash::{SipKey, scale};
use super::slab::{NIL, Slab};
use crate::flow::{Flow, FlowId, Status};
use crate::tuple::{Direction, Tuple, Zone, ZoneScope};

/// Chains at the start; doubled whenever there are as many flows as chains.
const INITIAL_CHAINS: usize = 1024;

pub(super) struct Sources {
    key: SipKey,
    heads: Vec<u32>,
    len: usize,
}

impl Sources {
    pub(super) fn new(key: SipKey) -> Self {
        Self { key, heads: vec![NIL; INITIAL_CHAINS], len: 0 }
    }

    /// Flows with the same source as `tuple`, newest first.
    pub(super) fn iter<'a>(
        &'a self,
        slab: &'a Slab,
        tuple: Tuple,
        zone: Zone,
    ) -> impl Iterator<Item = &'a Flow> {
        let head = self.heads[self.chain_of(&tuple, zone)];
        let exists = |slot: u32| (slot != NIL).then_some(slot);
        core::iter::successors(exists(head), move |slot| {
            slab.source(*slot).and_then(|(_, next)| exists(next))
        })
        .filter_map(move |slot| slab.at(slot).map(|(_, flow)| flow))
        .filter(move |flow| same_source(&flow.orig, &tuple) && same_zone(flow.zone, zone))
    }

    pub(super) fn link(&mut self, slab: &mut Slab, id: FlowId) {
        if !slab.flow(id).is_some_and(|flow| flow.is(Status::SRC_NAT_DONE)) {
            return;
        }
        if self.len >= self.heads.len() {
            self.grow(slab);
        }
        self.push(slab, id.slot);
        self.len += 1;
    }

    pub(super) fn unlink(&mut self, slab: &mut Slab, id: FlowId) {
        let Some((before, next)) = slab.source_mut(id.slot).take() else { return };
        let chain = slab.flow(id).map(|flow| self.chain_of(&flow.orig, flow.zone));
        match (before, chain) {
            (NIL, Some(chain)) => self.heads[chain] = next,
            (NIL, None) => {}
            (before, _) => set_next(slab, before, next),
        }
        if next != NIL {
            set_before(slab, next, before);
        }
        self.len -= 1;
    }

    fn push(&mut self, slab: &mut Slab, slot: u32) {
        let Some((_, flow)) = slab.at(slot) else { return };
        let chain = self.chain_of(&flow.orig, flow.zone);
        let next = core::mem::replace(&mut self.heads[chain], slot);
        *slab.source_mut(slot) = Some((NIL, next));
        if next != NIL {
            set_before(slab, next, slot);
        }
    }

    fn grow(&mut self, slab: &mut Slab) {
        let mut filed: Vec<u32> = Vec::with_capacity(self.len);
        for head in &self.heads {
            let mut slot = *head;
            while slot != NIL {
                filed.push(slot);
                slot = slab.source(slot).map_or(NIL, |(_, next)| next);
            }
        }
        self.heads = vec![NIL; self.heads.len() * 2];
        for slot in filed.into_iter().rev() {
            self.push(slab, slot);
        }
    }

    fn chain_of(&self, tuple: &Tuple, zone: Zone) -> usize {
        let address = match tuple.src {
            IpAddr::V4(src) => u128::from(src.to_bits()),
            IpAddr::V6(src) => src.to_bits(),
        };
        // A zone of one direction is no part of the key, as in Linux.
        let zone = if zone.scope == ZoneScope::Both { zone.id } else { 0 };
        let rest = u64::from(tuple.sport) | u64::from(zone) << 16 | u64::from(tuple.proto) << 32;
        let hash = self.key.hash_words([address as u64, (address >> 64) as u64, rest]);
        scale(hash, self.heads.len() as u32) as usize
    }
}

fn set_next(slab: &mut Slab, slot: u32, next: u32) {
    if let Some(links) = slab.source_mut(slot) {
        links.1 = next;
    }
}

fn set_before(slab: &mut Slab, slot: u32, before: u32) {
    if let Some(links) = slab.source_mut(slot) {
        links.0 = before;
    }
}

fn same_source(a: &Tuple, b: &Tuple) -> bool {
    (a.src, a.sport, a.proto) == (b.src, b.sport, b.proto)
}

fn same_zone(a: Zone, b: Zone) -> bool {
    a.id_in(Direction::Original) == b.id_in(Direction::Original)
}
