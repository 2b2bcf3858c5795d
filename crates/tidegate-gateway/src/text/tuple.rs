//! One tuple as text: `src=A dst=B` and what the protocol adds.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use tidegate_engine::tuple::Tuple;
use tidegate_wire::proto;

/// How addresses and keys are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As `/proc` does: IPv6 addresses in eight full groups, keys in hex.
    Kernel,
    /// As conntrack(8) does: IPv6 addresses compressed, keys in hex.
    Tool,
    /// As the scenario format does: IPv6 addresses compressed, keys in decimal.
    Compact,
}

/// A tuple without a space at its end.
pub(super) struct TupleText<'a>(pub(super) &'a Tuple, pub(super) Style);

impl fmt::Display for TupleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(tuple, style) = self;
        write!(f, "src={} dst={}", Address(tuple.src, *style), Address(tuple.dst, *style))?;
        match tuple.proto {
            proto::ICMP | proto::ICMPV6 => {
                let (kind, code, id) = (tuple.icmp_type(), tuple.icmp_code(), tuple.sport);
                write!(f, " type={kind} code={code} id={id}")
            }
            proto::GRE if *style == Style::Compact => {
                write!(f, " srckey={} dstkey={}", tuple.sport, tuple.dport)
            }
            proto::GRE => write!(f, " srckey={:#x} dstkey={:#x}", tuple.sport, tuple.dport),
            _ if tuple.has_ports() => write!(f, " sport={} dport={}", tuple.sport, tuple.dport),
            _ => Ok(()),
        }
    }
}

struct Address(IpAddr, Style);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(IpAddr::V6(addr), Style::Kernel) => write_groups(f, addr),
            Self(addr, _) => write!(f, "{addr}"),
        }
    }
}

/// The kernel's `%pI6`.
fn write_groups(f: &mut fmt::Formatter<'_>, addr: &Ipv6Addr) -> fmt::Result {
    let [first, rest @ ..] = addr.segments();
    write!(f, "{first:04x}")?;
    rest.iter().try_for_each(|group| write!(f, ":{group:04x}"))
}
