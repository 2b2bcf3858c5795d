//! The engine's own packets: REJECT's answers and the errors a router owes.
//!
//! Each goes through OUTPUT and POSTROUTING like any packet of the host's,
//! attached to the flow of the packet it answers as RELATED, so that NAT
//! translates it too. When to keep silent: RFC 1122 3.2.2, RFC 4443 2.4, as
//! Linux does it (`icmp_send`, `icmp6_send`, `nf_send_reset`).

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::checksum::{Sum, transport};
use tidegate_wire::packet::ipv4::{self, Ipv4, Ipv4Repr};
use tidegate_wire::packet::ipv6::{self, Ipv6Repr};
use tidegate_wire::packet::tcp::{self, Tcp, TcpFlags, TcpRepr};
use tidegate_wire::packet::{icmp, icmpv6};
use tidegate_wire::{Family, SeqNum, dissect, proto};

use super::{Path, Walk};
use crate::event::EventMask;
use crate::fib::{AddrType, Fib};
use crate::packet::{
    CtInfo, Destination, Offload, Origin, Output, Owner, Packet, Tracked, Transit,
};
use crate::rules::ast::RejectWith;
use crate::trace::{Observer, Step};
use crate::track::checksum_is_right;
use crate::verdict::Verdict;

/// Hop limit of the host's own packets.
const OWN_TTL: u8 = 64;
/// How large an ICMP error may be: RFC 1812 4.3.2.3.
const ICMP_LIMIT: usize = 576;
/// How large an ICMPv6 error may be: the minimum MTU, RFC 4443 2.4 (c).
const ICMPV6_LIMIT: usize = 1280;
/// Internetwork control precedence, which errors of routers carry (RFC 1812
/// 4.3.2.5).
const PRECEDENCE_INTERNETCONTROL: u8 = 0xc0;

/// What an ICMP or ICMPv6 error says.
#[derive(Clone, Copy)]
pub(super) struct Complaint {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// The second word of the header: an MTU, or nothing.
    pub(super) info: u32,
}

