//! A service that fills the table and needs no tracking: UDP to one server, mostly DNS. Not tracking it takes rules for
//! both directions, in PREROUTING for what comes and in OUTPUT for what leaves, and an accept of what is then UNTRACKED.
//! Where its flows are translated it can't be: NAT is done by the entry.

use super::{Finding, Outcome, Severity, is_large};
use crate::doctor::advice::{Step, nft};
use crate::doctor::census::{Class, Spot};
use crate::doctor::facts::{Facts, Whose};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let is_udp = |class: &Class| matches!(class, Class::Udp | Class::UdpUnreplied);
    let found = facts
        .census
        .destinations
        .largest(1, |(class, spot), _| is_udp(class) && spot.port.is_some());
    let Some(((_, spot), group)) =
        found.first().filter(|(_, group)| is_large(facts, group.tally.flows))
    else {
        return Outcome::Clear(String::new());
    };
    let flows = group.tally.flows;
    let mut evidence = vec![format!("{} flows of {spot} would need no entry", Count(flows))];
    let translated = group.tally.translated;
    if translated > 0 {
        evidence.push(format!(
            "but {} of them are translated, and NAT needs the entry: don't",
            Count(translated)
        ));
    }
    let steps = if translated > 0 { Vec::new() } else { steps(facts, spot) };
    let symptom = format!("{spot} could do without tracking");
    Outcome::Found(Finding {
        check: "notrack",
        severity: Severity::Note,
        symptom,
        evidence,
        steps,
        ..Finding::default()
    })
}

fn steps(facts: &Facts, spot: &Spot) -> Vec<Step> {
    if facts.scene.table == Whose::Engine {
        return vec![in_a_file(facts, spot)];
    }
    let lines = |lines: Vec<String>| {
        let lines: Vec<_> = lines.iter().map(|line| facts.scene.system(line)).collect();
        Some(lines.join("\n"))
    };
    let step = |what: &str, command, undo| Step {
        what: what.to_owned(),
        command: lines(command),
        undo: lines(undo),
        ..Step::default()
    };
    let nft_undo = vec!["nft delete table inet tidegate_notrack".to_owned()];
    vec![
        step("in iptables", iptables(spot, "-I"), iptables(spot, "-D")),
        step(
            "or in nft; where your own chains drop by default the accept belongs into those",
            vec![by_nft(spot)],
            nft_undo,
        ),
    ]
}

/// An engine's rules are a file, in the words of `iptables-save`.
fn in_a_file(facts: &Facts, spot: &Spot) -> Step {
    let mut lines = Vec::new();
    for table in ["raw", "filter"] {
        lines.push(format!("*{table}"));
        let rules = rules(spot).into_iter().filter(|(of, _)| *of == table);
        lines.extend(rules.map(|(_, rule)| format!("-A {rule}")));
    }
    let family = if spot.address.is_ipv4() { "IPv4" } else { "IPv6" };
    let reload = facts.scene.own("reload", "");
    let what = format!(
        "in the engine's rules file of {family}, in front of the rules of these tables; then `{reload}'"
    );
    Step { what, lines, ..Step::default() }
}

/// The tables and rules: questions and answers, as they come and as they leave; then the accept of both.
fn rules(spot: &Spot) -> Vec<(&'static str, String)> {
    let (address, port) = (spot.address, spot.port.unwrap_or(0));
    let ways = [format!("-d {address} --dport {port}"), format!("-s {address} --sport {port}")];
    let of = |table: &'static str, chain: &str, end: &str| {
        ways.each_ref().map(|way| (table, format!("{chain} -p udp {way} {end}")))
    };
    let raw = ["PREROUTING", "OUTPUT"].map(|chain| of("raw", chain, "-j CT --notrack"));
    let accept = "-m conntrack --ctstate UNTRACKED -j ACCEPT";
    let filter = ["INPUT", "OUTPUT", "FORWARD"].map(|chain| of("filter", chain, accept));
    raw.into_iter().chain(filter).flatten().collect()
}

/// The same as commands.
fn iptables(spot: &Spot, verb: &str) -> Vec<String> {
    let tool = if spot.address.is_ipv4() { "iptables" } else { "ip6tables" };
    let command = |(table, rule): (&str, String)| match table {
        "filter" => format!("{tool} {verb} {rule}"),
        other => format!("{tool} -t {other} {verb} {rule}"),
    };
    rules(spot).into_iter().map(command).collect()
}

fn by_nft(spot: &Spot) -> String {
    let family = if spot.address.is_ipv4() { "ip" } else { "ip6" };
    let (address, port) = (spot.address, spot.port.unwrap_or(0));
    let both = |verdict: &str| {
        format!(
            "{family} daddr {address} udp dport {port} {verdict}; {family} saddr {address} udp sport {port} {verdict};"
        )
    };
    let chain = |name: &str, hook: &str, priority: &str, verdict: &str| {
        format!("chain {name} {{ type filter hook {hook} priority {priority}; {} }}", both(verdict))
    };
    let chains = [
        chain("from_wire", "prerouting", "raw", "notrack"),
        chain("from_here", "output", "raw", "notrack"),
        chain("to_here", "input", "filter", "ct state untracked accept"),
        chain("leaves", "output", "filter", "ct state untracked accept"),
        chain("passes", "forward", "filter", "ct state untracked accept"),
    ];
    nft(&format!("table inet tidegate_notrack {{ {}; }}", chains.join("; ")))
}
