//! CRC32c, the checksum of SCTP (RFC 9260 appendix A) and iSCSI (RFC 3720 section 12.1).
//!
//! The polynomial is Castagnoli's, bits reflected, register and result complemented. A [`Crc32c`]
//! takes its bytes in pieces, cut anywhere. It can't be updated incrementally as the Internet
//! checksum can: whoever changes a byte computes it anew.

/// The CRC of the pieces given so far.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Crc32c {
    /// The CRC of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(!0)
    }

    /// Takes `bytes` in.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |crc, byte| TABLE[(crc as u8 ^ byte) as usize] ^ crc >> 8))
    }

    /// The CRC as a number. Both protocols send its lowest byte first.
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

/// What eight shifts of the register make of each value of its lowest byte.
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ CASTAGNOLI } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// 0x1edc6f41 with its bits in reverse order.
const CASTAGNOLI: u32 = 0x82f6_3b78;
static TABLE: [u32; 256] = table();

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        Crc32c::new().bytes(bytes).finish()
    }

    #[test]
    fn known_sums() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        let mut read_10 = [0; 48];
        for (at, byte) in [
            (0, 0x01),
            (1, 0xc0),
            (16, 0x14),
            (22, 0x04),
            (27, 0x14),
            (31, 0x18),
            (32, 0x28),
            (40, 0x02),
        ] {
            read_10[at] = byte;
        }
        let rows: [(&str, &[u8], u32); 7] = [
            ("nothing", &[], 0),
            ("the check value of the catalogue of CRCs", b"123456789", 0xe306_9283),
            ("RFC 3720 B.4: zeros", &[0; 32], 0x8a91_36aa),
            ("RFC 3720 B.4: ones", &[0xff; 32], 0x62a8_ab43),
            ("RFC 3720 B.4: incrementing", &up, 0x46dd_794e),
            ("RFC 3720 B.4: decrementing", &down, 0x113f_db5c),
            ("RFC 3720 B.4: an iSCSI read command", &read_10, 0xd996_3a56),
        ];
        for (what, bytes, want) in rows {
            assert_eq!(crc(bytes), want, "{what}");
        }
    }

    /// The division, a bit at a time.
    fn slow(bytes: &[u8]) -> u32 {
        let mut crc = !0_u32;
        for byte in bytes {
            for bit in 0..8 {
                let carry = (crc ^ u32::from(byte >> bit)) & 1 == 1;
                crc = crc >> 1 ^ if carry { CASTAGNOLI } else { 0 };
            }
        }
        !crc
    }

    proptest! {
        #[test]
        fn the_table_divides(bytes: Vec<u8>) {
            prop_assert_eq!(crc(&bytes), slow(&bytes));
        }

        #[test]
        fn pieces_equal_the_whole(bytes: Vec<u8>, cut: usize) {
            let (head, tail) = bytes.split_at(cut % (bytes.len() + 1));
            prop_assert_eq!(Crc32c::new().bytes(head).bytes(tail).finish(), crc(&bytes));
        }

        #[test]
        fn every_flipped_bit_is_seen(mut bytes in prop::collection::vec(any::<u8>(), 1..64), at: usize) {
            let before = crc(&bytes);
            let at = at % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_ne!(crc(&bytes), before);
        }
    }
}
