//! Rewriting: making a packet look like its flow's other tuple.
//!
//! Checksums are updated incrementally (RFC 1624), so that a wrong one stays
//! wrong; SCTP's cannot be and is computed anew. Nothing here decides anything.

use core::net::IpAddr;

use tidegate_wire::checksum::{Delta, Sum, transport};
use tidegate_wire::dissect::dissect_quoted;
use tidegate_wire::offload::Checksum;
use tidegate_wire::packet::gre::{Gre, PPTP_HEADER_LEN, VERSION_PPTP};
use tidegate_wire::packet::icmp::Icmp;
use tidegate_wire::packet::icmpv6::Icmpv6;
use tidegate_wire::packet::ipv4::Ipv4;
use tidegate_wire::packet::ipv6::Ipv6;
use tidegate_wire::packet::sctp::Sctp;
use tidegate_wire::packet::tcp::Tcp;
use tidegate_wire::packet::udp::Udp;
use tidegate_wire::packet::udplite::UdpLite;
use tidegate_wire::{Family, Headers, proto};

use super::Manip;
use crate::flow::{Flow, Status};
use crate::tuple::{Direction, Tuple};

/// The packet cannot be translated: a header is cut off, or an ICMP error may
/// not pass a translated flow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Untranslatable;

pub(crate) type Result = core::result::Result<(), Untranslatable>;

/// Rewrites one end of a packet of direction `dir`, and of `headers`.
pub(crate) fn packet(
    bytes: &mut [u8],
    headers: &mut Headers,
    flow: &Flow,
    manip: Manip,
    dir: Direction,
) -> Result {
    end(bytes, headers, &flow.target(dir), manip)
}

/// Rewrites an ICMP error about a translated flow: the quoted packet, which is
/// one of the other direction, and the error's own address.
pub(crate) fn icmp_error(
    bytes: &mut [u8],
    headers: &mut Headers,
    flow: &Flow,
    manip: Manip,
    dir: Direction,
) -> Result {
    let l4 = headers.l4.ok_or(Untranslatable)?;
    let len = headers.len;
    if !crate::track::checksum_is_right(headers, bytes.get(l4..len).ok_or(Untranslatable)?) {
        return Err(Untranslatable);
    }
    if is_redirect(headers, bytes[l4])
        && !flow.is(Status::NAT_DONE) | flow.status.intersects(Status::NAT)
    {
        return Err(Untranslatable);
    }
    if !manip.applies(flow, dir) {
        return Ok(());
    }
    let quote = bytes.get_mut(l4 + 8..len).ok_or(Untranslatable)?;
    let mut quoted = dissect_quoted(headers.family, quote).ok_or(Untranslatable)?;
    end(quote, &mut quoted, flow.tuple(dir.opposite()), manip.opposite())?;
    fill_icmp_checksum(&mut bytes[l4..len], headers);
    end(bytes, headers, &Tuple { proto: headers.proto, ..flow.target(dir) }, manip)
}

/// A redirect would send the sender around the translator.
fn is_redirect(headers: &Headers, kind: u8) -> bool {
    match headers.family {
        Family::V4 => kind == 5,
        Family::V6 => kind == 137,
    }
}

fn fill_icmp_checksum(message: &mut [u8], headers: &Headers) {
    message[2..4].fill(0);
    let checksum = match headers.family {
        Family::V4 => Sum::new().bytes(message).finish(),
        Family::V6 => transport(headers.src, headers.dst, proto::ICMPV6, message),
    };
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}

/// Sets one end of a datagram to that of `target`: port first, because its
/// checksum covers the old address, then the address.
pub(crate) fn end(bytes: &mut [u8], headers: &mut Headers, target: &Tuple, manip: Manip) -> Result {
    let (old, new) = match manip {
        Manip::Src => (headers.src, target.src),
        Manip::Dst => (headers.dst, target.dst),
    };
    if let Some(l4) = headers.l4 {
        let len = headers.len.min(bytes.len());
        let segment = bytes.get_mut(l4..len).unwrap_or_default();
        let sum = Covered { addresses: Delta::new().addr(old, new), state: headers.checksum };
        upper_layer(segment, headers.proto, target, manip, sum)?;
    }
    set_address(bytes, manip, new);
    match manip {
        Manip::Src => headers.src = new,
        Manip::Dst => headers.dst = new,
    }
    Ok(())
}

fn set_address(bytes: &mut [u8], manip: Manip, addr: IpAddr) {
    match (addr, manip) {
        (IpAddr::V4(addr), Manip::Src) => drop(Ipv4::new(bytes).map(|mut ip| ip.set_src(addr))),
        (IpAddr::V4(addr), Manip::Dst) => drop(Ipv4::new(bytes).map(|mut ip| ip.set_dst(addr))),
        (IpAddr::V6(addr), Manip::Src) => drop(Ipv6::new(bytes).map(|mut ip| ip.set_src(addr))),
        (IpAddr::V6(addr), Manip::Dst) => drop(Ipv6::new(bytes).map(|mut ip| ip.set_dst(addr))),
    }
}

