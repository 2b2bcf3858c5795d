//! Which rules leave a way clear, and what is counted on it; in `vetting`, for which flows they do. All rows for both
//! families.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use tidegate_wire::Family;

use super::super::{Clearance, ExpressProto, ExpressRoute, Programs, Ruleset, parse};
use crate::tuple::Direction::{self, Original, Reply};

mod fresh;
mod random;
mod vetting;

/// What they are for IPv4 and for IPv6. HOST and RANGE are within NET.
const WORDS: [(&str, &str, &str); 7] = [
    ("ICMP", "icmp", "ipv6-icmp"),
    ("NET", "10.0.0.0/8", "fd00::/8"),
    ("HOST", "10.0.0.2", "fd00::2"),
    ("RANGE", "10.0.0.2-10.0.0.9", "fd00::2-fd00::9"),
    ("SERVER", "192.0.2.80", "2001:db8::80"),
    ("ROUTER", "203.0.113.1", "2001:db8:1::1"),
    ("OTHERS", "172.16.0.0/12", "2001:db8:77::/48"),
];

const ROUTES: [ExpressRoute; 2] = [ExpressRoute::Forward, ExpressRoute::Input];

/// Rules from one line: `; ` ends a line, a `*table` needs no COMMIT, and words in capitals are the family's.
fn ruleset(family: Family, text: &str) -> Ruleset {
    let replace = |text: String, (word, v4, v6): &(&str, &str, &str)| {
        text.replace(word, if family == Family::V4 { v4 } else { v6 })
    };
    let text = WORDS.iter().fold(text.replace("; ", "\n"), replace);
    let tables = text.split('*').filter(|table| !table.is_empty());
    let text: String = tables.map(|table| format!("*{table}\nCOMMIT\n")).collect();
    parse(family, "row", &text).unwrap_or_else(|errors| panic!("{text}{errors:?}"))
}

fn loaded(family: Family, text: &str) -> Programs {
    let mut programs = Programs::default();
    programs.replace(&ruleset(family, text), &Default::default());
    programs
}

type Way = (ExpressProto, Direction, ExpressRoute);

fn is_clear(programs: &Programs, family: Family, (proto, dir, route): Way) -> bool {
    programs.clearance(family, proto, dir, route) == Clearance::Clear
}

/// The protocols for which a way is clear; with a direction if it isn't for the other.
fn clear(programs: &Programs, family: Family, route: ExpressRoute) -> String {
    let mut words = Vec::new();
    for (proto, name) in [(ExpressProto::Tcp, "tcp"), (ExpressProto::Udp, "udp")] {
        let is_clear = |dir| is_clear(programs, family, (proto, dir, route));
        words.extend(match (is_clear(Original), is_clear(Reply)) {
            (true, true) => Some(name.to_string()),
            (true, false) => Some(format!("{name}-original")),
            (false, true) => Some(format!("{name}-reply")),
            (false, false) => None,
        });
    }
    words.join(" ")
}

/// Each row: a sentence, rules, the protocols for which forwarding is clear.
#[track_caller]
fn check_forwarding(rows: &[(&str, &str, &str)]) {
    for (what, text, expected) in rows {
        for family in [Family::V4, Family::V6] {
            let programs = loaded(family, text);
            assert_eq!(
                clear(&programs, family, ExpressRoute::Forward),
                *expected,
                "{what}, {family:?}"
            );
        }
    }
}

#[test]
fn what_the_state_decides() {
    let rows = [
        (
            "established packets first",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
             -A FORWARD -s NET -m conntrack --ctstate NEW -j ACCEPT",
            "tcp udp",
        ),
        (
            "invalid ones before",
            "*filter; -A FORWARD -m state --state INVALID -j DROP; \
             -A FORWARD -m state --state ESTABLISHED -j ACCEPT; -A FORWARD -j DROP",
            "tcp udp",
        ),
        (
            "not new",
            "*filter; :FORWARD DROP; -A FORWARD -m state ! --state NEW -j ACCEPT",
            "tcp udp",
        ),
        (
            "not invalid, to be dropped",
            "*filter; -A FORWARD -m state ! --state INVALID -j DROP",
            "",
        ),
        ("untracked", "*filter; -A FORWARD -m state --state UNTRACKED -j DROP", "tcp udp"),
        (
            "translated or not, it is established",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate DNAT,ESTABLISHED -j ACCEPT",
            "tcp udp",
        ),
        (
            "whether it is translated depends",
            "*filter; -A FORWARD -m conntrack --ctstate DNAT -j ACCEPT",
            "",
        ),
    ];
    check_forwarding(&rows);
}

