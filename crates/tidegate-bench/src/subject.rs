//! What can be measured: something that does a number of items again and again.
//!
//! A subject keeps its state from pass to pass and takes off itself what is no part of it, such as
//! the writing of packets. [`interleaved`] lets several subjects take turns, so that all of them see
//! the same moods of the machine, and gives the median of each.

/// What one pass cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pass {
    /// Nanoseconds per item.
    pub ns: f64,
    /// Allocations per item.
    pub allocs: f64,
}

impl Pass {
    /// A pass of so many items.
    #[must_use]
    pub fn of(items: u64, ns: u64, allocations: u64) -> Self {
        let items = items.max(1) as f64;
        Self { ns: ns as f64 / items, allocs: allocations as f64 / items }
    }
}

/// Something to be measured.
pub trait Subject {
    /// Does about that many items.
    fn pass(&mut self, items: u64) -> Pass;
}

/// Measures all subjects in turn, `passes` times after one that does not count; the median of each.
pub fn interleaved(subjects: &mut [&mut dyn Subject], items: u64, passes: usize) -> Vec<Pass> {
    for subject in &mut *subjects {
        subject.pass(items);
    }
    let mut all = vec![Vec::with_capacity(passes); subjects.len()];
    for _ in 0..passes {
        for (subject, passes) in subjects.iter_mut().zip(&mut all) {
            passes.push(subject.pass(items));
        }
    }
    all.iter().map(|passes| median_pass(passes)).collect()
}

/// The median of the times, and the most allocations of any pass.
fn median_pass(passes: &[Pass]) -> Pass {
    let allocs = passes.iter().map(|pass| pass.allocs).fold(0.0, f64::max);
    Pass { ns: median(passes.iter().map(|pass| pass.ns).collect()), allocs }
}

/// The one in the middle; 0 of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
