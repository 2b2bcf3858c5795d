//! Requests that no kernel knows: numbered events, conditions, reasons, settings, and what a shim says for its
//! program.

use tidegate_engine::ipset::SetError;
use tidegate_engine::limits::{Limits, Outcome as Setting};
use tidegate_engine::track::InvalidReason;
use tidegate_engine::verdict::DropReason;
use tidegate_wire::netlink::frame::{Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::tidegate::{Attribute, attributes, message};
use tidegate_wire::netlink::{Attrs, Writer};

use super::{Desk, Outcome, Request, Result, header};
use crate::control::condition::Conditions;
use crate::control::errno::Errno;
use crate::control::filter::Choice;
use crate::control::job::{Asked, Job, Question, Round, Task};
use crate::control::news::Item;
use crate::control::outbox::Outbox;
use crate::control::session::{Listening, Style};

/// What a request says.
#[derive(Debug, Default)]
struct Body<'a> {
    sequence: Option<u64>,
    groups: Option<u32>,
    conditions: Conditions,
    name: Option<&'a str>,
    value: Option<&'a [u8]>,
    number: Option<u32>,
    packet: Option<&'a [u8]>,
}

impl<'a> Body<'a> {
    /// What isn't known here is refused: a condition that is passed over would choose too much.
    fn parse(attrs: Attrs<'a>) -> Result<Self> {
        let mut body = Self::default();
        for attribute in attributes(attrs) {
            match attribute? {
                Attribute::Sequence(number) => body.sequence = Some(number),
                Attribute::Groups(groups) => body.groups = Some(groups),
                Attribute::Condition(condition) => body.conditions.add(&condition)?,
                Attribute::Name(name) => {
                    body.name = Some(str::from_utf8(name).map_err(|_| Errno::INVALID)?);
                }
                Attribute::Value(value) => body.value = Some(value),
                Attribute::Number(number) => body.number = Some(number),
                Attribute::Packet(packet) => body.packet = Some(packet),
                Attribute::Last(_)
                | Attribute::Count(_)
                | Attribute::Class(_)
                | Attribute::Kind(_)
                | Attribute::Body(_)
                | Attribute::Time(_)
                | Attribute::Text(_)
                | Attribute::Other(_) => return Err(Errno::NOT_SUPPORTED),
            }
        }
        Ok(body)
    }
}

pub(super) fn perform(desk: &mut Desk<'_>, request: &Request<'_>, number: u8) -> Result {
    let body = Body::parse(request.attrs.clone())?;
    match number {
        message::SUBSCRIBE => subscribe(desk, body),
        message::LIST => {
            let choice = Choice::Conditions(body.conditions);
            desk.begin(Job::Flows { round: Round::default(), choice, zeroes: false })
        }
        message::COUNT => sweep(desk, body, Task::Count),
        message::DELETE if body.conditions.is_empty() => Err(Errno::INVALID),
        message::DELETE => {
            let cause = desk.cause(request);
            sweep(desk, body, Task::Delete(cause))
        }
        message::REASONS => Ok(reasons(desk, request)),
        message::SETTINGS => settings(desk, request, &body),
        message::SET => set(desk, &body),
        message::EXPLAIN => {
            let datagram = body.packet.ok_or(Errno::INVALID)?.to_vec();
            let (port, mark) = (body.name.map(str::to_owned), body.number.unwrap_or(0));
            desk.begin(Job::Question(Question { datagram, port, mark }))
        }
        message::RELOAD => desk.begin(Job::Reload),
        message::SETS => sets(desk, request, &body),
        message::HELLO => {
            desk.session.port = body.number;
            Ok(Outcome::Done)
        }
        message::MEMBERSHIP => Ok(join(desk, &body)),
        message::OPTION => option(desk, &body),
        _ => Err(Errno::NOT_SUPPORTED),
    }
}

fn sweep(desk: &mut Desk<'_>, body: Body<'_>, task: Task) -> Result {
    let choice = Choice::Conditions(body.conditions);
    desk.begin(Job::Sweep { round: Round::default(), choice, task, count: 0, reports: true })
}

/// Events from now on, or from behind the last one that is known.
fn subscribe(desk: &mut Desk<'_>, body: Body<'_>) -> Result {
    let groups = body.groups.ok_or(Errno::INVALID)?;
    let next = match body.sequence {
        None => desk.news.next(),
        // From the future: of another run.
        Some(last) if last >= desk.news.next() => return Err(Errno::RANGE),
        Some(last) => last + 1,
    };
    let style = Style::Numbered(body.conditions);
    desk.session.listening = (groups != 0).then_some(Listening { groups, next, style });
    Ok(Outcome::Done)
}

fn join(desk: &mut Desk<'_>, body: &Body<'_>) -> Outcome {
    let groups = body.groups.unwrap_or(0);
    let next = match &desk.session.listening {
        Some(listening) => listening.next,
        None => desk.news.next(),
    };
    desk.session.listening =
        (groups != 0).then_some(Listening { groups, next, style: Style::Kernel });
    Outcome::Done
}

/// `NETLINK_NO_ENOBUFS`, `NETLINK_CAP_ACK`; the others change nothing here.
fn option(desk: &mut Desk<'_>, body: &Body<'_>) -> Result {
    const NO_ENOBUFS: u32 = 5;
    const CAP_ACK: u32 = 10;
    let value = body.value.and_then(|value| value.first_chunk()).ok_or(Errno::INVALID)?;
    let is_on = u32::from_ne_bytes(*value) != 0;
    match body.number {
        Some(NO_ENOBUFS) => desk.session.options.ignores_overruns = is_on,
        Some(CAP_ACK) => desk.session.options.caps_answers = is_on,
        Some(_) => {}
        None => return Err(Errno::INVALID),
    }
    Ok(Outcome::Done)
}