#[test]
fn what_the_flow_decides() {
    let rows = [
        (
            "by direction",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctdir REPLY -j ACCEPT",
            "tcp-reply udp-reply",
        ),
        (
            "by the flow's protocol",
            "*filter; -A FORWARD -m conntrack --ctstate ESTABLISHED ! --ctproto 6 -j DROP",
            "tcp",
        ),
        (
            "assured",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstatus ASSURED,EXPECTED -j ACCEPT",
            "tcp udp",
        ),
        (
            "never unanswered",
            "*filter; -A FORWARD -m conntrack ! --ctstatus SEEN_REPLY -j DROP",
            "tcp udp",
        ),
        ("no status", "*filter; -A FORWARD -m conntrack --ctstatus NONE -j DROP", "tcp udp"),
        (
            "whether it was expected depends",
            "*filter; -A FORWARD -m conntrack --ctstatus EXPECTED -j ACCEPT",
            "",
        ),
        (
            "the flow's addresses depend",
            "*filter; -A FORWARD -m conntrack --ctstate ESTABLISHED --ctorigsrc NET -j ACCEPT",
            "",
        ),
        (
            "unless the state fails already",
            "*filter; -A FORWARD -m conntrack --ctstate NEW --ctorigsrc NET -j DROP",
            "tcp udp",
        ),
        (
            "the flow's ports depend",
            "*filter; -A FORWARD -m conntrack --ctstate ESTABLISHED --ctorigdstport 22 -j ACCEPT",
            "",
        ),
        (
            "the flow's time depends",
            "*filter; -A FORWARD -m conntrack --ctstate ESTABLISHED --ctexpire 1:60 -j ACCEPT",
            "",
        ),
    ];
    check_forwarding(&rows);
}

#[test]
fn what_the_packet_decides() {
    let rows = [
        ("another protocol", "*filter; -A FORWARD -p ICMP -j DROP", "tcp udp"),
        ("any but TCP", "*filter; -A FORWARD ! -p tcp -j DROP", "tcp"),
        ("a port", "*filter; -A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT", "udp"),
        (
            "a port of many",
            "*filter; -A FORWARD -p udp -m multiport --dports 53,67 -j ACCEPT",
            "tcp",
        ),
        (
            "any port",
            "*filter; :FORWARD DROP; -A FORWARD -p tcp -m tcp -j ACCEPT; \
             -A FORWARD -p udp -m udp -j ACCEPT",
            "tcp udp",
        ),
        (
            "an option that may be cut off drops the packet, whatever is asked afterwards",
            "*filter; -A FORWARD -p tcp -m tcp --tcp-option 2 -m state --state NEW -j ACCEPT",
            "udp",
        ),
        ("an address", "*filter; -A FORWARD -s NET -j ACCEPT", ""),
        ("another address", "*filter; -A FORWARD ! -d NET -j ACCEPT", ""),
        ("an interface", "*filter; -A FORWARD -i lan0 -j ACCEPT", ""),
        ("another interface", "*filter; -A FORWARD -o wan0 -j ACCEPT", ""),
        ("a mark", "*filter; -A FORWARD -m mark --mark 1 -j ACCEPT", ""),
        ("a connmark", "*filter; -A FORWARD -m connmark --mark 1 -j ACCEPT", ""),
        ("a type of address", "*filter; -A FORWARD -m addrtype --dst-type LOCAL -j ACCEPT", ""),
        (
            "a link address",
            "*filter; -A FORWARD -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT",
            "",
        ),
        (
            "all of that behind the state doesn't matter",
            "*filter; -A FORWARD -m state --state ESTABLISHED -j ACCEPT; -A FORWARD -s NET -j DROP; \
             -A FORWARD -m limit --limit 1/s -j LOG",
            "tcp udp",
        ),
    ];
    check_forwarding(&rows);
}

