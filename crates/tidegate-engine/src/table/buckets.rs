//! Linux's hash buckets, as they would be.
//!
//! The kernel looks for victims in eight buckets and refuses to lengthen a chain of more than 50 to
//! 79 entries, so how many buckets there are (`nf_conntrack_buckets`) decides what a full table
//! does. Our index has no such buckets, but it is ordered by hash: a bucket of Linux's is a range of
//! hashes, and can be walked whenever somebody asks.
//!
//! Linux files both tuples of a flow. Where we have one entry for both, the other one counts as if
//! it were filed half the hash space away: as far as anybody without the key can tell, it is.

use alloc::vec::Vec;
use core::ops::Range;

use super::hash::scale;
use super::lines::Lines;
use super::slab::Slab;

/// Half the hash space.
pub(super) const OPPOSITE: u32 = 1 << 31;

/// An entry of one of some buckets in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Near {
    /// Which of the buckets, from 0 on.
    pub(super) step: u32,
    pub(super) slot: u32,
    /// There only if the flow has no other entry.
    pub(super) is_implied: bool,
}

/// The buckets of a table.
pub(super) struct Buckets {
    pub(super) count: u32,
    /// Lines of the index that the table is an excerpt of.
    pub(super) elsewhere: u32,
}

impl Buckets {
    /// The bucket that a hash falls into.
    pub(super) fn of(&self, hash: u32) -> u32 {
        scale(u64::from(hash) << 32, self.count)
    }

    /// Gathers what may be in some of the buckets from that of a hash on; of the hash's own the step is 0. Reads
    /// no flow.
    pub(super) fn near(&self, index: &Lines, hash: u32, steps: Range<u32>, near: &mut Vec<Near>) {
        near.clear();
        let count = u64::from(self.count);
        let [from, to] = [steps.start, steps.end]
            .map(|step| u64::from(self.of(hash)) + u64::from(step.min(self.count)));
        // Behind the last bucket comes the first one.
        let over = count.clamp(from, to);
        let step = steps.start + (over - from) as u32;
        self.gather(index, (from as u32, over as u32), steps.start, near);
        let [over, to] = [over, to].map(|bucket| bucket.saturating_sub(count) as u32);
        self.gather(index, (over, to), step, near);
    }

    /// Gathers what may be in the buckets from the first to before the end; `step` is the first's.
    fn gather(&self, index: &Lines, (first, end): (u32, u32), step: u32, near: &mut Vec<Near>) {
        if first == end {
            return;
        }
        let (low, high) = (self.range(first).0, self.range(end - 1).1);
        let step_of = |hash| step + self.of(hash) - first;
        // Not by extending: that would ask one by one.
        index.range(low, high).for_each(|(hash, slot)| {
            near.push(Near { step: step_of(hash), slot, is_implied: false });
        });
        for (low, high) in opposite(low, high).into_iter().flatten() {
            index.range(low, high).for_each(|(hash, slot)| {
                near.push(Near { step: step_of(hash ^ OPPOSITE), slot, is_implied: true });
            });
        }
    }

    /// The slots that have an entry in a bucket, with repetition.
    fn slots<'a>(
        &self,
        index: &'a Lines,
        slab: &'a Slab,
        bucket: u32,
    ) -> impl Iterator<Item = u32> + use<'a> {
        let (low, high) = self.range(bucket);
        let filed = index.range(low, high).map(|(_, slot)| slot);
        let others = opposite(low, high).into_iter().flatten();
        let implied = others.flat_map(|(low, high)| index.range(low, high).map(|(_, slot)| slot));
        filed.chain(implied.filter(|slot| !slab.is_mapped(*slot)))
    }

    /// Whether the bucket of a hash has more than `max` entries. Asks the index only if that can be:
    /// a bucket of few lines cannot.
    pub(super) fn is_longer(&self, index: &Lines, slab: &Slab, hash: u32, max: u32) -> bool {
        self.may_be_long(index)
            && self.slots(index, slab, self.of(hash)).nth(max as usize).is_some()
    }

    /// Whether there are so many lines for a bucket that one may have too many entries.
    #[inline]
    pub(super) fn may_be_long(&self, index: &Lines) -> bool {
        const FEW: u64 = 3;
        u64::from(index.lines().max(self.elsewhere)) > FEW * u64::from(self.count)
    }

    /// The first and last hash of a bucket.
    fn range(&self, bucket: u32) -> (u32, u32) {
        let count = u64::from(self.count);
        let first_of = |bucket: u64| (bucket << 32).div_ceil(count);
        let bucket = u64::from(bucket);
        (first_of(bucket) as u32, (first_of(bucket + 1) - 1) as u32)
    }
}

/// The range on the other side of the hash space, in two parts if it goes over the end.
fn opposite(low: u32, high: u32) -> [Option<(u32, u32)>; 2] {
    let (from, to) = (low ^ OPPOSITE, high ^ OPPOSITE);
    if low < OPPOSITE && high >= OPPOSITE {
        return [Some((0, to)), Some((from, u32::MAX))];
    }
    [Some((from, to)), None]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_is_in_the_range_of_its_bucket_alone() {
        for count in [1, 2, 3, 7, 1000, 262_144] {
            let buckets = Buckets { count, elsewhere: 0 };
            for hash in (0..=u32::MAX).step_by(65_537 * 251) {
                let own = buckets.of(hash);
                let (low, high) = buckets.range(own);
                assert!((low..=high).contains(&hash), "{hash} of {count}");
            }
            assert_eq!(buckets.range(0).0, 0);
            assert_eq!(buckets.range(count - 1).1, u32::MAX);
        }
    }

    #[test]
    fn the_opposite_of_a_range_has_its_length() {
        let rows = [(0, u32::MAX), (0, 9), (OPPOSITE - 2, OPPOSITE + 7), (u32::MAX - 3, u32::MAX)];
        for (low, high) in rows {
            let parts = opposite(low, high).into_iter().flatten();
            let len: u64 = parts.map(|(from, to)| u64::from(to - from) + 1).sum();
            assert_eq!(len, u64::from(high - low) + 1, "{low}..={high}");
        }
    }
}
