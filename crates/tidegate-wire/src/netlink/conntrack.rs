//! What is said of a flow (`CTA_…`).
//!
//! A message is read as a list of [`Attribute`]s, in its order, and written from one. Values are the kernel's:
//! status bits are those of `enum ip_conntrack_status`, TCP states those of `enum tcp_conntrack`.

mod parts;

pub use self::parts::{
    Counters, Filter, Help, NatPorts, NatRange, ProtoInfo, SctpInfo, SecurityContext, SeqAdj,
    SynProxy, TcpInfo, Timestamp,
};

use super::attr::{Attr, AttrError, Attrs};
use super::frame::Writer;
use super::tuple::Tuple;

/// The numbers of messages about flows.
pub mod message {
    /// A flow: in answers, events and requests to make or change one.
    pub const NEW: u8 = 0;
    /// Asks for one or all.
    pub const GET: u8 = 1;
    /// Deletes one, or all; in events, one is gone.
    pub const DELETE: u8 = 2;
    /// As [`GET`], and sets the counters to zero.
    pub const GET_CTRZERO: u8 = 3;
    /// Asks for statistics of each CPU.
    pub const GET_STATS_CPU: u8 = 4;
    /// Asks how many there are and may be.
    pub const GET_STATS: u8 = 5;
    /// Asks for those that are on the way out.
    pub const GET_DYING: u8 = 6;
    /// Asks for those that are on the way in.
    pub const GET_UNCONFIRMED: u8 = 7;
}

/// Whom events are sent to: the numbers of multicast groups.
pub mod group {
    /// New flows.
    pub const NEW: u32 = 1;
    /// Changed ones.
    pub const UPDATE: u32 = 2;
    /// Ended ones.
    pub const DESTROY: u32 = 3;
    /// New expectations.
    pub const EXPECT_NEW: u32 = 4;
    /// Changed ones.
    pub const EXPECT_UPDATE: u32 = 5;
    /// Ended ones.
    pub const EXPECT_DESTROY: u32 = 6;
}

/// One thing that is said of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// The tuple of its first packet.
    Original(Tuple),
    /// The tuple of the answers.
    Reply(Tuple),
    /// The original tuple of the flow that it belongs to.
    Master(Tuple),
    /// Status bits.
    Status(u32),
    /// Which status bits a filter looks at.
    StatusMask(u32),
    /// What the tracker remembers.
    ProtoInfo(ProtoInfo),
    /// The helper.
    Help(Help<'a>),
    /// How its source is, or shall be, translated.
    NatSource(NatRange),
    /// The same of its destination.
    NatDestination(NatRange),
    /// What is left of its life, in seconds.
    Timeout(u32),
    /// Its mark.
    Mark(u32),
    /// Which bits of the mark count.
    MarkMask(u32),
    /// What it counted in the original direction.
    CountersOriginal(Counters),
    /// And in the other.
    CountersReply(Counters),
    /// References to it.
    Use(u32),
    /// Its number.
    Id(u32),
    /// How sequence numbers are shifted in the original direction.
    SeqAdjOriginal(SeqAdj),
    /// And in the other.
    SeqAdjReply(SeqAdj),
    /// Its zone.
    Zone(u16),
    /// Its security context.
    SecurityContext(SecurityContext<'a>),
    /// When it was confirmed, and when it ended.
    Timestamp(Timestamp),
    /// Its labels, as a set of bits in the machine's byte order.
    Labels(&'a [u8]),
    /// Which labels are changed.
    LabelsMask(&'a [u8]),
    /// What SYNPROXY remembers.
    SynProxy(SynProxy),
    /// Which parts of the tuples a filter looks at.
    Filter(Filter),
    /// When the event happened, in nanoseconds since 1970.
    EventTime(u64),
    /// Something else.
    Other(Attr<'a>),
}

const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOINFO: u16 = 4;
const HELP: u16 = 5;
const NAT_SRC: u16 = 6;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const COUNTERS_ORIG: u16 = 9;
const COUNTERS_REPLY: u16 = 10;
const USE: u16 = 11;
const ID: u16 = 12;
const NAT_DST: u16 = 13;
const TUPLE_MASTER: u16 = 14;
const SEQ_ADJ_ORIG: u16 = 15;
const SEQ_ADJ_REPLY: u16 = 16;
const ZONE: u16 = 18;
const SECCTX: u16 = 19;
const TIMESTAMP: u16 = 20;
const MARK_MASK: u16 = 21;
const LABELS: u16 = 22;
const LABELS_MASK: u16 = 23;
const SYNPROXY: u16 = 24;
const FILTER: u16 = 25;
const STATUS_MASK: u16 = 26;
const TIMESTAMP_EVENT: u16 = 27;

/// The attributes of a message's body.
///
/// # Errors
/// Each item: a list is cut, or a value has not its length.
pub fn attributes<'a>(attrs: Attrs<'a>) -> impl Iterator<Item = Result<Attribute<'a>, AttrError>> {
    attrs.map(|attr| Attribute::parse(&attr?))
}

/// Those among them that tell who a flow is and how it fares: tuples, zone, status, state, the rest of its life and its
/// beginning. Mark, number, counters and the like are passed over.
///
/// # Errors
/// As [`attributes`].
pub fn outline<'a>(attrs: Attrs<'a>) -> impl Iterator<Item = Result<Attribute<'a>, AttrError>> {
    let is_of_it = |attr: &Attr<'_>| {
        matches!(
            attr.kind,
            TUPLE_ORIG | TUPLE_REPLY | STATUS | PROTOINFO | TIMEOUT | ZONE | TIMESTAMP
        )
    };
    let wanted = attrs.filter(move |attr| attr.as_ref().map_or(true, is_of_it));
    wanted.map(|attr| Attribute::parse(&attr?))
}