fn reasons(desk: &mut Desk<'_>, request: &Request<'_>) -> Outcome {
    let asked = desk.asked(request);
    let (mut drops, mut invalid) = ([0; DropReason::COUNT], [0; InvalidReason::COUNT]);
    for worker in 0..desk.engines.workers() {
        let at = desk.engines.at(worker, desk.now);
        let add = |(sum, count): (&mut u64, &u64)| *sum += count;
        drops.iter_mut().zip(&at.stats().drops).for_each(add);
        invalid.iter_mut().zip(&at.stats().invalid_reasons).for_each(add);
    }
    let drops = DropReason::NAMES.into_iter().zip(drops).map(|one| ("drop", one));
    let invalid = InvalidReason::NAMES.into_iter().zip(invalid);
    for (class, (name, count)) in drops.chain(invalid.map(|one| ("invalid", one))) {
        desk.session.outbox.gather(|writer| {
            let header = header(asked, Subsystem::Tidegate, message::REASONS, Flags::MULTI);
            writer.message(header, Family::default(), |writer| {
                Attribute::Class(class.as_bytes()).write(writer);
                Attribute::Name(name.as_bytes()).write(writer);
                Attribute::Count(count).write(writer);
            });
        });
    }
    desk.end_listing(request)
}

fn settings(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let asked = desk.asked(request);
    let limits = desk.engines.limits(desk.now);
    let name = body.name.map(|name| name.replace('/', "."));
    let mut found = false;
    for key in Limits::names().filter(|key| name.as_deref().is_none_or(|name| name == *key)) {
        let Some(value) = limits.value(key) else { continue };
        found = true;
        desk.session.outbox.gather(|writer| {
            let header = header(asked, Subsystem::Tidegate, message::SETTINGS, Flags::MULTI);
            writer.message(header, Family::default(), |writer| {
                Attribute::Name(key.as_bytes()).write(writer);
                Attribute::Value(value.as_bytes()).write(writer);
            });
        });
    }
    if found { Ok(desk.end_listing(request)) } else { Err(Errno::NOT_FOUND) }
}

/// What only a kernel's next incarnation would take over is refused.
fn set(desk: &mut Desk<'_>, body: &Body<'_>) -> Result {
    let name = body.name.ok_or(Errno::INVALID)?;
    let value = body.value.and_then(|value| str::from_utf8(value).ok()).ok_or(Errno::INVALID)?;
    if desk.engines.limits(desk.now).value(name).is_none() {
        return Err(Errno::NOT_FOUND);
    }
    match desk.engines.change_limits(desk.now, |engine| engine.set(name, value)) {
        Ok(Setting::Stored) => Ok(Outcome::Done),
        Ok(_) | Err(_) => Err(Errno::INVALID),
    }
}

/// Lines about sets. What is wrong with one is told, and the others are done. Of several workers' sets, to which rules may
/// have added different entries, a line is done if one of them has done it.
fn sets(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let text = body.value.and_then(|value| str::from_utf8(value).ok()).ok_or(Errno::INVALID)?;
    let mut all = desk.engines.all(desk.now);
    let outcomes = all.iter_mut().map(|at| {
        let now = at.now;
        at.restore_sets(now, "sets", text).err().unwrap_or_default()
    });
    let common = |mut errors: Vec<SetError>, others: Vec<SetError>| {
        errors.retain(|error| others.iter().any(|other| other.line == error.line));
        errors
    };
    let mut errors = outcomes.reduce(common).unwrap_or_default();
    drop(all);
    if errors.is_empty() {
        return Ok(desk.end_listing(request));
    }
    let asked = desk.asked(request);
    for error in &mut errors {
        error.line += body.number.unwrap_or(0) as usize;
        tell_text(&mut desk.session.outbox, asked, &error.to_string());
    }
    Err(Errno::INVALID)
}

/// Writes a text, in as many messages as it takes: each has whole lines.
pub(in crate::control) fn tell_text(outbox: &mut Outbox, asked: Asked, text: &str) {
    for line in text.split_inclusive('\n') {
        outbox.gather(|writer| {
            let header = header(asked, Subsystem::Tidegate, message::EXPLAIN, Flags::MULTI);
            writer.message(header, Family::default(), |writer| {
                Attribute::Text(line.as_bytes()).write(writer);
            });
        });
    }
}

/// Writes an event with its number.
pub(in crate::control) fn tell(writer: &mut Writer<'_>, item: &Item) {
    let (of, family) = item.frame();
    writer.message(event_header(message::EVENT), family, |writer| {
        Attribute::Sequence(item.sequence).write(writer);
        Attribute::Time(item.time()).write(writer);
        Attribute::Kind(u32::from(of.kind) << 16 | u32::from(of.flags.bits())).write(writer);
        if of.pid != 0 {
            Attribute::Number(of.pid).write(writer);
        }
        let mut body = Vec::new();
        item.write_body(&mut Writer::new(&mut body));
        Attribute::Body(&body).write(writer);
    });
}

/// Writes that the events `first` to `last` are lost to a listener.
pub(in crate::control) fn tell_gap(writer: &mut Writer<'_>, first: u64, last: u64) {
    writer.message(event_header(message::GAP), Family::default(), |writer| {
        Attribute::Sequence(first).write(writer);
        Attribute::Last(last).write(writer);
    });
}

fn event_header(number: u8) -> Header {
    let kind = Header::kind_of(Subsystem::Tidegate, number);
    Header { kind, flags: Flags::empty(), seq: 0, pid: 0 }
}
