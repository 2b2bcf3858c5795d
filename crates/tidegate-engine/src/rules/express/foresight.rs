//! What can be said of a rule's checks before the packet is there.
//!
//! Of a packet no more is known than its protocol, that it is whole, and how conntrack sees it; perhaps also its flow,
//! and with it the addresses and ports. What a check asks beyond is open. Whatever is foreseen here,
//! [`check`](super::super::matches::check) finds for every packet of the sort. It may find what was left open here,
//! never the contrary.

use tidegate_wire::proto;

use super::super::ast::{
    ConntrackMatch, CtAddresses, CtDirection, CtPorts, CtStates, CtStatus, Fragment, PortRange,
    TcpFlagTest, TcpFlags, TcpMatch, Term,
};
use super::super::matches::flow::{addresses, has_helper, ports, translations};
use super::super::matches::network::iprange;
use super::super::matches::transport::{listed, port};
use super::super::program::{Check, address_word};
use super::Stage;
use crate::flow::{Flow, Status};
use crate::tuple::{Direction, Tuple};

/// A sort of packets: all that one has to know of them.
pub(super) struct Sort<'a> {
    /// The protocol: TCP or UDP. Its header is there, a TCP header's options perhaps not.
    pub(super) proto: u8,
    pub(super) stage: Stage,
    /// The direction in its flow, which is established and assured if the stage is the usual one; `None` before
    /// conntrack.
    pub(super) tracked: Option<Direction>,
    /// What all packets of its flow and direction have in common; `None` if they are any flow's.
    pub(super) seen: Option<Seen<'a>>,
}

/// A flow's packets, somewhere on their way.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The flow. Before conntrack, too, although the packets don't show it yet.
    pub(super) flow: &'a Flow,
    /// The addresses and ports that they have there.
    pub(super) tuple: Tuple,
}

/// What will come of a check. With a flow nothing depends on the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Foresight {
    /// The condition doesn't hold.
    Fails,
    /// It does.
    Holds,
    /// That depends on the packet. Or it must not be left out: it keeps count, or may drop the packet on the spot.
    Open,
    /// That depends on the flow, if not on the packet as well.
    Flow,
}

impl From<bool> for Foresight {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

impl Foresight {
    /// What will come of two conditions.
    fn and(self, other: Self) -> Self {
        if self == Self::Fails {
            self
        } else if other == Self::Fails {
            other
        } else {
            self.max(other)
        }
    }
}

impl Sort<'_> {
    /// Whether all checks of a rule hold. They are asked in their order until one fails, so none behind one that
    /// certainly fails is ever asked, but one behind an open check may be.
    pub(super) fn foresee_all(&self, checks: &[Check]) -> Foresight {
        let mut all = Foresight::Holds;
        for check in checks {
            all = all.and(self.foresee(check));
            if all == Foresight::Fails {
                return all;
            }
            if self.is_binding(check) {
                return all.max(Foresight::Open);
            }
        }
        all
    }

    /// Whether a check, if it is asked and doesn't fail as foreseen, leaves its mark: it pays from a bucket or keeps count, looks for
    /// options that may be cut off, or for a TCP header in a UDP datagram that is too short for it.
    fn is_binding(&self, check: &Check) -> bool {
        match check {
            Check::Limit(_) | Check::Extension { is_pure: false, .. } => true,
            Check::Tcp(wanted) => wanted.option.is_some() || self.proto != proto::TCP,
            _ => false,
        }
    }

    fn foresee(&self, check: &Check) -> Foresight {
        match check {
            Check::Protocol(wanted) => wanted.holds(wanted.value.0 == self.proto).into(),
            Check::Fragment(wanted) => (*wanted == Fragment::FirstOrWhole).into(),
            Check::Source(wanted) => self.look(|seen| wanted.holds(address_word(seen.tuple.src))),
            Check::Destination(wanted) => {
                self.look(|seen| wanted.holds(address_word(seen.tuple.dst)))
            }
            Check::Iprange(wanted) => {
                self.look(|Seen { tuple, .. }| iprange(wanted, tuple.src, tuple.dst))
            }
            Check::Tcp(wanted) => self.tcp(wanted),
            Check::Udp(wanted) => self.ports(&wanted.source, &wanted.destination),
            Check::Multiport(wanted) => {
                self.look(|Seen { tuple, .. }| listed(wanted, tuple.sport, tuple.dport))
            }
            Check::State(wanted) => self.state(wanted),
            Check::Conntrack(wanted) => self.conntrack(wanted),
            Check::Helper(wanted) if self.tracked.is_none() => wanted.holds(false).into(),
            Check::Helper(wanted) => {
                self.look(|seen| wanted.holds(has_helper(&wanted.value, seen.flow)))
            }
            // Without a flow it fails, even negated. A flow's mark may change.
            Check::Connmark(_) if self.tracked.is_none() => Foresight::Fails,
            Check::Connmark(_)
            | Check::Limit(_)
            | Check::InInterface(_)
            | Check::OutInterface(_)
            | Check::Icmp(_)
            | Check::Icmp6(_)
            | Check::Mark(_)
            | Check::Addrtype(_)
            | Check::Mac(_)
            | Check::Extension { .. } => Foresight::Open,
        }
    }

