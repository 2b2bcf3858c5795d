//! Random rules and settings, from tables: what can be in an experiment besides its packets.
//!
//! A match, a target or a setting is a row. What the engine does not serve has no row here: it is
//! refused when it is loaded, so there would be nothing to compare.

mod conditions;
mod effects;
mod helpers;
mod matches;
mod policies;
mod rules;
mod sets;
mod settings;
mod targets;

use std::time::Duration;

use super::dice::Dice;
use super::experiment::{Action, Experiment, Ruleset};
use super::traffic::{Incident, Outline};

/// An experiment of a seed, but for its packets, and an outline of them. If there are times of silence the packets between them are few, so that they are through
/// before anything expires.
pub(super) fn experiment(seed: u64, packets: usize, dice: &mut Dice) -> (Experiment, Outline) {
    let is_slow = dice.chance(12);
    let packets = if is_slow { packets.div_ceil(3) } else { packets };
    let name = format!("seed-{seed}");
    let has_helpers = dice.chance(55);
    let has = [dice.chance(85), dice.chance(60)];
    let rules = [false, true].map(|is_v6| {
        has[usize::from(is_v6)].then(|| rules::ruleset(is_v6, &name, has_helpers, dice))
    });
    let mtus =
        if dice.chance(15) { vec![("out0", *dice.pick(&[1280, 1300, 1400]))] } else { vec![] };
    let settings = settings::settings(is_slow, dice);
    let mut incidents = Vec::new();
    if is_slow {
        for (number, until) in (1..=dice.between(1..=2) as usize).zip(SILENCES) {
            incidents.push(Incident::Silence { before: packets / 3 * number, until });
        }
    }
    for _ in 0..if dice.chance(35) { dice.between(1..=3) } else { 0 } {
        let before = dice.index(packets.max(1));
        incidents.push(incident(before, &name, &rules, dice));
    }
    let mut experiment = Experiment { name, rules, settings, mtus, ..Experiment::default() };
    let text = provide(&mut experiment, &incidents, dice);
    // The kernel looks at most once in a tick of its clock whether what connlimit counts is still there.
    let pace = if text.contains("-m connlimit") { TICK } else { Duration::ZERO };
    let mtu = experiment.mtus.iter().map(|(_, mtu)| *mtu).min();
    (experiment, Outline { packets, incidents, pace, mtu })
}

/// Something that an operator does.
fn incident(
    before: usize,
    experiment: &str,
    rules: &[Option<Ruleset>; 2],
    dice: &mut Dice,
) -> Incident {
    let action = match dice.between(0..=9) {
        0 => Action::Flush,
        1 | 2 => return Incident::Delete { before },
        3 | 4 => return Incident::Mark { before, mark: dice.between(0..=7) },
        5..=7 => {
            let is_v6 = dice.chance(40);
            let Some(known) = &rules[usize::from(is_v6)] else {
                return Incident::Delete { before };
            };
            let rules = rules::later(is_v6, experiment, known, dice);
            Action::Rules { family: if is_v6 { 6 } else { 4 }, rules }
        }
        _ => {
            let (key, value) = settings::change(dice);
            Action::Set { key, value }
        }
    };
    Incident::Act { before, action }
}

/// Makes what rules name, if they do. Returns all rules.
fn provide(experiment: &mut Experiment, incidents: &[Incident], dice: &mut Dice) -> String {
    let later = incidents.iter().filter_map(|incident| match incident {
        Incident::Act { action: Action::Rules { rules, .. }, .. } => Some(rules),
        _ => None,
    });
    let rules = experiment.rules.iter().flatten().chain(later);
    let text: String = rules.map(Ruleset::to_string).collect();
    if text.contains("-set ") {
        experiment.sets = sets::sets(dice);
    }
    if text.contains("CT --timeout") {
        experiment.policies = policies::policies(dice);
    }
    if text.contains("-m connbytes") {
        // Such a rule turns accounting on when it is loaded.
        experiment.settings.retain(|(key, _)| !key.ends_with("_acct"));
    }
    text
}

/// More than a tick of a clock of 250 Hz.
const TICK: Duration = Duration::from_micros(4500);

/// When silences end: half a second from all times at which something can expire that was touched
/// at the beginning or after another silence (`settings::SHORT`, and the defaults of SCTP).
const SILENCES: [Duration; 2] = [Duration::from_millis(1500), Duration::from_millis(4000)];
