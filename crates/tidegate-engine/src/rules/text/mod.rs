//! iptables-save text to a [`Ruleset`]: the layout of tables and chains, line by line.
//!
//! ```text
//! file    = { comment | table }
//! table   = "*" NAME { comment | chain | rule } "COMMIT"
//! chain   = ":" NAME ( "ACCEPT" | "DROP" | "-" ) [ counters ]
//! rule    = [ counters ] "-A" CHAIN { option }
//! ```
//!
//! [`lex`] makes words of a rule's line, [`rule`] sorts them into options, each in the [`clause`] of the match or
//! target that knows it ([`options`]), and [`matches`] and [`targets`] make values of these ([`value`]). A line has at
//! most one error, and an error in one line does not end the reading.
//!
//! What a kernel would say to the result is not asked here.

pub(in crate::rules) mod clause;
mod lex;
mod matches;
pub(in crate::rules) mod options;
mod rule;
mod targets;
pub(in crate::rules) mod value;
mod without;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::ast::{Chain, Counters, Hook, Policy, Ruleset, Table, TableKind};
use super::error::{CheckError, Fault, FileError, RuleError};
use super::labels::LabelNames;

/// A value, or the word at fault.
pub(in crate::rules) type Parsed<T> = Result<T, Fault>;

/// Bytes that a chain's name may have in the kernel.
const CHAIN_NAME_MAX: usize = 28;

/// Reads all lines; `file` names the text in errors.
pub(super) fn parse(
    family: Family,
    file: &str,
    text: &str,
    labels: &LabelNames,
) -> Result<Ruleset, Vec<RuleError>> {
    let ruleset = Ruleset { family, tables: Vec::new() };
    let mut reader = Reader { ruleset, open: None, labels };
    let mut errors = Vec::new();
    let mut last = 1;
    for (number, line) in (1..).zip(text.lines()) {
        if let Err(fault) = reader.line(number, line.trim()) {
            errors.push(fault.at(file, number));
        }
        last = number;
    }
    if let Some(table) = reader.open {
        errors.push(Fault::new(table.kind.name(), FileError::MissingCommit).at(file, last));
    }
    if errors.is_empty() { Ok(reader.ruleset) } else { Err(errors) }
}

/// The ruleset so far, and the table between its first line and COMMIT.
struct Reader<'a> {
    ruleset: Ruleset,
    open: Option<Table>,
    labels: &'a LabelNames,
}

impl Reader<'_> {
    fn line(&mut self, number: u32, line: &str) -> Parsed<()> {
        match line.as_bytes().first() {
            None | Some(b'#') => return Ok(()),
            Some(b'*') => return self.begin(line[1..].trim()),
            Some(_) => {}
        }
        if line == "COMMIT" {
            let table = self.open.take().ok_or_else(|| outside(line))?;
            self.ruleset.tables.push(sorted(table));
            return Ok(());
        }
        let table = self.open.as_mut().ok_or_else(|| outside(line))?;
        match line.strip_prefix(':') {
            Some(declaration) => declare(table, declaration),
            None => self.append(number, line),
        }
    }

    fn append(&mut self, number: u32, line: &str) -> Parsed<()> {
        let Some(table) = &mut self.open else { return Err(outside(line)) };
        let words = lex::words(line)?;
        let before = words.first().filter(|word| word.starts_with('['));
        let command = usize::from(before.is_some());
        let before = before.map(|word| counters(word)).transpose()?;
        let chain = appended(table, &words, command)?;
        let place =
            rule::Place { family: self.ruleset.family, table, line: number, labels: self.labels };
        let rules = rule::parse(place, before, &words[command + 2..])?;
        table.chains[chain].rules.extend(rules);
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Parsed<()> {
        let kind = TableKind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| Fault::new(name, FileError::UnknownTable))?;
        if self.open.is_some() {
            return Err(Fault::new(name, FileError::OpenTable));
        }
        // The table is opened all the same, so that its lines are read for errors of their own.
        self.open = Some(empty(kind));
        if self.ruleset.tables.iter().any(|table| table.kind == kind) {
            return Err(Fault::new(name, FileError::RepeatedTable));
        }
        Ok(())
    }
}

