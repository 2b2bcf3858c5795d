//! A frame becomes a packet: the datagram goes into a buffer that is reused, so
//! that the engine can rewrite it in place, and its port is told.
//!
//! Three things are done to packets, because a recording is not the network.
//! One that was cut short by the capture's snap length is filled with zeros to
//! the length that its IP header gives. In a [`World::Passage`] a TTL or hop
//! limit of 0 or 1 is raised to 2, and checksums that were left to the sender's
//! network card are completed (see `offload`). All are told to whoever counts
//! them.

mod offload;

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::{LinkHeader, Packet};
use tidegate_wire::packet::{Ipv4, Ipv6};
use tidegate_wire::pcap::{Frame, Link, datagram};
use tidegate_wire::{dissect, proto};

use super::topology::{IN0, OUT0, WAN_PEER, World};

/// The packet that arrived last.
#[derive(Debug)]
pub struct Ingress {
    buffer: Vec<u8>,
    link: Option<LinkHeader>,
    port: PortId,
    /// Whether there is an IP datagram at all.
    is_ip: bool,
    /// Whether zeros stand for bytes that were not captured.
    is_cut: bool,
    /// Whether its TTL or hop limit was raised.
    is_aged: bool,
    /// Whether checksums were left to the sender's network card.
    is_offloaded: bool,
}

impl Default for Ingress {
    fn default() -> Self {
        Self {
            buffer: Vec::with_capacity(ROOM),
            link: None,
            port: IN0,
            is_ip: false,
            is_cut: false,
            is_aged: false,
            is_offloaded: false,
        }
    }
}

impl Ingress {
    /// Takes a frame in.
    pub(crate) fn take(&mut self, frame: &Frame<'_>, world: &World) {
        let link = datagram(frame.link, frame.data);
        self.buffer.clear();
        self.buffer.extend_from_slice(link.datagram.unwrap_or_default());
        self.is_ip = link.datagram.is_some();
        self.port = port_of(&link, world);
        self.link = link_header(&link);
        let missing = (frame.orig_len as usize).saturating_sub(frame.data.len());
        self.is_cut = missing > 0 && self.fill(missing);
        if matches!(world, World::Passage(_)) {
            self.is_offloaded = !self.is_cut && self.complete_checksums();
            self.is_aged = rejuvenate(&mut self.buffer);
        }
    }

    fn complete_checksums(&mut self) -> bool {
        let len = self.datagram().len();
        offload::complete(&mut self.buffer[..len])
    }

    /// Fills up to `missing` bytes, but no more than the IP header claims.
    fn fill(&mut self, missing: usize) -> bool {
        let have = self.buffer.len();
        let claimed = claimed_len(&self.buffer).unwrap_or(have);
        let wanted = claimed.min(have + missing);
        if wanted > have {
            self.buffer.resize(wanted, 0);
        }
        wanted > have
    }

    /// The port it came in by.
    #[must_use]
    pub fn port(&self) -> PortId {
        self.port
    }

    /// Whether there is an IP datagram in the frame.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        self.is_ip
    }

    /// Whether its end was not captured.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether its TTL or hop limit was raised.
    #[must_use]
    pub fn is_aged(&self) -> bool {
        self.is_aged
    }

    /// Whether checksums were left to the sender's network card, and completed.
    #[must_use]
    pub fn is_offloaded(&self) -> bool {
        self.is_offloaded
    }

    /// The datagram as it is now, without padding.
    #[must_use]
    pub fn datagram(&self) -> &[u8] {
        trimmed(&self.buffer)
    }

    /// The datagram with its padding, to be patched.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// The datagram as the engine wants it.
    pub(crate) fn packet(&mut self) -> Packet<'_> {
        Packet { link: self.link, ..Packet::received(&mut self.buffer, self.port) }
    }

    /// The same, as a copy in a buffer: for questions.
    pub fn copy_to<'a>(&self, buffer: &'a mut Vec<u8>) -> Packet<'a> {
        buffer.clone_from(&self.buffer);
        Packet { link: self.link, ..Packet::received(buffer, self.port) }
    }

    /// The upper-layer protocol; 0 if there is none.
    #[must_use]
    pub fn proto(&self) -> u8 {
        match self.buffer.first().map(|byte| byte >> 4) {
            Some(4) => self.buffer.get(9).copied().unwrap_or(0),
            Some(6) => match self.buffer.get(6).copied().unwrap_or(0) {
                next if proto::is_ipv6_extension(next) => {
                    dissect(&self.buffer).map_or(0, |headers| headers.proto)
                }
                next => next,
            },
            _ => 0,
        }
    }
}

/// The datagram without what follows it in `bytes`; all of them where the
/// header can't be believed.
pub(super) fn trimmed(bytes: &[u8]) -> &[u8] {
    let len = claimed_len(bytes).unwrap_or(bytes.len());
    &bytes[..len.min(bytes.len())]
}

/// The length that the IP header gives.
fn claimed_len(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? >> 4 {
        4 => Some(usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        6 => {
            let payload = usize::from(u16::from_be_bytes([*bytes.get(4)?, *bytes.get(5)?]));
            // A jumbogram's length stands in an option; all bytes are its.
            (payload > 0).then_some(payload + 40)
        }
        _ => None,
    }
}

fn port_of(link: &Link<'_>, world: &World) -> PortId {
    match world {
        World::Router(_) if link.src == Some(WAN_PEER) => OUT0,
        _ => IN0,
    }
}

fn link_header(link: &Link<'_>) -> Option<LinkHeader> {
    Some(LinkHeader { dst: link.dst?, src: link.src?, ethertype: link.ethertype? })
}

/// Raises a TTL or hop limit below 2; whether it had to.
fn rejuvenate(bytes: &mut [u8]) -> bool {
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) if bytes.get(8).is_some_and(|ttl| *ttl < 2) => {
            Ipv4::new(bytes).map(|mut header| header.set_ttl(2)).is_some()
        }
        Some(6) if bytes.get(7).is_some_and(|hops| *hops < 2) => {
            Ipv6::new(bytes).map(|mut header| header.set_hop_limit(2)).is_some()
        }
        _ => false,
    }
}

/// Room for the longest datagram without jumbo options.
const ROOM: usize = 65_536 + 40;
