//! The attributes of a flow that are lists themselves.
//!
//! Most are lists of numbers, any of which may be missing. What else is in one is kept as it came,
//! behind what is known.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::super::attr::{Attr, AttrError};
use super::super::frame::Writer;

/// Lists of numbers in network order: for each its kind, name and type.
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $kind:literal => $field:ident: $type:ident,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)*
            /// What else is said.
            pub unknown: Vec<u8>,
        }

        impl $name {
            /// Reads the value of an attribute.
            pub(in crate::netlink) fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
                let mut found = Self::default();
                let unknown = attr.list(|attr| {
                    match attr.kind {
                        $($kind => found.$field = Some(attr.$type()?),)*
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
                Ok(Self { unknown, ..found })
            }

            /// Writes it as the attribute `kind`.
            pub(in crate::netlink) fn write(&self, kind: u16, writer: &mut Writer<'_>) {
                writer.nest(kind, |writer| {
                    $(if let Some(number) = self.$field {
                        writer.$type($kind, number);
                    })*
                    writer.unknown(&self.unknown);
                });
            }
        }
    )*};
}

numbers! {
    /// Of a TCP connection.
    TcpInfo {
        /// Its state (`enum tcp_conntrack`).
        1 => state: u8,
        /// The original side's window scale.
        2 => scale_original: u8,
        /// The other side's.
        3 => scale_reply: u8,
        /// The original side's flags (`IP_CT_TCP_FLAG_…`); the lower byte says which of those in the upper are meant.
        4 => flags_original: u16,
        /// The other side's.
        5 => flags_reply: u16,
    }

    /// Of an SCTP association.
    SctpInfo {
        /// Its state (`enum sctp_conntrack`).
        1 => state: u8,
        /// The verification tag of the original direction.
        2 => tag_original: u32,
        /// That of the other.
        3 => tag_reply: u32,
    }

    /// Ports or identifiers of a [`NatRange`].
    NatPorts {
        /// The first.
        1 => first: u16,
        /// The last.
        2 => last: u16,
    }

    /// What was counted in a direction.
    Counters {
        /// Packets.
        1 => packets: u64,
        /// Bytes of whole datagrams.
        2 => bytes: u64,
    }

    /// How sequence numbers are shifted.
    SeqAdj {
        /// Where the latest change was.
        1 => position: u32,
        /// By how much before that, in two's complement.
        2 => before: u32,
        /// And behind it.
        3 => after: u32,
    }

    /// When a flow began and ended, in nanoseconds since 1970.
    Timestamp {
        /// Confirmed.
        1 => start: u64,
        /// Ended.
        2 => stop: u64,
    }

    /// What SYNPROXY remembers of a connection.
    SynProxy {
        /// The client's initial sequence number.
        1 => isn: u32,
        /// The initial timestamp.
        2 => its: u32,
        /// The timestamps' shift.
        3 => tsoff: u32,
    }
}

/// What the tracker remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtoInfo {
    /// Of TCP.
    pub tcp: Option<TcpInfo>,
    /// Of SCTP.
    pub sctp: Option<SctpInfo>,
    /// Of others.
    pub unknown: Vec<u8>,
}

const INFO_TCP: u16 = 1;
const INFO_SCTP: u16 = 3;

