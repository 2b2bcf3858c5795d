//! What a table would hold under other settings, told from what it holds now.
//!
//! The rest of a flow's life tells when its last packet came ([`crate::timers`]), and so when it would have ended, or
//! will end, under another timeout. That is exact for flows that nobody gave a timeout by hand, and needs one listing.
//!
//! * **Now, had it been so all along.** Under a shorter timeout those whose idle time exceeds it would be gone. Under a
//!   longer one there would be more: those that ended lately, of which there are as many a second as are about to end.
//! * **From now on.** A flow that is there ends when its time is up, for whoever carries packets is, on the whole,
//!   replaced by one that stops. As many come as end (the table is in a steady state), or `growth` times as many; 0
//!   shows the flows of now alone.
//! * **By the settings alone** nothing changes for flows that are there, until their next packet (Linux, and the
//!   engine); so they keep their ends, and only those that come have others.
//!
//! Where a flow's idle time is known only within bounds (see [`crate::timers`]) so is the result.

pub(crate) mod memory;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::ports::Ports;
use crate::client::{Flow, names};
use crate::render::classes::class_of;
use crate::timers::{Idle, Timers, setting_of};

/// Two numbers, the first of which is not larger: what is known of one between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Bounds {
    /// So many at least.
    pub(crate) least: f64,
    /// So many at most.
    pub(crate) most: f64,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The table's timeouts.
    pub(crate) before: Timers,
    /// Those that it would have.
    pub(crate) after: Timers,
    /// The moments that are looked at, in seconds from now; the first is 0.
    pub(crate) moments: Vec<u64>,
    /// How many come for each that ends.
    pub(crate) growth: f64,
}

/// Flows of a class: how many there are, and would be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Change {
    pub(crate) before: u64,
    pub(crate) after: Bounds,
}

/// Counts a table's flows, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Study {
    question: Question,
    /// How many end between each moment and the one before; of those that are gone at once before the first.
    ends: Vec<u64>,
    ends_after: [Vec<u64>; 2],
    /// By the settings that become longer: how many flows are about to end, in which window.
    raised: BTreeMap<&'static str, Raised>,
    classes: BTreeMap<(&'static str, &'static str), Change>,
    unassured: u64,
    /// Flows of which only bounds are known.
    vague: u64,
    ports: Ports,
}

/// A timeout that becomes longer.
#[derive(Clone, Copy, Debug)]
struct Raised {
    /// The length of the window of rests, in seconds, in which those about to end are counted.
    len: u64,
    /// By how much it becomes longer.
    by: u64,
    flows: u64,
}

impl Raised {
    /// How many flows there would be more.
    fn more(&self) -> f64 {
        self.flows as f64 * self.by as f64 / self.len as f64
    }

    /// How many of those are still there after so long.
    fn left(&self, seconds: u64) -> f64 {
        self.more() * self.by.saturating_sub(seconds) as f64 / self.by as f64
    }
}

/// What is left of a flow's life, had the settings been others all along; `None`: it would be gone.
type Rests = [Option<u64>; 2];

impl Study {
    /// No flow was seen yet.
    pub(crate) fn new(question: Question) -> Self {
        let none = vec![0; question.moments.len() + 1];
        Self {
            ends: none.clone(),
            ends_after: [none.clone(), none],
            raised: BTreeMap::new(),
            classes: BTreeMap::new(),
            unassured: 0,
            vague: 0,
            ports: Ports::default(),
            question,
        }
    }

