//! The express path: a packet of an established flow, where nobody can have anything against it.
//!
//! Most packets are of this kind, and their fate is known before the walk begins: the rules on the
//! way are proven to let them go on (`rules::express`), the tracker finds them in order and changes
//! no state, the flow announces nothing, and the route leads out, or in, without a word from the
//! router. Such a packet is looked up, judged, counted and rewritten here, on the table's own record
//! of its flow.
//! At the first doubt nothing has been changed yet, and the packet goes on to [`super::fresh`] and perhaps the whole walk of
//! [`super`]: this file may give up, but it must never decide otherwise than the walk would.
//! `engine/tests/express.rs` holds the two against each other.

use core::marker::PhantomData;

use tidegate_wire::offload::Offload;

use super::by_kind::by_kind;
use super::glance::{Glance, Kind};
use super::layout::Layout;
use super::translation::{Upper, destination, rewrite, translation};
use crate::engine::{Engine, Outcome};
use crate::fib::{Fib, PortId, Route, RouteQuery};
use crate::flow::{FlowId, Status};
use crate::limits::Limits;
use crate::packet::{CtInfo, Packet};
use crate::rules::{Clearance, ExpressRoute, Programs, TableKind};
use crate::table::FlowTable;
use crate::table::express::{Build, Seat, Unlike};
use crate::table::mapping::Translation;
use crate::time::Instant;
use crate::track::{Express, Plain};
use crate::tuple::Direction;
use crate::verdict::Verdict;

/// A flow in whose packets somebody else has a say.
pub(crate) const UNUSUAL: Status =
    Status::FIXED_TIMEOUT.union(Status::SEQ_ADJUST).union(Status::HELPER).union(Status::NAT_CLASH);
/// A flow that is.
pub(crate) const USUAL: Status = Status::SEEN_REPLY.union(Status::ASSURED);

/// Where it goes, and through which chains.
struct Exit {
    verdict: Verdict,
    route: ExpressRoute,
}

/// A packet of protocol `P` on the express path, and what it is held against.
struct Ride<'a, F, K, P> {
    bytes: &'a mut [u8],
    in_port: &'a Option<PortId>,
    mark: &'a u32,
    offload: &'a Offload,
    key: K,
    /// The datagram's length, without padding.
    len: usize,
    now: Instant,
    fib: &'a F,
    limits: &'a Limits,
    programs: &'a mut Programs,
    tracker: PhantomData<P>,
}

/// Why a packet does not go through with others.
pub(super) enum Stop {
    /// Something can stop it, or its flow was not found where the glance thought.
    Doubt,
    /// There is more to its flow than to most.
    Unlike,
}

/// The outcome of a packet that nothing can stop; of any other nothing has changed, and others must see to it.
pub(crate) fn pass(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    let kind = glance.kind().filter(|kind| glance.is_express(*kind))?;
    by_kind!(kind, |K, P| take::<K, P>(engine, now, packet, fib, glance))
}

fn take<K: Layout, P: Express>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    let mut taken = None;
    match go::<K, P>(engine, now, packet, fib, glance) {
        Ok(outcome) => return Some(outcome),
        Err(Stop::Doubt) => {}
        Err(Stop::Unlike) => {
            let mut each = |_: &mut Packet<'_>, outcome| taken = Some(outcome);
            go_slowly::<K, P>(engine, now, packet, fib, glance, &mut each);
        }
    }
    taken
}

/// [`pass`] of a packet that is [of this kind, and may be a usual one](Glance::is_express), if its flow is like most,
/// translated or not.
#[inline(always)]
pub(super) fn go<K: Layout, P: Express>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Result<Outcome, Stop> {
    Ride::<_, K, P>::go(engine, now, packet, fib, glance)
}

