//! Every match by rows of packets.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use super::super::ast::{
    AddressRange, AddressTypes, AddrtypeMatch, ConntrackMatch, CtAddresses, CtDirection, CtPorts,
    CtStates, CtStatus, Fragment, IcmpPattern, Interface, IprangeMatch, LimitIface, LimitMatch,
    MarkPattern, Match, Multiport, Network, PortRange, PortSide, Protocol, Rule, SecondsRange,
    Spec, Target, TcpFlagTest, TcpFlags, TcpMatch, Term, UdpMatch,
};
use super::super::eval::scene::{
    CLIENT, SERVER, Scene, is, not, protocol, query, rule, spec_rule, tcp, udp, v4, v4_addr,
    v4_fragment, v6,
};
use super::Fit::{self, Fails, Holds, Unreadable};
use crate::flow::Status;
use crate::packet::CtInfo;
use crate::time::Instant;
use crate::tuple::Direction::{Original, Reply};

fn network(address: &str, mask: &str) -> Network {
    Network { address: address.parse().unwrap(), mask: mask.parse().unwrap() }
}

fn interface(text: &str) -> Interface {
    let name = text.trim_end_matches('+');
    Interface { name: name.into(), wildcard: name != text }
}

fn ports(first: u16, last: u16) -> PortRange {
    PortRange { first, last }
}

/// A rule about one protocol and a match on it.
fn on(number: u8, condition: Match) -> Rule {
    Rule { spec: protocol(number), ..rule(vec![condition], Target::None) }
}

#[test]
fn addresses_interfaces_and_fragments() {
    let source = |term| Spec { source: Some(term), ..Spec::default() };
    let destination = |term| Spec { destination: Some(term), ..Spec::default() };
    let input = |term| Spec { in_interface: Some(term), ..Spec::default() };
    let output = |term| Spec { out_interface: Some(term), ..Spec::default() };
    let lan = || network("10.0.0.0", "255.255.255.0");
    let rows: [(&str, Spec, Fit); 18] = [
        ("source in the network", source(is(lan())), Holds),
        ("not in it", source(not(lan())), Fails),
        ("destination outside", destination(is(lan())), Fails),
        ("destination not in it", destination(not(lan())), Holds),
        ("a mask with holes", source(is(network("0.0.0.2", "0.0.0.255"))), Holds),
        ("no address is outside everything", source(not(network("0.0.0.0", "0.0.0.0"))), Fails),
        ("the interface by name", input(is(interface("lan0"))), Holds),
        ("a name that only begins so", input(is(interface("lan"))), Fails),
        ("a longer name", input(is(interface("lan00"))), Fails),
        ("a prefix", input(is(interface("la+"))), Holds),
        ("the whole name as prefix", input(is(interface("lan0+"))), Holds),
        ("a longer prefix", input(is(interface("lan00+"))), Fails),
        ("another interface", input(not(interface("wan0"))), Holds),
        ("nothing is outside +", input(not(interface("+"))), Fails),
        ("the outgoing one", output(is(interface("wan0"))), Holds),
        ("no fragment", Spec { fragment: Some(Fragment::Later), ..Spec::default() }, Fails),
        ("whole", Spec { fragment: Some(Fragment::FirstOrWhole), ..Spec::default() }, Holds),
        ("another protocol", protocol(6), Fails),
    ];
    for (what, spec, expected) in rows {
        assert_eq!(query(1, 2).fit(spec_rule(spec, Target::None)), expected, "{what}");
    }
}

#[test]
fn an_interface_that_is_not_known_has_the_empty_name() {
    let rows = [
        ("by name", is(interface("lan0")), Fails),
        ("not by name", not(interface("lan0")), Holds),
        ("a prefix", is(interface("l+")), Fails),
    ];
    for (what, term, expected) in rows {
        let mut scene = query(1, 2);
        scene.in_port = None;
        let spec = Spec { in_interface: Some(term), ..Spec::default() };
        assert_eq!(scene.fit(spec_rule(spec, Target::None)), expected, "{what}");
    }
}

