//! The express path of what is fresh: a flow's first packet, and packets that change their flow.
//!
//! [`super::express`] takes what changes nothing. Here the tracker is asked, but of no more of
//! the flow than it changes ([`Life`], and its cells), and a first packet's flow is written as a record at once
//! ([`Newcomer`]) and never is a draft. For that nobody else may have a say in it: the rules on the way
//! are proven to let all such packets go on (`rules::express`), a new flow is neither translated nor
//! expected, and is at home at this worker, and helpers and proxies have nothing to do with it. At the first doubt nothing has been
//! changed, and the packet walks: as the express path, this one may give up but never decide
//! otherwise, and is held against the walk by the same test.
//!
//! In a full table room is made as on the walk, once nothing else could stop the packet. If there is none, what early drop
//! does has been done, and the packet walks only to be counted and refused ([`Pause::NoRoom`]).

use core::marker::PhantomData;
use core::net::IpAddr;

use super::Walk;
use super::by_kind::by_kind;
use super::conntrack::info_of;
use super::express::{UNUSUAL, is_cut_to};
use super::glance::Glance;
use super::layout::Layout;
use super::translation::{Upper, destination, rewrite, translation};
use crate::engine::{Engine, Outcome};
use crate::event::EventMask;
use crate::fib::{Fib, PortId, Route, RouteQuery};
use crate::flow::{Counter, FlowId, Status};
use crate::limits::Limits;
use crate::packet::{CtInfo, Packet, Tracked};
use crate::rules::{ExpressRoute, Fresh, Programs, TableKind};
use crate::table::FlowTable;
use crate::table::express::Seat;
use crate::table::newcomer::Newcomer;
use crate::time::Instant;
use crate::trace::Observer;
use crate::track::{Cells, Express, Life, Plain};
use crate::tuple::Direction;
use crate::verdict::Verdict;

/// A packet, and what it is held against.
struct Arrival<'a, 'b, F, K, P> {
    packet: &'a mut Packet<'b>,
    key: K,
    /// The datagram's length, without padding.
    len: usize,
    now: Instant,
    fib: &'a F,
    limits: &'a Limits,
    programs: &'a mut Programs,
    /// Where it goes, once its [`way`](Arrival::way) is known.
    verdict: Verdict,
    tracker: PhantomData<P>,
}

/// What became of a packet and its flow.
struct Turned {
    id: FlowId,
    info: CtInfo,
    verdict: Verdict,
    news: News,
    /// See [`Seat::timer`].
    timer: (u32, u64),
}

/// Who has something against a packet.
enum Refusal {
    /// Its flow as it stands, or somebody on its way.
    OfFlow,
    /// The tracker, which did not find it ordinary, or not in order.
    OfTracker,
}

/// What there is to tell of a flow: what changed, what of that is announced, and the deadline to the
/// nanosecond, as events have it.
struct News {
    changes: EventMask,
    announced: EventMask,
    deadline: Instant,
}

/// Why a packet was not taken through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Somebody else is to be asked. Nothing has changed.
    Doubt,
    /// It was glanced at with a key that the table has given up since, and is to be looked at again.
    NewKey,
    /// The table was full, and nobody there could go for its flow. It walks as far as to be refused, whatever room
    /// there is by now, for early drop puts away what has expired on its way.
    NoRoom,
}

/// Takes a packet through, if nobody else is to be asked, and tells `each` its outcome.
///
/// An outcome is put together where it is told: moving one that has just been written costs more than
/// the moves, as the processor waits for what it has not stored yet.
#[inline]
pub(crate) fn pass<'p, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
) -> Result<R, Pause> {
    let kind = glance.kind().ok_or(Pause::Doubt)?;
    by_kind!(kind, |K, P| go::<K, P, R>(engine, now, packet, fib, glance, each))
}

