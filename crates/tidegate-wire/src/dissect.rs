//! One bounds-checked pass over a datagram: what it is and where its parts lie, or why the kernel
//! would not have let it come as far as the first hook.
//!
//! Every packet comes through here first, and nobody parses again what [`Headers`] says. The rules
//! are those of Linux's `ip_rcv` and `ipv6_rcv` (what is dropped) and of `ipv6_skip_exthdr` (how
//! far a chain of extension headers is followed). The upper layer is found, not judged: a TCP
//! header that is cut short is for the tracker. Rules that depend on the interface (loopback
//! addresses, interface-local scope) are not for this file either.

use core::fmt;
use core::net::IpAddr;

use crate::family::Family;
use crate::offload::Checksum;
use crate::packet::{Ipv4, Ipv6, ipv6};
use crate::proto;

mod hop_by_hop;

/// What a datagram is and where its parts lie. Offsets count from the IP header's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// The address family.
    pub family: Family,
    /// The source address.
    pub src: IpAddr,
    /// The destination address.
    pub dst: IpAddr,
    /// The upper layer's protocol number, past the IPv6 extension headers: for a fragment that is
    /// not the first what its fragment header names, and for a chain that can't be followed the
    /// header where it broke.
    pub proto: u8,
    /// Where the upper layer's header starts; beyond the datagram's end if the length of an IPv6
    /// extension header says so. `None` if there is none to be found: the chain of extension
    /// headers can't be followed or ends in "no next header", or this is a fragment but not the
    /// first.
    pub l4: Option<usize>,
    /// Length of the whole datagram by its IP header, in bytes; link-layer padding lies behind it.
    pub len: usize,
    /// Length of the IP header, in bytes: of IPv4 with options, of IPv6 without extension headers.
    pub ip_header_len: usize,
    /// What the datagram says about fragmentation, `None` if nothing.
    pub fragment: Option<Fragment>,
    /// The state of the upper layer's checksum: full, as far as the datagram itself can tell.
    pub checksum: Checksum,
}

impl Headers {
    /// The upper layer with its header; empty if there is none.
    pub fn payload<'a>(&self, datagram: &'a [u8]) -> &'a [u8] {
        let end = self.len.min(datagram.len());
        self.l4.and_then(|start| datagram.get(start..end)).unwrap_or_default()
    }
}

/// A datagram's place in the one it is a fragment of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Where its data starts, in bytes.
    pub offset: u16,
    /// Whether more fragments follow.
    pub more: bool,
    /// The identification that all fragments share: 16 bits of IPv4, 32 of IPv6.
    pub id: u32,
}

impl Fragment {
    /// Whether it is a whole datagram with an IPv6 fragment header all the same (RFC 6946).
    pub fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }

    /// Whether it is the first one, which carries the upper layer's header.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// What the IPv6 fragment header at `at` says; `None` if it isn't there in full.
    pub fn of_ipv6(datagram: &[u8], at: usize) -> Option<Self> {
        let header = datagram.get(at..)?.first_chunk::<{ ipv6::FRAGMENT_HEADER_LEN }>()?;
        let [_, _, high, low, id @ ..] = *header;
        let offset = u16::from_be_bytes([high, low]);
        Some(Self { offset: offset & !7, more: offset & 1 != 0, id: u32::from_be_bytes(id) })
    }

    fn of_ipv4(header: &Ipv4<&[u8]>) -> Option<Self> {
        let (offset, more) = (header.fragment_offset(), header.more_fragments());
        let id = u32::from(header.id());
        (offset != 0 || more).then_some(Self { offset, more, id })
    }
}

/// Why a datagram is dropped before any hook sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// There is no byte at all.
    Empty,
    /// The version is neither 4 nor 6, or not that of the protocol it came as.
    BadVersion(u8),
    /// The IP header is not there in full, or IPv4's header length is below 20 bytes.
    HeaderTooShort,
    /// The header promises more bytes than there are.
    Truncated {
        /// Length of the datagram by its header, in bytes.
        need: usize,
        /// Bytes present.
        have: usize,
    },
    /// IPv4's total length is below its header length.
    LengthBelowHeader,
    /// The IPv4 header checksum is wrong.
    BadHeaderChecksum,
    /// The IPv6 source address is a multicast address (RFC 4291 section 2.7).
    MulticastSource,
    /// The IPv6 destination is a multicast address of the reserved scope 0 (RFC 4291 section 2.7).
    ReservedScope,
    /// The hop-by-hop header is cut short, or one of its options is wrong or must not be skipped.
    BadHopByHop,
}

