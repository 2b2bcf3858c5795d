//! For which flows the rules leave a way clear, row by row.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tidegate_wire::Family::{self, V4, V6};

use super::super::super::eval::scene::flow;
use super::super::super::{Clearance, ExpressProto, ExpressRoute, Programs};
use super::super::MOST_UNMET;
use super::{ROUTES, WORDS, counted, loaded, ruleset};
use crate::flow::{Flow, Status};
use crate::time::Instant;
use crate::tuple::Direction::{Original, Reply};
use crate::tuple::Tuple;

/// Flows of HOST to SERVER: a name, the protocol, the server's port.
const FLOWS: [(&str, ExpressProto, u16); 4] = [
    ("https", ExpressProto::Tcp, 443),
    ("ssh", ExpressProto::Tcp, 22),
    ("dns", ExpressProto::Udp, 53),
    ("tftp", ExpressProto::Udp, 69),
];

const CLIENT_PORT: u16 = 40_000;
const PUBLIC_PORT: u16 = 61_000;
const ALL: &str = "https ssh dns tftp";

fn tuple(
    family: Family,
    proto: ExpressProto,
    (src, sport): (&str, u16),
    (dst, dport): (&str, u16),
) -> Tuple {
    let [src, dst] = [src, dst].map(|wanted| {
        let (_, v4, v6) = WORDS.iter().find(|(word, ..)| *word == wanted).unwrap();
        if family == V4 { v4 } else { v6 }.parse().unwrap()
    });
    Tuple { src, dst, sport, dport, proto: proto.number() }
}

/// HOST to SERVER's port.
fn plain(family: Family, proto: ExpressProto, port: u16) -> Flow {
    let orig = tuple(family, proto, ("HOST", CLIENT_PORT), ("SERVER", port));
    let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED | Status::NAT_DONE;
    Flow { status, ..flow(orig, Instant::ZERO) }
}

/// For which directions a flow is vetted: its name if for both.
fn vetted(programs: &Programs, route: ExpressRoute, name: &str, flow: &Flow) -> Option<String> {
    let family = flow.orig.family();
    let proto = ExpressProto::ALL.into_iter().find(|proto| proto.number() == flow.orig.proto);
    let vet = |dir| programs.vet(family, proto.unwrap(), dir, route, flow);
    match (vet(Original), vet(Reply)) {
        (true, true) => Some(name.to_string()),
        (true, false) => Some(format!("{name}-original")),
        (false, true) => Some(format!("{name}-reply")),
        (false, false) => None,
    }
}

/// Each row: a sentence, rules, which of [`FLOWS`] may be forwarded without asking them.
#[track_caller]
fn check_rows(rows: &[(&str, &str, &str)]) {
    for (what, text, expected) in rows {
        for family in [V4, V6] {
            let programs = loaded(family, text);
            let found: Vec<String> = FLOWS
                .iter()
                .filter_map(|(name, proto, port)| {
                    let flow = plain(family, *proto, *port);
                    vetted(&programs, ExpressRoute::Forward, name, &flow)
                })
                .collect();
            assert_eq!(found.join(" "), *expected, "{what}, {family:?}");
        }
    }
}

