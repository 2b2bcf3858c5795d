//! How conditions are joined: `and`, `or`, `not`, parentheses, one behind the other.

use super::primitive::Qualifiers;
use super::token::{Token, tokens};
use super::{Expression, Mistake};

/// Reads an expression. One without any word means everything.
///
/// # Errors
/// It can't be understood, or not in one way only.
pub(super) fn read(text: &str) -> Result<Expression, Mistake> {
    let mut reader = Reader { text, tokens: tokens(text), next: 0, depth: 0, last: None };
    if reader.tokens.is_empty() {
        return Ok(Expression::All(Vec::new()));
    }
    let expression = reader.sequence()?;
    match reader.take() {
        None => Ok(expression),
        Some(token) => Err(token.mistake(text, "there is no parenthesis that this one closes")),
    }
}

/// How far the reading has come.
pub(super) struct Reader<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    /// What the last address or port was said of, for those behind it that say nothing: `port 80 or 443`.
    pub(super) last: Option<Qualifiers>,
}

/// What stands between two conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    And,
    Or,
    End,
}

impl<'a> Reader<'a> {
    /// Conditions up to the end or a closing parenthesis.
    fn sequence(&mut self) -> Result<Expression, Mistake> {
        let mut any = Vec::new();
        let mut all = vec![self.term(false)?];
        loop {
            let at = self.peek();
            match self.joint() {
                (Joint::End, _) => break,
                (Joint::Or, _) => {
                    any.push(Expression::all(std::mem::take(&mut all)));
                    all.push(self.term(true)?);
                }
                (Joint::And, _) if !any.is_empty() => {
                    return Err(self.mistake(at, EITHER_WAY));
                }
                (Joint::And, is_said) => all.push(self.term(is_said)?),
            }
        }
        any.push(Expression::all(all));
        Ok(Expression::any(any))
    }

    /// What comes next, and whether it was said: conditions that only follow each other must both hold.
    fn joint(&mut self) -> (Joint, bool) {
        let Some(token) = self.peek() else { return (Joint::End, false) };
        let joint = match token.word {
            "and" | "&&" | "&" => Joint::And,
            "or" | "||" | "|" => Joint::Or,
            ")" => return (Joint::End, false),
            _ => return (Joint::And, false),
        };
        self.next += 1;
        (joint, true)
    }

    /// One condition. `may_inherit`: it may leave out what the last one said of its number.
    fn term(&mut self, may_inherit: bool) -> Result<Expression, Mistake> {
        let Some(token) = self.peek() else {
            return Err(self.mistake(None, "a condition is missing here"));
        };
        match token.word {
            "!" | "not" => {
                self.next += 1;
                self.deeper(token, |reader| Ok(reader.term(may_inherit)?.not()))
            }
            "(" => {
                self.next += 1;
                self.deeper(token, |reader| {
                    let inner = reader.sequence()?;
                    match reader.take() {
                        Some(_) => Ok(inner),
                        None => Err(token.mistake(reader.text, "this parenthesis is not closed")),
                    }
                })
            }
            ")" | "and" | "&&" | "&" | "or" | "||" | "|" => {
                Err(token.mistake(self.text, "a condition is missing before this"))
            }
            _ => self.primitive(may_inherit),
        }
    }

    fn deeper(
        &mut self,
        token: Token<'a>,
        read: impl FnOnce(&mut Self) -> Result<Expression, Mistake>,
    ) -> Result<Expression, Mistake> {
        if self.depth == DEEPEST {
            return Err(token.mistake(self.text, format!("more than {DEEPEST} deep")));
        }
        self.depth += 1;
        let done = read(self);
        self.depth -= 1;
        done
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    /// The word behind the next `distance` ones.
    pub(super) fn look_ahead(&self, distance: usize) -> &'a str {
        self.tokens.get(self.next + distance).map_or("", |token| token.word)
    }

    /// The next word.
    pub(super) fn take(&mut self) -> Option<Token<'a>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    /// The next word, if it is one of these.
    pub(super) fn take_if(&mut self, is_wanted: impl Fn(&str) -> bool) -> Option<Token<'a>> {
        let token = self.peek().filter(|token| is_wanted(token.word))?;
        self.next += 1;
        Some(token)
    }

    /// The value that must come now.
    pub(super) fn value(&mut self, what: &str) -> Result<Token<'a>, Mistake> {
        let is_value = |word: &str| !word.starts_with(['(', ')', '!', '&', '|', '=', '<', '>']);
        match self.peek().filter(|token| is_value(token.word)) {
            Some(token) => {
                self.next += 1;
                Ok(token)
            }
            None => Err(self.mistake(self.peek(), format!("{what} is missing here"))),
        }
    }

    /// Reads a word with `parse`, or says what is wrong with it.
    pub(super) fn parsed<T, E: ToString>(
        &self,
        token: Token<'_>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, Mistake> {
        parse(token.word).map_err(|why| token.mistake(self.text, why.to_string()))
    }

    /// What is wrong with a word, or with the end.
    pub(super) fn mistake(&self, token: Option<Token<'_>>, why: impl Into<String>) -> Mistake {
        let end = Token { word: "", at: self.text.len() };
        token.unwrap_or(end).mistake(self.text, why)
    }
}

const EITHER_WAY: &str = "`a or b and c' is `(a or b) and c' to tcpdump and `a or (b and c)' to ss: parentheses say which is meant";
/// Nobody types more, and the stack has an end.
const DEEPEST: usize = 64;
