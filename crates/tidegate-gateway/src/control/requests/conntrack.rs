//! Requests about flows. Linux: `nf_conntrack_netlink.c`.

use tidegate_engine::flow::FlowId;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::{Family, Flags, Subsystem};
use tidegate_wire::netlink::stats;

use super::{Desk, Outcome, Request, Result, header};
use crate::control::body::Body;
use crate::control::errno::Errno;
use crate::control::filter::Choice;
use crate::control::job::{Job, Round, Task, show};

pub(super) fn perform(desk: &mut Desk<'_>, request: &Request<'_>, number: u8) -> Result {
    let body = Body::parse(request.attrs.clone())?;
    match number {
        message::NEW => new(desk, request, &body),
        message::GET => get(desk, request, &body, false),
        message::GET_CTRZERO => get(desk, request, &body, true),
        message::DELETE => delete(desk, request, &body),
        message::GET_STATS_CPU if request.is_dump() => Ok(stats_of_cpu(desk, request)),
        message::GET_STATS_CPU => Ok(Outcome::Done),
        message::GET_STATS => Ok(stats(desk, request)),
        // No flow is on its way out or in while a request is handled.
        message::GET_DYING | message::GET_UNCONFIRMED if request.is_dump() => {
            Ok(desk.end_listing(request))
        }
        message::GET_DYING | message::GET_UNCONFIRMED => Err(Errno::NOT_SUPPORTED),
        _ => Err(Errno::INVALID),
    }
}

/// Linux: `ctnetlink_new_conntrack`.
fn new(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    body.check_tuples(request.family.family)?;
    match find(desk, request, body)? {
        Some(_) if request.is(Flags::EXCL) => return Err(Errno::EXISTS),
        Some(whose) => change(desk, request, whose, body)?,
        None if request.is(Flags::CREATE) => {
            let creation = body.creation(request.family.family)?;
            desk.create(request, &creation)?;
        }
        None => return Err(Errno::NOT_FOUND),
    }
    Ok(Outcome::Done)
}

fn change(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    (worker, id): (usize, FlowId),
    body: &Body<'_>,
) -> Result<()> {
    if body.is_for_new_flows() {
        return Err(Errno::NOT_SUPPORTED);
    }
    let change = body.change()?;
    Ok(desk.act(request, worker, |engine, now| engine.change(now, id, &change))?)
}

/// The flow that a request names, if it names one and there is one; and whose it is.
fn find(
    desk: &mut Desk<'_>,
    request: &Request<'_>,
    body: &Body<'_>,
) -> Result<Option<(usize, FlowId)>> {
    let Some((tuple, zone)) = body.named(request.family.family)? else { return Ok(None) };
    let found = desk.engines.find(desk.now, &tuple, zone);
    Ok(found.map(|(worker, id, _)| (worker, id)))
}

fn get(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>, zeroes: bool) -> Result {
    if request.is_dump() {
        let choice = Choice::of(body, request.family.family)?;
        return desk.begin(Job::Flows { round: Round::default(), choice, zeroes });
    }
    if body.original.is_none() && body.reply.is_none() {
        return Err(Errno::INVALID);
    }
    let whose = find(desk, request, body)?.ok_or(Errno::NOT_FOUND)?;
    let asked = desk.asked(request);
    let is_there = show(asked, &mut desk.site(), whose, zeroes);
    if is_there { Ok(Outcome::Done) } else { Err(Errno::NOT_FOUND) }
}

/// Linux: `ctnetlink_del_conntrack`.
fn delete(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let is_named = body.original.is_some() || body.reply.is_some();
    if !is_named || body.filter.is_some() {
        return flush(desk, request, body);
    }
    let (worker, id) = find(desk, request, body)?.ok_or(Errno::NOT_FOUND)?;
    let is_done = desk.act(request, worker, |engine, now| {
        let is_meant = body.id.is_none_or(|shown| shown == engine.shown_id(id));
        is_meant && engine.kill(now, id)
    });
    if is_done { Ok(Outcome::Done) } else { Err(Errno::NOT_FOUND) }
}

/// The family counts only for who says that he means it, by a version or a filter: older programs fill it in anyhow.
fn flush(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let Family { family, version, .. } = request.family;
    let means_family = version != 0 || body.filter.is_some();
    let choice = Choice::of(body, if means_family { family } else { Family::ANY })?;
    let task = Task::Delete(desk.cause(request));
    desk.begin(Job::Sweep { round: Round::default(), choice, task, count: 0, reports: false })
}

/// One worker is one CPU.
fn stats_of_cpu(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let rows: Vec<_> = (0..desk.engines.workers())
        .map(|worker| desk.engines.at(worker, desk.now).stats().named())
        .collect();
    desk.list(request, |writer, asked| {
        let header = header(asked, Subsystem::Conntrack, message::GET_STATS_CPU, Flags::MULTI);
        for (worker, named) in (0..).zip(rows) {
            writer.message(header, Family { resource: worker, ..Family::default() }, |writer| {
                for (counter, (_, count)) in stats::CONNTRACK.iter().zip(named) {
                    writer.counter(counter.kind, count as u32);
                }
            });
        }
    })
}

fn stats(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let asked = desk.asked(request);
    let (count, max) = (desk.engines.count(desk.now) as u32, desk.engines.limits(desk.now).max);
    desk.session.outbox.send(|writer| {
        let header = header(asked, Subsystem::Conntrack, message::GET_STATS, Flags::MULTI);
        writer.message(header, Family::default(), |writer| {
            writer.counter(stats::ENTRIES, count);
            writer.counter(stats::MAX_ENTRIES, max);
        });
    });
    Outcome::Done
}
