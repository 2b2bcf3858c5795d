//! What ctnetlink can't say: Tidegate's own subsystem.
//!
//! Its messages have the shape of all others, with numbers in network order. A request is one message and is
//! answered as in ctnetlink: [`message::LIST`] by messages about flows of the conntrack subsystem and a
//! [`Control::Done`](super::frame::Control), counts by one message of the request's own kind, everything else by an
//! answer. Requests that choose flows carry [`Condition`]s, all of which must hold.
//!
//! ```text
//! SUBSCRIBE (groups, after which event, conditions) --> ACK --> EVENT 18, EVENT 19, GAP 20 to 31, EVENT 32 ...
//! ```
//!
//! Events are numbered from 1 without gaps, for all who listen alike. Who couldn't keep up, or comes back with a
//! number whose successor is forgotten, is told which ones are missing; the numbers that its conditions passed over
//! are not.

use alloc::vec::Vec;

use super::attr::{Attr, AttrError, Attrs};
use super::frame::Writer;

/// The numbers of messages.
pub mod message {
    /// From the server: something happened ([`Attribute`](super::Attribute)s `Sequence`, `Time`, `Kind`, `Body`).
    pub const EVENT: u8 = 0;
    /// From the server: the events `Sequence` to `Last` are lost to this listener.
    pub const GAP: u8 = 1;
    /// Listens: `Groups` (a bit for each group, none to end it), `Condition`s, and `Sequence`, the last event that is
    /// known already.
    pub const SUBSCRIBE: u8 = 2;
    /// Asks for the flows that meet the `Condition`s.
    pub const LIST: u8 = 3;
    /// Asks how many there are (`Count`).
    pub const COUNT: u8 = 4;
    /// Deletes them, and says how many there were (`Count`). Without any condition it is refused.
    pub const DELETE: u8 = 5;
    /// Asks how many packets were dropped or called INVALID, by reason (`Class`, `Name`, `Count`).
    pub const REASONS: u8 = 6;
    /// Asks for all settings, or those of that `Name` (`Name`, `Value`).
    pub const SETTINGS: u8 = 7;
    /// Changes the setting `Name` to `Value`.
    pub const SET: u8 = 8;
    /// Asks what would become of the datagram `Packet` with the mark `Number` if it came in by the port `Name`, or by
    /// that by which packets usually come. Answered like a listing, by lines (`Text`).
    pub const EXPLAIN: u8 = 9;
    /// Has the server read its files again. Answered like a listing, by what it has to say of them (`Text`); if they are
    /// at fault, by an error behind that.
    pub const RELOAD: u8 = 12;
    /// Has sets made, filled and emptied: `Value` is lines as `ipset restore` reads them, of which `Number` went before.
    /// Answered like a listing, by what is wrong with which line (`Text`), and then by an error behind that; the other
    /// lines are done.
    pub const SETS: u8 = 13;
    /// From a shim: who the client takes itself for (`Number`).
    pub const HELLO: u8 = 16;
    /// From a shim: the client is in these `Groups` of ctnetlink's events.
    pub const MEMBERSHIP: u8 = 17;
    /// From a shim: an option of the socket, `Number`, was set to `Value` (a number in the machine's byte order).
    pub const OPTION: u8 = 18;
    /// To a shim: the next call on the socket fails with the errno `Number`.
    pub const FAILURE: u8 = 19;
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// An event's number, the first of those lost, or the last one known.
    Sequence(u64),
    /// The last one of those lost.
    Last(u64),
    /// Groups of [`conntrack::group`](super::conntrack::group): the bit `n - 1` for the group `n`.
    Groups(u32),
    /// What a flow must be.
    Condition(Condition<'a>),
    /// How many.
    Count(u64),
    /// A name.
    Name(&'a [u8]),
    /// A value.
    Value(&'a [u8]),
    /// What kind of thing a reason is a reason for: `drop`, `invalid`, `ignored`.
    Class(&'a [u8]),
    /// Which message of which subsystem would say the same, with its flags in the lower half.
    Kind(u32),
    /// The attributes that it would have, behind each other.
    Body(&'a [u8]),
    /// When, in nanoseconds since 1970.
    Time(u64),
    /// A datagram.
    Packet(&'a [u8]),
    /// A text for people.
    Text(&'a [u8]),
    /// A number.
    Number(u32),
    /// Something else.
    Other(Attr<'a>),
}

/// What can be asked of a flow: each is a number, but for [`Field::Helper`]. Of what a flow doesn't have nothing
/// holds, not even in the negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum Field {
    /// `AF_INET` or `AF_INET6`.
    Family = 1,
    /// The upper layer's protocol number.
    Protocol,
    /// The tracker's state (`enum tcp_conntrack`, `enum sctp_conntrack`), where it has states.
    State,
    /// Status bits.
    Status,
    /// The mark.
    Mark,
    /// The zone's number.
    Zone,
    /// Labels, label 0 in the lowest bit.
    Labels,
    /// Seconds left.
    Timeout,
    /// Seconds since it was confirmed, where that is noted.
    Age,
    /// The number that is shown of it.
    Id,
    /// The original direction's source address; IPv4 as 32 bits. Ask for the family as well.
    OriginalSource,
    /// Its destination address.
    OriginalDestination,
    /// Its source port, identifier or key.
    OriginalSourcePort,
    /// Its destination port or key; of ICMP type and code.
    OriginalDestinationPort,
    /// The same of the replies.
    ReplySource,
    /// See [`Field::ReplySource`].
    ReplyDestination,
    /// See [`Field::ReplySource`].
    ReplySourcePort,
    /// See [`Field::ReplySource`].
    ReplyDestinationPort,
    /// Packets of both directions, where they are counted.
    Packets,
    /// Bytes of both directions.
    Bytes,
    /// Packets of the original direction.
    OriginalPackets,
    /// Its bytes.
    OriginalBytes,
    /// Packets of the replies.
    ReplyPackets,
    /// Their bytes.
    ReplyBytes,
    /// 1 if another flow announced it, else 0.
    HasMaster,
    /// The name of its helper, empty if it has none.
    Helper,
}

impl Field {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 26] = [
        Self::Family,
        Self::Protocol,
        Self::State,
        Self::Status,
        Self::Mark,
        Self::Zone,
        Self::Labels,
        Self::Timeout,
        Self::Age,
        Self::Id,
        Self::OriginalSource,
        Self::OriginalDestination,
        Self::OriginalSourcePort,
        Self::OriginalDestinationPort,
        Self::ReplySource,
        Self::ReplyDestination,
        Self::ReplySourcePort,
        Self::ReplyDestinationPort,
        Self::Packets,
        Self::Bytes,
        Self::OriginalPackets,
        Self::OriginalBytes,
        Self::ReplyPackets,
        Self::ReplyBytes,
        Self::HasMaster,
        Self::Helper,
    ];

    /// The one of that number.
    #[must_use]
    pub fn of_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|field| *field as u16 == number)
    }
}

/// What a flow must be: of a field, the bits of `mask` are a number between `first` and `last`, both included; or its
/// name is `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// The [`Field`]'s number.
    pub field: u16,
    /// It must not be so.
    pub is_negated: bool,
    /// The bits that count; absent: all.
    pub mask: Option<u128>,
    /// The least that it may be; absent: 0.
    pub first: Option<u128>,
    /// The most; absent: no limit.
    pub last: Option<u128>,
    /// The name that it must have.
    pub name: Option<&'a [u8]>,
    /// What else is said.
    pub unknown: Vec<u8>,
}

const SEQUENCE: u16 = 1;
const LAST: u16 = 2;
const GROUPS: u16 = 3;
const CONDITION: u16 = 4;
const COUNT: u16 = 5;
const NAME: u16 = 6;
const VALUE: u16 = 7;
const CLASS: u16 = 8;
const KIND: u16 = 9;
const BODY: u16 = 10;
const TIME: u16 = 11;
const PACKET: u16 = 12;
const TEXT: u16 = 13;
const NUMBER: u16 = 14;

const CONDITION_FIELD: u16 = 1;
const CONDITION_NOT: u16 = 2;
const CONDITION_MASK: u16 = 3;
const CONDITION_FIRST: u16 = 4;
const CONDITION_LAST: u16 = 5;
const CONDITION_NAME: u16 = 6;

/// The attributes of a message's body.
///
/// # Errors
/// Each item: a list is cut, or a value has not its length.
pub fn attributes<'a>(attrs: Attrs<'a>) -> impl Iterator<Item = Result<Attribute<'a>, AttrError>> {
    attrs.map(|attr| Attribute::parse(&attr?))
}

impl<'a> Attribute<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// A list is cut, or a value has not its length.
    pub fn parse(attr: &Attr<'a>) -> Result<Self, AttrError> {
        Ok(match attr.kind {
            SEQUENCE => Self::Sequence(attr.u64()?),
            LAST => Self::Last(attr.u64()?),
            GROUPS => Self::Groups(attr.u32()?),
            CONDITION => Self::Condition(Condition::parse(attr)?),
            COUNT => Self::Count(attr.u64()?),
            NAME => Self::Name(attr.string()),
            VALUE => Self::Value(attr.value),
            CLASS => Self::Class(attr.string()),
            KIND => Self::Kind(attr.u32()?),
            BODY => Self::Body(attr.value),
            TIME => Self::Time(attr.u64()?),
            PACKET => Self::Packet(attr.value),
            TEXT => Self::Text(attr.string()),
            NUMBER => Self::Number(attr.u32()?),
            _ => Self::Other(*attr),
        })
    }