#[test]
fn later_fragments() {
    let rows: [(&str, u16, Rule, Fit); 8] = [
        (
            "-f sees it",
            16,
            spec_rule(Spec { fragment: Some(Fragment::Later), ..Spec::default() }, Target::None),
            Holds,
        ),
        ("-p sees it", 16, spec_rule(protocol(6), Target::None), Holds),
        ("tcp never does", 16, on(6, Match::Tcp(TcpMatch::default())), Fails),
        ("tcp at offset 8 is an attack", 8, on(6, Match::Tcp(TcpMatch::default())), Unreadable),
        ("multiport doesn't", 8, on(6, multiport(PortSide::Either, &[ports(0, 65535)])), Fails),
        (
            "nor negated",
            16,
            on(6, Match::Multiport(not(Multiport { side: PortSide::Either, ports: vec![] }))),
            Fails,
        ),
        (
            "-f doesn't see the first",
            0,
            {
                let spec = Spec { fragment: Some(Fragment::Later), ..Spec::default() };
                spec_rule(spec, Target::None)
            },
            Fails,
        ),
        ("tcp does", 0, on(6, Match::Tcp(TcpMatch::default())), Holds),
    ];
    for (what, offset, rule, expected) in rows {
        let mut scene = Scene::of(v4_fragment(offset, 6, &tcp(1, 2, 0, &[0; 4])));
        assert_eq!(scene.fit(rule), expected, "{what}");
    }
}

fn multiport(side: PortSide, ports: &[PortRange]) -> Match {
    Match::Multiport(is(Multiport { side, ports: ports.to_vec() }))
}

#[test]
fn packets_too_short_for_the_header_they_should_have_are_dropped() {
    let icmp = Match::Icmp(is(IcmpPattern::Any));
    let rows: [(&str, u8, usize, Match, Fit); 8] = [
        ("tcp, a byte short", 6, 19, Match::Tcp(TcpMatch::default()), Unreadable),
        ("tcp, just enough", 6, 20, Match::Tcp(TcpMatch::default()), Holds),
        ("udp, a byte short", 17, 7, Match::Udp(UdpMatch::default()), Unreadable),
        ("udp, just enough", 17, 8, Match::Udp(UdpMatch::default()), Holds),
        ("icmp, a byte short", 1, 7, icmp.clone(), Unreadable),
        ("icmp, just enough", 1, 8, icmp, Holds),
        ("ports, a byte short", 6, 3, multiport(PortSide::Either, &[ports(0, 9)]), Unreadable),
        ("ports, just enough", 6, 4, multiport(PortSide::Either, &[ports(0, 9)]), Holds),
    ];
    for (what, number, len, condition, expected) in rows {
        let mut scene = Scene::of(v4(CLIENT, SERVER, number, &[0; 64][..len]));
        assert_eq!(scene.fit(on(number, condition)), expected, "{what}");
    }
}

#[test]
fn padding_behind_the_datagram_is_not_looked_at() {
    let mut bytes = v4(CLIENT, SERVER, 17, &[0; 4]);
    bytes.extend([0; 22]);
    let mut scene = Scene::of(bytes);
    assert_eq!(scene.fit(on(17, Match::Udp(UdpMatch::default()))), Unreadable);
}

#[test]
fn tcp_ports_flags_and_options() {
    let port = |source, destination| TcpMatch { source, destination, ..TcpMatch::default() };
    let flags = |term: Term<TcpFlagTest>| TcpMatch { flags: Some(term), ..TcpMatch::default() };
    let option = |term| TcpMatch { option: Some(term), ..TcpMatch::default() };
    let handshake = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN;
    let syn = TcpFlagTest { mask: handshake, set: TcpFlags::SYN };
    let never = TcpFlagTest { mask: TcpFlags::ACK, set: TcpFlags::SYN };
    let rows: [(&str, TcpMatch, Fit); 15] = [
        ("both ports", port(Some(is(ports(1000, 1000))), Some(is(ports(80, 90)))), Holds),
        ("one of them differs", port(Some(is(ports(1000, 1000))), Some(is(ports(1, 79)))), Fails),
        ("negated", port(Some(not(ports(1001, 2000))), None), Holds),
        ("an empty range", port(Some(is(ports(2000, 1))), None), Fails),
        ("--syn", flags(is(syn)), Holds),
        ("! --syn", flags(not(syn)), Fails),
        ("flags that can't be", flags(is(never)), Fails),
        ("MSS is there", option(is(2)), Holds),
        ("the second option", option(is(4)), Holds),
        ("its data is not an option", option(is(5)), Fails),
        ("behind the end of the list", option(is(99)), Holds),
        ("behind a length of zero", option(is(77)), Holds),
        ("absent", option(not(3)), Holds),
        ("present, negated", option(not(2)), Fails),
        ("a padding byte", option(is(1)), Holds),
    ];
    let options = [2, 4, 5, 180, 1, 4, 2, 0, 99, 0, 77, 0];
    for (what, wanted, expected) in rows {
        let mut scene = Scene::of(v4(CLIENT, SERVER, 6, &tcp(1000, 85, 0x02, &options)));
        assert_eq!(scene.fit(on(6, Match::Tcp(wanted))), expected, "{what}");
    }
}

