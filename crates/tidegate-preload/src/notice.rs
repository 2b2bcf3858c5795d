//! What passes between the shim and the engine beside the program's own messages: netlink keeps it in addresses and
//! socket options.

use tidegate_wire::netlink::tidegate::{Attribute, attributes, message};
use tidegate_wire::netlink::{Family, Flags, Header, Messages, Writer, frame::Subsystem};

/// Who the program takes itself for.
pub(crate) fn hello(port: u32) -> Vec<u8> {
    notice(message::HELLO, &[Attribute::Number(port)])
}

/// The groups of events that it listens to.
pub(crate) fn membership(groups: u32) -> Vec<u8> {
    notice(message::MEMBERSHIP, &[Attribute::Groups(groups)])
}

/// An option of the netlink socket.
pub(crate) fn option(number: u32, value: &[u8]) -> Vec<u8> {
    notice(message::OPTION, &[Attribute::Number(number), Attribute::Value(value)])
}

fn notice(number: u8, attributes: &[Attribute<'_>]) -> Vec<u8> {
    let kind = Header::kind_of(Subsystem::Tidegate, number);
    let header = Header { kind, flags: Flags::REQUEST, seq: 0, pid: 0 };
    let mut bytes = Vec::new();
    Writer::new(&mut bytes).message(header, Family::default(), |writer| {
        for attribute in attributes {
            attribute.write(writer);
        }
    });
    bytes
}

/// The longest datagram that says that a call fails.
pub(crate) const FAILURE_LEN: usize = 64;

/// The errno with which a call fails, if that is what the datagram says: events were lost.
pub(crate) fn failure(datagram: &[u8]) -> Option<i32> {
    let message = Messages::new(datagram).next()?.ok()?;
    let kind = Header::kind_of(Subsystem::Tidegate, message::FAILURE);
    let (_, attrs) = (message.header.kind == kind).then(|| message.body().ok()).flatten()?;
    attributes(attrs).flatten().find_map(|attribute| match attribute {
        Attribute::Number(errno) => i32::try_from(errno).ok(),
        _ => None,
    })
}