#[test]
fn what_tcp_flags_decide() {
    let rows = [
        ("flags that make it new", "*filter; -A FORWARD -p tcp -m tcp --syn -j DROP", "tcp udp"),
        (
            "any others",
            "*filter; :FORWARD DROP; -A FORWARD -p tcp -m tcp ! --syn -j ACCEPT; \
             -A FORWARD -p udp -j ACCEPT",
            "tcp udp",
        ),
        (
            "flags that go together with no others",
            "*raw; -A PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP; \
             -A PREROUTING -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP; \
             -A PREROUTING -p tcp -m tcp --tcp-flags PSH,RST RST,PSH -j DROP",
            "tcp udp",
        ),
        (
            "a flag outside of the mask",
            "*filter; -A FORWARD -p tcp -m tcp --tcp-flags ACK SYN,ACK -j DROP",
            "tcp udp",
        ),
        ("ACK", "*filter; -A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK ACK -j DROP", "udp"),
        (
            "flags that it may have",
            "*filter; -A FORWARD -p tcp -m tcp --tcp-flags PSH,ACK ACK -j DROP",
            "udp",
        ),
        (
            "flags of packets that aren't new",
            "*filter; -A FORWARD -p tcp -m tcp ! --syn -m state --state NEW -j DROP",
            "tcp udp",
        ),
    ];
    check_forwarding(&rows);
}

#[test]
fn what_a_limit_decides() {
    let rows = [
        ("a limit", "*filter; -A FORWARD -m limit --limit 1/s -j ACCEPT", ""),
        (
            "a limit of new packets",
            "*filter; -A FORWARD -m state --state NEW -m limit --limit 1/s -j ACCEPT",
            "tcp udp",
        ),
        (
            "a limit that established packets use up, too",
            "*filter; -A FORWARD -m limit --limit 1/s -m state --state NEW -j ACCEPT",
            "",
        ),
        (
            "a limit that some packets use up",
            "*filter; -A FORWARD -s NET -m limit --limit 1/s -m state --state NEW -j ACCEPT",
            "",
        ),
    ];
    check_forwarding(&rows);
}

#[test]
fn later_fragments_are_no_whole_packets() {
    let rows = [
        ("later fragments", "*filter; -A FORWARD -f -j DROP", "tcp udp"),
        ("all others", "*filter; :FORWARD DROP; -A FORWARD ! -f -j ACCEPT", "tcp udp"),
    ];
    for (what, text, expected) in rows {
        let programs = loaded(Family::V4, text);
        assert_eq!(clear(&programs, Family::V4, ExpressRoute::Forward), expected, "{what}");
    }
}

#[test]
fn address_ranges_depend_on_the_packet() {
    for (family, range) in [(Family::V4, "10.0.0.1-10.0.0.9"), (Family::V6, "fd00::1-fd00::9")] {
        let text = format!("*filter; -A FORWARD -m iprange --src-range {range} -j ACCEPT");
        assert_eq!(clear(&loaded(family, &text), family, ExpressRoute::Forward), "");
    }
}

#[test]
fn what_targets_and_policies_decide() {
    let rows = [
        ("nothing loaded", "", "tcp udp"),
        ("an empty table", "*filter", "tcp udp"),
        ("one that drops", "*filter; :FORWARD DROP", ""),
        ("no target", "*filter; -A FORWARD -p udp", "tcp udp"),
        ("LOG", "*filter; -A FORWARD -p udp -j LOG", "tcp"),
        ("MARK", "*mangle; -A FORWARD -p udp -j MARK --set-mark 1", "tcp"),
        ("CONNMARK", "*mangle; -A FORWARD -p udp -j CONNMARK --save-mark", "tcp"),
        ("DROP", "*filter; -A FORWARD -p udp -j DROP", "tcp"),
        ("REJECT", "*filter; -A FORWARD -p tcp -j REJECT --reject-with tcp-reset", "udp"),
        ("a return to the policy", "*filter; :FORWARD DROP; -A FORWARD -p udp -j RETURN", ""),
        (
            "a user chain that accepts",
            "*filter; :FORWARD DROP; :a -; -A FORWARD -j a; -A a -m state --state ESTABLISHED -j ACCEPT",
            "tcp udp",
        ),
        (
            "one that returns",
            "*filter; :a -; -A FORWARD -j a; -A FORWARD -p udp -j DROP; -A a -j RETURN; -A a -j DROP",
            "tcp",
        ),
        (
            "one that comes back from its end",
            "*filter; :a -; -A FORWARD -j a; -A FORWARD -p tcp -j DROP; -A a -p ICMP -j ACCEPT",
            "udp",
        ),
        (
            "a goto comes back behind the jump",
            "*filter; :a -; :b -; -A FORWARD -j a; -A FORWARD -p udp -j DROP; -A a -g b; -A a -j DROP; \
             -A b -p ICMP -j DROP",
            "tcp",
        ),
        (
            "a goto from a built-in chain ends in the policy",
            "*filter; :a -; -A FORWARD -g a; -A FORWARD -j DROP",
            "tcp udp",
        ),
        ("a jump that depends", "*filter; :a -; -A FORWARD -s NET -j a", ""),
        (
            "a chain for new packets",
            "*filter; :a -; -A FORWARD -m state --state NEW -j a; \
          -A a -s NET -j DROP",
            "tcp udp",
        ),
        ("a count that depends", "*filter; -A FORWARD -s NET", ""),
    ];
    check_forwarding(&rows);
}

