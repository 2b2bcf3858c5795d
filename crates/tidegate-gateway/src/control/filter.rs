//! Which flows a request is about: the kernel's filter, and conditions on every field.
//!
//! Linux: `ctnetlink_alloc_filter`, `ctnetlink_filter_match`.

use tidegate_engine::flow::{Flow, Status};
use tidegate_engine::tuple::{Direction, Tuple};
use tidegate_wire::netlink::{self, Family};
use tidegate_wire::proto;

use super::body::Body;
use super::condition::{Conditions, Subject};
use super::errno::Errno;

/// A choice among flows.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    /// All.
    Everything,
    /// What ctnetlink can say.
    Kernel(Box<Filter>),
    /// What only Tidegate can.
    Conditions(Conditions),
}

impl Choice {
    /// Whether a flow is chosen.
    pub(super) fn takes(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Everything => true,
            Self::Kernel(filter) => filter.takes(subject.flow),
            Self::Conditions(conditions) => conditions.hold(subject),
        }
    }

    /// What a request to list or delete flows says of them. Without anything that filters, the rest isn't looked at.
    pub(super) fn of(body: &Body<'_>, family: u8) -> Result<Self, Errno> {
        let filters = family != Family::ANY
            || body.mark.is_some()
            || body.filter.is_some()
            || body.status.is_some()
            || body.zone.is_some();
        if !filters {
            return Ok(Self::Everything);
        }
        Filter::new(body, family).map(|filter| Self::Kernel(Box::new(filter)))
    }

    /// Whether the kernel would say that the answer is filtered.
    pub(super) fn is_filter(&self) -> bool {
        !matches!(self, Self::Everything)
    }
}

/// What ctnetlink can ask of flows.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    family: u8,
    zone: Option<u16>,
    /// Value and mask.
    mark: (u32, u32),
    status: (u32, u32),
    /// By [`Direction::index`].
    tuples: [Option<Partial>; 2],
}

/// A tuple of which these parts count (`CTA_FILTER_F_…`).
#[derive(Clone, Debug)]
struct Partial {
    tuple: Tuple,
    parts: u32,
}

const SRC: u32 = 1 << 0;
const DST: u32 = 1 << 1;
const PROTO: u32 = 1 << 3;
const SRC_PORT: u32 = 1 << 4;
const DST_PORT: u32 = 1 << 5;
/// Of ICMP type, code and identifier; of ICMPv6 three bits further.
const ICMP_TYPE: u32 = 1 << 6;
const ICMP_CODE: u32 = 1 << 7;
const ICMP_ID: u32 = 1 << 8;
const TO_ICMPV6: u32 = 3;
const ALL: u32 = (1 << 12) - 1;
/// All that only a protocol has.
const OF_PROTO: u32 = ALL & !(SRC | DST | PROTO | 1 << 2);

impl Filter {
    fn new(body: &Body<'_>, family: u8) -> Result<Self, Errno> {
        let mark = match (body.mark, body.mark_mask) {
            (Some(mark), mask) => (mark, mask.unwrap_or(u32::MAX)),
            (None, Some(_)) => return Err(Errno::INVALID),
            (None, None) => (0, 0),
        };
        let status = match (body.status, body.status_mask) {
            (Some(status), mask) => (status, mask.unwrap_or(status)),
            (None, Some(_)) => return Err(Errno::INVALID),
            (None, None) => (0, 0),
        };
        if body.status.is_some() && status.1 == 0 {
            return Err(Errno::INVALID);
        }
        let parts =
            body.filter.as_ref().map_or([None; 2], |filter| [filter.original, filter.reply]);
        let original = Partial::new(parts[0], body.original.as_ref(), family)?;
        let reply = Partial::new(parts[1], body.reply.as_ref(), family)?;
        Ok(Self { family, zone: body.zone, mark, status, tuples: [original, reply] })
    }

    fn takes(&self, flow: &Flow) -> bool {
        let of = |dir: Direction| {
            let partial = self.tuples[dir.index()].as_ref();
            partial.is_none_or(|partial| partial.covers(flow.tuple(dir)))
        };
        let family = Family::of(flow.orig.family()).family;
        let status = (flow.status | Status::CONFIRMED).bits();
        (self.family == Family::ANY || self.family == family)
            && self.zone.is_none_or(|zone| zone == flow.zone.id)
            && flow.mark & self.mark.1 == self.mark.0
            && status & self.status.1 == self.status.0
            && of(Direction::Original)
            && of(Direction::Reply)
    }
}