impl<F: Fib, O: Observer> Walk<'_, F, O> {
    pub(super) fn answer_time_exceeded(&mut self, t: &mut Transit<'_, '_>) {
        let kind = match t.headers.family {
            Family::V4 => icmp::TIME_EXCEEDED,
            Family::V6 => icmpv6::TIME_EXCEEDED,
        };
        self.complain(t, Complaint { kind, code: 0, info: 0 }, Origin::Router);
    }

    /// "Fragmentation needed" where the sender forbade it, "packet too big" in
    /// IPv6.
    pub(super) fn answer_too_big(&mut self, t: &mut Transit<'_, '_>, mtu: u32) {
        let complaint = match t.headers.family {
            Family::V4 => Complaint { kind: icmp::UNREACHABLE, code: 4, info: mtu },
            Family::V6 => Complaint { kind: icmpv6::PACKET_TOO_BIG, code: 0, info: mtu },
        };
        self.complain(t, complaint, Origin::Router);
    }

    /// Network unreachable; no route to destination.
    pub(super) fn answer_no_route(&mut self, t: &mut Transit<'_, '_>) {
        let kind = match t.headers.family {
            Family::V4 => icmp::UNREACHABLE,
            Family::V6 => icmpv6::UNREACHABLE,
        };
        self.complain(t, Complaint { kind, code: 0, info: 0 }, Origin::Router);
    }

    /// Host unreachable; address unreachable. Only a first fragment tells whose it is.
    pub(crate) fn answer_no_neighbour(&mut self, packet: &mut Packet<'_>) {
        let Ok(headers) = dissect(packet.bytes) else { return };
        if headers.fragment.is_some_and(|fragment| fragment.offset > 0) {
            return;
        }
        let complaint = match headers.family {
            Family::V4 => Complaint { kind: icmp::UNREACHABLE, code: 1, info: 0 },
            Family::V6 => Complaint { kind: icmpv6::UNREACHABLE, code: 3, info: 0 },
        };
        let mut transit = Transit::new(packet, headers, Tracked::None, None);
        self.complain(&mut transit, complaint, Origin::Router);
    }

    /// Answers for a REJECT rule. A packet with a wrong checksum gets no answer:
    /// it may not be from whom it says.
    pub(super) fn answer_reject(&mut self, t: &mut Transit<'_, '_>, with: RejectWith) {
        if !may_be_answered(t) {
            return;
        }
        let (kind, code) = match with {
            RejectWith::TcpReset => return self.reset(t),
            RejectWith::Icmp(code) => (icmp::UNREACHABLE, code as u8),
            RejectWith::Icmpv6(code) => (icmpv6::UNREACHABLE, code as u8),
        };
        // While the host's kernel sends a message of ICMP it can't send another one (`icmp_xmit_lock`).
        let is_icmp = matches!(t.headers.proto, proto::ICMP | proto::ICMPV6);
        if is_icmp && self.owner == Some(&Owner::Kernel) {
            return;
        }
        self.complain(t, Complaint { kind, code, info: 0 }, Origin::Reject);
    }

    fn reset(&mut self, t: &mut Transit<'_, '_>) {
        let broadcast = matches!(
            self.fib.addr_type(t.headers.dst, None),
            AddrType::Broadcast | AddrType::Multicast
        );
        let segment = t.headers.payload(t.packet.bytes);
        let Some(answer) = Tcp::new(segment).and_then(|tcp| reset_of(&tcp, segment.len())) else {
            return;
        };
        if broadcast || t.headers.proto != proto::TCP {
            return;
        }
        let bytes = tcp_datagram(t.headers.dst, t.headers.src, &answer, &[]);
        if let Tracked::Flow(held, _) = &mut t.tracked {
            let engine = &mut *self.engine;
            crate::track::tcp::close_by_reset(&mut held.flow, self.now, &engine.limits);
            held.save(&mut engine.table);
        }
        self.emit(bytes, attached(&mut t.tracked), Origin::Reject);
    }

    pub(super) fn complain(
        &mut self,
        t: &mut Transit<'_, '_>,
        complaint: Complaint,
        origin: Origin,
    ) {
        if !self.may_complain(t, complaint) {
            return;
        }
        // IPv6 speaks by the port that the packet came in by, IPv4 by the one that the error leaves by.
        let port = t.packet.in_port.filter(|_| t.headers.family == Family::V6);
        let source = match self.fib.addr_type(t.headers.dst, None) {
            AddrType::Local | AddrType::Anycast => Some(t.headers.dst),
            _ => self.fib.source_for(t.headers.src, port),
        };
        let bytes = match (source, t.headers.src) {
            (Some(IpAddr::V4(src)), IpAddr::V4(dst)) => icmp_datagram(t, src, dst, complaint),
            (Some(IpAddr::V6(src)), IpAddr::V6(dst)) => icmpv6_datagram(t, src, dst, complaint),
            _ => return,
        };
        self.emit(bytes, attached(&mut t.tracked), origin);
    }

    /// Sends a packet of the engine's own making on its way from OUTPUT, as part
    /// of the flow that `tracked` names, and queues it if it gets through.
    pub(super) fn emit(&mut self, bytes: Vec<u8>, tracked: Tracked, origin: Origin) {
        self.emit_by(bytes, tracked, origin, Self::output);
    }

    pub(super) fn emit_by(
        &mut self,
        mut bytes: Vec<u8>,
        tracked: Tracked,
        origin: Origin,
        path: Path<Self>,
    ) {
        let Ok(headers) = dissect(&bytes) else { return };
        self.observer.note(|| Step::Generated(alloc::format!("{origin:?}")));
        let (seen_as, of) = (self.seen_as, core::mem::replace(&mut self.origin, origin));
        self.hint = None;
        // A kernel's errors leave by a socket of its own, REJECT's resets by none.
        let is_error = matches!(headers.proto, proto::ICMP | proto::ICMPV6);
        let owner = core::mem::replace(&mut self.owner, is_error.then_some(&Owner::Kernel));
        let mut packet = Packet::local(&mut bytes);
        let outcome = self.walk(&mut packet, headers, tracked, None, path);
        (self.seen_as, self.origin, self.owner) = (seen_as, of, owner);
        let destination = match outcome.verdict {
            Verdict::Forward { port, next_hop } => Destination::Port { port, next_hop },
            // What is told may be about the host's own packet; the server that is proxied may be the host itself.
            Verdict::Local => Destination::Host,
            Verdict::Held | Verdict::Queued(_) | Verdict::Drop(_) => return,
        };
        self.engine.outputs.push_back(Output {
            bytes,
            destination,
            origin,
            offload: Offload::NONE,
        });
    }

    /// No error about an error, about anything but a first fragment, or to or
    /// about anybody but a single host.
    fn may_complain(&self, t: &Transit<'_, '_>, complaint: Complaint) -> bool {
        let link_group = t.packet.link.is_some_and(|link| link.dst.is_multicast());
        let group = match self.fib.addr_type(t.headers.dst, None) {
            AddrType::Broadcast | AddrType::Multicast => true,
            AddrType::Unicast
            | AddrType::Local
            | AddrType::Anycast
            | AddrType::Unspec
            | AddrType::Blackhole
            | AddrType::Unreachable
            | AddrType::Prohibit => false,
        };
        // Path MTU discovery works for multicast too (RFC 4443 2.4 (e.3)).
        let exempt = t.headers.family == Family::V6 && complaint.kind == icmpv6::PACKET_TOO_BIG;
        let to_one = !t.headers.src.is_unspecified() && !t.headers.src.is_multicast();
        to_one && (exempt || !(link_group || group)) && !is_icmp_error(t)
    }
}

