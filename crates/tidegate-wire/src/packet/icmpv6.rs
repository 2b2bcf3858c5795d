//! The ICMP header of IPv6 (RFC 4443). Unlike ICMP's, its checksum covers a pseudo header.

use core::net::IpAddr;

use super::{clamped, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::{self, Delta};
use crate::proto;

/// Whether a message of this type is an error, which quotes a datagram (RFC 4443 section 2.1).
pub fn is_error(kind: u8) -> bool {
    kind < 128
}

/// A view of an ICMPv6 message.
#[derive(Clone, Copy, Debug)]
pub struct Icmpv6<T>(T);

impl<T: AsRef<[u8]>> Icmpv6<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`].
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The message's type.
    pub fn kind(&self) -> u8 {
        self.bytes()[0]
    }

    /// The message's code.
    pub fn code(&self) -> u8 {
        self.bytes()[CODE]
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        is_error(self.kind())
    }

    /// The checksum as it stands.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// The identifier of an echo message.
    pub fn id(&self) -> u16 {
        u16_at(self.bytes(), ID)
    }

    /// The sequence number of an echo message.
    pub fn seq(&self) -> u16 {
        u16_at(self.bytes(), SEQ)
    }

    /// The header's second half as one number: the MTU of "packet too big".
    pub fn rest(&self) -> u32 {
        u32_at(self.bytes(), REST)
    }

    /// What follows the header: of an error, the datagram it quotes.
    pub fn payload(&self) -> &[u8] {
        clamped(self.bytes(), HEADER_LEN, usize::MAX)
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Icmpv6<T> {
    /// Sets the type.
    pub fn set_kind(&mut self, kind: u8) {
        self.0.as_mut()[0] = kind;
    }

    /// Sets the code.
    pub fn set_code(&mut self, code: u8) {
        self.0.as_mut()[CODE] = code;
    }

    /// Sets the identifier.
    pub fn set_id(&mut self, id: u16) {
        put_u16(self.0.as_mut(), ID, id);
    }

    /// Sets the sequence number.
    pub fn set_seq(&mut self, seq: u16) {
        put_u16(self.0.as_mut(), SEQ, seq);
    }

    /// Sets the header's second half.
    pub fn set_rest(&mut self, rest: u32) {
        put_u32(self.0.as_mut(), REST, rest);
    }

    /// Sets the checksum.
    pub fn set_checksum(&mut self, checksum: u16) {
        put_u16(self.0.as_mut(), CHECKSUM, checksum);
    }

    /// Corrects the checksum by what has changed.
    pub fn adjust(&mut self, delta: Delta) {
        self.set_checksum(delta.apply(self.checksum()));
    }

    /// Computes the checksum from scratch. => the view ends where the message ends
    pub fn fill_checksum(&mut self, src: IpAddr, dst: IpAddr) {
        self.set_checksum(0);
        self.set_checksum(checksum::transport(src, dst, proto::ICMPV6, self.bytes()));
    }
}

/// Length of the header, in bytes; the datagram quoted by an error follows it.
pub const HEADER_LEN: usize = 8;

/// Destination unreachable, an error.
pub const UNREACHABLE: u8 = 1;
/// Packet too big, an error.
pub const PACKET_TOO_BIG: u8 = 2;
/// Time exceeded, an error.
pub const TIME_EXCEEDED: u8 = 3;
/// Parameter problem, an error.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Multicast listener query.
pub const LISTENER_QUERY: u8 = 130;
/// Multicast listener report.
pub const LISTENER_REPORT: u8 = 131;
/// Multicast listener done.
pub const LISTENER_DONE: u8 = 132;
/// Router solicitation.
pub const ROUTER_SOLICITATION: u8 = 133;
/// Router advertisement.
pub const ROUTER_ADVERTISEMENT: u8 = 134;
/// Neighbour solicitation.
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
/// Neighbour advertisement.
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Redirect; an informational message, unlike ICMP's.
pub const REDIRECT: u8 = 137;
/// Node information query.
pub const NODE_INFO_QUERY: u8 = 139;
/// Node information reply.
pub const NODE_INFO_REPLY: u8 = 140;
/// Multicast listener report, version 2.
pub const LISTENER_REPORT_V2: u8 = 143;

const CODE: usize = 1;
const CHECKSUM: usize = 2;
const REST: usize = 4;
const ID: usize = 4;
const SEQ: usize = 6;
