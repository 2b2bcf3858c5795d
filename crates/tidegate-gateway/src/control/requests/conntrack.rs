//! Requests about flows. Linux: `nf_conntrack_netlink.c`.

use tidegate_engine::command::Cursor;
use tidegate_engine::flow::FlowId;
use tidegate_wire::netlink::conntrack::message;
use tidegate_wire::netlink::frame::{Family, Flags, Subsystem};
use tidegate_wire::netlink::stats;

use super::{Desk, Outcome, Request, Result, header};
use crate::control::body::Body;
use crate::control::errno::Errno;
use crate::control::filter::Choice;
use crate::control::job::{Job, Task, show};

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
        Some(id) => change(desk, id, body)?,
        None if request.is(Flags::CREATE) => {
            let creation = body.creation(request.family.family)?;
            desk.engine.create(desk.now, &creation)?;
        }
        None => return Err(Errno::NOT_FOUND),
    }
    desk.conclude(request);
    Ok(Outcome::Done)
}

fn change(desk: &mut Desk<'_>, id: FlowId, body: &Body<'_>) -> Result<()> {
    if body.is_for_new_flows() {
        return Err(Errno::NOT_SUPPORTED);
    }
    Ok(desk.engine.change(desk.now, id, &body.change()?)?)
}

/// The flow that a request names, if it names one and there is one.
fn find(desk: &Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result<Option<FlowId>> {
    let Some((tuple, zone)) = body.named(request.family.family)? else { return Ok(None) };
    Ok(desk.engine.find(desk.now, &tuple, zone).map(|(id, _)| id))
}

fn get(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>, zeroes: bool) -> Result {
    if request.is_dump() {
        let choice = Choice::of(body, request.family.family)?;
        return desk.begin(Job::Flows { cursor: Cursor::default(), choice, zeroes });
    }
    if body.original.is_none() && body.reply.is_none() {
        return Err(Errno::INVALID);
    }
    let id = find(desk, request, body)?.ok_or(Errno::NOT_FOUND)?;
    let flow = desk.engine.flow(id).ok_or(Errno::NOT_FOUND)?;
    let asked = desk.asked(request);
    show(asked, &mut desk.site(), id, &flow);
    if zeroes {
        desk.engine.take_counters(id);
    }
    Ok(Outcome::Done)
}

/// Linux: `ctnetlink_del_conntrack`.
fn delete(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let is_named = body.original.is_some() || body.reply.is_some();
    if !is_named || body.filter.is_some() {
        return flush(desk, request, body);
    }
    let id = find(desk, request, body)?.ok_or(Errno::NOT_FOUND)?;
    if body.id.is_some_and(|shown| shown != desk.engine.shown_id(id)) {
        return Err(Errno::NOT_FOUND);
    }
    desk.engine.kill(desk.now, id);
    desk.conclude(request);
    Ok(Outcome::Done)
}

/// The family counts only for who says that he means it, by a version or a filter: older programs fill it in anyhow.
fn flush(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let Family { family, version, .. } = request.family;
    let means_family = version != 0 || body.filter.is_some();
    let choice = Choice::of(body, if means_family { family } else { Family::ANY })?;
    let task = Task::Delete(desk.cause(request));
    desk.begin(Job::Sweep { cursor: Cursor::default(), choice, task, count: 0, reports: false })
}

/// One worker is one CPU.
fn stats_of_cpu(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let named = desk.engine.stats().named();
    desk.list(request, |writer, asked| {
        let header = header(asked, Subsystem::Conntrack, message::GET_STATS_CPU, Flags::MULTI);
        writer.message(header, Family::default(), |writer| {
            for (counter, (_, count)) in stats::CONNTRACK.iter().zip(named) {
                writer.counter(counter.kind, count as u32);
            }
        });
    })
}

fn stats(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let asked = desk.asked(request);
    let (count, max) = (desk.engine.count() as u32, desk.engine.limits().max);
    desk.session.outbox.send(|writer| {
        let header = header(asked, Subsystem::Conntrack, message::GET_STATS, Flags::MULTI);
        writer.message(header, Family::default(), |writer| {
            writer.counter(stats::ENTRIES, count);
            writer.counter(stats::MAX_ENTRIES, max);
        });
    });
    Outcome::Done
}
