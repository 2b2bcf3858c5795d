//! Matches on the header behind IP. A fragment that isn't the first has none and never matches; a packet that should
//! have one and is too short for it is dropped. Linux: `xt_tcpudp`, `xt_multiport`.

use tidegate_wire::packet::{icmp, tcp, udp};
use tidegate_wire::{Family, Headers};

use super::super::ast::{
    IcmpPattern, Multiport, PortRange, PortSide, TcpFlagTest, TcpMatch, Term, UdpMatch,
};
use super::Fit;

/// The header behind IP, with all that follows.
#[derive(Clone, Copy)]
pub(super) enum Transport<'a> {
    /// There; possibly cut short, possibly empty.
    Header(&'a [u8]),
    /// In another fragment of the datagram; this one's data starts at `offset`.
    Elsewhere {
        /// The family.
        family: Family,
        /// In bytes.
        offset: u16,
    },
}

impl<'a> Transport<'a> {
    /// That of a packet.
    pub(super) fn of(headers: &Headers, bytes: &'a [u8]) -> Self {
        match headers.fragment {
            Some(fragment) if !fragment.is_first() => {
                Self::Elsewhere { family: headers.family, offset: fragment.offset }
            }
            _ => Self::Header(headers.payload(bytes)),
        }
    }

    /// Judges the header if its first `N` bytes are there.
    fn judge<const N: usize>(self, judge: impl FnOnce(&[u8; N], &'a [u8]) -> Fit) -> Fit {
        match self {
            Self::Elsewhere { .. } => Fit::Fails,
            Self::Header(bytes) => match bytes.split_first_chunk() {
                Some((header, rest)) => judge(header, rest),
                None => Fit::Unreadable,
            },
        }
    }
}

pub(super) fn tcp(wanted: &TcpMatch, transport: Transport<'_>) -> Fit {
    // A fragment at offset 8 would overwrite the flags of a header that was let through.
    if matches!(transport, Transport::Elsewhere { family: Family::V4, offset: 8 }) {
        return Fit::Unreadable;
    }
    transport.judge(|header: &[u8; tcp::HEADER_LEN], rest| {
        let fits = port(&wanted.source, source_port(header))
            && port(&wanted.destination, destination_port(header))
            && wanted.flags.as_ref().is_none_or(|term| flags(term, header[13]));
        match &wanted.option {
            Some(option) if fits => tcp_option(option, header[12] >> 4, rest),
            _ => fits.into(),
        }
    })
}

fn flags(term: &Term<TcpFlagTest>, flags: u8) -> bool {
    term.holds(flags & term.value.mask.bits() == term.value.set.bits())
}

fn tcp_option(term: &Term<u8>, words: u8, rest: &[u8]) -> Fit {
    let options = (4 * usize::from(words)).checked_sub(tcp::HEADER_LEN);
    match options.and_then(|len| rest.get(..len)) {
        Some(options) => term.holds(has_option(term.value, options)).into(),
        None => Fit::Unreadable,
    }
}

/// Unlike a parser, the kernel's search goes on behind an end-of-list option and steps over a length of 0 by one.
fn has_option(kind: u8, options: &[u8]) -> bool {
    let mut left = options;
    while let [first, rest @ ..] = left {
        if *first == kind {
            return true;
        }
        let step = match rest.first() {
            Some(len) if *first >= 2 => usize::from(*len).max(1),
            _ => 1,
        };
        left = left.get(step..).unwrap_or_default();
    }
    false
}

pub(super) fn udp(wanted: &UdpMatch, transport: Transport<'_>) -> Fit {
    transport.judge(|header: &[u8; udp::HEADER_LEN], _| {
        let fits = port(&wanted.source, source_port(header))
            && port(&wanted.destination, destination_port(header));
        fits.into()
    })
}

pub(super) fn icmp(wanted: &Term<IcmpPattern>, transport: Transport<'_>) -> Fit {
    transport.judge(|[kind, code, ..]: &[u8; icmp::HEADER_LEN], _| {
        let matched = match wanted.value {
            // Type 255 stands for all.
            IcmpPattern::Any | IcmpPattern::Type(255) | IcmpPattern::TypeCode(255, _) => true,
            pattern => is_message(pattern, *kind, *code),
        };
        wanted.holds(matched).into()
    })
}

pub(super) fn icmp6(wanted: &Term<IcmpPattern>, transport: Transport<'_>) -> Fit {
    transport.judge(|[kind, code, ..]: &[u8; icmp::HEADER_LEN], _| {
        wanted.holds(is_message(wanted.value, *kind, *code)).into()
    })
}

fn is_message(pattern: IcmpPattern, kind: u8, code: u8) -> bool {
    match pattern {
        IcmpPattern::Any => true,
        IcmpPattern::Type(wanted) => kind == wanted,
        IcmpPattern::TypeCode(wanted, wanted_code) => (kind, code) == (wanted, wanted_code),
    }
}

pub(super) fn multiport(wanted: &Term<Multiport>, transport: Transport<'_>) -> Fit {
    transport.judge(|header: &[u8; 4], _| {
        listed(wanted, source_port(header), destination_port(header)).into()
    })
}

/// [`multiport`], of a packet's ports.
pub(in crate::rules) fn listed(wanted: &Term<Multiport>, source: u16, destination: u16) -> bool {
    let matched = wanted.value.ports.iter().any(|range| match wanted.value.side {
        PortSide::Source => range.contains(source),
        PortSide::Destination => range.contains(destination),
        PortSide::Either => range.contains(source) || range.contains(destination),
    });
    wanted.holds(matched)
}

/// `--sport` or `--dport`.
pub(in crate::rules) fn port(wanted: &Option<Term<PortRange>>, port: u16) -> bool {
    wanted.is_none_or(|term| term.holds(term.value.contains(port)))
}

/// => at least 2 bytes
fn source_port(header: &[u8]) -> u16 {
    u16::from_be_bytes([header[0], header[1]])
}

/// => at least 4 bytes
fn destination_port(header: &[u8]) -> u16 {
    u16::from_be_bytes([header[2], header[3]])
}