/// Whether the packet is one that errors are not sent about; an ICMP type that
/// nobody knows, or that was never given away, counts as an error (`icmp_pointers`).
fn is_icmp_error(t: &Transit<'_, '_>) -> bool {
    let kind = t.headers.payload(t.packet.bytes).first().copied();
    match t.headers.proto {
        proto::ICMP => kind.is_none_or(|kind| !matches!(kind, 0 | 8 | 13..=18)),
        proto::ICMPV6 => kind.is_none_or(icmpv6::is_error),
        _ => false,
    }
}

fn may_be_answered(t: &Transit<'_, '_>) -> bool {
    let payload = t.headers.payload(t.packet.bytes);
    match t.headers.proto {
        // Nothing to be verified is not right (`reject6_csum_ok`).
        _ if t.headers.family == Family::V6 && payload.is_empty() => false,
        // Optional, partial or other kinds of checksum.
        proto::UDP if payload.get(6..8) == Some(&[0, 0]) => true,
        proto::GRE | proto::ESP | proto::AH | proto::SCTP | proto::UDPLITE => true,
        proto::TCP | proto::UDP | proto::ICMP | proto::ICMPV6 => {
            checksum_is_right(&t.headers, payload)
        }
        // IPv4 expects of any other that its bytes sum up to nothing (`nf_ip_checksum`).
        _ if t.headers.family == Family::V4 => {
            matches!(Sum::new().bytes(payload).finish(), 0 | 0xffff)
        }
        _ => checksum_is_right(&t.headers, payload),
    }
}

/// The flow that an answer to this packet belongs to: the same one, in the
/// other direction, as RELATED. It sees a copy, because the packet itself is
/// about to be dropped; what was to be announced goes with it.
pub(super) fn attached(tracked: &mut Tracked) -> Tracked {
    let related = |info: &CtInfo| info.direction().map(|dir| CtInfo::Related(dir.opposite()));
    match tracked {
        Tracked::Draft(draft, info) => {
            related(info).map_or(Tracked::None, |info| Tracked::Draft(draft.clone(), info))
        }
        Tracked::Flow(held, info) => related(info).map_or(Tracked::None, |info| {
            let copy = held.clone();
            held.flow.pending = EventMask::empty();
            Tracked::Flow(copy, info)
        }),
        Tracked::None | Tracked::Untracked => Tracked::None,
    }
}

/// The reset that answers a segment; none answers a reset (RFC 9293 3.10.7.1).
fn reset_of(segment: &Tcp<&[u8]>, len: usize) -> Option<TcpRepr> {
    let flags = segment.flags();
    if flags.contains(TcpFlags::RST) {
        return None;
    }
    let (seq, ack, reset_flags) = if flags.contains(TcpFlags::ACK) {
        (segment.ack(), SeqNum(0), TcpFlags::RST)
    } else {
        let octets = (len as u32).wrapping_sub(segment.header_len() as u32)
            + u32::from(flags.contains(TcpFlags::SYN))
            + u32::from(flags.contains(TcpFlags::FIN));
        (SeqNum(0), segment.seq() + octets, TcpFlags::RST.union(TcpFlags::ACK))
    };
    let (src_port, dst_port) = (segment.dst_port(), segment.src_port());
    Some(TcpRepr { src_port, dst_port, seq, ack, flags: reset_flags, window: 0 })
}

