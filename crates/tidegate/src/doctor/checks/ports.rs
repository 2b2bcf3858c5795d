//! Symptom: connections to one server fail and those to others don't. Evidence: the ports of an external address that
//! are taken toward one destination, against those that the rule leaves. Advice: end the dead ones; more ports or more
//! addresses.

use std::collections::BTreeMap;

use super::{Finding, Outcome, Severity, percent};
use crate::doctor::advice::Step;
use crate::doctor::census::{Class, Pool, TCP_PATIENCE, Tally};
use crate::doctor::facts::Facts;
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
    let ranges = facts.rules.ranges.iter().filter(|(address, ..)| *address == pool.external);
    let ports: u64 =
        ranges.map(|(_, first, last)| u64::from(last.saturating_sub(*first)) + 1).sum();
    if ports == 0 { UNPRIVILEGED } else { ports }
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
        command: facts.scene.own("retime", &options),
        frees: Some(frees),
        ..Step::default()
    })
}

/// The same rule, in front of itself, with all ports.
fn widen(facts: &Facts, pool: &Pool) -> Option<Step> {
    let (_, first, last) =
        facts.rules.ranges.iter().find(|(address, ..)| *address == pool.external)?;
    let range = format!("--to-source {}:{first}-{last}", pool.external);
    let line = facts.rules.users.iter().find(|line| line.contains(&range))?;
    let wide = line.replace(&range, &format!("--to-source {}:1024-65535", pool.external));
    let (add, remove) = (wide.replacen(" -A ", " -I ", 1), wide.replacen(" -A ", " -D ", 1));
    Some(Step {
        what: format!(
            "{} ports instead of {}, for flows to come",
            Count(UNPRIVILEGED),
            Count(capacity(facts, pool))
        ),
        command: facts.scene.system(&add),
        undo: Some(facts.scene.system(&remove)),
        room: Some(UNPRIVILEGED),
        ..Step::default()
    })
}

/// 1024 to 65535: where ports of clients are translated to if the rule doesn't say.
const UNPRIVILEGED: u64 = 64_512;
/// Thousandths.
const FULL: u64 = 970;
const NEAR: u64 = 800;