/// [`pass`] of a packet that is of this kind.
#[inline(always)]
pub(super) fn go<'p, K: Layout, P: Express, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
) -> Result<R, Pause> {
    if engine.programs.asks_fresh(K::FAMILY) {
        return Err(Pause::Doubt);
    }
    let begins = glance.slot.is_none()
        && engine.table.is_free(glance.hash)
        && engine.table.is_own(K::read(packet.bytes), P::PROTO.number());
    if begins {
        return enter::<K, P, R>(engine, now, packet, fib, glance, each);
    }
    go_on::<K, P, R>(engine, now, packet, fib, glance, each)
}

/// The same for a packet of a flow that is in the table. Most are ordinary ones of flows that have nothing elsewhere, and
/// for those there is code that knows.
#[inline(never)]
fn go_on<'p, K: Layout, P: Express, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
) -> Result<R, Pause> {
    let wanted = (K::read(packet.bytes), P::PROTO.number());
    let (table, arrival) = arrive::<_, K, P>(engine, now, packet, fib);
    match table.with_alone(wanted, glance, |seat| arrival.turn::<false>(seat)) {
        Some(Ok(turned)) => Ok(conclude(engine, now, packet, each, &turned)),
        Some(Err(Refusal::OfFlow)) => Err(Pause::Doubt),
        Some(Err(Refusal::OfTracker)) | None => {
            go_on_anyhow::<K, P, R>(engine, now, packet, fib, glance, each)
        }
    }
}

/// [`go_on`], whatever the flow has elsewhere and the tracker makes of it.
#[inline(never)]
fn go_on_anyhow<'p, K: Layout, P: Express, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
) -> Result<R, Pause> {
    let wanted = (K::read(packet.bytes), P::PROTO.number());
    let (table, arrival) = arrive::<_, K, P>(engine, now, packet, fib);
    match table.with_seat(wanted, glance, |seat| arrival.turn::<true>(seat)) {
        Some(Ok(turned)) => Ok(conclude(engine, now, packet, each, &turned)),
        Some(Err(_)) | None => Err(Pause::Doubt),
    }
}

/// The table, and what it does not hold of a packet's circumstances.
#[inline(always)]
fn arrive<'a, 'b, F: Fib, K: Layout, P: Express>(
    engine: &'a mut Engine,
    now: Instant,
    packet: &'a mut Packet<'b>,
    fib: &'a F,
) -> (&'a mut FlowTable, Arrival<'a, 'b, F, K, P>) {
    let (key, len) = (K::read(packet.bytes), K::len(packet.bytes));
    let (verdict, tracker) = (Verdict::Local, PhantomData);
    let Engine { table, limits, programs, .. } = engine;
    (table, Arrival { packet, key, len, now, fib, limits, programs, verdict, tracker })
}

/// Sees to the timer of a flow that a packet has changed, and tells what became of both.
#[inline(always)]
fn conclude<'p, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
    turned: &Turned,
) -> R {
    let Turned { id, info, verdict, ref news, timer } = *turned;
    if engine.table.is_late(timer) {
        engine.table.rearm(id.slot, timer.1);
    }
    tell(engine, now, id, news);
    let mark = packet.mark;
    each(packet, Outcome { verdict, conntrack: Some(info), flow: Some(id), mark })
}

