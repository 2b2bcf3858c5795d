//! Numbers and addresses in text, read as the kernel's own functions read them.
//!
//! They are laxer than the standard library's: numbers wrap around, and zeros may stand in front.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family;

/// A decimal number and how many digits it has, none included. It wraps at 64 bits. Linux:
/// `simple_strtoul`.
pub(super) fn number(text: &[u8]) -> (u64, usize) {
    let digits = text.iter().take_while(|c| c.is_ascii_digit());
    digits.fold((0, 0), |(number, len), digit| {
        (number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')), len + 1)
    })
}

/// An address of the family and its length. It ends at `end` or, without one, at any byte that can't
/// be part of it; and where the text ends.
pub(super) fn address(family: Family, text: &[u8], end: Option<u8>) -> Option<(IpAddr, usize)> {
    match family {
        Family::V4 => ipv4(text, end).map(|(address, len)| (address.into(), len)),
        Family::V6 => ipv6(text, end).map(|(address, len)| (address.into(), len)),
    }
}

/// Linux: `in4_pton`, to which a colon ends an address as well.
fn ipv4(text: &[u8], end: Option<u8>) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0; 4];
    let mut at = 0;
    for (nth, octet) in octets.iter_mut().enumerate() {
        let digits = text[at..].iter().take_while(|c| c.is_ascii_digit()).count();
        let value = text[at..at + digits].iter().try_fold(0u16, |value, digit| {
            let value = value * 10 + u16::from(digit - b'0');
            (value <= 255).then_some(value)
        })?;
        *octet = value as u8;
        at += digits;
        let next = text.get(at).copied();
        let is_over = match (next, end) {
            (None | Some(0 | b':'), _) => true,
            (Some(next), Some(end)) => next == end,
            (Some(next), None) => !next.is_ascii_hexdigit() && next != b'.',
        };
        match (digits, nth) {
            (0, _) => return None,
            (_, 3) if is_over => {}
            (_, 0..3) if next == Some(b'.') && end != Some(b'.') => at += 1,
            _ => return None,
        }
    }
    Some((octets.into(), at))
}

/// Linux: `in6_pton`.
fn ipv6(text: &[u8], end: Option<u8>) -> Option<(Ipv6Addr, usize)> {
    let is_part = |c: &&u8| (c.is_ascii_hexdigit() || matches!(c, b':' | b'.')) && Some(**c) != end;
    let len = text.iter().take_while(is_part).count();
    let is_over = match (text.get(len), end) {
        (None | Some(0), _) | (Some(_), None) => true,
        (Some(next), Some(end)) => *next == end,
    };
    let word = core::str::from_utf8(&text[..len]).ok().filter(|_| is_over)?;
    word.parse().ok().map(|address| (address, len))
}

/// Whether `text` begins with `word`, in upper or lower case.
pub(super) fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Where `word` is in `text` first.
pub(super) fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_and_end_at_the_first_other_byte() {
        let rows: [(&[u8], (u64, usize)); 5] = [
            (b"", (0, 0)),
            (b"x1", (0, 0)),
            (b"0012 7", (12, 4)),
            (b"18446744073709551616", (0, 20)),
            (b"99999\xff", (99_999, 5)),
        ];
        for (text, expected) in rows {
            assert_eq!(number(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_address_ends_where_the_kernel_ends_it() {
        let v4 = |text: &str, end| {
            ipv4(text.as_bytes(), end).map(|(address, len)| (address.octets(), len))
        };
        assert_eq!(v4("10.0.1.2", None), Some(([10, 0, 1, 2], 8)));
        assert_eq!(v4("10.0.1.002;x", None), Some(([10, 0, 1, 2], 10)));
        assert_eq!(v4("10.0.1.2:5060", None), Some(([10, 0, 1, 2], 8)));
        assert_eq!(v4("10.0.1.2|", Some(b'|')), Some(([10, 0, 1, 2], 8)));
        for (text, end) in [
            ("10.0.1.256", None),
            ("10.0.1", None),
            ("10.0.1.2.3", None),
            ("10.0.1.2a", None),
            ("10..1.2", None),
            ("10.0.1.2;", Some(b'|')),
            ("", None),
        ] {
            assert_eq!(v4(text, end), None, "{text}");
        }
        let v6 = |text: &str, end| ipv6(text.as_bytes(), end).map(|(_, len)| len);
        assert_eq!(v6("fd00::2]:5060", None), Some(7));
        assert_eq!(v6("fd00::2|", Some(b'|')), Some(7));
        assert_eq!(v6("::ffff:1.2.3.4", None), Some(14));
        for (text, end) in [("fd00::2!", Some(b'|')), ("fd00:::2", None), ("x", None), ("", None)] {
            assert_eq!(v6(text, end), None, "{text}");
        }
    }
}
