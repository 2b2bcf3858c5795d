//! Events with numbers, as only an engine sends them: who missed some is told which.

use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::tidegate::{self, Attribute, message};
use tidegate_wire::netlink::{Attrs, Family, Flags, Header, Message, Writer};

use super::error::ClientError;
use super::{Heard, Request, kept};

/// Asks for the events of the groups of `mask` that meet conditions, from now on or from behind the one of a number.
pub(super) fn subscription(
    mask: u32,
    after: Option<u64>,
    conditions: impl FnOnce(&mut Writer<'_>),
) -> Request {
    Request::new(Subsystem::Tidegate, message::SUBSCRIBE, Family::default()).with(|writer| {
        Attribute::Groups(mask).write(writer);
        if let Some(number) = after {
            Attribute::Sequence(number).write(writer);
        }
        conditions(writer);
    })
}

/// Whether a message is of the engine's own subsystem.
pub(super) fn is_own(message: &Message<'_>) -> bool {
    matches!(message.header.subsystem(), Some((subsystem, _)) if subsystem == Subsystem::Tidegate as u8)
}

/// Hands over an event as the message that the kernel would have sent, or a gap.
pub(super) fn hear<E: From<ClientError>>(
    message: &Message<'_>,
    each: &mut impl FnMut(Heard<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let (family, attrs) = message.body().map_err(ClientError::from)?;
    let said = Said::parse(attrs)?;
    match message.header.subsystem() {
        Some((_, message::GAP)) => each(Heard::Gap(said.sequence.zip(said.last))),
        Some((_, message::EVENT)) => {
            let bytes = said.as_of_kernel(family);
            kept(&bytes).map_or(Ok(()), |inner| each(Heard::Message(inner, said.sequence)))
        }
        _ => Ok(()),
    }
}

/// What such a message says.
#[derive(Default)]
struct Said<'a> {
    sequence: Option<u64>,
    last: Option<u64>,
    kind: u32,
    port: u32,
    body: &'a [u8],
}

impl<'a> Said<'a> {
    fn parse(attrs: Attrs<'a>) -> Result<Self, ClientError> {
        let mut said = Self::default();
        for attribute in tidegate::attributes(attrs) {
            match attribute? {
                Attribute::Sequence(number) => said.sequence = Some(number),
                Attribute::Last(number) => said.last = Some(number),
                Attribute::Kind(kind) => said.kind = kind,
                Attribute::Number(port) => said.port = port,
                Attribute::Body(body) => said.body = body,
                _ => {}
            }
        }
        Ok(said)
    }

    fn as_of_kernel(&self, family: Family) -> Vec<u8> {
        let flags = Flags::from_bits_retain(self.kind as u16);
        let header = Header { kind: (self.kind >> 16) as u16, flags, seq: 0, pid: self.port };
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(header, family, |writer| {
            Attrs::new(self.body).flatten().for_each(|attr| writer.attr(attr));
        });
        bytes
    }
}
