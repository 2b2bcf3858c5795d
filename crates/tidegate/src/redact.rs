//! Addresses that tell nothing, for files that others shall see.
//!
//! Crypto-PAn (Xu, Fan, Ammar, Moon: "Prefix-Preserving IP Address Anonymization", ICNP 2002): two addresses that share
//! their first n bits still share just n bits, so networks stay networks and who was one source stays one, but
//! which one takes the key. Of IPv6 all 128 bits are treated alike. Ports, states, times and counters stay as they are;
//! security contexts go.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Mutex;

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use tidegate_gateway::snapshot::Opening;
use tidegate_wire::netlink::frame::Subsystem;
use tidegate_wire::netlink::{Attr, Attrs, Message, Writer};

/// Makes addresses unrecognisable under one key.
pub(crate) struct Redactor {
    cipher: Aes128,
    pad: [u8; 16],
    /// Addresses that were met lately.
    known: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key is a secret.
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// Under a key of 32 bytes: that of the cipher, and that of the padding.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut halves = [[0; 16]; 2];
        halves[0].copy_from_slice(&key[..16]);
        halves[1].copy_from_slice(&key[16..]);
        let cipher = Aes128::new(&halves[0].into());
        let mut pad = halves[1].into();
        cipher.encrypt_block(&mut pad);
        Self { cipher, pad: pad.into(), known: Mutex::default() }
    }

    /// Under the key in a file, of 32 bytes or 64 hexadecimal digits; under one that nobody knows if none is named.
    ///
    /// # Errors
    /// The file can't be read, or holds no key.
    pub(crate) fn of_file(path: Option<&Path>) -> io::Result<Self> {
        let mut key = [0; 32];
        let Some(path) = path else {
            let flags = rustix::rand::GetRandomFlags::empty();
            rustix::rand::getrandom(&mut key[..], flags)?;
            return Ok(Self::new(&key));
        };
        let bytes = fs::read(path)?;
        let bytes = if bytes.len() == 32 { Some(bytes) } else { of_hex(bytes.trim_ascii()) };
        let bad = || io::Error::other("a key has 32 bytes, or 64 hexadecimal digits");
        key.copy_from_slice(&bytes.filter(|bytes| bytes.len() == 32).ok_or_else(bad)?);
        Ok(Self::new(&key))
    }

    /// The address that stands for one.
    pub(crate) fn ip(&self, address: IpAddr) -> IpAddr {
        let other = match address {
            IpAddr::V4(address) => self.address(&address.octets()),
            IpAddr::V6(address) => self.address(&address.octets()),
        };
        let v4 =
            other.first_chunk::<4>().filter(|_| other.len() == 4).map(|octets| (*octets).into());
        let v6 = other.first_chunk::<16>().map(|octets| (*octets).into());
        v4.or(v6).unwrap_or(address)
    }

    /// The same message with other addresses, as a datagram of its own.
    pub(crate) fn message(&self, message: &Message<'_>) -> Vec<u8> {
        let Ok((family, attrs)) = message.body() else { return Vec::new() };
        let is_expectation =
            message.header.subsystem().is_some_and(|(number, _)| number == Subsystem::Expect as u8);
        let tuples: &[u16] = if is_expectation { &EXPECT_TUPLES } else { &FLOW_TUPLES };
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).message(message.header, family, |writer| {
            for attr in attrs.flatten() {
                if tuples.contains(&attr.kind) {
                    writer.nest(attr.kind, |writer| self.tuple(&attr, writer));
                } else if is_expectation && attr.kind == EXPECT_NAT {
                    writer.nest(attr.kind, |writer| self.nat(&attr, writer));
                } else if is_expectation || attr.kind != SECURITY_CONTEXT {
                    writer.attr(attr);
                }
            }
        });
        bytes
    }

    fn tuple(&self, tuple: &Attr<'_>, writer: &mut Writer<'_>) {
        for attr in Attrs::new(tuple.value).flatten() {
            if attr.kind != TUPLE_IP {
                writer.attr(attr);
                continue;
            }
            writer.nest(TUPLE_IP, |writer| {
                for address in Attrs::new(attr.value).flatten() {
                    writer.attr(Attr { value: &self.address(address.value), ..address });
                }
            });
        }
    }

    fn nat(&self, nat: &Attr<'_>, writer: &mut Writer<'_>) {
        for attr in Attrs::new(nat.value).flatten() {
            match attr.kind {
                EXPECT_NAT_TUPLE => writer.nest(attr.kind, |writer| self.tuple(&attr, writer)),
                _ => writer.attr(attr),
            }
        }
    }

    /// The address that stands for one.
    fn address(&self, address: &[u8]) -> Vec<u8> {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(other) = known.get(address) {
            return other.clone();
        }
        if known.len() >= KNOWN {
            known.clear();
        }
        let other = self.encrypt(address);
        known.insert(address.to_vec(), other.clone());
        other
    }

    /// Each bit is turned over or not, as the bits before it say under the key.
    fn encrypt(&self, address: &[u8]) -> Vec<u8> {
        let mut other = address.to_vec();
        for bit in 0..address.len().min(16) * 8 {
            let mut block = self.pad;
            let (whole, part) = (bit / 8, bit % 8);
            block[..whole].copy_from_slice(&address[..whole]);
            let mask = !(0xff_u8 >> part);
            block[whole] = (address[whole] & mask) | (self.pad[whole] & !mask);
            let mut block = block.into();
            self.cipher.encrypt_block(&mut block);
            other[whole] ^= (block[0] >> 7) << (7 - part);
        }
        other
    }
}