#[test]
fn tcp_options_that_are_not_there() {
    let option = Match::Tcp(TcpMatch { option: Some(is(2)), ..TcpMatch::default() });
    let mut bare = tcp(1, 2, 0, &[]);
    let rows: [(&str, u8, Fit); 3] = [
        ("no options", 5, Fails),
        ("a header length below the least", 4, Unreadable),
        ("a header length beyond the packet", 6, Unreadable),
    ];
    for (what, words, expected) in rows {
        bare[12] = words << 4;
        let mut scene = Scene::of(v4(CLIENT, SERVER, 6, &bare));
        assert_eq!(scene.fit(on(6, option.clone())), expected, "{what}");
    }
    let other =
        TcpMatch { source: Some(is(ports(9, 9))), option: Some(is(2)), ..TcpMatch::default() };
    bare[12] = 0x60;
    let mut scene = Scene::of(v4(CLIENT, SERVER, 6, &bare));
    assert_eq!(scene.fit(on(6, Match::Tcp(other))), Fails, "ports are looked at first");
}

#[test]
fn udp_and_multiport() {
    let udp = |source, destination| Match::Udp(UdpMatch { source, destination });
    let list = [ports(53, 53), ports(5000, 5010)];
    let rows: [(&str, Match, Fit); 8] = [
        ("udp destination", udp(None, Some(is(ports(53, 53)))), Holds),
        ("udp both, one negated", udp(Some(not(ports(5005, 5005))), None), Fails),
        ("destination in the list", multiport(PortSide::Destination, &list), Holds),
        ("source in a range", multiport(PortSide::Source, &list), Holds),
        ("source not in the list", multiport(PortSide::Source, &list[..1]), Fails),
        ("either", multiport(PortSide::Either, &list[1..]), Holds),
        ("neither", multiport(PortSide::Either, &[ports(54, 4999)]), Fails),
        (
            "negated",
            Match::Multiport(not(Multiport { side: PortSide::Source, ports: list.to_vec() })),
            Fails,
        ),
    ];
    for (what, condition, expected) in rows {
        assert_eq!(query(5005, 53).fit(on(17, condition)), expected, "{what}");
    }
}

#[test]
fn icmp_types_and_codes() {
    let rows: [(&str, Term<IcmpPattern>, Fit, Fit); 8] = [
        ("any", is(IcmpPattern::Any), Holds, Holds),
        ("not any", not(IcmpPattern::Any), Fails, Fails),
        ("the type", is(IcmpPattern::Type(3)), Holds, Holds),
        ("another type", is(IcmpPattern::Type(8)), Fails, Fails),
        ("not another type", not(IcmpPattern::Type(8)), Holds, Holds),
        ("type and code", is(IcmpPattern::TypeCode(3, 4)), Holds, Holds),
        ("another code", is(IcmpPattern::TypeCode(3, 3)), Fails, Fails),
        ("255 is every type of IPv4, one of IPv6", is(IcmpPattern::Type(255)), Holds, Fails),
    ];
    let message = [3, 4, 0, 0, 0, 0, 0, 0];
    for (what, term, in_v4, in_v6) in rows {
        let mut scene = Scene::of(v4(CLIENT, SERVER, 1, &message));
        assert_eq!(scene.fit(on(1, Match::Icmp(term))), in_v4, "{what}, IPv4");
        let mut scene = Scene::of(v6(2, 3, 58, &message));
        assert_eq!(scene.fit(on(58, Match::Icmp6(term))), in_v6, "{what}, IPv6");
    }
}

