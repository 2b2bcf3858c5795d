//! Which addresses are one to a list that rules of both families share.

use core::net::IpAddr;

use tidegate_wire::Family;

use super::*;

fn list(family: Family, mask: Option<&str>) -> List {
    let mask = mask.map(|mask| mask.parse().unwrap());
    let recent = Recent {
        negated: false,
        action: Action::Set,
        seconds: 0,
        hits: 0,
        reap: false,
        hops: false,
        family,
        name: "l".into(),
        mask,
        side: Side::Source,
    };
    recent.new_list()
}

/// Each row: the family and the mask of the rule that made the list, an address, and what the list keeps of it.
#[test]
fn the_mask_of_the_first_rule_serves_both_families() {
    use Family::{V4, V6};
    let rows = [
        (V4, None, "10.0.1.2", "10.0.1.2"),
        (V4, None, "fd00:1::2", "fd00:1::2"),
        (V4, Some("255.255.255.0"), "10.0.1.2", "10.0.1.0"),
        (V4, Some("255.255.255.255"), "fd00:1::2", "fd00:1::"),
        (V4, Some("255.255.255.0"), "fd00:1ff::2", "fd00:100::"),
        (V6, Some("ffff:ffff:ffff:ffff::"), "10.0.1.2", "10.0.1.2"),
        (V6, Some("ffff::"), "10.0.1.2", "10.0.0.0"),
        (V6, Some("ffff::"), "fd00:1::2", "fd00::"),
    ];
    for (family, mask, address, kept) in rows {
        let [address, kept]: [IpAddr; 2] = [address, kept].map(|text| text.parse().unwrap());
        assert_eq!(list(family, mask).masked(address), kept, "{family:?} {mask:?} {address}");
    }
}

#[test]
fn a_hop_limit_of_zero_is_anybodys() {
    let mut list = list(Family::V4, None);
    let address: IpAddr = "10.0.1.2".parse().unwrap();
    for (hops, wanted, found) in [(5, 5, true), (5, 6, false), (5, 0, true), (0, 6, true)] {
        list.entries.clear();
        list.add(&Sighting { address, hops, now: Instant::ZERO });
        assert_eq!(list.find(address, Some(wanted)).is_some(), found, "{hops} {wanted}");
    }
    assert!(list.find(address, None).is_some());
}
