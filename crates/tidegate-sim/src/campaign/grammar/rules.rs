//! Tables and chains, and the rules in them.

use super::effects::demand;
use super::helpers;
use super::matches::{PROTOS, matches};
use super::targets::target;
use crate::campaign::dice::Dice;
use crate::campaign::experiment::{Ruleset, Table};

/// Where a rule stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) table: &'static str,
    pub(super) chain: String,
    pub(super) is_v6: bool,
    /// The name of the experiment.
    pub(super) experiment: String,
}

impl Place {
    pub(super) fn has_input(&self) -> bool {
        matches!(self.chain.as_str(), "PREROUTING" | "INPUT" | "FORWARD")
    }

    pub(super) fn has_output(&self) -> bool {
        matches!(self.chain.as_str(), "FORWARD" | "OUTPUT" | "POSTROUTING")
    }

    pub(super) fn has_link_header(&self) -> bool {
        self.has_input()
    }

    pub(super) fn is_source_nat(&self) -> bool {
        matches!(self.chain.as_str(), "INPUT" | "POSTROUTING")
    }
}

/// The rules of a family in an experiment of that name, perhaps with helpers.
pub(super) fn ruleset(
    is_v6: bool,
    experiment: &str,
    has_helpers: bool,
    dice: &mut Dice,
) -> Ruleset {
    let mut tables = Vec::new();
    for (percent, name, chains) in TABLES {
        let needs_it = has_helpers && name == "raw";
        if dice.chance(percent) || needs_it {
            let mut table = table(name, chains, (is_v6, experiment), dice);
            if needs_it {
                table.rules.splice(0..0, helpers::rules(is_v6, dice));
            }
            tables.push(table);
        }
    }
    Ruleset { tables }
}

/// Other rules for one of the tables of `rules`, or for one that wasn't there.
pub(super) fn later(is_v6: bool, experiment: &str, rules: &Ruleset, dice: &mut Dice) -> Ruleset {
    let known: Vec<&str> = rules.tables.iter().map(|table| table.name).collect();
    let is_chosen = |(_, name, _): &&(u32, &str, &[&str])| known.contains(name);
    let old: Vec<_> = TABLES.iter().filter(is_chosen).collect();
    let (_, name, chains) =
        if old.is_empty() || dice.chance(15) { dice.pick(&TABLES) } else { dice.pick(&old) };
    Ruleset { tables: vec![table(name, chains, (is_v6, experiment), dice)] }
}

fn table(
    name: &'static str,
    chains: &[&str],
    (is_v6, experiment): (bool, &str),
    dice: &mut Dice,
) -> Table {
    let place = |chain: &str| Place {
        table: name,
        chain: chain.to_owned(),
        is_v6,
        experiment: experiment.to_owned(),
    };
    let mut table = Table { name, ..Table::default() };
    for chain in chains {
        let may_refuse = name == "filter" && dice.chance(15);
        let policy = if may_refuse { "DROP" } else { "ACCEPT" };
        table.chains.push(((*chain).to_owned(), policy));
    }
    // In the nat table a chain of the user's could be reached from both kinds of hooks.
    let has_own = name != "nat" && dice.chance(30);
    if has_own {
        table.chains.push((OWN.to_owned(), "-"));
        let place = place(OWN);
        for _ in 0..dice.between(1..=3) {
            table.rules.push(rule(&place, dice));
        }
    }
    for _ in 0..dice.between(1..=6) {
        let place = place(dice.pick::<&str>(chains));
        if has_own && dice.chance(25) {
            let words = matches(&place, None, dice);
            let jump = *dice.pick(&["-j", "-j", "-g"]);
            table.rules.push(spaced(&["-A", &place.chain, &words, jump, OWN]));
        } else {
            table.rules.push(rule(&place, dice));
        }
    }
    if name == "filter" && dice.chance(30) {
        let usual = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
        table.rules.insert(0, usual.to_owned());
    }
    table
}

fn rule(place: &Place, dice: &mut Dice) -> String {
    let proto = dice.chance(60).then(|| dice.weigh(&PROTOS));
    let target = target(place, proto, dice);
    let demand = demand(&target);
    let words = matches(place, proto.filter(|_| demand.is_empty()), dice);
    spaced(&["-A", &place.chain, demand, &words, "-j", &target])
}

fn spaced(words: &[&str]) -> String {
    let said: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    said.join(" ")
}

/// The name of a chain of the user's.
const OWN: &str = "own";

/// How often each table is there, its name and its chains.
const TABLES: [(u32, &str, &[&str]); 4] = [
    (25, "raw", &["PREROUTING", "OUTPUT"]),
    (35, "mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    (50, "nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    (60, "filter", &["INPUT", "FORWARD", "OUTPUT"]),
];
