//! A service that fills the table and needs no tracking: UDP to one server, mostly DNS. Not tracking it takes rules for
//! both directions, in PREROUTING for what comes and in OUTPUT for what leaves, and an accept of what is then UNTRACKED.
//! Where its flows are translated it can't be: NAT is done by the entry.

use super::{Finding, Outcome, Severity, is_large};
use crate::doctor::advice::Step;
use crate::doctor::census::{Class, Spot};
use crate::doctor::facts::Facts;
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
    let step = |what: &str, lines: Vec<String>, undo: Vec<String>| Step {
        what: what.to_owned(),
        command: Some(
            lines.iter().map(|line| facts.scene.system(line)).collect::<Vec<_>>().join("\n"),
        ),
        undo: Some(undo.iter().map(|line| facts.scene.system(line)).collect::<Vec<_>>().join("\n")),
        ..Step::default()
    };
    let rules = iptables(spot);
    let undo = rules.iter().map(|rule| rule.replacen(" -I ", " -D ", 1)).collect();
    let nft_undo = vec!["nft delete table inet tidegate_notrack".to_owned()];
    vec![
        step("in iptables", rules, undo),
        step(
            "or in nft; where your own chains drop by default the accept belongs into those",
            vec![nft(spot)],
            nft_undo,
        ),
    ]
}

/// Questions and answers, as they come and as they leave; then the accept of both.
fn iptables(spot: &Spot) -> Vec<String> {
    let (tool, address) =
        (if spot.address.is_ipv4() { "iptables" } else { "ip6tables" }, spot.address);
    let port = spot.port.unwrap_or(0);
    let ways = [format!("-d {address} --dport {port}"), format!("-s {address} --sport {port}")];
    let raw = ["PREROUTING", "OUTPUT"].into_iter().flat_map(|chain| {
        ways.iter()
            .map(move |way| format!("{tool} -t raw -I {chain} -p udp {way} -j CT --notrack"))
            .collect::<Vec<_>>()
    });
    let accept = ["INPUT", "OUTPUT", "FORWARD"].into_iter().flat_map(|chain| {
        ways.iter()
            .map(move |way| {
                format!("{tool} -I {chain} -p udp {way} -m conntrack --ctstate UNTRACKED -j ACCEPT")
            })
            .collect::<Vec<_>>()
    });
    raw.chain(accept).collect()
}

fn nft(spot: &Spot) -> String {
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
        chain("pre", "prerouting", "raw", "notrack"),
        chain("out", "output", "raw", "notrack"),
        chain("in", "input", "filter", "ct state untracked accept"),
        chain("leave", "output", "filter", "ct state untracked accept"),
        chain("fwd", "forward", "filter", "ct state untracked accept"),
    ];
    format!("nft 'table inet tidegate_notrack {{ {} }}'", chains.join(" "))
}