#[test]
fn ports_and_flags() {
    let rows = [
        (
            "queries of a port go untracked",
            "*raw; -A PREROUTING -p udp -m udp --dport 69 -j CT --notrack",
            "https ssh dns tftp-reply",
        ),
        (
            "flags that no established packet has",
            "*raw; -A PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP",
            ALL,
        ),
        (
            "packets to a port are marked",
            "*mangle; -A PREROUTING -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x1",
            "https ssh-reply dns tftp",
        ),
        (
            "or to any other",
            "*mangle; -A FORWARD -p tcp -m tcp ! --dport 22 -j MARK --set-xmark 0x1",
            "ssh-original dns tftp",
        ),
        (
            "from a port",
            "*filter; -A FORWARD -p tcp -m tcp --sport 443 -j DROP",
            "https-original ssh dns tftp",
        ),
        (
            "of many",
            "*filter; -A FORWARD -p udp -m multiport --ports 53,100:200 -j DROP",
            "https ssh tftp",
        ),
        (
            "an open flag behind a port",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 --tcp-flags PSH PSH -j DROP",
            "https ssh-reply dns tftp",
        ),
        (
            "the packet's options are read if the port fits",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 --tcp-option 2 -j DROP",
            "https ssh-reply dns tftp",
        ),
        (
            "and if something behind it fails",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 --tcp-option 2 -m state --state NEW -j DROP",
            "https ssh-reply dns tftp",
        ),
        ("read in any case", "*filter; -A FORWARD -p tcp -m tcp --tcp-option 2", "dns tftp"),
    ];
    check_rows(&rows);
}

#[test]
fn addresses_and_interfaces() {
    const ESTABLISHED: &str = "-A FORWARD -m state --state ESTABLISHED -j ACCEPT";
    let with = |rule: &str| format!("*filter; :FORWARD DROP; {rule}; {ESTABLISHED}");
    let rows = [
        ("another net is shut out", "-A FORWARD -s OTHERS -j DROP", ALL),
        (
            "its own net is",
            "-A FORWARD -s NET -j DROP",
            "https-reply ssh-reply dns-reply tftp-reply",
        ),
        (
            "as a destination",
            "-A FORWARD -d NET -j DROP",
            "https-original ssh-original dns-original tftp-original",
        ),
        ("no net but its own", "-A FORWARD ! -s NET ! -d NET -j DROP", ALL),
        (
            "a range of addresses",
            "-A FORWARD -m iprange --src-range RANGE -j DROP",
            "https-reply ssh-reply dns-reply tftp-reply",
        ),
        ("an interface", "-A FORWARD -i lo -j ACCEPT", ""),
        (
            "an interface and a port",
            "-A FORWARD -i wan0 -p tcp -m tcp --dport 22 -j DROP",
            "https ssh-reply dns tftp",
        ),
        (
            "met, and harmless, but by some only",
            "-A FORWARD -s NET",
            "https-reply ssh-reply dns-reply tftp-reply",
        ),
        ("a mark may change", "-A FORWARD -m mark --mark 1 -j ACCEPT", ""),
        ("so may a flow's", "-A FORWARD -m connmark --mark 1 -j ACCEPT", ""),
        ("routes are the caller's", "-A FORWARD -m addrtype --dst-type LOCAL -j ACCEPT", ""),
        ("anybody may send", "-A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT", ""),
    ]
    .map(|(what, rule, expected)| (what, with(rule), expected));
    check_rows(&rows.each_ref().map(|(what, text, expected)| (*what, text.as_str(), *expected)));
}

#[test]
fn limits() {
    let rows = [
        (
            "behind a port",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 -m limit --limit 1/s -j DROP",
            "https ssh-reply dns tftp",
        ),
        (
            "before it",
            "*filter; -A FORWARD -p tcp -m limit --limit 1/s -m tcp --dport 22 -j DROP",
            "dns tftp",
        ),
        (
            "between two",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 -m limit --limit 1/s -m tcp --sport 9 -j DROP",
            "https ssh-reply dns tftp",
        ),
        ("behind an interface", "*filter; -A FORWARD -i wan0 -m limit --limit 1/s -j LOG", ""),
        (
            "of new packets to a port",
            "*filter; -A FORWARD -m state --state NEW -m limit --limit 1/s -m udp -p udp --dport 53",
            ALL,
        ),
    ];
    check_rows(&rows);
}

