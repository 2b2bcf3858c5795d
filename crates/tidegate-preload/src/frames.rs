//! What is told to the server besides the program's own messages, and what is heard from it.

use tidegate_wire::netlink::frame::{Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::tidegate::{Attribute, attributes, message};
use tidegate_wire::netlink::{Messages, Writer};

/// Who the program takes itself for.
pub(crate) fn hello(port: u32) -> Vec<u8> {
    told(message::HELLO, &[Attribute::Number(port)])
}

/// Which groups the program is in.
pub(crate) fn membership(groups: u32) -> Vec<u8> {
    told(message::MEMBERSHIP, &[Attribute::Groups(groups)])
}

/// An option of netlink that the program has set.
pub(crate) fn option(number: u32, value: &[u8]) -> Vec<u8> {
    told(message::OPTION, &[Attribute::Number(number), Attribute::Value(value)])
}

fn told(number: u8, attributes: &[Attribute<'_>]) -> Vec<u8> {
    let kind = Header::kind_of(Subsystem::Tidegate, number);
    let header = Header { kind, flags: Flags::REQUEST, seq: 0, pid: 0 };
    let mut out = Vec::new();
    Writer::new(&mut out).message(header, Family::default(), |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    });
    out
}

/// The errno with which a call shall fail, if a datagram says that.
pub(crate) fn failure(datagram: &[u8]) -> Option<i32> {
    let message = Messages::new(datagram).next()?.ok()?;
    if message.header.kind != Header::kind_of(Subsystem::Tidegate, message::FAILURE) {
        return None;
    }
    let (_, attrs) = message.body().ok()?;
    attributes(attrs).flatten().find_map(|attribute| match attribute {
        Attribute::Number(errno) => i32::try_from(errno).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_is_one() {
        let failed = told(message::FAILURE, &[Attribute::Number(105)]);
        assert_eq!(failure(&failed), Some(105));
        for other in [hello(7), membership(3), option(5, &[1, 0, 0, 0]), failed[..20].to_vec()] {
            assert_eq!(failure(&other), None);
        }
    }
}
