//! Random rules and settings, from tables: what can be in an experiment besides its packets.
//!
//! A match, a target or a setting is a row. What the engine does not serve has no row here: it is
//! refused when it is loaded, so there would be nothing to compare.

mod matches;
mod rules;
mod settings;
mod targets;

use std::time::Duration;

use super::dice::Dice;
use super::experiment::{Action, Experiment};
use super::traffic::Incident;

/// An experiment of a seed, but for its packets, with their number and what happens while they are
/// sent. If there are times of silence the packets between them are few, so that they are through
/// before anything expires.
pub(super) fn experiment(
    seed: u64,
    packets: usize,
    dice: &mut Dice,
) -> (Experiment, usize, Vec<Incident>) {
    let is_slow = dice.chance(12);
    let packets = if is_slow { packets.div_ceil(3) } else { packets };
    let rules = [dice.chance(85), dice.chance(60)];
    let rules =
        [false, true].map(|is_v6| rules[usize::from(is_v6)].then(|| rules::ruleset(is_v6, dice)));
    let mtus =
        if dice.chance(15) { vec![("out0", *dice.pick(&[1280, 1300, 1400]))] } else { vec![] };
    let settings = settings::settings(is_slow, dice);
    let mut incidents = Vec::new();
    if is_slow {
        for (number, until) in (1..=dice.between(1..=2) as usize).zip(SILENCES) {
            incidents.push(Incident::Silence { before: packets / 3 * number, until });
        }
    }
    for _ in 0..if dice.chance(20) { dice.between(1..=3) } else { 0 } {
        let before = dice.index(packets.max(1));
        incidents.push(Incident::Act { before, action: action(dice) });
    }
    let experiment = Experiment { name: format!("seed-{seed}"), rules, settings, mtus };
    (experiment, packets, incidents)
}

fn action(dice: &mut Dice) -> Action {
    if dice.chance(25) {
        return Action::Flush;
    }
    let (key, value) = settings::change(dice);
    Action::Set { key, value }
}

/// When silences end: half a second from all times at which something can expire that was touched
/// at the beginning or after another silence (`settings::SHORT`, and the defaults of SCTP).
const SILENCES: [Duration; 2] = [Duration::from_millis(1500), Duration::from_millis(4000)];
