//! A generation of rules: the tables of both families, each as the operator wrote it and as packets run through it.
//!
//! The next one is worked out, compiled and proven, while the last is in force, by whoever has the time. Engines then
//! [adopt](crate::Engine::adopt_rules) it, each a copy. Copies share all that packets never change, and each has counters,
//! limits and memories of its own.
//!
//! A ruleset replaces the tables that it names. A table that was never named has no hooks: packets pass it as if it weren't
//! there. What can be [proven](super::express) of a family's tables is proven anew with each of them.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem::swap;

use tidegate_wire::Family;

use super::ast::{Counters, Match, Ruleset, Table, TableKind};
use super::compile::compile;
use super::conditions::Kind;
use super::express::Ways;
use super::program::{Code, Program};
use crate::limits::Policies;

/// See the module's documentation.
#[derive(Clone, Default)]
pub struct Generation {
    v4: FamilyRules,
    v6: FamilyRules,
}

/// One family's.
#[derive(Clone, Default)]
pub(super) struct FamilyRules {
    pub(super) tables: Tables,
    /// Those that are loaded, in the order in which they first were.
    order: Vec<TableKind>,
    pub(super) ways: Ways,
    /// Whether every fresh packet is the rules' business.
    pub(super) asks_fresh: bool,
    /// Whether a rule may make a TCP SYN longer.
    pub(super) lengthens: bool,
    /// Whether a rule is SYNPROXY.
    pub(super) proxies: bool,
}

/// By [`TableKind`], `None` where not loaded.
pub(super) type Tables = [Option<Box<Loaded>>; TableKind::ALL.len()];

#[derive(Clone)]
pub(super) struct Loaded {
    source: Arc<Source>,
    pub(super) program: Program,
}

/// A table as it was written, and what it says as a whole.
struct Source {
    table: Table,
    /// The matches that share what they remember.
    sharing: Vec<Kind>,
    /// The sets that rules name.
    sets: BTreeSet<String>,
    /// Whether flows must be counted for a rule.
    counts_flows: bool,
}

impl Generation {
    /// Replaces the tables that `rules` names, and only these. Counters start from the ruleset's, limits full.
    pub fn replace(&mut self, rules: Ruleset) {
        let Ruleset { family, tables } = rules;
        self.family_mut(family).replace(tables);
    }

    /// The same as it was before any packet.
    pub(super) fn restarted(&self) -> Self {
        Self { v4: self.v4.restarted(), v6: self.v6.restarted() }
    }

    /// Puts `next` in its place, except for the tables that both have, which stay what packets have made of them. What was
    /// in its place is `next` afterwards. Whether a new table needs flows to be counted.
    pub(super) fn give_way(&mut self, next: &mut Self, policies: &Policies) -> bool {
        let Self { v4, v6 } = next;
        let counted = [self.v4.give_way(v4, policies), self.v6.give_way(v6, policies)];
        counted.contains(&true)
    }

    /// The matches that share what they remember, of all rules.
    pub(super) fn sharing(&self) -> impl Iterator<Item = (Family, &Kind)> + Clone {
        let both = [(Family::V4, &self.v4), (Family::V6, &self.v6)].into_iter();
        both.flat_map(|(family, rules)| rules.sources().map(move |source| (family, source)))
            .flat_map(|(family, source)| source.sharing.iter().map(move |one| (family, one)))
    }

    /// The sets that rules name.
    pub(super) fn sets(&self) -> impl Iterator<Item = &str> {
        let sources = [&self.v4, &self.v6].into_iter().flat_map(FamilyRules::sources);
        sources.flat_map(|source| source.sets.iter().map(String::as_str))
    }

    #[inline]
    pub(super) fn family(&self, family: Family) -> &FamilyRules {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    #[inline]
    pub(super) fn family_mut(&mut self, family: Family) -> &mut FamilyRules {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { v4, v6 } = self;
        f.debug_struct("Generation").field("v4", &v4.order).field("v6", &v6.order).finish()
    }
}

impl FamilyRules {
    fn replace(&mut self, new: Vec<Table>) {
        let Self { tables, order, ways, asks_fresh, lengthens, proxies } = self;
        for table in new {
            let kind = table.kind;
            if tables[kind as usize].is_none() {
                order.push(kind);
            }
            tables[kind as usize] = Some(Box::new(Loaded::new(table)));
        }
        *ways = Ways::prove(|kind| code(tables, kind));
        *asks_fresh = !ways.clears_fresh();
        *lengthens = tables.iter().flatten().any(|loaded| loaded.program.code.lengthens);
        *proxies = tables.iter().flatten().any(|loaded| loaded.program.code.proxies);
    }

