//! A conversation with a connection tracking table, in netlink messages: the kernel's, in any network namespace, or
//! that of an engine, through its control socket, or one that was written to a file. Commands see no difference.
//!
//! ```text
//! Place --open--> Table: dump (many answers), exchange (one answer each), listen (events)
//!                   |
//!                 Socket: datagrams, or Saved: a file
//! ```
//!
//! * [`Flow`] and [`Expected`] are what a message says, borrowed from it;
//! * [`mod@names`], [`labels`]: the words for its numbers.
//!
//! What is remembered of an answer is the caller's business: a dump of millions of entries costs one datagram of
//! memory.

mod ahead;
mod error;
mod expected;
mod flow;
pub(crate) mod labels;
mod modules;
pub(crate) mod names;
mod numbered;
mod place;
mod policies;
mod saved;
mod settings;
mod socket;

use rustix::io::Errno;
use tidegate_wire::netlink::frame::{Control, Subsystem};
use tidegate_wire::netlink::{Attrs, Family, Flags, Header, Message, Messages, Writer};

pub(crate) use self::error::{ClientError, Severity};
pub(crate) use self::expected::Expected;
pub(crate) use self::flow::{Counted, Flow, is_label};
pub(crate) use self::place::Place;
pub(crate) use self::policies::Policies;
pub(crate) use self::saved::Saved;
pub(crate) use self::settings::{Settings, module_of};
use self::socket::{Room, Socket};

/// A table, and how far the conversation with it has come.
#[derive(Debug)]
pub(crate) struct Table {
    side: Side,
    sequence: u32,
}

/// Who answers.
#[derive(Debug)]
enum Side {
    Live(Socket),
    Saved(Saved),
}

impl Side {
    /// The socket; who has none can't be asked to change or to tell what happens.
    fn socket(&mut self) -> Result<&mut Socket, ClientError> {
        match self {
            Self::Live(socket) => Ok(socket),
            Self::Saved(saved) => Err(ClientError::ReadOnly(saved.path.clone())),
        }
    }
}

/// What is asked of a table.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    kind: u16,
    flags: Flags,
    family: Family,
    attributes: Vec<u8>,
}

impl Request {
    /// A request without attributes.
    pub(crate) fn new(subsystem: Subsystem, number: u8, family: Family) -> Self {
        let kind = Header::kind_of(subsystem, number);
        Self { kind, flags: Flags::REQUEST, family, attributes: Vec::new() }
    }

    /// The same with more flags.
    pub(crate) fn flags(self, flags: Flags) -> Self {
        Self { flags: self.flags | flags, ..self }
    }

    /// The same with the attributes that `body` writes.
    pub(crate) fn with(mut self, body: impl FnOnce(&mut Writer<'_>)) -> Self {
        body(&mut Writer::new(&mut self.attributes));
        self
    }

    fn write(&self, sequence: u32, datagram: &mut Vec<u8>) {
        let header = Header { kind: self.kind, flags: self.flags, seq: sequence, pid: 0 };
        Writer::new(datagram).message(header, self.family, |writer| {
            Attrs::new(&self.attributes).flatten().for_each(|attr| writer.attr(attr));
        });
    }
}

/// What became of one of several requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why it failed, if it did.
    pub(crate) error: Option<Errno>,
    /// The message that it was answered with, if there was one beside the acknowledgement.
    pub(crate) data: Option<Vec<u8>>,
}

/// What a subscriber hears.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// A message, and its number if the table gives them.
    Message(Message<'a>, Option<u64>),
    /// Some messages were lost: those from one number to another, if the table gives them.
    Gap(Option<(u64, u64)>),
}

impl Table {
    /// Begins a conversation.
    ///
    /// # Errors
    /// There is no such table, or it is not for us.
    pub(crate) fn open(place: &Place) -> Result<Self, ClientError> {
        let side = match place {
            Place::File(saved) => {
                saved.opening()?;
                Side::Saved(saved.clone())
            }
            Place::Kernel(_) | Place::Engine(_) => Side::Live(place.open(0)?),
        };
        Ok(Self { side, sequence: 0 })
    }

