//! The rules in force: a [`Generation`] of them, and what they remember beside it.
//!
//! The next generation takes its place all at once and between two packets; living flows keep what earlier rules decided
//! for them. What was [proven](super::express) of it holds until then, which begins another [epoch](Programs::epoch).

use alloc::string::String;

use tidegate_wire::Family;

use super::ast::{Hook, Ruleset, TableKind};
use super::conditions::Memory;
use super::eval::{self, RuleContext, Ruling};
use super::express::{Clearance, ExpressProto, ExpressRoute, Fresh, Way};
use super::generation::{FamilyRules, Generation, code};
use super::print;
use crate::fib::Fib;
use crate::flow::Flow;
use crate::ipset::Sets;
use crate::limits::Policies;
use crate::trace::Observer;
use crate::tuple::Direction;

/// Both families' rules, and what they remember.
#[derive(Clone, Default)]
pub(crate) struct Programs {
    rules: Generation,
    memory: Memory,
    epoch: u16,
}

impl Programs {
    /// The rules without what packets have left behind, for whoever works out the next ones.
    pub(crate) fn generation(&self) -> Generation {
        self.rules.restarted()
    }

    /// Goes by the next rules. Tables that they share with those of now go on, with their counters; those that go are
    /// `next` afterwards. Whether a new table needs flows to be counted.
    pub(crate) fn adopt(&mut self, next: &mut Generation, policies: &Policies) -> bool {
        let counts_flows = self.rules.give_way(next, policies);
        self.epoch = (self.epoch + 1) % EPOCHS;
        self.settle_memory();
        counts_flows
    }

    /// Makes what the rules share, and forgets what none of them names any more.
    fn settle_memory(&mut self) {
        let Self { rules, memory, .. } = self;
        rules.sharing().for_each(|(family, one)| memory.provide(family, one));
        memory.retain(rules.sharing());
        memory.sets.keep(rules.sets());
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

    /// Whether there is a nat table.
    #[inline]
    pub(crate) fn translate(&self) -> bool {
        Family::ALL.iter().any(|family| self.has(*family, TableKind::Nat))
    }

    /// Whether all rules on the way are proven to let packets go on, unchanged, that begin a flow or change one.
    #[inline]
    pub(crate) fn clears(&self, family: Family, fresh: Fresh) -> bool {
        self.in_force(family).ways.way_of(fresh).clearance == Clearance::Clear
    }

    /// Counts such a packet, `bytes` long from the IP header on, on the rules that it would have met.
    #[inline]
    pub(crate) fn count_fresh(&mut self, family: Family, fresh: Fresh, bytes: usize) {
        self.in_force_mut(family).ways.way_of_mut(fresh).count(bytes);
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
        let FamilyRules { tables, ways, .. } = self.in_force(family);
        ways.vet(|kind| code(tables, kind), proto, dir, route, flow)
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
        let Self { rules, memory, .. } = self;
        match &mut rules.family_mut(family).tables[table as usize] {
            Some(loaded) => eval::run(&mut loaded.program, memory, ctx, observer),
            None => Ruling::Accept,
        }
    }

    /// [`Programs::run`] of a packet of `len` bytes that nobody traces, if the table has no rules there and lets all go on.
    pub(crate) fn pass_bare(
        &mut self,
        family: Family,
        table: TableKind,
        hook: Hook,
        len: usize,
    ) -> bool {
        let loaded = &mut self.rules.family_mut(family).tables[table as usize];
        loaded.as_mut().is_none_or(|loaded| loaded.program.pass_bare(hook, len))
    }

    /// A family's rules as iptables-save prints them, the table that was loaded last first, with live counters if asked
    /// for; `None` if it has no table.
    pub(crate) fn print(&self, family: Family, counters: bool) -> Option<String> {
        let tables = self.in_force(family).live();
        (!tables.is_empty()).then(|| print(&Ruleset { family, tables }, counters))
    }

    #[inline]
    fn in_force(&self, family: Family) -> &FamilyRules {
        self.rules.family(family)
    }

    #[inline]
    fn in_force_mut(&mut self, family: Family) -> &mut FamilyRules {
        self.rules.family_mut(family)
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
        self.way.count(bytes);
    }
}

const EPOCHS: u16 = 1 << 10;

#[cfg(test)]
mod tests;
