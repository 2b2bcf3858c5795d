//! A rule's line to words, as iptables-restore splits it.
//!
//! Words end at blanks. A `"` anywhere in a word begins quoting, in which blanks belong to the word and `\` takes the
//! next character as it is; the closing `"` also ends the word. Outside quotes `\` is an ordinary character.

use alloc::string::String;
use alloc::vec::Vec;

use super::Parsed;
use crate::rules::error::{Fault, FileError};

/// The words of a line. A quoted word may be empty.
pub(super) fn words(line: &str) -> Parsed<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = word(rest)?;
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The first word, and what is behind it.
fn word(text: &str) -> Parsed<(String, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(text.len());
    let mut word = String::from(&text[..end]);
    let Some(quoted) = text[end..].strip_prefix('"') else {
        return Ok((word, &text[end..]));
    };
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((word, &quoted[at + 1..])),
            '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    Err(Fault::new(text, FileError::UnclosedQuote))
}
