//! What rows are sorted by, and shown of.
//!
//! A row's place follows from one or two numbers, whatever they mean: so that of a million rows those that aren't shown
//! cost no memory.

use std::net::IpAddr;

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::group::{Group, GroupKey};
use crate::client::{Counted, Flow, names};

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// Source address, or what a group is grouped by.
    Source,
    /// Source port.
    SourcePort,
    /// Destination address.
    Destination,
    /// Destination port.
    DestinationPort,
    /// Protocol.
    Protocol,
    /// State of the tracker.
    State,
    /// Rest of its life.
    Left,
    /// Packets of both directions.
    Packets,
    /// Bytes of both directions.
    Bytes,
    /// Packets a second.
    PacketRate,
    /// Bytes a second.
    ByteRate,
    /// Mark.
    Mark,
    /// Zone.
    Zone,
    /// How many flows a group has.
    Flows,
    /// How many of them got no answer.
    Unreplied,
    /// How many more there are than a second ago.
    Growth,
}

/// The columns of flows, in the order of iptstate.
pub(crate) const OF_FLOWS: [Column; 13] = [
    Column::Source,
    Column::SourcePort,
    Column::Destination,
    Column::DestinationPort,
    Column::Protocol,
    Column::State,
    Column::Left,
    Column::Packets,
    Column::Bytes,
    Column::PacketRate,
    Column::ByteRate,
    Column::Mark,
    Column::Zone,
];

/// The columns of groups.
pub(crate) const OF_GROUPS: [Column; 8] = [
    Column::Source,
    Column::Flows,
    Column::Unreplied,
    Column::Growth,
    Column::Packets,
    Column::Bytes,
    Column::PacketRate,
    Column::ByteRate,
];

impl Column {
    /// What `--sort` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::SourcePort => "sport",
            Self::Destination => "dst",
            Self::DestinationPort => "dport",
            Self::Protocol => "proto",
            Self::State => "state",
            Self::Left => "timeout",
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::PacketRate => "pps",
            Self::ByteRate => "bps",
            Self::Mark => "mark",
            Self::Zone => "zone",
            Self::Flows => "flows",
            Self::Unreplied => "unreplied",
            Self::Growth => "growth",
        }
    }

    /// Whether people want the largest first.
    pub(crate) fn is_amount(self) -> bool {
        matches!(
            self,
            Self::Packets
                | Self::Bytes
                | Self::PacketRate
                | Self::ByteRate
                | Self::Flows
                | Self::Unreplied
                | Self::Growth
        )
    }
}

impl ValueEnum for Column {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Source,
            Self::SourcePort,
            Self::Destination,
            Self::DestinationPort,
            Self::Protocol,
            Self::State,
            Self::Left,
            Self::Packets,
            Self::Bytes,
            Self::PacketRate,
            Self::ByteRate,
            Self::Mark,
            Self::Zone,
            Self::Flows,
            Self::Unreplied,
            Self::Growth,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// A column, and which end of it comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The column.
    pub(crate) column: Column,
    /// From the largest to the smallest.
    pub(crate) descends: bool,
}

impl Order {
    /// The column in the order that people want it in.
    pub(crate) fn usual(column: Column) -> Self {
        Self { column, descends: column.is_amount() }
    }

    /// Reads `src`, `-bps`.
    pub(crate) fn read(word: &str) -> Result<Self, String> {
        let (name, descends) = word.strip_prefix('-').map_or((word, false), |name| (name, true));
        let column = <Column as ValueEnum>::from_str(name, false).map_err(|_| {
            let names: Vec<_> =
                Column::value_variants().iter().map(|column| column.name()).collect();
            format!("rows can be sorted by {}", names.join(", "))
        })?;
        Ok(Self { column, descends })
    }
}

/// What rows are sorted by: first, and where that is the same, second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    /// First.
    pub(crate) first: Order,
    /// Second.
    pub(crate) second: Option<Order>,
}

/// A row's place: the least comes first.
pub(crate) type Place = [u128; 2];

impl Sort {
    /// The place of a flow.
    pub(crate) fn of_flow(&self, flow: &Flow<'_>, rate: Option<Rate>) -> Place {
        self.place(|column| of_flow(column, flow, rate))
    }

