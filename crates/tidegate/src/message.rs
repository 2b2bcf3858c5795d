//! What the program says to the user, on stderr: one line a message, with the
//! program's name in front.
//!
//! Where stderr takes nothing, as a file on a full disk, what was said is lost, and the program goes on.

use std::fmt::Display;
use std::io::Write as _;

use anstyle::{AnsiColor, Style};

/// Something is wrong.
pub(crate) fn error(what: impl Display) {
    say("error", AnsiColor::Red, what);
}

/// Something the user should know.
pub(crate) fn warning(what: impl Display) {
    say("warning", AnsiColor::Yellow, what);
}

/// How things stand.
pub(crate) fn note(what: impl Display) {
    line(format_args!("tidegate: {what}"));
}

/// What was done, in the form of conntrack(8)'s last words.
pub(crate) fn summary(what: impl Display) {
    line(format_args!("tidegate v{} (tidegate): {what}", env!("CARGO_PKG_VERSION")));
}

/// A line as it is.
pub(crate) fn line(what: impl Display) {
    // There is nobody left to tell of it.
    let _ = writeln!(anstream::stderr().lock(), "{what}");
}

fn say(kind: &str, colour: AnsiColor, what: impl Display) {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    line(format_args!("tidegate: {style}{kind}{style:#}: {what}"));
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let rows = [
            ("retime-20261122T030000Z.undo", "retime-20261122T030000Z.undo"),
            ("/tmp/my files/a", "'/tmp/my files/a'"),
            ("$(reboot);", "'$(reboot);'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ];
        for (word, expected) in rows {
            assert_eq!(quoted(word), expected);
        }
    }
}