    /// Begins to listen to the multicast groups of `mask`, where group 1 is the lowest bit. An engine can begin behind
    /// the event of a number, and leaves out what doesn't meet the conditions that are written.
    ///
    /// # Errors
    /// There is no such table, it is not for us, or it doesn't remember that event.
    pub(crate) fn subscribe(
        place: &Place,
        mask: u32,
        after: Option<u64>,
        conditions: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Self, ClientError> {
        let mut table = Self { side: Side::Live(place.open(mask)?), sequence: 0 };
        if let Place::Engine(_) = place {
            table.ask(&numbered::subscription(mask, after, conditions))?;
        }
        table.side.socket()?.be_impatient()?;
        Ok(table)
    }

    /// Asks for all that a request is about, and hands over answer by answer.
    ///
    /// # Errors
    /// The table refuses, the conversation breaks off, or `each` wants no more.
    pub(crate) fn dump<E: From<ClientError>>(
        &mut self,
        request: &Request,
        mut each: impl FnMut(&Message<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Side::Saved(saved) = &self.side {
            return saved.dump(request, each);
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let mut datagram = Vec::new();
        request.clone().flags(Flags::DUMP).write(sequence, &mut datagram);
        let socket = self.side.socket()?;
        socket.send(&datagram)?;
        let mut room = Room::new();
        loop {
            let datagram = socket.receive(&mut room)?.ok_or(ClientError::Refused(Errno::NOBUFS))?;
            for message in Messages::new(datagram) {
                let message = message.map_err(ClientError::from)?;
                if message.header.seq != sequence {
                    continue;
                }
                match message.control() {
                    None => each(&message)?,
                    Some(Control::Done(0) | Control::Error(0)) => return Ok(()),
                    Some(Control::Done(code) | Control::Error(code)) => {
                        return Err(ClientError::Refused(errno(code)).into());
                    }
                    Some(Control::Noop | Control::Overrun) => {}
                }
            }
        }
    }

    /// Asks for one thing.
    ///
    /// # Errors
    /// The table refuses, or the conversation breaks off.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Option<Vec<u8>>, ClientError> {
        if let Side::Saved(saved) = &self.side {
            return saved.ask(request);
        }
        let mut outcomes = self.exchange(std::slice::from_ref(request))?;
        let outcome = outcomes.pop().unwrap_or(Outcome { error: None, data: None });
        match outcome.error {
            None => Ok(outcome.data),
            Some(errno) => Err(ClientError::Refused(errno)),
        }
    }

    /// Makes requests, some at a time, and tells what became of each.
    ///
    /// # Errors
    /// The conversation breaks off. What the table refuses is an [`Outcome`].
    pub(crate) fn exchange(&mut self, requests: &[Request]) -> Result<Vec<Outcome>, ClientError> {
        let mut outcomes = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            let first = self.sequence + 1;
            let mut datagram = Vec::new();
            for request in some {
                self.sequence += 1;
                request.clone().flags(Flags::ACK).write(self.sequence, &mut datagram);
            }
            self.side.socket()?.send(&datagram)?;
            outcomes.extend(self.collect(first, some.len())?);
        }
        Ok(outcomes)
    }

    /// The outcomes of requests that have consecutive numbers. An acknowledgement is each one's last word.
    fn collect(&mut self, first: u32, count: usize) -> Result<Vec<Outcome>, ClientError> {
        let mut outcomes = vec![Outcome { error: None, data: None }; count];
        let mut open = count;
        let mut room = Room::new();
        while open > 0 {
            let datagram = self.side.socket()?.receive(&mut room)?;
            let datagram = datagram.ok_or(ClientError::Refused(Errno::NOBUFS))?;
            for message in Messages::new(datagram) {
                let message = message?;
                let index = message.header.seq.wrapping_sub(first) as usize;
                let Some(outcome) = outcomes.get_mut(index) else { continue };
                match message.control() {
                    Some(Control::Error(code)) => {
                        outcome.error = (code != 0).then(|| errno(code));
                        open -= 1;
                    }
                    Some(_) => {}
                    None => outcome.data = Some(keep(&message)),
                }
            }
        }
        Ok(outcomes)
    }

    /// Waits for the next datagram of events and hands over what is in it; or for a moment in vain.
    ///
    /// # Errors
    /// The conversation breaks off, or `each` wants no more.
    pub(crate) fn listen<E: From<ClientError>>(
        &mut self,
        mut each: impl FnMut(Heard<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut room = Room::new();
        let Some(datagram) = self.side.socket()?.receive(&mut room)? else {
            return each(Heard::Gap(None));
        };
        for message in Messages::new(datagram) {
            let message = message.map_err(ClientError::from)?;
            match message.control() {
                None if numbered::is_own(&message) => numbered::hear(&message, &mut each)?,
                None => each(Heard::Message(message, None))?,
                Some(Control::Overrun) => each(Heard::Gap(None))?,
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// A message as a datagram of its own.
pub(crate) fn keep(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + message.payload.len());
    let Ok((family, attrs)) = message.body() else { return bytes };
    Writer::new(&mut bytes).message(message.header, family, |writer| {
        attrs.flatten().for_each(|attr| writer.attr(attr));
    });
    bytes
}

/// The message that was kept.
pub(crate) fn kept(bytes: &[u8]) -> Option<Message<'_>> {
    Messages::new(bytes).next()?.ok()
}

fn errno(code: i32) -> Errno {
    Errno::from_raw_os_error(code)
}

const HEADER_LEN: usize = 16;
/// Requests in one datagram: the answers to all of them must fit into an ordinary user's receive buffer.
const AT_ONCE: usize = 50;
