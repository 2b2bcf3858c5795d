//! Flows: made, looked at, changed, deleted.

use super::*;

pub(super) fn creations() -> Vec<Request> {
    let udp = |sport| tuple(V4, proto::UDP, sport, 53);
    let in_zone = |sport, zone| Tuple { zone: Some(zone), ..udp(sport) };
    let status = Attribute::Status(0xe);
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
    ]
}

/// Connections, and what is neither UDP nor TCP.
pub(super) fn others() -> Vec<Request> {
    let udp = |sport| tuple(V4, proto::UDP, sport, 53);
    let tcp = |sport| tuple(V4, proto::TCP, sport, 80);
    let sctp =
        SctpInfo { state: Some(4), tag_original: Some(7), tag_reply: Some(8), unknown: Vec::new() };
    let sctp = Attribute::ProtoInfo(ProtoInfo { sctp: Some(sctp), ..ProtoInfo::default() });
    let status = Attribute::Status(0xe);
    let control = tuple(V4, proto::TCP, 1, 21);
    vec![
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

pub(super) fn looks() -> Vec<Request> {
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
        get("one", V4, std::slice::from_ref(&original)),
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

pub(super) fn changes() -> Vec<Request> {
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

pub(super) fn ends() -> Vec<Request> {
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
