//! The words of an expression.

use super::Mistake;

/// A word, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// The word.
    pub(super) word: &'a str,
    /// The number of its first byte.
    pub(super) at: usize,
}

impl Token<'_> {
    /// What is wrong with it.
    pub(super) fn mistake(&self, text: &str, why: impl Into<String>) -> Mistake {
        let at = self.at..self.at + self.word.len();
        Mistake { text: text.to_owned(), at, why: why.into() }
    }
}

/// Cuts a text into words: blanks part them, signs are words of their own.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let len = sign.map_or_else(|| word_len(rest), str::len);
        tokens.push(Token { word: &rest[..len], at });
        at += len;
    }
    tokens
}

fn word_len(rest: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || "()!&|=<>".contains(c);
    rest.find(ends).unwrap_or(rest.len())
}

/// The longer first.
const SIGNS: [&str; 14] =
    ["&&", "||", "==", "!=", "<=", ">=", "(", ")", "!", "&", "|", "=", "<", ">"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_need_no_blanks_around_them() {
        let words = |text| tokens(text).iter().map(|token| token.word).collect::<Vec<_>>();
        let rows: [(&str, &[&str]); 5] = [
            ("", &[]),
            (" tcp\tport 80 ", &["tcp", "port", "80"]),
            ("(dport=:443)||!udp", &["(", "dport", "=", ":443", ")", "||", "!", "udp"]),
            ("age>=1h&&bytes<2k", &["age", ">=", "1h", "&&", "bytes", "<", "2k"]),
            ("src [::1]:80 é", &["src", "[::1]:80", "é"]),
        ];
        for (text, expected) in rows {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
