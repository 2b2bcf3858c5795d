//! Attacks: what packets of legitimate flows cost while somebody works against the table.
//!
//! A burst of the attacker's and a burst of established TCP take turns; only the latter is timed. It
//! is compared with the same bursts through two other tables, in turns: one that nobody attacks
//! (`ratio`), and one that gets as many SYNs of as many flows that nobody chose (`ratio_random`), for
//! a second set of flows costs cache, whoever sends it. The attacker has as many flows as the legitimate users, at least 1,024 and at most a million, and
//! with all of them the table is full.

use core::cell::Cell;

use tidegate_wire::proto;

use crate::allocator::allocations;
use crate::bed::Bed;
use crate::clock::{reading, timed};
use crate::hostile::{Aim, Hostile};
use crate::plan::Plan;
use crate::ring::{BURST, Ring};
use crate::rows::RowName;
use crate::rulesets::Rules;
use crate::session::{Row, Session};
use crate::subject::{Pass, Subject, interleaved};
use crate::traffic::{Steady, Traffic};

/// All attacks. The towns that they are compared with serve all of them.
pub fn run(session: &mut Session<'_>) {
    let wanted = |(name, _): &(RowName, Aim)| session.plea.wants(*name);
    let attacks: Vec<(RowName, Aim)> = ATTACKS.into_iter().filter(wanted).collect();
    if attacks.is_empty() {
        return;
    }
    let strength = session.flows.clamp(1024, 1 << 20);
    let mut quiet = Town::new(session, strength);
    let mut crowded = Town::new(session, strength).besieged(Aim::Nothing, strength);
    for (name, aim) in attacks {
        let mut besieged = Town::new(session, strength).besieged(aim, strength);
        let effort = session.plea.effort;
        let towns: &mut [&mut dyn Subject] = &mut [&mut quiet, &mut besieged, &mut crowded];
        let passes = interleaved(towns, effort.items, effort.passes);
        report(session, name, &passes, &besieged);
    }
}

/// The passes are those of quiet, besieged and crowded.
fn report(session: &mut Session<'_>, name: RowName, passes: &[Pass], besieged: &Town) {
    let row = session.row(name, passes[1]);
    session.report(Row {
        ratio: Some(passes[1].ns / passes[0].ns),
        ratio_random: Some(passes[1].ns / passes[2].ns),
        note: Some(besieged.note(passes[0].ns)),
        allocs: None,
        ..row
    });
}

const ATTACKS: [(RowName, Aim); 3] = [
    (RowName::AttackCollisions, Aim::Collisions),
    (RowName::AttackSynflood, Aim::SynFlood),
    (RowName::AttackOneBucket, Aim::OneBucket),
];

/// Established flows, and perhaps somebody at the gates.
struct Town {
    bed: Bed,
    steady: Steady,
    ring: Ring,
    hostile: Option<Hostile>,
    /// Nanoseconds and packets of the attacker.
    spent: (u64, u64),
    refused: Cell<u64>,
}

impl Town {
    fn new(session: &Session<'_>, strength: u32) -> Self {
        let mut bed = Bed::new(session.family, session.flows + strength, Rules::None);
        bed.lay(proto::TCP, Plan::Spread, session.flows, false);
        let steady = Steady::new(proto::TCP, Plan::Spread, session.flows, false);
        let ring = Ring::new(session.family);
        Self { bed, steady, ring, hostile: None, spent: (0, 0), refused: Cell::new(0) }
    }

    /// Lets an attacker bring in all his flows.
    fn besieged(mut self, aim: Aim, strength: u32) -> Self {
        let mut hostile = Hostile::new(aim, self.bed.family(), strength);
        for _ in 0..strength.div_ceil(BURST as u32) {
            hostile.burst(&mut self.ring);
            self.bed.burst(&mut self.ring);
        }
        self.hostile = Some(hostile);
        self
    }

    /// A burst of the attacker's.
    fn suffer(&mut self) {
        if let Some(hostile) = &mut self.hostile {
            hostile.burst(&mut self.ring);
            self.spent.0 += timed(|| {
                self.bed.burst(&mut self.ring);
            });
            self.spent.1 += BURST as u64;
        }
    }

    fn note(&self, quiet: f64) -> String {
        let (ns, packets) = self.spent;
        let each = ns as f64 / packets.max(1) as f64;
        let lost = match self.refused.get() {
            0 => String::new(),
            refused => format!(", {refused} legitimate packets refused"),
        };
        format!("quiet {quiet:.1} ns, the attacker's packet {each:.0} ns{lost}")
    }
}

impl Subject for Town {
    fn pass(&mut self, items: u64) -> Pass {
        let bursts = items / BURST as u64;
        let (mut ns, before) = (0, allocations());
        for _ in 0..bursts {
            self.suffer();
            self.steady.burst(&mut self.ring);
            let mut established = 0;
            ns += timed(|| established = self.bed.burst(&mut self.ring).established);
            self.refused.set(self.refused.get() + (BURST - established) as u64);
        }
        let ns = ns.saturating_sub(bursts * reading());
        Pass::of(bursts * BURST as u64, ns, allocations() - before)
    }
}
