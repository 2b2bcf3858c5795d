//! Values as iptables-save writes them.

use core::fmt::{self, Formatter, Write};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bitflags::Flags;

use crate::rules::ast::{
    AddressRange, IcmpPattern, Interface, LimitMatch, MarkPattern, Network, PortRange, Protocol,
    SecondsRange,
};
use crate::rules::names;

/// `A/len`, or `A/mask` if the mask has holes.
pub(in crate::rules) fn network(f: &mut Formatter<'_>, network: &Network) -> fmt::Result {
    address(f, network.address)?;
    f.write_char('/')?;
    match network.prefix_len() {
        Some(length) => write!(f, "{length}"),
        None => address(f, network.mask),
    }
}

/// The same, without the length of a single host.
pub(in crate::rules) fn host_or_network(f: &mut Formatter<'_>, one: &Network) -> fmt::Result {
    let width = if one.mask.is_ipv4() { 32 } else { 128 };
    if one.prefix_len() == Some(width) { address(f, one.address) } else { network(f, one) }
}

/// As the C library writes it: unlike Rust's, an IPv4-compatible address (`::1.2.3.4`) keeps its dots.
pub(in crate::rules) fn address(f: &mut Formatter<'_>, address: IpAddr) -> fmt::Result {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0; 6] && v6.segments()[6] != 0 => {
            write!(f, "::{}", last_four(v6))
        }
        _ => write!(f, "{address}"),
    }
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// `FIRST-LAST`, even for one address.
pub(in crate::rules) fn full_range(f: &mut Formatter<'_>, range: &AddressRange) -> fmt::Result {
    address(f, range.first)?;
    f.write_char('-')?;
    address(f, range.last)
}

/// `FIRST-LAST` or one address.
pub(in crate::rules) fn short_range(f: &mut Formatter<'_>, range: &AddressRange) -> fmt::Result {
    if range.first == range.last { address(f, range.first) } else { full_range(f, range) }
}

pub(in crate::rules) fn interface(f: &mut Formatter<'_>, interface: &Interface) -> fmt::Result {
    f.write_str(&interface.name)?;
    if interface.wildcard { f.write_char('+') } else { Ok(()) }
}

/// By name if it has one.
pub(in crate::rules) fn protocol(f: &mut Formatter<'_>, protocol: &Protocol) -> fmt::Result {
    match names::protocol_name(*protocol) {
        Some(name) => f.write_str(name),
        None => write!(f, "{}", protocol.0),
    }
}

/// `PORT` or `FIRST:LAST`
pub(in crate::rules) fn ports(f: &mut Formatter<'_>, ports: &PortRange) -> fmt::Result {
    if ports.first == ports.last {
        write!(f, "{}", ports.first)
    } else {
        write!(f, "{}:{}", ports.first, ports.last)
    }
}

/// `PORT` or `FIRST-LAST`
pub(in crate::rules) fn nat_ports(f: &mut Formatter<'_>, ports: &PortRange) -> fmt::Result {
    if ports.first == ports.last {
        write!(f, "{}", ports.first)
    } else {
        write!(f, "{}-{}", ports.first, ports.last)
    }
}

/// `SECONDS` or `FIRST:LAST`
pub(in crate::rules) fn seconds(f: &mut Formatter<'_>, range: &SecondsRange) -> fmt::Result {
    if range.first == range.last {
        write!(f, "{}", range.first)
    } else {
        write!(f, "{}:{}", range.first, range.last)
    }
}

/// `VALUE`, and `/MASK` unless that is all bits.
pub(in crate::rules) fn mark(f: &mut Formatter<'_>, mark: &MarkPattern) -> fmt::Result {
    write!(f, "{:#x}", mark.value)?;
    if mark.mask == u32::MAX { Ok(()) } else { write!(f, "/{:#x}", mark.mask) }
}

pub(in crate::rules) fn icmp(f: &mut Formatter<'_>, pattern: &IcmpPattern) -> fmt::Result {
    match pattern {
        IcmpPattern::Any => f.write_str("any"),
        IcmpPattern::Type(kind) => write!(f, "{kind}"),
        IcmpPattern::TypeCode(kind, code) => write!(f, "{kind}/{code}"),
    }
}

pub(in crate::rules) fn ethernet(
    f: &mut Formatter<'_>,
    [a, b, c, d, e, g]: &[u8; 6],
) -> fmt::Result {
    write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
}

/// The names of a set's members, or NONE.
pub(in crate::rules) fn flags<F: Flags + Copy>(f: &mut Formatter<'_>, set: &F) -> fmt::Result {
    list(f, set, |f, name| f.write_str(name))
}

/// The same in lower case.
pub(in crate::rules) fn lower_flags<F: Flags + Copy>(
    f: &mut Formatter<'_>,
    set: &F,
) -> fmt::Result {
    list(f, set, |f, name| name.chars().try_for_each(|c| f.write_char(c.to_ascii_lowercase())))
}

fn list<F: Flags + Copy>(
    f: &mut Formatter<'_>,
    set: &F,
    write: impl Fn(&mut Formatter<'_>, &str) -> fmt::Result,
) -> fmt::Result {
    if set.is_empty() {
        return f.write_str("NONE");
    }
    for (at, (name, _)) in set.iter_names().enumerate() {
        if at > 0 {
            f.write_char(',')?;
        }
        write(f, name)?;
    }
    Ok(())
}

/// The interval as a rate, in the smallest unit in which the rate loses least, by iptables' rule.
pub(in crate::rules) fn rate(f: &mut Formatter<'_>, interval: u32) -> fmt::Result {
    const UNITS: [(&str, u32); 3] = [
        ("hour", 3600 * LimitMatch::SCALE),
        ("min", 60 * LimitMatch::SCALE),
        ("sec", LimitMatch::SCALE),
    ];
    let mut best = ("day", 86_400 * LimitMatch::SCALE);
    for (name, length) in UNITS {
        if interval > length || length / interval < length % interval {
            break;
        }
        best = (name, length);
    }
    write!(f, "{}/{}", best.1 / interval, best.0)
}

/// A text, quoted unless it is made of letters, digits, `_` and `-` only.
pub(in crate::rules) fn text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !text.is_empty() && text.chars().all(plain) {
        return f.write_str(text);
    }
    f.write_char('"')?;
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            f.write_char('\\')?;
        }
        f.write_char(c)?;
    }
    f.write_char('"')
}
