//! The bed: an engine with its world and a clock that is made up, into which flows are laid.
//!
//! Whatever goes in must come out forwarded. A burst says how many packets did and how many
//! belonged to an established flow, so that no row can measure something that did not happen.

use core::ops::Range;
use core::time::Duration;

use tidegate_engine::time::Instant;
use tidegate_engine::{CtInfo, Engine, Settings, Verdict};
use tidegate_wire::Family;

use crate::plan::Plan;
use crate::ring::{BURST, Ring};
use crate::rulesets::Rules;
use crate::traffic::{Opening, Traffic};
use crate::world::World;

/// An engine under test.
pub struct Bed {
    /// The engine.
    pub engine: Engine,
    /// Its routes.
    pub world: World,
    /// Its time.
    pub now: Instant,
    family: Family,
}

/// What became of some packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sent on.
    pub forwarded: usize,
    /// Of a flow that was answered.
    pub established: usize,
}

impl Bed {
    /// An empty table with room for `flows`, sized as an operator would size it: as many buckets as
    /// flows, no listener for events.
    ///
    /// # Panics
    /// If the rules cannot be read: they are part of this program.
    #[must_use]
    pub fn new(family: Family, flows: u32, rules: Rules) -> Self {
        let mut settings = Settings { seed: SEED, event_backlog: 0, ..Settings::default() };
        settings.limits.max = flows;
        settings.limits.buckets = flows.next_multiple_of(512);
        settings.limits.events = 0;
        let start = Instant::from_nanos(1_000_000_000);
        let engine = Engine::new(Settings { start, ..settings });
        let mut bed = Self { engine, world: World::default(), now: start, family };
        bed.load(rules);
        bed
    }

    /// Lays flows `0..flows` of that protocol into the table, until each is established.
    ///
    /// # Panics
    /// If the engine does not take them.
    pub fn lay(&mut self, proto: u8, plan: Plan, flows: u32, translated: bool) {
        let mut ring = Ring::new(self.family);
        let mut opening = Opening::new(proto, plan, 0..flows, translated);
        while opening.is_left() {
            opening.burst(&mut ring);
            let tally = self.burst(&mut ring);
            assert_eq!(
                tally.forwarded,
                ring.len(),
                "a flow was refused while the table was filled"
            );
        }
        assert_eq!(self.engine.count(), flows as usize, "some flows are not in the table");
        // UDP flows become streams two seconds after their first packet.
        self.wait(Duration::from_secs(3));
    }

    /// Sends only the first packet of each of these flows, untranslated.
    ///
    /// # Panics
    /// If the engine does not take them.
    pub fn send_first(&mut self, proto: u8, plan: Plan, flows: Range<u32>) {
        let mut ring = Ring::new(self.family);
        let mut opening = Opening::first_packets(proto, plan, flows);
        while opening.is_left() {
            opening.burst(&mut ring);
            let tally = self.burst(&mut ring);
            assert_eq!(
                tally.forwarded,
                ring.len(),
                "a flow was refused while the table was filled"
            );
        }
    }

    /// Replaces the rules.
    pub fn load(&mut self, rules: Rules) {
        if let Some(rules) = rules.parsed(self.family) {
            self.engine.replace_rules(&rules);
        }
    }

    /// Changes a setting.
    ///
    /// # Panics
    /// If there is no such setting.
    pub fn set(&mut self, key: &str, value: &str) {
        let outcome = self.engine.set(key, value);
        assert!(outcome.is_ok(), "{key}: {outcome:?}");
    }

    /// Has flows that begin from now on count their packets and bytes.
    pub fn count_packets(&mut self) {
        self.set("net.netfilter.nf_conntrack_acct", "1");
    }

    /// The family of its flows.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Has the engine process a burst, and expire what is due: the loop of a data plane.
    #[inline]
    pub fn burst(&mut self, ring: &mut Ring) -> Tally {
        let filled = ring.len();
        let mut tally = Tally::default();
        let mut packets = ring.packets();
        let each = |outcome: tidegate_engine::Outcome| {
            tally.forwarded += usize::from(matches!(outcome.verdict, Verdict::Forward { .. }));
            let established = matches!(outcome.conntrack, Some(CtInfo::Established(_)));
            tally.established += usize::from(established);
        };
        self.pass(&mut packets[..filled], each);
        self.engine.handle_timeout(self.now, BURST, &self.world);
        self.now += PACE;
        tally
    }

    #[inline]
    fn pass(
        &mut self,
        packets: &mut [tidegate_engine::Packet<'_>],
        mut each: impl FnMut(tidegate_engine::Outcome),
    ) {
        self.engine.process_batch(self.now, packets, &self.world, |_, outcome| each(outcome));
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Expires all that is due, in budgets; how many flows that were.
    pub fn expire(&mut self) -> usize {
        let before = self.engine.count();
        while self.engine.handle_timeout(self.now, BUDGET, &self.world) == BUDGET {}
        before - self.engine.count()
    }
}

const SEED: u64 = 0x7469_6465_6761_7465;
/// Between two bursts: 64 million packets a second, so that no flow of the largest table grows old
/// before its turn.
const PACE: Duration = Duration::from_micros(2);
/// How many flows expire between two looks at the world.
const BUDGET: usize = 1024;
