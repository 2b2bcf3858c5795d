//! The router's own host stack: what Linux answers to a packet addressed to it
//! when no socket listens.
//!
//! Echo and timestamp requests are answered, TCP gets a reset, UDP and UDP-Lite
//! a port unreachable, an unknown protocol a protocol unreachable (ICMPv6: a
//! parameter problem), a neighbour solicitation an advertisement. So is an
//! authentication header, and a routing header that is not at its end. A packet whose
//! checksum is wrong, that went to a broadcast or multicast address, or that
//! is itself an error or a reset is never answered. Rate limits are off.
//!
//! An answer is a finished datagram that has yet to go through OUTPUT: the
//! caller hands it to the engine's `send_local`. It carries no IP options, even
//! where Linux would echo those of the question. Address mask requests are
//! ignored, as Linux does.

mod icmp;
mod icmpv6;
mod tcp;
mod udp;

use std::net::IpAddr;
use std::ops::ControlFlow::Break;

use tidegate_engine::fib::{AddrType, Fib, PortId};
use tidegate_engine::time::Instant;
use tidegate_wire::{Family, Headers, dissect, proto};

use crate::replay::topology::World;

/// The host stack, with the identification of its next datagram.
#[derive(Clone, Debug, Default)]
pub struct Host {
    next_id: u16,
}

impl Host {
    /// What the host answers to `datagram`, which came in by `in_port` and was
    /// delivered to it; `None` if nothing.
    #[must_use]
    pub fn answer(
        &mut self,
        now: Instant,
        datagram: &[u8],
        in_port: PortId,
        world: &World,
    ) -> Option<Reply> {
        let headers = dissect(datagram).ok()?;
        let question = Question::new(datagram, &headers, in_port, world)?;
        if let Break(refusal) = icmpv6::extensions(&question) {
            return self.sent(refusal?, true);
        }
        let answer = match (headers.family, headers.proto) {
            // In IPv6 no socket sends it, so it has no owner.
            (Family::V6, proto::TCP) => {
                return Some(Reply {
                    is_owned: false,
                    ..self.sent(tcp::reset(&question)?, false)?
                });
            }
            (Family::V4, proto::TCP) => tcp::reset(&question),
            (_, proto::UDP) => udp::unreachable(&question),
            (_, proto::UDPLITE) => udp::lite_unreachable(&question),
            (Family::V4, proto::ICMP) => icmp::answer(&question, now),
            (Family::V6, proto::ICMPV6) => icmpv6::answer(&question),
            (Family::V4, proto::IGMP) | (Family::V6, proto::NO_NEXT_HEADER) => None,
            (Family::V4, _) => return self.sent(icmp::protocol_unreachable(&question)?, true),
            (Family::V6, _) => return self.sent(icmpv6::unknown_next_header(&question)?, true),
        }?;
        self.sent(answer, false)
    }

    fn sent(&mut self, answer: Answer, is_tied: bool) -> Option<Reply> {
        self.next_id = self.next_id.wrapping_add(1);
        Some(Reply { datagram: answer.into_datagram(self.next_id), is_tied, is_owned: true })
    }
}

/// What the host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The whole datagram.
    pub datagram: Vec<u8>,
    /// Whether it is an error that belongs to the flow of what it is about from the start. A
    /// protocol that has a handler has let go of the flow by then (`nf_reset_ct`).
    pub is_tied: bool,
    /// Whether a socket of the kernel's own sends it.
    pub is_owned: bool,
}

/// A datagram that was delivered to the host.
struct Question<'a> {
    /// From the IP header to the end of the datagram, without padding.
    datagram: &'a [u8],
    headers: &'a Headers,
    /// The upper layer, with its header.
    payload: &'a [u8],
    in_port: PortId,
    /// Whether its destination is one of the host's own unicast addresses.
    to_host_alone: bool,
    /// The address that the host answers from.
    own: IpAddr,
    world: &'a World,
}