    /// Asks the flow.
    fn look(&self, holds: impl FnOnce(&Seen<'_>) -> bool) -> Foresight {
        self.seen.as_ref().map_or(Foresight::Flow, |seen| holds(seen).into())
    }

    /// Ports and flags fail before options are looked for.
    fn tcp(&self, wanted: &TcpMatch) -> Foresight {
        if self.proto != proto::TCP {
            return Foresight::Open;
        }
        let flags = wanted.flags.as_ref().map_or(Foresight::Holds, |wanted| self.flags(wanted));
        self.ports(&wanted.source, &wanted.destination).and(flags)
    }

    /// A TCP header is long enough for UDP's, too.
    fn ports(
        &self,
        source: &Option<Term<PortRange>>,
        destination: &Option<Term<PortRange>>,
    ) -> Foresight {
        if source.is_none() && destination.is_none() {
            return Foresight::Holds;
        }
        self.look(|Seen { tuple, .. }| port(source, tuple.sport) && port(destination, tuple.dport))
    }

    /// Before conntrack a packet is INVALID.
    fn state(&self, wanted: &Term<CtStates>) -> Foresight {
        const TRANSLATED: CtStates = CtStates::SNAT.union(CtStates::DNAT);
        let certain = match (self.tracked, self.stage) {
            (None, _) => CtStates::INVALID,
            (Some(_), Stage::First) => CtStates::NEW,
            (Some(_), Stage::Usual | Stage::Turning) => CtStates::ESTABLISHED,
        };
        if wanted.value.intersects(certain) {
            wanted.holds(true).into()
        } else if self.tracked.is_some() && wanted.value.intersects(TRANSLATED) {
            self.look(|seen| wanted.holds(wanted.value.intersects(translations(seen.flow))))
        } else {
            wanted.holds(false).into()
        }
    }

    /// Without a flow only the state is asked for, and it must be.
    fn conntrack(&self, wanted: &ConntrackMatch) -> Foresight {
        let state = wanted.state.map_or(Foresight::Holds, |term| self.state(&term));
        let Some(dir) = self.tracked else { return state.and(wanted.state.is_some().into()) };
        let direction = wanted.direction.is_none_or(|wanted| is_direction(wanted, dir));
        let protocol = wanted.protocol.is_none_or(|term| term.holds(term.value.0 == self.proto));
        let rest = [
            (direction && protocol).into(),
            wanted.status.map_or(Foresight::Holds, |term| self.status(&term)),
            self.tuples(wanted),
            wanted.expire.map_or(Foresight::Holds, |_| Foresight::Open),
        ];
        rest.into_iter().fold(state, Foresight::and)
    }

    fn status(&self, wanted: &Term<CtStatus>) -> Foresight {
        if self.stage != Stage::Usual {
            Foresight::Open
        } else if wanted.value.intersects(CtStatus::EXPECTED.complement()) {
            wanted.holds(true).into()
        } else if wanted.value.is_empty() {
            wanted.holds(false).into()
        } else {
            self.look(|seen| wanted.holds(seen.flow.is(Status::EXPECTED)))
        }
    }

    /// What ACK and its company decide: with it go PSH and URG, but none of SYN, FIN and RST. With a
    /// first SYN there may go anything but those.
    fn flags(&self, wanted: &Term<TcpFlagTest>) -> Foresight {
        const FOUR: TcpFlags =
            TcpFlags::SYN.union(TcpFlags::FIN).union(TcpFlags::RST).union(TcpFlags::ACK);
        let (known, present) = match self.stage {
            Stage::Usual => (FOUR, TcpFlags::ACK),
            Stage::First => (FOUR, TcpFlags::SYN),
            Stage::Turning => (TcpFlags::empty(), TcpFlags::empty()),
        };
        let TcpFlagTest { mask, set } = wanted.value;
        if !mask.contains(set) || set.intersection(known) != mask.intersection(present) {
            wanted.holds(false).into()
        } else if known.contains(mask) {
            wanted.holds(true).into()
        } else {
            Foresight::Open
        }
    }

    fn tuples(&self, wanted: &ConntrackMatch) -> Foresight {
        if wanted.addresses == CtAddresses::default() && wanted.ports == CtPorts::default() {
            return Foresight::Holds;
        }
        self.look(|Seen { flow, .. }| {
            addresses(&wanted.addresses, flow) && ports(&wanted.ports, flow)
        })
    }
}

fn is_direction(wanted: CtDirection, dir: Direction) -> bool {
    match wanted {
        CtDirection::Original => dir == Direction::Original,
        CtDirection::Reply => dir == Direction::Reply,
    }
}
