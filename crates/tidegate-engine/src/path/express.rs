//! The express path: a packet of an established flow, where nobody can have anything against it.
//!
//! Most packets are of this kind, and their fate is known before the walk begins: the rules on the
//! way are proven to let them go on (`rules::express`), the tracker finds them in order and changes
//! no state, the flow announces nothing, and the route leads out, or in, without a word from the
//! router. Such a packet is looked up, judged, counted and rewritten here, on the table's own record
//! of its flow. At the first doubt nothing has been changed yet, and the packet takes the whole walk
//! of [`super`]: this file may give up, but it must never decide otherwise than the walk would.
//! `engine/tests/express.rs` holds the two against each other.

use core::time::Duration;

use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::packet::ipv6::Ipv6;
use tidegate_wire::{Family, Headers};

use super::glance::{Glance, Kind, headers4, headers6, key4, key6};
use crate::engine::{Engine, Outcome};
use crate::fib::{Fib, Route, RouteQuery};
use crate::flow::Status;
use crate::nat::{Manip, rewrite};
use crate::packet::{CtInfo, Packet};
use crate::rules::{Clearance, ExpressProto, ExpressRoute, TableKind};
use crate::table::express::{Place, Shelved};
use crate::time::Instant;
use crate::track::{self, Cells, Segment};
use crate::tuple::{Direction, Tuple};
use crate::verdict::Verdict;

/// A flow that is not simply up and running.
const UNUSUAL: Status = Status::FIXED_TIMEOUT
    .union(Status::SEQ_ADJUST)
    .union(Status::HELPER)
    .union(Status::NAT_CLASH);
/// A flow that is.
const USUAL: Status = Status::SEEN_REPLY.union(Status::ASSURED);

/// What the tracker makes of the packet.
struct Renewal {
    cells: Option<Cells>,
    timeout: Duration,
}

/// Where it goes, and through which chains.
struct Exit {
    verdict: Verdict,
    route: ExpressRoute,
}

/// Takes a packet through, if nothing can stop it. `None`: nothing has changed, it must walk.
#[inline(always)]
pub(crate) fn pass(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    glance: &Glance,
) -> Option<Outcome> {
    let kind = glance.kind()?;
    match kind.family {
        Family::V4 => {
            let place = engine.table.place_of(key4(packet.bytes), kind.proto.number(), glance)?;
            ride(engine, now, packet, fib, (kind, headers4(packet.bytes), place))
        }
        Family::V6 => {
            let place = engine.table.place_of(key6(packet.bytes), kind.proto.number(), glance)?;
            ride(engine, now, packet, fib, (kind, headers6(packet.bytes), place))
        }
    }
}

#[inline(always)]
fn ride<K: Shelved>(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
    (kind, headers, place): (Kind, Headers, Place<K>),
) -> Option<Outcome> {
    let dir = place.dir;
    let status = usual_status(engine, &place, now)?;
    let renewal = renewal(engine, now, packet, (kind, &headers), &place)?;
    let target = translation(engine, kind, status, &place);
    let exit = exit(engine, packet, fib, &headers, &place, target.as_ref())?;
    let clearance = engine.programs.clearance(kind.family, kind.proto, dir, exit.route);
    if !matches!(clearance, Clearance::Clear) {
        return None;
    }

    // Nothing stops it any more.
    engine.programs.count_clear(kind.family, kind.proto, dir, exit.route, headers.len);
    engine.table.renew(&place, renewal.cells.as_ref(), now + renewal.timeout, headers.len);
    if let Some((target, manips)) = &target {
        translate(packet, &headers, target, *manips);
    }
    if exit.route == ExpressRoute::Forward {
        decrement_ttl(kind.family, packet.bytes);
    }
    let flow = Some(engine.table.id_at(&place));
    let conntrack = Some(CtInfo::Established(dir));
    Some(Outcome { verdict: exit.verdict, conntrack, flow, mark: packet.mark })
}