/// [`go`], whatever there is to the flow; whether it went through. It tells the outcome by itself, for what a function
/// returns lies in memory, and all outcomes would be put there.
#[inline(never)]
pub(super) fn go_slowly<'p, K: Layout, P: Express>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome),
) -> bool {
    let (table, mut ride) = Ride::<_, K, P>::ready(engine, now, packet, fib);
    let has_nat = ride.programs.has(K::FAMILY, TableKind::Nat);
    let wanted = (ride.key, P::PROTO.number());
    let taken = table.with_seat(wanted, glance, |mut seat| ride.ride(&mut seat, has_nat));
    let Some((id, outcome, timer)) = taken.flatten() else { return false };
    if table.is_late(timer) {
        table.rearm(id.slot, timer.1);
    }
    each(packet, outcome);
    true
}

/// Has the rules say, once for each flow and direction, whether they let all its usual packets go on
/// alike. `outcome` is that of one which they have just let go on.
pub(crate) fn vet(engine: &mut Engine, glance: &Glance, outcome: &Outcome) {
    let Outcome { verdict, conntrack: Some(CtInfo::Established(dir)), flow: Some(id), .. } =
        *outcome
    else {
        return;
    };
    let route = match verdict {
        Verdict::Forward { .. } => ExpressRoute::Forward,
        Verdict::Local => ExpressRoute::Input,
        Verdict::Held | Verdict::Queued(_) | Verdict::Drop(_) => return,
    };
    let Some(Kind { family, proto }) = glance.kind() else { return };
    let Engine { table, programs, .. } = engine;
    let epoch = programs.epoch();
    let is_asked = programs.clearance(family, proto, dir, route) == Clearance::IfVetted
        && table.vetted(id, epoch, dir).is_none();
    if is_asked && let Some(flow) = table.load(id) {
        let passes = programs.vet(family, proto, dir, route, &flow);
        table.set_vetted(id, epoch, dir, passes);
    }
}

impl<'a, F: Fib, K: Layout, P: Express> Ride<'a, F, K, P> {
    /// Takes a packet through if its flow is like most, translated or not.
    #[inline(always)]
    fn go(
        engine: &mut Engine,
        now: Instant,
        packet: &mut Packet<'_>,
        fib: &F,
        glance: &Glance,
    ) -> Result<Outcome, Stop> {
        // The glance has seen as much; here it spares further questions.
        if packet.bytes.len() < K::L4 + P::HEADER {
            return Err(Stop::Doubt);
        }
        let (table, mut ride) = Ride::<_, K, P>::ready(engine, now, packet, fib);
        let wanted = (ride.key, P::PROTO.number());
        let taken = table.with_usual_seat(wanted, glance, |seat| match seat {
            // Two calls: the first one's code knows that there is nothing to ask, the second one's what is to be done.
            Ok(mut seat) if seat.build == Build::Common => {
                ride.ride(&mut seat.common(), false).ok_or(Stop::Doubt)
            }
            Ok(mut seat) if ride.programs.has(K::FAMILY, TableKind::Nat) => {
                ride.ride(&mut seat.translated(), true).ok_or(Stop::Doubt)
            }
            Err(Unlike::NotUp) => Err(Stop::Doubt),
            Ok(_) | Err(Unlike::HasMore) => Err(Stop::Unlike),
        });
        let (id, outcome, timer) = taken.ok_or(Stop::Doubt)??;
        if table.is_late(timer) {
            table.rearm(id.slot, timer.1);
        }
        Ok(outcome)
    }

    #[inline(always)]
    fn ready(
        engine: &'a mut Engine,
        now: Instant,
        packet: &'a mut Packet<'_>,
        fib: &'a F,
    ) -> (&'a mut FlowTable, Self) {
        let Packet { bytes, in_port, mark, offload, .. } = packet;
        let Engine { table, limits, programs, .. } = engine;
        let (key, len, tracker) = (K::read(bytes), K::len(bytes), PhantomData);
        let ride =
            Self { bytes, in_port, mark, offload, key, len, now, fib, limits, programs, tracker };
        (table, ride)
    }