/// Matches that keep count, and some that don't.
#[test]
fn the_less_frequent_matches() {
    let rows = [
        ("a list", "*filter; -A FORWARD -m recent --name a --set", ""),
        (
            "a list of new ones",
            "*filter; -A FORWARD -m state --state NEW -m recent --name a --set",
            ALL,
        ),
        (
            "a list before their state",
            "*filter; -A FORWARD -m recent --set -m state --state NEW",
            "",
        ),
        (
            "a bucket behind a port",
            "*filter; -A FORWARD -p tcp -m tcp --dport 22 -m hashlimit --hashlimit-upto 1/s --hashlimit-name h -j DROP",
            "https ssh-reply dns tftp",
        ),
        ("flows of a network", "*filter; -A FORWARD -m connlimit --connlimit-above 9 -j DROP", ""),
        ("what is left", "*filter; -A FORWARD -m quota --quota 9999 -m state --state NEW", ""),
        (
            "every third",
            "*filter; -A FORWARD -m statistic --mode nth --every 3 --packet 0 -p ICMP",
            ALL,
        ),
        (
            "every third before a state",
            "*filter; -A FORWARD -m statistic --mode nth --every 3 --packet 0 -m state --state NEW",
            "",
        ),
        ("labels", "*filter; -A FORWARD -m connlabel --label 3 --set -m state --state NEW", ""),
        (
            "what was carried",
            "*filter; -A FORWARD -m connbytes --connbytes 9 --connbytes-mode bytes --connbytes-dir both -j DROP",
            "",
        ),
        ("a set", "*filter; -A FORWARD -m set --match-set s src -m state --state NEW", ""),
        (
            "a length before a state",
            "*filter; -A FORWARD -m length --length 9 -m state --state NEW",
            ALL,
        ),
        ("a length", "*filter; -A FORWARD -m length --length 9", ""),
        ("a hint to a queue", "*filter; -A FORWARD -m state --state NEW -j NFQUEUE", ALL),
        ("a queue for all", "*filter; -A FORWARD -j NFQUEUE --queue-bypass", ""),
        (
            "a class",
            "*mangle; -A FORWARD -m state --state ESTABLISHED -j CLASSIFY --set-class 1:1",
            "",
        ),
    ];
    check_rows(&rows);
}

#[test]
fn what_conntrack_knows() {
    let rows = [
        (
            "the flow's addresses",
            "*filter; -A FORWARD -m conntrack --ctorigsrc OTHERS -j DROP; \
             -A FORWARD -m conntrack ! --ctorigsrc NET --ctrepldst NET -j DROP",
            ALL,
        ),
        (
            "and ports, the same in both directions",
            "*filter; -A FORWARD -m conntrack --ctproto 6 --ctorigdstport 22 -j DROP",
            "https dns tftp",
        ),
        ("its time", "*filter; -A FORWARD -m conntrack --ctexpire 1:60 -j DROP", ""),
        (
            "its time, of some flows",
            "*filter; -A FORWARD -m conntrack --ctexpire 1:60 --ctrepldst OTHERS -j DROP",
            ALL,
        ),
        ("translated", "*filter; -A FORWARD -m conntrack --ctstate DNAT,SNAT -j DROP", ALL),
        ("not translated", "*filter; -A FORWARD -m conntrack ! --ctstate DNAT -j DROP", ""),
        ("expected", "*filter; -A FORWARD -m conntrack --ctstatus EXPECTED -j DROP", ALL),
        ("not expected", "*filter; -A FORWARD -m conntrack ! --ctstatus EXPECTED -j DROP", ""),
        (
            "before conntrack none of it is known",
            "*raw; -A PREROUTING -m conntrack --ctorigdstport 22 -j DROP; \
             -A PREROUTING -m conntrack ! --ctstate DNAT -j ACCEPT; -A PREROUTING -j DROP",
            ALL,
        ),
    ];
    check_rows(&rows);
}

