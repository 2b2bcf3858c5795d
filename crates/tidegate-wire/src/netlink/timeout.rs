//! What is said of a timeout policy (`CTA_TIMEOUT_…`).

use alloc::vec::Vec;

use super::attr::{Attr, AttrError, Attrs};
use super::frame::Writer;

/// The numbers of messages about timeout policies.
pub mod message {
    /// One: in answers and requests to make one.
    pub const NEW: u8 = 0;
    /// Asks for one or all.
    pub const GET: u8 = 1;
    /// Deletes one, or all that nobody uses.
    pub const DELETE: u8 = 2;
    /// Sets a protocol's own timeouts.
    pub const DEFAULT_SET: u8 = 3;
    /// Asks for them.
    pub const DEFAULT_GET: u8 = 4;
}

/// One thing that is said of a timeout policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// Its name, without the zero behind it.
    Name(&'a [u8]),
    /// The address family's number.
    Network(u16),
    /// The upper layer's protocol number.
    Proto(u8),
    /// The timeouts, in seconds, by the protocol's own numbers, which begin at 1.
    Timeouts(Vec<(u16, u32)>),
    /// How many use it.
    Use(u32),
    /// Something else.
    Other(Attr<'a>),
}

const NAME: u16 = 1;
const L3PROTO: u16 = 2;
const L4PROTO: u16 = 3;
const DATA: u16 = 4;
const USE: u16 = 5;

/// The attributes of a message's body.
///
/// # Errors
/// Each item: a list is cut, or a value has not its length.
pub fn attributes<'a>(attrs: Attrs<'a>) -> impl Iterator<Item = Result<Attribute<'a>, AttrError>> {
    attrs.map(|attr| Attribute::parse(&attr?))
}

impl<'a> Attribute<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// A list is cut, or a value has not its length.
    pub fn parse(attr: &Attr<'a>) -> Result<Self, AttrError> {
        Ok(match attr.kind {
            NAME => Self::Name(attr.string()),
            L3PROTO => Self::Network(attr.u16()?),
            L4PROTO => Self::Proto(attr.u8()?),
            DATA => {
                let timeouts = Attrs::new(attr.value);
                let timeouts =
                    timeouts.map(|attr| attr.and_then(|attr| Ok((attr.kind, attr.u32()?))));
                Self::Timeouts(timeouts.collect::<Result<_, _>>()?)
            }
            USE => Self::Use(attr.u32()?),
            _ => Self::Other(*attr),
        })
    }

    /// Writes one.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Name(name) => writer.string(NAME, name),
            Self::Network(family) => writer.u16(L3PROTO, *family),
            Self::Proto(proto) => writer.u8(L4PROTO, *proto),
            Self::Timeouts(timeouts) => writer.nest(DATA, |writer| {
                timeouts.iter().for_each(|(kind, seconds)| writer.u32(*kind, *seconds));
            }),
            Self::Use(count) => writer.u32(USE, *count),
            Self::Other(attr) => writer.attr(*attr),
        }
    }
}
