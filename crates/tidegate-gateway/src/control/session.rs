//! One client: what it may, what it asked for, what it listens to, and what it is still to be sent.

use tidegate_engine::time::Instant;
use tidegate_wire::netlink::frame::{Control, Family, Flags, Header, Message, Subsystem};
use tidegate_wire::netlink::{Answer, Messages, tidegate};

use super::condition::Conditions;
use super::engines::Engines;
use super::errno::Errno;
use super::job::{self, Asked, Job, Progress, Question, Site};
use super::news::News;
use super::outbox::Outbox;
use super::requests::{self, Outcome, Request};

/// What a client may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look and listen.
    ReadOnly,
    /// Everything.
    Admin,
}

/// What a client sent is no message: there is no way to answer, and the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hangup;

/// What a client has set on its socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Options {
    /// Failed requests are not repeated (`NETLINK_CAP_ACK`).
    pub(super) caps_answers: bool,
    /// It doesn't want to know when it lost events (`NETLINK_NO_ENOBUFS`).
    pub(super) ignores_overruns: bool,
}

/// What a client listens to.
#[derive(Debug)]
pub(super) struct Listening {
    /// A bit for each group.
    pub(super) groups: u32,
    /// The number of the next event that it is to see.
    pub(super) next: u64,
    /// How it is told.
    pub(super) style: Style,
}

/// How events are told.
#[derive(Debug)]
pub(super) enum Style {
    /// As a kernel does.
    Kernel,
    /// With numbers and gaps, and only those that meet the conditions.
    Numbered(Conditions),
}

/// A client's side of the server.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) access: Access,
    /// Who the client takes itself for, if a shim has said so.
    pub(super) port: Option<u32>,
    pub(super) options: Options,
    pub(super) listening: Option<Listening>,
    pub(super) outbox: Outbox,
    job: Option<Pending>,
    /// Messages that wait until that is done.
    waiting: Vec<u8>,
}

/// What is going on, and for which request: its header and its payload's length are kept for the answer.
#[derive(Debug)]
struct Pending {
    job: Job,
    header: Header,
    len: usize,
}

/// So many events are looked at, at most, to find one for a listener.
const LOOKED_AT: usize = 512;

impl Session {
    pub(super) fn new(id: u64, access: Access) -> Self {
        Self {
            id,
            access,
            port: None,
            options: Options::default(),
            listening: None,
            outbox: Outbox::default(),
            job: None,
            waiting: Vec::new(),
        }
    }

    /// Whether it can take another datagram.
    pub(super) fn is_ready(&self) -> bool {
        self.waiting.is_empty() && !self.holds_requests() && !self.outbox.is_full()
    }

    fn holds_requests(&self) -> bool {
        self.job.as_ref().is_some_and(|pending| pending.job.holds_requests())
    }

