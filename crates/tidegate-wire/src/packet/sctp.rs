//! The SCTP common header and its chunks (RFC 9260).
//!
//! Chunks are walked as Linux walks them: from one to the next by its length rounded up to a word,
//! until less than a chunk header is left. That a chunk ends within the packet is not checked.

use super::{put_u16, u16_at, u32_at};
use crate::crc32c::Crc32c;

/// A view of an SCTP packet; it ends where the packet ends.
#[derive(Clone, Copy, Debug)]
pub struct Sctp<T>(T);

impl<T: AsRef<[u8]>> Sctp<T> {
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

    /// The verification tag: which association of the receiver this is for.
    pub fn tag(&self) -> u32 {
        u32_at(self.bytes(), TAG)
    }

    /// Whether the checksum is right.
    pub fn checksum_ok(&self) -> bool {
        self.bytes()[CHECKSUM..HEADER_LEN] == self.compute_checksum()
    }

    /// The chunks, in order.
    pub fn chunks(&self) -> Chunks<'_> {
        Chunks(&self.bytes()[HEADER_LEN..])
    }

    /// The checksum over header and chunks, its own field taken for zero; lowest byte first, as it
    /// is sent.
    fn compute_checksum(&self) -> [u8; 4] {
        let (header, chunks) = self.bytes().split_at(HEADER_LEN);
        let crc = Crc32c::new().bytes(&header[..CHECKSUM]).bytes(&[0; 4]).bytes(chunks);
        crc.finish().to_le_bytes()
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Sctp<T> {
    /// Sets the source port.
    pub fn set_src_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), SRC_PORT, port);
    }

    /// Sets the destination port.
    pub fn set_dst_port(&mut self, port: u16) {
        put_u16(self.0.as_mut(), DST_PORT, port);
    }

    /// Computes the checksum from scratch. It covers no address.
    pub fn fill_checksum(&mut self) {
        let checksum = self.compute_checksum();
        self.0.as_mut()[CHECKSUM..HEADER_LEN].copy_from_slice(&checksum);
    }
}

/// The chunks of a packet, in order. A chunk that gives its length as zero is the last one: there
/// is no way past it.
#[derive(Clone, Copy, Debug)]
pub struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        let chunk = Chunk::new(self.0)?;
        let step = usize::from(chunk.len()).next_multiple_of(4);
        self.0 = if step == 0 { &[] } else { self.0.get(step..).unwrap_or_default() };
        Some(chunk)
    }
}

/// A view of a chunk and of all that follows it in its packet.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a>(&'a [u8]);

impl<'a> Chunk<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        (bytes.len() >= CHUNK_HEADER_LEN).then_some(Self(bytes))
    }

    /// Its type; the constants of [`kind`] name some.
    pub fn kind(&self) -> u8 {
        self.0[0]
    }

    /// Its length with its header and without padding, in bytes, as it says.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a field of the header, not the size of a container"
    )]
    pub fn len(&self) -> u16 {
        u16_at(self.0, 2)
    }

    /// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is the sender's own, because
    /// it doesn't know the receiver's.
    pub fn reflects_tag(&self) -> bool {
        self.0[1] & FLAG_T != 0
    }

    /// The initiate tag of INIT and INIT ACK: what the sender wants to be addressed by. `None` if
    /// the packet ends within their fixed part; the chunk's own length does not count.
    pub fn init_tag(&self) -> Option<u32> {
        (self.0.len() >= CHUNK_HEADER_LEN + INIT_LEN).then(|| u32_at(self.0, CHUNK_HEADER_LEN))
    }
}

