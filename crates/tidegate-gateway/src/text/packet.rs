//! A datagram in one line, for people.
//!
//! ```text
//! 10.0.1.2:1000 > 203.0.113.2:80 tcp [SYN] seq 1 ack 0 win 65535 len 0 ttl 64
//! 203.0.113.9 > 203.0.113.1 icmp type 3 code 3 ttl 64 {203.0.113.1:40000 > 203.0.113.2:53 udp}
//! ```

use std::fmt;
use std::net::IpAddr;

use tidegate_wire::packet::{Icmp, Icmpv6, Ipv4, Ipv6, Tcp, Udp, icmp, icmpv6};
use tidegate_wire::{Family, Headers, dissect, dissect_quoted, proto};

use super::l4_name;

/// A datagram, from its IP header on, in one line.
pub struct PacketLine<'a>(pub &'a [u8]);

impl fmt::Display for PacketLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let datagram = self.0;
        let headers = match dissect(datagram) {
            Ok(headers) => headers,
            Err(malformed) => return write!(f, "{} bytes, {malformed}", datagram.len()),
        };
        Layers { datagram, headers: &headers }.fmt(f)?;
        write!(f, " ttl {}", ttl(datagram, headers.family))?;
        match quoted(&headers, datagram) {
            Some((datagram, headers)) => {
                write!(f, " {{{}}}", Layers { datagram, headers: &headers })
            }
            None => Ok(()),
        }
    }
}

/// Addresses and upper layer of a datagram, whole or quoted.
struct Layers<'a> {
    datagram: &'a [u8],
    headers: &'a Headers,
}

impl fmt::Display for Layers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Headers { src, dst, proto, fragment, .. } = *self.headers;
        let ports = self.ports();
        let endpoints = [(src, ports.map(|ports| ports.0)), (dst, ports.map(|ports| ports.1))];
        let [src, dst] = endpoints.map(|(addr, port)| Endpoint(addr, port));
        match l4_name(proto) {
            "unknown" => write!(f, "{src} > {dst} proto {proto}")?,
            name => write!(f, "{src} > {dst} {name}")?,
        }
        self.fmt_upper_layer(f)?;
        if let Some(fragment) = fragment {
            write!(f, " frag {}{}", fragment.offset, if fragment.more { "+" } else { "" })?;
        }
        Ok(())
    }
}

impl Layers<'_> {
    fn payload(&self) -> &[u8] {
        self.headers.payload(self.datagram)
    }

    fn ports(&self) -> Option<(u16, u16)> {
        let has_ports =
            matches!(self.headers.proto, proto::TCP | proto::UDP | proto::UDPLITE | proto::SCTP);
        let [a, b, c, d] = *self.payload().first_chunk::<4>().filter(|_| has_ports)?;
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    fn fmt_upper_layer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let payload = self.payload();
        match self.headers.proto {
            proto::TCP => fmt_tcp(f, payload),
            proto::UDP => match Udp::new(payload) {
                Some(udp) => write!(f, " len {}", udp.payload().len()),
                None => Ok(()),
            },
            proto::ICMP => match Icmp::new(payload) {
                Some(icmp) => fmt_icmp(f, icmp.kind(), icmp.code(), echo_of(&icmp)),
                None => Ok(()),
            },
            proto::ICMPV6 => match Icmpv6::new(payload) {
                Some(icmp) => fmt_icmp(f, icmp.kind(), icmp.code(), echo_of_v6(&icmp)),
                None => Ok(()),
            },
            _ => write!(f, " len {}", payload.len()),
        }
    }
}

fn fmt_tcp(f: &mut fmt::Formatter<'_>, segment: &[u8]) -> fmt::Result {
    let Some(tcp) = Tcp::new(segment) else { return Ok(()) };
    write!(f, " [{}] seq {} ack {}", tcp.flags(), tcp.seq(), tcp.ack())?;
    write!(f, " win {} len {}", tcp.window(), tcp.payload().len())
}

fn fmt_icmp(
    f: &mut fmt::Formatter<'_>,
    kind: u8,
    code: u8,
    echo: Option<(u16, u16)>,
) -> fmt::Result {
    write!(f, " type {kind} code {code}")?;
    match echo {
        Some((id, seq)) => write!(f, " id {id} seq {seq}"),
        None => Ok(()),
    }
}

/// Identifier and sequence number of a query or its answer.
fn echo_of(icmp: &Icmp<&[u8]>) -> Option<(u16, u16)> {
    let is_query = matches!(
        icmp.kind(),
        icmp::ECHO_REPLY | icmp::ECHO_REQUEST | icmp::TIMESTAMP..=icmp::ADDRESS_MASK_REPLY
    );
    is_query.then(|| (icmp.id(), icmp.seq()))
}

fn echo_of_v6(icmp: &Icmpv6<&[u8]>) -> Option<(u16, u16)> {
    let is_query = matches!(icmp.kind(), icmpv6::ECHO_REQUEST | icmpv6::ECHO_REPLY);
    is_query.then(|| (icmp.id(), icmp.seq()))
}

/// The datagram that an ICMP error is about.
fn quoted<'a>(headers: &Headers, datagram: &'a [u8]) -> Option<(&'a [u8], Headers)> {
    let payload = headers.payload(datagram);
    let is_error = match headers.proto {
        proto::ICMP => Icmp::new(payload)?.is_error(),
        proto::ICMPV6 => Icmpv6::new(payload)?.is_error(),
        _ => false,
    };
    let quote = payload.get(icmp::HEADER_LEN..).filter(|_| is_error)?;
    Some((quote, dissect_quoted(headers.family, quote)?))
}

fn ttl(datagram: &[u8], family: Family) -> u8 {
    match family {
        Family::V4 => Ipv4::new(datagram).map_or(0, |header| header.ttl()),
        Family::V6 => Ipv6::new(datagram).map_or(0, |header| header.hop_limit()),
    }
}

struct Endpoint(IpAddr, Option<u16>);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (addr, None) => write!(f, "{addr}"),
            (IpAddr::V4(addr), Some(port)) => write!(f, "{addr}:{port}"),
            (IpAddr::V6(addr), Some(port)) => write!(f, "[{addr}]:{port}"),
        }
    }
}
