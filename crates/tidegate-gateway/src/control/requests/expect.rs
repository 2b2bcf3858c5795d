//! Requests about expectations. Linux: `nf_conntrack_netlink.c`.

use std::net::IpAddr;

use tidegate_engine::Engine;
use tidegate_engine::command::Announcing;
use tidegate_engine::expect::{ExpectFlags, Mask};
use tidegate_engine::time::Instant;
use tidegate_engine::tuple::{Direction, Tuple, Zone, ZoneScope};
use tidegate_wire::netlink::expect::{Attribute, Nat, attributes, message};
use tidegate_wire::netlink::frame::{Family, Flags, Subsystem};
use tidegate_wire::netlink::{self, Attrs, stats};

use super::{Desk, Outcome, Request, Result, header};
use crate::control::errno::Errno;
use crate::control::expectation::describe;
use crate::control::job::Job;
use crate::control::tuple::heard;

/// What a request says.
#[derive(Debug, Default)]
struct Body<'a> {
    master: Option<netlink::Tuple>,
    tuple: Option<netlink::Tuple>,
    mask: Option<netlink::Tuple>,
    timeout: Option<u32>,
    id: Option<u32>,
    helper: Option<&'a [u8]>,
    zone: Option<u16>,
    flags: Option<u32>,
    class: Option<u32>,
    nat: Option<Nat>,
    function: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    fn parse(attrs: Attrs<'a>) -> Result<Self> {
        let mut body = Self::default();
        for attribute in attributes(attrs) {
            match attribute? {
                Attribute::Master(tuple) => body.master = Some(tuple),
                Attribute::Tuple(tuple) => body.tuple = Some(tuple),
                Attribute::Mask(tuple) => body.mask = Some(tuple),
                Attribute::Timeout(seconds) => body.timeout = Some(seconds),
                Attribute::Id(id) => body.id = Some(id),
                Attribute::Helper(name) => body.helper = Some(name),
                Attribute::Zone(zone) => body.zone = Some(zone),
                Attribute::Flags(flags) => body.flags = Some(flags),
                Attribute::Class(class) => body.class = Some(class),
                Attribute::Nat(nat) => body.nat = Some(nat),
                Attribute::Function(name) => body.function = Some(name),
                Attribute::Other(_) => {}
            }
        }
        Ok(body)
    }

    fn zone(&self) -> Zone {
        Zone { id: self.zone.unwrap_or(0), scope: ZoneScope::Both }
    }
}

pub(super) fn perform(desk: &mut Desk<'_>, request: &Request<'_>, number: u8) -> Result {
    let body = Body::parse(request.attrs.clone())?;
    match number {
        message::NEW => new(desk, request, &body),
        message::GET if request.is_dump() => list(desk, request, &body),
        message::GET => get(desk, request, &body),
        message::DELETE => delete(desk, request, &body),
        message::GET_STATS_CPU if request.is_dump() => Ok(stats_of_cpu(desk, request)),
        message::GET_STATS_CPU => Ok(Outcome::Done),
        _ => Err(Errno::INVALID),
    }
}

/// Linux: `ctnetlink_new_expect`. Of what is there only the timeout can be changed.
fn new(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let (Some(tuple), Some(mask), Some(master)) = (&body.tuple, &body.mask, &body.master) else {
        return Err(Errno::INVALID);
    };
    let family = request.family.family;
    let tuple = heard(tuple, family)?;
    match desk.engines.find_expectation(desk.now, &tuple, body.zone()) {
        Some(_) if request.is(Flags::EXCL) => return Err(Errno::EXISTS),
        Some((worker, number)) => {
            if let Some(seconds) = body.timeout {
                let mut at = desk.engines.at(worker, desk.now);
                let now = at.now;
                at.renew_expectation(now, number, seconds)?;
            }
        }
        None if request.is(Flags::CREATE) => {
            let what = announcing(body, (tuple, mask, master), family)?;
            let found = desk.engines.find(desk.now, &what.master, what.zone);
            let (worker, ..) = found.ok_or(Errno::NOT_FOUND)?;
            desk.act(request, worker, |engine, now| engine.expect(now, &what))?;
        }
        None => return Err(Errno::NOT_FOUND),
    }
    Ok(Outcome::Done)
}

fn announcing<'a>(
    body: &Body<'a>,
    (tuple, mask, master): (Tuple, &netlink::Tuple, &netlink::Tuple),
    family: u8,
) -> Result<Announcing<'a>> {
    let mask = covered(mask, &tuple, family)?;
    let flags = body.flags.unwrap_or(0);
    Ok(Announcing {
        master: heard(master, family)?,
        zone: body.zone(),
        tuple,
        mask,
        flags: ExpectFlags::from_bits_truncate(flags as u8),
        class: body.class.unwrap_or(0),
        function: body.function,
        nat: body.nat.as_ref().map(|nat| translation(nat, family)).transpose()?,
    })
}

