//! How long flows have been idle, counted.
//!
//! The edges between the classes of a histogram are the very times that an advice can name, so that what the advice
//! would touch is counted and not estimated.

/// RFC 5382, REQ-5: a NAT keeps an idle TCP connection for 2 hours and 4 minutes at least.
pub(crate) const TCP_PATIENCE: u32 = 7440;
/// RFC 4787, REQ-5: a NAT keeps an idle UDP mapping for 2 minutes at least.
pub(crate) const UDP_PATIENCE: u32 = 120;

/// The times that advice may name, in seconds.
pub(crate) const EDGES: [u32; 14] = [
    10,
    30,
    60,
    UDP_PATIENCE,
    300,
    600,
    1800,
    3600,
    TCP_PATIENCE,
    14_400,
    43_200,
    86_400,
    172_800,
    345_600,
];

/// Flows by the time for which they have been idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Idle {
    counts: [u32; EDGES.len() + 1],
}

impl Idle {
    /// Where a flow belongs that has been idle for so many seconds.
    pub(super) fn class(seconds: u32) -> usize {
        EDGES.partition_point(|edge| seconds > *edge)
    }

    /// Counts a flow of a class.
    pub(super) fn add(&mut self, class: usize) {
        self.counts[class] += 1;
    }

    /// How many have been idle for longer than one of the [`EDGES`].
    pub(crate) fn beyond(&self, edge: u32) -> u64 {
        let first = EDGES.partition_point(|known| *known < edge) + 1;
        self.counts.iter().skip(first).map(|count| u64::from(*count)).sum()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// A time in seconds that half of them exceed, to within the class it lies in; `None` of nothing.
    pub(crate) fn median(&self) -> Option<u32> {
        let half = self.count().div_ceil(2);
        let mut before = 0;
        for (class, count) in self.counts.iter().enumerate() {
            let count = u64::from(*count);
            if count > 0 && before + count >= half {
                let from = if class == 0 { 0 } else { u64::from(EDGES[class - 1]) };
                let to = EDGES.get(class).map_or(from * 5 / 4, |edge| u64::from(*edge));
                return Some((from + (to - from) * (half - before) / count) as u32);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_for_longer_than_an_edge_is_counted_exactly() {
        let mut idle = Idle::default();
        [0, 10, 11, 7440, 7441, 500_000]
            .into_iter()
            .for_each(|seconds| idle.add(Idle::class(seconds)));
        for (edge, expected) in [(10, 4), (TCP_PATIENCE, 2), (345_600, 1)] {
            assert_eq!(idle.beyond(edge), expected, "{edge}");
        }
        assert_eq!(idle.count(), 6);
    }

    #[test]
    fn the_median_lies_in_the_class_of_the_middle_one() {
        let mut idle = Idle::default();
        assert_eq!(idle.median(), None);
        [5, 20_000, 20_001, 20_002].into_iter().for_each(|seconds| idle.add(Idle::class(seconds)));
        let median = idle.median().expect("there are some");
        assert!((14_400..=43_200).contains(&median), "{median}");
    }
}
