//! The address of a range, against the choices of Linux 6.18.

use core::net::IpAddr;

use tidegate_wire::proto;

use crate::nat::{Manip, NatRange, address};
use crate::tuple::{Tuple, Zone};

/// What Linux chose: source, destination, address.
type Recorded = (&'static str, &'static str, &'static str);

fn check(manip: Manip, (first, last): (&str, &str), persistent: bool, recorded: &[Recorded]) {
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let addrs = Some((ip(first), ip(last)));
    let range = NatRange { addrs, persistent, ..NatRange::default() };
    for (src, dst, chosen) in recorded {
        let (src, dst) = (ip(src), ip(dst));
        let before = Tuple { src, dst, sport: 5000, dport: 53, proto: proto::UDP };
        let expected = match manip {
            Manip::Src => Tuple { src: ip(chosen), ..before },
            Manip::Dst => Tuple { dst: ip(chosen), ..before },
        };
        let mut tuple = before;
        address::choose(&mut tuple, &range, manip, Zone::default());
        assert_eq!(tuple, expected, "{manip:?} {src} > {dst}");
    }
}

#[test]
fn sources_of_ipv4() {
    let range = ("203.0.113.40", "203.0.113.47");
    check(
        Manip::Src,
        range,
        false,
        &[
            ("10.0.1.2", "203.0.113.2", "203.0.113.47"),
            ("10.0.1.3", "203.0.113.2", "203.0.113.43"),
            ("10.0.1.4", "203.0.113.2", "203.0.113.44"),
            ("10.0.1.5", "203.0.113.2", "203.0.113.47"),
        ],
    );
    check(
        Manip::Src,
        range,
        true,
        &[
            ("10.0.1.2", "203.0.113.2", "203.0.113.47"),
            ("10.0.1.2", "203.0.113.3", "203.0.113.47"),
            ("10.0.1.3", "203.0.113.2", "203.0.113.45"),
            ("10.0.1.3", "203.0.113.3", "203.0.113.45"),
            ("10.0.1.5", "203.0.113.3", "203.0.113.45"),
        ],
    );
}

#[test]
fn destinations_of_ipv4() {
    check(
        Manip::Dst,
        ("10.0.1.40", "10.0.1.47"),
        false,
        &[
            ("203.0.113.2", "203.0.113.1", "10.0.1.45"),
            ("203.0.113.3", "203.0.113.1", "10.0.1.41"),
            ("203.0.113.4", "203.0.113.1", "10.0.1.46"),
            ("203.0.113.77", "203.0.113.1", "10.0.1.46"),
        ],
    );
}

#[test]
fn sources_of_ipv6() {
    let range = ("2001:db8:1::40", "2001:db8:1::47");
    check(
        Manip::Src,
        range,
        false,
        &[
            ("fd00:1::2", "2001:db8:1::2", "2001:db8:1::46"),
            ("fd00:1::2", "2001:db8:1::3", "2001:db8:1::44"),
            ("fd00:1::3", "2001:db8:1::2", "2001:db8:1::45"),
            ("fd00:1::beef", "2001:db8:1::2", "2001:db8:1::46"),
        ],
    );
    check(
        Manip::Src,
        range,
        true,
        &[
            ("fd00:1::2", "2001:db8:1::2", "2001:db8:1::40"),
            ("fd00:1::2", "2001:db8:1::3", "2001:db8:1::40"),
            ("fd00:1::3", "2001:db8:1::2", "2001:db8:1::46"),
            ("fd00:1::beef", "2001:db8:1::2", "2001:db8:1::44"),
        ],
    );
    check(
        Manip::Src,
        ("2001:db8:1::40", "2001:db8:1::5:47"),
        false,
        &[
            ("fd00:1::2", "2001:db8:1::2", "2001:db8:1::3:f9ac"),
            ("fd00:1::2", "2001:db8:1::3", "2001:db8:1::2:b0a2"),
            ("fd00:1::beef", "2001:db8:1::3", "2001:db8:1::3:6a2e"),
        ],
    );
}

#[test]
fn destinations_of_ipv6() {
    let range = ("fd00:1::40", "fd00:1::47");
    check(
        Manip::Dst,
        range,
        false,
        &[
            ("2001:db8:1::2", "2001:db8:1::1", "fd00:1::47"),
            ("2001:db8:1::3", "2001:db8:1::1", "fd00:1::42"),
            ("2001:db8:1::4", "2001:db8:1::1", "fd00:1::43"),
            ("2001:db8:1::beef", "2001:db8:1::1", "fd00:1::42"),
        ],
    );
    check(
        Manip::Dst,
        range,
        true,
        &[
            ("2001:db8:1::2", "2001:db8:1::1", "fd00:1::47"),
            ("2001:db8:1::3", "2001:db8:1::1", "fd00:1::40"),
            ("2001:db8:1::beef", "2001:db8:1::1", "fd00:1::43"),
        ],
    );
    check(
        Manip::Dst,
        ("fd00:1::40", "fd00:1::5:47"),
        false,
        &[
            ("2001:db8:1::2", "2001:db8:1::1", "fd00:1::4:cd85"),
            ("2001:db8:1::3", "2001:db8:1::1", "fd00:1::1:8040"),
        ],
    );
}

/// Ranges whose ends differ in an upper word: below the maximum the lower words are free.
#[test]
fn ranges_over_several_words() {
    let range = ("2001:db8:1:0:0:1:0:10", "2001:db8:1:0:0:3:0:ff");
    check(
        Manip::Src,
        range,
        false,
        &[
            ("fd00:1::2", "2001:db8:1::2", "2001:db8:1::3:0:ce"),
            ("fd00:1::2", "2001:db8:1::3", "2001:db8:1::2:89ac:69dd"),
            ("fd00:1::3", "2001:db8:1::3", "2001:db8:1::1:2d04:69ae"),
            ("fd00:1::beef", "2001:db8:1::3", "2001:db8:1::3:0:b3"),
        ],
    );
    check(
        Manip::Dst,
        ("fd00:1:0:0:0:1:0:10", "fd00:1:0:0:0:3:0:ff"),
        false,
        &[
            ("2001:db8:1::2", "2001:db8:1::1", "fd00:1::3:0:f7"),
            ("2001:db8:1::3", "2001:db8:1::1", "fd00:1::1:4dcc:7309"),
            ("2001:db8:1::4", "2001:db8:1::1", "fd00:1::2:74a1:89e7"),
            ("2001:db8:1::beef", "2001:db8:1::1", "fd00:1::2:57ab:c2fc"),
        ],
    );
}

#[test]
fn one_address_or_none() {
    check(
        Manip::Src,
        ("203.0.113.1", "203.0.113.1"),
        false,
        &[("10.0.1.2", "203.0.113.2", "203.0.113.1")],
    );
    let src = IpAddr::from([10, 0, 1, 2]);
    let before = Tuple { src, dst: src, sport: 1, dport: 2, proto: proto::UDP };
    let mut tuple = before;
    address::choose(&mut tuple, &NatRange::default(), Manip::Dst, Zone::default());
    assert_eq!(tuple, before, "a rule without addresses keeps them");
}
