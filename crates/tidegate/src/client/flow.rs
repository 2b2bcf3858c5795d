//! What a message says of a flow.

use tidegate_wire::netlink::conntrack::{
    self, Attribute, Counters, ProtoInfo, SeqAdj, SynProxy, Timestamp,
};
use tidegate_wire::netlink::{AttrError, Message, Tuple};
use tidegate_wire::proto;

use super::error::ClientError;
use super::names;

/// A flow, as far as a message tells: a dump and an event tell different things.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow<'a> {
    /// The address family's number.
    pub(crate) family: u8,
    /// The tuples: original, reply.
    pub(crate) tuples: [Tuple; 2],
    /// The original tuple of the flow that it belongs to.
    pub(crate) master: Option<Tuple>,
    /// Status bits.
    pub(crate) status: Option<u32>,
    /// What the tracker remembers.
    pub(crate) info: ProtoInfo,
    /// The rest of its life, in seconds.
    pub(crate) timeout: Option<u32>,
    /// Its mark.
    pub(crate) mark: Option<u32>,
    /// Packets and bytes, by direction.
    pub(crate) counters: [Option<Counters>; 2],
    /// References to it.
    pub(crate) uses: Option<u32>,
    /// Its number.
    pub(crate) id: Option<u32>,
    /// The zone of both directions; those of one are in the tuples.
    pub(crate) zone: Option<u16>,
    /// The helper's name.
    pub(crate) helper: Option<&'a [u8]>,
    /// The security context.
    pub(crate) context: Option<&'a [u8]>,
    /// When it began and ended.
    pub(crate) times: Option<Timestamp>,
    /// Its labels.
    pub(crate) labels: Option<&'a [u8]>,
    /// How sequence numbers are shifted, by direction.
    pub(crate) shifts: [Option<SeqAdj>; 2],
    /// What SYNPROXY remembers.
    pub(crate) synproxy: Option<SynProxy>,
    /// When the event happened.
    pub(crate) event_time: Option<u64>,
}

/// What both directions counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Packets.
    pub(crate) packets: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl<'a> Flow<'a> {
    /// Reads a message about a flow.
    ///
    /// # Errors
    /// It is cut or damaged.
    pub(crate) fn parse(message: &Message<'a>) -> Result<Self, ClientError> {
        let (family, attrs) = message.body()?;
        let mut flow = Self { family: family.family, ..Self::default() };
        for attribute in conntrack::attributes(attrs) {
            flow.take(attribute)?;
        }
        Ok(flow)
    }

    /// Reads what [`conntrack::outline`] tells of a flow, which is all that counting takes.
    ///
    /// # Errors
    /// It is cut or damaged.
    pub(crate) fn outline(message: &Message<'a>) -> Result<Self, ClientError> {
        let (family, attrs) = message.body()?;
        let mut flow = Self { family: family.family, ..Self::default() };
        for attribute in conntrack::outline(attrs) {
            flow.take(attribute)?;
        }
        Ok(flow)
    }

    fn take(&mut self, attribute: Result<Attribute<'a>, AttrError>) -> Result<(), ClientError> {
        match attribute? {
            Attribute::Original(tuple) => self.tuples[0] = tuple,
            Attribute::Reply(tuple) => self.tuples[1] = tuple,
            Attribute::Master(tuple) => self.master = Some(tuple),
            Attribute::Status(bits) => self.status = Some(bits),
            Attribute::ProtoInfo(info) => self.info = info,
            Attribute::Timeout(seconds) => self.timeout = Some(seconds),
            Attribute::Mark(mark) => self.mark = Some(mark),
            Attribute::CountersOriginal(counters) => self.counters[0] = Some(counters),
            Attribute::CountersReply(counters) => self.counters[1] = Some(counters),
            Attribute::Use(count) => self.uses = Some(count),
            Attribute::Id(id) => self.id = Some(id),
            Attribute::Zone(zone) => self.zone = Some(zone),
            Attribute::Help(help) => self.helper = help.name,
            Attribute::SecurityContext(context) => self.context = context.name,
            Attribute::Timestamp(times) => self.times = Some(times),
            Attribute::Labels(labels) => self.labels = Some(labels),
            Attribute::SeqAdjOriginal(shift) => self.shifts[0] = Some(shift),
            Attribute::SeqAdjReply(shift) => self.shifts[1] = Some(shift),
            Attribute::SynProxy(proxy) => self.synproxy = Some(proxy),
            Attribute::EventTime(nanos) => self.event_time = Some(nanos),
            Attribute::StatusMask(_)
            | Attribute::NatSource(_)
            | Attribute::NatDestination(_)
            | Attribute::MarkMask(_)
            | Attribute::LabelsMask(_)
            | Attribute::Filter(_)
            | Attribute::Other(_) => {}
        }
        Ok(())
    }

    /// The upper layer's protocol number.
    pub(crate) fn proto(&self) -> u8 {
        self.tuples[0].proto.unwrap_or(0)
    }

    /// The name of the tracker's state, if the protocol has states and this is one.
    pub(crate) fn state(&self) -> Option<&'static str> {
        let Some(tcp) = &self.info.tcp else {
            let sctp = self.info.sctp.as_ref()?;
            return names::sctp_state(sctp.state?);
        };
        names::tcp_state(tcp.state?)
    }

    /// Whether these status bits are set.
    pub(crate) fn has(&self, bits: u32) -> bool {
        self.status.is_some_and(|status| status & bits == bits)
    }

    /// What both directions counted; `None` if nobody counts.
    pub(crate) fn counted(&self) -> Option<Counted> {
        let sum = |what: fn(&Counters) -> Option<u64>| {
            self.counters.iter().flatten().filter_map(what).fold(0, u64::wrapping_add)
        };
        self.counters.iter().any(Option::is_some).then(|| Counted {
            packets: sum(|counters| counters.packets),
            bytes: sum(|counters| counters.bytes),
        })
    }

    /// How long it has lived at `now`, in seconds; `None` if the table doesn't remember its beginning.
    pub(crate) fn age(&self, now: u64) -> Option<u64> {
        let start = self.times.as_ref()?.start?;
        Some(now.saturating_sub(start) / NANOS)
    }

    /// The source is translated: answers go elsewhere than to the first packet's source.
    pub(crate) fn is_source_translated(&self) -> bool {
        let [original, reply] = &self.tuples;
        reply.dst != original.src || (self.has_ports() && reply.dport != original.sport)
    }

    /// The destination is translated.
    pub(crate) fn is_destination_translated(&self) -> bool {
        let [original, reply] = &self.tuples;
        reply.src != original.dst || (self.has_ports() && reply.sport != original.dport)
    }

    /// Bits of its labels that are set.
    pub(crate) fn label_bits(&self) -> impl Iterator<Item = u16> + use<'a> {
        let labels = self.labels.unwrap_or_default();
        (0..labels.len() as u16 * 8).filter(move |bit| is_label(labels, *bit))
    }

    fn has_ports(&self) -> bool {
        !matches!(self.proto(), proto::ICMP | proto::ICMPV6)
    }
}

/// Whether a label is in the set, which consists of words in the machine's byte order.
pub(crate) fn is_label(labels: &[u8], bit: u16) -> bool {
    let word =
        labels.chunks_exact(4).nth(usize::from(bit / 32)).and_then(|word| word.first_chunk());
    word.is_some_and(|word| u32::from_ne_bytes(*word) >> (bit % 32) & 1 == 1)
}

const NANOS: u64 = 1_000_000_000;