/// Each row: a sentence, rules, for which protocols forwarding is clear, and for which delivery.
#[test]
fn what_tables_and_hooks_decide() {
    let rows = [
        (
            "raw lets some queries go untracked",
            "*raw; -A PREROUTING -p udp -m udp --dport 53 -j NOTRACK",
            "tcp",
            "tcp",
        ),
        ("raw chooses a zone", "*raw; -A PREROUTING -p tcp -j CT --zone 1", "udp", "udp"),
        ("to raw all are invalid", "*raw; -A PREROUTING -m state --state INVALID -j DROP", "", ""),
        (
            "and none established",
            "*raw; -A PREROUTING -m state --state ESTABLISHED -j DROP",
            "tcp udp",
            "tcp udp",
        ),
        (
            "nor of a direction, nor marked, nor not marked",
            "*raw; -A PREROUTING -m conntrack --ctdir ORIGINAL -j DROP; \
             -A PREROUTING -m connmark --mark 1 -j DROP; -A PREROUTING -m connmark ! --mark 1 -j DROP",
            "tcp udp",
            "tcp udp",
        ),
        (
            "with a state nothing else is asked",
            "*raw; :PREROUTING DROP; -A PREROUTING -m conntrack --ctstate INVALID --ctdir REPLY -j ACCEPT",
            "tcp udp",
            "tcp udp",
        ),
        ("raw OUTPUT is not on the way", "*raw; :OUTPUT DROP", "tcp udp", "tcp udp"),
        ("mangle PREROUTING", "*mangle; :PREROUTING DROP", "", ""),
        ("mangle INPUT", "*mangle; :INPUT DROP", "tcp udp", ""),
        ("mangle FORWARD", "*mangle; :FORWARD DROP", "", "tcp udp"),
        ("mangle OUTPUT", "*mangle; :OUTPUT DROP", "tcp udp", "tcp udp"),
        ("mangle POSTROUTING", "*mangle; :POSTROUTING DROP", "", "tcp udp"),
        ("filter INPUT", "*filter; :INPUT DROP", "tcp udp", ""),
        ("filter FORWARD", "*filter; :FORWARD DROP", "", "tcp udp"),
        ("filter OUTPUT", "*filter; :OUTPUT DROP", "tcp udp", "tcp udp"),
        ("security INPUT", "*security; :INPUT DROP", "tcp udp", ""),
        ("security FORWARD", "*security; :FORWARD DROP", "", "tcp udp"),
        (
            "nat has no say",
            "*nat; -A POSTROUTING -o wan0 -j MASQUERADE; -A PREROUTING -p tcp -j REDIRECT",
            "tcp udp",
            "tcp udp",
        ),
        (
            "one of many",
            "*raw*mangle; -A FORWARD -p udp -j DROP*filter*security; -A INPUT -p tcp -j DROP",
            "tcp",
            "udp",
        ),
    ];
    for (what, text, forwarding, delivery) in rows {
        for family in [Family::V4, Family::V6] {
            let programs = loaded(family, text);
            let found = ROUTES.map(|route| clear(&programs, family, route));
            assert_eq!(found, [forwarding, delivery], "{what}, {family:?}");
        }
    }
}

#[test]
fn a_way_is_proven_anew_with_each_ruleset() {
    let mut programs = Programs::default();
    let texts = [
        ("*filter; :FORWARD DROP", ""),
        ("*mangle", ""),
        ("*filter", "tcp udp"),
        ("*mangle; -A FORWARD -p udp -j DROP", "tcp"),
    ];
    for (text, expected) in texts {
        programs.replace(&ruleset(Family::V4, text), &Default::default());
        assert_eq!(clear(&programs, Family::V4, ExpressRoute::Forward), expected, "{text}");
        assert_eq!(clear(&programs, Family::V6, ExpressRoute::Forward), "tcp udp", "{text}");
    }
}