    /// Writes one.
    pub fn write(&self, writer: &mut Writer<'_>) {
        let bytes = |kind, value| Attr { kind, nested: false, value };
        match self {
            Self::Sequence(number) => writer.u64(SEQUENCE, *number),
            Self::Last(number) => writer.u64(LAST, *number),
            Self::Groups(groups) => writer.u32(GROUPS, *groups),
            Self::Condition(condition) => condition.write(writer),
            Self::Count(count) => writer.u64(COUNT, *count),
            Self::Name(name) => writer.string(NAME, name),
            Self::Value(value) => writer.attr(bytes(VALUE, value)),
            Self::Class(name) => writer.string(CLASS, name),
            Self::Kind(kind) => writer.u32(KIND, *kind),
            Self::Body(list) => writer.attr(Attr { kind: BODY, nested: true, value: list }),
            Self::Time(nanos) => writer.u64(TIME, *nanos),
            Self::Packet(datagram) => writer.attr(bytes(PACKET, datagram)),
            Self::Text(text) => writer.string(TEXT, text),
            Self::Number(number) => writer.u32(NUMBER, *number),
            Self::Other(attr) => writer.attr(*attr),
        }
    }
}

impl<'a> Condition<'a> {
    /// That a field is a number of this range.
    #[must_use]
    pub fn between(field: Field, first: u128, last: u128) -> Self {
        Self { first: Some(first), last: Some(last), ..Self::of(field) }
    }

