//! Requests: what may be asked, by whom, and what becomes of it.

pub(super) mod conntrack;
pub(super) mod expect;
pub(super) mod own;
pub(super) mod timeout;

use tidegate_engine::Engine;
use tidegate_engine::command::Creation;
use tidegate_engine::flow::FlowId;
use tidegate_engine::time::Instant;
use tidegate_wire::netlink::frame::{Family, Flags, Header, Message, Subsystem};
use tidegate_wire::netlink::{
    Attrs, conntrack as flows, expect as expectations, tidegate, timeout as timeouts,
};

use super::engines::{At, Engines};
use super::errno::Errno;
use super::job::{Asked, Job, Site};
use super::news::{Cause, News};
use super::session::{Access, Session};

/// A request, as far as all have it in common.
#[derive(Clone, Debug)]
pub(super) struct Request<'a> {
    header: Header,
    family: Family,
    attrs: Attrs<'a>,
}

/// What became of a request that was not refused.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done, which is told if that is wanted.
    Done,
    /// It is done, and the answer says so, or none is wanted.
    Answered,
    /// It has begun.
    Begun(Job),
}

pub(super) type Result<T = Outcome> = core::result::Result<T, Errno>;

/// Where a request is handled.
pub(super) struct Desk<'a> {
    pub(super) session: &'a mut Session,
    pub(super) engines: Engines<'a>,
    pub(super) news: &'a mut News,
    pub(super) now: Instant,
}

impl<'a> Request<'a> {
    /// Reads a message that is one.
    pub(super) fn parse(message: &Message<'a>) -> Result<Self> {
        if !message.header.flags.contains(Flags::REQUEST) {
            return Err(Errno::INVALID);
        }
        let (family, attrs) = message.body().map_err(|_| Errno::INVALID)?;
        Ok(Self { header: message.header, family, attrs })
    }

    fn is(&self, flags: Flags) -> bool {
        self.header.flags.contains(flags)
    }

    fn is_dump(&self) -> bool {
        self.is(Flags::DUMP)
    }
}

/// Handles a request.
pub(super) fn perform(desk: &mut Desk<'_>, request: &Request<'_>) -> Result {
    let (subsystem, number) = request.header.subsystem().ok_or(Errno::INVALID)?;
    let subsystem = Subsystem::of_number(subsystem).ok_or(Errno::INVALID)?;
    if desk.session.access == Access::ReadOnly && changes_something(subsystem, number) {
        return Err(Errno::NOT_PERMITTED);
    }
    match subsystem {
        Subsystem::Conntrack => conntrack::perform(desk, request, number),
        Subsystem::Expect => expect::perform(desk, request, number),
        Subsystem::Timeout => timeout::perform(desk, request, number),
        Subsystem::Tidegate => own::perform(desk, request, number),
    }
}

fn changes_something(subsystem: Subsystem, number: u8) -> bool {
    let changing: &[u8] = match subsystem {
        Subsystem::Conntrack => {
            &[flows::message::NEW, flows::message::DELETE, flows::message::GET_CTRZERO]
        }
        Subsystem::Expect => &[expectations::message::NEW, expectations::message::DELETE],
        Subsystem::Timeout => {
            &[timeouts::message::NEW, timeouts::message::DELETE, timeouts::message::DEFAULT_SET]
        }
        Subsystem::Tidegate => {
            use tidegate::message::{DELETE, RELOAD, SET, SETS};
            &[DELETE, SET, RELOAD, SETS]
        }
    };
    changing.contains(&number)
}

impl Desk<'_> {
    fn asked(&self, request: &Request<'_>) -> Asked {
        self.session.asked(&request.header)
    }

    fn site(&mut self) -> Site<'_> {
        let Self { session, engines, news, now } = self;
        Site { engines: engines.into(), news, now: *now, outbox: &mut session.outbox }
    }

    /// Who brings about what a request brings about.
    fn cause(&self, request: &Request<'_>) -> Cause {
        let echo_to = request.is(Flags::ECHO).then_some(self.session.id);
        Cause { port: self.asked(request).port, echo_to }
    }

    /// A listing begins, unless there is one.
    fn begin(&self, job: Job) -> Result {
        if self.session.is_busy() { Err(Errno::BUSY) } else { Ok(Outcome::Begun(job)) }
    }

    /// Does something to a worker's engine, takes over what that brings about, and tells the requester of it who wants to
    /// know in any case.
    fn act<T>(
        &mut self,
        request: &Request<'_>,
        worker: usize,
        what: impl FnOnce(&mut Engine, Instant) -> T,
    ) -> T {
        let cause = self.cause(request);
        let Self { session, engines, news, now } = self;
        act_at(&mut engines.at(worker, *now), (session, news, cause), what)
    }

    /// Makes a flow, while nobody else can begin another one of its tuples.
    fn create(&mut self, request: &Request<'_>, flow: &Creation<'_>) -> Result<FlowId> {
        let cause = self.cause(request);
        let Self { session, engines, news, now } = self;
        let (_others, mut at) = engines.all_for(*now, flow)?;
        Ok(act_at(&mut at, (session, news, cause), |engine, now| engine.create(now, flow))?)
    }

    /// A listing of one datagram.
    fn list(
        &mut self,
        request: &Request<'_>,
        write: impl FnOnce(&mut tidegate_wire::netlink::Writer<'_>, Asked),
    ) -> Outcome {
        let asked = self.asked(request);
        self.session.outbox.send(|writer| write(writer, asked));
        self.end_listing(request)
    }

    fn end_listing(&mut self, request: &Request<'_>) -> Outcome {
        let asked = self.asked(request);
        self.session.outbox.send(|writer| writer.done(asked.seq, asked.port));
        Outcome::Answered
    }
}

/// See [`Desk::act`].
fn act_at<T>(
    at: &mut At<'_>,
    (session, news, cause): (&mut Session, &mut News, Cause),
    what: impl FnOnce(&mut Engine, Instant) -> T,
) -> T {
    news.gather(at, None);
    let (first, now) = (news.next(), at.now);
    let outcome = what(at, now);
    news.gather(at, Some(cause));
    for item in news.since(first).filter(|item| item.echoes_to(session.id)) {
        session.outbox.send(|writer| item.write(writer));
    }
    outcome
}

/// The header of an answer that is data.
fn header(asked: Asked, subsystem: Subsystem, number: u8, flags: Flags) -> Header {
    Header { kind: Header::kind_of(subsystem, number), flags, seq: asked.seq, pid: asked.port }
}