    /// The flow, the outcome, and the flow's timer as it is and as it should be.
    #[inline(always)]
    fn ride(
        &mut self,
        seat: &mut Seat<'_, K>,
        has_nat: bool,
    ) -> Option<(FlowId, Outcome, (u32, u64))> {
        if !P::is_up(&seat.record.cells) {
            return None;
        }
        let status = usual_status(seat, self.now)?;
        let translation = translation(status, seat, has_nat);
        let exit = self.exit(seat, translation.as_ref())?;
        let mut course = self.programs.course(K::FAMILY, P::PROTO, seat.dir, exit.route);
        if !course.is_clear(|epoch| seat.record.vetted(epoch, seat.dir) == Some(true)) {
            return None;
        }
        let payload = self.bytes.get(K::L4..self.len)?;
        let segment = Plain { payload, dir: seat.dir, now: self.now, limits: self.limits };
        let timeout = P::take(&mut seat.record.cells, &segment)?;

        // Nothing stops it any more.
        course.count(self.len);
        seat.count(self.len);
        let timer = seat.renew(self.now.after_seconds(timeout.0));
        let is_forwarded = exit.route == ExpressRoute::Forward;
        if let Some(translation) = translation {
            let how = Upper { proto: P::PROTO, checksum: self.offload.checksum };
            rewrite(self.bytes, how, translation, is_forwarded);
        } else if is_forwarded {
            K::take_hop(self.bytes);
        }
        let conntrack = Some(CtInfo::Established(seat.dir));
        let (id, mark) = (seat.id(), *self.mark);
        let outcome = Outcome { verdict: exit.verdict, conntrack, flow: Some(id), mark };
        Some((id, outcome, timer))
    }

    /// The way out or in, if it has no obstacle.
    #[inline(always)]
    fn exit(&self, seat: &Seat<'_, K>, translation: Option<&Translation<K>>) -> Option<Exit> {
        let (src, dst) = (self.key.addresses().0, destination(self.key, translation));
        let (in_port, mark) = (*self.in_port, *self.mark);
        match self.fib.route(&RouteQuery { dst, src, in_port, mark }) {
            Route::Local { .. } => {
                Some(Exit { verdict: Verdict::Local, route: ExpressRoute::Input })
            }
            Route::Forward { port, next_hop } => {
                let mtu = self.fib.port(port).mtu as usize;
                let fits = self.len <= mtu || is_cut_to::<K>(self.bytes, *self.offload, mtu);
                // The direction comes last, and without a branch: nobody can guess it.
                let is_original = seat.dir == Direction::Original;
                let moved = seat.masquerade_port().is_some_and(|own| (own != port) & is_original);
                let verdict = Verdict::Forward { port, next_hop };
                (fits && !moved).then_some(Exit { verdict, route: ExpressRoute::Forward })
            }
            Route::Unreachable | Route::Blackhole => None,
        }
    }
}

/// Whether a packet is a superframe whose pieces fit.
#[cold]
#[inline(never)]
pub(super) fn is_cut_to<K: Layout>(bytes: &[u8], offload: Offload, mtu: usize) -> bool {
    let longest = offload.longest_segment(bytes, &K::headers(bytes));
    longest.is_some_and(|longest| longest <= mtu)
}

/// Whether a flow is up and running, and in nobody's special care.
#[inline(always)]
fn is_usual(status: Status) -> bool {
    status.contains(USUAL) && !status.intersects(UNUSUAL)
}

/// The flow's status, if it is up and running and in nobody's special care.
#[inline(always)]
fn usual_status<K: Layout>(seat: &Seat<'_, K>, now: Instant) -> Option<Status> {
    let status = seat.record.status();
    let is_usual = matches!(seat.build, Build::Common | Build::Translated) || is_usual(status);
    (is_usual && !seat.record.is_expired(now) && seat.is_plain()).then_some(status)
}
