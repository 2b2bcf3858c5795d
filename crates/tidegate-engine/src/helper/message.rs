//! A packet's payload, to be read and rewritten.
//!
//! What is written may be of another length. The headers are made right for it, and the checksum is
//! computed anew, as in Linux (`nf_nat_mangle_tcp_packet`, `nf_nat_mangle_udp_packet`). A packet that
//! no longer fits its buffer moves to one of its own. Superframes are no exception: what they are cut into
//! has the new payload, and as many bytes more or less in its last piece; a partial checksum stays partial.

use alloc::vec::Vec;
use core::ops::Range;

use tidegate_wire::offload::{self, Checksum};
use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::packet::ipv6::{self, Ipv6};
use tidegate_wire::packet::tcp::Tcp;
use tidegate_wire::packet::udp::Udp;
use tidegate_wire::{Family, Headers, SeqNum, proto};

use super::{HelperFault, Part};

/// The largest datagram.
const MOST: usize = 65_535;
const UDP_HEADER_LEN: usize = 8;
const UNWRITABLE: HelperFault = HelperFault::NotRewritten(Part::Packet);

/// A datagram of a flow, which has an upper layer.
pub(crate) struct Message<'a> {
    buffer: Buffer<'a>,
    headers: Headers,
    /// Where the upper layer begins, and its payload.
    l4: usize,
    data: usize,
    /// Linux had to make it contiguous.
    is_linear: bool,
}

enum Buffer<'a> {
    Lent(&'a mut [u8]),
    Own(Vec<u8>),
}

impl<'a> Message<'a> {
    /// `proto` is the flow's, which says how long the upper layer's header is taken to be: the packet
    /// itself may be an ICMP error about the flow. `None` if there is no upper layer.
    pub(crate) fn new(bytes: &'a mut [u8], headers: Headers, proto: u8) -> Option<Self> {
        let l4 = headers.l4?;
        let header_len = match proto {
            proto::TCP => Tcp::new(headers.payload(bytes))?.header_len(),
            _ => UDP_HEADER_LEN,
        };
        let data = l4 + header_len;
        Some(Self { buffer: Buffer::Lent(bytes), headers, l4, data, is_linear: false })
    }

    /// The payload; empty if there is none.
    pub(crate) fn data(&self) -> &[u8] {
        self.bytes().get(self.data..self.headers.len).unwrap_or_default()
    }

    /// The state of the checksum.
    pub(crate) fn checksum(&self) -> Checksum {
        self.headers.checksum
    }

    /// The upper layer, header and all. Who writes there minds the checksum.
    pub(crate) fn upper_layer(&mut self) -> &mut [u8] {
        let range = self.l4..self.headers.len;
        self.bytes_mut().get_mut(range).unwrap_or_default()
    }

    /// The sequence number of a TCP segment.
    pub(crate) fn seq(&self) -> Option<SeqNum> {
        if self.headers.proto != proto::TCP {
            return None;
        }
        Tcp::new(self.headers.payload(self.bytes())).map(|tcp| tcp.seq())
    }

    /// Notes that all of it is read as one piece; fragments' boundaries are lost.
    pub(crate) fn linearize(&mut self) {
        self.is_linear = true;
    }

    /// See [`Message::linearize`].
    pub(crate) fn is_linear(&self) -> bool {
        self.is_linear
    }

    /// The headers as they are now, and the buffer of the packet's own, if it has one.
    pub(crate) fn finish(self) -> (Headers, Option<Vec<u8>>) {
        match self.buffer {
            Buffer::Lent(_) => (self.headers, None),
            Buffer::Own(bytes) => (self.headers, Some(bytes)),
        }
    }

    /// Replaces a range of the payload.
    ///
    /// # Errors
    /// The datagram would be too long, or the range is not in it.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &[u8]) -> Result<(), HelperFault> {
        if range.start > range.end || range.end > self.data().len() {
            return Err(UNWRITABLE);
        }
        let (old, new) = (self.headers.len, self.headers.len - range.len() + with.len());
        if new > MOST {
            return Err(UNWRITABLE);
        }
        self.is_linear = true;
        self.make_room(new);
        let (start, end) = (self.data + range.start, self.data + range.end);
        let bytes = self.bytes_mut();
        bytes.copy_within(end..old, start + with.len());
        bytes[start..start + with.len()].copy_from_slice(with);
        self.headers.len = new;
        self.fill_lengths();
        self.fill_checksum();
        Ok(())
    }

    /// Gives a UDP datagram another destination port.
    pub(crate) fn set_udp_destination(&mut self, port: u16) -> Result<(), HelperFault> {
        let range = self.l4..self.headers.len;
        let mut udp = Udp::new(&mut self.bytes_mut()[range]).ok_or(UNWRITABLE)?;
        udp.set_dst_port(port);
        self.is_linear = true;
        self.fill_lengths();
        self.fill_checksum();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        match &self.buffer {
            Buffer::Lent(bytes) => bytes,
            Buffer::Own(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match &mut self.buffer {
            Buffer::Lent(bytes) => bytes,
            Buffer::Own(bytes) => bytes,
        }
    }

    fn make_room(&mut self, len: usize) {
        if let Buffer::Lent(bytes) = &self.buffer
            && bytes.len() < len
        {
            self.buffer = Buffer::Own(bytes[..self.headers.len].to_vec());
        }
        if let Buffer::Own(bytes) = &mut self.buffer
            && bytes.len() < len
        {
            bytes.resize(len, 0);
        }
    }

    fn fill_lengths(&mut self) {
        let (family, len, l4) = (self.headers.family, self.headers.len, self.l4);
        // Linux writes the length of a flow's datagram into an error about it, too.
        let is_udp = self.data == self.l4 + UDP_HEADER_LEN;
        let bytes = self.bytes_mut();
        match family {
            Family::V4 => {
                if let Some(mut ip) = Ipv4::new(&mut *bytes) {
                    ip.set_total_len(len as u16);
                    ip.fill_checksum();
                }
            }
            Family::V6 => {
                if let Some(mut ip) = Ipv6::new(&mut *bytes) {
                    ip.set_payload_len((len - ipv6::HEADER_LEN) as u16);
                }
            }
        }
        if is_udp && let Some(mut udp) = Udp::new(&mut bytes[l4..len]) {
            udp.set_len((len - l4) as u16);
        }
    }

    /// A UDP datagram without a checksum stays without.
    fn fill_checksum(&mut self) {
        let Headers { src, dst, len, proto, checksum, .. } = self.headers;
        let l4 = self.l4;
        if checksum.is_partial() {
            let headers = Headers { l4: Some(l4), ..self.headers };
            offload::begin(self.bytes_mut(), &headers);
            return;
        }
        let segment = &mut self.bytes_mut()[l4..len];
        match proto {
            proto::TCP => {
                if let Some(mut tcp) = Tcp::new(segment) {
                    tcp.fill_checksum(src, dst);
                }
            }
            proto::UDP => {
                if let Some(mut udp) = Udp::new(segment).filter(|udp| udp.checksum() != 0) {
                    udp.fill_checksum(src, dst);
                }
            }
            _ => {}
        }
    }
}
