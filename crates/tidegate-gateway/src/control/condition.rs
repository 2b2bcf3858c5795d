//! Conditions on every field of a flow, for Tidegate's own requests.

use std::net::IpAddr;

use tidegate_engine::flow::{Counter, Flow, Status};
use tidegate_engine::time::Instant;
use tidegate_engine::track::ProtoState;
use tidegate_engine::tuple::Direction;
use tidegate_wire::netlink::Family;
use tidegate_wire::netlink::tidegate::{Condition, Field};

use super::errno::Errno;

/// A flow as it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) flow: &'a Flow,
    /// The number that is shown of it.
    pub(super) id: u32,
    pub(super) now: Instant,
}

/// What must hold of a flow, all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions(Vec<Test>);

#[derive(Clone, Debug)]
struct Test {
    field: Field,
    condition: Condition<'static>,
    name: Option<Vec<u8>>,
}

/// So many conditions are looked at for each flow, and no more.
const MOST: usize = 64;

impl Conditions {
    /// Adds a condition.
    ///
    /// # Errors
    /// There is no such field, a name and a number can't be compared, or there are too many.
    pub(super) fn add(&mut self, condition: &Condition<'_>) -> Result<(), Errno> {
        let field = Field::of_number(condition.field).ok_or(Errno::NOT_SUPPORTED)?;
        let Condition { is_negated, mask, first, last, .. } = *condition;
        let is_number = mask.is_some() || first.is_some() || last.is_some();
        let fits = match field {
            Field::Helper => !is_number,
            _ => condition.name.is_none(),
        };
        if !fits || !condition.unknown.is_empty() || self.0.len() == MOST {
            return Err(Errno::INVALID);
        }
        let name = condition.name.map(<[u8]>::to_vec);
        let bare = Condition { is_negated, mask, first, last, ..Condition::of(field) };
        self.0.push(Test { field, condition: bare, name });
        Ok(())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold.
    pub(super) fn hold(&self, subject: &Subject<'_>) -> bool {
        self.0.iter().all(|test| test.holds(subject))
    }
}

impl Test {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        if let (Field::Helper, Some(name)) = (self.field, &self.name) {
            let helper = subject.flow.helper().map_or("", |helper| helper.name());
            return (helper.as_bytes() == name.as_slice()) != self.condition.is_negated;
        }
        number(self.field, subject).is_some_and(|number| self.condition.holds(number))
    }
}

/// What a field of a flow is; `None` where a flow doesn't have it.
fn number(field: Field, subject: &Subject<'_>) -> Option<u128> {
    let Subject { flow, id, now } = *subject;
    let (one, other) = (&flow.orig, &flow.reply);
    let counted = |dirs: &[Direction], of: fn(&Counter) -> u64| {
        let acct = flow.acct.as_ref()?;
        Some(dirs.iter().map(|dir| u128::from(of(&acct[dir.index()]))).sum())
    };
    let both = [Direction::Original, Direction::Reply];
    let (packets, bytes) = (|one: &Counter| one.packets, |one: &Counter| one.bytes);
    match field {
        Field::Family => Some(Family::of(one.family()).family.into()),
        Field::Protocol => Some(one.proto.into()),
        Field::State => state(flow),
        Field::Status => Some((flow.status | Status::CONFIRMED).bits().into()),
        Field::Mark => Some(flow.mark.into()),
        Field::Zone => Some(flow.zone.id.into()),
        Field::Labels => Some(flow.labels.bits()),
        Field::Timeout => Some(flow.remaining(now).as_secs().into()),
        Field::Age => Some(now.saturating_sub(flow.lifetime?.start?).as_secs().into()),
        Field::Id => Some(id.into()),
        Field::OriginalSource => Some(address(one.src)),
        Field::OriginalDestination => Some(address(one.dst)),
        Field::OriginalSourcePort => Some(one.sport.into()),
        Field::OriginalDestinationPort => Some(one.dport.into()),
        Field::ReplySource => Some(address(other.src)),
        Field::ReplyDestination => Some(address(other.dst)),
        Field::ReplySourcePort => Some(other.sport.into()),
        Field::ReplyDestinationPort => Some(other.dport.into()),
        Field::Packets => counted(&both, packets),
        Field::Bytes => counted(&both, bytes),
        Field::OriginalPackets => counted(&both[..1], packets),
        Field::OriginalBytes => counted(&both[..1], bytes),
        Field::ReplyPackets => counted(&both[1..], packets),
        Field::ReplyBytes => counted(&both[1..], bytes),
        Field::HasMaster => Some(flow.is(Status::EXPECTED).into()),
        Field::Helper => flow.helper().map(|_| 1),
    }
}

fn state(flow: &Flow) -> Option<u128> {
    match &flow.proto {
        ProtoState::Tcp(tcp) => Some(tcp.state as u128),
        ProtoState::Sctp(sctp) => Some(sctp.state as u128),
        ProtoState::None | ProtoState::Udp(_) | ProtoState::Gre(_) => None,
    }
}

fn address(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}
