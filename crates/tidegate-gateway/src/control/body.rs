//! What a request says of a flow, in the form that the engine's commands want.

use tidegate_engine::command::{Change, Creation, ProtoChange, TcpChange};
use tidegate_engine::flow::{Correction, Status};
use tidegate_engine::nat::NatRange;
use tidegate_engine::track::PeerFlags;
use tidegate_engine::tuple::{Tuple, Zone};
use tidegate_wire::SeqNum;
use tidegate_wire::netlink::conntrack::{self, Attribute, Filter, Help, ProtoInfo, SeqAdj};
use tidegate_wire::netlink::{self, Attrs, Family};

use super::errno::Errno;
use super::tuple::{heard, zone_of};

/// The attributes of a request about flows; of those that come twice the last.
#[derive(Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) original: Option<netlink::Tuple>,
    pub(super) reply: Option<netlink::Tuple>,
    pub(super) master: Option<netlink::Tuple>,
    pub(super) status: Option<u32>,
    pub(super) status_mask: Option<u32>,
    pub(super) mark: Option<u32>,
    pub(super) mark_mask: Option<u32>,
    pub(super) zone: Option<u16>,
    pub(super) id: Option<u32>,
    pub(super) filter: Option<Filter>,
    timeout: Option<u32>,
    proto: Option<ProtoInfo>,
    help: Option<Help<'a>>,
    nat: [Option<conntrack::NatRange>; 2],
    corrections: [Option<SeqAdj>; 2],
    labels: Option<&'a [u8]>,
    labels_mask: Option<&'a [u8]>,
}

/// A label set's bytes.
const LABELS_LEN: usize = 16;

impl<'a> Body<'a> {
    /// Reads a message's attributes; those that aren't known are passed over, as the kernel does.
    pub(super) fn parse(attrs: Attrs<'a>) -> Result<Self, Errno> {
        let mut body = Self::default();
        for attribute in conntrack::attributes(attrs) {
            body.take(attribute?);
        }
        let longest = [body.labels, body.labels_mask].into_iter().flatten().map(<[u8]>::len).max();
        if longest > Some(LABELS_LEN) { Err(Errno::RANGE) } else { Ok(body) }
    }

    fn take(&mut self, attribute: Attribute<'a>) {
        match attribute {
            Attribute::Original(tuple) => self.original = Some(tuple),
            Attribute::Reply(tuple) => self.reply = Some(tuple),
            Attribute::Master(tuple) => self.master = Some(tuple),
            Attribute::Status(bits) => self.status = Some(bits),
            Attribute::StatusMask(bits) => self.status_mask = Some(bits),
            Attribute::ProtoInfo(info) => self.proto = Some(info),
            Attribute::Help(help) => self.help = Some(help),
            Attribute::NatSource(range) => self.nat[0] = Some(range),
            Attribute::NatDestination(range) => self.nat[1] = Some(range),
            Attribute::Timeout(seconds) => self.timeout = Some(seconds),
            Attribute::Mark(mark) => self.mark = Some(mark),
            Attribute::MarkMask(mask) => self.mark_mask = Some(mask),
            Attribute::Id(id) => self.id = Some(id),
            Attribute::SeqAdjOriginal(shift) => self.corrections[0] = Some(shift),
            Attribute::SeqAdjReply(shift) => self.corrections[1] = Some(shift),
            Attribute::Zone(zone) => self.zone = Some(zone),
            Attribute::Labels(bits) => self.labels = Some(bits),
            Attribute::LabelsMask(bits) => self.labels_mask = Some(bits),
            Attribute::Filter(filter) => self.filter = Some(filter),
            // What the kernel takes no notice of in requests, or has no use for here.
            Attribute::CountersOriginal(_)
            | Attribute::CountersReply(_)
            | Attribute::Use(_)
            | Attribute::SecurityContext(_)
            | Attribute::Timestamp(_)
            | Attribute::SynProxy(_)
            | Attribute::EventTime(_)
            | Attribute::Other(_) => {}
        }
    }

    /// The zone that it is about.
    pub(super) fn zone(&self) -> Result<Zone, Errno> {
        zone_of(self.zone, self.original.as_ref(), self.reply.as_ref())
    }

    /// The tuple by which a flow is named: the original one, or else the reply.
    pub(super) fn named(&self, family: u8) -> Result<Option<(Tuple, Zone)>, Errno> {
        let (original, reply) = (self.original.as_ref(), self.reply.as_ref());
        let Some(tuple) = original.or(reply) else { return Ok(None) };
        let zone = zone_of(self.zone, original, if original.is_some() { None } else { reply })?;
        Ok(Some((heard(tuple, family)?, zone)))
    }

    /// Whether it asks for something that only new flows can be given.
    pub(super) fn is_for_new_flows(&self) -> bool {
        self.nat.iter().any(Option::is_some) || self.master.is_some()
    }