#[test]
fn a_user_chain_of_others_is_not_gone_through() {
    let rows = [
        (
            "a jump",
            "*filter; :a -; -A FORWARD -p tcp -m tcp --dport 22 -j a; -A a -m limit --limit 1/s; -A a -j DROP",
            "https ssh-reply dns tftp",
        ),
        (
            "a chain that all go through twice",
            "*filter; :a -; -A FORWARD -j a; -A FORWARD -g a; -A a -p udp -m udp --dport 53 -j DROP",
            "https ssh dns-reply tftp",
        ),
        (
            "all that is usual",
            "*raw; -A PREROUTING -p udp -m udp --dport 69 -j CT --notrack; \
             -A PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP\
             *mangle; -A PREROUTING -p tcp -m tcp --dport 22 -j MARK --set-xmark 0x1\
             *filter; :FORWARD DROP; :log -; -A FORWARD -s OTHERS -j log; \
             -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; -A FORWARD -i lan0 -j ACCEPT; \
             -A log -m limit --limit 1/s -j LOG; -A log -j DROP",
            "https ssh-reply dns tftp-reply",
        ),
    ];
    check_rows(&rows);
}

/// Each row: a sentence, rules, what of a flow whose destination is translated passes, and of one whose source is.
#[track_caller]
fn check_translated(rows: &[(&str, &str, &str, &str)]) {
    for &(what, text, dnat, snat) in rows {
        for family in [V4, V6] {
            let programs = loaded(family, text);
            let found =
                [(Status::DST_NAT, "dnat"), (Status::SRC_NAT, "snat")].map(|(kind, name)| {
                    let flow = translated(family, kind);
                    vetted(&programs, ExpressRoute::Forward, name, &flow).unwrap_or_default()
                });
            assert_eq!(found, [dnat, snat], "{what}, {family:?}");
        }
    }
}

#[test]
fn translated_addresses() {
    let rows = [
        ("as they come", "*nat*mangle; -A PREROUTING -d SERVER -j DROP", "dnat", "snat-reply"),
        (
            "to the router",
            "*nat*mangle; -A PREROUTING -d ROUTER -j DROP",
            "dnat-reply",
            "snat-original",
        ),
        ("even to raw", "*nat*raw; -A PREROUTING -d ROUTER -j DROP", "dnat-reply", "snat-original"),
        ("not further on", "*nat*mangle; -A FORWARD -d ROUTER -j DROP", "dnat", "snat"),
        (
            "there it is the server",
            "*nat*mangle; -A POSTROUTING -d SERVER -j DROP",
            "dnat-reply",
            "snat-reply",
        ),
        (
            "or the client",
            "*nat*filter; -A FORWARD -d HOST -j DROP",
            "dnat-original",
            "snat-original",
        ),
        ("sources stay", "*nat*security; -A FORWARD -s ROUTER -j DROP", "dnat", "snat"),
        (
            "to the last",
            "*nat*mangle; -A POSTROUTING -s SERVER -j DROP",
            "dnat-original",
            "snat-original",
        ),
    ];
    check_translated(&rows);
}

#[test]
fn translated_ports_and_tuples() {
    let rows = [
        (
            "the port before",
            "*nat*mangle; -A PREROUTING -p tcp -m tcp --dport 61000 -j DROP",
            "dnat-reply",
            "snat-original",
        ),
        (
            "and after",
            "*nat*filter; -A FORWARD -p tcp -m tcp --dport 61000 -j DROP",
            "dnat",
            "snat",
        ),
        (
            "the server's",
            "*nat*filter; -A FORWARD -p tcp -m multiport --dports 443 -j DROP",
            "dnat-reply",
            "snat-reply",
        ),
        ("translated", "*nat*filter; -A FORWARD -m conntrack --ctstate DNAT -j DROP", "", "snat"),
        (
            "at its source",
            "*nat*filter; -A FORWARD -m conntrack --ctstate SNAT -j DROP",
            "dnat",
            "",
        ),
        (
            "by its tuples",
            "*nat*filter; -A FORWARD -m conntrack --ctorigdst ROUTER --ctorigdstport 61000 -j DROP",
            "",
            "snat",
        ),
        (
            "without a nat table nothing becomes of them",
            "*filter; -A FORWARD -d ROUTER -j DROP",
            "dnat-reply",
            "snat-original",
        ),
    ];
    check_translated(&rows);
}