    fn restarted(&self) -> Self {
        let Self { tables, order, ways, asks_fresh, lengthens, proxies } = self;
        Self {
            tables: tables.each_ref().map(|loaded| loaded.as_ref().map(|one| one.restarted())),
            order: order.clone(),
            ways: ways.restarted(),
            asks_fresh: *asks_fresh,
            lengthens: *lengthens,
            proxies: *proxies,
        }
    }

    fn give_way(&mut self, next: &mut Self, policies: &Policies) -> bool {
        self.settle_counters();
        let mut counts_flows = false;
        for (kind, new) in TableKind::ALL.into_iter().zip(&mut next.tables) {
            let own = &mut self.tables[kind as usize];
            match (own, new) {
                (Some(own), Some(new)) if own.is(new) => swap(own, new),
                (_, Some(new)) => {
                    new.program.find_policies(policies);
                    counts_flows |= new.source.counts_flows;
                }
                (_, None) => {}
            }
        }
        swap(self, next);
        counts_flows
    }

    /// Gives every entry its share of the packets that were not counted there.
    fn settle_counters(&mut self) {
        for (kind, own) in TableKind::ALL.into_iter().zip(&mut self.tables) {
            if let Some(own) = own {
                self.ways.add_to(kind, &mut own.program.state.counters);
            }
        }
        self.ways.forget_passed();
    }

    /// All tables as written, the one that was loaded last first, with the counters of now.
    pub(super) fn live(&self) -> Vec<Table> {
        let loaded =
            self.order.iter().rev().filter_map(|kind| self.tables[*kind as usize].as_ref());
        loaded.map(|loaded| loaded.live(&self.ways)).collect()
    }

    fn sources(&self) -> impl Iterator<Item = &Source> + Clone {
        self.tables.iter().flatten().map(|loaded| &*loaded.source)
    }
}

/// What packets run through in a table that is loaded.
pub(super) fn code(tables: &Tables, kind: TableKind) -> Option<&Code> {
    tables[kind as usize].as_ref().map(|loaded| &*loaded.program.code)
}

impl Loaded {
    fn new(table: Table) -> Self {
        let program = Program::new(Arc::new(compile(&table)));
        Self { source: Arc::new(Source::new(table)), program }
    }

    fn restarted(&self) -> Box<Self> {
        let program = Program::new(Arc::clone(&self.program.code));
        Box::new(Self { source: Arc::clone(&self.source), program })
    }

    /// Whether both are the same table, from one reading of the rules.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.program.code, &other.program.code)
    }

    /// The counters of now.
    pub(super) fn counters(&self, ways: &Ways) -> Vec<Counters> {
        let mut counters = self.program.state.counters.clone();
        ways.add_to(self.program.code.kind, &mut counters);
        counters
    }

    /// The table as written, with the counters of now.
    fn live(&self, ways: &Ways) -> Table {
        let (mut table, counters) = (self.source.table.clone(), self.counters(ways));
        for (chain, section) in table.chains.iter_mut().zip(&self.program.code.chains) {
            for (rule, counted) in chain.rules.iter_mut().zip(&counters[section.entries.clone()]) {
                rule.counters = *counted;
            }
            let policy = chain.policy.map(|_| counters[section.tail()]);
            chain.counters = policy.unwrap_or(Counters::default());
        }
        table
    }
}

impl Source {
    fn new(table: Table) -> Self {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        let matches = rules.flat_map(|rule| &rule.matches).filter_map(|one| match one {
            Match::Extension(extension) => Some(&extension.0),
            _ => None,
        });
        let sharing = matches.filter(|one| one.shares()).cloned().collect();
        let sets = table.sets().into_iter().map(|(_, name)| name.into()).collect();
        let counts_flows = table.counts_flows();
        Self { table, sharing, sets, counts_flows }
    }
}
