//! How the table filled, and when it will be full.

use std::collections::VecDeque;
use std::time::Duration;

/// Counts of entries, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<(Duration, u64)>,
}

impl History {
    /// So many there were, so long after the beginning.
    pub(crate) fn add(&mut self, at: Duration, entries: u64) {
        if self.samples.len() == REMEMBERED {
            self.samples.pop_front();
        }
        self.samples.push_back((at, entries));
    }

    /// The counts, at most `limit` of them, the newest last.
    pub(crate) fn counts(&self, limit: usize) -> Vec<u64> {
        let skipped = self.samples.len().saturating_sub(limit);
        self.samples.iter().skip(skipped).map(|(_, entries)| *entries).collect()
    }

    /// How many entries more a second: the line that lies closest to the samples of the last half minute, or to the last four if it is looked seldom. `None` before
    /// there are enough.
    pub(crate) fn growth(&self) -> Option<f64> {
        let (newest, _) = *self.samples.back()?;
        let recent = self.samples.iter().filter(|(at, _)| newest - *at <= RECENT).count();
        let skipped = self.samples.len().saturating_sub(recent.max(FEWEST));
        let recent = self.samples.iter().skip(skipped);
        let points: Vec<(f64, f64)> =
            recent.map(|(at, entries)| (at.as_secs_f64(), *entries as f64)).collect();
        let span = points.last()?.0 - points.first()?.0;
        if points.len() < 3 || span < ENOUGH {
            return None;
        }
        let count = points.len() as f64;
        let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let above: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
        let below: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        Some(above / below)
    }

    /// When a table that may hold `max` entries is full, if it goes on like this; `None` if it doesn't fill, or nobody knows.
    pub(crate) fn until_full(&self, max: u64) -> Option<Duration> {
        let (_, entries) = *self.samples.back()?;
        if entries >= max {
            return Some(Duration::ZERO);
        }
        let growth = self.growth().filter(|growth| *growth >= SLOWEST)?;
        Duration::try_from_secs_f64((max - entries) as f64 / growth).ok()
    }
}

const REMEMBERED: usize = 600;
const RECENT: Duration = Duration::from_secs(30);
const FEWEST: usize = 4;
/// Fewer seconds say nothing.
const ENOUGH: f64 = 1.5;
/// Less than one entry in ten seconds is noise.
const SLOWEST: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    fn history(counts: &[u64]) -> History {
        let mut history = History::default();
        for (second, count) in (0..).zip(counts) {
            history.add(Duration::from_secs(second), *count);
        }
        history
    }

    /// Each row: counts, one a second; the seconds until 1000.
    #[test]
    fn it_is_told_when_the_table_is_full() {
        let rows: [(&[u64], Option<u64>); 7] = [
            (&[], None),
            (&[100, 200], None),
            (&[100, 200, 300], Some(7)),
            (&[300, 200, 100], None),
            (&[500, 500, 500, 500], None),
            (&[900, 1000], Some(0)),
            (&[900, 910, 890, 900], None),
        ];
        for (counts, expected) in rows {
            let until = history(counts).until_full(1000).map(|until| until.as_secs());
            assert_eq!(until, expected, "{counts:?}");
        }
    }

    #[test]
    fn only_the_last_half_minute_counts_for_growth() {
        let counts: Vec<u64> = (0..100).map(|second: u64| second.saturating_sub(60) * 10).collect();
        let history = history(&counts);
        assert!(history.growth().is_some_and(|growth| (growth - 10.0).abs() < 1e-6));
        assert_eq!(history.counts(3), [370, 380, 390]);
    }

    #[test]
    fn four_samples_count_however_far_apart_they_are() {
        let mut history = History::default();
        for minute in 0..10 {
            history.add(Duration::from_secs(minute * 60), minute * 60);
        }
        assert!(history.growth().is_some_and(|growth| (growth - 1.0).abs() < 1e-6));
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let counts: Vec<u64> = (0..1000).collect();
        assert_eq!(history(&counts).counts(usize::MAX).len(), REMEMBERED);
    }
}
