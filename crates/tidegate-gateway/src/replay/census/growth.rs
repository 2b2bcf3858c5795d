//! The size of the table over time, in bounded memory.
//!
//! Sizes are sampled into at most [`SAMPLES`] points; when they are full every
//! second one is forgotten and the distance between them doubles. That is
//! enough to tell how fast the table still grew in the second half of the
//! capture, when the start from an empty table no longer shows.

use std::time::Duration;

use tidegate_engine::time::Instant;

/// How the table grew.
#[derive(Clone, Debug, Default)]
pub struct Growth {
    points: Vec<Point>,
    /// Looks between two points, as a power of two.
    stride_bits: u32,
    looks: u64,
    last: Option<Point>,
    peak: Option<Point>,
}

/// The size of the table at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Instant,
    /// Flows in the table.
    pub flows: usize,
}

/// Growth over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slope {
    /// How long.
    pub span: Duration,
    /// Flows more at its end than at its start; negative if fewer.
    pub flows: i64,
}

impl Growth {
    /// Notes the size of the table.
    pub fn note(&mut self, at: Instant, flows: usize) {
        let point = Point { at, flows };
        self.last = Some(point);
        if self.peak.is_none_or(|peak| peak.flows < flows) {
            self.peak = Some(point);
        }
        if self.looks & ((1 << self.stride_bits) - 1) == 0 {
            self.sample(point);
        }
        self.looks += 1;
    }

    fn sample(&mut self, point: Point) {
        if self.points.len() == SAMPLES {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride_bits += 1;
        }
        self.points.push(point);
    }

    /// When the table was largest, the first time.
    #[must_use]
    pub fn peak(&self) -> Option<Point> {
        self.peak
    }

    /// Growth in the second half of the time, or a little more of it; `None`
    /// where no time passed.
    #[must_use]
    pub fn second_half(&self) -> Option<Slope> {
        let (first, last) = (self.points.first()?, self.last?);
        let middle = first.at + last.at.saturating_sub(first.at) / 2;
        let start = self.points.iter().rev().find(|point| point.at <= middle)?;
        let span = last.at.saturating_sub(start.at);
        let flows = last.flows as i64 - start.flows as i64;
        (!span.is_zero()).then_some(Slope { span, flows })
    }
}

impl Slope {
    /// How long it takes to grow by `flows` at this pace; `None` if it doesn't
    /// grow.
    #[must_use]
    pub fn time_for(&self, flows: u64) -> Option<Duration> {
        let grown = u128::try_from(self.flows).ok().filter(|grown| *grown > 0)?;
        let nanos = self.span.as_nanos() * u128::from(flows) / grown;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Flows per second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.flows as f64 / self.span.as_secs_f64()
    }
}

const SAMPLES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_steady_table_does_not_grow_in_its_second_half() {
        let mut growth = Growth::default();
        for millis in 0..100_000 {
            growth.note(at(millis), usize::try_from(millis.min(20_000)).unwrap());
        }
        let slope = growth.second_half().unwrap();
        assert_eq!(slope.flows, 0);
        assert_eq!(slope.time_for(1), None);
        assert_eq!(growth.peak(), Some(Point { at: at(20_000), flows: 20_000 }));
        assert!(growth.points.len() <= SAMPLES);
    }

    #[test]
    fn a_growing_table_is_extrapolated() {
        let mut growth = Growth::default();
        for millis in 0..=10_000 {
            growth.note(at(millis), usize::try_from(millis).unwrap());
        }
        let slope = growth.second_half().unwrap();
        assert!(slope.span >= Duration::from_secs(5), "{slope:?}");
        assert!((slope.per_second() - 1000.0).abs() < 1.0);
        assert_eq!(slope.time_for(1000).map(|time| time.as_millis()), Some(1000));
    }

    #[test]
    fn one_instant_says_nothing() {
        let mut growth = Growth::default();
        growth.note(at(5), 1);
        growth.note(at(5), 2);
        assert_eq!(growth.second_half(), None);
    }
}
