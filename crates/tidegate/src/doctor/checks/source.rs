//! Symptom: one source takes a share that it leaves to nobody else. Evidence: its flows of all classes against those of
//! the next. Advice: a limit for it alone.

use std::net::IpAddr;

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::Step;
use crate::doctor::facts::{Facts, Whose};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let owners = facts.census.owners.largest(2, |_, _| true);
    let Some((source, group)) = owners.first() else { return Outcome::Clear(String::new()) };
    let (flows, share) = (group.flows, facts.share(group.flows));
    if share < LARGE || facts.census.seen < FEW {
        return Outcome::Clear(format!("top source {}", percent(share)));
    }
    let next = owners.get(1).map_or(0, |(_, group)| group.flows);
    let who =
        facts.owners.iter().find(|owner| owner.address == source.0).map(|owner| owner.who.clone());
    let culprit = who.map_or_else(|| source.to_string(), |who| format!("{source}, {who}"));
    Outcome::Found(Finding {
        check: "source",
        severity: if facts.room.permille() >= Some(800) {
            facts.severity_of(flows)
        } else {
            Severity::Warning
        },
        symptom: format!("one source holds {} of the table", percent(share)),
        evidence: vec![format!("{source}: {} flows; the next: {}", Count(flows), Count(next))],
        culprit: Some(culprit),
        steps: vec![cap(facts, source.0, next)],
        donts: Vec::new(),
    })
}

/// Room for ten of its size, and for twice what the next largest needs.
fn cap(facts: &Facts, source: IpAddr, next: u64) -> Step {
    let limit = facts.room.max.unwrap_or(facts.census.seen) / 10;
    let limit = round(limit.max(next * 2)).max(100);
    let hook = if facts.local.contains(&source) { "output" } else { "forward" };
    let has_iptables = facts.rules.has_iptables || facts.scene.table != Whose::Kernel;
    let [command, undo] =
        if has_iptables { by_iptables(source, hook, limit) } else { by_nft(source, hook, limit) };
    Step {
        what: format!(
            "cap the source at {} connections, 0 live: only new ones are refused",
            Count(limit)
        ),
        command: facts.scene.system(&command),
        undo: Some(facts.scene.system(&undo)),
        settles: Some(limit),
        ..Step::default()
    }
}

fn by_iptables(source: IpAddr, hook: &str, limit: u64) -> [String; 2] {
    let (tool, network, mask) = match source {
        IpAddr::V4(address) => ("iptables", address.to_string(), ""),
        IpAddr::V6(address) => ("ip6tables", format!("{address}/64"), " --connlimit-mask 64"),
    };
    let rule = format!(
        "{} -s {network} -p tcp --syn -m connlimit --connlimit-above {limit}{mask} -j REJECT --reject-with tcp-reset",
        hook.to_ascii_uppercase()
    );
    ["-I", "-D"].map(|verb| format!("{tool} {verb} {rule}"))
}

fn by_nft(source: IpAddr, hook: &str, limit: u64) -> [String; 2] {
    let network = match source {
        IpAddr::V4(address) => format!("ip saddr {address}"),
        IpAddr::V6(address) => format!("ip6 saddr {address}/64"),
    };
    let table = format!(
        "nft 'table inet tidegate_cap {{ chain c {{ type filter hook {hook} priority 0; {network} ct state new ct count over {limit} reject with tcp reset; }} }}'"
    );
    [table, "nft delete table inet tidegate_cap".to_owned()]
}

/// To one digit and zeros.
fn round(number: u64) -> u64 {
    let unit = 10_u64.pow(number.max(1).ilog10());
    number.div_ceil(unit) * unit
}

/// Thousandths of the limit.
const LARGE: u64 = 300;
/// Of fewer flows nobody suffers.
const FEW: u64 = 1000;
