//! The UDP-Lite header (RFC 3828).
//!
//! It is UDP's with another meaning of the third field: how many bytes, from the header on, the
//! checksum covers. There is always a checksum.

use core::net::IpAddr;

use super::{put_u16, u16_at};
use crate::checksum::{Delta, pseudo_header};

/// A view of a UDP-Lite datagram; it ends where the datagram ends.
#[derive(Clone, Copy, Debug)]
pub struct UdpLite<T>(T);

impl<T: AsRef<[u8]>> UdpLite<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`].
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The source port.
    pub fn src_port(&self) -> u16 {
        u16_at(self.bytes(), SRC_PORT)
    }

    /// The destination port.
    pub fn dst_port(&self) -> u16 {
        u16_at(self.bytes(), DST_PORT)
    }

    /// The checksum as it stands; 0 is never right.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// What the checksum covers: everything, where the header says 0. `None` if it says less than
    /// the header or more than there is.
    pub fn covered(&self) -> Option<&[u8]> {
        match usize::from(u16_at(self.bytes(), COVERAGE)) {
            0 => Some(self.bytes()),
            coverage => self.bytes().get(..coverage).filter(|_| coverage >= HEADER_LEN),
        }
    }

    /// Whether the checksum is right, with `proto` in the pseudo header.
    pub fn checksum_ok(&self, src: IpAddr, dst: IpAddr, proto: u8) -> bool {
        let sum = pseudo_header(src, dst, proto, self.bytes().len());
        self.covered().is_some_and(|covered| sum.bytes(covered).finish() == 0)
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> UdpLite<T> {
    /// Sets the source port.
    pub fn set_src_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), SRC_PORT, port);
    }

    /// Sets the destination port.
    pub fn set_dst_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), DST_PORT, port);
    }

    /// Corrects the checksum by what has changed; a sum of zero is written as all ones.
    pub fn adjust(&mut self, delta: Delta) {
        let check = match delta.apply(self.checksum()) {
            0 => 0xffff,
            check => check,
        };
        put_u16(self.0.as_mut(), CHECKSUM, check);
    }
}

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 8;

const SRC_PORT: usize = 0;
const DST_PORT: usize = 2;
const COVERAGE: usize = 4;
const CHECKSUM: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    const SRC: [u8; 4] = [10, 0, 1, 2];
    const DST: [u8; 4] = [203, 0, 113, 2];

    /// From port 47001 to port 90, with that coverage and checksum, and ten bytes.
    fn datagram(coverage: u16, checksum: u16) -> [u8; 18] {
        let mut bytes = *b"\xb7\x99\x00\x5a    0123456789";
        bytes[4..6].copy_from_slice(&coverage.to_be_bytes());
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    #[test]
    fn coverage_and_checksum() {
        let rows: [(&str, [u8; 18], Option<usize>, bool); 7] = [
            ("zero covers everything", datagram(0, 0xfb62), Some(18), true),
            ("the header alone", datagram(8, 0x0065), Some(8), true),
            ("an odd part", datagram(13, 0x69fb), Some(13), true),
            ("the whole by its length", datagram(18, 0xfb50), Some(18), true),
            ("less than the header", datagram(7, 0xfb62), None, false),
            ("more than there is", datagram(19, 0xfb62), None, false),
            ("a wrong one", datagram(8, 0x0066), Some(8), false),
        ];
        for (what, bytes, covered, right) in rows {
            let view = UdpLite::new(&bytes[..]).unwrap();
            assert_eq!((view.src_port(), view.dst_port()), (47_001, 90), "{what}");
            assert_eq!(view.covered().map(<[u8]>::len), covered, "{what}");
            assert_eq!(view.checksum_ok(SRC.into(), DST.into(), proto::UDPLITE), right, "{what}");
            assert!(!view.checksum_ok(SRC.into(), DST.into(), proto::UDP), "{what}");
        }
        assert!(UdpLite::new(&datagram(0, 0)[..7]).is_none());
    }

    #[test]
    fn a_port_and_an_address_change_and_the_checksum_follows() {
        let mut bytes = datagram(13, 0x69fb);
        let new_src = [192, 0, 2, 1].into();
        let mut view = UdpLite::new(&mut bytes[..]).unwrap();
        view.set_src_port(1024);
        view.adjust(Delta::new().word(47_001, 1024).addr(SRC.into(), new_src));
        assert!(view.checksum_ok(new_src, DST.into(), proto::UDPLITE));
        view.set_dst_port(91);
        view.adjust(Delta::new().word(90, 91));
        assert!(view.checksum_ok(new_src, DST.into(), proto::UDPLITE));
        // What makes the sum zero: the port moves by what the checksum holds.
        let port = view.dst_port();
        let zeroing = port.checked_add(view.checksum()).unwrap();
        view.set_dst_port(zeroing);
        view.adjust(Delta::new().word(port, zeroing));
        assert_eq!(view.checksum(), 0xffff);
        assert!(view.checksum_ok(new_src, DST.into(), proto::UDPLITE));
    }
}