#[test]
fn the_protocol_of_ipv6_lies_behind_the_extension_headers() {
    let options: [u8; 8] = [17, 0, 1, 4, 0, 0, 0, 0];
    let chain = |last: &[u8]| [&options[..], last].concat();
    let fragment = |next: u8| vec![next, 0, 0, 16, 0, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9];
    let rows: [(&str, Vec<u8>, u8, Fit); 9] = [
        ("udp", v6(2, 3, 17, &udp(1, 2)), 17, Holds),
        ("udp behind options", v6(2, 3, 60, &chain(&udp(1, 2))), 17, Holds),
        ("the options aren't it", v6(2, 3, 60, &chain(&udp(1, 2))), 60, Fails),
        ("no next header", v6(2, 3, 59, &[]), 59, Holds),
        ("a later fragment of udp", v6(2, 3, 44, &fragment(17)), 17, Holds),
        ("a later fragment of options", v6(2, 3, 44, &fragment(60)), 60, Unreadable),
        ("options cut short", v6(2, 3, 60, &[17]), 17, Unreadable),
        ("options that lead out", v6(2, 3, 60, &[17, 1, 0, 0, 0, 0, 0, 0]), 17, Holds),
        ("another protocol", v6(2, 3, 17, &udp(1, 2)), 6, Fails),
    ];
    for (what, bytes, number, expected) in rows {
        let mut scene = Scene::of(bytes);
        assert_eq!(scene.fit(spec_rule(protocol(number), Target::None)), expected, "{what}");
    }
    let mut scene = Scene::of(v6(2, 3, 60, &[17]));
    let anything = spec_rule(Spec::default(), Target::None);
    assert_eq!(scene.fit(anything), Holds, "a rule that doesn't ask for it sees the packet");
}

#[test]
fn states() {
    let flow = |info, status| query(1, 2).tracked(info, status, 30);
    let untracked = || Scene { info: CtInfo::Untracked, ..query(1, 2) };
    let established = CtInfo::Established(Original);
    let rows: [(&str, Scene, Term<CtStates>, Fit); 12] = [
        ("no flow", query(1, 2), is(CtStates::INVALID), Holds),
        ("no flow is not new", query(1, 2), not(CtStates::NEW), Holds),
        ("untracked", untracked(), is(CtStates::UNTRACKED | CtStates::NEW), Holds),
        ("untracked is not invalid", untracked(), is(CtStates::INVALID), Fails),
        ("new", flow(CtInfo::New, Status::empty()), is(CtStates::NEW), Holds),
        ("established", flow(established, Status::CONFIRMED), is(CtStates::ESTABLISHED), Holds),
        (
            "related reply",
            flow(CtInfo::Related(Reply), Status::CONFIRMED),
            is(CtStates::RELATED),
            Holds,
        ),
        (
            "among several",
            flow(established, Status::CONFIRMED),
            is(CtStates::NEW | CtStates::ESTABLISHED),
            Holds,
        ),
        (
            "none of several",
            flow(established, Status::CONFIRMED),
            not(CtStates::NEW | CtStates::RELATED),
            Holds,
        ),
        ("source translated", flow(established, Status::SRC_NAT), is(CtStates::SNAT), Holds),
        (
            "which is not the destination",
            flow(established, Status::SRC_NAT),
            is(CtStates::DNAT),
            Fails,
        ),
        ("destination translated", flow(CtInfo::New, Status::DST_NAT), is(CtStates::DNAT), Holds),
    ];
    for (what, mut scene, term, expected) in rows {
        let alone = ConntrackMatch { state: Some(term), ..ConntrackMatch::default() };
        let any = CtAddresses {
            original_source: Some(is(network("0.0.0.0", "0.0.0.0"))),
            ..CtAddresses::default()
        };
        assert_eq!(scene.matches(Match::State(term)), expected, "{what}: state");
        assert_eq!(scene.matches(Match::Conntrack(alone)), expected, "{what}: conntrack");
        let more = ConntrackMatch { addresses: any, ..alone };
        assert_eq!(scene.matches(Match::Conntrack(more)), expected, "{what}: and more");
    }
}

