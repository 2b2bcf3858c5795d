//! What the program says to the user, on stderr: one line a message, with the
//! program's name in front. For machines each line is a JSON object instead:
//!
//! ```json
//! {"time":"2026-11-23T06:30:00.123Z","severity":6,"about":"tidegate","message":"forwards between lan (af-packet), wan (af-packet)"}
//! ```
//!
//! `severity` is syslog's, 0 (emergency) to 7 (debug); `about` is `tidegate`, or what a line of the engine's log is about.
//!
//! Where stderr takes nothing, as a file on a full disk, what was said is lost, and the program goes on.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::json;

/// Whom a message of our own is about.
const OURSELVES: &str = "tidegate";
/// Severities of our own messages.
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFORMATION: u8 = 6;

static IS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on errors, warnings and notes are JSON.
pub(crate) fn speak_json() {
    IS_JSON.store(true, Ordering::Relaxed);
}

/// Whether they are.
pub(crate) fn speaks_json() -> bool {
    IS_JSON.load(Ordering::Relaxed)
}

/// Something is wrong.
pub(crate) fn error(what: impl Display) {
    say((ERROR, "error"), AnsiColor::Red, what);
}

/// Something the user should know.
pub(crate) fn warning(what: impl Display) {
    say((WARNING, "warning"), AnsiColor::Yellow, what);
}

/// How things stand.
pub(crate) fn note(what: impl Display) {
    if speaks_json() {
        return record(INFORMATION, OURSELVES, what);
    }
    line(format_args!("tidegate: {what}"));
}

/// A line of this severity, as JSON.
pub(crate) fn record(severity: u8, about: &str, what: impl Display) {
    line(object(Timestamp::now(), severity, about, what));
}

/// The same, of this time.
fn object(time: Timestamp, severity: u8, about: &str, what: impl Display) -> String {
    let (time, message) = (format!("{time:.3}"), what.to_string());
    json!({ "time": time, "severity": severity, "about": about, "message": message }).to_string()
}

/// What was done, in the form of conntrack(8)'s last words.
pub(crate) fn summary(what: impl Display) {
    line(format_args!("tidegate v{} (tidegate): {what}", env!("CARGO_PKG_VERSION")));
}

/// A line as it is.
pub(crate) fn line(what: impl Display) {
    // All at once: others may write to the same place. There is nobody left to tell of it.
    let line = format!("{what}\n");
    let _ = anstream::stderr().lock().write_all(line.as_bytes());
}

fn say((severity, kind): (u8, &str), colour: AnsiColor, what: impl Display) {
    if speaks_json() {
        return record(severity, OURSELVES, what);
    }
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
    fn a_record_is_one_line_whatever_it_says() {
        let said = object(Timestamp::UNIX_EPOCH, WARNING, "rule", "a \"b\"\nc");
        assert!(!said.contains('\n'), "{said}");
        let read: serde_json::Value = serde_json::from_str(&said).unwrap();
        let time = "1970-01-01T00:00:00.000Z";
        let expected =
            json!({ "time": time, "severity": 4, "about": "rule", "message": "a \"b\"\nc" });
        assert_eq!(read, expected);
    }

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