impl ProtoInfo {
    pub(super) fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let mut found = Self::default();
        let unknown = attr.list(|attr| {
            match attr.kind {
                INFO_TCP => found.tcp = Some(TcpInfo::parse(&attr)?),
                INFO_SCTP => found.sctp = Some(SctpInfo::parse(&attr)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { unknown, ..found })
    }

    pub(super) fn write(&self, kind: u16, writer: &mut Writer<'_>) {
        writer.nest(kind, |writer| {
            if let Some(tcp) = &self.tcp {
                tcp.write(INFO_TCP, writer);
            }
            if let Some(sctp) = &self.sctp {
                sctp.write(INFO_SCTP, writer);
            }
            writer.unknown(&self.unknown);
        });
    }
}

/// Lists of which a name is the first.
macro_rules! named {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name<'a> {
            /// Its name, without the zero behind it.
            pub name: Option<&'a [u8]>,
            /// What else is said.
            pub unknown: Vec<u8>,
        }

        impl<'a> $name<'a> {
            pub(super) fn parse(attr: &Attr<'a>) -> Result<Self, AttrError> {
                let mut name = None;
                let unknown = attr.list(|attr| {
                    let is_name = attr.kind == NAME;
                    name = name.or(is_name.then(|| attr.string()));
                    Ok(is_name)
                })?;
                Ok(Self { name, unknown })
            }

            pub(super) fn write(&self, kind: u16, writer: &mut Writer<'_>) {
                writer.nest(kind, |writer| {
                    if let Some(name) = self.name {
                        writer.string(NAME, name);
                    }
                    writer.unknown(&self.unknown);
                });
            }
        }
    )*};
}

const NAME: u16 = 1;

named! {
    /// A helper; an empty name says that there shall be none.
    Help
    /// A security context.
    SecurityContext
}

/// What a flow may be mapped to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// The first address.
    pub first: Option<IpAddr>,
    /// The last; it is the first if it isn't said.
    pub last: Option<IpAddr>,
    /// Ports or identifiers.
    pub ports: Option<NatPorts>,
    /// What else is said.
    pub unknown: Vec<u8>,
}

const V4_FIRST: u16 = 1;
const V4_LAST: u16 = 2;
const PORTS: u16 = 3;
const V6_FIRST: u16 = 4;
const V6_LAST: u16 = 5;

impl NatRange {
    pub(super) fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let mut found = Self::default();
        let unknown = attr.list(|attr| {
            match attr.kind {
                V4_FIRST => found.first = Some(attr.v4()?),
                V4_LAST => found.last = Some(attr.v4()?),
                V6_FIRST => found.first = Some(attr.v6()?),
                V6_LAST => found.last = Some(attr.v6()?),
                PORTS => found.ports = Some(NatPorts::parse(&attr)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { unknown, ..found })
    }

    pub(super) fn write(&self, kind: u16, writer: &mut Writer<'_>) {
        writer.nest(kind, |writer| {
            for (addr, v4, v6) in [(self.first, V4_FIRST, V6_FIRST), (self.last, V4_LAST, V6_LAST)]
            {
                if let Some(addr) = addr {
                    writer.address(addr, v4, v6);
                }
            }
            if let Some(ports) = &self.ports {
                ports.write(PORTS, writer);
            }
            writer.unknown(&self.unknown);
        });
    }
}

/// Which parts of tuples a filter looks at, as bits (`CTA_FILTER_F_CTA_…`): in the machine's byte order, unlike the
/// rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of the original tuple.
    pub original: Option<u32>,
    /// Of the reply tuple.
    pub reply: Option<u32>,
    /// What else is said.
    pub unknown: Vec<u8>,
}

const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;

impl Filter {
    pub(super) fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let bits = |attr: &Attr<'_>| attr.bytes().map(u32::from_ne_bytes);
        let mut found = Self::default();
        let unknown = attr.list(|attr| {
            match attr.kind {
                FILTER_ORIGINAL => found.original = Some(bits(&attr)?),
                FILTER_REPLY => found.reply = Some(bits(&attr)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self { unknown, ..found })
    }

    pub(super) fn write(&self, kind: u16, writer: &mut Writer<'_>) {
        writer.nest(kind, |writer| {
            for (kind, bits) in [(FILTER_ORIGINAL, self.original), (FILTER_REPLY, self.reply)] {
                if let Some(bits) = bits {
                    writer.value(kind, bits.to_ne_bytes());
                }
            }
            writer.unknown(&self.unknown);
        });
    }
}
