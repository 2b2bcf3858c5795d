//! A [`Ruleset`] to text, as iptables-save 1.8.9 writes it: tables, chains, rules and their general part. [`matches`]
//! and [`targets`] write what follows, [`value`] the values.
//!
//! Options come in the tool's order, not in that of the text that was read. What is printed reads back as the same
//! ruleset.

mod matches;
mod targets;
pub(in crate::rules) mod value;

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Formatter};

use super::ast::{Chain, Counters, Fragment, Policy, Rule, Ruleset, Spec, Table, Target, Term};

/// The whole text.
pub(super) fn print(ruleset: &Ruleset, counters: bool) -> String {
    format!("{}", Saved { ruleset, counters })
}

struct Saved<'r> {
    ruleset: &'r Ruleset,
    counters: bool,
}

impl fmt::Display for Saved<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.ruleset.tables.iter().try_for_each(|table| write_table(f, table, self.counters))
    }
}

fn write_table(f: &mut Formatter<'_>, table: &Table, counters: bool) -> fmt::Result {
    writeln!(f, "*{}", table.kind)?;
    for chain in &table.chains {
        let policy = match chain.policy {
            Some(Policy::Accept) => "ACCEPT",
            Some(Policy::Drop) => "DROP",
            None => "-",
        };
        writeln!(f, ":{} {policy} {}", chain.name, chain.counters)?;
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            write_rule(f, chain, rule, counters)?;
        }
    }
    writeln!(f, "COMMIT")
}

impl fmt::Display for Counters {
    /// `[packets:bytes]`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:{}]", self.packets, self.bytes)
    }
}

fn write_rule(f: &mut Formatter<'_>, chain: &Chain, rule: &Rule, counters: bool) -> fmt::Result {
    if counters {
        write!(f, "{} ", rule.counters)?;
    }
    write!(f, "-A {}", chain.name)?;
    write_spec(f, &rule.spec)?;
    rule.matches.iter().try_for_each(|one| matches::write(f, one))?;
    match &rule.target {
        Target::None => {}
        Target::Goto(chain) => write!(f, " -g {chain}")?,
        target => {
            write!(f, " -j {}", target.name())?;
            targets::write_options(f, target)?;
        }
    }
    writeln!(f)
}

fn write_spec(f: &mut Formatter<'_>, spec: &Spec) -> fmt::Result {
    term(f, "-s", &spec.source, value::network)?;
    term(f, "-d", &spec.destination, value::network)?;
    term(f, "-i", &spec.in_interface, value::interface)?;
    term(f, "-o", &spec.out_interface, value::interface)?;
    term(f, "-p", &spec.protocol, value::protocol)?;
    match spec.fragment {
        Some(Fragment::Later) => f.write_str(" -f"),
        Some(Fragment::FirstOrWhole) => f.write_str(" ! -f"),
        None => Ok(()),
    }
}

/// An option that may be absent.
pub(in crate::rules) fn term<T>(
    f: &mut Formatter<'_>,
    option: &str,
    term: &Option<Term<T>>,
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    term.as_ref().map_or(Ok(()), |term| always(f, option, term, write))
}

/// ` [!] OPTION VALUE`
pub(in crate::rules) fn always<T>(
    f: &mut Formatter<'_>,
    option: &str,
    term: &Term<T>,
    write: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    if term.negated {
        f.write_str(" !")?;
    }
    write!(f, " {option} ")?;
    write(f, &term.value)
}