/// The lines with counters, as iptables-save prints them; those that have counted.
fn counted(programs: &Programs, family: Family) -> Vec<String> {
    let text = programs.print(family, true).unwrap_or_default();
    let lines = text.lines().filter(|line| line.contains('[') && !line.contains("[0:0]"));
    lines.map(ToString::to_string).collect()
}

/// Two packets.
fn count(programs: &mut Programs, family: Family, dir: Direction, route: ExpressRoute) {
    programs.course(family, ExpressProto::Tcp, dir, route).count(1500);
    programs.course(family, ExpressProto::Tcp, dir, route).count(52);
}

#[test]
fn all_that_would_have_been_met_is_counted() {
    let text = "*raw; -A PREROUTING -p udp -j NOTRACK\
                *mangle\
                *filter; :FORWARD DROP; :a -; -A FORWARD -m state --state INVALID -j DROP; -A FORWARD -j a; \
                -A FORWARD -m state --state ESTABLISHED -j ACCEPT; -A FORWARD -s NET -j ACCEPT; \
                -A a -m conntrack --ctdir REPLY; -A a -p ICMP -j RETURN";
    for family in [Family::V4, Family::V6] {
        let mut programs = loaded(family, text);
        count(&mut programs, family, Direction::Original, ExpressRoute::Forward);
        let expected = [
            "[2:1552] -A FORWARD -j a",
            "[2:1552] -A FORWARD -m state --state ESTABLISHED -j ACCEPT",
            ":PREROUTING ACCEPT [2:1552]",
            ":FORWARD ACCEPT [2:1552]",
            ":POSTROUTING ACCEPT [2:1552]",
            ":PREROUTING ACCEPT [2:1552]",
        ];
        assert_eq!(counted(&programs, family), expected, "{family:?}, forwarded");
        let mut programs = loaded(family, text);
        count(&mut programs, family, Direction::Reply, ExpressRoute::Input);
        let expected = [
            ":INPUT ACCEPT [2:1552]",
            ":PREROUTING ACCEPT [2:1552]",
            ":INPUT ACCEPT [2:1552]",
            ":PREROUTING ACCEPT [2:1552]",
        ];
        assert_eq!(counted(&programs, family), expected, "{family:?}, delivered");
        let mut programs = loaded(family, text);
        count(&mut programs, family, Direction::Reply, ExpressRoute::Forward);
        let rule = "[2:1552] -A a -m conntrack --ctdir REPLY".to_string();
        assert!(counted(&programs, family).contains(&rule), "{family:?}, an answer");
    }
}

#[test]
fn a_chain_that_is_met_twice_counts_twice() {
    let text = "*filter; :a -; -A FORWARD -j a; -A FORWARD -j a; -A a -p tcp";
    let mut programs = loaded(Family::V4, text);
    count(&mut programs, Family::V4, Original, ExpressRoute::Forward);
    let expected = [
        ":FORWARD ACCEPT [2:1552]",
        "[2:1552] -A FORWARD -j a",
        "[2:1552] -A FORWARD -j a",
        "[4:3104] -A a -p tcp",
    ];
    assert_eq!(counted(&programs, Family::V4), expected);
}

#[test]
fn nothing_is_counted_where_the_way_is_never_clear() {
    let mut programs = loaded(Family::V4, "*mangle*filter; -A FORWARD -i lan0 -j ACCEPT");
    count(&mut programs, Family::V4, Original, ExpressRoute::Forward);
    assert_eq!(counted(&programs, Family::V4), Vec::<String>::new());
}

#[test]
fn entries_are_followed_up_to_a_limit() {
    let rules = |count: usize| format!("*filter{}", "; -A FORWARD".repeat(count));
    let rows = [(super::MOST - 1, "tcp udp"), (super::MOST, "")];
    for (count, expected) in rows {
        let programs = loaded(Family::V4, &rules(count));
        assert_eq!(clear(&programs, Family::V4, ExpressRoute::Forward), expected, "{count} rules");
    }
}

#[test]
fn chains_that_double_at_each_jump_are_not_walked_to_the_end() {
    let chains = 40;
    let mut text = "*filter".to_string();
    (0..chains).for_each(|chain| text += &format!("; :u{chain} -"));
    text += "; -A FORWARD -j u0";
    for (from, to) in (0..chains).zip(1..chains) {
        text += &format!("; -A u{from} -j u{to}; -A u{from} -j u{to}");
    }
    let programs = loaded(Family::V4, &text);
    assert_eq!(clear(&programs, Family::V4, ExpressRoute::Forward), "");
}
