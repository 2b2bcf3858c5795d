//! The ways on which the rules are known to let a packet go on, whatever else it turns out to be.
//!
//! Most packets belong to established flows, and most rulesets accept those first. Where that can be proven, the path
//! needs no rules for them, only their counters. The proof is a partial evaluation, made whenever tables are replaced:
//! a packet of which no more than its [`Sort`] is known walks through every chain on its way as in
//! [`run`](super::eval::run), and each entry's checks say what comes of them:
//!
//! * They settle whether it is met. Then it is, or it isn't.
//! * They depend on the flow: on addresses, ports, translation. Such an entry is assumed not to be met, and noted.
//! * They depend on the packet alone, or keep count. Then there is no proof, and the path asks the rules packet by
//!   packet. So it does if an entry that is met tells or changes anything, or ends in another verdict than ACCEPT.
//!
//! A way on which nothing was assumed is *clear*: the entries met are always the same, and are what has to count. Else
//! each flow must be *vetted* in each direction: if all assumptions are true of it, what is left of the way is clear.
//! Flows that fail are the rules' business. The answer holds as long as the rules do, for a flow's tuples and the kind
//! of its translation never change.
//!
//! => whoever goes on without asking the rules has a packet of a known port that conntrack, in the default zone, found
//! ESTABLISHED in the named direction; of a flow that is in the table, CONFIRMED, SEEN_REPLY and ASSURED; no
//! fragment, or put together from fragments; with a whole TCP header, options aside, or a whole UDP header. A TCP
//! segment has ACK and none of SYN, FIN and RST. Both kinds of NAT are decided, so that the nat table has no say. And
//! nothing else stops it halfway, neither hop limit nor MTU: it is counted on all of the way or not at all.
//!
//! The same is proven for packets that begin flows or change them ([`Fresh`]), of which less is known ([`Stage`]). Their
//! flows are not vetted: what depends on the flow is the rules' business.

mod foresight;

use alloc::sync::Arc;
use alloc::vec::Vec;

use tidegate_wire::proto;

use super::ast::{Counters, Hook, Policy, TableKind};
use super::eval::Ruling;
use super::program::{Action, Code};
use crate::flow::Flow;
use crate::nat::Manip;
use crate::tuple::{Direction, Tuple};

use self::foresight::{Foresight, Seen, Sort};

/// What an established packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpressProto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl ExpressProto {
    const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// The protocol's number.
    #[inline(always)]
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Tcp => proto::TCP,
            Self::Udp => proto::UDP,
        }
    }
}

/// Packets whose way is proven beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Usual packets of flows that are up and running: those of the file's head.
    Usual,
    /// Any packets of the flow's that conntrack, in the default zone, found ESTABLISHED in a direction.
    Turning,
    /// Those that it found NEW there: datagrams, and of TCP SYNs without ACK, FIN and RST. Nobody is to decide about NAT
    /// for their flow.
    First,
}

/// A packet that begins a flow or changes one, as the rules see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) proto: ExpressProto,
    /// In which direction it is ESTABLISHED; `None`: it is NEW.
    pub(crate) established: Option<Direction>,
    pub(crate) route: ExpressRoute,
}

impl Fresh {
    fn stage(self) -> Stage {
        if self.established.is_some() { Stage::Turning } else { Stage::First }
    }

    fn index(self) -> usize {
        let dir = self.established.unwrap_or(Direction::Original);
        self.stage() as usize * USUAL_WAYS + index(self.proto, dir, self.route)
    }
}

/// Where it goes from PREROUTING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpressRoute {
    /// Through FORWARD and POSTROUTING.
    Forward,
    /// To the host itself, through INPUT.
    Input,
}

impl ExpressRoute {
    const ALL: [Self; 2] = [Self::Forward, Self::Input];

    /// The chains that it calls, in the path's order.
    fn stages(self) -> &'static [(Hook, TableKind)] {
        match self {
            Self::Forward => &FORWARD,
            Self::Input => &INPUT,
        }
    }
}

/// Whether established packets may take a way without asking the rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Clearance {
    /// All may.
    #[default]
    Clear,
    /// Those may of a flow and direction that was vetted.
    IfVetted,
    /// None may.
    Never,
}

/// An entry that counts a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) table: TableKind,
    /// An index into the table's counters.
    pub(super) entry: usize,
}

/// What was proven of a family's tables, for every way. Without tables every way is clear.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways([Way; WAYS]);

/// One of them. In this order, as the compiler counts in neighbours by a vector, which it puts together in more
/// instructions than two additions are.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct Way {
    /// How many packets took it without asking the rules: what is to be added to the counters of all
    /// entries that they met.
    packets: u64,
    /// Whether packets may take it.
    pub(super) clearance: Clearance,
    /// How many bytes these packets were long.
    bytes: u64,
    /// The entries that a packet meets; none if it isn't known.
    met: Arc<[Met]>,
    /// Those that it was assumed not to meet.
    unmet: Arc<[Unmet]>,
}

