//! The rules an operator writes: iptables-save text in, verdicts out.
//!
//! The life of a ruleset is a line of stages, each with a type of its own:
//!
//! ```text
//! text  --parse-->  ast::Ruleset  --check-->  ast::Ruleset that a kernel would load
//!                        |                                         |
//!                        +--print-->  text, as iptables-save       +--replace-->  Generation that engines go by
//!                                     writes it
//! ```
//!
//! [`parse`] does the first two at once, so whoever holds a `Ruleset` from it holds one without dangling jumps, loops,
//! targets in tables where the kernel refuses them or matches without the protocol they need. The compiler to the flat
//! program that packets run through ([`Generation`]), and its evaluation, build on that and never see text.
//!
//! The reference is iptables 1.8.9 (the legacy tools) over the kernel's x_tables: what they accept is accepted with
//! the same meaning, what they refuse is refused. What they accept and the engine can't do is refused by name, never
//! ignored. We are stricter where the tools guess or cut: host names, abbreviated options, types and states, masks with
//! holes in conntrack and NETMAP, texts that are too long, and a DROP policy in the nat table, which iptables refuses
//! and iptables-restore does not. We are laxer in one thing: `!` may stand behind its option, as old files have it.
//!
//! Nothing here looks at a packet, and nothing here is fast: a ruleset is read once.

use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::Family;

pub mod ast;
mod check;
mod compile;
mod conditions;
mod effects;
mod error;
mod eval;
mod express;
mod extension;
mod generation;
mod labels;
mod matches;
mod names;
mod print;
mod program;
mod programs;
mod targets;
mod text;

pub(crate) use conditions::prefix_of;
pub(crate) use effects::ROOM;
pub(crate) use eval::{NatAction, RuleContext, Ruling};
pub(crate) use express::{Clearance, ExpressProto, ExpressRoute, Fresh};
pub(crate) use names::{icmp_message, protocol, service};
pub(crate) use programs::Programs;

pub use ast::{Hook, RejectWith, Ruleset, TableKind};
pub use eval::Template;
pub use generation::Generation;
pub use labels::LabelNames;

pub use error::{
    CheckError, Expected, FileError, GrammarError, RuleError, RuleErrorKind, ValueError,
};

/// Reads a ruleset in iptables-save format and checks it as the kernel would when loading it.
///
/// `name` is the file's name for messages. Every built-in chain of a table is in the result, declared or not, in hook
/// order; user chains follow in the order of their names. Tables keep the order of the file.
///
/// # Errors
///
/// All errors that were found: at most one for a line of text, then, if the text was sound, one for each offending
/// rule.
pub fn parse(family: Family, name: &str, text: &str) -> Result<ast::Ruleset, Vec<RuleError>> {
    parse_named(family, name, text, LabelNames::NONE)
}

/// The same, for rules that call labels by names.
///
/// # Errors
///
/// As for [`parse`].
pub fn parse_named(
    family: Family,
    name: &str,
    text: &str,
    labels: &LabelNames,
) -> Result<ast::Ruleset, Vec<RuleError>> {
    let ruleset = text::parse(family, name, text, labels)?;
    check::check(name, &ruleset)?;
    Ok(ruleset)
}

/// The ruleset as iptables-save prints it, without comment lines; with `counters` as `iptables-save -c`, a
/// `[packets:bytes]` before each rule.
///
/// Two things differ on purpose: tables come in the order of the ruleset (the tool's order is that of the kernel's
/// registrations), and a pattern that matches everything is still printed when it is negated (`! -i +`), where the
/// tool would drop it and so change the rule's meaning.
pub fn print(ruleset: &ast::Ruleset, counters: bool) -> String {
    print::print(ruleset, counters)
}
