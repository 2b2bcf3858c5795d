//! The physical limit: two random cache lines, the second known only from the first, both written.
//!
//! So much memory traffic has every table with an index and entries, however it is built. Lines are
//! asked for ahead of their use: in bursts of 32 into the first-level cache, which is the usual
//! recipe, or in a sliding window of 128 into the second-level one, which is two to three times as
//! fast. The array has one line of 64 bytes per flow. Making up the addresses is included (about
//! 1 ns).

use std::hint::black_box;

use crate::clock::timed;
use crate::order::{Draws, mix64};
use crate::prefetch::{Cache, prefetch};
use crate::subject::{Pass, Subject};

/// How lines are asked for ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Bursts of 32 into the first level.
    L1,
    /// A sliding window of 128 into the second level.
    L2,
}

/// The lines.
pub struct Limit {
    lines: Vec<Line>,
    window: Window,
    draws: Draws,
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line {
    next: u32,
    visits: u64,
}

impl Limit {
    /// As many lines as flows.
    #[must_use]
    pub fn new(flows: u32, window: Window) -> Self {
        let mut draws = Draws(mix64(u64::from(flows)));
        let lines = (0..flows).map(|_| Line { next: draws.below(flows), visits: 0 }).collect();
        Self { lines, window, draws }
    }

    #[inline]
    fn draw(&mut self) -> u32 {
        self.draws.below(self.lines.len() as u32)
    }

    /// Writes a first line; the number of its second one.
    #[inline]
    fn first(&mut self, number: u32) -> u32 {
        let line = &mut self.lines[number as usize];
        line.visits += 1;
        line.next
    }

    #[inline]
    fn second(&mut self, number: u32) {
        self.lines[number as usize].visits += 1;
    }

    #[inline]
    fn ask(&self, number: u32, cache: Cache) {
        prefetch(&self.lines[number as usize], cache);
    }

    fn bursts(&mut self, items: u64) {
        let mut numbers = [0; L1_BURST];
        for _ in 0..items / L1_BURST as u64 {
            for number in &mut numbers {
                *number = self.draw();
                self.ask(*number, Cache::L1);
            }
            for number in &mut numbers {
                *number = self.first(*number);
                self.ask(*number, Cache::L1);
            }
            for number in numbers {
                self.second(number);
            }
        }
    }

    /// At each step the first line of one item is asked for, that of an item 128 before is read and
    /// its second line asked for, and that of an item 256 before is written.
    fn slide(&mut self, items: u64) {
        let (mut firsts, mut seconds) = ([0; L2_WINDOW], [0; L2_WINDOW]);
        for item in 0..items {
            let at = item as usize % L2_WINDOW;
            self.second(seconds[at]);
            seconds[at] = self.first(firsts[at]);
            self.ask(seconds[at], Cache::L2);
            firsts[at] = self.draw();
            self.ask(firsts[at], Cache::L2);
        }
    }
}

impl Subject for Limit {
    fn pass(&mut self, items: u64) -> Pass {
        let items = items * REPEATS;
        let ns = timed(|| match self.window {
            Window::L1 => self.bursts(items),
            Window::L2 => self.slide(items),
        });
        black_box(&self.lines);
        Pass::of(items, ns, 0)
    }
}

const L1_BURST: usize = 32;
const L2_WINDOW: usize = 128;
/// An item is so short that a pass takes several for each one asked for.
const REPEATS: u64 = 4;
