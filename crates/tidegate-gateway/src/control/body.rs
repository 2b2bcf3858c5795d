//! What a request says of a flow, in the form that the engine's commands want.

use std::net::IpAddr;

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

    /// Whether all tuples that it names are whole, and there is one zone.
    pub(super) fn check_tuples(&self, family: u8) -> Result<(), Errno> {
        let mut tuples = [&self.original, &self.reply].into_iter().flatten();
        tuples.try_for_each(|tuple| heard(tuple, family).map(drop))?;
        self.zone().map(drop)
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
            proto: self.proto_change(),
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
        let master = self.master.as_ref().map(|master| heard_without_zone(master, family));
        let master = master.transpose()?;
        let is_v4 = family == Family::V4;
        let [src, dst] = &self.nat;
        let nat = [src, dst].map(|range| range.as_ref().map(|range| nat_range(range, is_v4)));
        Ok(Creation {
            orig: tuple(&self.original)?,
            reply: tuple(&self.reply)?,
            zone: self.zone()?,
            with: self.change()?,
            nat,
            master,
        })
    }

    fn helper(&self) -> Result<Option<&[u8]>, Errno> {
        let Some(help) = &self.help else { return Ok(None) };
        help.name.map(Some).ok_or(Errno::INVALID)
    }

    fn proto_change(&self) -> ProtoChange {
        let Some(info) = &self.proto else { return ProtoChange::None };
        if let Some(tcp) = &info.tcp {
            let flags = |word: Option<u16>| {
                let both = word?.to_be_bytes().map(PeerFlags::from_bits_retain);
                Some(both.into())
            };
            return ProtoChange::Tcp(TcpChange {
                state: tcp.state,
                flags: [flags(tcp.flags_original), flags(tcp.flags_reply)],
                scales: tcp.scale_original.zip(tcp.scale_reply).map(Into::into),
            });
        }
        let Some(sctp) = &info.sctp else { return ProtoChange::None };
        let tags = sctp.tag_original.zip(sctp.tag_reply).map(Into::into);
        ProtoChange::Sctp(sctp.state.zip(tags))
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

/// A tuple of another flow, whose zone is that of this one.
fn heard_without_zone(told: &netlink::Tuple, family: u8) -> Result<Tuple, Errno> {
    if told.zone.is_some() { Err(Errno::INVALID) } else { heard(told, family) }
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

/// Addresses of the other family are passed over. Linux: `nfnetlink_parse_nat`.
fn nat_range(told: &conntrack::NatRange, is_v4: bool) -> NatRange {
    let ports = told.ports.as_ref().and_then(|ports| {
        let first = ports.first?;
        Some((first, ports.last.unwrap_or(first)))
    });
    let own = |addr: &IpAddr| addr.is_ipv4() == is_v4;
    let first = told.first.filter(own);
    let addrs = first.map(|first| (first, told.last.filter(own).unwrap_or(first)));
    NatRange { addrs, ports, ..NatRange::default() }
}
