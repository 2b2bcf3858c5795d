//! What left the router because of one packet, by which port, and in pieces
//! where the port's MTU asks for it.
//!
//! All bytes lie in one buffer that is reused from packet to packet. A caller
//! who doesn't want them says so, and nothing is copied.

use std::ops::Range;

use tidegate_engine::fib::{Port, PortId};
use tidegate_engine::packet;
use tidegate_wire::Family;
use tidegate_wire::packet::Ipv4;

use super::ingress::{family_of, trimmed};

/// Why a packet left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is the packet that came in.
    Forwarded,
    /// The host stack answered.
    Local,
    /// A REJECT rule answered.
    Reject,
    /// The router owed an error.
    Router,
}

impl Origin {
    /// Its name in records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "fwd",
            Self::Local => "local",
            Self::Reject => "reject",
            Self::Router => "router",
        }
    }
}

impl From<packet::Origin> for Origin {
    fn from(origin: packet::Origin) -> Self {
        match origin {
            packet::Origin::Reject => Self::Reject,
            packet::Origin::Router => Self::Router,
        }
    }
}

/// One datagram that left.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a> {
    /// By which port.
    pub port: PortId,
    /// Why.
    pub origin: Origin,
    /// From the IP header on.
    pub datagram: &'a [u8],
}

/// Everything that left because of one packet.
#[derive(Debug, Default)]
pub struct Outbox {
    keeps_bytes: bool,
    bytes: Vec<u8>,
    left: Vec<(PortId, Origin, Range<usize>)>,
}

impl Outbox {
    /// From now on the bytes are kept for [`Outbox::left`], or not.
    pub fn keep_bytes(&mut self, keep: bool) {
        self.keeps_bytes = keep;
    }

    /// What left, in sending order.
    pub fn left(&self) -> impl Iterator<Item = Left<'_>> {
        self.left.iter().map(|(port, origin, range)| Left {
            port: *port,
            origin: *origin,
            datagram: &self.bytes[range.clone()],
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.left.clear();
    }

    /// Sends a datagram by `port`, in fragments if it is too long for it.
    pub(super) fn send(&mut self, id: PortId, port: &Port, origin: Origin, datagram: &[u8]) {
        if !self.keeps_bytes {
            self.left.push((id, origin, 0..0));
            return;
        }
        let datagram = trimmed(datagram);
        let mtu = usize::try_from(port.mtu).unwrap_or(usize::MAX);
        if datagram.len() <= mtu || family_of(datagram) != Some(Family::V4) {
            self.push(id, origin, |bytes| bytes.extend_from_slice(datagram));
        } else {
            self.send_fragments(id, origin, mtu, datagram);
        }
    }

    /// Cuts an IPv4 datagram at the last multiple of 8 that fits (RFC 791
    /// section 3.2). It may itself be a fragment.
    fn send_fragments(&mut self, id: PortId, origin: Origin, mtu: usize, datagram: &[u8]) {
        let Some(header) = Ipv4::new(datagram) else { return };
        let (header_len, offset) = (header.header_len(), header.fragment_offset());
        let more_follow = header.more_fragments();
        let Some(data) = datagram.get(header_len..) else { return };
        let piece = mtu.saturating_sub(header_len) & !7;
        if piece == 0 {
            return;
        }
        for (index, chunk) in data.chunks(piece).enumerate() {
            let start = index * piece;
            let more = more_follow || start + chunk.len() < data.len();
            self.push(id, origin, |bytes| {
                let first = bytes.len();
                bytes.extend_from_slice(&datagram[..header_len]);
                bytes.extend_from_slice(chunk);
                let is_first = index == 0;
                finish_fragment(&mut bytes[first..], offset + start as u16, more, is_first);
            });
        }
    }

    fn push(&mut self, port: PortId, origin: Origin, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.left.push((port, origin, start..self.bytes.len()));
    }
}

/// Makes the copied header that of a fragment.
fn finish_fragment(fragment: &mut [u8], offset: u16, more: bool, is_first: bool) {
    if !is_first {
        blank_options(fragment);
    }
    let len = fragment.len() as u16;
    if let Some(mut header) = Ipv4::new(fragment) {
        header.set_total_len(len);
        header.set_fragment(offset, more);
        header.fill_checksum();
    }
}

/// Options without the "copied" flag stand in the first fragment only; Linux
/// overwrites the others with no-operations and leaves the length.
fn blank_options(fragment: &mut [u8]) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const COPIED: u8 = 0x80;
    let Some(header_len) = Ipv4::new(&*fragment).map(|header| header.header_len()) else { return };
    let Some(mut options) = fragment.get_mut(20..header_len) else { return };
    loop {
        let len = match *options {
            [] | [END, ..] => return,
            [NO_OPERATION, ..] => 1,
            [_, len, ..] if (2..=options.len()).contains(&usize::from(len)) => usize::from(len),
            _ => return,
        };
        let (option, rest) = options.split_at_mut(len);
        if option[0] & COPIED == 0 {
            option.fill(NO_OPERATION);
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use tidegate_wire::packet::Ipv4Repr;

    use super::*;
    use crate::replay::topology::OUT0;

    fn send(mtu: u32, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut outbox = Outbox::default();
        outbox.keep_bytes(true);
        let port = Port { name: "out0".to_owned(), mtu };
        outbox.send(OUT0, &port, Origin::Forwarded, datagram);
        outbox.left().map(|left| left.datagram.to_vec()).collect()
    }

    fn datagram(payload_len: usize) -> Vec<u8> {
        let [src, dst] = [[10, 0, 1, 2], [203, 0, 113, 2]].map(Into::into);
        let header = Ipv4Repr {
            src,
            dst,
            proto: 17,
            ttl: 63,
            tos: 0,
            id: 3,
            dont_fragment: false,
            payload_len,
        };
        let mut bytes = vec![0; 20];
        header.emit(&mut bytes);
        bytes.extend((0..payload_len).map(|i| i as u8));
        bytes
    }

    #[test]
    fn what_fits_leaves_whole_and_without_padding() {
        let mut padded = datagram(30);
        padded.extend([0; 16]);
        assert_eq!(send(50, &padded), [datagram(30)]);
    }

    #[test]
    fn what_does_not_fit_is_cut_at_multiples_of_eight() {
        // The lengths that the kernel chose for this MTU.
        let pieces = send(700, &datagram(908));
        let shape = |piece: &Vec<u8>| {
            let header = Ipv4::new(&piece[..]).unwrap();
            assert!(header.checksum_ok());
            (piece.len(), header.fragment_offset(), header.more_fragments())
        };
        assert_eq!(
            pieces.iter().map(shape).collect::<Vec<_>>(),
            [(700, 0, true), (248, 680, false)]
        );
        let data: Vec<u8> = pieces.iter().flat_map(|piece| piece[20..].to_vec()).collect();
        assert_eq!(data, datagram(908)[20..]);
    }

    #[test]
    fn only_copied_options_reach_later_fragments() {
        let mut bytes = datagram(60);
        // Record route (not copied), then router alert (copied), then end.
        bytes.splice(20..20, [7, 3, 4, 0x94, 4, 0, 0, 0]);
        bytes[0] = 0x47;
        bytes[2..4].copy_from_slice(&88u16.to_be_bytes());
        let pieces = send(60, &bytes);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces[0][20..28], [7, 3, 4, 0x94, 4, 0, 0, 0]);
        assert_eq!(pieces[1][20..28], [1, 1, 1, 0x94, 4, 0, 0, 0]);
    }
}
