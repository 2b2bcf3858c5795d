//! Requests of every kind, in an order in which they build upon each other.

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
    let parts = [creations(), refusals(), looks(), changes(), expectations(), timeouts(), ends()];
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

fn creations() -> Vec<Request> {
    let udp = |sport| tuple(V4, proto::UDP, sport, 53);
    let tcp = |sport| tuple(V4, proto::TCP, sport, 80);
    let sctp =
        SctpInfo { state: Some(4), tag_original: Some(7), tag_reply: Some(8), unknown: Vec::new() };
    let sctp = Attribute::ProtoInfo(ProtoInfo { sctp: Some(sctp), ..ProtoInfo::default() });
    let in_zone = |sport, zone| Tuple { zone: Some(zone), ..udp(sport) };
    let status = Attribute::Status(0xe);
    let control = tuple(V4, proto::TCP, 1, 21);
    vec![
        new("a UDP flow", V4, udp(1), &[]),
        new("one that is assured and marked", V4, udp(2), &[status.clone(), Attribute::Mark(9)]),
        new("one in a zone", V4, udp(3), &[Attribute::Zone(5)]),
        flow(
            "one in a zone of one direction",
            message::NEW,
            CREATE,
            V4,
            &[
                Attribute::Original(in_zone(4, 6)),
                Attribute::Reply(back(&udp(4))),
                Attribute::Timeout(600),
            ],
        ),
        new("one of IPv6", V6, tuple(V6, proto::UDP, 1, 53), &[]),
        new("one with a fixed timeout", V4, udp(5), &[Attribute::Status(0x408)]),
        new(
            "one whose source is mapped",
            V4,
            udp(6),
            &[Attribute::NatSource(range("192.0.2.1", None))],
        ),
        new("one with ports", V4, udp(7), &[Attribute::NatSource(range("192.0.2.1", Some(777)))]),
        new(
            "one whose destination is mapped",
            V4,
            udp(8),
            &[Attribute::NatDestination(range("192.0.2.2", Some(99)))],
        ),
        new(
            "one of IPv6 whose source is mapped",
            V6,
            tuple(V6, proto::UDP, 2, 53),
            &[Attribute::NatSource(range("2001:db8::7", None))],
        ),
        new("a TCP connection", V4, tcp(1), &[tcp_state(3, None, None), status.clone()]),
        new("one with scales", V4, tcp(2), &[tcp_state(3, Some(0x0f0f), Some([7, 9]))]),
        new(
            "one with scales that weren't announced",
            V4,
            tcp(3),
            &[tcp_state(3, None, Some([7, 9]))],
        ),
        new("one in a state of its own", V4, tcp(4), &[tcp_state(9, None, None)]),
        new("one without a state", V4, tcp(5), &[]),
        new("an association", V4, tuple(V4, proto::SCTP, 1, 2), &[sctp]),
        new("a tunnel", V4, tuple(V4, proto::GRE, 5, 6), &[]),
        new("UDP-Lite", V4, tuple(V4, proto::UDPLITE, 1, 2), &[]),
        new("an echo", V4, icmp(V4, 8), &[]),
        new("an echo of IPv6", V6, icmp(V6, 128), &[]),
        new("a protocol without a tracker", V4, tuple(V4, 50, 0, 0), &[]),
        new("one with corrected numbers", V4, tcp(6), &[Attribute::SeqAdjOriginal(shift())]),
        new("one with a helper", V4, control.clone(), &[help("ftp")]),
        new("its child", V4, tcp(7), &[Attribute::Master(control)]),
        new("one that lives long", V4, udp(9), &[Attribute::Timeout(u32::MAX)]),
    ]
}