impl Partial {
    fn new(
        parts: Option<u32>,
        told: Option<&netlink::Tuple>,
        family: u8,
    ) -> Result<Option<Self>, Errno> {
        let Some(parts) = parts.filter(|parts| *parts != 0) else { return Ok(None) };
        let told = told.ok_or(Errno::INVALID)?;
        if parts & !ALL != 0 {
            return Err(Errno::INVALID);
        }
        let family = super::tuple::family(family).ok_or(Errno::NOT_SUPPORTED)?;
        if parts & PROTO == 0 && parts & OF_PROTO != 0 {
            return Err(Errno::INVALID);
        }
        let tuple = filled(told, parts, family)?;
        Ok(Some(Self { tuple, parts }))
    }

    fn counts(&self, part: u32) -> bool {
        self.parts & part != 0
    }

    fn covers(&self, other: &Tuple) -> bool {
        let Self { tuple, .. } = self;
        let same = |part, is_same: bool| !self.counts(part) || is_same;
        same(SRC, tuple.src == other.src)
            && same(DST, tuple.dst == other.dst)
            && same(PROTO, tuple.proto == other.proto)
            && self.covers_words(other)
    }

    /// The kernel looks at ports of TCP and UDP only.
    fn covers_words(&self, other: &Tuple) -> bool {
        let Self { tuple, .. } = self;
        let same = |part, is_same: bool| !self.counts(part) || is_same;
        let icmp = |shift: u32| {
            same(ICMP_TYPE << shift, tuple.icmp_type() == other.icmp_type())
                && same(ICMP_CODE << shift, tuple.icmp_code() == other.icmp_code())
                && same(ICMP_ID << shift, tuple.sport == other.sport)
        };
        match other.proto {
            proto::TCP | proto::UDP => {
                same(SRC_PORT, tuple.sport == other.sport)
                    && same(DST_PORT, tuple.dport == other.dport)
            }
            proto::ICMP => icmp(0),
            proto::ICMPV6 => icmp(TO_ICMPV6),
            _ => true,
        }
    }
}

/// The tuple with all parts that count; the others are zero.
fn filled(
    told: &netlink::Tuple,
    parts: u32,
    family: tidegate_wire::Family,
) -> Result<Tuple, Errno> {
    let nobody = tidegate_engine::expect::unspecified(family);
    let address = |part, addr: Option<std::net::IpAddr>| match addr {
        _ if parts & part == 0 => Ok(nobody),
        Some(addr) if tidegate_wire::Family::of(addr) == family => Ok(addr),
        Some(_) | None => Err(Errno::INVALID),
    };
    let (src, dst) = (address(SRC, told.src)?, address(DST, told.dst)?);
    let mut tuple = Tuple { src, dst, sport: 0, dport: 0, proto: 0 };
    if parts & PROTO != 0 {
        tuple.proto = told.proto.ok_or(Errno::INVALID)?;
        (tuple.sport, tuple.dport) = words(told, parts, tuple.proto)?;
    }
    Ok(tuple)
}

fn words(told: &netlink::Tuple, parts: u32, proto: u8) -> Result<(u16, u16), Errno> {
    let icmp = told.icmp.unwrap_or_default();
    let shift = if proto == proto::ICMPV6 { TO_ICMPV6 } else { 0 };
    match proto {
        proto::ICMP | proto::ICMPV6 => {
            let kind = needed(parts & ICMP_TYPE << shift, icmp.kind)?;
            let code = needed(parts & ICMP_CODE << shift, icmp.code)?;
            let id = needed(parts & ICMP_ID << shift, icmp.id)?;
            Ok((id, Tuple::icmp_word(kind, code)))
        }
        proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP | proto::GRE => {
            Ok((needed(parts & SRC_PORT, told.sport)?, needed(parts & DST_PORT, told.dport)?))
        }
        _ => Ok((0, 0)),
    }
}

/// A value that must be there if it counts.
fn needed<T: Default>(counts: u32, value: Option<T>) -> Result<T, Errno> {
    if counts == 0 { Ok(T::default()) } else { value.ok_or(Errno::INVALID) }
}
