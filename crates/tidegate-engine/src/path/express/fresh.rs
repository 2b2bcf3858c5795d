//! The express path of what is fresh: a flow's first packet, and packets that change their flow's state.
//!
//! [`super::pass`] takes what changes nothing. Here the tracker itself is asked, but of no more of the
//! flow than it changes ([`Life`]); a first packet's flow is written as a record at once and never is
//! a draft. For that nobody else may have a say in it: no rules, no translation, no expectation, no
//! helper. At the first doubt nothing has been changed yet, and the packet walks.

use super::{Exit, Ride, UNUSUAL};
use crate::engine::{Engine, Outcome};
use crate::event::EventMask;
use crate::fib::{Fib, Route, RouteQuery};
use crate::flow::{Counter, FlowId, Status};
use crate::packet::{CtInfo, Packet};
use crate::path::conntrack::info_of;
use crate::path::glance::{Glance, Kind};
use crate::path::layout::Layout;
use crate::rules::{ExpressProto, ExpressRoute};
use crate::table::express::Seat;
use crate::table::key::{Key4, Key6};
use crate::table::newcomer::Newcomer;
use crate::time::Instant;
use crate::track::{self, Life, Plain};
use crate::tuple::Direction;
use crate::verdict::Verdict;

use tidegate_wire::Family;

/// What has become of a packet and its flow, and what is to be told of that.
struct Passed {
    outcome: Outcome,
    id: FlowId,
    changes: EventMask,
    announced: EventMask,
    /// To the nanosecond, as events tell it.
    deadline: Instant,
}

/// Takes a fresh packet through, if nobody else is to be asked. `None`: nothing has changed, it must
/// walk.
#[inline(never)]
pub(crate) fn pass(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    let kind = glance.kind()?;
    if !engine.programs.is_empty(kind.family) {
        return None;
    }
    let passed = match kind.family {
        Family::V4 => go::<Key4, _>(engine, now, packet, fib, (kind, glance)),
        Family::V6 => go::<Key6, _>(engine, now, packet, fib, (kind, glance)),
    }?;
    let Passed { outcome, id, changes, announced, deadline } = passed;
    let Engine { table, events, .. } = engine;
    events.announce_as(now, id, (changes, announced), || {
        let mut flow = table.read(id);
        flow.deadline = deadline;
        flow
    });
    Some(outcome)
}

#[inline(always)]
fn go<K: Layout, F: Fib>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &F,
    (kind, glance): (Kind, &Glance),
) -> Option<Passed> {
    let Engine { table, limits, programs, rng, .. } = engine;
    let (key, len) = (K::read(packet.bytes), K::len(packet.bytes));
    let mut ride = Ride { packet, kind, key, len, now, fib, limits, programs };
    let wanted = (key, kind.proto.number());
    let turned = table.with_seat(wanted, glance, |mut seat| {
        let passed = ride.turn(&mut seat)?;
        Some((passed, seat.timer()))
    });
    if let Some(turned) = turned {
        let (passed, timer) = turned?;
        if table.is_late(timer) {
            table.rearm(passed.id.slot, timer.1);
        }
        return Some(passed);
    }
    let has_room = limits.max == 0 || table.len() < limits.max as usize;
    if !has_room || !table.is_free(glance.hash) {
        return None;
    }
    let (newcomer, mut passed) = ride.begin()?;
    passed.id = table.welcome(now, &newcomer, glance.hash, rng);
    passed.outcome.flow = Some(passed.id);
    Some(passed)
}