    /// Does what the messages of a datagram ask for.
    pub(super) fn receive(
        &mut self,
        (engines, news): (&mut Engines<'_>, &mut News),
        now: Instant,
        datagram: &[u8],
    ) -> Result<(), Hangup> {
        let mut rest = datagram;
        if rest.is_empty() {
            return Err(Hangup);
        }
        while let Some(message) = Messages::new(rest).next() {
            if self.holds_requests() || self.outbox.is_full() {
                self.waiting.extend_from_slice(rest);
                return Ok(());
            }
            let message = message.map_err(|_| Hangup)?;
            self.handle((&mut *engines, &mut *news), now, &message);
            let len = tidegate_wire::netlink::frame::HEADER_LEN + message.payload.len();
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn handle(
        &mut self,
        (engines, news): (&mut Engines<'_>, &mut News),
        now: Instant,
        of: &Message<'_>,
    ) {
        let outcome = Request::parse(of).and_then(|request| {
            let mut desk = requests::Desk { session: self, engines: engines.into(), news, now };
            requests::perform(&mut desk, &request)
        });
        match outcome {
            Ok(Outcome::Done) if of.header.flags.contains(Flags::ACK) => self.answer(of, 0),
            Ok(Outcome::Done | Outcome::Answered) => {}
            Ok(Outcome::Begun(job)) => {
                let (header, len) = (of.header, of.payload.len());
                self.job = Some(Pending { job, header, len });
            }
            Err(Errno(errno)) => self.answer(of, errno),
        }
    }

    /// Whether something is going on already.
    pub(super) fn is_busy(&self) -> bool {
        self.job.is_some()
    }

    /// How answers to a request are marked.
    pub(super) fn asked(&self, header: &Header) -> Asked {
        Asked { seq: header.seq, port: self.port.unwrap_or(header.pid) }
    }

    fn answer(&mut self, request: &Message<'_>, errno: i32) {
        let repeats = !self.options.caps_answers;
        let pid = self.asked(&request.header).port;
        let answer = Answer { pid, ..Answer::to(*request, errno, repeats) };
        self.outbox.send(|writer| writer.answer(&answer));
    }

    /// Whether something is going on, and can go on.
    pub(super) fn can_work(&self) -> bool {
        let goes_on = |pending: &Pending| !pending.job.waits();
        self.job.as_ref().map_or(!self.waiting.is_empty(), goes_on) && !self.outbox.is_full()
    }

    /// Goes on with what is going on, by a piece.
    pub(super) fn work(&mut self, engines: &mut Engines<'_>, news: &mut News, now: Instant) {
        if !self.can_work() {
            return;
        }
        let Some(mut pending) = self.job.take() else {
            let waiting = core::mem::take(&mut self.waiting);
            // What waits was read before; what can't be read ends it.
            let _ = self.receive((engines, news), now, &waiting);
            return;
        };
        let header = pending.header;
        let asked = self.asked(&header);
        let site =
            &mut Site { engines: (&mut *engines).into(), news, now, outbox: &mut self.outbox };
        match pending.job.go_on(asked, site) {
            Progress::More => self.job = Some(pending),
            Progress::Listed => self.outbox.send(|writer| writer.done(asked.seq, asked.port)),
            Progress::Swept(count, true) => {
                job::report(&mut self.outbox, asked, header.kind as u8, count);
            }
            Progress::Swept(_, false) if header.flags.contains(Flags::ACK) => {
                let done = Answer::to(Message { header, payload: &[] }, 0, false);
                let done = Answer { pid: asked.port, request_len: pending.len, ..done };
                self.outbox.send(|writer| writer.answer(&done));
            }
            Progress::Swept(_, false) => {}
        }
        if self.job.is_none() && !self.waiting.is_empty() {
            let waiting = core::mem::take(&mut self.waiting);
            // What waits was read as far as the request that is done now; what can't be read ends it.
            let _ = self.receive((engines, news), now, &waiting);
        }
    }

    /// Answers what the client wants to know of a packet, if it does: with a text, in lines of messages.
    pub(super) fn explain(&mut self, answer: impl FnOnce(&Question) -> Result<String, Errno>) {
        let Some(pending) = self.job.take_if(|pending| pending.job.question().is_some()) else {
            return;
        };
        let Some(question) = pending.job.question() else { return };
        match answer(question) {
            Ok(text) => self.tell(&pending, &text, Ok(())),
            Err(error) => self.tell(&pending, "", Err(error)),
        }
    }

    /// Whether the client wants the files to be read again.
    pub(super) fn wants_reload(&self) -> bool {
        self.job.as_ref().is_some_and(|pending| matches!(pending.job, Job::Reload))
    }

    /// Answers that wish.
    pub(super) fn reloaded(&mut self, report: &str, outcome: Result<(), Errno>) {
        if let Some(pending) = self.job.take_if(|pending| matches!(pending.job, Job::Reload)) {
            self.tell(&pending, report, outcome);
        }
    }

    /// A text in lines of messages, and how it ends.
    fn tell(&mut self, pending: &Pending, text: &str, outcome: Result<(), Errno>) {
        let asked = self.asked(&pending.header);
        requests::own::tell_text(&mut self.outbox, asked, text);
        match outcome {
            Ok(()) => self.outbox.send(|writer| writer.done(asked.seq, asked.port)),
            Err(Errno(errno)) => {
                let request = Message { header: pending.header, payload: &[] };
                let refusal = Answer::to(request, errno, false);
                let refusal = Answer { pid: asked.port, request_len: pending.len, ..refusal };
                self.outbox.send(|writer| writer.answer(&refusal));
            }
        }
    }

    /// Puts the next events into the outbox, if nothing else waits there; whether there may be more.
    pub(super) fn listen(&mut self, news: &News) -> bool {
        if self.outbox.front().is_some() {
            return true;
        }
        let Some(listening) = &mut self.listening else { return false };
        if listening.next < news.first() {
            let lost = (listening.next, news.first() - 1);
            listening.next = news.first();
            Self::tell_loss(&mut self.outbox, listening, lost, (self.port, self.options));
            return true;
        }
        for item in news.since(listening.next).take(LOOKED_AT) {
            if self.outbox.is_full() {
                break;
            }
            listening.next = item.sequence + 1;
            let is_wanted = item.group() & listening.groups != 0;
            if !is_wanted || item.echoes_to(self.id) {
                continue;
            }
            match &listening.style {
                Style::Kernel => self.outbox.send(|writer| item.write(writer)),
                Style::Numbered(conditions) if item.meets(conditions) => {
                    self.outbox.gather(|writer| requests::own::tell(writer, item));
                }
                Style::Numbered(_) => {}
            }
        }
        listening.next < news.next() || self.outbox.front().is_some()
    }

    /// Says which events are lost: by their numbers, or as a kernel does when a socket's buffer has run over.
    fn tell_loss(
        outbox: &mut Outbox,
        listening: &Listening,
        (first, last): (u64, u64),
        (port, options): (Option<u32>, Options),
    ) {
        match (&listening.style, port) {
            (Style::Numbered(_), _) => {
                outbox.send(|writer| requests::own::tell_gap(writer, first, last));
            }
            (Style::Kernel, _) if options.ignores_overruns => {}
            (Style::Kernel, Some(_)) => outbox.send(|writer| {
                let kind = Header::kind_of(Subsystem::Tidegate, tidegate::message::FAILURE);
                let header = Header { kind, flags: Flags::empty(), seq: 0, pid: 0 };
                writer.message(header, Family::default(), |writer| {
                    tidegate::Attribute::Number(Errno::NO_BUFFERS.0 as u32).write(writer);
                });
            }),
            (Style::Kernel, None) => outbox.send(|writer| writer.control(Control::Overrun)),
        }
    }
}
