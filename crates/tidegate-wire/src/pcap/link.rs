//! The link layer of a captured frame: from a frame to the IP datagram in it.
//!
//! Only headers that a capture can start with are known here, and VLAN tags in them. Whether a
//! frame would have been for this host, or its tag for an interface that exists, is not this file's
//! business.

use super::nflog;
use super::read::Order;
use crate::family::Family;
use crate::packet::MacAddr;
use crate::packet::ethernet::{self, Tagged};

/// What the frames of an interface start with (the numbers of tcpdump.org's "Link-layer header
/// types").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkType {
    /// BSD loopback: the address family in the byte order of the machine that captured.
    Null,
    /// Ethernet.
    Ethernet,
    /// An IP datagram of either version, nothing before it.
    RawIp,
    /// OpenBSD loopback: the address family, big-endian.
    Loop,
    /// Linux "cooked" capture.
    LinuxSll,
    /// An IPv4 datagram.
    Ipv4,
    /// An IPv6 datagram.
    Ipv6,
    /// Linux "cooked" capture, version 2.
    LinuxSll2,
    /// What NFLOG hands out.
    Nflog,
    /// Any other, by its number.
    Unsupported(u16),
}

impl LinkType {
    /// The type of a number in a file.
    pub fn from_number(number: u16) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            12 | 14 | 101 => Self::RawIp,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            239 => Self::Nflog,
            276 => Self::LinuxSll2,
            other => Self::Unsupported(other),
        }
    }

    /// The number to write into a file.
    pub fn number(self) -> u16 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::RawIp => 101,
            Self::Loop => 108,
            Self::LinuxSll => 113,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::Nflog => 239,
            Self::LinuxSll2 => 276,
            Self::Unsupported(number) => number,
        }
    }
}

/// A frame without its link layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// The IP datagram with whatever pads it; `None` if there is none.
    pub datagram: Option<&'a [u8]>,
    /// Where the network layer starts in the frame; the frame's length if the link layer can't be
    /// read.
    pub offset: usize,
    /// The EtherType, behind all VLAN tags. A link layer without one is given the one that fits.
    /// `None` if the frame is too short, its link type unsupported, or its protocol not one that
    /// has an EtherType.
    pub ethertype: Option<u16>,
    /// The sender's link-layer address.
    pub src: Option<MacAddr>,
    /// The receiver's link-layer address.
    pub dst: Option<MacAddr>,
}

impl Link<'_> {
    /// The address family that the link layer announces, if it is IP.
    pub fn family(&self) -> Option<Family> {
        match self.ethertype? {
            ethernet::IPV4 => Some(Family::V4),
            ethernet::IPV6 => Some(Family::V6),
            _ => None,
        }
    }

    const fn unknown(frame: &[u8]) -> Self {
        Self { datagram: None, offset: frame.len(), ethertype: None, src: None, dst: None }
    }
}

/// Peels the link layer off `frame`.
pub fn datagram(link: LinkType, frame: &[u8]) -> Link<'_> {
    let found = match link {
        LinkType::Ethernet => ethernet(frame),
        LinkType::RawIp => by_version(frame),
        LinkType::Ipv4 => Some(network(frame, 0, Some(ethernet::IPV4))),
        LinkType::Ipv6 => Some(network(frame, 0, Some(ethernet::IPV6))),
        LinkType::LinuxSll => sll(frame),
        LinkType::LinuxSll2 => sll2(frame),
        LinkType::Null | LinkType::Loop => loopback(frame),
        LinkType::Nflog => copied(frame),
        LinkType::Unsupported(_) => None,
    };
    found.unwrap_or(Link::unknown(frame))
}

fn ethernet(frame: &[u8]) -> Option<Link<'_>> {
    let link = tagged(frame, 12)?;
    Some(Link { src: Some(MacAddr::at(frame, 6)), dst: Some(MacAddr::at(frame, 0)), ..link })
}

fn sll(frame: &[u8]) -> Option<Link<'_>> {
    let link = tagged(frame, 14)?;
    let src = (frame[4..6] == [0, 6]).then(|| MacAddr::at(frame, 6));
    Some(Link { src, ..link })
}

/// The protocol comes first here, so VLAN tags, of which the first would be that protocol, lie
/// behind the header.
fn sll2(frame: &[u8]) -> Option<Link<'_>> {
    let header = frame.first_chunk::<SLL2_HEADER>()?;
    let protocol = u16::from_be_bytes([header[0], header[1]]);
    let link = match protocol {
        ethernet::VLAN | ethernet::SERVICE_VLAN => tagged(frame, SLL2_HEADER + 2)?,
        _ => network(frame, SLL2_HEADER, Some(protocol)),
    };
    let src = (header[11] == 6).then(|| MacAddr::at(header, 12));
    Some(Link { src, ..link })
}

/// The address family is in the capturing machine's byte order, and the number of IPv6 is its own
/// too. All are below 256, so the order shows.
fn loopback(frame: &[u8]) -> Option<Link<'_>> {
    let header = frame.first_chunk::<LOOPBACK_HEADER>()?;
    let (big, little) = (Order::Big.u32_at(header, 0), Order::Little.u32_at(header, 0));
    let ethertype = match big.min(little) {
        2 => Some(ethernet::IPV4),
        10 | 24 | 28 | 30 => Some(ethernet::IPV6),
        _ => None,
    };
    Some(network(frame, LOOPBACK_HEADER, ethertype))
}

/// What follows the datagram is not padding of its own, and is left out.
fn copied(frame: &[u8]) -> Option<Link<'_>> {
    let (place, family) = nflog::payload(frame)?;
    let ethertype = match family {
        Family::V4 => ethernet::IPV4,
        Family::V6 => ethernet::IPV6,
    };
    Some(network(&frame[..place.end], place.start, Some(ethertype)))
}

fn by_version(frame: &[u8]) -> Option<Link<'_>> {
    let ethertype = match frame.first()? >> 4 {
        4 => ethernet::IPV4,
        6 => ethernet::IPV6,
        _ => return Some(Link { offset: 0, ..Link::unknown(frame) }),
    };
    Some(network(frame, 0, Some(ethertype)))
}

/// A frame whose EtherType, or first VLAN tag, lies at `at`.
fn tagged(frame: &[u8], at: usize) -> Option<Link<'_>> {
    let Tagged { ethertype, payload_at } = Tagged::skip(frame, at)?;
    Some(network(frame, payload_at, (ethertype >= FIRST_ETHERTYPE).then_some(ethertype)))
}

fn network(frame: &[u8], offset: usize, ethertype: Option<u16>) -> Link<'_> {
    let link = Link { datagram: None, offset, ethertype, src: None, dst: None };
    let datagram = link.family().and_then(|_| frame.get(offset..));
    Link { datagram, ..link }
}

/// Below this the field of an Ethernet header is a length (IEEE 802.3 clause 3.2.6).
const FIRST_ETHERTYPE: u16 = 0x0600;
const SLL2_HEADER: usize = 20;
const LOOPBACK_HEADER: usize = 4;