impl<'a> Attribute<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// A list is cut, or a value has not its length.
    pub fn parse(attr: &Attr<'a>) -> Result<Self, AttrError> {
        Ok(match attr.kind {
            TUPLE_ORIG => Self::Original(Tuple::parse(attr)?),
            TUPLE_REPLY => Self::Reply(Tuple::parse(attr)?),
            TUPLE_MASTER => Self::Master(Tuple::parse(attr)?),
            STATUS => Self::Status(attr.u32()?),
            STATUS_MASK => Self::StatusMask(attr.u32()?),
            PROTOINFO => Self::ProtoInfo(ProtoInfo::parse(attr)?),
            HELP => Self::Help(Help::parse(attr)?),
            NAT_SRC => Self::NatSource(NatRange::parse(attr)?),
            NAT_DST => Self::NatDestination(NatRange::parse(attr)?),
            TIMEOUT => Self::Timeout(attr.u32()?),
            MARK => Self::Mark(attr.u32()?),
            MARK_MASK => Self::MarkMask(attr.u32()?),
            COUNTERS_ORIG => Self::CountersOriginal(Counters::parse(attr)?),
            COUNTERS_REPLY => Self::CountersReply(Counters::parse(attr)?),
            USE => Self::Use(attr.u32()?),
            ID => Self::Id(attr.u32()?),
            SEQ_ADJ_ORIG => Self::SeqAdjOriginal(SeqAdj::parse(attr)?),
            SEQ_ADJ_REPLY => Self::SeqAdjReply(SeqAdj::parse(attr)?),
            ZONE => Self::Zone(attr.u16()?),
            SECCTX => Self::SecurityContext(SecurityContext::parse(attr)?),
            TIMESTAMP => Self::Timestamp(Timestamp::parse(attr)?),
            LABELS => Self::Labels(attr.value),
            LABELS_MASK => Self::LabelsMask(attr.value),
            SYNPROXY => Self::SynProxy(SynProxy::parse(attr)?),
            FILTER => Self::Filter(Filter::parse(attr)?),
            TIMESTAMP_EVENT => Self::EventTime(attr.u64()?),
            _ => Self::Other(*attr),
        })
    }

    /// Writes one.
    pub fn write(&self, writer: &mut Writer<'_>) {
        let bytes = |kind, value| Attr { kind, nested: false, value };
        match self {
            Self::Original(tuple) => tuple.write(TUPLE_ORIG, writer),
            Self::Reply(tuple) => tuple.write(TUPLE_REPLY, writer),
            Self::Master(tuple) => tuple.write(TUPLE_MASTER, writer),
            Self::Status(bits) => writer.u32(STATUS, *bits),
            Self::StatusMask(bits) => writer.u32(STATUS_MASK, *bits),
            Self::ProtoInfo(info) => info.write(PROTOINFO, writer),
            Self::Help(help) => help.write(HELP, writer),
            Self::NatSource(range) => range.write(NAT_SRC, writer),
            Self::NatDestination(range) => range.write(NAT_DST, writer),
            Self::Timeout(seconds) => writer.u32(TIMEOUT, *seconds),
            Self::Mark(mark) => writer.u32(MARK, *mark),
            Self::MarkMask(mask) => writer.u32(MARK_MASK, *mask),
            Self::CountersOriginal(counters) => counters.write(COUNTERS_ORIG, writer),
            Self::CountersReply(counters) => counters.write(COUNTERS_REPLY, writer),
            Self::Use(count) => writer.u32(USE, *count),
            Self::Id(id) => writer.u32(ID, *id),
            Self::SeqAdjOriginal(shift) => shift.write(SEQ_ADJ_ORIG, writer),
            Self::SeqAdjReply(shift) => shift.write(SEQ_ADJ_REPLY, writer),
            Self::Zone(zone) => writer.u16(ZONE, *zone),
            Self::SecurityContext(context) => context.write(SECCTX, writer),
            Self::Timestamp(times) => times.write(TIMESTAMP, writer),
            Self::Labels(bits) => writer.attr(bytes(LABELS, bits)),
            Self::LabelsMask(bits) => writer.attr(bytes(LABELS_MASK, bits)),
            Self::SynProxy(proxy) => proxy.write(SYNPROXY, writer),
            Self::Filter(filter) => filter.write(FILTER, writer),
            Self::EventTime(nanos) => writer.u64(TIMESTAMP_EVENT, *nanos),
            Self::Other(attr) => writer.attr(*attr),
        }
    }
}
