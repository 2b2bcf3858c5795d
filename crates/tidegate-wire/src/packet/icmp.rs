//! The ICMP header of IPv4 (RFC 792).

use super::{clamped, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::{Delta, Sum};

/// Whether a message of this type is one that quotes a datagram.
pub fn is_error(kind: u8) -> bool {
    matches!(kind, UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// A view of an ICMP message.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<T>(T);

impl<T: AsRef<[u8]>> Icmp<T> {
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

    /// Whether it is a message that quotes a datagram.
    pub fn is_error(&self) -> bool {
        is_error(self.kind())
    }

    /// The checksum as it stands.
    pub fn checksum(&self) -> u16 {
        u16_at(self.bytes(), CHECKSUM)
    }

    /// Whether the checksum is right. => the view ends where the message ends
    pub fn checksum_ok(&self) -> bool {
        Sum::new().bytes(self.bytes()).finish() == 0
    }

    /// The identifier of a query.
    pub fn id(&self) -> u16 {
        u16_at(self.bytes(), ID)
    }

    /// The sequence number of a query.
    pub fn seq(&self) -> u16 {
        u16_at(self.bytes(), SEQ)
    }

    /// The header's second half as one number; its low 16 bits are the MTU of "fragmentation
    /// needed".
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

impl<T: AsRef<[u8]> + AsMut<[u8]>> Icmp<T> {
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
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        self.set_checksum(Sum::new().bytes(self.bytes()).finish());
    }
}

/// Length of the header, in bytes; the datagram quoted by an error follows it.
pub const HEADER_LEN: usize = 8;

/// Echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Destination unreachable, an error.
pub const UNREACHABLE: u8 = 3;
/// Source quench, an error.
pub const SOURCE_QUENCH: u8 = 4;
/// Redirect; it quotes a datagram as errors do.
pub const REDIRECT: u8 = 5;
/// Echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Time exceeded, an error.
pub const TIME_EXCEEDED: u8 = 11;
/// Parameter problem, an error.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Timestamp request.
pub const TIMESTAMP: u8 = 13;
/// Timestamp reply.
pub const TIMESTAMP_REPLY: u8 = 14;
/// Information request.
pub const INFO_REQUEST: u8 = 15;
/// Information reply.
pub const INFO_REPLY: u8 = 16;
/// Address mask request.
pub const ADDRESS_MASK: u8 = 17;
/// Address mask reply.
pub const ADDRESS_MASK_REPLY: u8 = 18;

const CODE: usize = 1;
const CHECKSUM: usize = 2;
const REST: usize = 4;
const ID: usize = 4;
const SEQ: usize = 6;
