//! Flows in an order: all of them, or the first N, of which no more than N are remembered.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::IpAddr;

use crate::client::Flow;
use crate::flags::table::{Column, SortKey};

/// Flows in the order of some keys.
pub(crate) struct Ranking<'a> {
    sort: &'a [SortKey],
    limit: Option<usize>,
    ranked: BinaryHeap<Ranked>,
    added: u64,
}

/// A flow: its keys as bytes that compare as they do, which one it was, its message.
#[derive(PartialEq, Eq)]
struct Ranked {
    key: Vec<u8>,
    number: u64,
    message: Vec<u8>,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.key, self.number).cmp(&(&other.key, other.number))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Ranking<'a> {
    /// Those that are first in the order of `sort`, at most `limit`.
    pub(crate) fn new(sort: &'a [SortKey], limit: Option<usize>) -> Self {
        Self { sort, limit, ranked: BinaryHeap::new(), added: 0 }
    }

    /// Adds a flow. `message` is only asked for if it has a place.
    pub(crate) fn add(&mut self, flow: &Flow<'_>, now: u64, message: &dyn Fn() -> Vec<u8>) {
        let key = self.sort.iter().flat_map(|key| key_bytes(*key, flow, now)).collect();
        let number = self.added;
        self.added += 1;
        let entry = Ranked { key, number, message: Vec::new() };
        if let Some(limit) = self.limit
            && self.ranked.len() >= limit
        {
            if self.ranked.peek().is_none_or(|last| entry >= *last) {
                return;
            }
            self.ranked.pop();
        }
        self.ranked.push(Ranked { message: message(), ..entry });
    }

    /// The messages, in order.
    pub(crate) fn into_sorted(self) -> impl Iterator<Item = Vec<u8>> {
        self.ranked.into_sorted_vec().into_iter().map(|entry| entry.message)
    }
}

fn key_bytes(key: SortKey, flow: &Flow<'_>, now: u64) -> Vec<u8> {
    let mut bytes = column_bytes(key.column, flow, now);
    if key.descends {
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
    }
    bytes
}

/// A column as bytes of a fixed length that compare as its values do. What isn't known is less than all else.
pub(super) fn column_bytes(column: Column, flow: &Flow<'_>, now: u64) -> Vec<u8> {
    let [original, reply] = &flow.tuples;
    let counted = flow.counted();
    let number = |number: Option<u64>| {
        let bytes = number.unwrap_or(0).to_be_bytes();
        [u8::from(number.is_some())].into_iter().chain(bytes).collect()
    };
    match column {
        Column::Family => vec![flow.family],
        Column::Proto => vec![flow.proto()],
        Column::State => {
            let mut name = flow.state().unwrap_or_default().as_bytes().to_vec();
            name.resize(LONGEST_STATE, 0);
            name
        }
        Column::Src => address(original.src),
        Column::Dst => address(original.dst),
        Column::ReplySrc => address(reply.src),
        Column::ReplyDst => address(reply.dst),
        Column::Sport => number(original.sport.map(u64::from)),
        Column::Dport => number(original.dport.map(u64::from)),
        Column::Timeout => number(flow.timeout.map(u64::from)),
        Column::Age => number(flow.age(now)),
        Column::Packets => number(counted.map(|sum| sum.packets)),
        Column::Bytes => number(counted.map(|sum| sum.bytes)),
        Column::Mark => number(flow.mark.map(u64::from)),
        Column::Zone => number(flow.zone.map(u64::from)),
        Column::Id => number(flow.id.map(u64::from)),
    }
}

fn address(address: Option<IpAddr>) -> Vec<u8> {
    let (family, bits) = match address {
        None => (0, 0),
        Some(IpAddr::V4(address)) => (4, address.to_bits().into()),
        Some(IpAddr::V6(address)) => (6, address.to_bits()),
    };
    [family].into_iter().chain(bits.to_be_bytes()).collect()
}

/// Of the states' names none is longer.
const LONGEST_STATE: usize = 17;
