//! A tuple as netlink says it: in full from the kernel, in part from who looks for something.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::attr::{Attr, AttrError, Attrs};
use super::frame::Writer;

/// What identifies one direction of a flow, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Source address.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: Option<IpAddr>,
    /// The upper layer's protocol number.
    pub proto: Option<u8>,
    /// Source port, or key of GRE.
    pub sport: Option<u16>,
    /// Destination port, or key of GRE.
    pub dport: Option<u16>,
    /// What ICMP has instead of ports.
    pub icmp: Option<Icmp>,
    /// The zone that counts for this direction only.
    pub zone: Option<u16>,
    /// What else is said of it, in the tuple itself, of its addresses, of its protocol.
    pub unknown: [Vec<u8>; 3],
}

/// The identifier, type and code of ICMP or ICMPv6, whose attributes differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Icmp {
    /// Whether it is ICMPv6's.
    pub is_v6: bool,
    /// Identifier.
    pub id: Option<u16>,
    /// Type.
    pub kind: Option<u8>,
    /// Code.
    pub code: Option<u8>,
}

const IP: u16 = 1;
const PROTO: u16 = 2;
const ZONE: u16 = 3;

const V4_SRC: u16 = 1;
const V4_DST: u16 = 2;
const V6_SRC: u16 = 3;
const V6_DST: u16 = 4;

const NUMBER: u16 = 1;
const SRC_PORT: u16 = 2;
const DST_PORT: u16 = 3;
const ICMP_ID: u16 = 4;
const ICMP_TYPE: u16 = 5;
const ICMP_CODE: u16 = 6;
/// From ICMP's kinds to ICMPv6's.
const TO_V6: u16 = 3;
const ICMPV6_ID: u16 = ICMP_ID + TO_V6;
const ICMPV6_CODE: u16 = ICMP_CODE + TO_V6;

impl Tuple {
    /// Reads the value of an attribute.
    ///
    /// # Errors
    /// The list is cut, or a value has not its length.
    pub fn parse(attr: &Attr<'_>) -> Result<Self, AttrError> {
        let mut tuple = Self::default();
        tuple.unknown[0] = attr.list(|attr| {
            match attr.kind {
                IP => tuple.parse_addresses(&attr)?,
                PROTO => tuple.parse_proto(&attr)?,
                ZONE => tuple.zone = Some(attr.u16()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(tuple)
    }

    /// Writes it as the attribute `kind`.
    pub fn write(&self, kind: u16, writer: &mut Writer<'_>) {
        let [rest, addresses, proto] = &self.unknown;
        writer.nest(kind, |writer| {
            if self.src.is_some() || self.dst.is_some() || !addresses.is_empty() {
                writer.nest(IP, |writer| self.write_addresses(writer));
            }
            if self.names_protocol() || !proto.is_empty() {
                writer.nest(PROTO, |writer| self.write_proto(writer));
            }
            if let Some(zone) = self.zone {
                writer.u16(ZONE, zone);
            }
            writer.unknown(rest);
        });
    }

    fn names_protocol(&self) -> bool {
        let ports = self.sport.or(self.dport).is_some();
        self.proto.is_some() || ports || self.icmp.is_some()
    }

    fn parse_addresses(&mut self, attr: &Attr<'_>) -> Result<(), AttrError> {
        self.unknown[1] = attr.list(|attr| {
            match attr.kind {
                V4_SRC => self.src = Some(attr.v4()?),
                V4_DST => self.dst = Some(attr.v4()?),
                V6_SRC => self.src = Some(attr.v6()?),
                V6_DST => self.dst = Some(attr.v6()?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(())
    }

    fn write_addresses(&self, writer: &mut Writer<'_>) {
        for (addr, v4, v6) in [(self.src, V4_SRC, V6_SRC), (self.dst, V4_DST, V6_DST)] {
            if let Some(addr) = addr {
                writer.address(addr, v4, v6);
            }
        }
        writer.unknown(&self.unknown[1]);
    }

    fn parse_proto(&mut self, attr: &Attr<'_>) -> Result<(), AttrError> {
        self.unknown[2] = attr.list(|attr| {
            match attr.kind {
                NUMBER => self.proto = Some(attr.u8()?),
                SRC_PORT => self.sport = Some(attr.u16()?),
                DST_PORT => self.dport = Some(attr.u16()?),
                ICMP_ID..=ICMPV6_CODE => {
                    let is_v6 = attr.kind >= ICMPV6_ID;
                    let icmp = self.icmp.get_or_insert(Icmp { is_v6, ..Icmp::default() });
                    icmp.take(&attr)?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(())
    }

    fn write_proto(&self, writer: &mut Writer<'_>) {
        if let Some(number) = self.proto {
            writer.u8(NUMBER, number);
        }
        for (kind, port) in [(SRC_PORT, self.sport), (DST_PORT, self.dport)] {
            if let Some(port) = port {
                writer.u16(kind, port);
            }
        }
        if let Some(icmp) = self.icmp {
            icmp.write(writer);
        }
        writer.unknown(&self.unknown[2]);
    }
}

impl Icmp {
    fn take(&mut self, attr: &Attr<'_>) -> Result<(), AttrError> {
        let kind = if attr.kind >= ICMPV6_ID { attr.kind - TO_V6 } else { attr.kind };
        match kind {
            ICMP_ID => self.id = Some(attr.u16()?),
            ICMP_TYPE => self.kind = Some(attr.u8()?),
            _ => self.code = Some(attr.u8()?),
        }
        Ok(())
    }

    fn write(self, writer: &mut Writer<'_>) {
        let shift = if self.is_v6 { TO_V6 } else { 0 };
        if let Some(id) = self.id {
            writer.u16(ICMP_ID + shift, id);
        }
        if let Some(kind) = self.kind {
            writer.u8(ICMP_TYPE + shift, kind);
        }
        if let Some(code) = self.code {
            writer.u8(ICMP_CODE + shift, code);
        }
    }
}

impl Writer<'_> {
    /// Attributes as they came.
    pub(super) fn unknown(&mut self, list: &[u8]) {
        Attrs::new(list).flatten().for_each(|attr| self.attr(attr));
    }
}
