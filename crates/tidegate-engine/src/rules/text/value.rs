//! The values of options: one word in, one value out.
//!
//! Numbers are decimal, hexadecimal with `0x` or octal with `0`, as everywhere in iptables.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bitflags::Flags;
use tidegate_wire::Family;

use super::Parsed;
use crate::rules::ast::{
    AddressRange, Interface, LimitMatch, MarkPattern, Network, PortRange, Protocol, TcpFlags,
};
use crate::rules::error::{Expected, Fault, ValueError};
use crate::rules::names;

/// Bytes that an interface's name may have.
const INTERFACE_NAME_MAX: usize = 15;

/// A number from `min` to `max`.
pub(in crate::rules) fn number(word: &str, min: u32, max: u32) -> Parsed<u32> {
    digits(word)
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| Fault::expected(word, Expected::Number { min, max }))
}

fn digits(word: &str) -> Option<u32> {
    let (digits, radix) = match word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if word.len() > 1 && word.starts_with('0') => (&word[1..], 8),
        None => (word, 10),
    };
    // from_str_radix would take a sign.
    if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() }
}

/// A decimal number, without sign, up to `max`.
pub(in crate::rules) fn decimal(word: &str, max: u32) -> Option<u32> {
    let digits = !word.is_empty() && word.bytes().all(|c| c.is_ascii_digit());
    word.parse().ok().filter(|number| digits && *number <= max)
}

/// A number below 256.
pub(in crate::rules) fn byte(word: &str) -> Option<u8> {
    digits(word).and_then(|number| u8::try_from(number).ok())
}

/// A mark or mask of marks.
pub(in crate::rules) fn mark(word: &str) -> Parsed<u32> {
    number(word, 0, u32::MAX)
}

/// `VALUE[/MASK]`
pub(in crate::rules) fn mark_pattern(word: &str) -> Parsed<MarkPattern> {
    let (value, mask) = masked_mark(word)?;
    Ok(MarkPattern { value, mask })
}

/// `VALUE[/MASK]`, the mask being all bits if it is absent.
pub(in crate::rules) fn masked_mark(word: &str) -> Parsed<(u32, u32)> {
    match word.split_once('/') {
        Some((value, mask_word)) => Ok((mark(value)?, mark(mask_word)?)),
        None => Ok((mark(word)?, u32::MAX)),
    }
}

/// A list of names of a set's members, in any case.
pub(in crate::rules) fn flags<F: Flags>(word: &str, expected: Expected) -> Parsed<F> {
    let mut set = F::empty();
    for name in word.split(',') {
        let one = F::from_name(&name.to_ascii_uppercase());
        set.insert(one.ok_or_else(|| Fault::expected(word, expected))?);
    }
    Ok(set)
}

/// A list of TCP flags, ALL or NONE.
pub(in crate::rules) fn tcp_flags(word: &str) -> Parsed<TcpFlags> {
    let mut set = TcpFlags::empty();
    for name in word.split(',') {
        set |= match name.to_ascii_uppercase().as_str() {
            "ALL" => TcpFlags::all(),
            "NONE" => TcpFlags::empty(),
            name => TcpFlags::from_name(name)
                .ok_or_else(|| Fault::expected(word, Expected::TcpFlags))?,
        };
    }
    Ok(set)
}

/// A protocol by name or number; 0 stands for every protocol.
pub(in crate::rules) fn protocol(word: &str) -> Parsed<Protocol> {
    names::protocol(&word.to_ascii_lowercase())
        .or_else(|| byte(word))
        .map(Protocol)
        .ok_or_else(|| Fault::expected(word, Expected::Protocol))
}

/// A port by number or service.
pub(in crate::rules) fn port(word: &str) -> Parsed<u16> {
    names::service(word).map_or_else(|| port_number(word), Ok)
}

fn port_number(word: &str) -> Parsed<u16> {
    digits(word)
        .and_then(|number| u16::try_from(number).ok())
        .ok_or_else(|| Fault::expected(word, Expected::Port))
}