/// The same, as far as it was gone.
#[derive(Default)]
struct Trail {
    met: Vec<Met>,
    unmet: Vec<Unmet>,
}

/// An entry of which the flow decides whether it is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unmet {
    phase: Phase,
    table: TableKind,
    entry: usize,
}

/// As what the rules see a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before conntrack.
    Raw,
    /// As it came.
    Arrived,
    /// With its destination translated. The source's turn comes after all rules.
    Routed,
}

impl Ways {
    /// Walks all ways through a family's tables.
    pub(super) fn prove<'p>(table: impl Fn(TableKind) -> Option<&'p Code>) -> Self {
        let mut ways = Self::default();
        let both = [Direction::Original, Direction::Reply];
        for (proto, route) in ExpressProto::ALL.into_iter().flat_map(with_routes) {
            for dir in both {
                let way = Way::walk(&table, (proto, dir, Stage::Usual), route);
                ways.0[index(proto, dir, route)] = way;
            }
            for established in both.map(Some).into_iter().chain([None]) {
                let fresh = Fresh { proto, established, route };
                let dir = established.unwrap_or(Direction::Original);
                ways.0[fresh.index()] = Way::walk(&table, (proto, dir, fresh.stage()), route);
            }
        }
        ways
    }

    /// The same before anybody has taken a way.
    pub(super) fn restarted(&self) -> Self {
        let mut ways = self.clone();
        ways.forget_passed();
        ways
    }

    /// From now on nobody has passed.
    pub(super) fn forget_passed(&mut self) {
        self.0.iter_mut().for_each(|way| (way.packets, way.bytes) = (0, 0));
    }

    /// What was proven of a way.
    #[inline(always)]
    pub(super) fn way(&self, proto: ExpressProto, dir: Direction, route: ExpressRoute) -> &Way {
        &self.0[index(proto, dir, route)]
    }

    /// Whether any fresh packet may be let go on.
    pub(super) fn clears_fresh(&self) -> bool {
        self.0[USUAL_WAYS..].iter().any(|way| way.clearance == Clearance::Clear)
    }

    /// What was proven of a way of fresh packets. Of their flows none is vetted.
    #[inline(always)]
    pub(super) fn way_of(&self, fresh: Fresh) -> &Way {
        &self.0[fresh.index()]
    }

    /// See [`Ways::way_of`].
    #[inline(always)]
    pub(super) fn way_of_mut(&mut self, fresh: Fresh) -> &mut Way {
        &mut self.0[fresh.index()]
    }

    /// See [`Ways::way`].
    #[inline(always)]
    pub(super) fn way_mut(
        &mut self,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
    ) -> &mut Way {
        &mut self.0[index(proto, dir, route)]
    }

    /// Adds those that passed to the counters of a table's entries.
    pub(super) fn add_to(&self, table: TableKind, counters: &mut [Counters]) {
        for way in &self.0 {
            for met in way.met.iter().filter(|met| met.table == table) {
                counters[met.entry].packets += way.packets;
                counters[met.entry].bytes += way.bytes;
            }
        }
    }

    /// Whether packets of a flow meet no other entries. The tables are those that the ways were proven for.
    pub(super) fn vet<'p>(
        &self,
        table: impl Fn(TableKind) -> Option<&'p Code>,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
        flow: &Flow,
    ) -> bool {
        let Way { clearance, unmet, .. } = &self.0[index(proto, dir, route)];
        if *clearance == Clearance::Never {
            return false;
        }
        // Without a nat table nobody translates, whatever the flow says.
        let target = table(TableKind::Nat)
            .filter(|_| Manip::Dst.applies(flow, dir))
            .map(|_| flow.target(dir));
        let sorts = Phase::ALL.map(|phase| {
            let seen = Seen { flow, tuple: phase.sees(flow.tuple(dir), target.as_ref()) };
            phase.sort((proto, dir, Stage::Usual), Some(seen))
        });
        unmet.iter().all(|Unmet { phase, table: kind, entry }| {
            let sort = &sorts[*phase as usize];
            table(*kind)
                .is_some_and(|code| sort.foresee_all(code.checks_of(*entry)) == Foresight::Fails)
        })
    }
}

fn with_routes(proto: ExpressProto) -> [(ExpressProto, ExpressRoute); 2] {
    ExpressRoute::ALL.map(|route| (proto, route))
}

fn index(proto: ExpressProto, dir: Direction, route: ExpressRoute) -> usize {
    proto as usize * 4 + dir.index() * 2 + route as usize
}

impl Way {
    /// Counts a packet, `bytes` long from the IP header on, that takes it without asking the rules.
    #[inline(always)]
    pub(super) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    /// Goes from PREROUTING on.
    fn walk<'p>(
        table: &impl Fn(TableKind) -> Option<&'p Code>,
        who: (ExpressProto, Direction, Stage),
        route: ExpressRoute,
    ) -> Self {
        let mut trail = Trail::default();
        for &(hook, kind) in route.stages() {
            let phase = Phase::of(hook, kind);
            let sort = phase.sort(who, None);
            if let Some(code) = table(kind)
                && trail.walk_table(code, hook, phase, &sort).is_none()
            {
                return Self { clearance: Clearance::Never, ..Self::default() };
            }
        }
        trail.settled()
    }
}