fn outside(line: &str) -> Fault {
    Fault::new(line.split_whitespace().next().unwrap_or(line), FileError::OutsideTable)
}

/// The table as the kernel first makes it.
fn empty(kind: TableKind) -> Table {
    let chain = |hook: &Hook| Chain {
        name: hook.name().to_owned(),
        policy: Some(Policy::Accept),
        counters: Counters::default(),
        rules: Vec::new(),
    };
    Table { kind, chains: kind.hooks().iter().map(chain).collect() }
}

/// The library below iptables keeps user chains by name, and so prints them.
fn sorted(mut table: Table) -> Table {
    table.chains[table.kind.hooks().len()..].sort_by(|a, b| a.name.cmp(&b.name));
    table
}

fn declare(table: &mut Table, declaration: &str) -> Parsed<()> {
    let mut words = declaration.split_whitespace();
    let (Some(name), Some(policy)) = (words.next(), words.next()) else {
        return Err(Fault::new(declaration, FileError::MalformedChain));
    };
    let counters = words.next().map_or(Ok(Counters::default()), counters)?;
    if words.next().is_some() {
        return Err(Fault::new(declaration, FileError::MalformedChain));
    }
    match table.kind.hooks().iter().position(|hook| hook.name() == name) {
        Some(builtin) => {
            let policy = builtin_policy(table.kind, policy)?;
            let chain = &mut table.chains[builtin];
            chain.policy = Some(policy);
            chain.counters = counters;
            Ok(())
        }
        None if policy == "-" => declare_user(table, name),
        None => Err(Fault::new(name, FileError::PolicyOnUserChain)),
    }
}

fn builtin_policy(table: TableKind, word: &str) -> Parsed<Policy> {
    match word {
        "DROP" if table == TableKind::Nat => Err(Fault::new(word, CheckError::NatDrop)),
        "DROP" => Ok(Policy::Drop),
        // iptables-restore leaves the policy alone, and an untouched one is ACCEPT.
        "ACCEPT" | "-" => Ok(Policy::Accept),
        _ => Err(Fault::new(word, FileError::UnknownPolicy)),
    }
}

fn declare_user(table: &mut Table, name: &str) -> Parsed<()> {
    if table.chain(name).is_some() {
        return Err(Fault::new(name, FileError::RepeatedChain));
    }
    let bad = name.len() > CHAIN_NAME_MAX
        || name.starts_with(['-', '!'])
        || name.contains(['"', '\\'])
        || rule::is_target(name);
    if bad {
        return Err(Fault::new(name, FileError::BadChainName));
    }
    table.chains.push(Chain {
        name: name.to_owned(),
        policy: None,
        counters: Counters::default(),
        rules: Vec::new(),
    });
    Ok(())
}

/// The place in the table of the chain that `-A CHAIN`, the words from `command`, names.
fn appended(table: &Table, words: &[String], command: usize) -> Parsed<usize> {
    let missing = || {
        let last = words.last().map_or("", String::as_str);
        Fault::new(last, FileError::MissingCommand)
    };
    let word = words.get(command).ok_or_else(missing)?;
    if word != "-A" && word != "--append" {
        return Err(Fault::new(word, FileError::UnsupportedCommand));
    }
    let name = words.get(command + 1).ok_or_else(missing)?;
    let chain = table.chains.iter().position(|chain| chain.name == *name);
    chain.ok_or_else(|| Fault::new(name, FileError::UnknownChain))
}

/// `[packets:bytes]`
fn counters(word: &str) -> Parsed<Counters> {
    let numbers = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    numbers
        .and_then(|numbers| numbers.split_once(':'))
        .and_then(|(packets, bytes)| {
            Some(Counters { packets: packets.parse().ok()?, bytes: bytes.parse().ok()? })
        })
        .ok_or_else(|| Fault::new(word, FileError::BadCounters))
}