/// A segment without data. => the options' length is a multiple of four, at most 40
pub(super) fn tcp_datagram(src: IpAddr, dst: IpAddr, segment: &TcpRepr, options: &[u8]) -> Vec<u8> {
    let payload_len = tcp::HEADER_LEN + options.len();
    let (mut bytes, l4) = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let header = own_ipv4(src, dst, proto::TCP, payload_len);
            ipv4_datagram(&Ipv4Repr { dont_fragment: true, ..header })
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => ipv6_datagram(src, dst, proto::TCP, payload_len),
        _ => return Vec::new(),
    };
    segment.emit(&mut bytes[l4..]);
    if let Some(mut tcp) = Tcp::new(&mut bytes[l4..]) {
        tcp.set_options(options);
        tcp.fill_checksum(src, dst);
    }
    bytes
}

fn icmp_datagram(
    t: &Transit<'_, '_>,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    complaint: Complaint,
) -> Vec<u8> {
    let quote = quote(t, ICMP_LIMIT - ipv4::HEADER_LEN - icmp::HEADER_LEN);
    let tos = Ipv4::new(&*t.packet.bytes).map_or(0, |ip| ip.tos());
    let tos = tos & 0x1e | PRECEDENCE_INTERNETCONTROL;
    let header = own_ipv4(src, dst, proto::ICMP, icmp::HEADER_LEN + quote.len());
    let (mut bytes, l4) = ipv4_datagram(&Ipv4Repr { tos, ..header });
    write_message(&mut bytes[l4..], complaint, quote);
    let checksum = Sum::new().bytes(&bytes[l4..]).finish();
    bytes[l4 + 2..l4 + 4].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn icmpv6_datagram(
    t: &Transit<'_, '_>,
    src: Ipv6Addr,
    dst: Ipv6Addr,
    complaint: Complaint,
) -> Vec<u8> {
    let quote = quote(t, ICMPV6_LIMIT - ipv6::HEADER_LEN - icmpv6::HEADER_LEN);
    let len = icmpv6::HEADER_LEN + quote.len();
    let (mut bytes, l4) = ipv6_datagram(src, dst, proto::ICMPV6, len);
    write_message(&mut bytes[l4..], complaint, quote);
    let checksum = transport(src.into(), dst.into(), proto::ICMPV6, &bytes[l4..]);
    bytes[l4 + 2..l4 + 4].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn quote<'a>(t: &'a Transit<'_, '_>, limit: usize) -> &'a [u8] {
    &t.bytes()[..t.headers.len.min(limit)]
}

fn write_message(message: &mut [u8], complaint: Complaint, quote: &[u8]) {
    message[0] = complaint.kind;
    message[1] = complaint.code;
    message[4..8].copy_from_slice(&complaint.info.to_be_bytes());
    message[8..].copy_from_slice(quote);
}

fn own_ipv4(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, payload_len: usize) -> Ipv4Repr {
    Ipv4Repr { src, dst, proto, ttl: OWN_TTL, tos: 0, id: 0, dont_fragment: false, payload_len }
}

/// A datagram with an empty payload, and where that begins.
fn ipv4_datagram(header: &Ipv4Repr) -> (Vec<u8>, usize) {
    let mut bytes = vec![0; ipv4::HEADER_LEN + header.payload_len];
    header.emit(&mut bytes);
    (bytes, ipv4::HEADER_LEN)
}

fn ipv6_datagram(
    src: Ipv6Addr,
    dst: Ipv6Addr,
    next_header: u8,
    payload_len: usize,
) -> (Vec<u8>, usize) {
    let header = Ipv6Repr {
        src,
        dst,
        next_header,
        hop_limit: OWN_TTL,
        traffic_class: 0,
        flow_label: 0,
        payload_len,
    };
    let mut bytes = vec![0; ipv6::HEADER_LEN + payload_len];
    header.emit(&mut bytes);
    (bytes, ipv6::HEADER_LEN)
}