/// Types of chunks (RFC 9260 section 3.2).
pub mod kind {
    /// User data.
    pub const DATA: u8 = 0;
    /// Begins an association.
    pub const INIT: u8 = 1;
    /// Answers INIT, with a cookie.
    pub const INIT_ACK: u8 = 2;
    /// Acknowledges user data.
    pub const SACK: u8 = 3;
    /// Asks whether a path is alive.
    pub const HEARTBEAT: u8 = 4;
    /// Answers HEARTBEAT.
    pub const HEARTBEAT_ACK: u8 = 5;
    /// Ends an association at once.
    pub const ABORT: u8 = 6;
    /// Begins the end of an association.
    pub const SHUTDOWN: u8 = 7;
    /// Answers SHUTDOWN.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// Reports an error.
    pub const ERROR: u8 = 9;
    /// Sends the cookie back.
    pub const COOKIE_ECHO: u8 = 10;
    /// Answers COOKIE ECHO: the association is up.
    pub const COOKIE_ACK: u8 = 11;
    /// Answers SHUTDOWN ACK: the association is over.
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// Length of the common header, in bytes.
pub const HEADER_LEN: usize = 12;
/// Length of a chunk's header, in bytes.
pub const CHUNK_HEADER_LEN: usize = 4;

const SRC_PORT: usize = 0;
const DST_PORT: usize = 2;
const TAG: usize = 4;
const CHECKSUM: usize = 8;
/// Tag, window, numbers of streams and TSN of an INIT.
const INIT_LEN: usize = 16;
const FLAG_T: u8 = 1;

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// An INIT from port 5000 to port 6000 that wants the tag 0x1111.
    const INIT: [u8; 32] = [
        0x13, 0x88, 0x17, 0x70, 0, 0, 0, 0, 0x59, 0xcd, 0xa6, 0x42, 1, 0, 0, 20, 0, 0, 0x11, 0x11,
        0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 1,
    ];

    fn kinds_and_lengths(chunks: &[u8]) -> Vec<(u8, u16)> {
        let packet = [&[0; HEADER_LEN], chunks].concat();
        let packet = Sctp::new(&packet[..]).unwrap();
        packet.chunks().map(|chunk| (chunk.kind(), chunk.len())).collect()
    }

    #[test]
    fn an_init_that_linux_accepted() {
        let packet = Sctp::new(&INIT[..]).unwrap();
        assert_eq!((packet.src_port(), packet.dst_port(), packet.tag()), (5000, 6000, 0));
        assert!(packet.checksum_ok());
        let [chunk] = packet.chunks().collect::<Vec<_>>()[..] else { panic!("one chunk") };
        assert_eq!((chunk.kind(), chunk.len(), chunk.reflects_tag()), (kind::INIT, 20, false));
        assert_eq!(chunk.init_tag(), Some(0x1111));
        assert!(Sctp::new(&INIT[..11]).is_none());
        let cut = Sctp::new(&INIT[..31]).unwrap();
        assert_eq!(cut.chunks().next().unwrap().init_tag(), None, "a cut TSN");
    }

    #[test]
    fn the_checksum_is_filled_in_anew() {
        let mut bytes = INIT;
        let mut packet = Sctp::new(&mut bytes[..]).unwrap();
        packet.set_src_port(5001);
        assert!(!packet.checksum_ok());
        packet.fill_checksum();
        assert!(packet.checksum_ok());
        packet.set_src_port(5000);
        packet.set_dst_port(1);
        assert_eq!(packet.dst_port(), 1);
        packet.set_dst_port(6000);
        packet.fill_checksum();
        assert_eq!(bytes, INIT);
    }

    #[test]
    fn chunks_are_walked_as_linux_walks_them() {
        type Walked = &'static [(u8, u16)];
        let rows: [(&str, &[u8], Walked); 7] = [
            ("none", &[], &[]),
            ("less than a header", &[10, 0, 0], &[]),
            ("two", &[10, 0, 0, 4, 0, 0, 0, 4], &[(10, 4), (0, 4)]),
            ("padding is skipped", &[10, 0, 0, 5, 9, 0, 0, 0, 11, 0, 0, 4], &[(10, 5), (11, 4)]),
            ("the last one may end outside", &[0, 3, 0, 99, 1, 2], &[(0, 99)]),
            ("shorter than its header", &[7, 0, 0, 1, 8, 0, 0, 4], &[(7, 1), (8, 4)]),
            ("no length: the end", &[7, 0, 0, 0, 8, 0, 0, 4], &[(7, 0)]),
        ];
        for (what, chunks, want) in rows {
            assert_eq!(kinds_and_lengths(chunks), want, "{what}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Some(packet) = Sctp::new(&bytes[..]) {
                let chunks: Vec<_> = packet.chunks().collect();
                prop_assert!(chunks.len() * CHUNK_HEADER_LEN <= bytes.len() - HEADER_LEN);
                for chunk in &chunks {
                    let _ = (chunk.init_tag(), chunk.reflects_tag());
                }
                let _ = packet.checksum_ok();
            }
        }
    }
}
