//! Symptom: one source takes a share that it leaves to nobody else. Evidence: its flows of all classes against those of
//! the next. Advice: a limit for it alone.

use std::net::IpAddr;

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::{Step, nft};
use crate::doctor::census::{Class, Group, Source, Spot, Tally};
use crate::doctor::facts::{Facts, Whose};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let owners = facts.census.owners.largest(2, |_, _| true);
    let Some((source, group)) = owners.first() else { return Outcome::Clear(String::new()) };
    let (flows, share) = (group.flows, facts.share(group.flows));
    if share < LARGE || facts.census.seen < FEW {
        // Of those that there are, as on the line of a healthy table.
        let share = group.flows * 1000 / facts.census.seen.max(1);
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
        steps: cap(facts, **source, [flows, next]).into_iter().collect(),
        donts: Vec::new(),
    })
}

/// Room for ten of its size, and for twice what the next largest needs; none if the source holds no more than that. An
/// engine's packets pass no rule of the system.
fn cap(facts: &Facts, source: Source, [flows, next]: [u64; 2]) -> Option<Step> {
    if facts.scene.table == Whose::Engine {
        return None;
    }
    let limit = facts.room.max.unwrap_or(facts.census.seen) / 10;
    let limit = round(limit.max(facts.estimate(next) * 2)).max(100);
    let held = facts.estimate(flows);
    if limit >= held {
        return None;
    }
    let (hook, is_udp) = (hook(facts, source), is_mostly_udp(facts, source));
    let has_iptables = facts.rules.has_iptables || facts.scene.table != Whose::Kernel;
    let by = if has_iptables { by_iptables } else { by_nft };
    let [command, undo] = by(source.0, hook, is_udp, limit);
    Some(Step {
        what: format!(
            "cap the source at {} connections, 0 live: only new ones are refused",
            Count(limit)
        ),
        command: Some(facts.scene.system(&command)),
        undo: Some(facts.scene.system(&undo)),
        settles: Some(limit),
        leaves: Some(facts.room.count.saturating_sub(held) + limit),
        ..Step::default()
    })
}

/// The chain that its packets pass: of those that this machine sends, of those that end here, or of all others.
fn hook(facts: &Facts, source: Source) -> &'static str {
    if facts.is_local(source) {
        return "output";
    }
    let pairs = facts.census.pairs.largest(1, |(_, from, _), _| *from == source);
    let ends_here = |to: &Spot, tally: &Tally| {
        facts.local.contains(&to.address) && tally.translated * 2 < tally.flows
    };
    match pairs.first() {
        Some(((_, _, to), group)) if ends_here(to, group.tally) => "input",
        _ => "forward",
    }
}

fn is_mostly_udp(facts: &Facts, source: Source) -> bool {
    let is_udp = |class: Class| matches!(class, Class::Udp | Class::UdpUnreplied);
    let groups = facts.census.sources.largest(usize::MAX, |(_, from), _| *from == source);
    let udp = groups.iter().filter(|((class, _), _)| is_udp(*class));
    let count = |flows: u64, group: &Group<'_>| flows + group.flows;
    let udp = udp.fold(0, |flows, (_, group)| count(flows, group));
    udp * 2 > groups.iter().fold(0, |flows, (_, group)| count(flows, group))
}

fn by_iptables(source: IpAddr, hook: &str, is_udp: bool, limit: u64) -> [String; 2] {
    let (tool, network, mask) = match source {
        IpAddr::V4(address) => ("iptables", address.to_string(), ""),
        IpAddr::V6(address) => ("ip6tables", format!("{address}/64"), " --connlimit-mask 64"),
    };
    let (new, end) = if is_udp {
        ("-p udp -m conntrack --ctstate NEW", "DROP")
    } else {
        ("-p tcp --syn", "REJECT --reject-with tcp-reset")
    };
    let rule = format!(
        "{} -s {network} {new} -m connlimit --connlimit-above {limit}{mask} -j {end}",
        hook.to_ascii_uppercase()
    );
    ["-I", "-D"].map(|verb| format!("{tool} {verb} {rule}"))
}

fn by_nft(source: IpAddr, hook: &str, is_udp: bool, limit: u64) -> [String; 2] {
    let network = match source {
        IpAddr::V4(address) => format!("ip saddr {address}"),
        IpAddr::V6(address) => format!("ip6 saddr {address}/64"),
    };
    let (proto, end) = if is_udp { ("udp", "drop") } else { ("tcp", "reject with tcp reset") };
    let table = format!(
        "table inet tidegate_cap {{ chain c {{ type filter hook {hook} priority 0; {network} meta l4proto {proto} ct state new ct count over {limit} {end}; }}; }}"
    );
    [nft(&table), "nft delete table inet tidegate_cap".to_owned()]
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
