//! Requests of every kind, in an order in which they build upon each other.

mod flows;
mod others;
mod refusals;

use std::net::IpAddr;

use tidegate_wire::netlink::conntrack::{
    Attribute, Filter, Help, NatPorts, NatRange, ProtoInfo, SctpInfo, SeqAdj, TcpInfo, message,
};
use tidegate_wire::netlink::frame::{Family, Flags, Header, Subsystem};
use tidegate_wire::netlink::tuple::Icmp;
use tidegate_wire::netlink::{Tuple, Writer, expect, tidegate, timeout};
use tidegate_wire::proto;

/// A request, and what it is in words.
pub(super) struct Request {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
}

/// That a client of the server wants to hear of these groups, as a shim says it.
pub(super) fn joining(groups: u32) -> Vec<u8> {
    let number = tidegate::message::MEMBERSHIP;
    build((Subsystem::Tidegate, number), Flags::empty(), 0, |writer| {
        tidegate::Attribute::Groups(groups).write(writer);
    })
}

/// All requests.
pub(super) fn all() -> Vec<Request> {
    let parts = [
        flows::creations(),
        flows::others(),
        refusals::all(),
        flows::looks(),
        flows::changes(),
        others::expectations(),
        others::timeouts(),
        flows::ends(),
    ];
    parts.into_iter().flatten().collect()
}

fn build(
    (subsystem, number): (Subsystem, u8),
    flags: Flags,
    family: u8,
    write: impl FnOnce(&mut Writer<'_>),
) -> Vec<u8> {
    let kind = Header::kind_of(subsystem, number);
    let header = Header { kind, flags: flags | Flags::REQUEST, seq: 9, pid: 0 };
    let mut bytes = Vec::new();
    let family = Family { family, ..Family::default() };
    Writer::new(&mut bytes).message(header, family, write);
    bytes
}

fn flow(what: &str, number: u8, flags: Flags, family: u8, attributes: &[Attribute<'_>]) -> Request {
    let bytes = build((Subsystem::Conntrack, number), flags | Flags::ACK, family, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    });
    Request { what: what.to_owned(), bytes }
}

const CREATE: Flags = Flags::CREATE.union(Flags::EXCL);
const NONE: Flags = Flags::empty();
const V4: u8 = Family::V4;
const V6: u8 = Family::V6;
/// Flags of a filter: source, protocol, destination port.
const SOURCE_AND_SERVICE: u32 = 0x29;

fn ends_of(family: u8) -> [Option<IpAddr>; 2] {
    let ends = if family == V4 { ["10.0.0.1", "10.0.0.2"] } else { ["fd00::1", "fd00::2"] };
    ends.map(|addr| addr.parse().ok())
}

fn tuple(family: u8, proto: u8, sport: u16, dport: u16) -> Tuple {
    let [src, dst] = ends_of(family);
    let ports = !matches!(proto, proto::ICMP | proto::ICMPV6 | 50);
    let [sport, dport] = [sport, dport].map(|port| ports.then_some(port));
    Tuple { src, dst, proto: Some(proto), sport, dport, ..Tuple::default() }
}

fn icmp(family: u8, kind: u8) -> Tuple {
    let is_v6 = family == V6;
    let icmp = Icmp { is_v6, id: Some(77), kind: Some(kind), code: Some(0) };
    let proto = if is_v6 { proto::ICMPV6 } else { proto::ICMP };
    Tuple { icmp: Some(icmp), ..tuple(family, proto, 0, 0) }
}

fn back(tuple: &Tuple) -> Tuple {
    let (src, dst, sport, dport) = (tuple.dst, tuple.src, tuple.dport, tuple.sport);
    let icmp = tuple.icmp.map(|icmp| Icmp { kind: icmp.kind.map(answer), ..icmp });
    Tuple { src, dst, sport, dport, icmp, ..tuple.clone() }
}

fn answer(kind: u8) -> u8 {
    if kind == 8 { 0 } else { kind + 1 }
}

fn both(tuple: Tuple) -> [Attribute<'static>; 2] {
    let reply = back(&tuple);
    [Attribute::Original(tuple), Attribute::Reply(reply)]
}

fn new(what: &str, family: u8, tuple: Tuple, more: &[Attribute<'_>]) -> Request {
    let [original, reply] = both(tuple);
    let first = [original, reply, Attribute::Timeout(600)];
    let all: Vec<_> = first.into_iter().chain(more.iter().cloned()).collect();
    flow(what, message::NEW, CREATE, family, &all)
}

fn tcp_state(state: u8, flags: Option<u16>, scales: Option<[u8; 2]>) -> Attribute<'static> {
    let tcp = TcpInfo {
        state: Some(state),
        scale_original: scales.map(|scales| scales[0]),
        scale_reply: scales.map(|scales| scales[1]),
        flags_original: flags,
        flags_reply: flags,
        unknown: Vec::new(),
    };
    Attribute::ProtoInfo(ProtoInfo { tcp: Some(tcp), ..ProtoInfo::default() })
}

fn range(addr: &str, ports: Option<u16>) -> NatRange {
    let first = addr.parse().ok();
    let ports =
        ports.map(|port| NatPorts { first: Some(port), last: Some(port), unknown: Vec::new() });
    NatRange { first, last: None, ports, unknown: Vec::new() }
}

fn help(name: &'static str) -> Attribute<'static> {
    Attribute::Help(Help { name: Some(name.as_bytes()), unknown: Vec::new() })
}

fn shift() -> SeqAdj {
    SeqAdj { position: Some(5), before: Some(1), after: Some(2), unknown: Vec::new() }
}
