//! ICMPv6: echo, neighbour advertisement, and the errors that the host owes
//! (RFC 4443, RFC 4861). Linux: `icmpv6_rcv`, `icmp6_send`, `ndisc_recv_ns`.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::ControlFlow::{self, Break, Continue};

use tidegate_engine::fib::{AddrType, Fib};
use tidegate_wire::packet::{Icmpv6, Ipv6, icmpv6, ipv6};
use tidegate_wire::{Family, Fragment, proto};

use super::{Answer, Question};

/// An error fills at most the smallest MTU (RFC 4443 section 2.4 c).
const MAX_ERROR: usize = 1280;
const PORT_UNREACHABLE: u8 = 4;
const ERRONEOUS_FIELD: u8 = 0;
const UNKNOWN_NEXT_HEADER: u8 = 1;
const INCOMPLETE_HEADER_CHAIN: u8 = 3;
/// Routing headers that Linux drops without a word unless it is set up for them: mobility, RPL and
/// segment routing.
const MOBILITY_ROUTING: u8 = 2;
const RPL_ROUTING: u8 = 3;
const SEGMENT_ROUTING: u8 = 4;
/// Neighbour discovery is for the link alone (RFC 4861 section 7.1.1).
const ON_LINK_HOP_LIMIT: u8 = 255;
/// Router and Solicited (RFC 4861 section 4.4).
const ROUTER_SOLICITED: u32 = 0xc000_0000;
/// Where the IPv6 header tells its payload's length.
const PAYLOAD_LENGTH_FIELD: usize = 4;
/// Where the IPv6 header names what follows it.
const NEXT_HEADER_FIELD: usize = 6;

/// What becomes of the datagram in front of its upper layer: `Break` if it is
/// refused there, with the error or none.
pub(super) fn extensions(question: &Question<'_>) -> ControlFlow<Option<Answer>> {
    if question.headers.family == Family::V4 {
        return Continue(());
    }
    if let Some(fragment) = question.headers.fragment {
        fragment_end(question, &fragment)?;
        if fragment.more {
            return Break(problem(question, INCOMPLETE_HEADER_CHAIN, 0));
        }
    }
    let Some(header) = Ipv6::new(question.datagram) else { return Break(None) };
    for extension in header.extensions() {
        match extension.kind {
            proto::HOP_BY_HOP if extension.at == ipv6::HEADER_LEN => {}
            proto::AH | proto::HOP_BY_HOP => {
                return Break(problem(question, UNKNOWN_NEXT_HEADER, extension.named_at));
            }
            proto::IPV6_ROUTING => routing(question, extension.at)?,
            _ => {}
        }
    }
    Continue(())
}

/// Where a fragment ends: within the largest datagram, and at a multiple of 8 if more follow (RFC
/// 8200 section 4.5). Linux: `ip6_frag_queue`.
fn fragment_end(question: &Question<'_>, fragment: &Fragment) -> ControlFlow<Option<Answer>> {
    let is_whole = question.headers.l4.is_none() || has_upper_header(question);
    let found = Ipv6::new(question.datagram).and_then(|header| {
        let mut extensions = header.extensions();
        extensions.find(|extension| extension.kind == proto::IPV6_FRAGMENT)
    });
    let Some(at) = found.map(|extension| extension.at).filter(|_| is_whole) else {
        return Continue(());
    };
    let data = question.datagram.len().saturating_sub(at + ipv6::FRAGMENT_HEADER_LEN);
    let end = usize::from(fragment.offset) + data;
    if end > usize::from(u16::MAX) {
        return Break(problem(question, ERRONEOUS_FIELD, at + 2));
    }
    if fragment.more && !end.is_multiple_of(8) {
        return Break(problem(question, ERRONEOUS_FIELD, PAYLOAD_LENGTH_FIELD));
    }
    if fragment.is_first() { Continue(()) } else { Break(None) }
}

/// Whether a first fragment has all of the upper layer's header. Linux: `ipv6frag_thdr_truncated`.
fn has_upper_header(question: &Question<'_>) -> bool {
    let len = match question.headers.proto {
        proto::TCP => 20,
        proto::UDP | proto::ICMPV6 => 8,
        _ => 1,
    };
    question.payload.len() >= len
}

/// A routing header: passed by at its end, refused on the way.
fn routing(question: &Question<'_>, at: usize) -> ControlFlow<Option<Answer>> {
    let Some([_, _, kind, segments_left]) =
        question.datagram.get(at..).and_then(|header| header.first_chunk::<4>())
    else {
        return Break(None);
    };
    match (*kind, *segments_left) {
        (MOBILITY_ROUTING | RPL_ROUTING | SEGMENT_ROUTING, _) => Break(None),
        (_, 0) => Continue(()),
        _ => Break(problem(question, ERRONEOUS_FIELD, at + 2)),
    }
}

