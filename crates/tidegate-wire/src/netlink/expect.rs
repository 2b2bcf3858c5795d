//! What is said of an expectation (`CTA_EXPECT_…`).

use super::attr::{Attr, AttrError, Attrs};
use super::frame::Writer;
use super::tuple::Tuple;

/// The numbers of messages about expectations.
pub mod message {
    /// One: in answers, events and requests to make one.
    pub const NEW: u8 = 0;
    /// Asks for one or all.
    pub const GET: u8 = 1;
    /// Deletes one, or all; in events, one is gone.
    pub const DELETE: u8 = 2;
    /// Asks for statistics of each CPU.
    pub const GET_STATS_CPU: u8 = 3;
}

/// One thing that is said of an expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute<'a> {
    /// The original tuple of the flow that brought it about.
    Master(Tuple),
    /// What is expected.
    Tuple(Tuple),
    /// Which bits of that count.
    Mask(Tuple),
    /// What is left of its life, in seconds.
    Timeout(u32),
    /// Its number.
    Id(u32),
    /// The name of its helper, without the zero behind it.
    Helper(&'a [u8]),
    /// Its zone.
    Zone(u16),
    /// Its flags (`NF_CT_EXPECT_…`).
    Flags(u32),
    /// Its class.
    Class(u32),
    /// How the flow will be translated.
    Nat(Nat),
    /// The name of the function that is called when it comes.
    Function(&'a [u8]),
    /// Something else.
    Other(Attr<'a>),
}

/// How an expected flow will be translated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    /// The direction that the flow will have: 0 original, 1 reply.
    pub dir: Option<u32>,
    /// The address and port that were announced.
    pub tuple: Option<Tuple>,
    /// What else is said.
    pub unknown: alloc::vec::Vec<u8>,
}

const MASTER: u16 = 1;
const TUPLE: u16 = 2;
const MASK: u16 = 3;
const TIMEOUT: u16 = 4;
const ID: u16 = 5;
const HELP_NAME: u16 = 6;
const ZONE: u16 = 7;
const FLAGS: u16 = 8;
const CLASS: u16 = 9;
const NAT: u16 = 10;
const FN: u16 = 11;

const NAT_DIR: u16 = 1;
const NAT_TUPLE: u16 = 2;

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
            MASTER => Self::Master(Tuple::parse(attr)?),
            TUPLE => Self::Tuple(Tuple::parse(attr)?),
            MASK => Self::Mask(Tuple::parse(attr)?),
            TIMEOUT => Self::Timeout(attr.u32()?),
            ID => Self::Id(attr.u32()?),
            HELP_NAME => Self::Helper(attr.string()),
            ZONE => Self::Zone(attr.u16()?),
            FLAGS => Self::Flags(attr.u32()?),
            CLASS => Self::Class(attr.u32()?),
            NAT => Self::Nat(Nat::parse(attr)?),
            FN => Self::Function(attr.string()),
            _ => Self::Other(*attr),
        })
    }

    /// Writes one.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Master(tuple) => tuple.write(MASTER, writer),
            Self::Tuple(tuple) => tuple.write(TUPLE, writer),
            Self::Mask(tuple) => tuple.write(MASK, writer),
            Self::Timeout(seconds) => writer.u32(TIMEOUT, *seconds),
            Self::Id(id) => writer.u32(ID, *id),
            Self::Helper(name) => writer.string(HELP_NAME, name),
            Self::Zone(zone) => writer.u16(ZONE, *zone),
            Self::Flags(flags) => writer.u32(FLAGS, *flags),
            Self::Class(class) => writer.u32(CLASS, *class),
            Self::Nat(nat) => nat.write(writer),
            Self::Function(name) => writer.string(FN, name),
            Self::Other(attr) => writer.attr(*attr),
        }
    }
}

impl Nat {
    fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let mut found = Self::default();
        let unknown = attr.list(|attr| {
            match attr.kind {
                NAT_DIR => found.dir = Some(attr.u32()?),
                NAT_TUPLE => found.tuple = Some(Tuple::parse(&attr)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { unknown, ..found })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.nest(NAT, |writer| {
            if let Some(dir) = self.dir {
                writer.u32(NAT_DIR, dir);
            }
            if let Some(tuple) = &self.tuple {
                tuple.write(NAT_TUPLE, writer);
            }
            writer.unknown(&self.unknown);
        });
    }
}