impl Malformed {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Each reason once, at the place that [`index`](Self::index) names; values within are 0.
    pub const ALL: [Self; 9] = [
        Self::Empty,
        Self::BadVersion(0),
        Self::HeaderTooShort,
        Self::Truncated { need: 0, have: 0 },
        Self::LengthBelowHeader,
        Self::BadHeaderChecksum,
        Self::MulticastSource,
        Self::ReservedScope,
        Self::BadHopByHop,
    ];

    /// The reason's place in [`ALL`](Self::ALL), for counters.
    pub fn index(self) -> usize {
        match self {
            Self::Empty => 0,
            Self::BadVersion(_) => 1,
            Self::HeaderTooShort => 2,
            Self::Truncated { .. } => 3,
            Self::LengthBelowHeader => 4,
            Self::BadHeaderChecksum => 5,
            Self::MulticastSource => 6,
            Self::ReservedScope => 7,
            Self::BadHopByHop => 8,
        }
    }

    /// The reason's name in counters and listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::BadVersion(_) => "bad-version",
            Self::HeaderTooShort => "header-too-short",
            Self::Truncated { .. } => "truncated",
            Self::LengthBelowHeader => "length-below-header",
            Self::BadHeaderChecksum => "bad-header-checksum",
            Self::MulticastSource => "multicast-source",
            Self::ReservedScope => "reserved-scope",
            Self::BadHopByHop => "bad-hop-by-hop",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty datagram"),
            Self::BadVersion(version) => write!(f, "bad IP version {version}"),
            Self::HeaderTooShort => f.write_str("IP header too short"),
            Self::Truncated { need, have } => {
                write!(f, "truncated: the IP header says {need} bytes, {have} are there")
            }
            Self::LengthBelowHeader => f.write_str("total length below the header's"),
            Self::BadHeaderChecksum => f.write_str("bad IPv4 header checksum"),
            Self::MulticastSource => f.write_str("multicast source address"),
            Self::ReservedScope => f.write_str("multicast destination of reserved scope"),
            Self::BadHopByHop => f.write_str("bad hop-by-hop options"),
        }
    }
}

impl core::error::Error for Malformed {}

/// Reads the headers of `datagram`, which starts at the IP header and may end in padding.
pub fn dissect(datagram: &[u8]) -> Result<Headers, Malformed> {
    match datagram.first().map(|byte| byte >> 4) {
        None => Err(Malformed::Empty),
        Some(4) => dissect_ipv4(datagram),
        Some(6) => dissect_ipv6(datagram),
        Some(version) => Err(Malformed::BadVersion(version)),
    }
}

/// As [`dissect`], for a datagram that its link layer announced as one of `family`: a header of the
/// other version is a bad one.
pub fn dissect_as(family: Family, datagram: &[u8]) -> Result<Headers, Malformed> {
    let version = datagram.first().map(|byte| byte >> 4);
    match (family, version) {
        (Family::V4, Some(6)) | (Family::V6, Some(4)) => {
            Err(Malformed::BadVersion(version.unwrap_or(0)))
        }
        _ => dissect(datagram),
    }
}

/// Reads the headers of the datagram that an ICMP error quotes. It is nearly always cut short, and
/// some senders spoil its length, so neither lengths nor checksums count: [`Headers::len`] is the
/// number of bytes present. `None` if the IP header itself isn't there.
///
/// The quote is read as one of `family`, that of the error: like Linux, this does not look at the
/// version that the quote claims.
pub fn dissect_quoted(family: Family, datagram: &[u8]) -> Option<Headers> {
    match family {
        Family::V4 => quoted_ipv4(datagram),
        Family::V6 => quoted_ipv6(datagram),
    }
}

fn dissect_ipv4(datagram: &[u8]) -> Result<Headers, Malformed> {
    let header = Ipv4::new(datagram).ok_or(Malformed::HeaderTooShort)?;
    let (header_len, len) = (header.header_len(), usize::from(header.total_len()));
    if header_len < 20 || header_len > datagram.len() {
        return Err(Malformed::HeaderTooShort);
    }
    if !header.checksum_ok() {
        return Err(Malformed::BadHeaderChecksum);
    }
    if len > datagram.len() {
        return Err(Malformed::Truncated { need: len, have: datagram.len() });
    }
    if len < header_len {
        return Err(Malformed::LengthBelowHeader);
    }
    Ok(ipv4_headers(&header, len))
}

