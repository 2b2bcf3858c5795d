//! Symptom: connections to one server fail and those to others don't. Evidence: the ports of an external address that
//! are taken toward one destination, against those that the rule leaves. Advice: end the dead ones; more ports or more
//! addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tidegate_wire::proto;

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::{Goods, Step};
use crate::doctor::census::{Class, Pool, TCP_PATIENCE, Tally};
use crate::doctor::facts::{Facts, Range, Rule};
use crate::render::figures::Count;

/// Runs the check.
pub(super) fn check(facts: &Facts) -> Outcome {
    let groups = facts.census.pools.largest(usize::MAX, |_, _| true);
    let mut used: BTreeMap<Pool, u64> = BTreeMap::new();
    for ((_, pool), group) in &groups {
        *used.entry(*pool).or_default() += group.tally.flows;
    }
    let share = |pool: &Pool, taken: u64| taken * 1000 / capacity(facts, pool);
    let fullest = used.into_iter().max_by_key(|(pool, taken)| share(pool, *taken));
    let Some((pool, taken)) = fullest else { return Outcome::Clear(String::new()) };
    let (room, permille) = (capacity(facts, &pool), share(&pool, taken));
    let severity = match permille {
        FULL.. => Severity::Critical,
        NEAR.. => Severity::Warning,
        _ => return Outcome::Clear(format!("NAT ports {}", percent(permille))),
    };
    let classes: Vec<(Class, &Tally)> = groups
        .iter()
        .filter(|((_, of), _)| *of == pool)
        .map(|((class, _), group)| (*class, group.tally))
        .collect();
    let Pool { external, destination } = pool;
    let failed = facts.counters.rate("insert_failed");
    Outcome::Found(Finding {
        check: "ports",
        severity,
        symptom: format!(
            "NAT ports of {external} toward {destination} are used up: {} of {}",
            Count(taken),
            Count(room)
        ),
        evidence: vec![format!(
            "{failed:.0}/s new flows found no port (insert_failed); other destinations are not affected"
        )],
        culprit: Some(format!("{external} > {destination}")),
        steps: drain(facts, &pool, &classes).into_iter().chain(widen(facts, &pool)).collect(),
        donts: vec!["raise nf_conntrack_max: ports are what is missing, not entries".to_owned()],
    })
}

/// How many ports there are: those of the rule, or all that are not privileged.
fn capacity(facts: &Facts, pool: &Pool) -> u64 {
    let mut ranges: Vec<_> = ranges(facts, pool).collect();
    ranges.sort_by_key(|range| range.first);
    // The same rule may be listed twice, by iptables and by nft.
    let (mut ports, mut next) = (0, 0);
    for range in ranges {
        let (first, end) = (u64::from(range.first).max(next), u64::from(range.last) + 1);
        ports += end.saturating_sub(first);
        next = next.max(end);
    }
    if ports == 0 { UNPRIVILEGED } else { ports }
}

/// The ranges that flows of a pool may take their ports of.
fn ranges<'a>(facts: &'a Facts, pool: &Pool) -> impl Iterator<Item = &'a Range> {
    let (external, proto) = (pool.external, pool.destination.proto);
    let is_its = move |range: &&Range| {
        range.address == external && range.proto.is_none_or(|known| known == proto)
    };
    facts.rules.ranges.iter().filter(is_its)
}

/// What gives back most ports.
fn drain(facts: &Facts, pool: &Pool, classes: &[(Class, &Tally)]) -> Option<Step> {
    let idle = |class: Class| match class {
        Class::TimeWait | Class::HalfOpen => Some((10, "10s")),
        Class::Closing => Some((60, "1m")),
        Class::Established => Some((TCP_PATIENCE, "2h4m")),
        _ => None,
    };
    let rows = classes.iter().filter_map(|(class, tally)| {
        let (edge, word) = idle(*class)?;
        Some((tally.idle.beyond(edge), *class, word))
    });
    let (frees, class, word) =
        rows.max_by_key(|(frees, ..)| *frees).filter(|(frees, ..)| *frees > 0)?;
    let Pool { external, destination } = pool;
    let port = destination.port.map_or_else(String::new, |port| format!(" --reply-sport {port}"));
    let options = format!(
        "{} -n {external} -r {}{port} --idle '>{word}' --to 1s --yes",
        class.options(),
        destination.address
    );
    Some(Step {
        what: format!(
            "free {} ports: flows in {} idle > {word}, 0 live",
            Count(frees),
            class.name()
        ),
        command: Some(facts.scene.own("retime", &options)),
        of: Goods::Ports,
        frees: Some(frees),
        ..Step::default()
    })
}

/// The same rule, in front of itself, with all ports.
fn widen(facts: &Facts, pool: &Pool) -> Option<Step> {
    let Range { first, last, .. } = ranges(facts, pool).next()?;
    let address = match pool.external {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let range = format!("{address}:{first}-{last}");
    let proto = if pool.destination.proto == proto::TCP { "tcp" } else { "udp" };
    let is_it = |rule: &&Rule| {
        rule.words.contains(&range) && rule.words.windows(2).any(|pair| pair == ["-p", proto])
    };
    let rule = facts.rules.sources.iter().find(is_it)?;
    let wide = |word: &String| {
        if *word == range { format!("{address}:1024-65535") } else { word.clone() }
    };
    let words: Vec<String> = rule.words.iter().map(wide).collect();
    let [add, remove] = rule.in_front(&words);
    Some(Step {
        what: format!(
            "{} ports instead of {}, for flows to come",
            Count(UNPRIVILEGED),
            Count(capacity(facts, pool))
        ),
        command: Some(facts.scene.system(&add)),
        undo: Some(facts.scene.system(&remove)),
        of: Goods::Ports,
        room: Some(UNPRIVILEGED),
        ..Step::default()
    })
}

/// 1024 to 65535: where ports of clients are translated to if the rule doesn't say.
const UNPRIVILEGED: u64 = 64_512;
/// Thousandths.
const FULL: u64 = 970;
const NEAR: u64 = 800;
