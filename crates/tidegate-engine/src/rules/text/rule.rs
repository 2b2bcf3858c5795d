//! One rule's words, sorted into clauses, and the rules they make.
//!
//! An option belongs to the clause that knows it: the target, the match that was named last, else the general part. If
//! nobody knows it, the match of the rule's `-p` is added on the way (`-p tcp --dport 80`), as iptables does.
//!
//! Several addresses in `-s` or `-d` make several rules, so that one line may become many.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::clause::{Clause, Given};
use super::options::{GENERAL, MatchName, OptionSpec, TargetName};
use super::{Parsed, matches, targets, value, without};
use crate::rules::ast::{
    Counters, Fragment, Interface, Network, Protocol, Rule, Spec, Table, Target, Term,
};
use crate::rules::error::{Expected, Fault, FileError, GrammarError, ValueError};
use crate::rules::labels::LabelNames;

/// Where a rule stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'t> {
    pub(super) family: Family,
    /// The table so far: only chains declared above the rule.
    pub(super) table: &'t Table,
    pub(super) line: u32,
    pub(super) labels: &'t LabelNames,
}

/// The rules of one line; `words` are those behind `-A CHAIN`, `counters` what stood before it.
pub(super) fn parse(
    place: Place<'_>,
    counters: Option<Counters>,
    words: &[String],
) -> Parsed<Vec<Rule>> {
    let mut draft = Draft::new(place, words);
    while !draft.rest.is_empty() {
        draft.option()?;
    }
    draft.finish(counters)
}

/// Whether a name is that of a target, so that no chain should have it.
pub(super) fn is_target(name: &str) -> bool {
    let known = |family| TargetName::find(family, name) != Err(GrammarError::UnknownTarget);
    matches!(name, "ACCEPT" | "DROP" | "RETURN") || known(Family::V4) || known(Family::V6)
}

/// What `-j` or `-g` names.
enum Destination<'w> {
    None,
    Plain(Target),
    Extension(TargetName, Clause<'w>),
}

/// A rule in the making.
struct Draft<'w> {
    place: Place<'w>,
    rest: &'w [String],
    general: Clause<'w>,
    matches: Vec<(MatchName, Clause<'w>)>,
    destination: Destination<'w>,
}

impl<'w> Draft<'w> {
    fn new(place: Place<'w>, words: &'w [String]) -> Self {
        Self {
            place,
            rest: words,
            general: Clause::new("-A", GENERAL, place.labels),
            matches: Vec::new(),
            destination: Destination::None,
        }
    }

    /// Takes the next word.
    fn next(&mut self) -> Option<&'w str> {
        let (word, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(word)
    }

