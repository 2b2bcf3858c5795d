//! For which packets that begin flows or change them the rules are proven to let them go on.

use super::super::Fresh;
use super::*;

/// The sorts of fresh packets that FORWARD is clear for: `new-` if they begin a flow, else the
/// protocol, with a direction if it isn't clear for the other.
fn cleared(programs: &Programs, family: Family) -> String {
    let route = ExpressRoute::Forward;
    let mut words = Vec::new();
    for (proto, name) in [(ExpressProto::Tcp, "tcp"), (ExpressProto::Udp, "udp")] {
        let clears = |established| programs.clears(family, Fresh { proto, established, route });
        words.extend(clears(None).then(|| format!("new-{name}")));
        words.extend(match (clears(Some(Original)), clears(Some(Reply))) {
            (true, true) => Some(name.to_string()),
            (true, false) => Some(format!("{name}-original")),
            (false, true) => Some(format!("{name}-reply")),
            (false, false) => None,
        });
    }
    words.join(" ")
}

#[track_caller]
fn check(rows: &[(&str, &str, &str)]) {
    for (what, text, expected) in rows {
        for family in [Family::V4, Family::V6] {
            let programs = loaded(family, text);
            assert_eq!(cleared(&programs, family), *expected, "{what}, {family:?}");
        }
    }
}

#[test]
fn what_state_and_flags_decide() {
    let rows = [
        ("a policy", "*filter; :FORWARD ACCEPT", "new-tcp tcp new-udp udp"),
        ("its contrary", "*filter; :FORWARD DROP", ""),
        (
            "by state",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
             -A FORWARD -m conntrack --ctstate INVALID -j DROP; -A FORWARD -m state --state NEW -j ACCEPT",
            "new-tcp tcp new-udp udp",
        ),
        (
            "new ones are refused",
            "*filter; :FORWARD DROP; -A FORWARD -m state --state ESTABLISHED -j ACCEPT",
            "tcp udp",
        ),
        (
            "answers alone",
            "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctdir REPLY -j ACCEPT; \
             -A FORWARD -m state --state NEW -j ACCEPT",
            "new-tcp tcp-reply new-udp udp-reply",
        ),
        (
            "what is new and no SYN",
            "*filter; -A FORWARD -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m state --state NEW -j DROP",
            "new-tcp tcp new-udp udp",
        ),
        (
            "a first SYN alone",
            "*filter; :FORWARD DROP; -A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j ACCEPT",
            "new-tcp",
        ),
        (
            "flags that come with any segment",
            "*filter; -A FORWARD -p tcp -m tcp --tcp-flags PSH PSH -j DROP",
            "new-udp udp",
        ),
        (
            "flags that one that is usual never has",
            "*filter; -A FORWARD -p tcp -m tcp --tcp-flags FIN FIN -j DROP",
            "new-tcp new-udp udp",
        ),
    ];
    check(&rows);
}

#[test]
fn what_the_flow_decides_is_for_the_walk() {
    let rows = [
        ("an address", "*filter; -A FORWARD -s NET -j DROP", ""),
        (
            "a new one's port",
            "*filter; -A FORWARD -m state --state ESTABLISHED -j ACCEPT; \
             -A FORWARD -p udp -m udp --dport 53 -j DROP",
            "new-tcp tcp udp",
        ),
        ("assurance", "*filter; -A FORWARD -m conntrack --ctstatus ASSURED -j DROP", ""),
        ("translation", "*filter; -A FORWARD -m conntrack --ctstate DNAT -j DROP", ""),
        (
            "a mark on new ones",
            "*mangle; -A FORWARD -m state --state NEW -j CONNMARK --set-mark 0x1",
            "tcp udp",
        ),
        ("one that is not tracked", "*raw; -A PREROUTING -p udp -j CT --notrack", "new-tcp tcp"),
    ];
    check(&rows);
}

#[test]
fn what_a_fresh_packet_meets_is_counted() {
    let text = "*filter; :FORWARD DROP; -A FORWARD -m state --state ESTABLISHED -j ACCEPT; \
                -A FORWARD -m state --state NEW -j ACCEPT";
    for family in [Family::V4, Family::V6] {
        let mut programs = loaded(family, text);
        let fresh = |established| Fresh {
            proto: ExpressProto::Tcp,
            established,
            route: ExpressRoute::Forward,
        };
        programs.count_fresh(family, fresh(None), 60);
        programs.count_fresh(family, fresh(Some(Reply)), 40);
        programs.count_fresh(family, fresh(Some(Original)), 40);
        let printed = programs.print(family, true).expect("a table");
        let counters: Vec<&str> =
            printed.lines().filter_map(|line| line.split_once(" -A").map(|(at, _)| at)).collect();
        assert_eq!(counters, ["[2:80]", "[1:60]"]);
    }
}
