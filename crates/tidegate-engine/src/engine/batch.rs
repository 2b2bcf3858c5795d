//! Batches: packets in their order, whose flows are read ahead together.

use super::{Engine, Outcome, sight};
use crate::fib::Fib;
use crate::packet::Packet;
use crate::path::fresh::Pause;
use crate::path::train::{self, Train};
use crate::path::{BURST, Glance, NEAR, Sight, fresh, outlook};
use crate::table::Spot;
use crate::time::Instant;

impl Engine {
    /// Prepares for a batch of packets that are about to be processed one by one,
    /// so that their flows are in the processor's cache by then. Only a hint: no
    /// decision is made here, and none changes if it is not called.
    pub fn prepare<'a>(&self, datagrams: impl IntoIterator<Item = &'a [u8]>) {
        // What is wrong with their checksums is asked when they are processed.
        let sights = datagrams.into_iter().map(|bytes| Sight { bytes, in_doubt: false });
        let mut datagrams = sights.peekable();
        while datagrams.peek().is_some() {
            let mut glances = [Glance::NOTHING; BURST];
            let burst = datagrams.by_ref().take(BURST);
            let mut spots = [Spot::NOWHERE; BURST + NEAR];
            Glance::all(&mut glances, &mut spots, BURST, burst, &self.table);
        }
    }

    /// [`Engine::process`] for a batch of received packets, in their order; `each` is
    /// handed every packet with its outcome. The outcomes are those of one call a
    /// packet, and cost less: the flows of all packets are read ahead together.
    pub fn process_batch<'p>(
        &mut self,
        now: Instant,
        packets: &mut [Packet<'p>],
        fib: &impl Fib,
        mut each: impl FnMut(&mut Packet<'p>, Outcome),
    ) {
        self.give_up_fragments(now, fib);
        for burst in packets.chunks_mut(BURST) {
            self.table.keep_key();
            let mut glances = [Glance::NOTHING; BURST];
            let mut spots = [Spot::NOWHERE; BURST + NEAR];
            let datagrams = burst.iter().map(|packet| sight(&self.limits, packet));
            let count = datagrams.len();
            Glance::all(&mut glances, &mut spots, count, datagrams, &self.table);
            let glances = &glances[..count];
            if !self.has_room() {
                self.read_victims_ahead(glances);
            }
            let train = Train { packets: burst, glances, spots: &spots[NEAR..] };
            self.take_all(now, train, fib, &mut each);
        }
    }

    /// Takes packets in their order: those that nothing can stop, and each of the others by itself.
    #[inline(always)]
    pub(super) fn take_all<'p>(
        &mut self,
        now: Instant,
        mut train: Train<'_, 'p>,
        fib: &impl Fib,
        each: &mut impl FnMut(&mut Packet<'p>, Outcome),
    ) {
        let mut is_foreseen = !self.programs.translate();
        loop {
            let pause = train::pass(self, now, &mut train, fib, each);
            if !is_foreseen && !train.packets.is_empty() {
                outlook::foresee(self, &train);
                is_foreseen = true;
            }
            let Some((packet, glance)) = train.next() else { return };
            if pause == Pause::NewKey {
                self.take_again(now, packet, fib, each);
            } else {
                let outcome = self.walk_on(now, packet, fib, glance, pause);
                each(packet, outcome);
            }
        }
    }

    /// Takes a packet whose hash was made with a key that the table has given up since.
    #[cold]
    #[inline(never)]
    fn take_again<'p>(
        &mut self,
        now: Instant,
        packet: &mut Packet<'p>,
        fib: &impl Fib,
        each: &mut impl FnMut(&mut Packet<'p>, Outcome),
    ) {
        let glance = Glance::of(sight(&self.limits, packet), &self.table);
        if let Err(pause) = fresh::pass(self, now, packet, fib, &glance, each) {
            let outcome = self.walk_on(now, packet, fib, &glance, pause);
            each(packet, outcome);
        }
    }

    /// Prepares for the packets of a burst that will need another one's place in a full table.
    #[cold]
    #[inline(never)]
    fn read_victims_ahead(&mut self, glances: &[Glance]) {
        let begins = |glance: &&Glance| glance.kind().is_some() && glance.slot.is_none();
        self.table.read_victims_ahead(glances.iter().filter(begins).map(|glance| glance.hash));
    }
}
