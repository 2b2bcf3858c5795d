//! The UDP header (RFC 768).
//!
//! A checksum of zero means "none": it stays zero through every rewrite, and a sum that comes out
//! as zero is written as all ones.

use core::net::IpAddr;

use super::{clamped, put_u16, u16_at};
use crate::checksum::{self, Delta};
use crate::proto;

/// A view of a UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<T>(T);

impl<T: AsRef<[u8]>> Udp<T> {
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

    /// Length of header and data, in bytes, as the header says.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a field of the header, not the size of a container"
    )]
    pub fn len(&self) -> u16 {
        u16_at(self.bytes(), LEN)
    }

    /// The checksum as it stands; 0 means that there is none.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// What follows the header, up to the datagram's own length.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), HEADER_LEN, usize::from(self.len()))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Udp<T> {
    /// Sets the source port.
    pub fn set_src_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), SRC_PORT, port);
    }

    /// Sets the destination port.
    pub fn set_dst_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), DST_PORT, port);
    }

    /// Sets the length of header and data.
    pub fn set_len(&mut self, len: u16) {
        put_u16(self.0.as_mut(), LEN, len);
    }

    /// Sets the checksum.
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.0.as_mut(), CHECKSUM, checksum);
    }

    /// Corrects the checksum by what has changed, if there is one.
    pub fn adjust(&mut self, delta: Delta) {
        if self.checksum() != 0 {
            self.set_checksum(never_zero(delta.apply(self.checksum())));
        }
    }

    /// Computes the checksum from scratch. => the view ends where the datagram ends
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr) {
        self.set_checksum(0);
        let check = checksum::transport(src, dst, proto::UDP, self.bytes());
        self.set_checksum(never_zero(check));
    }
}

fn never_zero(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes after the header, at most 65527.
    pub payload_len: usize,
}

impl UdpRepr {
    /// Writes the header into the first [`HEADER_LEN`] bytes of `buf`, without a checksum.
    /// => `buf.len() >= HEADER_LEN`
    pub fn emit(&self, buf: &mut [u8]) {
        put_u16(buf, SRC_PORT, self.src_port);
        put_u16(buf, DST_PORT, self.dst_port);
        put_u16(buf, LEN, (HEADER_LEN + self.payload_len) as u16);
        put_u16(buf, CHECKSUM, 0);
    }
}

/// Length of the header, in bytes.
pub const HEADER_LEN: usize = 8;

const SRC_PORT: usize = 0;
const DST_PORT: usize = 2;
const LEN: usize = 4;
const CHECKSUM: usize = 6;
