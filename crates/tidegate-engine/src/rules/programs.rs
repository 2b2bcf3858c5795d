//! The rules in force: the tables of both families, each as the operator wrote it and as packets run through it.
//!
//! A ruleset replaces the tables that it names, all at once and between two packets; living flows keep what earlier
//! rules decided for them. A table that was never named has no hooks: packets pass it as if it weren't there.
//!
//! What can be [proven](super::express) of a family's tables is proven anew with each of them, and holds until the next,
//! which begins another [epoch](Programs::epoch).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::ast::{Counters, Match, Ruleset, Table, TableKind};
use super::compile::compile;
use super::conditions::{Kind, Memory};
use super::eval::{self, RuleContext, Ruling};
use super::express::{Clearance, ExpressProto, ExpressRoute, Fresh, Way, Ways};
use super::print;
use super::program::Program;
use crate::fib::Fib;
use crate::flow::Flow;
use crate::ipset::Sets;
use crate::limits::Policies;
use crate::trace::Observer;
use crate::tuple::Direction;

/// Both families' rules.
#[derive(Clone, Default)]
pub(crate) struct Programs {
    v4: InForce,
    v6: InForce,
    memory: Memory,
    epoch: u16,
}

/// One family's.
#[derive(Clone, Default)]
struct InForce {
    tables: Tables,
    /// Those that are loaded, in the order in which they first were.
    order: Vec<TableKind>,
    ways: Ways,
    /// Whether every fresh packet is the rules' business.
    asks_fresh: bool,
    /// Whether a rule may make a TCP SYN longer.
    lengthens: bool,
    /// Whether a rule is SYNPROXY.
    proxies: bool,
}

impl InForce {
    /// The less frequent matches of all rules.
    fn extensions(&self) -> impl Iterator<Item = &Kind> + Clone {
        let rules = self.tables.iter().flatten().flat_map(|loaded| &loaded.source.chains);
        let matches = rules.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.matches);
        matches.filter_map(|one| match one {
            Match::Extension(extension) => Some(&extension.0),
            _ => None,
        })
    }
}

/// By [`TableKind`], `None` where not loaded.
type Tables = [Option<Box<Loaded>>; TableKind::ALL.len()];

#[derive(Clone)]
struct Loaded {
    source: Table,
    program: Program,
}

impl Programs {
    /// Replaces the tables that `rules` names, and only these. Counters start from the ruleset's, limits full.
    pub(crate) fn replace(&mut self, rules: &Ruleset, policies: &Policies) {
        let InForce { tables, order, ways, asks_fresh, lengthens, proxies } =
            self.in_force_mut(rules.family);
        for (kind, loaded) in TableKind::ALL.into_iter().zip(tables.iter_mut()) {
            if let Some(loaded) = loaded {
                ways.add_to(kind, &mut loaded.program.counters);
            }
        }
        for table in &rules.tables {
            if tables[table.kind as usize].is_none() {
                order.push(table.kind);
            }
            let loaded = Loaded { source: table.clone(), program: compile(table, policies) };
            tables[table.kind as usize] = Some(Box::new(loaded));
        }
        *ways = Ways::prove(|kind| program(tables, kind));
        *asks_fresh = !ways.clears_fresh();
        *lengthens = tables.iter().flatten().any(|loaded| loaded.program.lengthens);
        *proxies = tables.iter().flatten().any(|loaded| loaded.program.proxies);
        self.epoch = (self.epoch + 1) % EPOCHS;
        self.settle_memory();
    }

    /// Makes what the rules share, and forgets what none of them names any more.
    fn settle_memory(&mut self) {
        let Self { v4, v6, memory, .. } = self;
        let both = [(Family::V4, &*v4), (Family::V6, &*v6)];
        let shared = both
            .into_iter()
            .flat_map(|(family, in_force)| in_force.extensions().map(move |one| (family, one)));
        shared.clone().for_each(|(family, one)| memory.provide(family, one));
        memory.retain(shared);
        let tables = [v4, v6].into_iter().flat_map(|in_force| in_force.tables.iter().flatten());
        memory.sets.keep(tables.flat_map(|loaded| loaded.source.sets()).map(|(_, name)| name));
    }

    /// The sets that rules name.
    pub(crate) fn sets(&self) -> &Sets {
        &self.memory.sets
    }

    /// Puts others in their place.
    pub(crate) fn adopt_sets(&mut self, sets: Sets) {
        self.memory.sets = sets;
        self.settle_memory();
    }

    /// The same, to change them.
    pub(crate) fn sets_mut(&mut self) -> &mut Sets {
        &mut self.memory.sets
    }

    /// Whether a rule may make a TCP SYN longer.
    #[inline]
    pub(crate) fn lengthens(&self, family: Family) -> bool {
        self.in_force(family).lengthens
    }

    /// Whether a rule is SYNPROXY, whose hooks there are as long as it is loaded.
    #[inline]
    pub(crate) fn proxies(&self, family: Family) -> bool {
        self.in_force(family).proxies
    }

    /// Changes with every replacement of rules, whichever family's. It has 10 bits and begins again: whoever keeps what
    /// was found in one epoch must forget it all by the time that it comes back.
    #[inline]
    pub(crate) fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Whether a table is loaded, and its hooks with it.
    pub(crate) fn has(&self, family: Family, table: TableKind) -> bool {
        self.in_force(family).tables[table as usize].is_some()
    }