    /// Takes the words that follow `option`.
    fn values(&mut self, option: &str, count: usize) -> Parsed<&'w [String]> {
        let (values, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| Fault::new(option, GrammarError::MissingValue))?;
        self.rest = rest;
        Ok(values)
    }

    /// Takes a `!`.
    fn negation(&mut self) -> bool {
        let negated = self.rest.first().is_some_and(|word| word == "!");
        if negated {
            self.rest = &self.rest[1..];
        }
        negated
    }

    /// Takes one option with all that belongs to it.
    fn option(&mut self) -> Parsed<()> {
        let negated = self.negation();
        let Some(word) = self.next() else {
            return Err(Fault::new("!", GrammarError::NotNegatable));
        };
        match word {
            "!" => Err(Fault::new(word, GrammarError::DoubleNegation)),
            "-m" | "--match" | "-j" | "--jump" | "-g" | "--goto" if negated => {
                Err(Fault::new(word, GrammarError::NotNegatable))
            }
            "-m" | "--match" => self.open_match(word),
            "-j" | "--jump" | "-g" | "--goto" => self.open_target(word),
            _ => self.give(word, negated),
        }
    }

    fn open_match(&mut self, option: &'w str) -> Parsed<()> {
        let word = self.values(option, 1)?[0].as_str();
        let name = MatchName::find(self.place.family, word).map_err(|e| Fault::new(word, e))?;
        self.matches.push((name, Clause::new(name.name(), name.options(), self.place.labels)));
        Ok(())
    }

    fn open_target(&mut self, option: &'w str) -> Parsed<()> {
        let word = self.values(option, 1)?[0].as_str();
        if !matches!(self.destination, Destination::None) {
            return Err(Fault::new(option, GrammarError::Repeated));
        }
        let goto = matches!(option, "-g" | "--goto");
        self.destination = if let Some(chain) = self.place.table.chain(word) {
            if chain.policy.is_some() {
                return Err(Fault::new(word, GrammarError::BuiltinChain));
            }
            let chain = word.to_owned();
            Destination::Plain(if goto { Target::Goto(chain) } else { Target::Jump(chain) })
        } else if goto {
            return Err(Fault::new(word, GrammarError::NotAChain));
        } else {
            self.target(word)?
        };
        Ok(())
    }

    fn target(&self, word: &'w str) -> Parsed<Destination<'w>> {
        Ok(match word {
            "ACCEPT" => Destination::Plain(Target::Accept),
            "DROP" => Destination::Plain(Target::Drop),
            "RETURN" => Destination::Plain(Target::Return),
            _ => {
                let name = TargetName::find(self.place.family, word);
                let name = name.map_err(|e| Fault::new(word, e))?;
                Destination::Extension(name, Clause::new(word, name.options(), self.place.labels))
            }
        })
    }

    /// Gives an option to the clause that knows it.
    fn give(&mut self, word: &'w str, negated: bool) -> Parsed<()> {
        if self.owner(word).is_none() {
            let name = self.implied(word)?;
            self.matches.push((name, Clause::new(name.name(), name.options(), self.place.labels)));
        }
        let Some((_, spec)) = self.owner(word) else { return Err(unknown(word)) };
        // `-s ! 10.0.0.1` of old files; an option without value leaves the `!` to the next one.
        let negated = negated || (spec.negatable && spec.values > 0 && self.negation());
        if negated && !spec.negatable {
            return Err(Fault::new(word, GrammarError::NotNegatable));
        }
        let values = self.values(word, spec.values)?;
        match self.owner(word) {
            Some((clause, _)) => clause.give(Given { spec, word, negated, values }),
            None => Err(unknown(word)),
        }
    }

    fn owner(&mut self, word: &str) -> Option<(&mut Clause<'w>, &'static OptionSpec)> {
        let target = match &mut self.destination {
            Destination::Extension(_, clause) => Some(clause),
            Destination::None | Destination::Plain(_) => None,
        };
        let matches = self.matches.iter_mut().rev().map(|(_, clause)| clause);
        // The policy match has a `--proto` of its own, which else is short for `--protocol`.
        target
            .into_iter()
            .chain(matches)
            .chain(core::iter::once(&mut self.general))
            .find_map(|clause| clause.knows(word).map(|spec| (clause, spec)))
    }

    /// The match that the rule's protocol brings along, if it knows the option.
    fn implied(&self, word: &str) -> Parsed<MatchName> {
        let protocol = self.general.value("-p", value::protocol)?;
        let Some(protocol) = protocol else { return Err(unknown(word)) };
        let name = MatchName::implied(self.place.family, protocol);
        let knows = |name: &MatchName| name.options().iter().any(|spec| spec.names.contains(&word));
        match name.filter(knows) {
            Some(name) => Ok(name),
            None if word.starts_with("--") && without::is_implied(protocol) => {
                Err(Fault::new(word, GrammarError::UnsupportedOption))
            }
            None => Err(unknown(word)),
        }
    }

    fn finish(self, before: Option<Counters>) -> Parsed<Vec<Rule>> {
        let family = self.place.family;
        let mut matches = Vec::new();
        for (name, clause) in &self.matches {
            matches.push(matches::build(family, *name, clause)?);
        }
        let target = match self.destination {
            Destination::None => Target::None,
            Destination::Plain(target) => target,
            Destination::Extension(name, clause) => targets::build(family, name, &clause)?,
        };
        let rule = Rule {
            line: self.place.line,
            counters: set_counters(&self.general, before)?,
            spec: spec(family, &self.general)?,
            matches,
            target,
        };
        let sources = networks(family, &self.general, "-s")?;
        let destinations = networks(family, &self.general, "-d")?;
        Ok(expand(&rule, &sources, &destinations))
    }
}