/// The same for a packet that begins a flow.
#[inline(never)]
fn enter<'p, K: Layout, P: Express, R>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'p>,
    fib: &impl Fib,
    glance: &Glance,
    each: &mut impl FnMut(&mut Packet<'p>, Outcome) -> R,
) -> Result<R, Pause> {
    let (_, mut arrival) = arrive::<_, K, P>(engine, now, packet, fib);
    let len = arrival.len;
    let mut newcomer = arrival.newcomer();
    let (fresh, news) = arrival.begin(&mut newcomer).ok_or(Pause::Doubt)?;
    let verdict = arrival.verdict;
    if !engine.has_room() && !engine.make_room_near(now, glance.hash) {
        return Err(Pause::NoRoom);
    }

    // Nothing stops it any more.
    leave::<K>(packet, &mut engine.programs, fresh, len);
    let id = engine.table.welcome(now, &newcomer, glance.hash, &mut engine.rng);
    tell(engine, now, id, &news);
    let mark = packet.mark;
    Ok(each(packet, Outcome { verdict, conntrack: Some(CtInfo::New), flow: Some(id), mark }))
}

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    /// [`Walk::receive`], of a packet that was glanced at and has not been taken through for that.
    pub(crate) fn receive_glanced(
        &mut self,
        packet: &mut Packet<'_>,
        glance: &Glance,
        pause: Pause,
    ) -> Outcome {
        self.is_refused = pause == Pause::NoRoom;
        let Some(headers) = glance.headers(packet.bytes) else { return self.receive(packet) };
        self.hint = Some(glance.hint());
        if self.may_grow(packet, &headers) {
            return self.walk_with_room(packet, headers, Self::prerouting);
        }
        self.walk(packet, headers, Tracked::None, None, Self::prerouting)
    }
}

/// Tells what became of a flow, if that is to be told.
#[inline(always)]
fn tell(engine: &mut Engine, now: Instant, id: FlowId, news: &News) {
    let News { changes, announced, deadline } = *news;
    if changes.intersects(announced) {
        announce(engine, now, id, (changes, announced), deadline);
    }
}

#[inline(never)]
fn announce(
    engine: &mut Engine,
    now: Instant,
    id: FlowId,
    (changes, announced): (EventMask, EventMask),
    deadline: Instant,
) {
    let Engine { table, events, .. } = engine;
    events.announce_as(now, id, (changes, announced), || {
        let mut flow = table.read(id);
        flow.deadline = deadline;
        flow
    });
}

impl<F: Fib, K: Layout, P: Express> Arrival<'_, '_, F, K, P> {
    /// A flow that begins now, as it is before its tracker has seen the packet.
    #[inline(always)]
    fn newcomer(&self) -> Newcomer<K> {
        let first = Counter { packets: 1, bytes: self.len as u64 };
        let is_silent = self.limits.events == 0;
        Newcomer {
            key: self.key,
            cells: Cells::default(),
            deadline: self.now,
            announced: if is_silent { EventMask::empty() } else { EventMask::all() },
            counters: self.limits.acct.then(|| [first, Counter::default()]),
            birth: self.limits.timestamp.then_some(self.now),
        }
    }

    /// The first packet of a flow: what that would be in the table, and its way. Nothing has changed yet.
    #[inline(always)]
    fn begin(&mut self, newcomer: &mut Newcomer<K>) -> Option<(Fresh, News)> {
        if self.programs.has(K::FAMILY, TableKind::Nat) {
            return None;
        }
        let fresh = self.way(CtInfo::New, (destination(self.key, None), None))?;
        let mut life = Life::new(Status::empty(), self.now);
        let plain = self.plain(Direction::Original)?;
        P::first(&mut newcomer.cells, &mut life, &plain)?;

        newcomer.deadline = life.deadline;
        let (changes, deadline) = (life.pending | EventMask::NEW, life.deadline);
        Some((fresh, News { changes, announced: newcomer.announced, deadline }))
    }

