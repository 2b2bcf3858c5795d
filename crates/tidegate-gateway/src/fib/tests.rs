//! A fixed world's answers, and what netlink's messages become, without a kernel.

use super::fixed::{
    Description, FixedError, FixedLink, FixedNeighbour, FixedRoute, FixedWorld, Mac,
};
use super::*;
use crate::dataplane::{Neighbour, World as _};
use tidegate_wire::packet::MacAddr;

const LAN: PortId = PortId(0);
const WAN: PortId = PortId(1);

fn mac(last: u8) -> Mac {
    Mac(MacAddr([2, 0, 0, 0, 0, last]))
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn description() -> Description {
    let link = |name: &str, last, addresses: &[&str]| FixedLink {
        name: name.to_owned(),
        mtu: 1500,
        mac: Some(mac(last)),
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
    };
    let route = |to: &str, via: &str| FixedRoute {
        to: to.parse().unwrap(),
        port: "wan".to_owned(),
        via: Some(addr(via)),
    };
    let neighbour = |address: &str| FixedNeighbour {
        port: "wan".to_owned(),
        address: addr(address),
        mac: mac(0xfe),
    };
    Description {
        links: vec![
            link("lan", 1, &["10.0.1.1/24", "fd00:1::1/64", "fe80::1/64"]),
            link("wan", 2, &["203.0.113.1/24", "2001:db8:1::1/64"]),
        ],
        routes: vec![route("0.0.0.0/0", "203.0.113.254"), route("::/0", "2001:db8:1::fe")],
        neighbours: vec![neighbour("203.0.113.254")],
    }
}

#[test]
fn a_fixed_world_answers_as_a_router_would() {
    let world = FixedWorld::new(&description()).unwrap();
    let forward = |port, next_hop| Way::Forward { port, next_hop: addr(next_hop) };
    let local = |broadcast| Way::Local { broadcast };
    // Where it comes in, from where, to where, and what becomes of it.
    let rows = [
        (LAN, "10.0.1.5", "198.51.100.7", forward(WAN, "203.0.113.254")),
        (LAN, "10.0.1.5", "203.0.113.9", forward(WAN, "203.0.113.9")),
        (LAN, "10.0.1.5", "10.0.1.1", local(false)),
        (LAN, "10.0.1.5", "203.0.113.1", local(false)),
        (LAN, "10.0.1.5", "10.0.1.255", local(true)),
        (LAN, "10.0.1.5", "255.255.255.255", local(true)),
        (LAN, "0.0.0.0", "255.255.255.255", local(true)),
        (LAN, "10.0.1.5", "224.0.0.1", local(true)),
        (LAN, "10.0.1.5", "224.0.0.9", Way::Blackhole),
        (LAN, "203.0.113.1", "198.51.100.7", Way::Blackhole),
        (LAN, "127.0.0.1", "198.51.100.7", Way::Blackhole),
        (LAN, "10.0.1.5", "127.0.0.1", Way::Blackhole),
        (LAN, "fd00:1::5", "2001:db8:9::7", forward(WAN, "2001:db8:1::fe")),
        (LAN, "fd00:1::5", "fd00:1::1", local(false)),
        (LAN, "fd00:1::5", "fd00:1::", local(false)),
        (LAN, "fe80::5", "fe80::1", local(false)),
        (WAN, "fe80::5", "fe80::1", Way::Blackhole),
        (LAN, "fe80::5", "2001:db8:9::7", Way::Blackhole),
        (LAN, "fd00:1::5", "ff02::1", local(true)),
        (LAN, "fd00:1::5", "ff02::9", Way::Blackhole),
        (LAN, "::1", "2001:db8:9::7", Way::Blackhole),
    ];
    for (port, src, dst, way) in rows {
        let query = RouteQuery { src: addr(src), dst: addr(dst), in_port: Some(port), mark: 0 };
        assert_eq!(world.route(&query), way, "{src} to {dst}");
    }
    assert_eq!(world.source_for(addr("198.51.100.7"), None), Some(addr("203.0.113.1")));
    assert_eq!(world.source_for(addr("10.0.1.9"), Some(WAN)), Some(addr("203.0.113.1")));
    assert_eq!(world.source_for(addr("2001:db8:9::7"), Some(WAN)), Some(addr("2001:db8:1::1")));
    assert_eq!(world.source_for(addr("fe80::5"), Some(LAN)), Some(addr("fe80::1")));
    assert_eq!(world.primary_address(LAN, Family::V6), Some(addr("fd00:1::1")));
    assert_eq!(world.broadcast_mask(LAN, addr("10.0.1.255")), Some(addr("255.255.255.0")));
    assert_eq!(world.addr_type(addr("fd00:1::"), None), AddrType::Anycast);
    assert_eq!(world.addr_type(addr("10.0.1.1"), Some(WAN)), AddrType::Unicast);
}

#[test]
fn whoever_is_not_listed_is_no_neighbour() {
    let world = FixedWorld::new(&description()).unwrap();
    let rows = [
        ("203.0.113.254", Neighbour::Known(mac(0xfe).0)),
        ("203.0.113.9", Neighbour::Absent),
        ("255.255.255.255", Neighbour::Known(MacAddr([0xff; 6]))),
        ("239.129.2.3", Neighbour::Known(MacAddr([1, 0, 0x5e, 1, 2, 3]))),
        ("ff02::1:ff00:7", Neighbour::Known(MacAddr([0x33, 0x33, 0xff, 0, 0, 7]))),
    ];
    for (next_hop, known) in rows {
        assert_eq!(world.neighbour(WAN, addr(next_hop)), known, "{next_hop}");
    }
}

#[test]
fn a_description_that_contradicts_itself_is_refused() {
    let mut twice = description();
    twice.links.push(twice.links[0].clone());
    assert_eq!(FixedWorld::new(&twice).unwrap_err(), FixedError::Twice("lan".to_owned()));
    let mut nowhere = description();
    nowhere.routes[0].port = "dmz".to_owned();
    assert_eq!(FixedWorld::new(&nowhere).unwrap_err(), FixedError::NoLink("dmz".to_owned()));
    let mut mixed = description();
    mixed.routes[0].via = Some(addr("::1"));
    assert!(matches!(FixedWorld::new(&mixed), Err(FixedError::OtherFamily(_))));
}

#[test]
fn an_interface_keeps_its_number_until_it_is_gone() {
    let mut world = FixedWorld::new(&description()).unwrap().world().clone();
    let mut renamed = world.links().link(WAN).clone();
    renamed.port.name = "outside".to_owned();
    assert_eq!(world.set_link(renamed), Some(WAN));
    assert_eq!(world.links().link(WAN).addresses.len(), 2, "addresses stay");
    assert_eq!(world.links().named("wan"), None);
    assert_eq!(world.remove_link(2), Some(WAN));
    let mut new = world.links().link(LAN).clone();
    new.index = 3;
    assert_eq!(world.set_link(new), Some(PortId(2)), "the number of what went rests");
    assert!(!world.links().link(WAN).is_up);
    assert_eq!(world.port(PortId(77)).name, "", "one that never was");
}
