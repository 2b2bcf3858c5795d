//! The router against what its recordings and Linux's route input path say.

use super::*;

const LOCAL: Route = Route::Local { broadcast: false };
const TO_MANY: Route = Route::Local { broadcast: true };

fn forward(port: PortId, next_hop: &str) -> Route {
    Route::Forward { port, next_hop: next_hop.parse().unwrap() }
}

#[test]
fn the_router_routes_as_the_scenario_format_says() {
    let rows = [
        ("LAN to an on-link WAN host", "10.0.1.2", "203.0.113.2", forward(OUT0, "203.0.113.2")),
        ("LAN to the world", "10.0.1.2", "198.51.100.1", forward(OUT0, "203.0.113.254")),
        ("WAN to a LAN host", "203.0.113.2", "10.0.1.9", forward(IN0, "10.0.1.9")),
        ("to the router's near side", "10.0.1.2", "10.0.1.1", LOCAL),
        ("to the router's far side", "10.0.1.2", "203.0.113.1", LOCAL),
        ("subnet broadcast", "10.0.1.2", "10.0.1.255", TO_MANY),
        ("limited broadcast", "10.0.1.2", "255.255.255.255", TO_MANY),
        ("DHCP's first cry", "0.0.0.0", "255.255.255.255", TO_MANY),
        ("all hosts group", "10.0.1.2", "224.0.0.1", TO_MANY),
        ("a group nobody joined", "10.0.1.2", "224.0.0.5", Route::Blackhole),
        ("loopback source", "127.0.0.1", "203.0.113.2", Route::Blackhole),
        ("no source", "0.0.0.0", "203.0.113.2", Route::Blackhole),
        ("the network of no network", "10.0.1.2", "0.1.2.3", forward(OUT0, "203.0.113.254")),
        ("out of no network", "0.1.2.3", "203.0.113.2", forward(OUT0, "203.0.113.2")),
        ("no target", "10.0.1.2", "0.0.0.0", Route::Blackhole),
        ("neither", "0.0.0.0", "0.0.0.0", TO_MANY),
        ("the router's own address as source", "10.0.1.1", "203.0.113.2", Route::Blackhole),
        ("multicast source", "224.0.0.9", "203.0.113.2", Route::Blackhole),
        ("loopback target", "10.0.1.2", "127.0.0.1", Route::Blackhole),
        ("LAN to WAN", "fd00:1::2", "2001:db8:1::2", forward(OUT0, "2001:db8:1::2")),
        ("LAN to the world", "fd00:1::2", "2001:db8:2::2", forward(OUT0, "2001:db8:1::fe")),
        ("the router's far side", "fd00:1::2", "2001:db8:1::1", LOCAL),
        ("subnet anycast", "fd00:1::2", "fd00:1::", LOCAL),
        ("all routers", "fd00:1::2", "ff02::2", TO_MANY),
        ("solicited node, not joined", "fd00:1::2", "ff02::1:ff00:1", Route::Blackhole),
        ("no target", "fd00:1::2", "::", forward(OUT0, "2001:db8:1::fe")),
        ("link-local target", "fd00:1::2", "fe80::2", Route::Unreachable),
        ("link-local source", "fe80::2", "2001:db8:1::2", Route::Blackhole),
    ];
    for (what, src, dst, expected) in rows {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let query = RouteQuery { dst, src, in_port: Some(IN0), mark: 0 };
        assert_eq!(Router::default().route(&query), expected, "{what}: {src} > {dst}");
    }
}

#[test]
fn own_packets_may_carry_own_addresses() {
    let [src, dst] = ["10.0.1.1", "10.0.1.2"].map(|addr| addr.parse().unwrap());
    let query = RouteQuery { dst, src, in_port: None, mark: 0 };
    assert_eq!(Router::default().route(&query), forward(IN0, "10.0.1.2"));
}

#[test]
fn an_address_is_local_or_broadcast_to_its_own_port() {
    use AddrType::{Broadcast, Local, Unicast};
    let rows = [
        ("203.0.113.1", [Local, Unicast, Local]),
        ("203.0.113.255", [Broadcast, Unicast, Broadcast]),
        ("10.0.1.255", [Broadcast, Broadcast, Unicast]),
        ("255.255.255.255", [Broadcast; 3]),
        ("0.0.0.0", [Broadcast; 3]),
        ("0.1.2.3", [Unicast; 3]),
        ("127.0.0.1", [Local, Unicast, Unicast]),
        ("fd00:1::1", [Local, Local, Unicast]),
        ("::1", [Local, Unicast, Unicast]),
    ];
    for (addr, expected) in rows {
        let addr = addr.parse().unwrap();
        let found =
            [None, Some(IN0), Some(OUT0)].map(|port| Router::default().addr_type(addr, port));
        assert_eq!(found, expected, "{addr}");
    }
}

#[test]
fn everything_passes_a_passage() {
    let passage = Passage::default();
    for (src, dst) in [("127.0.0.1", "127.0.0.1"), ("10.0.1.2", "10.0.1.1"), ("::", "ff02::1")] {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let query = RouteQuery { dst, src, in_port: Some(IN0), mark: 0 };
        assert_eq!(passage.route(&query), Route::Forward { port: OUT0, next_hop: dst });
    }
}
