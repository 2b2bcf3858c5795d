//! What the incomplete datagrams of one source have in common: how much they hold, and how many
//! fragments have come.
//!
//! A source is an address, and with IPv6 a network of 64 bits, whose addresses are one sender's to
//! choose from. It is known as long as it has a queue. Who forges addresses is many sources.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};

/// The sources of one family's queues.
#[derive(Debug, Default)]
pub(super) struct Sources(BTreeMap<IpAddr, Source>);

#[derive(Debug, Default)]
struct Source {
    queues: u32,
    /// What they cost.
    held: u64,
    /// Its fragments so far; wraps.
    passed: u32,
}

impl Sources {
    /// What the queues of a source cost.
    pub(super) fn held(&self, src: IpAddr) -> u64 {
        self.0.get(&network(src)).map_or(0, |source| source.held)
    }

    /// Counts a fragment; its number.
    pub(super) fn pass(&mut self, src: IpAddr) -> u32 {
        let Some(source) = self.0.get_mut(&network(src)) else { return 0 };
        source.passed = source.passed.wrapping_add(1);
        source.passed
    }

    /// A queue begins.
    pub(super) fn open(&mut self, src: IpAddr) {
        self.0.entry(network(src)).or_default().queues += 1;
    }

    /// A queue ends, and what it cost is paid back.
    pub(super) fn close(&mut self, src: IpAddr) {
        let network = network(src);
        let Some(source) = self.0.get_mut(&network) else { return };
        source.queues -= 1;
        if source.queues == 0 {
            self.0.remove(&network);
        }
    }

    pub(super) fn pay(&mut self, src: IpAddr, cost: u64) {
        if let Some(source) = self.0.get_mut(&network(src)) {
            source.held += cost;
        }
    }

    pub(super) fn refund(&mut self, src: IpAddr, cost: u64) {
        if let Some(source) = self.0.get_mut(&network(src)) {
            source.held -= cost;
        }
    }
}

fn network(src: IpAddr) -> IpAddr {
    match src {
        IpAddr::V4(_) => src,
        IpAddr::V6(src) => Ipv6Addr::from_bits(src.to_bits() >> 64 << 64).into(),
    }
}