/// What the upper layer's checksum covers beside the upper layer.
#[derive(Clone, Copy)]
struct Covered {
    /// What changes in the addresses.
    addresses: Delta,
    state: Checksum,
}

fn upper_layer(
    segment: &mut [u8],
    proto: u8,
    target: &Tuple,
    manip: Manip,
    sum: Covered,
) -> Result {
    match proto {
        proto::TCP => tcp(segment, target, manip, sum),
        proto::UDP => udp(segment, target, manip, sum),
        proto::UDPLITE => udplite(segment, target, manip, sum),
        proto::SCTP => sctp(segment, target, manip),
        proto::GRE => gre(segment, target, manip),
        proto::ICMP => icmp(segment, target),
        proto::ICMPV6 => icmpv6(segment, target, sum.addresses),
        _ => Ok(()),
    }
}

/// A quoted TCP header may be cut after eight bytes, and then has no checksum
/// to update.
fn tcp(segment: &mut [u8], target: &Tuple, manip: Manip, sum: Covered) -> Result {
    if segment.len() < 8 {
        return Err(Untranslatable);
    }
    let ports = swap_port(segment, target, manip);
    if let Some(mut tcp) = Tcp::new(segment) {
        tcp.set_checksum(sum.state.mended(tcp.checksum(), sum.addresses, ports));
    }
    Ok(())
}

/// A checksum of zero means that there is none; one that becomes zero is sent
/// as all ones (RFC 768). A partial one is neither.
fn udp(segment: &mut [u8], target: &Tuple, manip: Manip, sum: Covered) -> Result {
    if segment.len() < 8 {
        return Err(Untranslatable);
    }
    let ports = swap_port(segment, target, manip);
    let mut udp = Udp::new(segment).ok_or(Untranslatable)?;
    if sum.state.is_partial() {
        udp.set_checksum(sum.state.mended(udp.checksum(), sum.addresses, ports));
    } else {
        udp.adjust(sum.addresses.and(ports));
    }
    Ok(())
}

/// The checksum covers addresses and ports, however little else it covers.
fn udplite(segment: &mut [u8], target: &Tuple, manip: Manip, sum: Covered) -> Result {
    if segment.len() < 8 {
        return Err(Untranslatable);
    }
    let ports = swap_port(segment, target, manip);
    UdpLite::new(segment).ok_or(Untranslatable)?.adjust(sum.addresses.and(ports));
    Ok(())
}

/// A quoted SCTP header may be cut after eight bytes, before its checksum; one
/// that is there is computed over what is quoted, right or wrong.
fn sctp(segment: &mut [u8], target: &Tuple, manip: Manip) -> Result {
    if segment.len() < 8 {
        return Err(Untranslatable);
    }
    swap_port(segment, target, manip);
    if let Some(mut sctp) = Sctp::new(segment) {
        sctp.fill_checksum();
    }
    Ok(())
}

/// The receiver's key of a PPTP call is all that a GRE packet says of its tuple.
/// Linux wants eight bytes of any version, and drops what it does not know where
/// the destination is translated.
fn gre(segment: &mut [u8], target: &Tuple, manip: Manip) -> Result {
    if segment.len() < PPTP_HEADER_LEN {
        return Err(Untranslatable);
    }
    let mut gre = Gre::new(segment).ok_or(Untranslatable)?;
    match (manip, gre.version()) {
        (Manip::Src, _) | (Manip::Dst, 0) => {}
        (Manip::Dst, VERSION_PPTP) => gre.set_call_id(target.dport),
        (Manip::Dst, _) => return Err(Untranslatable),
    }
    Ok(())
}

/// All protocols with ports have that of the source in the first word and that
/// of the destination in the second.
fn swap_port(segment: &mut [u8], target: &Tuple, manip: Manip) -> Delta {
    let (at, new) = match manip {
        Manip::Src => (0, target.sport),
        Manip::Dst => (2, target.dport),
    };
    let old = u16::from_be_bytes([segment[at], segment[at + 1]]);
    segment[at..at + 2].copy_from_slice(&new.to_be_bytes());
    Delta::new().word(old, new)
}

fn icmp(message: &mut [u8], target: &Tuple) -> Result {
    let mut icmp = Icmp::new(message).ok_or(Untranslatable)?;
    if matches!(icmp.kind(), 0 | 8 | 13..=18) {
        let delta = Delta::new().word(icmp.id(), target.sport);
        icmp.set_checksum(delta.apply(icmp.checksum()));
        icmp.set_id(target.sport);
    }
    Ok(())
}

/// The checksum covers the addresses, whatever the type.
fn icmpv6(message: &mut [u8], target: &Tuple, mut delta: Delta) -> Result {
    let mut icmp = Icmpv6::new(message).ok_or(Untranslatable)?;
    if matches!(icmp.kind(), 128 | 129) {
        delta = delta.word(icmp.id(), target.sport);
        icmp.set_id(target.sport);
    }
    icmp.set_checksum(delta.apply(icmp.checksum()));
    Ok(())
}

#[cfg(test)]
mod tests;
