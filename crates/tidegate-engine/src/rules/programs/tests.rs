//! Programs replace each other by table, and print with their live counters.

use alloc::vec;
use alloc::vec::Vec;

use tidegate_wire::Family::{self, V4, V6};

use super::super::ast::{Chain, Counters, Hook, Policy, Rule, Ruleset, Table, TableKind, Target};
use super::super::eval::Ruling;
use super::super::eval::scene::{builtin, query, rule, user};
use super::super::generation::Loaded;
use super::super::matches::Bucket;
use super::super::print;
use super::Programs;
use crate::limits::Policies;

impl Programs {
    /// Goes by rules as soon as they are worked out.
    pub(in crate::rules) fn replace(&mut self, rules: &Ruleset, policies: &Policies) {
        let mut next = self.generation();
        next.replace(rules.clone());
        self.adopt(&mut next, policies);
    }

    /// All that packets leave behind in a family's tables: the counters of every entry, tails as well, and the limits.
    pub(in crate::rules) fn traces(&self, family: Family) -> Vec<(Vec<Counters>, Vec<Bucket>)> {
        let in_force = self.in_force(family);
        let of = |loaded: &Loaded| {
            (loaded.counters(&in_force.ways), loaded.program.state.buckets.clone())
        };
        in_force.tables.iter().flatten().map(|loaded| of(loaded)).collect()
    }
}

fn filter(rules: Vec<Rule>) -> Table {
    let forward = builtin(Hook::Forward, Policy::Accept, rules);
    Table { kind: TableKind::Filter, chains: vec![forward, user("spare", vec![])] }
}

fn mangle() -> Table {
    let chains: Vec<Chain> =
        Hook::ALL.into_iter().map(|hook| builtin(hook, Policy::Drop, vec![])).collect();
    Table { kind: TableKind::Mangle, chains }
}

fn run(programs: &mut Programs, table: TableKind) -> Ruling {
    programs.run(V4, table, &mut query(1, 2).context(Hook::Forward), &mut ())
}

#[test]
fn the_table_that_was_first_loaded_last_is_printed_first() {
    let mut programs = Programs::default();
    for tables in [vec![mangle()], vec![filter(vec![])], vec![mangle()]] {
        programs.replace(&Ruleset { family: V4, tables }, &Default::default());
    }
    let text = programs.print(V4, false).expect("two tables");
    let names: Vec<&str> = text.lines().filter(|line| line.starts_with('*')).collect();
    assert_eq!(names, ["*filter", "*mangle"]);
}

#[test]
fn a_ruleset_replaces_only_the_tables_it_names() {
    let mut programs = Programs::default();
    assert_eq!(run(&mut programs, TableKind::Filter), Ruling::Accept, "nothing loaded");
    programs.replace(
        &Ruleset { family: V4, tables: vec![mangle(), filter(vec![])] },
        &Default::default(),
    );
    let drop = filter(vec![rule(vec![], Target::Drop)]);
    programs.replace(&Ruleset { family: V4, tables: vec![drop] }, &Default::default());
    assert_eq!(run(&mut programs, TableKind::Filter), Ruling::Drop, "the new one");
    assert_eq!(run(&mut programs, TableKind::Mangle), Ruling::Drop, "the old one");
    let loaded = TableKind::ALL.map(|table| programs.has(V4, table));
    assert_eq!(loaded, [false, true, false, true, false]);
    assert!(TableKind::ALL.iter().all(|table| !programs.has(V6, *table)), "the other family");
}

#[test]
fn printing_puts_live_counters_back() {
    let mut programs = Programs::default();
    assert_eq!(programs.print(V4, true), None, "nothing loaded");
    let before = Counters { packets: 3, bytes: 300 };
    let counted = Rule { counters: before, ..rule(vec![], Target::None) };
    let mut table = filter(vec![counted]);
    table.chains[0].counters = before;
    programs.replace(&Ruleset { family: V4, tables: vec![table.clone()] }, &Default::default());
    run(&mut programs, TableKind::Filter);
    let after = Counters { packets: 4, bytes: 328 };
    table.chains[0].rules[0].counters = after;
    table.chains[0].counters = after;
    let expected = print(&Ruleset { family: V4, tables: vec![table] }, true);
    assert_eq!(programs.print(V4, true), Some(expected));
    assert_eq!(programs.print(V6, true), None);
}