impl<'a> Question<'a> {
    fn new(
        datagram: &'a [u8],
        headers: &'a Headers,
        in_port: PortId,
        world: &'a World,
    ) -> Option<Self> {
        // Of IPv6 a first fragment gets here, if it lacks headers that it should have, and any that
        // ends where none may end.
        if headers.fragment.is_some() && headers.family == Family::V4 {
            return None;
        }
        let datagram = datagram.get(..headers.len)?;
        let is_later = headers.fragment.is_some_and(|fragment| !fragment.is_first());
        let payload = match headers.l4 {
            Some(l4) => datagram.get(l4..).unwrap_or_default(),
            None if is_later => &[],
            // There may be nothing behind the IPv6 header that names a protocol.
            None if !is_extension(headers.proto) => &[],
            None => return None,
        };
        let to_host_alone = world.addr_type(headers.dst, None) == AddrType::Local;
        let own = match to_host_alone {
            true => headers.dst,
            false => world.source_for(headers.src, Some(in_port))?,
        };
        Some(Self { datagram, headers, payload, in_port, to_host_alone, own, world })
    }

    /// An answer to the sender.
    fn answer(&self, proto: u8, payload: Vec<u8>) -> Answer {
        Answer {
            src: self.own,
            dst: self.headers.src,
            proto,
            traffic_class: 0,
            hop_limit: 64,
            dont_fragment: false,
            payload,
        }
    }

    /// The question's TOS or traffic class.
    fn traffic_class(&self) -> u8 {
        match (self.headers.family, self.datagram) {
            (Family::V4, [_, tos, ..]) => *tos,
            (Family::V6, [high, low, ..]) => high << 4 | low >> 4,
            _ => 0,
        }
    }

    /// Whether the checksum over pseudo header and `segment` is right.
    fn sum_is_right(&self, segment: &[u8]) -> bool {
        let Headers { src, dst, proto, .. } = *self.headers;
        tidegate_wire::checksum::transport(src, dst, proto, segment) == 0
    }

    /// The port unreachable of the question's family, quoting `datagram`.
    fn port_unreachable(&self, datagram: &[u8]) -> Option<Answer> {
        match self.headers.family {
            Family::V4 => icmp::port_unreachable(self, datagram),
            Family::V6 => icmpv6::port_unreachable(self, datagram),
        }
    }
}

/// Whether a header is one of those that Linux reads on the way to the upper layer.
fn is_extension(proto: u8) -> bool {
    let ways = [proto::HOP_BY_HOP, proto::IPV6_ROUTING, proto::DESTINATION_OPTIONS];
    ways.contains(&proto) || proto == proto::IPV6_FRAGMENT
}

/// A datagram of the host's own, its header still as values.
struct Answer {
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    traffic_class: u8,
    hop_limit: u8,
    dont_fragment: bool,
    /// The upper layer, its checksum filled in.
    payload: Vec<u8>,
}

impl Answer {
    /// The datagram; a DF datagram has no use for its identification.
    fn into_datagram(self, id: u16) -> Vec<u8> {
        let header_len = match self.dst {
            IpAddr::V4(_) => tidegate_wire::packet::ipv4::HEADER_LEN,
            IpAddr::V6(_) => tidegate_wire::packet::ipv6::HEADER_LEN,
        };
        let mut datagram = vec![0; header_len];
        self.emit_header(id, &mut datagram);
        datagram.extend_from_slice(&self.payload);
        datagram
    }

    fn emit_header(&self, id: u16, buf: &mut [u8]) {
        use tidegate_wire::packet::{Ipv4Repr, Ipv6Repr};
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4Repr {
                src,
                dst,
                proto: self.proto,
                ttl: self.hop_limit,
                tos: self.traffic_class,
                id: if self.dont_fragment { 0 } else { id },
                dont_fragment: self.dont_fragment,
                payload_len: self.payload.len(),
            }
            .emit(buf),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Repr {
                src,
                dst,
                next_header: self.proto,
                hop_limit: self.hop_limit,
                traffic_class: self.traffic_class,
                flow_label: 0,
                payload_len: self.payload.len(),
            }
            .emit(buf),
            _ => unreachable!("an answer goes back within its family"),
        }
    }
}

#[cfg(test)]
mod tests;
