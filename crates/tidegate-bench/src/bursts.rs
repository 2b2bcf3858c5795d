//! Bursts timed one by one, and what can be told of the slow ones.
//!
//! The slowest of some thousand bursts is seldom the program's: the clock runs on while an interrupt is served or a host
//! takes the processor away, a cache is cold after another program had it, a page is cleared. So of each burst it is kept
//! whether the thread was switched out or met a page fault, and there are two things to hold against it: the same burst
//! in other runs, as the engine does the same work each time, and arithmetic that takes as long ([`Bursts::spin`]).
//! Neither replaces the slowest burst, which is told as it was.

use std::hint::black_box;

use nix::sys::resource::{UsageWho, getrusage};

use crate::clock::{reading, thread_time, timed};
use crate::subject::median;

/// The bursts of one run, in order.
#[derive(Clone, Debug)]
pub struct Bursts {
    bursts: Vec<Burst>,
    /// What reading the clock costs, in nanoseconds.
    reading: u64,
}

/// How one burst went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Burst {
    ns: u64,
    hindrances: Hindrances,
}

/// What befell the thread meanwhile, or until now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hindrances {
    /// Pages that were not there.
    faults: i64,
    /// How often it had to wait or to leave its processor to others.
    switches: i64,
}

/// Bursts that took longer than some limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slow {
    /// With a page fault.
    pub faulted: usize,
    /// Without one, and the thread was switched out.
    pub switched: usize,
    /// With neither.
    pub other: usize,
}

impl Bursts {
    /// Room for so many.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self { bursts: Vec::with_capacity(count), reading: reading() }
    }

    /// Times a burst.
    #[inline]
    pub fn time(&mut self, work: impl FnOnce()) {
        let before = Hindrances::so_far();
        let ns = timed(work).saturating_sub(self.reading);
        let hindrances = Hindrances::so_far().since(before);
        self.bursts.push(Burst { ns, hindrances });
    }

    /// As many stretches of arithmetic, each as long as the median of these bursts: what the machine does to a program
    /// that wants nothing but the processor.
    #[must_use]
    pub fn spin(&self) -> Self {
        let rounds = rounds_in(self.median());
        let mut spins = Self { bursts: Vec::with_capacity(self.len()), reading: self.reading };
        for _ in 0..self.len() {
            spins.time(|| calculate(rounds));
        }
        spins
    }

    /// How many there were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bursts.len()
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bursts.is_empty()
    }

    /// The slowest, in nanoseconds.
    #[must_use]
    pub fn slowest(&self) -> f64 {
        self.times().fold(0.0, f64::max)
    }

    /// The one in the middle, in nanoseconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        median(self.times().collect())
    }

    /// All together, in nanoseconds.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.times().sum()
    }

    /// Those above `ns` nanoseconds.
    #[must_use]
    pub fn above(&self, ns: u64) -> Slow {
        let mut slow = Slow::default();
        for burst in self.bursts.iter().filter(|burst| burst.ns > ns) {
            let Hindrances { faults, switches } = burst.hindrances;
            *match (faults > 0, switches > 0) {
                (true, _) => &mut slow.faulted,
                (false, true) => &mut slow.switched,
                (false, false) => &mut slow.other,
            } += 1;
        }
        slow
    }

    fn times(&self) -> impl Iterator<Item = f64> {
        self.bursts.iter().map(|burst| burst.ns as f64)
    }
}

/// The slowest burst in nanoseconds if each counts with the least of its times, of runs that do the same work: what the
/// work itself takes. What befell one run alone is not in it.
#[must_use]
pub fn slowest_always(runs: &[Bursts]) -> f64 {
    let len = runs.iter().map(Bursts::len).min().unwrap_or_default();
    let least = |number: usize| runs.iter().map(|run| run.bursts[number].ns).min();
    (0..len).filter_map(least).max().unwrap_or_default() as f64
}

impl Slow {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.faulted + self.switched + self.other
    }
}

impl core::ops::Add for Slow {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            faulted: self.faulted + other.faulted,
            switched: self.switched + other.switched,
            other: self.other + other.other,
        }
    }
}

impl Hindrances {
    /// Of the calling thread since it began; none where nobody tells.
    fn so_far() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Self::default() };
        let switches = usage.involuntary_context_switches() + usage.voluntary_context_switches();
        Self { faults: usage.minor_page_faults() + usage.major_page_faults(), switches }
    }

    fn since(self, before: Self) -> Self {
        Self { faults: self.faults - before.faults, switches: self.switches - before.switches }
    }
}

/// How many rounds of [`calculate`] take so long.
fn rounds_in(ns: f64) -> u64 {
    let pace = || {
        let start = thread_time();
        calculate(TRIAL);
        (thread_time() - start) as f64 / TRIAL as f64
    };
    let fastest = (0..9).map(|_| pace()).fold(f64::INFINITY, f64::min);
    (ns / fastest.max(0.01)) as u64
}

/// Arithmetic each step of which waits for the one before, and that needs no memory.
fn calculate(rounds: u64) {
    let mix = |state: u64, _| state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    black_box((0..rounds).fold(black_box(1), mix));
}

/// Rounds by which the arithmetic's pace is found out: some 20 us.
const TRIAL: u64 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bursts: &[(u64, i64, i64)]) -> Bursts {
        let burst =
            |(ns, faults, switches)| Burst { ns, hindrances: Hindrances { faults, switches } };
        Bursts { bursts: bursts.iter().copied().map(burst).collect(), reading: 0 }
    }

    #[test]
    fn the_slowest_is_told_as_it_was_and_why_if_that_is_known() {
        let bursts = run(&[(20, 0, 0), (500, 0, 1), (101, 2, 1), (300, 0, 0), (100, 1, 1)]);
        assert_eq!((bursts.slowest(), bursts.median(), bursts.total()), (500.0, 101.0, 1021.0));
        assert_eq!(bursts.above(100), Slow { faulted: 1, switched: 1, other: 1 });
        assert_eq!(bursts.above(500).count(), 0);
        assert_eq!((bursts.above(100) + bursts.above(10)).count(), 8);
    }

    #[test]
    fn what_befell_one_run_alone_is_not_always_slow() {
        let runs = [
            run(&[(20, 0, 0), (900, 0, 1), (60, 0, 0)]),
            run(&[(21, 0, 0), (22, 0, 0), (70, 0, 0)]),
            run(&[(500, 0, 0), (23, 0, 0), (50, 0, 0)]),
        ];
        assert_eq!(slowest_always(&runs), 50.0);
        assert_eq!(slowest_always(&runs[..1]), 900.0);
        assert_eq!(slowest_always(&[]), 0.0);
    }

    #[test]
    fn a_page_that_is_touched_first_is_a_hindrance() {
        let mut bursts = Bursts::with_capacity(2);
        let mut pages: Vec<u8> = Vec::with_capacity(64 << 20);
        bursts.time(|| pages.resize(64 << 20, 1));
        black_box(&pages);
        assert_eq!(bursts.above(0).faulted, 1);
    }

    #[test]
    fn as_many_stretches_are_calculated_as_there_were_bursts() {
        let spins = run(&[(2_000, 0, 0), (1_000, 0, 0), (3_000, 0, 0)]).spin();
        assert_eq!(spins.len(), 3);
        assert!(spins.total() > 0.0);
    }
}
