//! The ways on which the rules are known to let a packet go on, whatever else it turns out to be.
//!
//! Most packets belong to established flows, and most rulesets accept those first. Where that can be proven, the path
//! needs no rules for them, only their counters. The proof is a partial evaluation, made whenever tables are replaced:
//! a packet of which no more than its [`Sort`] is known walks through every chain on its way as in
//! [`run`](super::eval::run). Each entry's checks must settle whether it is met. One that depends on the packet, a
//! target that changes or tells anything, a verdict other than ACCEPT: and there is no proof, the path asks the rules
//! packet by packet. With a proof the way is *clear*, and the entries met, always the same, are what has to count.
//!
//! => whoever goes on without asking the rules has a packet of a known port that conntrack, in the default zone, found
//! ESTABLISHED in the named direction; of a flow that is in the table, CONFIRMED, SEEN_REPLY and ASSURED; no
//! fragment, or put together from fragments; with a whole TCP header, options aside, or a whole UDP header. Both kinds
//! of NAT are decided, so that the nat table has no say. And nothing else stops it halfway, neither hop limit nor MTU:
//! it is counted on all of the way or not at all.

mod foresight;

use alloc::vec::Vec;

use tidegate_wire::proto;

use super::ast::{Hook, Policy, TableKind};
use super::eval::Ruling;
use super::program::{Action, Program};
use crate::tuple::Direction;

use self::foresight::{Foresight, Sort};

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

/// An entry that counts a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) table: TableKind,
    /// An index into the program's counters.
    pub(super) entry: usize,
}

/// What was proven of a family's tables, for every way.
#[derive(Debug)]
pub(super) struct Ways([Option<Vec<Met>>; WAYS]);

impl Default for Ways {
    /// Without tables every way is clear.
    fn default() -> Self {
        Self([const { Some(Vec::new()) }; WAYS])
    }
}

impl Ways {
    /// Walks all ways through a family's tables.
    pub(super) fn prove<'p>(table: impl Fn(TableKind) -> Option<&'p Program>) -> Self {
        let mut ways = Self::default();
        for proto in ExpressProto::ALL {
            for dir in [Direction::Original, Direction::Reply] {
                for route in ExpressRoute::ALL {
                    ways.0[index(proto, dir, route)] = walk(&table, proto, dir, route);
                }
            }
        }
        ways
    }

    /// The entries that a packet meets; `None` if that depends on the packet, or if one of them isn't harmless.
    #[inline]
    pub(super) fn met(
        &self,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
    ) -> Option<&[Met]> {
        self.0[index(proto, dir, route)].as_deref()
    }
}

fn index(proto: ExpressProto, dir: Direction, route: ExpressRoute) -> usize {
    proto as usize * 4 + dir.index() * 2 + route as usize
}

/// All entries met from PREROUTING on.
fn walk<'p>(
    table: &impl Fn(TableKind) -> Option<&'p Program>,
    proto: ExpressProto,
    dir: Direction,
    route: ExpressRoute,
) -> Option<Vec<Met>> {
    let mut met = Vec::new();
    for &(hook, kind) in route.stages() {
        // The raw table comes before conntrack.
        let tracked = (kind != TableKind::Raw).then_some(dir);
        let sort = Sort { proto: proto.number(), tracked };
        if let Some(program) = table(kind) {
            walk_table(program, hook, &sort, &mut met)?;
        }
    }
    Some(met)
}

/// Adds the entries met in a table's chain at its hook. `None`: it isn't clear.
fn walk_table(program: &Program, hook: Hook, sort: &Sort, met: &mut Vec<Met>) -> Option<()> {
    let Some(base) = program.base(hook) else { return Some(()) };
    let (mut at, policy) = (base.entries.start, base.tail());
    let mut returns = Vec::new();
    loop {
        let entry = &program.entries[at];
        match sort.foresee_all(&program.checks[entry.checks.clone()]) {
            Foresight::Holds => {}
            Foresight::Fails => {
                at += 1;
                continue;
            }
            Foresight::Open | Foresight::Barred => return None,
        }
        if met.len() == MOST {
            return None;
        }
        met.push(Met { table: program.kind, entry: at });
        at = match entry.action {
            Action::Count => at + 1,
            Action::Jump(chain) => {
                returns.push(at + 1);
                program.chains[chain].entries.start
            }
            Action::Goto(chain) => program.chains[chain].entries.start,
            Action::Return | Action::End(None) => returns.pop().unwrap_or(policy),
            Action::End(Some(Policy::Accept)) | Action::Rule(Ruling::Accept) => return Some(()),
            Action::End(Some(Policy::Drop))
            | Action::Rule(_)
            | Action::Track(_)
            | Action::Change(_) => return None,
        };
    }
}

/// Protocols, directions and routes.
const WAYS: usize = 8;

/// A packet that meets more entries than this may as well ask the rules. Chains that jump to each other twice, and
/// those again, are walked to here and no further.
const MOST: usize = 64;

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
