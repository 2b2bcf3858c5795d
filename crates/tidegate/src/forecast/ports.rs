//! How many source ports of an external address are taken toward a destination.
//!
//! A port can be used once for each destination, so what runs out is the ports of an address *toward one destination*.
//! Memory is bounded by lossy counting: when there are too many pairs, those with the fewest flows are forgotten, which
//! can't be the worst ones.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::client::{Flow, names};

/// Ports in use, by external address and destination.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ports {
    pairs: BTreeMap<Pair, [u64; 2]>,
    /// Pairs with fewer flows may be missing.
    forgotten: u64,
}

/// An external address and a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pair {
    protocol: u8,
    external: IpAddr,
    destination: (IpAddr, u16),
}

/// Ports of an external address in use toward a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Use {
    /// The protocol's name.
    pub(crate) proto: &'static str,
    /// The external address.
    pub(crate) external: IpAddr,
    /// The destination.
    pub(crate) destination: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// Ports in use.
    pub(crate) before: u64,
    /// Ports that would be.
    pub(crate) after: u64,
    /// Ports that there are: 1024 to 65535, where no rule says otherwise.
    pub(crate) of: u64,
}

impl Ports {
    /// Takes a flow in, and whether it would still be there.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, stays: bool) {
        let Some(pair) = pair_of(flow) else { return };
        let uses = self.pairs.entry(pair).or_default();
        uses[0] += 1;
        uses[1] += u64::from(stays);
        if self.pairs.len() > PAIRS {
            self.forgotten += 1;
            let few = self.forgotten;
            self.pairs.retain(|_, uses| uses[0] > few);
        }
    }

    /// Those that use most.
    pub(crate) fn worst(&self) -> Vec<Use> {
        let mut all: Vec<_> = self.pairs.iter().collect();
        all.sort_by_key(|(_, uses)| std::cmp::Reverse(uses[0]));
        let shown = all.into_iter().take(SHOWN).map(|(pair, uses)| Use {
            proto: names::protocol(pair.protocol),
            external: pair.external,
            destination: pair.destination.0,
            port: pair.destination.1,
            before: uses[0],
            after: uses[1],
            of: POOL,
        });
        shown.collect()
    }
}

/// The pair of a flow whose source is translated.
fn pair_of(flow: &Flow<'_>) -> Option<Pair> {
    if !flow.is_source_translated() {
        return None;
    }
    let reply = &flow.tuples[1];
    Some(Pair {
        protocol: flow.proto(),
        external: reply.dst?,
        destination: (reply.src?, reply.sport?),
    })
}

/// So many pairs are remembered at most.
const PAIRS: usize = 200_000;
const SHOWN: usize = 5;
/// Ports from 1024 on.
const POOL: u64 = 65_536 - 1024;
