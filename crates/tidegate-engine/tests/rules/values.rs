//! What the values in a ruleset hold and what not, and the arithmetic of a limit.

use tidegate_engine::rules::ast::{
    AddressRange, Interface, LimitMatch, MarkPattern, Network, PortRange,
};
use tidegate_engine::rules::{self, ast::Target};
use tidegate_wire::Family;

#[test]
fn networks_hold_what_agrees_in_the_mask() {
    let rows = [
        // address, mask, candidate, held, prefix
        ("10.0.0.0", "255.0.0.0", "10.255.1.2", true, Some(8)),
        ("10.0.0.0", "255.0.0.0", "11.0.0.0", false, Some(8)),
        ("10.0.7.0", "255.0.255.0", "10.9.7.1", true, None),
        ("10.0.7.0", "255.0.255.0", "10.9.8.1", false, None),
        ("10.1.1.1", "255.255.255.255", "10.1.1.1", true, Some(32)),
        ("0.0.0.0", "0.0.0.0", "255.255.255.255", true, Some(0)),
        ("0.0.0.0", "0.0.0.0", "::", false, Some(0)),
        ("2001:db8::", "ffff:ffff::", "2001:db8:1::5", true, Some(32)),
        ("2001:db8::", "ffff:ffff::", "2001:db9::", false, Some(32)),
        ("2001::1", "ffff::1", "2001:db8::3", true, None),
        ("::", "::", "2001:db8::3", true, Some(0)),
    ];
    for (address, mask, candidate, held, prefix) in rows {
        let network = Network { address: address.parse().unwrap(), mask: mask.parse().unwrap() };
        assert_eq!(network.contains(candidate.parse().unwrap()), held, "{network:?} {candidate}");
        assert_eq!(network.prefix_len(), prefix, "{network:?}");
    }
}

#[test]
fn interfaces_match_by_name_or_beginning() {
    let rows = [
        ("eth0", false, "eth0", true),
        ("eth0", false, "eth01", false),
        ("eth", true, "eth01", true),
        ("eth", true, "eth", true),
        ("eth", true, "et", false),
        ("", true, "", true),
        ("eth0", false, "", false),
    ];
    for (name, wildcard, candidate, matched) in rows {
        let interface = Interface { name: name.to_owned(), wildcard };
        assert_eq!(interface.matches(candidate), matched, "{interface:?} {candidate}");
    }
}

#[test]
fn ranges_hold_both_ends_and_reversed_ones_nothing() {
    let ports = PortRange { first: 5, last: 7 };
    assert_eq!([4, 5, 7, 8].map(|port| ports.contains(port)), [false, true, true, false]);
    assert!(!PortRange { first: 7, last: 5 }.contains(6));
    let range = |first: &str, last: &str| AddressRange {
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
    };
    assert!(range("1.2.3.4", "1.2.4.0").contains("1.2.3.255".parse().unwrap()));
    assert!(!range("1.2.4.0", "1.2.3.4").contains("1.2.3.255".parse().unwrap()));
    assert!(!range("0.0.0.0", "255.255.255.255").contains("::1".parse().unwrap()));
}

#[test]
fn a_mark_outside_its_mask_never_matches() {
    assert!(MarkPattern { value: 0x2, mask: 0xf }.matches(0xf2));
    assert!(!MarkPattern { value: 0x12, mask: 0x2 }.matches(0x12));
}

/// The kernel's numbers: a bucket of five packets at three an hour, and one that wraps around 32 bits.
#[test]
fn limits_count_in_credits() {
    let default =
        LimitMatch { interval: LimitMatch::DEFAULT_INTERVAL, burst: LimitMatch::DEFAULT_BURST };
    assert_eq!((default.cost(), default.capacity()), (38_400_000, 192_000_000));
    let second = LimitMatch { interval: LimitMatch::SCALE, burst: 1 };
    assert_eq!(second.cost(), LimitMatch::CREDITS_PER_SECOND);
    let fastest = LimitMatch { interval: 1, burst: 1 };
    assert_eq!(fastest.cost(), 3);
    let wrapped = LimitMatch { interval: 36_000_000, burst: 1200 };
    assert_eq!((wrapped.cost(), wrapped.capacity()), (115_200_000, 801_024_000));
}

/// Chains may be nested as deeply as there are chains.
#[test]
fn a_long_line_of_chains_is_walked_without_recursion() {
    const DEPTH: usize = 3000;
    let declared: String = (0..DEPTH).map(|n| format!(":c{n:04} - [0:0]\n")).collect();
    let jumps: String = (1..DEPTH).map(|n| format!("-A c{:04} -j c{n:04}\n", n - 1)).collect();
    let text = |last: &str| format!("*filter\n{declared}-A INPUT -j c0000\n{jumps}{last}COMMIT\n");
    let ruleset = rules::parse(Family::V4, "long", &text("")).unwrap();
    let first = ruleset.tables[0].chain("INPUT").unwrap();
    assert_eq!(first.rules[0].target, Target::Jump("c0000".to_owned()));
    let errors = rules::parse(Family::V4, "long", &text("-A c2999 -j c0000\n")).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "long:6002: jump to `c0000' makes a loop");
}
