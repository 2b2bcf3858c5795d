//! From which hooks a rule can be reached, and which jumps close a loop.
//!
//! A walk from each built-in chain through all jumps, as the kernel's mark_source_chains: conditions are taken for
//! possible, but a verdict without any condition ends its chain, and what stands behind it is reached by nobody. A
//! chain that no hook leads to may even loop.

use alloc::vec::Vec;

use bitflags::bitflags;

use crate::rules::ast::{Chain, Hook, Rule, Spec, Table, Target};

bitflags! {
    /// A set of hooks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct HookSet: u8 {
        const PREROUTING = 0x01;
        const INPUT = 0x02;
        const FORWARD = 0x04;
        const OUTPUT = 0x08;
        const POSTROUTING = 0x10;
    }
}

impl From<Hook> for HookSet {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Prerouting => Self::PREROUTING,
            Hook::Input => Self::INPUT,
            Hook::Forward => Self::FORWARD,
            Hook::Output => Self::OUTPUT,
            Hook::Postrouting => Self::POSTROUTING,
        }
    }
}

/// What leads where in one table.
pub(super) struct Reach<'t> {
    chains: Vec<Reached<'t>>,
    loops: Vec<&'t Rule>,
}

struct Reached<'t> {
    /// The rules up to the first verdict without condition.
    live: &'t [Rule],
    hooks: HookSet,
}

/// A chain during the walk from one hook.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    Never,
    /// It is on the way from the hook to where the walk is.
    Open,
    Done,
}

impl<'t> Reach<'t> {
    pub(super) fn of(table: &'t Table) -> Self {
        let chains = table.chains.iter();
        let chains = chains.map(|chain| Reached { live: live(chain), hooks: HookSet::empty() });
        let mut reach = Self { chains: chains.collect(), loops: Vec::new() };
        for (number, chain) in table.chains.iter().enumerate() {
            if let Some(hook) = chain.hook() {
                reach.walk(table, number, hook.into());
            }
        }
        reach
    }

    /// The hooks that lead to a rule, by the chain's place in the table and the rule's in the chain.
    pub(super) fn hooks(&self, chain: usize, rule: usize) -> HookSet {
        let chain = &self.chains[chain];
        if rule < chain.live.len() { chain.hooks } else { HookSet::empty() }
    }

    /// Jumps into a chain from which the jump was reached, each once.
    pub(super) fn loops(&self) -> &[&'t Rule] {
        &self.loops
    }

    /// Depth first from one built-in chain, with a stack of our own: chains may be nested deeply.
    fn walk(&mut self, table: &'t Table, start: usize, hook: HookSet) {
        let mut visits = Vec::new();
        visits.resize(self.chains.len(), Visit::Never);
        let mut path = Vec::from([(start, 0)]);
        visits[start] = Visit::Open;
        self.chains[start].hooks |= hook;
        while let Some((chain, position)) = path.pop() {
            let Some(rule) = self.chains[chain].live.get(position) else {
                visits[chain] = Visit::Done;
                continue;
            };
            path.push((chain, position + 1));
            let Some(next) = destination(table, rule) else { continue };
            match visits[next] {
                Visit::Never => {
                    visits[next] = Visit::Open;
                    self.chains[next].hooks |= hook;
                    path.push((next, 0));
                }
                Visit::Open => self.note_loop(rule),
                Visit::Done => {}
            }
        }
    }

    fn note_loop(&mut self, rule: &'t Rule) {
        if !self.loops.iter().any(|known| core::ptr::eq(*known, rule)) {
            self.loops.push(rule);
        }
    }
}

fn destination(table: &Table, rule: &Rule) -> Option<usize> {
    match &rule.target {
        Target::Jump(name) | Target::Goto(name) => {
            table.chains.iter().position(|chain| chain.name == *name)
        }
        _ => None,
    }
}

fn live(chain: &Chain) -> &[Rule] {
    let end = chain.rules.iter().position(is_final).map_or(chain.rules.len(), |at| at + 1);
    &chain.rules[..end]
}

fn is_final(rule: &Rule) -> bool {
    let verdict = matches!(rule.target, Target::Accept | Target::Drop | Target::Return);
    verdict && rule.spec == Spec::default() && rule.matches.is_empty()
}