fn quoted_ipv4(datagram: &[u8]) -> Option<Headers> {
    let header = Ipv4::new(datagram)?;
    if header.header_len() < 20 || header.header_len() > datagram.len() {
        return None;
    }
    Some(ipv4_headers(&header, datagram.len()))
}

fn ipv4_headers(header: &Ipv4<&[u8]>, len: usize) -> Headers {
    let fragment = Fragment::of_ipv4(header);
    let first = fragment.is_none_or(|fragment| fragment.is_first());
    Headers {
        family: Family::V4,
        src: header.src().into(),
        dst: header.dst().into(),
        proto: header.proto(),
        l4: first.then_some(header.header_len()),
        len,
        ip_header_len: header.header_len(),
        fragment,
        checksum: Checksum::Full,
    }
}

fn dissect_ipv6(datagram: &[u8]) -> Result<Headers, Malformed> {
    let header = Ipv6::new(datagram).ok_or(Malformed::HeaderTooShort)?;
    if header.dst().is_multicast() && header.dst().octets()[1] & 0x0f == 0 {
        return Err(Malformed::ReservedScope);
    }
    if header.src().is_multicast() {
        return Err(Malformed::MulticastSource);
    }
    let len = ipv6_len(&header, datagram)?;
    let whole = Ipv6::new(&datagram[..len]).ok_or(Malformed::HeaderTooShort)?;
    Ok(ipv6_headers(&whole, len))
}

/// The datagram's length. A payload length of 0 in front of a hop-by-hop header leaves it to the
/// jumbo payload option; without one Linux takes all bytes there are.
fn ipv6_len(header: &Ipv6<&[u8]>, datagram: &[u8]) -> Result<usize, Malformed> {
    let have = datagram.len();
    let hop_by_hop = header.next_header() == proto::HOP_BY_HOP;
    let said = usize::from(header.payload_len());
    let need = if said == 0 && hop_by_hop { have } else { ipv6::HEADER_LEN + said };
    if need > have {
        return Err(Malformed::Truncated { need, have });
    }
    if !hop_by_hop {
        return Ok(need);
    }
    match hop_by_hop::check(&datagram[..need])? {
        Some(jumbo) if jumbo > need => Err(Malformed::Truncated { need: jumbo, have }),
        Some(jumbo) => Ok(jumbo),
        None => Ok(need),
    }
}

fn quoted_ipv6(datagram: &[u8]) -> Option<Headers> {
    Some(ipv6_headers(&Ipv6::new(datagram)?, datagram.len()))
}

fn ipv6_headers(header: &Ipv6<&[u8]>, len: usize) -> Headers {
    let chain = Chain::walk(header);
    Headers {
        family: Family::V6,
        src: header.src().into(),
        dst: header.dst().into(),
        proto: chain.proto,
        l4: chain.l4,
        len,
        ip_header_len: ipv6::HEADER_LEN,
        fragment: chain.fragment,
        checksum: Checksum::Full,
    }
}

/// Where a chain of extension headers leads.
struct Chain {
    proto: u8,
    l4: Option<usize>,
    fragment: Option<Fragment>,
}

impl Chain {
    /// Follows the chain. Of several fragment headers the first is what the datagram is a fragment
    /// by, as it is the one that defragmentation takes; any that isn't for offset 0 ends the walk.
    fn walk(header: &Ipv6<&[u8]>) -> Self {
        let datagram = header.as_bytes();
        let mut extensions = header.extensions();
        let mut fragment = None;
        for extension in extensions.by_ref() {
            if extension.kind != proto::IPV6_FRAGMENT {
                continue;
            }
            let Some(found) = Fragment::of_ipv6(datagram, extension.at) else {
                return Self { proto: extension.kind, l4: None, fragment };
            };
            fragment = fragment.or(Some(found));
            if !found.is_first() {
                return Self { proto: extension.next_header, l4: None, fragment };
            }
        }
        Self { proto: extensions.next_header(), l4: extensions.upper_layer(), fragment }
    }
}

#[cfg(test)]
mod tests;
