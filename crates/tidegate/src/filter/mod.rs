//! Which flows are meant: conditions that all must hold.
//!
//! Every condition is tried here, on each flow. Those that a table can try itself are sent along with the request
//! ([`Filter::push`], [`Filter::write_conditions`]), so that most of what isn't meant never comes; a table that ignores them costs time and
//! changes nothing.

mod conditions;
mod expression;
mod prefix;
mod push;
mod quantity;
#[cfg(test)]
mod tests;

use tidegate_wire::Family;
use tidegate_wire::netlink::Tuple;

pub(crate) use self::expression::Expression;
pub(crate) use self::prefix::Prefix;
pub(crate) use self::quantity::{Amounts, BadNumber, Between, Ports, Spans, amount, timeout};
use crate::client::{Flow, is_label};
use crate::timers::Timers;

/// Conditions on flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    tests: Vec<Test>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    /// It is of the family.
    Family(Family),
    /// It is of the protocol of this number.
    Protocol(u8),
    /// Of these status bits, those of the value are set and the others are not.
    Status(Masked),
    /// The tracker's state has one of these names.
    State(Vec<&'static str>),
    /// An address lies in a network.
    Address(Spot, Prefix),
    /// A port lies in a range.
    Port(Spot, Ports),
    /// It is of this zone, in both directions; 0: of none.
    Zone(u16),
    /// It is of this zone, in this direction only: 0 original, 1 reply.
    ZoneOf(usize, u16),
    /// Bits of its mark.
    Mark(Masked),
    /// It carries the label of this bit.
    Label(u16),
    /// It is translated, this way, to this network or anywhere.
    Translated(Translation, Option<Prefix>),
    /// It has the helper of this name.
    Helper(String),
    /// Its number.
    Id(u32),
    /// The rest of its life, in seconds.
    Timeout(Between),
    /// How long it has lived, in seconds.
    Age(Between),
    /// How long it has been idle, for certain, in seconds, in a table of these timeouts.
    Idle(Between, Timers),
    /// Packets of both directions.
    Packets(Between),
    /// Bytes of both directions.
    Bytes(Between),
    /// Conditions that are joined in other ways.
    Where(Box<Expression>),
}

/// Which bits of a number count, and what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masked {
    /// What they are.
    pub(crate) value: u32,
    /// Which count.
    pub(crate) mask: u32,
}

impl Masked {
    /// Whether a number has them.
    pub(crate) fn holds(self, number: u32) -> bool {
        number & self.mask == self.value
    }
}

/// Where in a flow's tuples something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Source of a direction: 0 original, 1 reply.
    Source(usize),
    /// Destination of a direction.
    Destination(usize),
    /// Any of the four.
    Anywhere,
}

/// How a flow is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Translation {
    /// Its source.
    Source,
    /// Its destination.
    Destination,
    /// One of them.
    Any,
}

impl Filter {
    /// Flows for which all of these hold.
    pub(crate) fn new(tests: Vec<Test>) -> Self {
        Self { tests }
    }

    /// Those of them for which another holds as well.
    pub(crate) fn and(mut self, test: Test) -> Self {
        self.tests.push(test);
        self
    }

    /// The conditions.
    pub(crate) fn into_tests(self) -> Vec<Test> {
        self.tests
    }

    /// Whether everything is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether a flow is meant, at `now` in nanoseconds since 1970.
    pub(crate) fn accepts(&self, flow: &Flow<'_>, now: u64) -> bool {
        self.tests.iter().all(|test| test.holds(flow, now))
    }
}

impl Test {
    fn holds(&self, flow: &Flow<'_>, now: u64) -> bool {
        match self {
            Self::Family(family) => flow.family == family.number(),
            Self::Protocol(number) => flow.proto() == *number,
            Self::Status(bits) => flow.status.is_some_and(|status| bits.holds(status)),
            Self::State(names) => flow.state().is_some_and(|state| names.contains(&state)),
            Self::Address(spot, prefix) => {
                spot.values(flow, addresses).any(|address| prefix.holds(address))
            }
            Self::Port(spot, range) => spot.values(flow, ports).any(|port| range.holds(port)),
            Self::Zone(zone) => flow.zone.unwrap_or(0) == *zone,
            Self::ZoneOf(dir, zone) => flow.tuples[*dir].zone == Some(*zone),
            Self::Mark(bits) => bits.holds(flow.mark.unwrap_or(0)),
            Self::Label(bit) => flow.labels.is_some_and(|labels| is_label(labels, *bit)),
            Self::Translated(way, to) => way.holds(flow, *to),
            Self::Helper(name) => flow.helper == Some(name.as_bytes()),
            Self::Id(id) => flow.id == Some(*id),
            Self::Timeout(range) => flow.timeout.is_some_and(|left| range.holds(left.into())),
            Self::Age(range) => flow.age(now).is_some_and(|age| range.holds(age)),
            Self::Idle(range, timers) => timers.idle(flow, now).is_within(*range),
            Self::Packets(range) => flow.counted().is_some_and(|sum| range.holds(sum.packets)),
            Self::Bytes(range) => flow.counted().is_some_and(|sum| range.holds(sum.bytes)),
            Self::Where(expression) => expression.holds(flow, now),
        }
    }
}

impl Spot {
    fn values<T>(
        self,
        flow: &Flow<'_>,
        ends: fn(&Tuple) -> [Option<T>; 2],
    ) -> impl Iterator<Item = T> {
        let [original, reply] = flow.tuples.each_ref().map(ends).map(|[src, dst]| (src, dst));
        let chosen = match self {
            Self::Source(0) => [original.0, None, None, None],
            Self::Source(_) => [reply.0, None, None, None],
            Self::Destination(0) => [original.1, None, None, None],
            Self::Destination(_) => [reply.1, None, None, None],
            Self::Anywhere => [original.0, original.1, reply.0, reply.1],
        };
        chosen.into_iter().flatten()
    }
}

fn addresses(tuple: &Tuple) -> [Option<std::net::IpAddr>; 2] {
    [tuple.src, tuple.dst]
}

fn ports(tuple: &Tuple) -> [Option<u16>; 2] {
    [tuple.sport, tuple.dport]
}

impl Translation {
    fn holds(self, flow: &Flow<'_>, to: Option<Prefix>) -> bool {
        let reply = &flow.tuples[1];
        let lies_in = |address: Option<std::net::IpAddr>| {
            to.is_none_or(|to| address.is_some_and(|address| to.holds(address)))
        };
        let source = || flow.is_source_translated() && lies_in(reply.dst);
        let destination = || flow.is_destination_translated() && lies_in(reply.src);
        match self {
            Self::Source => source(),
            Self::Destination => destination(),
            Self::Any => source() || destination(),
        }
    }
}