    /// Takes a flow in, as it was at `now`, in nanoseconds since 1970.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, now: u64) {
        let Some(rest) = flow.timeout.map(u64::from) else { return };
        let rests = self.rests_after(flow, rest, self.question.before.idle(flow, now));
        count_end(&mut self.ends, &self.question.moments, Some(rest));
        for (ends, rest) in self.ends_after.iter_mut().zip(rests) {
            count_end(ends, &self.question.moments, rest);
        }
        self.count_raised(flow, rest);
        let class = self.classes.entry(class_of(flow)).or_default();
        class.before += 1;
        class.after.least += f64::from(u8::from(rests[0].is_some()));
        class.after.most += f64::from(u8::from(rests[1].is_some()));
        self.unassured += u64::from(!flow.has(names::bit::ASSURED));
        self.vague += u64::from(rests[0] != rests[1]);
        self.ports.add(flow, rests[1].is_some());
    }

    /// The least and the most that is left.
    fn rests_after(&self, flow: &Flow<'_>, rest: u64, idle: Idle) -> Rests {
        let Question { before, after, .. } = &self.question;
        let (old, new) = (before.whole(flow), after.whole(flow));
        let (Some(old), Some(new)) = (old, new) else { return [Some(rest); 2] };
        if old == new {
            return [Some(rest); 2];
        }
        let Some(most) = idle.most.filter(|_| rest <= old) else { return [None, Some(rest)] };
        let by_long = new.checked_sub(most);
        let by_short = if idle.least < most { Some(rest.min(new)) } else { by_long };
        [by_long.min(by_short), by_long.max(by_short)]
    }

    /// Counts it among those that are about to end, if its timeout becomes longer.
    fn count_raised(&mut self, flow: &Flow<'_>, rest: u64) {
        let Question { before, after, .. } = &self.question;
        let Some(setting) = setting_of(flow) else { return };
        let (Some(old), Some(new)) = (before.whole(flow), after.whole(flow)) else { return };
        if new <= old {
            return;
        }
        // Rests this short may be those of unacknowledged data.
        let from = if old > UNCLEAR { UNCLEAR } else { 0 };
        let len = (new - old).min(old - from).max(1);
        let none = Raised { len, by: new - old, flows: 0 };
        let raised = self.raised.entry(setting).or_insert(none);
        raised.flows += u64::from((from..from + len).contains(&rest));
    }

    /// What was found.
    pub(crate) fn findings(&self) -> Findings {
        let more: f64 = self.raised.values().map(Raised::more).sum();
        let (now, [least, most]) =
            (total(&self.ends), self.ends_after.each_ref().map(|ends| present(ends)));
        let after = Bounds { least: least + more, most: most + more };
        let points = (0..self.question.moments.len()).map(|index| self.point(index, now, after));
        Findings {
            before: now as u64,
            after,
            points: points.collect(),
            unassured: self.unassured,
            vague: self.vague,
            ports: self.ports.worst(),
        }
    }

    /// The table at a moment, each in its steady state.
    fn point(&self, index: usize, now: f64, after: Bounds) -> Point {
        let (seconds, growth) = (self.question.moments[index], self.question.growth);
        let more: f64 = self.raised.values().map(|raised| raised.left(seconds)).sum();
        let left = survivors(&self.ends, index);
        let [least, most] = self.ends_after.each_ref().map(|ends| survivors(ends, index) + more);
        let with = |left: f64, all: f64| left + growth * (all - left);
        // Those of now keep their ends; those that came since have the new ones.
        let alone = |end: f64, all: f64| left + growth * (all - end);
        Point {
            seconds,
            before: with(left, now),
            alone: Bounds { least: alone(least, after.least), most: alone(most, after.most) },
            after: Bounds { least: with(least, after.least), most: with(most, after.most) },
        }
    }

    /// The flows of each class.
    pub(crate) fn classes(&self) -> impl Iterator<Item = ((&'static str, &'static str), Change)> {
        self.classes.iter().map(|(name, change)| (*name, *change))
    }
}

/// What a study found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Findings {
    /// Flows that there are.
    pub(crate) before: u64,
    /// Flows that there would be, had it been so all along.
    pub(crate) after: Bounds,
    /// From now on.
    pub(crate) points: Vec<Point>,
    /// Flows that may be evicted for others.
    pub(crate) unassured: u64,
    /// Flows of which only bounds are known.
    pub(crate) vague: u64,
    /// Where most ports of an external address are used.
    pub(crate) ports: Vec<ports::Use>,
}

/// The table at a moment.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Point {
    /// In so many seconds.
    pub(crate) seconds: u64,
    /// With the settings as they are.
    pub(crate) before: f64,
    /// With the new ones, which change nothing for flows that are there.
    pub(crate) alone: Bounds,
    /// With the new ones, and those that are idle for longer are gone.
    pub(crate) after: Bounds,
}

/// Counts an end before the first moment that it lies before; 0 is for those gone already.
fn count_end(ends: &mut [u64], moments: &[u64], rest: Option<u64>) {
    let index = rest.map_or(0, |rest| moments.partition_point(|moment| *moment <= rest));
    ends[index] += 1;
}

fn total(ends: &[u64]) -> f64 {
    ends.iter().sum::<u64>() as f64
}

/// Those that aren't gone at the outset.
fn present(ends: &[u64]) -> f64 {
    ends.iter().skip(1).sum::<u64>() as f64
}

/// Those that have not ended at a moment.
fn survivors(ends: &[u64], moment: usize) -> f64 {
    ends.iter().skip(moment + 1).sum::<u64>() as f64
}

/// Rests up to this may be those of another, shorter timeout: `tcp_timeout_unacknowledged`.
const UNCLEAR: u64 = 300;