/// The flow's status, if it is up and running and in nobody's special care.
#[inline(always)]
fn usual_status<K: Shelved>(engine: &Engine, place: &Place<K>, now: Instant) -> Option<Status> {
    let record = engine.table.record(place);
    let status = record.status();
    let is_usual = status.contains(USUAL) && !status.intersects(UNUSUAL);
    (is_usual && !record.is_expired(now) && engine.table.is_plain(place)).then_some(status)
}

/// Asks the tracker.
#[inline(always)]
fn renewal<K: Shelved>(
    engine: &Engine,
    now: Instant,
    packet: &Packet<'_>,
    (kind, headers): (Kind, &Headers),
    place: &Place<K>,
) -> Option<Renewal> {
    let limits = &engine.limits;
    let segment = Segment {
        datagram: &*packet.bytes,
        headers,
        dir: place.dir,
        now,
        limits,
        verify_checksum: limits.checksum,
    };
    let cells = engine.table.record(place).cells();
    match kind.proto {
        ExpressProto::Tcp => {
            let (cells, timeout) = track::tcp::go_on(&cells, &segment)?;
            Some(Renewal { cells: Some(cells), timeout })
        }
        ExpressProto::Udp => {
            let timeout = track::udp::go_on(&cells, &segment)?;
            Some(Renewal { cells: None, timeout })
        }
    }
}

/// Whether source and destination are rewritten.
#[derive(Clone, Copy)]
struct Manips {
    src: bool,
    dst: bool,
}

/// What packets of this direction must look like afterwards, if the flow is translated.
#[inline(always)]
fn translation<K: Shelved>(
    engine: &Engine,
    kind: Kind,
    status: Status,
    place: &Place<K>,
) -> Option<(Tuple, Manips)> {
    if !status.intersects(Status::NAT) || !engine.programs.has(kind.family, TableKind::Nat) {
        return None;
    }
    let [src, dst] = [Manip::Src, Manip::Dst].map(|manip| manip.applies_to(status, place.dir));
    let other = engine.table.key_of(place, place.dir.opposite());
    Some((other.swapped().tuple(kind.proto.number()), Manips { src, dst }))
}

/// The way out or in, if it has no obstacle.
#[inline(always)]
fn exit<K: Shelved>(
    engine: &Engine,
    packet: &Packet<'_>,
    fib: &impl Fib,
    headers: &Headers,
    place: &Place<K>,
    target: Option<&(Tuple, Manips)>,
) -> Option<Exit> {
    let dst = match target {
        Some((target, Manips { dst: true, .. })) => target.dst,
        _ => headers.dst,
    };
    let query =
        RouteQuery { dst, src: headers.src, in_port: packet.in_port, mark: packet.mark };
    match fib.route(&query) {
        Route::Local { .. } => Some(Exit { verdict: Verdict::Local, route: ExpressRoute::Input }),
        Route::Forward { port, next_hop } => {
            let fits = headers.len <= fib.port(port).mtu as usize;
            let moved = place.dir == Direction::Original
                && engine.table.masquerade_port(place).is_some_and(|own| own != port);
            let verdict = Verdict::Forward { port, next_hop };
            (fits && !moved).then_some(Exit { verdict, route: ExpressRoute::Forward })
        }
        Route::Unreachable | Route::Blackhole => None,
    }
}

fn translate(packet: &mut Packet<'_>, headers: &Headers, target: &Tuple, manips: Manips) {
    let mut headers = *headers;
    for (manip, applies) in [(Manip::Dst, manips.dst), (Manip::Src, manips.src)] {
        if applies {
            // Whole headers of TCP and UDP are always translatable.
            let done = rewrite::end(packet.bytes, &mut headers, target, manip);
            debug_assert!(done.is_ok());
        }
    }
}

#[inline(always)]
fn decrement_ttl(family: Family, bytes: &mut [u8]) {
    match family {
        Family::V4 => {
            if let Some(mut ip) = Ipv4::new(bytes) {
                ip.set_ttl(ip.ttl() - 1);
            }
        }
        Family::V6 => {
            if let Some(mut ip) = Ipv6::new(bytes) {
                ip.set_hop_limit(ip.hop_limit() - 1);
            }
        }
    }
}
