//! Attributes: `struct nlattr`, a length, a kind and a value, padded to four bytes.
//!
//! A value may be a list of attributes itself. Who writes one says so by a flag in the kind; who reads
//! knows anyway and doesn't look at the flag.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::frame::Writer;

/// Length of an attribute's header.
pub const HEADER_LEN: usize = 4;

/// Set in the kind of an attribute whose value is a list of attributes.
const NESTED: u16 = 0x8000;
/// The bits that are a kind.
const KIND: u16 = 0x3fff;

/// One attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    /// Its number, without flags.
    pub kind: u16,
    /// Whether its kind says that the value is a list.
    pub nested: bool,
    /// The value, without padding.
    pub value: &'a [u8],
}

/// Why attributes can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttrError {
    /// A header is cut off, this far into the list.
    Header(usize),
    /// One says that it has this length, this far into the list.
    Length(usize, u16),
    /// The value of this kind has this length, which is not what it must have.
    Value(u16, usize),
}

impl fmt::Display for AttrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(at) => write!(f, "byte {at}: the attribute's header is cut off"),
            Self::Length(at, len) => write!(f, "byte {at}: an attribute can't have {len} bytes"),
            Self::Value(kind, len) => write!(f, "attribute {kind}: a value of {len} bytes"),
        }
    }
}

impl core::error::Error for AttrError {}

/// A list of attributes. Ends behind the first error.
#[derive(Clone, Debug)]
pub struct Attrs<'a> {
    list: &'a [u8],
    at: usize,
}

impl<'a> Attrs<'a> {
    /// Those in a message's body or another attribute's value.
    #[must_use]
    pub fn new(list: &'a [u8]) -> Self {
        Self { list, at: 0 }
    }

    fn read(&self) -> Result<(Attr<'a>, usize), AttrError> {
        let rest = &self.list[self.at..];
        let header: &[u8; HEADER_LEN] = rest.first_chunk().ok_or(AttrError::Header(self.at))?;
        let [len, kind] = [[header[0], header[1]], [header[2], header[3]]].map(u16::from_ne_bytes);
        let value = rest.get(HEADER_LEN..len.into()).ok_or(AttrError::Length(self.at, len))?;
        let attr = Attr { kind: kind & KIND, nested: kind & NESTED != 0, value };
        Ok((attr, usize::from(len).next_multiple_of(4)))
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, AttrError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.list.len() {
            return None;
        }
        let read = self.read();
        self.at = read.as_ref().map_or(self.list.len(), |(_, len)| self.at + len);
        Some(read.map(|(attr, _)| attr))
    }
}

impl<'a> Attr<'a> {
    /// The value's bytes, if there are just as many.
    pub(super) fn bytes<const N: usize>(&self) -> Result<[u8; N], AttrError> {
        self.value.try_into().map_err(|_| AttrError::Value(self.kind, self.value.len()))
    }

    pub(super) fn u8(&self) -> Result<u8, AttrError> {
        self.bytes().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&self) -> Result<u16, AttrError> {
        self.bytes().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&self) -> Result<u32, AttrError> {
        self.bytes().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&self) -> Result<u64, AttrError> {
        self.bytes().map(u64::from_be_bytes)
    }

    pub(super) fn v4(&self) -> Result<IpAddr, AttrError> {
        self.bytes::<4>().map(|octets| Ipv4Addr::from(octets).into())
    }

    pub(super) fn v6(&self) -> Result<IpAddr, AttrError> {
        self.bytes::<16>().map(|octets| Ipv6Addr::from(octets).into())
    }

    /// A string, which a zero may end.
    pub(super) fn string(&self) -> &'a [u8] {
        self.value.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Reads the list that the value is. `take` says whether it knows an attribute; those that it doesn't are
    /// returned as they came.
    pub(super) fn list(
        &self,
        mut take: impl FnMut(Attr<'a>) -> Result<bool, AttrError>,
    ) -> Result<Vec<u8>, AttrError> {
        let mut unknown = Vec::new();
        for attr in Attrs::new(self.value) {
            let attr = attr?;
            if !take(attr)? {
                Writer::new(&mut unknown).attr(attr);
            }
        }
        Ok(unknown)
    }
}

impl Writer<'_> {
    /// An attribute as it is. => `value.len() <= 65531`
    pub fn attr(&mut self, attr: Attr<'_>) {
        let Attr { kind, nested, value } = attr;
        let flag = if nested { NESTED } else { 0 };
        self.put(&((HEADER_LEN + value.len()) as u16).to_ne_bytes());
        self.put(&(kind | flag).to_ne_bytes());
        self.put(value);
        self.pad();
    }

    /// An attribute with a value in network order.
    pub(super) fn value<const N: usize>(&mut self, kind: u16, value: [u8; N]) {
        self.attr(Attr { kind, nested: false, value: &value });
    }

    pub(super) fn u8(&mut self, kind: u16, value: u8) {
        self.value(kind, [value]);
    }

    pub(super) fn u16(&mut self, kind: u16, value: u16) {
        self.value(kind, value.to_be_bytes());
    }

    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.value(kind, value.to_be_bytes());
    }

    pub(super) fn u64(&mut self, kind: u16, value: u64) {
        self.value(kind, value.to_be_bytes());
    }

    /// An address, under the kind that its family has.
    pub(super) fn address(&mut self, addr: IpAddr, v4: u16, v6: u16) {
        match addr {
            IpAddr::V4(addr) => self.value(v4, addr.octets()),
            IpAddr::V6(addr) => self.value(v6, addr.octets()),
        }
    }

    /// A string with its zero.
    pub(super) fn string(&mut self, kind: u16, value: &[u8]) {
        let bytes: Vec<u8> = value.iter().copied().chain([0]).collect();
        self.attr(Attr { kind, nested: false, value: &bytes });
    }

    /// A list of attributes, which `body` writes.
    pub fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.len();
        self.put(&[0, 0]);
        self.put(&(kind | NESTED).to_ne_bytes());
        body(self);
        let len = (self.len() - start) as u16;
        self.set(start, len.to_ne_bytes());
    }
}
