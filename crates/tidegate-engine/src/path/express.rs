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

use tidegate_wire::Family;
use tidegate_wire::offload::Offload;

use super::glance::{Glance, Kind};
use super::layout::Layout;
use super::translation::{Upper, destination, rewrite, translation};
use crate::engine::{Engine, Outcome};
use crate::fib::{Fib, PortId, Route, RouteQuery};
use crate::flow::Status;
use crate::limits::Limits;
use crate::packet::{CtInfo, Packet};
use crate::rules::{Clearance, ExpressProto, ExpressRoute, Programs};
use crate::table::express::Seat;
use crate::table::key::{Key4, Key6};
use crate::table::mapping::Translation;
use crate::time::Instant;
use crate::track::{self, Express, Plain};
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

/// The outcome of a packet that nothing can stop; of any other nothing has changed, and others must see to it.
pub(crate) fn pass(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    let kind = glance.kind().filter(|kind| glance.is_express(*kind))?;
    match (kind.family, kind.proto) {
        (Family::V4, ExpressProto::Tcp) => {
            go::<Key4, track::tcp::Usual>(engine, now, packet, fib, glance)
        }
        (Family::V4, ExpressProto::Udp) => {
            go::<Key4, track::udp::Usual>(engine, now, packet, fib, glance)
        }
        (Family::V6, ExpressProto::Tcp) => {
            go::<Key6, track::tcp::Usual>(engine, now, packet, fib, glance)
        }
        (Family::V6, ExpressProto::Udp) => {
            go::<Key6, track::udp::Usual>(engine, now, packet, fib, glance)
        }
    }
}

/// [`pass`] of a packet that is [of this kind, and may be a usual one](Glance::is_express).
#[inline(always)]
pub(super) fn go<K: Layout, P: Express>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    Ride::<_, K, P>::go(engine, now, packet, fib, glance)
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
    #[inline(always)]
    fn go(
        engine: &'a mut Engine,
        now: Instant,
        packet: &'a mut Packet<'_>,
        fib: &'a F,
        glance: &Glance,
    ) -> Option<Outcome> {
        let Packet { bytes, in_port, mark, offload, .. } = packet;
        // The glance has seen as much; here it spares further questions.
        if bytes.len() < K::L4 + P::HEADER {
            return None;
        }
        let Engine { table, limits, programs, .. } = engine;
        let (key, len, tracker) = (K::read(bytes), K::len(bytes), PhantomData);
        let mut ride =
            Self { bytes, in_port, mark, offload, key, len, now, fib, limits, programs, tracker };
        let wanted = (key, P::PROTO.number());
        let (id, outcome, timer) = table.with_seat(wanted, glance, |mut seat| {
            // Two calls: the first one's code knows that there is nothing to ask.
            let (outcome, timer) = match seat.common() {
                Some(mut seat) => ride.ride(&mut seat)?,
                None => ride.ride(&mut seat)?,
            };
            Some((seat.id(), outcome, timer))
        })??;
        if table.is_late(timer) {
            table.rearm(id.slot, timer.1);
        }
        Some(outcome)
    }

    /// The outcome, and the flow's timer as it is and as it should be.
    #[inline(always)]
    fn ride(&mut self, seat: &mut Seat<'_, K>) -> Option<(Outcome, (u32, u64))> {
        if !P::is_up(&seat.record.cells) {
            return None;
        }
        let status = usual_status(seat, self.now)?;
        let translation = translation(status, seat, self.programs);
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
        let (flow, mark) = (Some(seat.id()), *self.mark);
        Some((Outcome { verdict: exit.verdict, conntrack, flow, mark }, timer))
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

/// The flow's status, if it is up and running and in nobody's special care.
#[inline(always)]
fn usual_status<K: Layout>(seat: &Seat<'_, K>, now: Instant) -> Option<Status> {
    let status = seat.record.status();
    let is_usual = seat.is_common || status.contains(USUAL) && !status.intersects(UNUSUAL);
    (is_usual && !seat.record.is_expired(now) && seat.is_plain()).then_some(status)
}