/// Only of TCP, UDP and the like; for the others nothing of the source's port counts.
fn covered(mask: &netlink::Tuple, tuple: &Tuple, family: u8) -> Result<Mask> {
    if tuple.has_ports() {
        let Tuple { src, sport, .. } = heard(mask, family)?;
        return Ok(Mask { src, sport });
    }
    let src = mask.src.filter(|src| src.is_ipv4() == tuple.src.is_ipv4());
    Ok(Mask { src: src.ok_or(Errno::INVALID)?, sport: mask.sport.unwrap_or(0) })
}

fn translation(nat: &Nat, family: u8) -> Result<(Direction, IpAddr, u16)> {
    let dir = match nat.dir.ok_or(Errno::INVALID)? {
        0 => Direction::Original,
        1 => Direction::Reply,
        _ => return Err(Errno::RANGE),
    };
    let tuple = heard(nat.tuple.as_ref().ok_or(Errno::INVALID)?, family)?;
    Ok((dir, tuple.src, tuple.sport))
}

fn list(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let family = request.family.family;
    let (mut worker, mut of) = (0, None);
    if let Some(master) = &body.master {
        let found = desk.engines.find(desk.now, &heard(master, family)?, body.zone());
        let (whose, id, _) = found.ok_or(Errno::NOT_FOUND)?;
        // The kernel doesn't begin to list those of a flow that can't have any.
        let flow = desk.engines.at(whose, desk.now).flow(id);
        if flow.is_none_or(|flow| flow.helper().is_none()) {
            return Ok(Outcome::Done);
        }
        (worker, of) = (whose, Some(id));
    }
    desk.begin(Job::Expectations { worker, next: 0, family, master: of })
}

/// The expectation that a request names: whose it is, and its number.
fn find(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    body: &Body<'_>,
) -> Result<Option<(usize, u64)>> {
    let Some(tuple) = body.tuple.as_ref().or(body.master.as_ref()) else { return Ok(None) };
    let tuple = heard(tuple, request.family.family)?;
    let found = desk.engines.find_expectation(desk.now, &tuple, body.zone());
    let (worker, number) = found.ok_or(Errno::NOT_FOUND)?;
    let shown = desk.engines.at(worker, desk.now).shown_expectation_id(number);
    let is_meant = body.id.is_none_or(|id| id == shown);
    if is_meant { Ok(Some((worker, number))) } else { Err(Errno::NOT_FOUND) }
}

fn get(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let (worker, number) = find(desk, request, body)?.ok_or(Errno::INVALID)?;
    let asked = desk.asked(request);
    let engine = desk.engines.at(worker, desk.now);
    let now = engine.now;
    let (number, one) = engine.expectations_from(number).next().ok_or(Errno::NOT_FOUND)?;
    let id = engine.shown_expectation_id(number);
    desk.session.outbox.send(|writer| {
        let header = header(asked, Subsystem::Expect, message::NEW, Flags::MULTI);
        let family = Family::of(one.tuple.family());
        writer.message(header, family, |writer| describe(writer, now, one, id));
    });
    Ok(Outcome::Done)
}

/// Linux: `ctnetlink_del_expect`. There are never so many that flushing them takes long.
fn delete(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    if body.tuple.is_some() {
        if let Some((worker, number)) = find(desk, request, body)? {
            desk.act(request, worker, |engine, now| engine.withdraw_expectation(now, number));
        }
        return Ok(Outcome::Done);
    }
    for worker in 0..desk.engines.workers() {
        desk.act(request, worker, |engine, now| withdraw_all(engine, now, body.helper));
    }
    Ok(Outcome::Done)
}

/// Of one helper, or of all.
fn withdraw_all(engine: &mut Engine, now: Instant, of: Option<&[u8]>) {
    let is_meant = |helper: Option<&str>| match of {
        Some(name) => helper.is_some_and(|helper| helper.as_bytes() == name),
        None => true,
    };
    let all = engine.expectations_from(0);
    let named = all.filter(|(_, one)| is_meant(one.master.helper.map(|helper| helper.name())));
    let numbers: Vec<u64> = named.map(|(number, _)| number).collect();
    for number in numbers {
        engine.withdraw_expectation(now, number);
    }
}

/// By an old mistake of the kernel's, these are messages of the other subsystem.
fn stats_of_cpu(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let rows: Vec<_> = (0..desk.engines.workers())
        .map(|worker| desk.engines.at(worker, desk.now).expectation_stats())
        .collect();
    desk.list(request, |writer, asked| {
        let header = header(asked, Subsystem::Conntrack, message::GET_STATS_CPU, Flags::MULTI);
        for (worker, row) in (0..).zip(rows) {
            let counts = [row.new, row.create, row.delete];
            writer.message(header, Family { resource: worker, ..Family::default() }, |writer| {
                for (counter, count) in stats::EXPECT.iter().zip(counts) {
                    writer.counter(counter.kind, count as u32);
                }
            });
        }
    })
}