impl Trail {
    /// Adds the entries of a table's chain at its hook. `None`: there is no proof.
    fn walk_table(&mut self, code: &Code, hook: Hook, phase: Phase, sort: &Sort<'_>) -> Option<()> {
        let table = code.kind;
        let Some(base) = code.base(hook) else { return Some(()) };
        let (mut at, policy) = (base.entries.start, base.tail());
        let mut returns = Vec::new();
        loop {
            let foresight = sort.foresee_all(code.checks_of(at));
            match foresight {
                Foresight::Holds => add(&mut self.met, Met { table, entry: at }, MOST)?,
                Foresight::Fails => {}
                Foresight::Flow if sort.stage != Stage::Usual => return None,
                Foresight::Flow => {
                    add(&mut self.unmet, Unmet { phase, table, entry: at }, MOST_UNMET)?;
                }
                Foresight::Open => return None,
            }
            if foresight != Foresight::Holds {
                at += 1;
                continue;
            }
            at = match code.entries[at].action {
                Action::Count => at + 1,
                Action::Jump(chain) => {
                    returns.push(at + 1);
                    code.chains[chain].entries.start
                }
                Action::Goto(chain) => code.chains[chain].entries.start,
                Action::Return | Action::End(None) => returns.pop().unwrap_or(policy),
                Action::End(Some(Policy::Accept)) | Action::Rule(Ruling::Accept) => {
                    return Some(());
                }
                Action::End(Some(Policy::Drop))
                | Action::Rule(_)
                | Action::Track(_)
                | Action::Change(_)
                | Action::Effect(_) => return None,
            };
        }
    }

    /// The way, on which nothing is asked twice, however often a chain is gone through.
    fn settled(mut self) -> Way {
        self.unmet.sort_unstable_by_key(|unmet| {
            (unmet.phase as usize, unmet.table as usize, unmet.entry)
        });
        self.unmet.dedup();
        let clearance = if self.unmet.is_empty() { Clearance::Clear } else { Clearance::IfVetted };
        let (met, unmet) = (self.met.into(), self.unmet.into());
        Way { packets: 0, clearance, bytes: 0, met, unmet }
    }
}

/// `None`: these are too many.
fn add<T>(list: &mut Vec<T>, item: T, most: usize) -> Option<()> {
    (list.len() < most).then(|| list.push(item))
}

impl Phase {
    const ALL: [Self; 3] = [Self::Raw, Self::Arrived, Self::Routed];

    fn of(hook: Hook, table: TableKind) -> Self {
        match (hook, table) {
            (_, TableKind::Raw) => Self::Raw,
            (Hook::Prerouting, _) => Self::Arrived,
            _ => Self::Routed,
        }
    }

    fn sort(
        self,
        (proto, dir, stage): (ExpressProto, Direction, Stage),
        seen: Option<Seen<'_>>,
    ) -> Sort<'_> {
        Sort { proto: proto.number(), stage, tracked: (self != Self::Raw).then_some(dir), seen }
    }

    /// What has become of a packet that arrived as `tuple`, if its destination becomes that of `target`.
    fn sees(self, tuple: &Tuple, target: Option<&Tuple>) -> Tuple {
        match target {
            Some(target) if self == Self::Routed => {
                Tuple { dst: target.dst, dport: target.dport, ..*tuple }
            }
            _ => *tuple,
        }
    }
}

/// Protocols, directions and routes, at each [`Stage`].
const WAYS: usize = 3 * USUAL_WAYS;
const USUAL_WAYS: usize = 8;

/// A packet that meets more entries than this may as well ask the rules. Chains that jump to each other twice, and
/// those again, are walked to here and no further.
const MOST: usize = 64;

/// Vetting costs a look at each of these entries, once for a flow and direction; the memory is there for good.
const MOST_UNMET: usize = 16_384;

const FORWARD: [(Hook, TableKind); 6] = [
    (Hook::Prerouting, TableKind::Raw),
    (Hook::Prerouting, TableKind::Mangle),
    (Hook::Forward, TableKind::Mangle),
    (Hook::Forward, TableKind::Filter),
    (Hook::Forward, TableKind::Security),
    (Hook::Postrouting, TableKind::Mangle),
];

const INPUT: [(Hook, TableKind); 5] = [
    (Hook::Prerouting, TableKind::Raw),
    (Hook::Prerouting, TableKind::Mangle),
    (Hook::Input, TableKind::Mangle),
    (Hook::Input, TableKind::Filter),
    (Hook::Input, TableKind::Security),
];

#[cfg(test)]
mod tests;