/// `PORT`, `FIRST:LAST`, `:LAST` or `FIRST:`, in this order or not.
pub(in crate::rules) fn any_port_range(word: &str) -> Parsed<PortRange> {
    let Some((first, last)) = word.split_once(':') else {
        let port = port(word)?;
        return Ok(PortRange { first: port, last: port });
    };
    Ok(PortRange {
        first: if first.is_empty() { 0 } else { port(first)? },
        last: if last.is_empty() { u16::MAX } else { port(last)? },
    })
}

/// The same in order.
pub(in crate::rules) fn port_range(word: &str) -> Parsed<PortRange> {
    in_order(word, any_port_range(word)?)
}

/// `PORT` or `FIRST-LAST`, as translations write it. The ends of a range are numbers: services have names with a dash.
pub(in crate::rules) fn nat_ports(word: &str) -> Parsed<PortRange> {
    let is_range = word.starts_with(|c: char| c.is_ascii_digit());
    let Some((first, last)) = word.split_once('-').filter(|_| is_range) else {
        let port = port(word)?;
        return Ok(PortRange { first: port, last: port });
    };
    in_order(word, PortRange { first: port_number(first)?, last: port_number(last)? })
}

fn in_order(word: &str, range: PortRange) -> Parsed<PortRange> {
    if range.first <= range.last { Ok(range) } else { Err(Fault::new(word, ValueError::Reversed)) }
}

/// At most 15 ports and `FIRST:LAST` ranges of at least two ports, which count twice.
pub(in crate::rules) fn port_list(word: &str) -> Parsed<Vec<PortRange>> {
    let mut ports = Vec::new();
    let mut slots = 0;
    for item in word.split(',') {
        let (first, last) = item.split_once(':').unwrap_or((item, item));
        let range = in_order(item, PortRange { first: port(first)?, last: port(last)? })?;
        if item.contains(':') && range.first == range.last {
            return Err(Fault::new(item, ValueError::Reversed));
        }
        slots += if range.first == range.last { 1 } else { 2 };
        ports.push(range);
    }
    if slots > 15 { Err(Fault::new(word, ValueError::TooManyPorts)) } else { Ok(ports) }
}

