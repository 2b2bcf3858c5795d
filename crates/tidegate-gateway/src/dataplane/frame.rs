//! A frame in somebody's buffer.

use tidegate_engine::fib::PortId;
use tidegate_engine::packet::{LinkHeader, Offload, Packet};
use tidegate_wire::packet::ethernet::{self, Ethernet, MacAddr};
use tidegate_wire::virtio_net::{Contradiction, VirtioNet};

/// How many bytes in front of a datagram are free in every received frame: for an Ethernet header, a VLAN tag, and what
/// the link puts in front of those.
pub const HEADROOM: usize = 32;

/// A datagram in a buffer, with what is in front of it and what is known of it.
#[derive(Debug)]
pub struct Frame<'a> {
    buffer: &'a mut [u8],
    /// Where the frame begins: with the link header, if that has been written, else with the datagram.
    head: usize,
    /// Where the datagram begins, and where it ends.
    start: usize,
    end: usize,
    /// The link header that it came with.
    pub link: Option<LinkHeader>,
    /// What is left to do about it.
    pub offload: Offload,
    /// By which way it leaves.
    pub(super) way: u16,
}

impl<'a> Frame<'a> {
    /// An Ethernet frame at this place of a buffer: what is before it is room. `None` if
    /// the frame is cut short.
    #[must_use]
    pub fn ethernet(buffer: &'a mut [u8], (head, end): (usize, usize)) -> Option<Self> {
        let ethernet = Ethernet::new(buffer.get(head..end)?)?;
        let (dst, src, ethertype) = (ethernet.dst(), ethernet.src(), ethernet.ethertype());
        let start = head + ethernet.payload_offset();
        let link = Some(LinkHeader { dst, src, ethertype });
        Some(Self { buffer, head: start, start, end, link, offload: Offload::NONE, way: 0 })
    }

    /// A bare datagram at this place of a buffer. `None` if it isn't there.
    #[must_use]
    pub fn raw(buffer: &'a mut [u8], (start, end): (usize, usize)) -> Option<Self> {
        buffer.get(start..end)?;
        Some(Self { buffer, head: start, start, end, link: None, offload: Offload::NONE, way: 0 })
    }

    /// A frame that is ready to be sent: where it begins, where the datagram in it does, and where it ends.
    #[must_use]
    pub fn prepared(
        buffer: &'a mut [u8],
        (head, start, end): (usize, usize, usize),
    ) -> Option<Self> {
        buffer.get(head..start)?;
        Some(Self { head, ..Self::raw(buffer, (start, end))? })
    }

    /// Whether there is an IP datagram in it.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        self.link.is_none_or(|link| matches!(link.ethertype, ethernet::IPV4 | ethernet::IPV6))
    }

    /// Whether a station with this address takes it: it was sent to that, or to many.
    #[must_use]
    pub fn is_for(&self, own: MacAddr) -> bool {
        self.link.is_none_or(|link| link.dst == own || link.dst.0[0] & 1 != 0)
    }

    /// The datagram; padding may follow it.
    #[must_use]
    pub fn datagram(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// See [`Frame::datagram`].
    pub fn datagram_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// The datagram as the engine wants it.
    pub fn packet(&mut self, port: PortId) -> Packet<'_> {
        let (link, offload) = (self.link, self.offload);
        Packet { link, offload, ..Packet::received(self.datagram_mut(), port) }
    }

    /// The datagram as one of the host's own.
    pub fn local_packet(&mut self) -> Packet<'_> {
        Packet { offload: self.offload, ..Packet::local(self.datagram_mut()) }
    }

    /// The frame, from the link header on, if that has been written.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.head..self.end]
    }

    /// How much of [`Frame::bytes`] is link header.
    #[must_use]
    pub fn link_len(&self) -> usize {
        self.start - self.head
    }

    /// Takes over what the link said was left to do about the frame, which begins at this place of the buffer.
    ///
    /// # Errors
    /// It contradicts itself or the frame.
    pub fn take_offload(&mut self, told: &VirtioNet, head: usize) -> Result<(), Contradiction> {
        if *told != VirtioNet::default() {
            let link_len = self.start - head;
            self.offload = told.offload(self.datagram_mut(), link_len)?;
        }
        Ok(())
    }

    /// Lets what follows the datagram's end by its IP header go: padding.
    pub fn trim(&mut self) {
        let len = claimed_len(self.datagram()).unwrap_or(usize::MAX);
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Writes an Ethernet header in front of the datagram; whether there is room for it.
    pub fn put_ethernet(&mut self, dst: MacAddr, src: MacAddr) -> bool {
        let ethertype = match self.datagram().first() {
            Some(first) if first >> 4 == 6 => ethernet::IPV6,
            _ => ethernet::IPV4,
        };
        let Some(head) = self.start.checked_sub(ethernet::HEADER_LEN) else { return false };
        let header = &mut self.buffer[head..self.start];
        header[..6].copy_from_slice(&dst.0);
        header[6..12].copy_from_slice(&src.0);
        header[12..].copy_from_slice(&ethertype.to_be_bytes());
        self.head = head;
        true
    }

    /// Writes bytes in front of the frame, which do not become part of it: for what a link wants there. The frame with
    /// them, if there is room.
    pub fn behind(&mut self, bytes: &[u8]) -> Option<&mut [u8]> {
        let at = self.head.checked_sub(bytes.len())?;
        self.buffer[at..self.head].copy_from_slice(bytes);
        Some(&mut self.buffer[at..self.end])
    }
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
