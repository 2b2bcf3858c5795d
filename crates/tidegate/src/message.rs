//! What the program says to the user, on stderr: one line a message, with the
//! program's name in front.

use std::fmt::Display;

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
    anstream::eprintln!("tidegate: {what}");
}

/// What was done, in the form of conntrack(8)'s last words.
pub(crate) fn summary(what: impl Display) {
    anstream::eprintln!("tidegate v{} (tidegate): {what}", env!("CARGO_PKG_VERSION"));
}

fn say(kind: &str, colour: AnsiColor, what: impl Display) {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    anstream::eprintln!("tidegate: {style}{kind}{style:#}: {what}");
}
