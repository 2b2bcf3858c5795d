//! Words of a line, written into a buffer that is used again for each. A listing of a million flows writes some
//! twenty million of them: this is what it costs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A line that grows.
#[derive(Debug, Default)]
pub(crate) struct Words(pub(crate) Vec<u8>);

impl Words {
    /// Text as it is.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Text, and blanks up to a width.
    pub(crate) fn padded(&mut self, text: &str, width: usize) -> &mut Self {
        self.text(text);
        let len = self.0.len() + width.saturating_sub(text.len());
        self.0.resize(len, b' ');
        self
    }

    /// A number in decimal.
    pub(crate) fn number(&mut self, number: impl Into<u64>) -> &mut Self {
        let mut rest = number.into();
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.bytes(&digits[at..])
    }

    /// A number in hexadecimal.
    pub(crate) fn hex(&mut self, number: u32) -> &mut Self {
        self.text(&format!("{number:#x}"))
    }

    /// `name=number `.
    pub(crate) fn field(&mut self, name: &str, number: impl Into<u64>) -> &mut Self {
        self.text(name).text("=").number(number).text(" ")
    }

    /// An address as `inet_ntop` writes it, which has dots at the end of IPv4-compatible addresses.
    pub(crate) fn address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.v4(address),
            IpAddr::V6(address) => self.v6(address),
        }
    }

    /// An address as the kernel writes it in files: of IPv6 all digits.
    pub(crate) fn kernel_address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.v4(address),
            IpAddr::V6(address) => {
                for (index, group) in address.segments().into_iter().enumerate() {
                    self.text(if index == 0 { "" } else { ":" }).text(&format!("{group:04x}"));
                }
                self
            }
        }
    }

    fn v4(&mut self, address: Ipv4Addr) -> &mut Self {
        let [a, b, c, d] = address.octets();
        self.number(a).text(".").number(b).text(".").number(c).text(".").number(d)
    }

    fn v6(&mut self, address: Ipv6Addr) -> &mut Self {
        let bits = address.to_bits();
        let is_compatible = bits >> 32 == 0 && bits >> 16 != 0;
        if is_compatible {
            return self.text("::").v4(Ipv4Addr::from_bits(bits as u32));
        }
        self.text(&address.to_string())
    }

    /// Takes back the blank at the end, if there is one, and ends the line.
    pub(crate) fn end(&mut self) {
        if self.0.last() == Some(&b' ') {
            self.0.pop();
        }
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_decimal() {
        for number in [0, 7, 10, 99, 100, 65_535, u64::MAX] {
            let mut words = Words::default();
            words.number(number);
            assert_eq!(words.0, number.to_string().into_bytes());
        }
    }

    #[test]
    fn addresses_are_those_of_inet_ntop() {
        let rows = [
            ("192.0.2.255", "192.0.2.255"),
            ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
            ("::102:304", "::1.2.3.4"),
            ("::1", "::1"),
            ("::ffff", "::ffff"),
            ("::1:0", "::0.1.0.0"),
            ("::", "::"),
            ("64:ff9b::102:304", "64:ff9b::102:304"),
            ("fd00:0:0:1::1", "fd00:0:0:1::1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ];
        for (address, expected) in rows {
            let mut words = Words::default();
            words.address(address.parse().expect(address));
            assert_eq!(String::from_utf8_lossy(&words.0), expected);
        }
    }
}
