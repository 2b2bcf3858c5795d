//! What each flow brought since the last time it was seen.
//!
//! A table says what was counted since a flow began, so the counters of every flow are remembered from one pass to
//! the next: up to 80 bytes a flow while it grows, the only memory that grows with the table, and not before anybody counts.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::column::Rate;
use crate::client::{Counted, Flow};

/// The counters of flows.
#[derive(Debug)]
pub(crate) struct Counters {
    seen: HashMap<u64, Seen>,
    hasher: RandomState,
    room: usize,
    pass: u32,
    /// The time since the pass before, if there was one.
    elapsed: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    bytes: u64,
    // Wraps; so does the difference.
    packets: u32,
    pass: u32,
}

impl Counters {
    /// Nothing is remembered, and there is room for so many flows.
    pub(crate) fn new(room: usize) -> Self {
        Self { seen: HashMap::new(), hasher: RandomState::new(), room, pass: 0, elapsed: None }
    }

    /// A pass begins, so long after the one before.
    pub(crate) fn begin(&mut self, elapsed: Option<Duration>) {
        self.pass = self.pass.wrapping_add(1);
        self.elapsed = elapsed.filter(|_| !self.seen.is_empty());
    }

    /// What a flow brought, each second since the pass before; `None` if that isn't known.
    pub(crate) fn rate(&mut self, flow: &Flow<'_>, counted: Counted) -> Option<Rate> {
        let key = self.hasher.hash_one(Identity::of(flow));
        let now = Seen { bytes: counted.bytes, packets: counted.packets as u32, pass: self.pass };
        let has_room = self.seen.len() < self.room;
        let before = match self.seen.get_mut(&key) {
            Some(seen) => Some(std::mem::replace(seen, now)),
            None if has_room => self.seen.insert(key, now),
            None => return None,
        };
        let seconds = self.elapsed?.as_secs_f64().max(SHORTEST);
        // A flow that wasn't there before brought all of it since; so did one whose counters were set to zero.
        let before = before.filter(|before| before.bytes <= now.bytes);
        let before = before.unwrap_or(Seen { bytes: 0, packets: 0, pass: 0 });
        Some(Rate {
            packets: f64::from(now.packets.wrapping_sub(before.packets)) / seconds,
            bytes: (now.bytes - before.bytes) as f64 / seconds,
        })
    }

    /// A pass is over: what it didn't see has ended.
    pub(crate) fn end(&mut self) {
        let pass = self.pass;
        self.seen.retain(|_, seen| seen.pass == pass);
    }

    /// Forgets all.
    pub(crate) fn forget(&mut self) {
        self.seen = HashMap::new();
    }
}

/// What tells a flow from all others, and from another that takes its tuple.
#[derive(Hash)]
struct Identity {
    ends: [Option<(std::net::IpAddr, Option<u16>)>; 2],
    proto: Option<u8>,
    icmp: Option<u16>,
    id: Option<u32>,
    zones: [Option<u16>; 2],
}

impl Identity {
    fn of(flow: &Flow<'_>) -> Self {
        let [original, _] = &flow.tuples;
        let end = |address: Option<std::net::IpAddr>, port| address.map(|address| (address, port));
        Self {
            ends: [end(original.src, original.sport), end(original.dst, original.dport)],
            proto: original.proto,
            icmp: original.icmp.and_then(|icmp| icmp.id),
            id: flow.id,
            zones: [flow.zone, original.zone],
        }
    }
}

/// Two passes may follow each other at once.
const SHORTEST: f64 = 1e-3;

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(counters: &mut Counters, id: u32, packets: u64, bytes: u64) -> Option<(u64, u64)> {
        let flow = Flow { id: Some(id), ..Flow::default() };
        let rate = counters.rate(&flow, Counted { packets, bytes });
        rate.map(|rate| (rate.packets as u64, rate.bytes as u64))
    }

    #[test]
    fn a_rate_is_what_came_since_the_pass_before() {
        let mut counters = Counters::new(100);
        counters.begin(None);
        assert_eq!(rate(&mut counters, 1, 10, 1000), None, "nothing is known before");
        assert_eq!(rate(&mut counters, 2, 10, 1000), None);
        counters.end();
        counters.begin(Some(Duration::from_secs(2)));
        assert_eq!(rate(&mut counters, 1, 30, 5000), Some((10, 2000)));
        assert_eq!(rate(&mut counters, 3, 4, 400), Some((2, 200)), "it began since");
        counters.end();
        counters.begin(Some(Duration::from_secs(1)));
        assert_eq!(rate(&mut counters, 1, 30, 5000), Some((0, 0)));
        assert_eq!(rate(&mut counters, 2, 11, 1100), Some((11, 1100)), "it had ended");
        assert_eq!(rate(&mut counters, 3, 1, 100), Some((1, 100)), "it was set to zero");
        counters.end();
        counters.forget();
        counters.begin(Some(Duration::from_secs(1)));
        assert_eq!(rate(&mut counters, 1, 30, 5000), None);
    }

    #[test]
    fn what_there_is_no_room_for_has_no_rate() {
        let mut counters = Counters::new(1);
        for elapsed in [None, Some(Duration::from_secs(1))] {
            counters.begin(elapsed);
            rate(&mut counters, 1, 1, 100);
            assert_eq!(rate(&mut counters, 2, 1, 100), None);
            counters.end();
        }
    }
}
