//! The rows that come first, of however many: no more than these are remembered.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::column::Place;

/// The first rows.
#[derive(Debug)]
pub(crate) struct Ranking<T> {
    limit: usize,
    ranked: BinaryHeap<Ranked<T>>,
    added: u64,
}

#[derive(Debug)]
struct Ranked<T> {
    place: Place,
    number: u64,
    row: T,
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.place, self.number).cmp(&(other.place, other.number))
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> Ranking<T> {
    /// At most `limit` rows.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, ranked: BinaryHeap::new(), added: 0 }
    }

    /// Adds a row, which is only made if it has a place. Of equal ones the earlier comes first.
    pub(crate) fn add(&mut self, place: Place, row: impl FnOnce() -> T) {
        let number = self.added;
        self.added += 1;
        if self.ranked.len() >= self.limit {
            if self.ranked.peek().is_none_or(|last| place >= last.place) {
                return;
            }
            self.ranked.pop();
        }
        self.ranked.push(Ranked { place, number, row: row() });
    }

    /// The rows, in order.
    pub(crate) fn into_rows(self) -> Vec<T> {
        self.ranked.into_sorted_vec().into_iter().map(|ranked| ranked.row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_and_in_order() {
        let mut ranking = Ranking::new(3);
        for (number, letter) in [(5, 'a'), (1, 'b'), (9, 'c'), (1, 'd'), (7, 'e'), (0, 'f')] {
            ranking.add([number, 0], || letter);
        }
        assert_eq!(ranking.into_rows(), ['f', 'b', 'd']);
        let mut none = Ranking::new(0);
        none.add([1, 1], || 'a');
        assert!(none.into_rows().is_empty());
    }
}
