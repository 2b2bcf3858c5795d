//! Flows counted by something they have in common, in bounded memory.
//!
//! There may be a million sources. When more groups have come than there is room for, the smaller half is given up: its
//! flows are counted as those of nobody in particular. A group that has more than its share always survives; what it
//! may have lost is a few flows from before it was large.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;

use clap::ValueEnum;

use super::column::{self, Rate};
use crate::client::names::{self, bit};
use crate::client::{Counted, Flow};

/// What flows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// Source address
    Source,
    /// Destination address
    Destination,
    /// Destination port, with its protocol
    Port,
    /// State, with its protocol
    State,
    /// Process that one end belongs to
    Process,
    /// Container, or other network namespace, that one end belongs to
    Container,
    /// Zone
    Zone,
}

impl By {
    /// What it is called.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Source => "SOURCE",
            Self::Destination => "DESTINATION",
            Self::Port => "PORT",
            Self::State => "STATE",
            Self::Process => "PROCESS",
            Self::Container => "CONTAINER",
            Self::Zone => "ZONE",
        }
    }
}

/// What the flows of a group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum GroupKey {
    /// An address.
    Address(IpAddr),
    /// A protocol, and a port if it has any.
    Port(u8, Option<u16>),
    /// A protocol and a state: the tracker's, or whether there was an answer.
    State(u8, &'static str),
    /// The number of an owner.
    Owner(u32),
    /// A zone.
    Zone(u16),
    /// Nothing that is known.
    Unknown,
}

impl GroupKey {
    /// What a flow has; its owner is looked up by the caller.
    pub(crate) fn of(by: By, flow: &Flow<'_>, owner: Option<u32>) -> Self {
        let [original, _] = &flow.tuples;
        let address = |address: Option<IpAddr>| address.map_or(Self::Unknown, Self::Address);
        match by {
            By::Source => address(original.src),
            By::Destination => address(original.dst),
            By::Port => Self::Port(flow.proto(), original.dport),
            By::State => Self::State(flow.proto(), state_of(flow)),
            By::Process | By::Container => owner.map_or(Self::Unknown, Self::Owner),
            By::Zone => Self::Zone(flow.zone.unwrap_or(0)),
        }
    }

    /// A number that compares as the keys do.
    pub(super) fn place(&self) -> u128 {
        match self {
            Self::Address(address) => column::address(Some(*address)),
            Self::Port(proto, port) => {
                u128::from(*proto) << 17 | port.map_or(0, |port| u128::from(port) + 1)
            }
            Self::State(proto, name) => {
                let position = names::states().position(|known| known == *name).unwrap_or(99);
                u128::from(*proto) << 8 | position as u128
            }
            Self::Owner(number) => (*number).into(),
            Self::Zone(zone) => (*zone).into(),
            Self::Unknown => 0,
        }
    }
}

/// The tracker's state, and of a protocol without states how sure the table is of the flow.
pub(crate) fn state_of(flow: &Flow<'_>) -> &'static str {
    match flow.state() {
        Some(name) => name,
        None if flow.has(bit::ASSURED) => "ASSURED",
        None if flow.has(bit::SEEN_REPLY) => "REPLIED",
        None => "UNREPLIED",
    }
}

/// Flows that have something in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    /// How many they are.
    pub(crate) flows: u64,
    /// How many of them got no answer.
    pub(crate) unreplied: u64,
    /// What they counted.
    pub(crate) counted: Counted,
    /// What a second brings, if it is known of any.
    pub(crate) rate: Option<Rate>,
    /// How many flows more a second, if it is known.
    pub(crate) growth: Option<f64>,
}

impl Group {
    /// Counts a flow.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, counted: Option<Counted>, rate: Option<Rate>) {
        self.flows += 1;
        self.unreplied += u64::from(!flow.has(bit::SEEN_REPLY));
        self.traffic(counted.unwrap_or_default(), rate);
    }

    fn merge(&mut self, other: &Self) {
        self.flows += other.flows;
        self.unreplied += other.unreplied;
        self.traffic(other.counted, other.rate);
    }

    fn traffic(&mut self, counted: Counted, rate: Option<Rate>) {
        self.counted.packets = self.counted.packets.saturating_add(counted.packets);
        self.counted.bytes = self.counted.bytes.saturating_add(counted.bytes);
        if let Some(rate) = rate {
            let sum = self.rate.get_or_insert_default();
            sum.packets += rate.packets;
            sum.bytes += rate.bytes;
        }
    }
}

/// Groups, as many as there is room for.
#[derive(Debug)]
pub(crate) struct Groups<K, S = RandomState> {
    room: usize,
    groups: HashMap<K, Group, S>,
    /// Flows of groups that were given up.
    pub(crate) rest: Group,
}

impl<K: Copy + Eq + Hash + Ord> Groups<K> {
    /// None yet, and room for some.
    pub(crate) fn new(room: usize) -> Self {
        Self { room, groups: HashMap::new(), rest: Group::default() }
    }
}

impl<K: Copy + Eq + Hash + Ord, S: BuildHasher> Groups<K, S> {
    /// The group of a key.
    pub(crate) fn of(&mut self, key: K) -> &mut Group {
        if self.groups.len() >= self.room && !self.groups.contains_key(&key) {
            self.give_up();
        }
        self.groups.entry(key).or_default()
    }

    /// How many there are, and whether that is all.
    pub(crate) fn count(&self) -> (usize, bool) {
        (self.groups.len(), self.rest.flows == 0)
    }

    /// How many flows a group has.
    pub(crate) fn flows(&self, key: &K) -> Option<u64> {
        self.groups.get(key).map(|group| group.flows)
    }

    /// All of them, in the order of keys.
    pub(crate) fn sorted(&self) -> Vec<(K, Group)> {
        let mut all: Vec<_> =
            self.groups.iter().map(|(key, group)| (*key, group.clone())).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// All of them, in no order, to be changed.
    pub(crate) fn each(&mut self, mut change: impl FnMut(&K, &mut Group)) {
        self.groups.iter_mut().for_each(|(key, group)| change(key, group));
    }

    /// Gives up the smaller half.
    fn give_up(&mut self) {
        let mut sizes: Vec<u64> = self.groups.values().map(|group| group.flows).collect();
        let middle = sizes.len() / 2;
        let (_, median, _) = sizes.select_nth_unstable(middle);
        let (median, rest) = (*median, &mut self.rest);
        self.groups.retain(|_, group| {
            let stays = group.flows > median;
            if !stays {
                rest.merge(group);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand groups of one flow each pass by one that has a thousand.
    #[test]
    fn a_large_group_survives_many_small_ones() {
        let mut groups = Groups::new(16);
        for number in 1..=1000_u32 {
            groups.of(number).add(&Flow::default(), None, None);
            groups.of(0).add(&Flow::default(), None, None);
        }
        let rest = groups.rest.flows;
        let (count, is_all) = groups.count();
        assert!(count <= 16 && !is_all);
        let all = groups.sorted();
        let (key, largest) = &all[0];
        assert_eq!(*key, 0);
        assert!((990..=1000).contains(&largest.flows), "{largest:?}");
        let sum: u64 = all.iter().map(|(_, group)| group.flows).sum();
        assert_eq!(sum + rest, 2000, "no flow is lost");
    }

    #[test]
    fn groups_that_fit_are_exact() {
        let mut groups = Groups::new(16);
        for number in 0..1600_u32 {
            groups.of(number % 16).add(&Flow::default(), None, None);
        }
        assert_eq!(groups.count(), (16, true));
        assert!(groups.sorted().iter().all(|(_, group)| group.flows == 100));
    }
}
