//! Sums over all flows of a table: by state, by source, by beginning.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Talker, protocol, state};
use crate::client::{Counted, Flow};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Sums {
    states: BTreeMap<(u8, &'static str), u64>,
    sources: BTreeMap<IpAddr, (u64, Counted)>,
    starts: Vec<u64>,
}

impl Sums {
    /// Counts a flow.
    pub(super) fn add(&mut self, flow: &Flow<'_>) {
        *self.states.entry((flow.proto(), state(flow))).or_default() += 1;
        self.starts.extend(flow.times.as_ref().and_then(|times| times.start));
        let Some(source) = flow.tuples[0].src else { return };
        let Counted { packets, bytes } = flow.counted().unwrap_or_default();
        let (flows, counted) = self.sources.entry(source).or_default();
        *flows += 1;
        counted.packets = counted.packets.saturating_add(packets);
        counted.bytes = counted.bytes.saturating_add(bytes);
    }

    /// The states, the most frequent first.
    pub(super) fn states(&self) -> Vec<(String, u64)> {
        let mut states: Vec<_> = self
            .states
            .iter()
            .map(|((proto, state), count)| (format!("{} {state}", protocol(*proto)), *count))
            .collect();
        states.sort_by_key(|(_, count)| Reverse(*count));
        states
    }

    /// The sources, those that carried most first; rates if there are sums of some seconds earlier.
    pub(super) fn talkers(&self, earlier: Option<(&Self, f64)>) -> Vec<Talker> {
        let rate = |address: &IpAddr, bytes: u64| {
            let (sums, seconds) = earlier?;
            let (_, before) = sums.sources.get(address).copied().unwrap_or_default();
            // Flows that ended meanwhile took their bytes with them.
            Some(bytes.saturating_sub(before.bytes) as f64 * 8.0 / seconds)
        };
        let talker = |(address, (flows, counted)): (&IpAddr, &(u64, Counted))| Talker {
            address: *address,
            flows: *flows,
            packets: counted.packets,
            bytes: counted.bytes,
            bit_rate: rate(address, counted.bytes),
        };
        let mut talkers: Vec<_> = self.sources.iter().map(talker).collect();
        talkers.sort_by_key(|talker| Reverse((talker.bytes, talker.flows)));
        talkers
    }

    /// How many began after this time, in nanoseconds since 1970.
    pub(super) fn begun_since(&self, time: u64) -> usize {
        self.starts.iter().filter(|start| **start > time).count()
    }
}
