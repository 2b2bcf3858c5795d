//! A clause: a match, a target or a rule's general part, with the options it was given.
//!
//! It knows which options it may have and which it was given, not what their values mean.

use alloc::string::String;
use alloc::vec::Vec;

use super::Parsed;
use super::options::OptionSpec;
use crate::rules::ast::Term;
use crate::rules::error::{Fault, GrammarError};
use crate::rules::labels::LabelNames;

/// An option as it was given.
pub(in crate::rules) struct Given<'w> {
    pub(in crate::rules) spec: &'static OptionSpec,
    /// The option as written.
    pub(in crate::rules) word: &'w str,
    pub(in crate::rules) negated: bool,
    /// As many words as the option takes.
    pub(in crate::rules) values: &'w [String],
}

impl<'w> Given<'w> {
    /// The option's first name.
    pub(in crate::rules) fn name(&self) -> &'static str {
        self.spec.name()
    }

    /// Its only value, or the empty word.
    pub(in crate::rules) fn value(&self) -> &'w str {
        self.values.first().map_or("", String::as_str)
    }

    /// A value with the option's `!`.
    pub(in crate::rules) fn term<T>(&self, value: T) -> Term<T> {
        Term { negated: self.negated, value }
    }
}

/// A match, a target or the general part, with what it was given.
pub(in crate::rules) struct Clause<'w> {
    name: &'w str,
    options: &'static [OptionSpec],
    /// In the order of the text.
    given: Vec<Given<'w>>,
    labels: &'w LabelNames,
}

impl<'w> Clause<'w> {
    pub(in crate::rules) fn new(
        name: &'w str,
        options: &'static [OptionSpec],
        labels: &'w LabelNames,
    ) -> Self {
        Self { name, options, given: Vec::new(), labels }
    }

    /// The names of labels.
    pub(in crate::rules) fn labels(&self) -> &'w LabelNames {
        self.labels
    }

    /// The option of this name, if the clause has one.
    pub(in crate::rules) fn knows(&self, word: &str) -> Option<&'static OptionSpec> {
        self.options.iter().find(|spec| spec.names.contains(&word))
    }

    /// Adds an option; each at most once.
    pub(in crate::rules) fn give(&mut self, given: Given<'w>) -> Parsed<()> {
        // `--next` of the policy match begins another element, with options of its own.
        let next = self.given.iter().rposition(|given| given.name() == "--next");
        let since = next.map_or(0, |at| at + 1);
        if self.given[since..].iter().any(|known| known.name() == given.name()) {
            return Err(Fault::new(given.word, GrammarError::Repeated));
        }
        self.given.push(given);
        Ok(())
    }

    /// All options in the order of the text.
    pub(in crate::rules) fn given(&self) -> &[Given<'w>] {
        &self.given
    }

    /// The option of this first name.
    pub(in crate::rules) fn find(&self, name: &str) -> Option<&Given<'w>> {
        self.given.iter().find(|given| given.name() == name)
    }

    /// Whether a flag was given.
    pub(in crate::rules) fn flag(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of an option, read by `read`.
    pub(in crate::rules) fn value<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Parsed<T>,
    ) -> Parsed<Option<T>> {
        self.find(name).map(|given| read(given.value())).transpose()
    }

    /// The value of an option with its `!`.
    pub(in crate::rules) fn term<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Parsed<T>,
    ) -> Parsed<Option<Term<T>>> {
        self.find(name).map(|given| Ok(given.term(read(given.value())?))).transpose()
    }

    /// The same for an option that must be there.
    pub(in crate::rules) fn need<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Parsed<T>,
    ) -> Parsed<Term<T>> {
        self.term(name, read)?.ok_or_else(|| self.missing(name))
    }

    /// The clause lacks one of its options, or any of several.
    pub(in crate::rules) fn missing(&self, option: &'static str) -> Fault {
        Fault::new(self.name, GrammarError::Missing { option })
    }

    /// The only one of these options that was given.
    pub(in crate::rules) fn one_of(&self, names: &[&str]) -> Parsed<Option<&Given<'w>>> {
        let mut given = self.given.iter().filter(|given| names.contains(&given.name()));
        let first = given.next();
        match (first, given.next()) {
            (Some(first), Some(second)) => {
                let conflict = GrammarError::Conflict { with: first.name() };
                Err(Fault::new(second.word, conflict))
            }
            _ => Ok(first),
        }
    }
}
