//! Packets in their order: those of one kind that follow each other go in one loop, which knows family and protocol.
//!
//! Each tries the express path if it may be a usual one, and then that of what is fresh. Who can take neither stops the
//! train, and is for others to see to.

use core::mem;

use super::by_kind::by_kind;
use super::express::Stop;
use super::fresh::Pause;
use super::glance::{Glance, Kind, NEAR};
use super::layout::Layout;
use super::{express, fresh};
use crate::engine::{Engine, Outcome};
use crate::fib::Fib;
use crate::packet::Packet;
use crate::table::Spot;
use crate::time::Instant;
use crate::track::Express;

/// Packets that were glanced at, and wait for their turn.
pub(crate) struct Train<'a, 'p> {
    pub(crate) packets: &'a mut [Packet<'p>],
    /// As many.
    pub(crate) glances: &'a [Glance],
    /// For each the flow that is to be brought near at its turn: at least as many.
    pub(crate) spots: &'a [Spot],
}

impl<'a, 'p> Train<'a, 'p> {
    /// The first one leaves.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(&'a mut Packet<'p>, &'a Glance)> {
        let (packet, rest) = mem::take(&mut self.packets).split_first_mut()?;
        let (glance, spot) = (self.glances.first()?, self.spots.first()?);
        spot.bring();
        self.packets = rest;
        self.skip_seen(1);
        Some((packet, glance))
    }

    /// The first ones leave.
    #[inline(always)]
    fn skip(&mut self, number: usize) {
        self.packets = mem::take(&mut self.packets).get_mut(number..).unwrap_or_default();
        self.skip_seen(number);
    }

    /// What was seen of the first ones is of no more use.
    #[inline(always)]
    fn skip_seen(&mut self, number: usize) {
        self.glances = self.glances.get(number..).unwrap_or_default();
        self.spots = self.spots.get(number..).unwrap_or_default();
    }
}

/// Takes packets through and tells `each` their outcomes, up to the first one that must walk: why that must.
#[inline(always)]
pub(crate) fn pass<'p>(
    engine: &mut Engine,
    now: Instant,
    train: &mut Train<'_, 'p>,
    fib: &impl Fib,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome),
) -> Pause {
    while let Some(kind) = train.glances.first().and_then(Glance::kind) {
        let (taken, pause) = by_kind!(kind, |K, P| run::<K, P>(engine, now, train, fib, each));
        train.skip(taken);
        if let Some(pause) = pause {
            return pause;
        }
    }
    Pause::Doubt
}

/// [`pass`] for packets of one kind, up to the first one of another or that must walk; how many went through. They stay
/// in the train. Not inlined, as it needs all registers there are.
#[inline(never)]
fn run<'p, K: Layout, P: Express>(
    engine: &mut Engine,
    now: Instant,
    train: &mut Train<'_, 'p>,
    fib: &impl Fib,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome),
) -> (usize, Option<Pause>) {
    let kind = Kind { family: K::FAMILY, proto: P::PROTO };
    let mut taken = 0;
    let has_more = engine.table.has_more_to_bring::<K>();
    for ((packet, glance), spot) in train.packets.iter_mut().zip(train.glances).zip(train.spots) {
        let may_be_usual = glance.is_express(kind);
        if !may_be_usual && !glance.is_of(kind) {
            break;
        }
        spot.bring();
        if has_more && let Some(next) = train.glances.get(taken + NEAR) {
            engine.table.bring_more::<K>(next);
        }
        let is_through = may_be_usual
            && match express::go::<K, P>(engine, now, packet, fib, glance) {
                Ok(outcome) => {
                    each(packet, outcome);
                    true
                }
                Err(Stop::Unlike) => {
                    express::go_slowly::<K, P>(engine, now, packet, fib, glance, each)
                }
                Err(Stop::Doubt) => false,
            };
        if is_through {
            taken += 1;
            continue;
        }
        if engine.table.has_new_key() {
            return (taken, Some(Pause::NewKey));
        }
        if let Err(pause) = fresh::go::<K, P, ()>(engine, now, packet, fib, glance, each) {
            return (taken, Some(pause));
        }
        taken += 1;
    }
    (taken, None)
}