    /// The place of a group.
    pub(crate) fn of_group(&self, key: &GroupKey, group: &Group) -> Place {
        self.place(|column| of_group(column, key, group))
    }

    fn place(&self, number: impl Fn(Column) -> u128) -> Place {
        let at = |order: Order| {
            let number = number(order.column);
            if order.descends { !number } else { number }
        };
        [at(self.first), self.second.map_or(0, at)]
    }
}

/// What a second brought.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rate {
    /// Packets.
    pub(crate) packets: f64,
    /// Bytes.
    pub(crate) bytes: f64,
}

fn of_flow(column: Column, flow: &Flow<'_>, rate: Option<Rate>) -> u128 {
    let [original, _] = &flow.tuples;
    let counted = |what: fn(Counted) -> u64| known(flow.counted().map(|sum| what(sum).into()));
    let icmp = original.icmp.and_then(|icmp| icmp.id);
    match column {
        Column::Source => address(original.src),
        Column::Destination => address(original.dst),
        Column::SourcePort => known(original.sport.or(icmp).map(u128::from)),
        Column::DestinationPort => known(original.dport.map(u128::from)),
        Column::Protocol => flow.proto().into(),
        Column::State => state(flow.state()),
        Column::Left => known(flow.timeout.map(u128::from)),
        Column::Packets => counted(|sum| sum.packets),
        Column::Bytes => counted(|sum| sum.bytes),
        Column::PacketRate => known(rate.map(|rate| fraction(rate.packets))),
        Column::ByteRate => known(rate.map(|rate| fraction(rate.bytes))),
        Column::Mark => known(flow.mark.map(u128::from)),
        Column::Zone => known(flow.zone.map(u128::from)),
        Column::Flows | Column::Unreplied | Column::Growth => 0,
    }
}

fn of_group(column: Column, key: &GroupKey, group: &Group) -> u128 {
    match column {
        Column::Source => key.place(),
        Column::Flows => group.flows.into(),
        Column::Unreplied => group.unreplied.into(),
        Column::Growth => known(group.growth.map(fraction)),
        Column::Packets => group.counted.packets.into(),
        Column::Bytes => group.counted.bytes.into(),
        Column::PacketRate => known(group.rate.map(|rate| fraction(rate.packets))),
        Column::ByteRate => known(group.rate.map(|rate| fraction(rate.bytes))),
        Column::SourcePort
        | Column::Destination
        | Column::DestinationPort
        | Column::Protocol
        | Column::State
        | Column::Left
        | Column::Mark
        | Column::Zone => 0,
    }
}

/// What isn't known is less than all else.
fn known(number: Option<u128>) -> u128 {
    number.map_or(0, |number| number + 1)
}

/// A number that compares as a fraction does: the sign's bit turns the order round.
fn fraction(number: f64) -> u128 {
    let bits = number.to_bits();
    u128::from(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
}

/// Addresses of IPv4 come before those of IPv6.
pub(super) fn address(address: Option<IpAddr>) -> u128 {
    match address {
        None => 0,
        Some(IpAddr::V4(address)) => u128::from(address.to_bits()) + 1,
        // The lowest bit is given up, so that there is room for those before.
        Some(IpAddr::V6(address)) => (address.to_bits() >> 1) | 1 << 127,
    }
}

fn state(name: Option<&str>) -> u128 {
    let position = name.and_then(|name| names::states().position(|known| known == name));
    known(position.map(|position| position as u128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_what_they_stand_for() {
        let fractions = [-5.5, -1.0, 0.0, 0.25, 1.0, 1e9];
        assert!(fractions.map(fraction).is_sorted());
        let addresses = ["0.0.0.0", "10.0.0.1", "255.255.255.255", "::", "2001:db8::1", "ff00::1"];
        let places = addresses.map(|text| address(text.parse().ok()));
        assert!(address(None) < places[0] && places.is_sorted());
    }

    #[test]
    fn an_order_is_read_as_list_reads_it() {
        let order = |word| Order::read(word).map(|order| (order.column, order.descends));
        assert_eq!(order("-bps"), Ok((Column::ByteRate, true)));
        assert_eq!(order("src"), Ok((Column::Source, false)));
        assert!(order("colour").is_err_and(|why| why.contains("src, sport, dst")));
    }
}