    /// Whether [`Programs::clears`] is true of no packet.
    #[inline]
    pub(crate) fn asks_fresh(&self, family: Family) -> bool {
        self.in_force(family).asks_fresh
    }

    /// Whether all rules on the way are proven to let packets go on, unchanged, that begin a flow or change one.
    #[inline]
    pub(crate) fn clears(&self, family: Family, fresh: Fresh) -> bool {
        self.in_force(family).ways.way_of(fresh).clearance == Clearance::Clear
    }

    /// Counts such a packet, `bytes` long from the IP header on, on the rules that it would have met.
    #[inline]
    pub(crate) fn count_fresh(&mut self, family: Family, fresh: Fresh, bytes: usize) {
        eval::count(&mut self.in_force_mut(family).ways.way_of_mut(fresh).passed, bytes);
    }

    /// Whether all rules on the way are proven to let established packets go on, unchanged. See
    /// [`express`](super::express) for what the packet must be.
    #[inline]
    pub(crate) fn clearance(
        &self,
        family: Family,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
    ) -> Clearance {
        self.in_force(family).ways.way(proto, dir, route).clearance
    }

    /// Whether packets of this flow and direction meet all along the way what [`Course::count`] counts and
    /// nothing else, so that they may go on as if it were clear. Either answer holds for this epoch, if both kinds of
    /// NAT are decided for the flow. Costs as much as asking the rules, or less.
    pub(crate) fn vet(
        &self,
        family: Family,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
        flow: &Flow,
    ) -> bool {
        let InForce { tables, ways, .. } = self.in_force(family);
        ways.vet(|kind| program(tables, kind), proto, dir, route, flow)
    }

    /// The way of established packets that go by this route.
    #[inline(always)]
    pub(crate) fn course(
        &mut self,
        family: Family,
        proto: ExpressProto,
        dir: Direction,
        route: ExpressRoute,
    ) -> Course<'_> {
        let epoch = self.epoch;
        Course { way: self.in_force_mut(family).ways.way_mut(proto, dir, route), epoch }
    }

    /// Takes a packet through a table's chain at its hook; `Accept` if the table or the chain isn't there.
    pub(crate) fn run<F: Fib, O: Observer>(
        &mut self,
        family: Family,
        table: TableKind,
        ctx: &mut RuleContext<'_, F>,
        observer: &mut O,
    ) -> Ruling {
        let Self { v4, v6, memory, .. } = self;
        let in_force = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        match &mut in_force.tables[table as usize] {
            Some(loaded) => eval::run(&mut loaded.program, memory, ctx, observer),
            None => Ruling::Accept,
        }
    }

    /// A family's rules as iptables-save prints them, the table that was loaded last first, with live counters if asked
    /// for; `None` if it has no table.
    pub(crate) fn print(&self, family: Family, counters: bool) -> Option<String> {
        let InForce { tables, order, ways, .. } = self.in_force(family);
        let loaded = order.iter().rev().filter_map(|kind| tables[*kind as usize].as_ref());
        let tables: Vec<Table> = loaded.map(|loaded| loaded.live(ways)).collect();
        (!tables.is_empty()).then(|| print(&Ruleset { family, tables }, counters))
    }

    fn in_force(&self, family: Family) -> &InForce {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn in_force_mut(&mut self, family: Family) -> &mut InForce {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// A way, as long as rules stay what they are.
pub(crate) struct Course<'p> {
    way: &'p mut Way,
    epoch: u16,
}

impl Course<'_> {
    /// Whether a packet may take it without asking the rules: because all such packets may, or those of its flow, as was
    /// found in this epoch.
    #[inline(always)]
    pub(crate) fn is_clear(&self, vetted: impl FnOnce(u16) -> bool) -> bool {
        match self.way.clearance {
            Clearance::Clear => true,
            Clearance::IfVetted => vetted(self.epoch),
            Clearance::Never => false,
        }
    }

    /// Counts such a packet, `bytes` long from the IP header on, on the rules that it would have met.
    #[inline(always)]
    pub(crate) fn count(&mut self, bytes: usize) {
        eval::count(&mut self.way.passed, bytes);
    }
}

fn program(tables: &Tables, kind: TableKind) -> Option<&Program> {
    tables[kind as usize].as_ref().map(|loaded| &loaded.program)
}

impl Loaded {
    /// The counters of now.
    fn counters(&self, ways: &Ways) -> Vec<Counters> {
        let mut counters = self.program.counters.clone();
        ways.add_to(self.source.kind, &mut counters);
        counters
    }

    /// The table as written, with the counters of now.
    fn live(&self, ways: &Ways) -> Table {
        let (mut table, counters) = (self.source.clone(), self.counters(ways));
        for (chain, section) in table.chains.iter_mut().zip(&self.program.chains) {
            for (rule, counted) in chain.rules.iter_mut().zip(&counters[section.entries.clone()]) {
                rule.counters = *counted;
            }
            let policy = chain.policy.map(|_| counters[section.tail()]);
            chain.counters = policy.unwrap_or(Counters::default());
        }
        table
    }
}

const EPOCHS: u16 = 1 << 10;

#[cfg(test)]
mod tests;
