//! What to do: lines to paste, each with the number of flows that it touches and the line that takes it back.

use serde::Serialize;

use super::facts::{Scene, Whose};
use super::foreign::quoted;

/// What a step frees or makes room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Goods {
    /// Entries of the table.
    #[default]
    Entries,
    /// Ports toward one destination.
    Ports,
    /// Expectations.
    Expectations,
}

/// Something to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Step {
    /// What it brings, or what to do where there is no command for it.
    pub(crate) what: String,
    /// The line to paste; `None`: what is to be done is no command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<String>,
    /// Lines for a rules file, which are no command.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<String>,
    /// The line that takes it back; `None`: nothing can, or nothing need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) undo: Option<String>,
    /// What it is about.
    #[serde(skip)]
    pub(crate) of: Goods,
    /// So many of them go; `None`: that isn't its purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frees: Option<u64>,
    /// So many of them there may be afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<u64>,
    /// So many entries of the kind there will be once it has worked, at the present rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settles: Option<u64>,
    /// The whole table then has so many at the most, if one source fills it and the others stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leaves: Option<u64>,
    /// Live flows among those that it touches.
    pub(crate) live: u64,
    /// Those of them that it ends: translated ones, whose entry nothing can make again.
    pub(crate) cut: u64,
}

/// A command of `nft`, in several words of a shell so that it can be folded: `nft` puts blanks between its words.
pub(crate) fn nft(statement: &str) -> String {
    let mut pieces: Vec<Vec<&str>> = Vec::new();
    for word in statement.split(' ') {
        let ends_before = |last: &&mut Vec<&str>| {
            let len: usize = last.iter().map(|word| word.len() + 1).sum();
            let is_whole = last.last().is_some_and(|word| word.ends_with([';', '{']));
            !(is_whole || BEGINNINGS.contains(&word)) && len + word.len() <= PIECE
        };
        match pieces.last_mut().filter(ends_before) {
            Some(piece) => piece.push(word),
            None => pieces.push(vec![word]),
        }
    }
    let pieces: Vec<_> = pieces.iter().map(|piece| quoted(&piece.join(" "))).collect();
    format!("nft {}", pieces.join(" "))
}

/// Words that begin a part of a rule.
const BEGINNINGS: [&str; 6] = ["table", "chain", "ip6", "udp", "meta", "ct"];
/// Characters of a word that is never folded.
const PIECE: usize = 48;

impl Scene {
    /// A command of our own, about this table.
    pub(crate) fn own(&self, verb: &str, rest: &str) -> String {
        format!("tidegate {verb}{}{}{rest}", self.options, if rest.is_empty() { "" } else { " " })
    }

    /// A command of the system, about this namespace.
    pub(crate) fn system(&self, line: &str) -> String {
        format!("{}{line}", self.prefix)
    }

    /// Sets a setting of this table: name without `nf_conntrack_`.
    pub(crate) fn set(&self, name: &str, value: u64) -> String {
        let name = format!("nf_conntrack_{name}");
        if self.table != Whose::Engine && self.options.is_empty() {
            format!("sysctl -w net.netfilter.{name}={value}")
        } else {
            self.own("sysctl", &format!("{name}={value}"))
        }
    }

    /// Sets a setting that only the machine's first namespace can.
    pub(crate) fn set_limit(&self, name: &str, value: u64) -> String {
        match self.table {
            Whose::Engine => self.set(name, value),
            Whose::Kernel | Whose::File if self.is_first => {
                format!("sysctl -w net.netfilter.nf_conntrack_{name}={value}")
            }
            Whose::Kernel | Whose::File => {
                format!("nsenter -t 1 -n sysctl -w net.netfilter.nf_conntrack_{name}={value}")
            }
        }
    }
}