    /// What it changes.
    pub(super) fn change(&self) -> Result<Change<'_>, Errno> {
        let [one, other] = &self.corrections;
        Ok(Change {
            helper: self.helper()?,
            timeout: self.timeout,
            status: self.status.map(Status::from_bits_retain),
            proto: self.proto_change()?,
            mark: self.mark.map(|mark| (mark, self.mark_mask.unwrap_or(u32::MAX))),
            corrections: [correction(one.as_ref())?, correction(other.as_ref())?],
            labels: self.label_change()?,
            secmark: None,
        })
    }

    /// The flow that it wants to be made.
    pub(super) fn creation(&self, family: u8) -> Result<Creation<'_>, Errno> {
        let tuple = |tuple: &Option<netlink::Tuple>| {
            tuple.as_ref().ok_or(Errno::INVALID).and_then(|tuple| heard(tuple, family))
        };
        let range = |range: &Option<conntrack::NatRange>| range.as_ref().map(nat_range).transpose();
        let master = self.master.as_ref().map(|master| heard(master, family)).transpose()?;
        let ranges = [range(&self.nat[0])?, range(&self.nat[1])?];
        let addrs = ranges.iter().flatten().filter_map(|range| range.addrs);
        if addrs.map(|(first, _)| first.is_ipv4()).any(|is_v4| is_v4 != (family == Family::V4)) {
            return Err(Errno::INVALID);
        }
        Ok(Creation {
            orig: tuple(&self.original)?,
            reply: tuple(&self.reply)?,
            zone: self.zone()?,
            with: self.change()?,
            nat: ranges,
            master,
        })
    }

    fn helper(&self) -> Result<Option<&[u8]>, Errno> {
        let Some(help) = &self.help else { return Ok(None) };
        help.name.map(Some).ok_or(Errno::INVALID)
    }

    fn proto_change(&self) -> Result<ProtoChange, Errno> {
        let Some(info) = &self.proto else { return Ok(ProtoChange::None) };
        if let Some(tcp) = &info.tcp {
            let flags = |word: Option<u16>| {
                word.map(u16::to_be_bytes)
                    .map(|both| both.map(PeerFlags::from_bits_retain))
                    .map(Into::into)
            };
            return Ok(ProtoChange::Tcp(TcpChange {
                state: tcp.state,
                flags: [flags(tcp.flags_original), flags(tcp.flags_reply)],
                scales: tcp.scale_original.zip(tcp.scale_reply).map(Into::into),
            }));
        }
        match &info.sctp {
            None => Ok(ProtoChange::None),
            Some(sctp) => match (sctp.state, sctp.tag_original, sctp.tag_reply) {
                (Some(state), Some(one), Some(other)) => Ok(ProtoChange::Sctp(state, [one, other])),
                _ => Err(Errno::INVALID),
            },
        }
    }

    /// Words of 32 bits; what lies beyond the last is cleared.
    fn label_change(&self) -> Result<Option<(u128, u128)>, Errno> {
        let Some(bits) = self.labels else { return Ok(None) };
        let has_mask = self.labels_mask.is_some();
        let mask = self.labels_mask.unwrap_or(&[0xff; LABELS_LEN][..bits.len()]);
        if bits.len() % 4 != 0 || mask.len() != bits.len() || has_mask && mask.is_empty() {
            return Err(Errno::INVALID);
        }
        let filled = |bytes: &[u8], rest: u8| {
            let mut all = [rest; LABELS_LEN];
            all[..bytes.len()].copy_from_slice(bytes);
            u128::from_ne_bytes(all)
        };
        Ok(Some((filled(bits, 0), filled(mask, 0xff))))
    }
}

fn correction(told: Option<&SeqAdj>) -> Result<Option<Correction>, Errno> {
    let Some(told) = told else { return Ok(None) };
    match (told.position, told.before, told.after) {
        (Some(position), Some(before), Some(after)) => Ok(Some(Correction {
            position: SeqNum(position),
            before: before as i32,
            after: after as i32,
        })),
        _ => Err(Errno::INVALID),
    }
}

/// Linux: `nfnetlink_parse_nat`.
fn nat_range(told: &conntrack::NatRange) -> Result<NatRange, Errno> {
    let ports = told.ports.as_ref().and_then(|ports| {
        let first = ports.first?;
        Some((first, ports.last.unwrap_or(first)))
    });
    let addrs = told.first.map(|first| (first, told.last.unwrap_or(first)));
    let mixed = addrs.is_some_and(|(first, last)| first.is_ipv4() != last.is_ipv4());
    if mixed { Err(Errno::INVALID) } else { Ok(NatRange { addrs, ports, ..NatRange::default() }) }
}
