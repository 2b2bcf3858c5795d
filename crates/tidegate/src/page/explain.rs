//! What would become of a packet, asked by a page.
//!
//! The page's words become those of `tidegate explain`, so that both are read, checked and answered in the same way;
//! but only words that describe a packet, none that name a file.

use std::ffi::OsString;

use clap::Parser;

use crate::client::Place;
use crate::cmd::{self, Failure};
use crate::flags::{Cli, Command};

/// What the engine says, or what is wrong with the question.
pub(super) fn explain(place: &Place, query: &str) -> Result<String, String> {
    let Place::Engine(socket) = place else {
        return Err("Only an engine says what would become of a packet.\n".to_owned());
    };
    let mut words: Vec<OsString> =
        vec!["tidegate".into(), "explain".into(), "--socket".into(), socket.into()];
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = decode(value).filter(|value| !value.is_empty());
        if let Some(value) = value.filter(|_| FIELDS.contains(&name)) {
            words.push(format!("--{name}={value}").into());
        }
    }
    let cli = Cli::try_parse_from(words).map_err(|error| first_line(&error.to_string()))?;
    let Command::Explain(args) = &cli.command else { return Err(String::new()) };
    cmd::explain::told(args).map_err(|failure| format!("{}\n", words_of(&failure)))
}

/// A failure as a page tells it.
fn words_of(failure: &Failure) -> String {
    match failure {
        Failure::Usage(what) | Failure::System(what) | Failure::Partly(what) => what.clone(),
        Failure::Table(error) => error.to_string(),
        Failure::Output(error) => error.to_string(),
        Failure::Input(faults) => faults.iter().map(ToString::to_string).collect(),
        Failure::Program(_) | Failure::Nothing | Failure::Enough | Failure::Status(_) => {
            "nothing is known of it".to_owned()
        }
    }
}

/// What is the matter, without how the command line goes.
fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default();
    format!("{}\n", line.trim_start_matches("error: "))
}

/// Percent-encoding undone; `None` if that gives no text.
fn decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

const FIELDS: [&str; 12] = [
    "proto",
    "src",
    "dst",
    "sport",
    "dport",
    "flags",
    "icmp-type",
    "icmp-code",
    "icmp-id",
    "in",
    "mark",
    "hex",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone() {
        let rows = [
            ("10.0.0.1", Some("10.0.0.1")),
            ("syn%2Cack", Some("syn,ack")),
            ("a+b", Some("a b")),
            ("fd77%3A1%3a%3A2", Some("fd77:1::2")),
            ("%", None),
            ("%zz", None),
            ("%ff", None),
        ];
        for (text, expected) in rows {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }

    /// Each row: what a page asks, and what it must not come to.
    #[test]
    fn no_file_is_read_for_a_page() {
        for query in ["pcap=/etc/passwd", "rules4=/etc/passwd", "proto=tcp&pcap=/etc/passwd"] {
            let told = explain(&Place::Engine("/nowhere".into()), query);
            assert!(told.is_err_and(|fault| !fault.contains("passwd")), "{query}");
        }
    }
}
