//! The GRE header (RFC 2784, RFC 2890), and PPTP's version of it (RFC 2637 section 4.1).
//!
//! Version 0 says nothing that Linux tells flows apart by. Version 1 carries the call that the
//! packet belongs to, named by the receiver's number for it.

use super::{put_u16, u16_at};

/// A view of a GRE packet.
#[derive(Clone, Copy, Debug)]
pub struct Gre<T>(T);

impl<T: AsRef<[u8]>> Gre<T> {
    /// A view of `buf`; `None` if it is shorter than [`HEADER_LEN`].
    pub fn new(buf: T) -> Option<Self> {
        (buf.as_ref().len() >= HEADER_LEN).then_some(Self(buf))
    }

    /// The version: 0, or [`VERSION_PPTP`].
    pub fn version(&self) -> u8 {
        self.bytes()[1] & VERSION
    }

    /// EtherType of what is carried.
    pub fn protocol(&self) -> u16 {
        u16_at(self.bytes(), PROTOCOL)
    }

    /// PPTP's call id; `None` if the packet ends before it, or is of another version.
    pub fn call_id(&self) -> Option<u16> {
        self.has_call_id().then(|| u16_at(self.bytes(), CALL_ID))
    }

    fn has_call_id(&self) -> bool {
        self.version() == VERSION_PPTP && self.bytes().len() >= PPTP_HEADER_LEN
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Gre<T> {
    /// Sets PPTP's call id, where there is one. No checksum covers it.
    pub fn set_call_id(&mut self, id: u16) {
        if self.has_call_id() {
            put_u16(self.0.as_mut(), CALL_ID, id);
        }
    }
}

/// Length of the part that every version has, in bytes.
pub const HEADER_LEN: usize = 4;
/// Length of PPTP's header up to and with the call id, in bytes.
pub const PPTP_HEADER_LEN: usize = 8;
/// PPTP's version.
pub const VERSION_PPTP: u8 = 1;
/// The EtherType of PPP, the only thing that PPTP carries.
pub const PPP: u16 = 0x880b;

const VERSION: u8 = 0x07;
const PROTOCOL: usize = 2;
const CALL_ID: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_version_says() {
        type Fields = (u8, u16, Option<u16>);
        let rows: [(&str, &[u8], Option<Fields>); 6] = [
            ("IPv4, with a key", &[0x20, 0, 8, 0, 0, 0, 0, 77], Some((0, 0x0800, None))),
            ("PPTP", &[0x30, 1, 0x88, 0x0b, 0, 4, 0, 5, 9], Some((1, PPP, Some(5)))),
            ("PPTP, cut in the call id", &[0x30, 1, 0x88, 0x0b, 0, 4, 0], Some((1, PPP, None))),
            ("flags are no version", &[0, 0xf8, 8, 0], Some((0, 0x0800, None))),
            ("an unknown version", &[0, 2, 8, 0, 0, 0, 0, 5], Some((2, 0x0800, None))),
            ("cut", &[0, 0, 8], None),
        ];
        for (what, bytes, want) in rows {
            let read = Gre::new(bytes).map(|gre| (gre.version(), gre.protocol(), gre.call_id()));
            assert_eq!(read, want, "{what}");
        }
    }

    #[test]
    fn only_a_call_id_that_is_there_is_set() {
        let mut call = [0x30, 1, 0x88, 0x0b, 0, 4, 0, 5];
        Gre::new(&mut call[..]).unwrap().set_call_id(0x1234);
        assert_eq!(call, [0x30, 1, 0x88, 0x0b, 0, 4, 0x12, 0x34]);
        let mut keyed = [0x20, 0, 8, 0, 0, 0, 0, 77];
        Gre::new(&mut keyed[..]).unwrap().set_call_id(0x1234);
        assert_eq!(keyed, [0x20, 0, 8, 0, 0, 0, 0, 77]);
    }
}