    /// A packet of a flow that is in the table, an ordinary one or `ANY`.
    #[inline(always)]
    fn turn<const ANY: bool>(mut self, mut seat: Seat<'_, K>) -> Result<Turned, Refusal> {
        let status = self.usual_status(&seat).ok_or(Refusal::OfFlow)?;
        let (dir, info) = (seat.dir, info_of(status, seat.dir));
        let has_nat = self.programs.has(K::FAMILY, TableKind::Nat);
        let translation = translation(status, &seat, has_nat);
        let dst = destination(self.key, translation.as_ref());
        let own_port = seat.masquerade_port().filter(|_| dir == Direction::Original);
        let fresh = self.way(info, (dst, own_port)).ok_or(Refusal::OfFlow)?;
        let mut life = Life::new(status | Status::CONFIRMED, seat.record.deadline());
        let plain = self.plain(dir).ok_or(Refusal::OfFlow)?;
        let cells = &mut seat.record.cells;
        let taken = if ANY {
            P::turn_anyhow(cells, &mut life, &plain)
        } else {
            P::turn(cells, &mut life, &plain)
        };
        taken.ok_or(Refusal::OfTracker)?;

        // Nothing stops it any more.
        life.see(dir);
        seat.record.set_status(life.status);
        seat.record.set_deadline(life.deadline);
        if life.counts {
            seat.count(self.len);
        }
        if let Some(translation) = translation {
            let (proto, checksum) = (P::PROTO, self.packet.offload.checksum);
            rewrite(self.packet.bytes, Upper { proto, checksum }, translation, false);
        }
        leave::<K>(self.packet, self.programs, fresh, self.len);
        let Life { pending: changes, deadline, .. } = life;
        let news = News { changes, announced: seat.announced(), deadline };
        let (id, timer) = (seat.id(), seat.timer());
        Ok(Turned { id, info, verdict: self.verdict, news, timer })
    }

    /// The flow's status, if it lives and nobody else has a say in its packets.
    #[inline(always)]
    fn usual_status(&self, seat: &Seat<'_, K>) -> Option<Status> {
        let status = seat.record.status();
        // A flow that came before the nat table meets that table's rules as long as it is new.
        let is_decided = status.contains(Status::NAT_DONE)
            || matches!(info_of(status, seat.dir), CtInfo::Established(_))
            || !self.programs.has(K::FAMILY, TableKind::Nat);
        let is_usual = (seat.is_alone() || !status.intersects(UNUSUAL)) && is_decided;
        (is_usual && !seat.record.is_expired(self.now) && seat.is_plain()).then_some(status)
    }

    /// The packet as its tracker sees it.
    #[inline(always)]
    fn plain(&self, dir: Direction) -> Option<Plain<'_>> {
        let payload = self.packet.bytes.get(K::L4..self.len)?;
        Some(Plain { payload, dir, now: self.now, limits: self.limits })
    }

    /// Finds the way out or in of a packet to `dst`, if it has no obstacle and no rule on
    /// it is to be asked. A masqueraded flow has a port of its own, by which it must leave.
    #[inline(always)]
    fn way(&mut self, info: CtInfo, (dst, own_port): (IpAddr, Option<PortId>)) -> Option<Fresh> {
        let established = match info {
            CtInfo::New => None,
            CtInfo::Established(dir) => Some(dir),
            CtInfo::Invalid | CtInfo::Untracked | CtInfo::Related(_) => return None,
        };
        let src = self.key.addresses().0;
        let (in_port, mark) = (self.packet.in_port, self.packet.mark);
        let route = match self.fib.route(&RouteQuery { dst, src, in_port, mark }) {
            Route::Local { .. } => ExpressRoute::Input,
            Route::Forward { port, next_hop } => {
                let is_own = own_port.is_none_or(|own| own == port);
                let mtu = self.fib.port(port).mtu as usize;
                let fits =
                    self.len <= mtu || is_cut_to::<K>(self.packet.bytes, self.packet.offload, mtu);
                if !is_own || !fits {
                    return None;
                }
                self.verdict = Verdict::Forward { port, next_hop };
                ExpressRoute::Forward
            }
            Route::Unreachable | Route::Blackhole => return None,
        };
        let fresh = Fresh { proto: P::PROTO, established, route };
        self.programs.clears(K::FAMILY, fresh).then_some(fresh)
    }
}

/// Counts a packet of `len` bytes on its way, and takes a hop from one that is forwarded.
#[inline(always)]
fn leave<K: Layout>(packet: &mut Packet<'_>, programs: &mut Programs, fresh: Fresh, len: usize) {
    programs.count_fresh(K::FAMILY, fresh, len);
    if fresh.route == ExpressRoute::Forward {
        K::take_hop(packet.bytes);
    }
}