/// Nobody knows the word.
fn unknown(word: &str) -> Fault {
    let error = if without::is_command_option(word) {
        GrammarError::UnsupportedOption
    } else if word.starts_with('-') {
        GrammarError::UnknownOption
    } else {
        GrammarError::StrayWord
    };
    Fault::new(word, error)
}

fn set_counters(general: &Clause<'_>, before: Option<Counters>) -> Parsed<Counters> {
    let Some(given) = general.find("-c") else { return Ok(before.unwrap_or_default()) };
    if before.is_some() {
        return Err(Fault::new(given.word, GrammarError::Repeated));
    }
    let number = |word: &String| word.parse().map_err(|_| Fault::new(word, FileError::BadCounters));
    Ok(Counters { packets: number(&given.values[0])?, bytes: number(&given.values[1])? })
}

/// All of the general part but the addresses.
fn spec(family: Family, general: &Clause<'_>) -> Parsed<Spec> {
    let wanted = |term: &Term<Interface>| term.negated || !term.value.is_any();
    Ok(Spec {
        source: None,
        destination: None,
        in_interface: general.term("-i", value::interface)?.filter(wanted),
        out_interface: general.term("-o", value::interface)?.filter(wanted),
        protocol: protocol(general)?,
        fragment: fragment(family, general)?,
    })
}

fn protocol(general: &Clause<'_>) -> Parsed<Option<Term<Protocol>>> {
    let protocol = general.term("-p", value::protocol)?;
    match (protocol, general.find("-p")) {
        (Some(Term { negated: true, value: Protocol(0) }), Some(given)) => {
            Err(Fault::new(given.value(), ValueError::NeverMatches))
        }
        _ => Ok(protocol.filter(|term| term.value != Protocol(0))),
    }
}

fn fragment(family: Family, general: &Clause<'_>) -> Parsed<Option<Fragment>> {
    let Some(given) = general.find("-f") else { return Ok(None) };
    match family {
        Family::V4 if given.negated => Ok(Some(Fragment::FirstOrWhole)),
        Family::V4 => Ok(Some(Fragment::Later)),
        Family::V6 => Err(Fault::new(given.word, GrammarError::OtherFamily)),
    }
}

/// The alternatives of `-s` or `-d`: always at least one, `None` where any address will do.
fn networks(
    family: Family,
    general: &Clause<'_>,
    option: &str,
) -> Parsed<Vec<Option<Term<Network>>>> {
    let Some(given) = general.find(option) else { return Ok(Vec::from([None])) };
    if given.negated && given.value().contains(',') {
        return Err(Fault::new(given.value(), ValueError::NegatedList));
    }
    if given.value().is_empty() {
        return Err(Fault::expected(given.word, Expected::Address));
    }
    given
        .value()
        .split(',')
        .map(|word| {
            let network = given.term(value::network(family, word)?);
            Ok(Some(network).filter(|term| term.negated || !term.value.is_any()))
        })
        .collect()
}

/// One rule for each pair of alternatives.
fn expand(
    rule: &Rule,
    sources: &[Option<Term<Network>>],
    destinations: &[Option<Term<Network>>],
) -> Vec<Rule> {
    let pairs = sources
        .iter()
        .flat_map(|source| destinations.iter().map(move |destination| (*source, *destination)));
    pairs
        .map(|(source, destination)| {
            let mut rule = rule.clone();
            rule.spec.source = source;
            rule.spec.destination = destination;
            rule
        })
        .collect()
}
