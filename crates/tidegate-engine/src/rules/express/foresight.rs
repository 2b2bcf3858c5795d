//! What can be said of a rule's checks before the packet is there.
//!
//! Of a packet no more is known than its protocol, that it is whole, and how conntrack sees it; what a check asks beyond
//! is open. Whatever is foreseen here, [`check`](super::super::matches::check) finds for every packet of the sort. It
//! may find what was left open here, never the contrary.

use tidegate_wire::proto;

use super::super::ast::{
    ConntrackMatch, CtAddresses, CtDirection, CtPorts, CtStates, CtStatus, Fragment, TcpMatch,
    Term, UdpMatch,
};
use super::super::program::Check;
use crate::tuple::Direction;

/// A sort of packets: all that one has to know of them.
pub(super) struct Sort {
    /// The protocol: TCP or UDP. Its header is there, a TCP header's options perhaps not.
    pub(super) proto: u8,
    /// The direction in its flow, which is established and assured; `None` before conntrack.
    pub(super) tracked: Option<Direction>,
}

/// What will come of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foresight {
    /// The condition holds.
    Holds,
    /// It doesn't.
    Fails,
    /// That depends on the packet.
    Open,
    /// It must not be left out: it keeps count, or may drop the packet on the spot.
    Barred,
}

/// `None` is what depends on the packet.
impl From<Option<bool>> for Foresight {
    fn from(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::Holds,
            Some(false) => Self::Fails,
            None => Self::Open,
        }
    }
}

impl Sort {
    /// Whether all checks of a rule hold. They are asked in their order until one fails, so none behind one that
    /// certainly fails is ever asked, but one behind an open check may be.
    pub(super) fn foresee_all(&self, checks: &[Check]) -> Foresight {
        let mut all = Foresight::Holds;
        for check in checks {
            match self.foresee(check) {
                Foresight::Holds => {}
                Foresight::Open => all = Foresight::Open,
                decided @ (Foresight::Fails | Foresight::Barred) => return decided,
            }
        }
        all
    }

    fn foresee(&self, check: &Check) -> Foresight {
        match check {
            Check::Protocol(wanted) => Some(wanted.holds(wanted.value.0 == self.proto)).into(),
            Check::Fragment(wanted) => Some(*wanted == Fragment::FirstOrWhole).into(),
            Check::Tcp(wanted) => self.tcp(wanted),
            Check::Udp(wanted) => udp(wanted).into(),
            Check::State(wanted) => self.state(wanted).into(),
            Check::Conntrack(wanted) => self.conntrack(wanted).into(),
            // Without a flow it fails, even negated.
            Check::Connmark(_) => self.tracked.map_or(Some(false), |_| None).into(),
            Check::Limit(_) => Foresight::Barred,
            Check::Source(_)
            | Check::Destination(_)
            | Check::InInterface(_)
            | Check::OutInterface(_)
            | Check::Icmp(_)
            | Check::Icmp6(_)
            | Check::Multiport(_)
            | Check::Mark(_)
            | Check::Addrtype(_)
            | Check::Mac(_)
            | Check::Iprange(_) => Foresight::Open,
        }
    }

    /// Options may be cut off, and a UDP datagram may be too short to be asked: both drop the packet.
    fn tcp(&self, wanted: &TcpMatch) -> Foresight {
        if wanted.option.is_some() || self.proto != proto::TCP {
            return Foresight::Barred;
        }
        (*wanted == TcpMatch::default()).then_some(true).into()
    }

    /// Before conntrack a packet is INVALID. Whether a flow is translated isn't known.
    fn state(&self, wanted: &Term<CtStates>) -> Option<bool> {
        let (certain, possible) = match self.tracked {
            None => (CtStates::INVALID, CtStates::empty()),
            Some(_) => (CtStates::ESTABLISHED, CtStates::SNAT.union(CtStates::DNAT)),
        };
        let matched = match wanted.value {
            value if value.intersects(certain) => Some(true),
            value if value.intersects(possible) => None,
            _ => Some(false),
        };
        matched.map(|matched| wanted.holds(matched))
    }

    /// Without a flow only the state is asked for, and it must be.
    fn conntrack(&self, wanted: &ConntrackMatch) -> Option<bool> {
        let state = wanted.state.map_or(Some(true), |term| self.state(&term));
        let Some(dir) = self.tracked else { return both(state, Some(wanted.state.is_some())) };
        let direction = wanted.direction.is_none_or(|wanted| is_direction(wanted, dir));
        let protocol = wanted.protocol.is_none_or(|term| term.holds(term.value.0 == self.proto));
        let rest = [
            Some(direction && protocol),
            wanted.status.map_or(Some(true), |term| status(&term)),
            (wanted.addresses == CtAddresses::default()).then_some(true),
            (wanted.ports == CtPorts::default()).then_some(true),
            wanted.expire.is_none().then_some(true),
        ];
        rest.into_iter().fold(state, both)
    }
}

/// A TCP header is long enough, too.
fn udp(wanted: &UdpMatch) -> Option<bool> {
    (*wanted == UdpMatch::default()).then_some(true)
}

fn is_direction(wanted: CtDirection, dir: Direction) -> bool {
    match wanted {
        CtDirection::Original => dir == Direction::Original,
        CtDirection::Reply => dir == Direction::Reply,
    }
}

fn status(wanted: &Term<CtStatus>) -> Option<bool> {
    let matched = match wanted.value {
        value if value.intersects(CtStatus::EXPECTED.complement()) => Some(true),
        value if value.is_empty() => Some(false),
        _ => None,
    };
    matched.map(|matched| wanted.holds(matched))
}

fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}
