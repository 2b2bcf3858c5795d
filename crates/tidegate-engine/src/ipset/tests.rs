//! What lines about sets do and which are refused, and what lookups find.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use proptest::prelude::*;
use tidegate_wire::dissect;

use super::*;
use crate::testkit::ip_datagram;

const NOW: Instant = Instant::from_nanos(5_000_000_000);

fn sets(text: &str) -> Sets {
    let mut sets = Sets::default();
    sets.restore(NOW, "test", text).unwrap();
    sets
}

fn look(sets: &mut Sets, name: &str, addr: &str, now: Instant) -> bool {
    see(addr, now, |sight| sets.holds(name, sight, &Demand::default()))
}

/// A UDP datagram of 28 or 48 bytes from that address, port 53, to port 80.
fn see<T>(addr: &str, now: Instant, what: impl FnOnce(&Sight<'_>) -> T) -> T {
    let src: IpAddr = addr.parse().unwrap();
    let dst = if src.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" }.parse().unwrap();
    let udp = [0, 53, 0, 80, 0, 8, 0, 0];
    let datagram = ip_datagram((src, dst), 17, 64, &udp);
    let headers = dissect(&datagram).unwrap();
    let directions = Directions::new([Direction::Source, Direction::Destination]).unwrap();
    what(&Sight { headers: &headers, datagram: &datagram, directions, now })
}

#[test]
fn what_a_packet_adds_begins_with_that_packet_counted() {
    let mut sets = sets("create s hash:ip counters\ncreate p bitmap:port range 0-99 counters");
    let demand = Demand {
        packets: Some(Compare::Equal(2)),
        bytes: Some(Compare::Equal(56)),
        ..Demand::default()
    };
    for name in ["s", "p"] {
        see("10.0.0.1", NOW, |sight| {
            assert!(sets.add_packet(name, sight, Addition::default()));
            assert!(sets.holds(name, sight, &demand), "{name}: itself, and once more");
            let renewed = Addition { exist: true, timeout: None };
            assert!(sets.add_packet(name, sight, renewed));
            assert!(sets.holds(name, sight, &demand), "{name}: counted anew");
        });
    }
}

#[test]
fn the_first_subset_that_a_packet_changes_is_enough() {
    let mut sets = sets(
        "create six hash:ip family inet6\ncreate a hash:ip maxelem 1\ncreate b hash:ip\ncreate c hash:ip\n\
         create l list:set\nadd l six\nadd l a\nadd l b\nadd l c",
    );
    let lens = |sets: &Sets| ["six", "a", "b", "c"].map(|name| sets.len(NOW, name).unwrap());
    let add = |sets: &mut Sets, addr| {
        see(addr, NOW, |sight| sets.add_packet("l", sight, Addition::default()))
    };
    assert!(add(&mut sets, "10.0.0.1"));
    assert_eq!(lens(&sets), [0, 1, 0, 0], "another family's doesn't take it");
    assert!(add(&mut sets, "10.0.0.1") && add(&mut sets, "10.0.0.2"));
    assert_eq!(lens(&sets), [0, 1, 2, 0], "there already, and full");
    assert!(see("10.0.0.1", NOW, |sight| sets.remove_packet("l", sight)));
    assert_eq!(lens(&sets), [0, 0, 2, 0]);
}

/// Each row: lines, an address, whether the set `s` holds it (as source, with destination port UDP 80).
#[test]
fn what_is_in_a_set() {
    let rows = [
        ("create s hash:ip\nadd s 10.0.0.1", "10.0.0.1", true),
        ("create s hash:ip\nadd s 10.0.0.1", "10.0.0.2", false),
        ("create s hash:ip\nadd s 10.0.0.1\ndel s 10.0.0.1", "10.0.0.1", false),
        ("create s hash:ip\nadd s 10.0.0.1\nflush s", "10.0.0.1", false),
        ("create s hash:ip netmask 24\nadd s 10.0.0.7", "10.0.0.9", true),
        ("create s hash:ip family inet6\nadd s fd00::1", "fd00::1", true),
        ("create s hash:ip family inet6\nadd s fd00::1", "10.0.0.1", false),
        ("create s hash:net\nadd s 10.0.0.0/8", "10.9.9.9", true),
        ("create s hash:net\nadd s 10.0.0.0/8\nadd s 10.9.0.0/16 nomatch", "10.9.9.9", false),
        ("create s hash:net\nadd s 10.0.0.0/8 nomatch\nadd s 10.9.0.0/16", "10.9.9.9", true),
        ("create s hash:net family inet6\nadd s fd00::/8", "fd12::1", true),
        ("create s hash:ip,port\nadd s 10.0.0.1,udp:80", "10.0.0.1", true),
        ("create s hash:ip,port\nadd s 10.0.0.1,80", "10.0.0.1", false),
        ("create s hash:net,port\nadd s 10.0.0.0/24,udp:80", "10.0.0.99", true),
        ("create s bitmap:port range 0-100\nadd s 53", "10.0.0.1", true),
        ("create s bitmap:port range 0-100\nadd s 54", "10.0.0.1", false),
        ("create n hash:net\nadd n 10.0.0.0/8\ncreate s list:set\nadd s n", "10.0.0.1", true),
        (
            "create n hash:net\nadd n 10.0.0.0/8\ncreate s list:set\nadd s n\ndel s n",
            "10.0.0.1",
            false,
        ),
        ("create s hash:ip comment\nadd s 10.0.0.1 comment \"a word or two\"", "10.0.0.1", true),
        ("create s hash:ip counters\nadd s 10.0.0.1 packets 5 bytes 10", "10.0.0.1", true),
    ];
    for (text, addr, expected) in rows {
        assert_eq!(look(&mut sets(text), "s", addr, NOW), expected, "{text}: {addr}");
    }
}

#[test]
fn elements_go_when_their_time_is_over() {
    let mut sets =
        sets("create s hash:ip timeout 5 maxelem 2\nadd s 10.0.0.1\nadd s 10.0.0.2 timeout 0");
    for (later, first) in [(0, true), (4, true), (5, false)] {
        let now = NOW.after_seconds(later);
        assert_eq!(look(&mut sets, "s", "10.0.0.1", now), first, "{later}");
        assert!(look(&mut sets, "s", "10.0.0.2", now));
    }
    assert_eq!(sets.len(NOW, "s"), Some(2));
    let error = sets.restore(NOW, "f", "add s 10.0.0.3").unwrap_err();
    assert_eq!(error[0].to_string(), "f:1: `10.0.0.3': the set has its 2 elements");
    sets.restore(NOW.after_seconds(5), "f", "add s 10.0.0.3").unwrap();
    assert_eq!(sets.len(NOW.after_seconds(5), "s"), Some(2));
}

/// Each row: a line behind `create s hash:ip`, `create n hash:net`, `create p hash:ip,port`, `create l list:set` and
/// `add s 10.0.0.1`, and what is said of it.
#[test]
fn bad_lines_are_named() {
    let rows = [
        ("bogus s", "unknown command `bogus'"),
        ("create", "something is missing behind `create'"),
        ("create x hash:mac", "set type `hash:mac' is not supported"),
        ("create x hash:ip forceadd", "option `forceadd' is not supported here"),
        ("create x hash:ip maxelem many", "`many' is not a number in range"),
        ("create s hash:ip", "`s' is there already"),
        ("add x 10.0.0.1", "there is no set `x'"),
        ("add s", "something is missing behind `s'"),
        ("add s 10.0.0.1", "`10.0.0.1' is there already"),
        ("add s fd00::1", "`fd00::1' is not an address of the set's family"),
        ("add s 10.0.0.256", "`10.0.0.256' is not an address of the set's family"),
        ("add s 0.0.0.0", "`0.0.0.0' is not an address of the set's family"),
        ("add s 10.0.0.1-10.0.0.9", "ranges are not supported"),
        ("add s 10.0.0.0/24", "ranges are not supported"),
        ("add s 10.0.0.2 timeout 5", "option `timeout' is not supported here"),
        ("add s 10.0.0.2 nomatch", "option `nomatch' is not supported here"),
        ("add n 10.0.0.0/33", "`33' is not a prefix length"),
        ("add n 0.0.0.0/0", "`0' is not a prefix length"),
        ("add p 10.0.0.2", "`10.0.0.2' is not a port"),
        ("add p 10.0.0.2,tcp:x9", "`x9' is not a port"),
        ("add l l", "a list can't be in a list"),
        ("add l x", "there is no set `x'"),
        ("del s 10.0.0.9", "`10.0.0.9' isn't there"),
        ("add p 10.0.0.2,icmp:any", "`icmp:any' is not a port"),
        ("add p 10.0.0.2,esp:5", "`esp:5' is not a port"),
        ("add p 10.0.0.2,hopopt:0", "`hopopt:0' is not a port"),
        ("destroy x", "there is no set `x'"),
    ];
    let before = "create s hash:ip\ncreate n hash:net\ncreate p hash:ip,port\ncreate l list:set\nadd s 10.0.0.1\n";
    for (line, expected) in rows {
        let errors = Sets::default().restore(NOW, "f", &format!("{before}{line}")).unwrap_err();
        let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(shown.len() == 1 && shown[0].starts_with("f:6: "), "{line}: {shown:?}");
        assert!(shown[0].contains(expected), "{line}: {shown:?}");
    }
}

#[test]
fn ipset_save_is_read_with_all_that_it_writes() {
    let text = "create c hash:ip,port family inet hashsize 1024 maxelem 65536 timeout 5 counters bucketsize 12 initval 0x3030ff92
add c 1.2.3.4,esp:0 timeout 4 packets 0 bytes 0
add c 1.2.3.4,icmp:TOS-host-unreachable timeout 4 packets 0 bytes 0
add c 1.2.3.4,icmp:timestamp-reply timeout 4 packets 1 bytes 40
add c 1.2.3.4,ipv6-nonxt:0 timeout 4 packets 0 bytes 0
add c 1.2.3.4,200:0 timeout 4 packets 0 bytes 0
create g hash:ip,port family inet6 hashsize 1024 maxelem 65536 bucketsize 12 initval 0x63df399f
add g 2001:db8::1,ipv6-icmp:neighbour-solicitation
create e bitmap:port range 100-200 timeout 60 counters comment
add e 150 timeout 59 packets 0 bytes 0 comment \"a word\"
create f list:set size 12 timeout 9 counters comment
add f g timeout 8 packets 0 bytes 0";
    let sets = sets(text);
    let lens = ["c", "g", "e", "f"].map(|name| sets.len(NOW, name));
    assert_eq!(lens, [Some(5), Some(1), Some(1), Some(1)]);
}

#[test]
fn a_set_that_a_rule_names_stays() {
    let mut sets = sets("create s hash:ip\ncreate o hash:ip");
    sets.keep(["s"].into_iter());
    for line in ["destroy s", "destroy"] {
        let error = sets.restore(NOW, "f", line).unwrap_err();
        assert_eq!((error.len(), error[0].kind), (1, SetErrorKind::Named), "{line}");
        assert!(sets.has("s") && sets.has("o"), "{line}");
    }
    sets.restore(NOW, "f", "flush s\ndestroy o").unwrap();
    sets.keep([].into_iter());
    sets.restore(NOW, "f", "destroy").unwrap();
    assert!(sets.is_empty());
}

#[test]
fn a_set_in_a_list_stays() {
    let mut sets = sets("create s hash:ip\ncreate l list:set\nadd l s");
    for line in ["destroy s", "destroy"] {
        let error = sets.restore(NOW, "f", line).unwrap_err();
        assert_eq!(error[0].kind, SetErrorKind::InUse, "{line}");
    }
    sets.restore(NOW, "f", "del l s\ndestroy s").unwrap();
    assert!(!sets.has("s"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "(create|add|del|flush) [sn] [a-z:,0-9./ -]{0,30}(\n[ -~]{0,40})?") {
        let mut sets = Sets::default();
        let _ = sets.restore(NOW, "f", "create s hash:ip\ncreate n hash:net,port");
        let _ = sets.restore(NOW, "f", &text);
    }
}