/// What a redacted file begins with.
pub(crate) fn redact_opening(opening: &mut Opening) {
    opening.place = "redacted".to_owned();
    opening.is_redacted = true;
}

fn of_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(digits).ok()?;
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Addresses in a message's body: `CTA_TUPLE_…`, `CTA_EXPECT_MASTER`, `CTA_EXPECT_TUPLE`; a mask is none.
const FLOW_TUPLES: [u16; 3] = [1, 2, 14];
const EXPECT_TUPLES: [u16; 2] = [1, 2];
/// `CTA_EXPECT_NAT`, `CTA_EXPECT_NAT_TUPLE`.
const EXPECT_NAT: u16 = 10;
const EXPECT_NAT_TUPLE: u16 = 2;
/// `CTA_TUPLE_IP`.
const TUPLE_IP: u16 = 1;
/// `CTA_SECCTX`.
const SECURITY_CONTEXT: u16 = 19;
/// So many addresses are remembered.
const KNOWN: usize = 65_536;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// Key and pairs of the sample that comes with the authors' program.
    const KEY: [u8; 32] = [
        21, 34, 23, 141, 51, 164, 207, 128, 19, 10, 91, 22, 73, 144, 125, 16, 216, 152, 143, 131,
        121, 121, 101, 39, 98, 87, 76, 45, 42, 132, 34, 2,
    ];

    #[test]
    fn addresses_become_those_of_the_authors_sample() {
        let rows = [
            ("128.11.68.132", "135.242.180.132"),
            ("129.118.74.4", "134.136.186.123"),
            ("130.132.252.244", "133.68.164.234"),
            ("141.223.7.43", "141.167.8.160"),
            ("152.163.225.39", "151.140.114.167"),
        ];
        let redactor = Redactor::new(&KEY);
        for (address, other) in rows {
            let [address, other]: [Ipv4Addr; 2] =
                [address, other].map(|text| text.parse().expect(text));
            assert_eq!(redactor.address(&address.octets()), other.octets());
        }
    }

    #[test]
    fn prefixes_stay_as_long_as_they_were() {
        let redactor = Redactor::new(&[7; 32]);
        let common = |a: &[u8], b: &[u8]| {
            let bits =
                |bytes: &[u8]| bytes.iter().fold(0_u128, |sum, byte| sum << 8 | u128::from(*byte));
            (bits(a) ^ bits(b)).leading_zeros()
        };
        let address =
            |host: u16| std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, host).octets();
        for (one, two) in [(0, 1), (0, 0x8000), (5, 0x105), (9, 9)] {
            let [one, two] = [address(one), address(two)];
            let [other_one, other_two] = [redactor.address(&one), redactor.address(&two)];
            assert_eq!(common(&one, &two), common(&other_one, &other_two));
            assert_ne!(one.to_vec(), other_one);
        }
    }

    #[test]
    fn a_key_is_bytes_or_digits() {
        assert_eq!(of_hex(b"00ff7f"), Some(vec![0, 255, 127]));
        assert_eq!(of_hex(b"0g"), None);
    }
}