/// The parameter problem that points at byte `at`.
fn problem(question: &Question<'_>, code: u8, at: usize) -> Option<Answer> {
    error(question, [icmpv6::PARAMETER_PROBLEM, code], at as u32, question.datagram)
}

/// The answer to an echo request or a neighbour solicitation.
pub(super) fn answer(question: &Question<'_>) -> Option<Answer> {
    let message = Icmpv6::new(question.payload)?;
    if !question.sum_is_right(question.payload) {
        return None;
    }
    match message.kind() {
        icmpv6::ECHO_REQUEST => echo_reply(question),
        icmpv6::NEIGHBOUR_SOLICITATION => advertisement(question),
        _ => None,
    }
}

/// The error for a port that nobody listens on, quoting `datagram`.
pub(super) fn port_unreachable(question: &Question<'_>, datagram: &[u8]) -> Option<Answer> {
    error(question, [icmpv6::UNREACHABLE, PORT_UNREACHABLE], 0, datagram)
}

/// The error for a protocol that nobody serves: it points at the field that
/// named it.
pub(super) fn unknown_next_header(question: &Question<'_>) -> Option<Answer> {
    let header = Ipv6::new(question.datagram)?;
    let pointer = header.extensions().last().map_or(NEXT_HEADER_FIELD, |extension| extension.at);
    problem(question, UNKNOWN_NEXT_HEADER, pointer)
}

fn error(question: &Question<'_>, kind: [u8; 2], rest: u32, datagram: &[u8]) -> Option<Answer> {
    let IpAddr::V6(sender) = question.headers.src else { return None };
    if question.headers.dst.is_multicast() || sender.is_unspecified() || is_error(question) {
        return None;
    }
    let room = MAX_ERROR - ipv6::HEADER_LEN - icmpv6::HEADER_LEN;
    let mut payload = vec![0; icmpv6::HEADER_LEN];
    payload.extend_from_slice(&datagram[..datagram.len().min(room)]);
    let mut message = Icmpv6::new(&mut payload[..])?;
    message.set_kind(kind[0]);
    message.set_code(kind[1]);
    message.set_rest(rest);
    // Of all that the host says, only errors come from an anycast address. Linux: `icmp6_send`.
    let own = match question.world.addr_type(question.headers.dst, None) {
        AddrType::Anycast => question.headers.dst,
        _ => question.own,
    };
    Some(sealed(&Question { own, ..*question }, payload))
}

/// Whether the question is itself an error: those have types below 128.
fn is_error(question: &Question<'_>) -> bool {
    question.headers.proto == proto::ICMPV6
        && question.payload.first().is_none_or(|kind| kind & 0x80 == 0)
}

/// Everything but the type stays as it was.
fn echo_reply(question: &Question<'_>) -> Option<Answer> {
    let mut payload = question.payload.to_vec();
    Icmpv6::new(&mut payload[..])?.set_kind(icmpv6::ECHO_REPLY);
    let traffic_class = question.traffic_class();
    Some(Answer { traffic_class, ..sealed(question, payload) })
}

/// Answers a solicitation that was sent to the host alone. Those to its
/// solicited-node group never get here, because ports without ARP do not join.
fn advertisement(question: &Question<'_>) -> Option<Answer> {
    let target = question.payload.get(icmpv6::HEADER_LEN..)?.first_chunk::<16>()?;
    let asked = IpAddr::V6(Ipv6Addr::from(*target));
    let header = Ipv6::new(question.datagram)?;
    let on_link = header.hop_limit() == ON_LINK_HOP_LIMIT && question.payload[1] == 0;
    let own = question.world.primary_address(question.in_port, Family::V6) == Some(asked);
    if !on_link || !own || !question.to_host_alone || header.src().is_unspecified() {
        return None;
    }
    let mut payload = vec![0; icmpv6::HEADER_LEN];
    payload.extend_from_slice(target);
    let mut message = Icmpv6::new(&mut payload[..])?;
    message.set_kind(icmpv6::NEIGHBOUR_ADVERTISEMENT);
    message.set_rest(ROUTER_SOLICITED);
    let question = Question { own: asked, ..*question };
    Some(Answer { hop_limit: ON_LINK_HOP_LIMIT, ..sealed(&question, payload) })
}

/// The answer with its checksum filled in.
fn sealed(question: &Question<'_>, mut payload: Vec<u8>) -> Answer {
    if let Some(mut message) = Icmpv6::new(&mut payload[..]) {
        message.fill_checksum(question.own, question.headers.src);
    }
    question.answer(proto::ICMPV6, payload)
}
