//! Names of labels, from the file that iptables and conntrack know as `connlabel.conf`.
//!
//! A flow has 128 labels, which are numbers; names are for people. Each line of the file is a number and a name. The
//! tools pass over lines that they don't understand; we refuse them, so that no rule misses its label.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{Expected, Fault, RuleError, ValueError};
use super::text::Parsed;
use super::text::value;

/// Which names labels have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelNames {
    names: BTreeMap<u8, String>,
}

/// The highest label's number. Linux: `XT_CONNLABEL_MAXBIT`.
pub(super) const LAST: u8 = 127;

impl LabelNames {
    /// No names.
    pub const NONE: &'static Self = &Self { names: BTreeMap::new() };

    /// Reads lines of `NUMBER NAME`, where a name is of letters, digits, dashes and blanks; `#` begins a comment line.
    /// `file` is the file's name for messages.
    ///
    /// # Errors
    ///
    /// All lines that say something else, and those with a number or a name for the second time.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<RuleError>> {
        let mut labels = Self::default();
        let mut errors = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Err(fault) = labels.add(line) {
                errors.push(fault.at(file, number));
            }
        }
        if errors.is_empty() { Ok(labels) } else { Err(errors) }
    }

    /// The label of a name, or of a number as C writes it.
    pub(super) fn number(&self, word: &str) -> Parsed<u8> {
        let is_known = |(_, name): &(&u8, &String)| *name == word;
        match self.names.iter().find(is_known) {
            Some((number, _)) => Ok(*number),
            None if word.starts_with(|c: char| c.is_ascii_digit()) => label(word),
            None => Err(Fault::expected(word, Expected::Form("a label's name or number"))),
        }
    }

    /// A label's name, if it has one.
    pub(super) fn name(&self, number: u8) -> Option<&str> {
        self.names.get(&number).map(String::as_str)
    }

    fn add(&mut self, line: &str) -> Parsed<()> {
        let (number, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (number, name) = (label(number)?, name.trim());
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ' ';
        if name.is_empty() || !name.chars().all(is_of_a_name) {
            let form = Expected::Form("a number and a name of letters, digits, `-' and blanks");
            return Err(Fault::expected(line, form));
        }
        if self.names.contains_key(&number) || self.names.values().any(|known| known == name) {
            return Err(Fault::new(line, ValueError::Repeated));
        }
        self.names.insert(number, name.to_owned());
        Ok(())
    }
}

fn label(word: &str) -> Parsed<u8> {
    Ok(value::number(word, 0, LAST.into())? as u8)
}

#[cfg(test)]
mod tests;
