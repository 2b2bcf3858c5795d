//! Rules that give helpers to conversations.

use super::targets::EVENTS;
use crate::campaign::dice::Dice;

/// Rules of the raw table for most helpers, in any order.
pub(super) fn rules(is_v6: bool, dice: &mut Dice) -> Vec<String> {
    let mut rules = Vec::new();
    for (name, protocol, port, has_v6) in HELPERS {
        if (has_v6 || !is_v6) && dice.chance(80) {
            rules.insert(dice.index(rules.len() + 1), rule(name, protocol, port, dice));
        }
    }
    rules
}

fn rule(name: &str, protocol: &str, port: u16, dice: &mut Dice) -> String {
    let place =
        *dice.pick(&["PREROUTING", "PREROUTING", "PREROUTING", "PREROUTING -i in0", "OUTPUT"]);
    let mut rule = format!("-A {place} -p {protocol} -m {protocol} --dport {port} -j CT");
    if dice.chance(6) {
        rule += &format!(" --zone {}", dice.between(1..=2));
    }
    rule += &format!(" --helper {name}");
    if dice.chance(8) {
        rule += &format!(" --ctevents {}", dice.pick(&EVENTS));
    }
    if dice.chance(5) {
        rule += " --expevents new";
    }
    rule
}

/// Name, protocol and port, and whether IPv6 has it.
const HELPERS: [(&str, &str, u16, bool); 9] = [
    ("ftp", "tcp", 21, true),
    ("tftp", "udp", 69, true),
    ("irc", "tcp", 6667, false),
    ("sip", "udp", 5060, true),
    ("sip", "tcp", 5060, true),
    ("pptp", "tcp", 1723, false),
    ("amanda", "udp", 10080, true),
    ("sane", "tcp", 6566, true),
    ("netbios-ns", "udp", 137, false),
];