/// HOST talks to SERVER's port 443. With DNAT it takes the router for it, with SNAT the server takes the router for it,
/// and always by the port 61000.
fn translated(family: Family, kind: Status) -> Flow {
    const PROTO: ExpressProto = ExpressProto::Tcp;
    let [host, server] = [("HOST", CLIENT_PORT), ("SERVER", 443)];
    let router = ("ROUTER", PUBLIC_PORT);
    let (orig, reply) = match kind {
        Status::DST_NAT => ((host, router), (server, host)),
        _ => ((host, server), (server, router)),
    };
    let [orig, reply] = [orig, reply].map(|(src, dst)| tuple(family, PROTO, src, dst));
    let status = plain(family, PROTO, 443).status | kind;
    Flow { reply, status, ..flow(orig, Instant::ZERO) }
}

/// Each row: a sentence, rules, and what is said of TCP's ways, forward and to the host.
#[test]
fn ways_by_their_clearance() {
    use Clearance::{Clear, IfVetted, Never};
    let rows = [
        ("nothing to ask", "*filter; -A FORWARD -p udp -j DROP", [Clear, Clear]),
        ("flows differ", "*filter; -A FORWARD -s NET -j DROP", [IfVetted, Clear]),
        ("no flow settles it", "*filter; -A INPUT -i lan0 -j ACCEPT", [Clear, Never]),
        ("nor would it help", "*filter; -A INPUT -s NET -j DROP; -A INPUT -j DROP", [Clear, Never]),
        (
            "some do",
            "*mangle; -A PREROUTING -i lan0 -s NET -m mark --mark 1 -j DROP",
            [IfVetted, IfVetted],
        ),
        (
            "all that asks is behind the state",
            "*filter; -A FORWARD -m state --state ESTABLISHED -j ACCEPT; -A FORWARD -s NET -j DROP",
            [Clear, Clear],
        ),
    ];
    for (what, text, expected) in rows {
        for family in [V4, V6] {
            let programs = loaded(family, text);
            let clearance = |route| programs.clearance(family, ExpressProto::Tcp, Original, route);
            assert_eq!(ROUTES.map(clearance), expected, "{what}, {family:?}");
        }
    }
}

#[test]
fn what_a_vetted_flow_meets_is_counted() {
    let text = "*filter; :FORWARD DROP; :a -; -A FORWARD -s OTHERS; -A FORWARD -p tcp -m tcp --dport 22 -j a; \
                -A FORWARD -m state --state ESTABLISHED -j ACCEPT; -A a -j DROP";
    for family in [V4, V6] {
        let mut programs = loaded(family, text);
        super::count(&mut programs, family, Original, ExpressRoute::Forward);
        let expected = ["[2:1552] -A FORWARD -m state --state ESTABLISHED -j ACCEPT"];
        assert_eq!(counted(&programs, family), expected, "{family:?}");
    }
}

#[test]
fn entries_that_flows_decide_are_noted_up_to_a_limit() {
    for (count, expected) in [(MOST_UNMET, Clearance::IfVetted), (MOST_UNMET + 1, Clearance::Never)]
    {
        let text = format!("*filter{}", "; -A FORWARD -s OTHERS".repeat(count));
        let programs = loaded(V4, &text);
        let found = programs.clearance(V4, ExpressProto::Tcp, Original, ExpressRoute::Forward);
        assert_eq!(found, expected, "{count} rules");
    }
}

#[test]
fn every_ruleset_begins_an_epoch() {
    let mut programs = Programs::default();
    let rules = [V4, V6].map(|family| ruleset(family, "*filter"));
    let epochs = (0..1024).map(|number| {
        programs.replace(&rules[number % 2], &Default::default());
        programs.epoch()
    });
    let mut epochs: Vec<u16> = epochs.collect();
    assert_eq!(epochs.pop(), Some(0), "the first one comes back");
    assert!(epochs.into_iter().eq(1..1024), "but not before");
}