impl<F: Fib, K: Layout> Ride<'_, '_, F, K> {
    /// A packet of a flow that is in the table.
    #[inline(always)]
    fn turn(&mut self, seat: &mut Seat<'_, K>) -> Option<Passed> {
        let status = seat.record.status();
        let is_known = status.intersects(Status::SEEN_REPLY) || seat.dir == Direction::Reply;
        let is_usual = !status.intersects(UNUSUAL.union(Status::NAT)) && is_known;
        if !is_usual || seat.record.is_expired(self.now) || !seat.is_plain() {
            return None;
        }
        let exit = self.exit(seat, None)?;
        let mut life = Life {
            status: status | Status::CONFIRMED,
            deadline: seat.record.deadline(),
            pending: EventMask::empty(),
            is_proxied: false,
            counts: false,
        };
        let plain = self.plain(seat.dir)?;
        let cells = &seat.record.cells;
        let cells = match self.kind.proto {
            ExpressProto::Tcp => track::tcp::turn(cells, &mut life, &plain)?,
            ExpressProto::Udp => {
                track::udp::turn(cells, &mut life, &plain)?;
                *cells
            }
        };
        if seat.dir == Direction::Reply && !status.intersects(Status::SEEN_REPLY) {
            life.status |= Status::SEEN_REPLY;
            life.note(EventMask::REPLY);
        }

        // Nothing stops it any more.
        seat.record.cells = cells;
        seat.record.set_status(life.status);
        seat.record.set_deadline(life.deadline);
        if life.counts {
            seat.count(self.len);
        }
        self.leave(&exit);
        Some(Passed {
            outcome: self.outcome(&exit, info_of(status, seat.dir), Some(seat.id())),
            id: seat.id(),
            changes: life.pending,
            announced: seat.announced(),
            deadline: life.deadline,
        })
    }

    /// A packet that begins a flow. The flow has no id yet.
    #[inline(always)]
    fn begin(&mut self) -> Option<(Newcomer<K>, Passed)> {
        let exit = self.way()?;
        let mut life = Life {
            status: Status::empty(),
            deadline: self.now,
            pending: EventMask::empty(),
            is_proxied: false,
            counts: false,
        };
        let plain = self.plain(Direction::Original)?;
        let cells = match self.kind.proto {
            ExpressProto::Tcp => track::tcp::first(&mut life, &plain)?,
            ExpressProto::Udp => track::udp::first(&mut life, &plain)?,
        };

        // Nothing stops it any more.
        let limits = self.limits;
        let first = Counter { packets: 1, bytes: self.len as u64 };
        let announced = if limits.events == 0 { EventMask::empty() } else { EventMask::all() };
        let newcomer = Newcomer {
            key: self.key,
            cells,
            deadline: life.deadline,
            announced,
            counters: limits.acct.then(|| [first, Counter::default()]),
            birth: limits.timestamp.then_some(self.now),
        };
        self.leave(&exit);
        let passed = Passed {
            outcome: self.outcome(&exit, CtInfo::New, None),
            id: FlowId::UNBORN,
            changes: life.pending | EventMask::NEW,
            announced,
            deadline: life.deadline,
        };
        Some((newcomer, passed))
    }

    /// The packet as its tracker sees it.
    #[inline(always)]
    fn plain(&self, dir: Direction) -> Option<Plain<'_>> {
        let payload = self.packet.bytes.get(K::L4..self.len)?;
        let words = [u16::from(self.kind.proto.number()), payload.len() as u16];
        let pseudo_header =
            words.into_iter().fold(self.key.address_sum(), tidegate_wire::checksum::Sum::word);
        let (now, limits) = (self.now, self.limits);
        let verify_checksum = limits.checksum && self.packet.offload.checksum.is_in_doubt();
        Some(Plain { payload, dir, now, limits, verify_checksum, pseudo_header })
    }

    /// The way out or in of a packet that is not translated, if it has no obstacle.
    #[inline(always)]
    fn way(&self) -> Option<Exit> {
        let (src, dst) = self.key.addresses();
        let (in_port, mark) = (self.packet.in_port, self.packet.mark);
        match self.fib.route(&RouteQuery { dst, src, in_port, mark }) {
            Route::Local { .. } => {
                Some(Exit { verdict: Verdict::Local, route: ExpressRoute::Input })
            }
            Route::Forward { port, next_hop } => {
                let mtu = self.fib.port(port).mtu as usize;
                let verdict = Verdict::Forward { port, next_hop };
                let exit = Exit { verdict, route: ExpressRoute::Forward };
                (self.len <= mtu || self.is_cut_to(mtu)).then_some(exit)
            }
            Route::Unreachable | Route::Blackhole => None,
        }
    }

    #[inline(always)]
    fn leave(&mut self, exit: &Exit) {
        if exit.route == ExpressRoute::Forward {
            K::take_hop(self.packet.bytes);
        }
    }

    #[inline(always)]
    fn outcome(&self, exit: &Exit, info: CtInfo, flow: Option<FlowId>) -> Outcome {
        let mark = self.packet.mark;
        Outcome { verdict: exit.verdict, conntrack: Some(info), flow, mark }
    }
}