    /// That these bits of a field are this number.
    #[must_use]
    pub fn masked(field: Field, number: u128, mask: u128) -> Self {
        Self { mask: Some(mask), ..Self::between(field, number & mask, number & mask) }
    }

    /// That a field has this name.
    #[must_use]
    pub fn named(field: Field, name: &'a [u8]) -> Self {
        Self { name: Some(name), ..Self::of(field) }
    }

    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { is_negated: !self.is_negated, ..self }
    }

    /// That a flow has the field at all.
    #[must_use]
    pub fn of(field: Field) -> Self {
        Self::of_number(field as u16)
    }

    fn of_number(field: u16) -> Self {
        let (mask, first, last, name) = (None, None, None, None);
        Self { field, is_negated: false, mask, first, last, name, unknown: Vec::new() }
    }

    fn parse(attr: &Attr<'a>) -> Result<Self, AttrError> {
        let mut found = Self::of_number(0);
        let number = |attr: &Attr<'_>| attr.bytes().map(u128::from_be_bytes);
        let unknown = attr.list(|attr| {
            match attr.kind {
                CONDITION_FIELD => found.field = attr.u16()?,
                CONDITION_NOT => found.is_negated = true,
                CONDITION_MASK => found.mask = Some(number(&attr)?),
                CONDITION_FIRST => found.first = Some(number(&attr)?),
                CONDITION_LAST => found.last = Some(number(&attr)?),
                CONDITION_NAME => found.name = Some(attr.string()),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { unknown, ..found })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.nest(CONDITION, |writer| {
            writer.u16(CONDITION_FIELD, self.field);
            if self.is_negated {
                writer.attr(Attr { kind: CONDITION_NOT, nested: false, value: &[] });
            }
            let numbers = [
                (CONDITION_MASK, self.mask),
                (CONDITION_FIRST, self.first),
                (CONDITION_LAST, self.last),
            ];
            for (kind, number) in numbers {
                if let Some(number) = number {
                    writer.value(kind, number.to_be_bytes());
                }
            }
            if let Some(name) = self.name {
                writer.string(CONDITION_NAME, name);
            }
            writer.unknown(&self.unknown);
        });
    }

    /// Whether a field that is this number meets it; a name is not looked at.
    #[must_use]
    pub fn holds(&self, number: u128) -> bool {
        let counted = number & self.mask.unwrap_or(u128::MAX);
        let range = self.first.unwrap_or(0)..=self.last.unwrap_or(u128::MAX);
        range.contains(&counted) != self.is_negated
    }
}
