//! Addresses of a network: `10.0.0.0/8`, `2001:db8::/32`, a single one.

use std::net::IpAddr;
use std::str::FromStr;

use tidegate_wire::Family;

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    address: IpAddr,
    len: u32,
}

impl Prefix {
    /// Whether an address lies within. Those of the other family don't.
    pub(crate) fn holds(self, address: IpAddr) -> bool {
        let (own, width) = bits(self.address);
        let (other, other_width) = bits(address);
        // Shifting out all of an address leaves what all addresses have in common.
        let shift = width - self.len;
        width == other_width && (own ^ other).checked_shr(shift).unwrap_or(0) == 0
    }

    /// Its family.
    pub(crate) fn family(self) -> Family {
        Family::of(self.address)
    }

    /// The first and the last address, as numbers.
    pub(crate) fn range(self) -> (u128, u128) {
        let (own, width) = bits(self.address);
        let free = 1_u128.checked_shl(width - self.len).unwrap_or(0).wrapping_sub(1);
        (own & !free, own | free)
    }

    /// The address, if it is a single one.
    pub(crate) fn single(self) -> Option<IpAddr> {
        (self.len == bits(self.address).1).then_some(self.address)
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}' is no address and no network such as 10.0.0.0/8");
        let (address, len) = text.split_once('/').map_or((text, None), |(a, l)| (a, Some(l)));
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = bits(address).1;
        let len = len.map_or(Ok(width), str::parse).map_err(|_| bad())?;
        if len > width {
            return Err(format!("`{text}': a prefix of this family has at most {width} bits"));
        }
        Ok(Self { address, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses() {
        let rows = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.255.1.2", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.2", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::ffff:0:0/96", "1.2.3.4", false),
        ];
        for (prefix, address, expected) in rows {
            let found = prefix.parse::<Prefix>().expect(prefix);
            assert_eq!(
                found.holds(address.parse().expect(address)),
                expected,
                "{prefix} {address}"
            );
        }
    }

    #[test]
    fn a_network_reaches_from_its_first_address_to_its_last() {
        let rows = [
            ("10.1.2.3/8", (0x0a00_0000, 0x0aff_ffff)),
            ("10.1.2.3", (0x0a01_0203, 0x0a01_0203)),
            ("0.0.0.0/0", (0, 0xffff_ffff)),
            ("::/0", (0, u128::MAX)),
            ("::1", (1, 1)),
        ];
        for (prefix, expected) in rows {
            assert_eq!(prefix.parse::<Prefix>().expect(prefix).range(), expected, "{prefix}");
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        for text in ["10.0.0.0/33", "::/129", "10.0.0", "host", "10.0.0.0/", "1.2.3.4/x"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
