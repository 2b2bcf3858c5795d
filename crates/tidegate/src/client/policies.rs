//! Which protocols' flows a timeout policy may apply to.
//!
//! A rule gives a flow a policy; the flow itself doesn't tell of it. Policies are objects of cttimeout (iptables, and an
//! engine's) or of nftables.

use std::collections::BTreeSet;

use rustix::io::Errno;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::timeout::message;
use tidegate_wire::netlink::{Attr, Attrs, Family, Flags, Message, Writer};

use super::error::ClientError;
use super::modules::Part;
use super::place::Place;
use super::{Request, Table};

/// The protocols that a table has timeout policies for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policies {
    protocols: BTreeSet<u8>,
}

impl Policies {
    /// Those of a table; `None`: nobody can be asked, as of a file.
    ///
    /// # Errors
    /// The conversation breaks off, or it isn't permitted.
    pub(crate) fn of(place: &Place) -> Result<Option<Self>, ClientError> {
        let mut found = Self::default();
        match place {
            Place::File(_) => return Ok(None),
            Place::Engine(_) => found.ask(place, &cttimeout(), &CTTIMEOUT)?,
            Place::Kernel(_) => {
                // A part that isn't there has no policies, and would be loaded if it were asked.
                if CTTIMEOUT_PART.is_there() {
                    found.ask(place, &cttimeout(), &CTTIMEOUT)?;
                }
                if NFTABLES_PART.is_there() {
                    found.ask(place, &nftables(), &NFTABLES)?;
                }
            }
        }
        Ok(Some(found))
    }

    /// Whether one may apply to flows of a protocol.
    pub(crate) fn may_apply(&self, protocol: u8) -> bool {
        self.protocols.contains(&protocol) || self.protocols.contains(&EVERY)
    }

    fn ask(&mut self, place: &Place, request: &Request, path: &[u16]) -> Result<(), ClientError> {
        let asked = Table::open(place)?.dump(request, |message| self.add(message, path));
        match asked {
            // A kernel that hasn't the subsystem has no policies of it.
            Err(ClientError::Refused(Errno::INVAL | Errno::OPNOTSUPP)) => Ok(()),
            asked => asked,
        }
    }

    /// `path`: the attributes, from the outermost on, that the protocol's number stands in.
    fn add(&mut self, message: &Message<'_>, path: &[u16]) -> Result<(), ClientError> {
        let (_, attrs) = message.body()?;
        self.protocols.insert(number_at(attrs, path).unwrap_or(EVERY));
        Ok(())
    }
}

fn number_at(attrs: Attrs<'_>, path: &[u16]) -> Option<u8> {
    let (kind, rest) = path.split_first()?;
    let attr = attrs.flatten().find(|attr| attr.kind == *kind)?;
    if rest.is_empty() {
        attr.value.first().copied()
    } else {
        number_at(Attrs::new(attr.value), rest)
    }
}

fn cttimeout() -> Request {
    Request::new(Subsystem::Timeout, message::GET, Family::default())
}

/// `NFT_MSG_GETOBJ` for objects of the type `NFT_OBJECT_CT_TIMEOUT`.
fn nftables() -> Request {
    let mut attributes = Vec::new();
    let value = 7_u32.to_be_bytes();
    Writer::new(&mut attributes).attr(Attr { kind: 3, nested: false, value: &value });
    let (kind, family) = (10 << 8 | 19, Family::default());
    Request { kind, flags: Flags::REQUEST, family, attributes }
}

const CTTIMEOUT_PART: Part = Part { module: "nfnetlink_cttimeout", function: "cttimeout_" };
const NFTABLES_PART: Part = Part { module: "nf_tables", function: "nf_tables_newtable" };
/// `CTA_TIMEOUT_L4PROTO`.
const CTTIMEOUT: [u16; 1] = [3];
/// `NFTA_OBJ_DATA`, and in it `NFTA_CT_TIMEOUT_L4PROTO`.
const NFTABLES: [u16; 2] = [4, 2];
/// The number of what has no tracker of its own, which may be anything; and of what doesn't tell.
const EVERY: u8 = 255;

#[cfg(test)]
impl FromIterator<u8> for Policies {
    fn from_iter<I: IntoIterator<Item = u8>>(protocols: I) -> Self {
        Self { protocols: protocols.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::netlink::Header;

    use super::*;
    use crate::client::kept;

    /// Each row: what it shows, the attributes, where the number is, which of TCP and UDP may have a policy.
    #[test]
    fn a_policy_tells_its_protocol() {
        let attr = |kind, nested, value| Attr { kind, nested, value };
        let data: &[u8] = &[6, 0, 1, 0, 0, 2, 0, 0, 5, 0, 2, 0, 17, 0, 0, 0];
        let rows = [
            ("cttimeout's", attr(3, false, &[6]), &CTTIMEOUT[..], [true, false]),
            ("nftables'", attr(4, true, data), &NFTABLES[..], [false, true]),
            ("of no tracker", attr(3, false, &[255]), &CTTIMEOUT[..], [true, true]),
            ("it doesn't tell", attr(1, false, b"name\0"), &CTTIMEOUT[..], [true, true]),
        ];
        for (what, attr, path, expected) in rows {
            let mut bytes = Vec::new();
            let header = Header { kind: 0x800, flags: Flags::MULTI, seq: 1, pid: 0 };
            let body = |writer: &mut Writer<'_>| writer.attr(attr);
            Writer::new(&mut bytes).message(header, Family::default(), body);
            let mut policies = Policies::default();
            policies.add(&kept(&bytes).expect("a message"), path).expect("readable");
            assert_eq!([6, 17].map(|protocol| policies.may_apply(protocol)), expected, "{what}");
        }
    }
}