fn refusals() -> Vec<Request> {
    let udp = tuple(V4, proto::UDP, 99, 53);
    let [original, reply] = both(udp.clone());
    let timeout = Attribute::Timeout(60);
    let half =
        |attributes: &[Attribute<'_>], what| flow(what, message::NEW, CREATE, V4, attributes);
    let other_reply = Attribute::Reply(tuple(V4, proto::TCP, 1, 2));
    let no_port = Attribute::Original(Tuple { sport: None, ..udp.clone() });
    let no_source = Attribute::Original(Tuple { src: None, ..udp.clone() });
    let no_proto = Attribute::Original(Tuple { proto: None, ..udp.clone() });
    let taken = tuple(V4, proto::UDP, 1, 53);
    let short_mark = [0x06, 0, 8, 0, 1, 2, 0, 0];
    vec![
        half(&[original.clone(), reply.clone()], "no timeout"),
        half(&[original.clone(), timeout.clone()], "no reply"),
        half(&[reply.clone(), timeout.clone()], "no original"),
        half(&[timeout.clone()], "no tuple"),
        half(&[original.clone(), other_reply, timeout.clone()], "two protocols"),
        half(&[no_port, reply.clone(), timeout.clone()], "no port"),
        half(&[no_source, reply.clone(), timeout.clone()], "no source"),
        half(&[no_proto, reply.clone(), timeout.clone()], "no protocol"),
        new("an error of ICMP", V4, icmp(V4, 3), &[]),
        new("not confirmed", V4, udp.clone(), &[Attribute::Status(4)]),
        new("dying", V4, udp.clone(), &[Attribute::Status(0x208)]),
        new("expected", V4, udp.clone(), &[Attribute::Status(9)]),
        new("translated by decree", V4, tuple(V4, proto::UDP, 98, 53), &[Attribute::Status(0x18)]),
        new("a helper that isn't", V4, udp.clone(), &[help("nobody")]),
        new("a helper of another protocol", V4, udp.clone(), &[help("ftp")]),
        new("no such master", V4, udp.clone(), &[Attribute::Master(udp.clone())]),
        new("a zone for each direction", V4, Tuple { zone: Some(6), ..udp.clone() }, &[]),
        new("two zones", V4, Tuple { zone: Some(6), ..udp.clone() }, &[Attribute::Zone(5)]),
        new("a tuple that is taken", V4, taken.clone(), &[]),
        new("taken from the other end", V4, back(&taken), &[]),
        new("no family", Family::ANY, udp.clone(), &[]),
        new("another family", V6, udp.clone(), &[]),
        new("a state that isn't", V4, tuple(V4, proto::TCP, 97, 1), &[tcp_state(17, None, None)]),
        new(
            "half a correction",
            V4,
            tuple(V4, proto::TCP, 96, 1),
            &[Attribute::SeqAdjReply(SeqAdj::default())],
        ),
        half_attribute("a mark that is too short", &short_mark),
        Request {
            what: "a number that isn't".to_owned(),
            bytes: build((Subsystem::Conntrack, 66), Flags::ACK, V4, |_| {}),
        },
    ]
}

/// A request to change a flow, with an attribute as bytes.
fn half_attribute(what: &str, attribute: &[u8]) -> Request {
    let mut bytes = flow(what, message::NEW, NONE, V4, &[]).bytes;
    bytes.extend_from_slice(attribute);
    let len = bytes.len() as u32;
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    Request { what: what.to_owned(), bytes }
}

fn looks() -> Vec<Request> {
    let udp = |sport| tuple(V4, proto::UDP, sport, 53);
    let dump = |what: &str, family, attributes: &[Attribute<'_>]| {
        flow(what, message::GET, Flags::DUMP, family, attributes)
    };
    let get = |what: &str, family, attributes: &[Attribute<'_>]| {
        flow(what, message::GET, NONE, family, attributes)
    };
    let [original, reply] = both(udp(1));
    let filter =
        Attribute::Filter(Filter { original: Some(SOURCE_AND_SERVICE), ..Filter::default() });
    let odd = Attribute::Filter(Filter { original: Some(1 << 20), ..Filter::default() });
    let ports_only = Attribute::Filter(Filter { original: Some(0x10), ..Filter::default() });
    vec![
        dump("all", Family::ANY, &[]),
        dump("all of a family", V6, &[]),
        dump("of a mark", Family::ANY, &[Attribute::Mark(9)]),
        dump("of a part of a mark", Family::ANY, &[Attribute::Mark(1), Attribute::MarkMask(1)]),
        dump("of a status", Family::ANY, &[Attribute::Status(4)]),
        dump("of no status", Family::ANY, &[Attribute::Status(0)]),
        dump("of a zone", Family::ANY, &[Attribute::Zone(5)]),
        dump("of a source and a service", V4, &[original.clone(), filter.clone()]),
        dump("of a source without a family", Family::ANY, &[original.clone(), filter.clone()]),
        dump("of a source that isn't said", V4, &[filter]),
        dump("of a part that isn't", V4, &[original.clone(), odd]),
        dump("of a port of no protocol", V4, &[original.clone(), ports_only]),
        dump("a mask alone", Family::ANY, &[Attribute::MarkMask(1)]),
        dump("a mask alone, of a family", V4, &[Attribute::MarkMask(1)]),
        get("one", V4, &[original.clone()]),
        get("by its reply", V4, &[reply]),
        get("a master", V4, &[Attribute::Original(tuple(V4, proto::TCP, 1, 21))]),
        get("one in a zone", V4, &[Attribute::Original(udp(3)), Attribute::Zone(5)]),
        get("one in another zone", V4, &[Attribute::Original(udp(3)), Attribute::Zone(6)]),
        get("nobody", V4, &[Attribute::Original(udp(1234))]),
        get("nobody in particular", V4, &[]),
        get("whose?", Family::ANY, &[original]),
        flow("dying ones", message::GET_DYING, Flags::DUMP, Family::ANY, &[]),
        flow("unconfirmed ones", message::GET_UNCONFIRMED, Flags::DUMP, Family::ANY, &[]),
        flow("a dying one", message::GET_DYING, NONE, Family::ANY, &[]),
        flow("how many", message::GET_STATS, NONE, Family::ANY, &[]),
        flow("all, and their counters to zero", message::GET_CTRZERO, Flags::DUMP, V6, &[]),
    ]
}

fn changes() -> Vec<Request> {
    let of = |tuple: Tuple, attributes: &[Attribute<'_>], what: &str| {
        let all: Vec<_> =
            [Attribute::Original(tuple)].into_iter().chain(attributes.iter().cloned()).collect();
        flow(what, message::NEW, NONE, V4, &all)
    };
    let udp = |sport| tuple(V4, proto::UDP, sport, 53);
    let tcp = |sport| tuple(V4, proto::TCP, sport, 80);
    let control = || tuple(V4, proto::TCP, 1, 21);
    vec![
        of(udp(1), &[Attribute::Mark(7)], "a mark"),
        of(udp(1), &[Attribute::Mark(0x10), Attribute::MarkMask(0xf0)], "a part of a mark"),
        of(udp(1), &[Attribute::Timeout(300)], "a timeout"),
        of(udp(5), &[Attribute::Timeout(300)], "a fixed timeout"),
        of(udp(1), &[Attribute::Status(0xa)], "answered"),
        of(udp(1), &[Attribute::Status(8)], "not answered after all"),
        of(udp(1), &[Attribute::Status(2)], "not confirmed"),
        of(udp(1), &[Attribute::NatSource(range("192.0.2.1", None))], "a mapping"),
        of(udp(1), &[Attribute::Master(control())], "a master"),
        of(udp(1), &[help("ftp")], "a helper of another protocol"),
        of(tcp(1), &[help("ftp")], "a helper, too late"),
        of(tcp(1), &[help("")], "no helper where there is none"),
        of(tcp(7), &[help("")], "no helper for a child"),
        of(control(), &[help("ftp")], "the same helper"),
        of(control(), &[help("irc")], "another helper"),
        of(tcp(1), &[tcp_state(7, None, None)], "a state"),
        of(tcp(1), &[tcp_state(7, Some(0x0303), Some([1, 2]))], "flags and scales"),
        of(tcp(6), &[Attribute::SeqAdjReply(shift())], "a correction"),
        of(tcp(1), &[Attribute::SeqAdjReply(shift())], "a correction that isn't taken"),
        of(udp(4321), &[Attribute::Mark(7)], "nobody's mark"),
    ]
}

fn expectation(
    what: &str,
    number: u8,
    flags: Flags,
    family: u8,
    attributes: &[expect::Attribute<'_>],
) -> Request {
    let bytes = build((Subsystem::Expect, number), flags | Flags::ACK, family, |writer| {
        attributes.iter().for_each(|attribute| attribute.write(writer));
    });
    Request { what: what.to_owned(), bytes }
}

fn expectations() -> Vec<Request> {
    use expect::Attribute as E;
    use expect::message as m;
    let expected = back(&tuple(V4, proto::TCP, 999, 0));
    let mask = Tuple {
        src: "255.255.255.255".parse().ok(),
        dst: "255.255.255.255".parse().ok(),
        sport: Some(0),
        dport: Some(0xffff),
        ..expected.clone()
    };
    let control = tuple(V4, proto::TCP, 1, 21);
    let plain = tuple(V4, proto::TCP, 1, 80);
    let all = |master: &Tuple, more: &[E<'static>]| -> Vec<E<'static>> {
        let first = [E::Tuple(expected.clone()), E::Mask(mask.clone()), E::Master(master.clone())];
        first.into_iter().chain(more.iter().cloned()).collect()
    };
    let create =
        |what: &str, attributes: &[E<'_>]| expectation(what, m::NEW, CREATE, V4, attributes);
    let named = [E::Tuple(expected.clone())];
    vec![
        create("half an expectation", &all(&control, &[])[..2]),
        create("of a master that isn't", &all(&tuple(V4, proto::TCP, 321, 1), &[])),
        create("of a master without a helper", &all(&plain, &[])),
        create("of no class", &all(&control, &[E::Class(3)])),
        create("of no function", &all(&control, &[E::Function(b"x")])),
        create("an expectation", &all(&control, &[E::Flags(1)])),
        create("again", &all(&control, &[])),
        expectation("all expected", m::GET, Flags::DUMP, Family::ANY, &[]),
        expectation("those of IPv6", m::GET, Flags::DUMP, V6, &[]),
        expectation("those of a master", m::GET, Flags::DUMP, V4, &[E::Master(control)]),
        expectation("one expected", m::GET, NONE, V4, &named),
        expectation("nobody expected", m::GET, NONE, V4, &[E::Tuple(plain.clone())]),
        expectation("none named", m::GET, NONE, V4, &[]),
        expectation("withdrawn", m::DELETE, NONE, V4, &named),
        expectation("withdrawn twice", m::DELETE, NONE, V4, &named),
        expectation("none left", m::DELETE, NONE, V4, &[]),
    ]
}

fn timeouts() -> Vec<Request> {
    use timeout::Attribute as T;
    use timeout::message as m;
    let request = |what: &str, number, flags, attributes: &[T<'_>]| {
        let bytes = build((Subsystem::Timeout, number), flags | Flags::ACK, 0, |writer| {
            attributes.iter().for_each(|attribute| attribute.write(writer));
        });
        Request { what: what.to_owned(), bytes }
    };
    let of = |proto: u8, timeouts: Vec<(u16, u32)>| {
        vec![T::Name(b"long"), T::Network(2), T::Proto(proto), T::Timeouts(timeouts)]
    };
    let udp = || of(proto::UDP, vec![(2, 77)]);
    let default = |proto: u8| {
        let what = format!("everybody's timeouts of {proto}");
        request(&what, m::DEFAULT_GET, NONE, &[T::Network(2), T::Proto(proto)])
    };
    let protocols = [proto::TCP, proto::UDP, proto::UDPLITE, proto::ICMP, proto::ICMPV6, 255, 50];
    let defaults = protocols.into_iter().map(default);
    let named = [
        request("half a policy", m::NEW, CREATE, &udp()[..3]),
        request("a policy", m::NEW, CREATE, &udp()),
        request("a policy that there is", m::NEW, CREATE, &udp()),
        request("one that may stay", m::NEW, Flags::CREATE, &udp()),
        request("one in its place", m::NEW, Flags::CREATE | Flags::REPLACE, &udp()),
        request("one of another kind", m::NEW, Flags::REPLACE, &of(proto::TCP, vec![(1, 5)])),
        request("one of no protocol", m::NEW, CREATE, &of(50, vec![(1, 5)])[1..]),
        request("all policies", m::GET, Flags::DUMP, &[]),
        request("that policy", m::GET, NONE, &[T::Name(b"long")]),
        request("another policy", m::GET, NONE, &[T::Name(b"short")]),
        request("no policy", m::GET, NONE, &[]),
        request("another policy goes", m::DELETE, NONE, &[T::Name(b"short")]),
        request("that policy goes", m::DELETE, NONE, &[T::Name(b"long")]),
        request("all policies go", m::DELETE, NONE, &[]),
        request("nobody's timeouts", m::DEFAULT_SET, NONE, &[]),
    ];
    named.into_iter().chain(defaults).collect()
}

fn ends() -> Vec<Request> {
    let delete = |what: &str, family, attributes: &[Attribute<'_>]| {
        flow(what, message::DELETE, NONE, family, attributes)
    };
    let udp = |sport| Attribute::Original(tuple(V4, proto::UDP, sport, 53));
    let icmp_reply = Attribute::Reply(back(&icmp(V4, 8)));
    vec![
        delete("one goes", V4, &[udp(1)]),
        delete("again", V4, &[udp(1)]),
        delete("another flow of its tuple", V4, &[udp(2), Attribute::Id(1)]),
        delete("by its reply", V4, &[icmp_reply]),
        delete("a connection", V4, &[Attribute::Original(tuple(V4, proto::TCP, 1, 80))]),
        delete("an association", V4, &[Attribute::Original(tuple(V4, proto::SCTP, 1, 2))]),
        delete("those of a mark", Family::ANY, &[Attribute::Mark(9)]),
        delete("those of no status", Family::ANY, &[Attribute::Status(0)]),
        delete("a family, not meant", V6, &[]),
        flow("nobody is left", message::GET, Flags::DUMP, Family::ANY, &[]),
        flow("none is left", message::GET_STATS, NONE, Family::ANY, &[]),
    ]
}
