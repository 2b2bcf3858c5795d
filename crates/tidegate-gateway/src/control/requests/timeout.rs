//! Requests about timeouts: policies, and everybody's. Linux: `nfnetlink_cttimeout.c`.

use tidegate_engine::Engine;
use tidegate_engine::command::{NewPolicy, OnExisting};
use tidegate_engine::limits::Policy;
use tidegate_wire::netlink::frame::{Family, Flags, Subsystem};
use tidegate_wire::netlink::timeout::{Attribute, attributes, message};
use tidegate_wire::netlink::{Attrs, Writer};

use super::{Desk, Outcome, Request, Result, header};
use crate::control::errno::Errno;
use crate::control::job::{Asked, Job};
use crate::control::tuple::family;

/// What a request says.
#[derive(Debug, Default)]
struct Body<'a> {
    name: Option<&'a str>,
    network: Option<u16>,
    proto: Option<u8>,
    timeouts: Option<Vec<(u16, u32)>>,
}

impl<'a> Body<'a> {
    fn parse(attrs: Attrs<'a>) -> Result<Self> {
        let mut body = Self::default();
        for attribute in attributes(attrs) {
            match attribute? {
                Attribute::Name(name) => {
                    body.name = Some(str::from_utf8(name).map_err(|_| Errno::INVALID)?);
                }
                Attribute::Network(number) => body.network = Some(number),
                Attribute::Proto(number) => body.proto = Some(number),
                Attribute::Timeouts(timeouts) => body.timeouts = Some(timeouts),
                Attribute::Use(_) | Attribute::Other(_) => {}
            }
        }
        Ok(body)
    }
}

pub(super) fn perform(desk: &mut Desk<'_>, request: &Request<'_>, number: u8) -> Result {
    let body = Body::parse(request.attrs.clone())?;
    match number {
        message::NEW => new(desk, request, &body),
        message::GET if request.is_dump() => desk.begin(Job::Policies { behind: 0 }),
        message::GET => get(desk, request, &body),
        message::DELETE => {
            match body.name {
                Some(name) => desk.engines.change(desk.now, |engine| engine.remove_policy(name))?,
                None => desk.engines.change(desk.now, Engine::remove_policies),
            }
            Ok(Outcome::Done)
        }
        message::DEFAULT_SET => {
            let (Some(proto), Some(timeouts)) = (body.proto, &body.timeouts) else {
                return Err(Errno::INVALID);
            };
            desk.engines.change(desk.now, |engine| engine.set_timeouts(proto, timeouts))?;
            Ok(Outcome::Done)
        }
        message::DEFAULT_GET => get_default(desk, request, &body),
        _ => Err(Errno::INVALID),
    }
}

fn new(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let Body { name: Some(name), network: Some(network), proto: Some(proto), timeouts: Some(all) } =
        body
    else {
        return Err(Errno::INVALID);
    };
    let on_existing = match (request.is(Flags::EXCL), request.is(Flags::REPLACE)) {
        (true, _) => OnExisting::Refuse,
        (false, true) => OnExisting::Replace,
        (false, false) => OnExisting::Keep,
    };
    let family = u8::try_from(*network).ok().and_then(family).ok_or(Errno::NOT_SUPPORTED)?;
    let new = NewPolicy { name, family, proto: *proto, timeouts: all };
    desk.engines.change(desk.now, |engine| engine.put_policy(&new, on_existing))?;
    Ok(Outcome::Done)
}

fn get(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let name = body.name.ok_or(Errno::INVALID)?;
    let asked = desk.asked(request);
    let at = desk.engines.at(0, desk.now);
    let policy = at.policies().iter().find(|policy| policy.name == name);
    let policy = policy.ok_or(Errno::NOT_FOUND)?;
    desk.session.outbox.send(|writer| show(writer, asked, policy));
    Ok(Outcome::Done)
}

/// Writes a policy.
pub(in crate::control) fn show(writer: &mut Writer<'_>, asked: Asked, policy: &Policy) {
    let header = header(asked, Subsystem::Timeout, message::NEW, Flags::MULTI);
    writer.message(header, Family::default(), |writer| {
        Attribute::Name(policy.name.as_bytes()).write(writer);
        Attribute::Network(Family::of(policy.family).family.into()).write(writer);
        Attribute::Proto(policy.proto).write(writer);
        Attribute::Use(1).write(writer);
        let all = policy.timeouts.numbered(policy.proto).unwrap_or_default();
        Attribute::Timeouts(all).write(writer);
    });
}

/// The answer is marked, by an old mistake of the kernel's, as if it were to set them.
fn get_default(desk: &mut Desk<'_>, request: &Request<'_>, body: &Body<'_>) -> Result {
    let (Some(network), Some(proto)) = (body.network, body.proto) else {
        return Err(Errno::INVALID);
    };
    let all = desk.engines.limits(desk.now).timeouts.numbered(proto).ok_or(Errno::NOT_SUPPORTED)?;
    let asked = desk.asked(request);
    desk.session.outbox.send(|writer| {
        let header = header(asked, Subsystem::Timeout, message::DEFAULT_SET, Flags::MULTI);
        writer.message(header, Family::default(), |writer| {
            Attribute::Network(network).write(writer);
            Attribute::Proto(proto).write(writer);
            Attribute::Timeouts(all).write(writer);
        });
    });
    Ok(Outcome::Done)
}