/// An interface's name, or its beginning and `+`.
pub(in crate::rules) fn interface(word: &str) -> Parsed<Interface> {
    if word.len() > INTERFACE_NAME_MAX {
        return Err(Fault::new(word, ValueError::TooLong { max: INTERFACE_NAME_MAX }));
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    if word.is_empty() || word == "!" || word.contains(odd) {
        return Err(Fault::expected(word, Expected::Interface));
    }
    Ok(match word.strip_suffix('+') {
        Some(name) => Interface { name: name.to_owned(), wildcard: true },
        None => Interface { name: word.to_owned(), wildcard: false },
    })
}

/// An address of the family.
pub(in crate::rules) fn address(family: Family, word: &str) -> Parsed<IpAddr> {
    let address = match family {
        Family::V4 => word.parse().map(IpAddr::V4).ok(),
        Family::V6 => word.parse().map(IpAddr::V6).ok(),
    };
    address.ok_or_else(|| not_an_address(word))
}

/// The same, where IPv4 addresses may lack their last bytes (`10.1` for 10.1.0.0).
pub(in crate::rules) fn short_address(family: Family, word: &str) -> Parsed<IpAddr> {
    match family {
        Family::V4 => short_ipv4(word).map(IpAddr::V4).ok_or_else(|| not_an_address(word)),
        Family::V6 => address(family, word),
    }
}

fn short_ipv4(word: &str) -> Option<Ipv4Addr> {
    let mut bytes = [0; 4];
    for (at, part) in word.split('.').enumerate() {
        *bytes.get_mut(at)? = byte(part)?;
    }
    Some(Ipv4Addr::from(bytes))
}

/// Names begin with a letter; what an address of the other family may also do has a colon.
fn not_an_address(word: &str) -> Fault {
    if word.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.contains(':') {
        Fault::new(word, ValueError::HostName)
    } else {
        Fault::expected(word, Expected::Address)
    }
}

/// `ADDRESS[/MASK]` of `-s` and `-d`, without bits outside the mask.
pub(in crate::rules) fn network(family: Family, word: &str) -> Parsed<Network> {
    let (address, mask) = word.split_once('/').map_or((word, None), |(a, m)| (a, Some(m)));
    let address = short_address(family, address)?;
    Ok(Network { address, mask: optional_mask(family, mask)? }.masked())
}

/// `ADDRESS[/MASK]` of the conntrack match and NETMAP, with all bits. iptables takes a mask with holes for a host's;
/// here it is refused.
pub(in crate::rules) fn full_network(family: Family, word: &str) -> Parsed<Network> {
    let (word, mask) = word.split_once('/').map_or((word, None), |(a, m)| (a, Some(m)));
    let network = Network { address: address(family, word)?, mask: optional_mask(family, mask)? };
    match (network.prefix_len(), mask) {
        (None, Some(mask)) => Err(Fault::expected(mask, Expected::Prefix)),
        _ => Ok(network),
    }
}

fn optional_mask(family: Family, word: Option<&str>) -> Parsed<IpAddr> {
    let width = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    let Some(word) = word else { return Ok(prefix_mask(family, width)) };
    match digits(word) {
        Some(length) if length <= width => Ok(prefix_mask(family, length)),
        Some(_) => Err(Fault::expected(word, Expected::Mask)),
        None => address(family, word).map_err(|_| Fault::expected(word, Expected::Mask)),
    }
}

/// The mask of a prefix; `length` is at most the family's width.
fn prefix_mask(family: Family, length: u32) -> IpAddr {
    match family {
        Family::V4 => {
            let bits = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        Family::V6 => {
            let bits = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

/// `ADDRESS` or `FIRST-LAST`, in this order or not; `read` reads one address.
pub(in crate::rules) fn address_range(
    family: Family,
    word: &str,
    read: fn(Family, &str) -> Parsed<IpAddr>,
) -> Parsed<AddressRange> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (read(family, first), read(family, last)) {
        (Ok(first), Ok(last)) => Ok(AddressRange { first, last }),
        (Err(fault), _) if !word.contains('-') => Err(fault),
        _ => Err(Fault::expected(word, Expected::AddressRange)),
    }
}

/// Six hexadecimal bytes with colons.
pub(in crate::rules) fn ethernet(word: &str) -> Parsed<[u8; 6]> {
    let byte = |part: &str| {
        let fine = matches!(part.len(), 1 | 2) && part.bytes().all(|c| c.is_ascii_hexdigit());
        if fine { u8::from_str_radix(part, 16).ok() } else { None }
    };
    let bytes: Option<Vec<u8>> = word.split(':').map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Fault::expected(word, Expected::EthernetAddress))
}

/// `COUNT[/UNIT]` as the time between two packets, see [`LimitMatch::interval`]. A unit may be cut short.
pub(in crate::rules) fn rate(word: &str) -> Parsed<u32> {
    const UNITS: [(&str, u32); 4] =
        [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];
    let (count, unit) = word.split_once('/').unwrap_or((word, "second"));
    let unit = unit.to_ascii_lowercase();
    let unit = UNITS.iter().find(|(name, _)| !unit.is_empty() && name.starts_with(&unit));
    let count = count.parse::<u32>().ok().filter(|count| *count > 0 && !word.starts_with('+'));
    match (unit, count) {
        (Some((_, seconds)), Some(count)) => match LimitMatch::SCALE * seconds / count {
            0 => Err(Fault::new(word, ValueError::TooFast)),
            interval => Ok(interval),
        },
        _ => Err(Fault::expected(word, Expected::Rate)),
    }
}
