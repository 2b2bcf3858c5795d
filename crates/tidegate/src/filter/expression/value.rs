//! Addresses, ports and signs as ss(8) and tcpdump(8) take them.

use crate::client::names;
use crate::filter::{BadNumber, Ports, Prefix};

/// An end of a flow, in part: `10/8`, `:443`, `[2001:db8::]/32:443`, `*:80`.
pub(super) fn endpoint(word: &str) -> Result<(Option<Prefix>, Option<Ports>), String> {
    let (address, port) = parts(word);
    let prefix = match address {
        "" | "*" => None,
        address => Some(network(address)?),
    };
    let ports = match port {
        None | Some("*") => None,
        Some(port) => Some(ports(port)?),
    };
    Ok((prefix, ports))
}

/// What stands before and behind the colon that begins a port. Without brackets an address of IPv6 has none.
fn parts(word: &str) -> (&str, Option<&str>) {
    let of_v6 = word.matches(':').count() > 1 && !word.contains(']');
    let searched = word.rfind(']').map_or(0, |at| at + 1);
    match word[searched..].find(':').filter(|_| !of_v6) {
        Some(colon) => (&word[..searched + colon], Some(&word[searched + colon + 1..])),
        None => (word, None),
    }
}

/// A network, whose last zeros may be left out: `10/8`, `192.168`.
pub(super) fn network(word: &str) -> Result<Prefix, String> {
    let plain = word.replace(['[', ']'], "");
    let (address, len) = plain.split_once('/').map_or((&plain[..], None), |(a, l)| (a, Some(l)));
    let numbers: Vec<&str> = address.split('.').collect();
    let is_short = numbers.len() < 4 && numbers.iter().all(|part| part.parse::<u8>().is_ok());
    let full = if is_short {
        let mut full = numbers.clone();
        full.resize(4, "0");
        let len = len.map_or_else(|| (numbers.len() * 8).to_string(), str::to_owned);
        format!("{}/{len}", full.join("."))
    } else {
        plain.clone()
    };
    full.parse().map_err(|_: String| format!("`{word}' is no address and no network such as 10/8"))
}

/// A port or a range of ports, with ss's colon in front or without.
pub(super) fn ports(word: &str) -> Result<Ports, String> {
    word.strip_prefix(':').unwrap_or(word).parse().map_err(|why: BadNumber| why.to_string())
}

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    Unequal,
    Less,
    More,
    AtMost,
    AtLeast,
}

impl Sign {
    /// The sign, or its name.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "=" | "==" | "eq" => Self::Equal,
            "!=" | "ne" | "neq" => Self::Unequal,
            "<" | "lt" => Self::Less,
            ">" | "gt" => Self::More,
            "<=" | "le" | "leq" => Self::AtMost,
            ">=" | "ge" | "geq" => Self::AtLeast,
            _ => return None,
        })
    }

    /// The ports that compare so to a port.
    pub(super) fn ports(self, to: Ports) -> Option<Ports> {
        Some(match self {
            Self::Equal | Self::Unequal => to,
            Self::Less => Ports { first: 0, last: to.first.checked_sub(1)? },
            Self::More => Ports { first: to.last.checked_add(1)?, last: u16::MAX },
            Self::AtMost => Ports { first: 0, last: to.last },
            Self::AtLeast => Ports { first: to.first, last: u16::MAX },
        })
    }

    /// The same with a value, as a condition on an amount is typed.
    pub(super) fn amount(self, value: &str) -> String {
        let sign = match self {
            Self::Equal | Self::Unequal => "",
            Self::Less => "<",
            Self::More => ">",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        };
        format!("{sign}{value}")
    }
}

/// Reads the states' names of conntrack and of ss: a state, or one of ss's words for several.
pub(super) fn states(word: &str) -> Result<Vec<&'static str>, String> {
    let mut states = Vec::new();
    for part in word.split(',') {
        states.extend(states_of(&part.to_ascii_uppercase().replace('-', "_"))?);
    }
    Ok(states)
}

fn states_of(name: &str) -> Result<Vec<&'static str>, String> {
    let all = names::states;
    let but = |left_out: &[&str]| all().filter(|state| !left_out.contains(state)).collect();
    let found: Vec<&'static str> = match name {
        "ALL" => all().collect(),
        "CONNECTED" => but(&["NONE", "CLOSE", "CLOSED"]),
        "SYNCHRONIZED" => but(&["NONE", "CLOSE", "CLOSED", "SYN_SENT", "SYN_SENT2"]),
        "BUCKET" => vec!["SYN_RECV", "TIME_WAIT"],
        "BIG" => but(&["SYN_RECV", "TIME_WAIT"]),
        "FIN_WAIT_1" | "FIN_WAIT_2" => vec!["FIN_WAIT"],
        "CLOSED" => vec!["CLOSE", "CLOSED"],
        name => all().filter(|state| *state == name).collect(),
    };
    if found.is_empty() {
        let known: Vec<_> = all().collect();
        return Err(format!(
            "`{name}' is no state that conntrack knows; there are {}",
            known.join(", ")
        ));
    }
    Ok(found)
}
