//! A new key for the index, should somebody have found out the old one.
//!
//! Hashes of an unknown key spread evenly, and then no entry ever travels far from where it belongs.
//! One that does (`Lines::is_stressed`) is the sign of an attack, or of a miracle, and either way a
//! new key cures it. Every entry that comes or goes moves some others, and until all have moved,
//! look-ups ask under both keys; the express path finds what has moved, and leaves the rest to the
//! walk.

use super::index_key::IndexKey;
use super::slab::Slab;
use super::{FlowTable, key};
use crate::rand::Rng;
use crate::tuple::{Direction, Tuple};

impl FlowTable {
    /// Begins to re-key if entries lie too far from home, and goes on if that has begun.
    #[inline(always)]
    pub(super) fn relieve(&mut self, rng: &mut Rng) {
        if self.retired_key.is_some() || self.index.is_stressed() {
            self.rekey(rng);
        }
    }

    #[cold]
    fn rekey(&mut self, rng: &mut Rng) {
        if self.retired_key.is_none() {
            self.renew_key(rng);
        }
        self.rekey_some();
    }

    /// Begins to re-key. => no earlier re-keying goes on
    #[cold]
    pub(crate) fn renew_key(&mut self, rng: &mut Rng) {
        let key = IndexKey::new([rng.next_u64(), rng.next_u64()]);
        self.retired_key = Some(core::mem::replace(&mut self.key, key));
        self.index.begin_rekey();
        self.has_new_key = true;
    }

    /// Whether the key has changed since [`FlowTable::keep_key`]: hashes from before are of no use.
    #[inline]
    pub(crate) fn has_new_key(&self) -> bool {
        self.has_new_key
    }

    /// Hashes that are made from now on are those of the key that there is.
    #[inline]
    pub(crate) fn keep_key(&mut self) {
        self.has_new_key = false;
    }

    fn rekey_some(&mut self) {
        let Some(old) = self.retired_key else { return };
        let (slab, new) = (&self.slab, self.key);
        if !self.index.rekey_step(|slot, hash| rehashed(slab, slot, hash, (&old, &new))) {
            self.retired_key = None;
        }
    }

    /// The slots filed under a tuple and a zone's number, of which `hash` is the hash.
    #[inline]
    pub(super) fn candidates(
        &self,
        hash: u32,
        tuple: &Tuple,
        number: u16,
    ) -> impl Iterator<Item = u32> {
        // Without a retired key there are no retired entries, and any hash does.
        let retired = self.retired_key.as_ref().map_or(hash, |old| key::hash(old, tuple, number));
        self.index.candidates_of_both(hash, retired)
    }

    /// Whether nothing is filed under a hash: the answer for nearly every new flow, and cheaper than
    /// a look-up.
    #[inline]
    pub(super) fn is_nobodys(&self, hash: u32) -> bool {
        self.retired_key.is_none() && self.index.has_none(hash)
    }

    /// Takes a slot out of the index, which is filed there under a tuple and a zone's number.
    pub(super) fn unfile(&mut self, slot: u32, tuple: &Tuple, number: u16) {
        let hash = key::hash(&self.key, tuple, number);
        match self.retired_key {
            None => self.index.remove(hash, slot),
            Some(old) => self.index.remove_from_both(hash, key::hash(&old, tuple, number), slot),
        };
    }
}

/// The hash under the new key of whichever tuple of a slot's flow has `hash` under the old one.
fn rehashed(slab: &Slab, slot: u32, hash: u32, (old, new): (&IndexKey, &IndexKey)) -> u32 {
    let flow = slab.read(slot);
    let of = |key: &IndexKey, dir| key::hash(key, flow.tuple(dir), flow.zone.id_in(dir));
    let is_original = of(old, Direction::Original) == hash;
    of(new, if is_original { Direction::Original } else { Direction::Reply })
}