#[test]
fn without_a_flow_conntrack_asks_for_the_state_alone() {
    let elsewhere = CtAddresses {
        original_source: Some(is(network("9.9.9.9", "255.255.255.255"))),
        ..CtAddresses::default()
    };
    let state = Some(is(CtStates::INVALID));
    let rows: [(&str, ConntrackMatch, Fit); 4] = [
        (
            "a state that fits and an address that doesn't",
            ConntrackMatch { state, addresses: elsewhere, ..ConntrackMatch::default() },
            Holds,
        ),
        (
            "an address alone",
            ConntrackMatch { addresses: elsewhere, ..ConntrackMatch::default() },
            Fails,
        ),
        (
            "a negated protocol alone",
            ConntrackMatch { protocol: Some(not(Protocol(6))), ..ConntrackMatch::default() },
            Fails,
        ),
        (
            "a direction alone",
            ConntrackMatch { direction: Some(CtDirection::Reply), ..ConntrackMatch::default() },
            Fails,
        ),
    ];
    for (what, wanted, expected) in rows {
        assert_eq!(query(1, 2).matches(Match::Conntrack(wanted)), expected, "{what}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a literal table")]
fn conntrack_on_a_translated_flow() {
    let at = |text: &str| Some(is(network(text, "255.255.255.255")));
    let base = ConntrackMatch::default;
    let addresses = |addresses| ConntrackMatch { addresses, ..base() };
    let ports = |ports| ConntrackMatch { ports, ..base() };
    let status = |term| ConntrackMatch { status: Some(term), ..base() };
    let none = CtAddresses::default;
    let any = CtPorts::default;
    let port = |first, last| Some(is(PortRange { first, last }));
    let rows: [(&str, ConntrackMatch, Fit); 20] = [
        (
            "original source",
            addresses(CtAddresses { original_source: at("10.0.0.2"), ..none() }),
            Holds,
        ),
        (
            "original destination",
            addresses(CtAddresses { original_destination: at("192.0.2.80"), ..none() }),
            Holds,
        ),
        (
            "reply source is the inner server",
            addresses(CtAddresses { reply_source: at("10.0.0.80"), ..none() }),
            Holds,
        ),
        (
            "and not the outer one",
            addresses(CtAddresses { reply_source: at("192.0.2.80"), ..none() }),
            Fails,
        ),
        (
            "reply destination",
            addresses(CtAddresses { reply_destination: at("10.0.0.2"), ..none() }),
            Holds,
        ),
        (
            "original source port",
            ports(CtPorts { original_source: port(1000, 1000), ..any() }),
            Holds,
        ),
        (
            "original destination port",
            ports(CtPorts { original_destination: port(80, 80), ..any() }),
            Holds,
        ),
        (
            "reply source port after translation",
            ports(CtPorts { reply_source: port(8080, 8090), ..any() }),
            Holds,
        ),
        (
            "reply destination port",
            ports(CtPorts { reply_destination: Some(not(PortRange::ANY)), ..any() }),
            Fails,
        ),
        ("protocol", ConntrackMatch { protocol: Some(is(Protocol(17))), ..base() }, Holds),
        (
            "not that protocol",
            ConntrackMatch { protocol: Some(not(Protocol(17))), ..base() },
            Fails,
        ),
        ("seen reply", status(is(CtStatus::SEEN_REPLY)), Holds),
        ("one of two", status(is(CtStatus::ASSURED | CtStatus::CONFIRMED)), Holds),
        ("not assured", status(not(CtStatus::ASSURED)), Holds),
        ("NONE never", status(is(CtStatus::empty())), Fails),
        ("! NONE always", status(not(CtStatus::empty())), Holds),
        ("the direction", ConntrackMatch { direction: Some(CtDirection::Reply), ..base() }, Holds),
        (
            "the other one",
            ConntrackMatch { direction: Some(CtDirection::Original), ..base() },
            Fails,
        ),
        (
            "seconds left, whole ones",
            ConntrackMatch { expire: Some(is(SecondsRange { first: 29, last: 29 })), ..base() },
            Holds,
        ),
        (
            "not so many",
            ConntrackMatch { expire: Some(is(SecondsRange { first: 30, last: 99 })), ..base() },
            Fails,
        ),
    ];
    for (what, wanted, expected) in rows {
        let mut scene = query(1000, 80).tracked(
            CtInfo::Established(Original),
            Status::SEEN_REPLY | Status::CONFIRMED | Status::DST_NAT,
            30,
        );
        scene.info = CtInfo::Established(Reply);
        scene.now += Duration::from_millis(1);
        let flow = scene.flow.as_mut().unwrap();
        flow.reply.src = v4_addr([10, 0, 0, 80]);
        flow.reply.sport = 8080;
        assert_eq!(scene.matches(Match::Conntrack(wanted)), expected, "{what}");
    }
}

#[test]
fn an_unconfirmed_flow_has_no_seconds_left() {
    let mut scene = query(1, 2).tracked(CtInfo::New, Status::empty(), 30);
    for (first, last, expected) in [(0, 0, Holds), (20, 40, Fails)] {
        let expire = Some(is(SecondsRange { first, last }));
        let wanted = ConntrackMatch { expire, ..ConntrackMatch::default() };
        assert_eq!(scene.matches(Match::Conntrack(wanted)), expected, "{first}:{last}");
    }
}

#[test]
fn marks() {
    let pattern = |value, mask| MarkPattern { value, mask };
    let rows: [(&str, Term<MarkPattern>, Fit); 5] = [
        ("the mark", is(pattern(0x15, u32::MAX)), Holds),
        ("some bits of it", is(pattern(0x5, 0xf)), Holds),
        ("other bits", is(pattern(0x25, 0xff)), Fails),
        ("a bit that the mask hides", is(pattern(0x15, 0xf)), Fails),
        ("negated", not(pattern(0x15, u32::MAX)), Fails),
    ];
    for (what, term, expected) in rows {
        let mut scene = query(1, 2).tracked(CtInfo::New, Status::empty(), 30);
        scene.mark = 0x15;
        assert_eq!(scene.matches(Match::Mark(term)), expected, "{what}");
        scene.mark = 0;
        scene.flow.as_mut().unwrap().mark = 0x15;
        assert_eq!(scene.matches(Match::Connmark(term)), expected, "{what}: flow");
    }
    let negated = Match::Connmark(not(pattern(1, 1)));
    assert_eq!(query(1, 2).matches(negated), Fails, "no flow, no mark");
}

#[test]
fn link_addresses() {
    let rows = [
        ("the sender", is([2, 0, 0, 0, 0, 2]), Holds, Fails),
        ("the receiver", is([2, 0, 0, 0, 0, 1]), Fails, Fails),
        ("anybody else", not([2, 0, 0, 0, 0, 1]), Holds, Fails),
    ];
    for (what, term, with, without) in rows {
        let mut scene = query(1, 2);
        assert_eq!(scene.matches(Match::Mac(term)), with, "{what}");
        scene.link = None;
        assert_eq!(scene.matches(Match::Mac(term)), without, "{what}, no link header");
    }
}

#[test]
fn address_ranges() {
    let range = |first: &str, last: &str| AddressRange {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    };
    let source = |term| IprangeMatch { source: Some(term), destination: None };
    let rows: [(&str, IprangeMatch, Fit); 6] = [
        ("within", source(is(range("10.0.0.0", "10.0.0.5"))), Holds),
        ("at its ends", source(is(range("10.0.0.2", "10.0.0.2"))), Holds),
        ("outside", source(is(range("10.0.0.3", "10.0.0.5"))), Fails),
        ("negated", source(not(range("10.0.0.3", "10.0.0.5"))), Holds),
        ("upside down", source(is(range("10.0.0.5", "10.0.0.1"))), Fails),
        (
            "both must hold",
            IprangeMatch {
                source: Some(is(range("10.0.0.0", "10.0.0.5"))),
                destination: Some(is(range("10.0.0.0", "10.0.0.5"))),
            },
            Fails,
        ),
    ];
    for (what, ranges, expected) in rows {
        assert_eq!(query(1, 2).matches(Match::Iprange(ranges)), expected, "{what}");
    }
}

#[test]
fn address_types_of_ipv4() {
    use AddressTypes as T;
    let rows = [
        ("unicast", [9, 9, 9, 2], is(T::UNICAST), None, Holds),
        ("one of several", [9, 9, 9, 255], is(T::LOCAL | T::BROADCAST), None, Holds),
        ("none of several", [9, 9, 9, 2], is(T::LOCAL | T::BROADCAST), None, Fails),
        ("negated", [9, 9, 9, 2], not(T::LOCAL), None, Holds),
        ("multicast", [224, 0, 0, 5], is(T::MULTICAST), None, Holds),
        (
            "local on the port it came in by",
            [9, 9, 9, 1],
            is(T::LOCAL),
            Some(LimitIface::In),
            Holds,
        ),
        ("not on the one it leaves by", [9, 9, 9, 1], is(T::LOCAL), Some(LimitIface::Out), Fails),
    ];
    for (what, dst, term, limit_iface, expected) in rows {
        let mut scene = Scene::of(v4(CLIENT, dst, 17, &udp(1, 2)));
        let wanted = AddrtypeMatch { destination: Some(term), limit_iface, source: None };
        assert_eq!(scene.matches(Match::Addrtype(wanted)), expected, "{what}");
    }
    let wanted = AddrtypeMatch {
        source: Some(is(T::LOCAL)),
        destination: Some(is(T::UNICAST)),
        limit_iface: None,
    };
    assert_eq!(query(1, 2).matches(Match::Addrtype(wanted)), Fails, "both must hold");
}

#[test]
fn address_types_of_ipv6_are_conditions_that_must_all_hold() {
    use AddressTypes as T;
    let rows: [(&str, &str, Term<AddressTypes>, Fit); 11] = [
        ("unicast", "fd00::2", is(T::UNICAST), Holds),
        ("multicast", "ff02::5", is(T::MULTICAST), Holds),
        ("multicast is not unicast", "ff02::5", is(T::UNICAST), Fails),
        ("nothing is both", "ff02::5", is(T::UNICAST | T::MULTICAST), Fails),
        ("a local address is unicast too", "fd00::1", is(T::UNICAST | T::LOCAL), Holds),
        ("a remote one is not local", "fd00::2", is(T::UNICAST | T::LOCAL), Fails),
        ("anycast", "fd00::9", is(T::ANYCAST), Holds),
        ("behind a blackhole", "fd00::42", is(T::UNREACHABLE), Holds),
        ("unspecified", "::", is(T::UNSPEC), Holds),
        ("a mapped address is no unicast", "::ffff:1.2.3.4", is(T::UNICAST), Fails),
        ("negated", "fd00::2", not(T::LOCAL), Holds),
    ];
    for (what, dst, term, expected) in rows {
        let mut scene = Scene::of(v6(2, 3, 17, &udp(1, 2)));
        scene.headers.dst = dst.parse::<IpAddr>().unwrap();
        let wanted = AddrtypeMatch { destination: Some(term), ..AddrtypeMatch::default() };
        assert_eq!(scene.matches(Match::Addrtype(wanted)), expected, "{what}");
    }
}

#[test]
fn comments_mean_nothing() {
    assert_eq!(query(1, 2).matches(Match::Comment("never".into())), Holds);
}

#[test]
fn a_limit_passes_its_burst_and_then_its_rate() {
    let mut bucket = super::Bucket::new(&LimitMatch { interval: 5000, burst: 3 });
    let rows = [
        ("the burst", 0, true),
        ("of", 0, true),
        ("three", 0, true),
        ("no more", 0, false),
        ("too early", 499, false),
        ("one interval on, in spite of asking between", 500, true),
        ("and no second", 999, false),
        ("after two intervals", 1_500, true),
        ("both", 1_500, true),
        ("not three", 1_500, false),
        ("a long pause fills it", 100_000, true),
        ("to the burst", 100_000, true),
        ("and", 100_000, true),
        ("no further", 100_000, false),
    ];
    for (what, millis, expected) in rows {
        let now = Instant::from_nanos(millis * 1_000_000);
        assert_eq!(bucket.take(now), expected, "{what}, at {millis} ms");
    }
}

#[test]
fn slow_limits_lose_the_fraction_of_a_second() {
    // 7 a minute: 8.5714 s; times 20 they exceed what can be multiplied exactly.
    let mut bucket = super::Bucket::new(&LimitMatch { interval: 85_714, burst: 20 });
    let passed = (0..25).filter(|_| bucket.take(Instant::ZERO)).count();
    assert_eq!(passed, 19, "171 whole seconds at 8.5714 each");
}

#[test]
fn a_limit_counts_only_packets_that_come_as_far() {
    let limit = Match::Limit(LimitMatch { interval: 5000, burst: 1 });
    let mark = Match::Mark(is(MarkPattern { value: 1, mask: 1 }));
    let mut program =
        super::super::eval::scene::forward(vec![rule(vec![mark, limit], Target::None)]);
    for (mark, passed) in [(0, 0), (0, 0), (1, 1), (1, 1)] {
        let mut scene = Scene { mark, ..query(1, 2) };
        scene.run(&mut program, super::super::ast::Hook::Forward);
        assert_eq!(program.state.counters[0].packets, passed);
    }
}
