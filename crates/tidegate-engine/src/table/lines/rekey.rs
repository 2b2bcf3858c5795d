//! Re-keying: every entry gets a new hash, a few lines at a time.
//!
//! With [`Lines::begin_rekey`] all that is filed retires as it is, and an empty index takes its
//! place. Each [`Lines::rekey_step`] takes some lines of the retired one and enters them anew. As
//! long as that lasts an entry is under its new hash in the one or under its old hash in the
//! other, and whoever looks for it has to try both.
//!
//! Why so: new hashes have nothing to do with the order of the old ones, so there is no frontier
//! that says for one hash where to look. And why the new index starts small: what grows line by
//! line next to one that shrinks line by line never needs the memory twice, and never a pause. It
//! costs each entry the moves of a growth from nothing.

use alloc::boxed::Box;

use super::array::Array;
use super::batch::STRIDE;
use super::drain::Drain;
use super::line::SLOTS;
use super::{Entry, Lines};

impl Lines {
    /// Retires all entries; from now on hashes are those under the new key. `false`, and nothing
    /// happens, if an earlier re-keying has not ended.
    pub(crate) fn begin_rekey(&mut self) -> bool {
        if self.is_rekeying() {
            return false;
        }
        let all = core::mem::replace(self, Self::new());
        self.retired = (all.len > 0).then(|| Box::new(all));
        true
    }

    /// Whether entries are left under their old hashes.
    pub(crate) fn is_rekeying(&self) -> bool {
        self.retired.is_some()
    }

    /// Enters the entries of some retired lines, about a hundred and in a run of full lines up to a thousand, under the hash that `new_hash_of`
    /// makes of their id and their old hash. Whether there are more.
    pub(crate) fn rekey_step(&mut self, mut new_hash_of: impl FnMut(u32, u32) -> u32) -> bool {
        let Some(mut retired) = self.retired.take() else { return false };
        retired.drain_out(|(hash, id)| self.insert(new_hash_of(id, hash), id));
        self.retired = (retired.len > 0).then_some(retired);
        self.is_rekeying()
    }

    /// [`Lines::begin_rekey`] and all its steps at once. A re-keying that has not ended is taken
    /// to the end under the same hashes.
    #[cfg(test)]
    pub(crate) fn rehash(&mut self, mut new_hash_of: impl FnMut(u32, u32) -> u32) {
        self.begin_rekey();
        while self.rekey_step(&mut new_hash_of) {}
    }

    /// The ids under a new hash, then those not re-keyed yet under the old one.
    pub(crate) fn candidates_of_both(&self, new: u32, old: u32) -> impl Iterator<Item = u32> {
        let retired = self.retired.as_deref();
        self.candidates(new).chain(retired.into_iter().flat_map(move |r| r.candidates(old)))
    }

    /// Removes an entry that is under either hash; `false` if there is none.
    pub(crate) fn remove_from_both(&mut self, new: u32, old: u32, id: u32) -> bool {
        self.remove(new, id) || self.retired.as_mut().is_some_and(|lines| lines.take(old, id))
    }

    /// Hands the entries of some lines, and as many stashed ones, to `sink` for good.
    fn drain_out(&mut self, mut sink: impl FnMut(Entry)) {
        if self.drain.is_idle() {
            let empty = Array::new(self.young.homes());
            self.drain = Drain::of(core::mem::replace(&mut self.young, empty));
        }
        let stashed = self.stash.len().saturating_sub(STRIDE * SLOTS);
        let mut gone = self.stash.len() - stashed;
        self.stash.drain(stashed..).for_each(&mut sink);
        self.drain.advance(|batch| {
            gone += batch.ids().len();
            batch.entries().for_each(&mut sink);
        });
        self.len -= gone;
    }
}
