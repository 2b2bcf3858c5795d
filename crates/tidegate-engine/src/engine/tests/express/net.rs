//! A router with two ways out, and the rules that it may have.

use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tidegate_wire::Family;

use crate::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use crate::rules::{Ruleset, parse};

/// Where the clients are.
pub(super) const LAN: PortId = PortId(0);
/// The usual way out.
const WAN: PortId = PortId(1);
/// The other one, for smaller packets.
const DSL: PortId = PortId(2);

pub(super) const CLIENT: u32 = 0x0a00_0102;
pub(super) const OTHER_CLIENT: u32 = 0x0a00_0103;
pub(super) const SERVER: u32 = 0xcb00_7102;
pub(super) const ROUTER: u32 = 0x0a00_0101;
/// The router's addresses on its ways out.
pub(super) const ON_WAN: u32 = 0xc633_6401;
const ON_DSL: u32 = 0xc633_6481;
/// Nobody knows the way to it.
pub(super) const NOWHERE: u32 = 0x0a09_0909;

/// The address of a number, in either family.
pub(super) fn address(family: Family, number: u32) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from_bits(number).into(),
        Family::V6 => Ipv6Addr::from_bits(0xfd << 120 | u128::from(number)).into(),
    }
}

fn number(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => address.to_bits() as u32,
    }
}

/// The routes, of which one may change.
pub(super) struct Net {
    ports: [Port; 3],
    pub(super) by_dsl: bool,
}

impl Net {
    pub(super) fn new() -> Self {
        let ports = [("lan", 1500), ("wan", 1500), ("dsl", 1000)];
        let port = |(name, mtu): (&str, u32)| Port { name: name.to_string(), mtu, loopback: false };
        Self { ports: ports.map(port), by_dsl: false }
    }

    /// The way out that is in use.
    pub(super) fn uplink(&self) -> PortId {
        if self.by_dsl { DSL } else { WAN }
    }
}

impl Fib for Net {
    fn route(&self, query: &RouteQuery) -> Route {
        let next_hop = query.dst;
        match number(query.dst) {
            _ if self.addr_type(query.dst, None) == AddrType::Local => {
                Route::Local { broadcast: false }
            }
            CLIENT | OTHER_CLIENT => Route::Forward { port: LAN, next_hop },
            NOWHERE => Route::Unreachable,
            // Marked packets have a way of their own.
            _ if query.mark == 5 => Route::Forward { port: DSL, next_hop },
            _ => Route::Forward { port: self.uplink(), next_hop },
        }
    }

    fn addr_type(&self, addr: IpAddr, _: Option<PortId>) -> AddrType {
        match number(addr) {
            ROUTER | ON_WAN | ON_DSL => AddrType::Local,
            _ => AddrType::Unicast,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        &self.ports[usize::from(port.0)]
    }

    fn source_for(&self, peer: IpAddr, _: Option<PortId>) -> Option<IpAddr> {
        Some(address(Family::of(peer), ROUTER))
    }

    fn primary_address(&self, port: PortId, family: Family) -> Option<IpAddr> {
        Some(address(family, [ROUTER, ON_WAN, ON_DSL][usize::from(port.0)]))
    }
}

/// Rules by name, and whether a good share of packets must be express under them.
pub(super) const RULES: [(&str, &str, bool); 22] = [
    ("none", "", true),
    ("established first", FIRST, true),
    (
        "established late",
        "*filter; :INPUT ACCEPT; :FORWARD DROP; :inside -; \
         -A FORWARD -p tcp -m tcp --dport 23 -j DROP; -A FORWARD -i lan -j inside; \
         -A FORWARD -m conntrack --ctstate INVALID -j DROP; \
         -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
         -A FORWARD -m conntrack --ctstate NEW -j ACCEPT; \
         -A inside -p udp -m udp --dport 53 -j RETURN; \
         -A inside -m conntrack --ctstate NEW -j ACCEPT",
        false,
    ),
    (
        "rules that look closely",
        "*filter; :FORWARD DROP; -A FORWARD -p tcp -m tcp --tcp-flags FIN FIN -j LOG; \
         -A FORWARD -m mark --mark 0x9 -j DROP; -A FORWARD -i dsl -m limit --limit 1/sec -j DROP; \
         -A FORWARD -j ACCEPT",
        false,
    ),
    (
        "source and destination",
        "*nat; -A PREROUTING -d ON_WAN -p tcp -m tcp --dport 8080 -j DNAT --to-destination INSIDE; \
         -A POSTROUTING -o wan -p tcp -j SNAT --to-source ON_WAN; \
         -A POSTROUTING -o wan -p udp -j SNAT --to-source ON_WAN; \
         -A POSTROUTING -o dsl -j MASQUERADE\
         *filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
         -A FORWARD -m conntrack --ctstate NEW -j ACCEPT",
        true,
    ),
    (
        "rules that ask who it is",
        "*filter; :FORWARD DROP; -A FORWARD -p tcp -m tcp --dport 443 -j ACCEPT; \
         -A FORWARD -s 10.0.1.3 -j ACCEPT; -A FORWARD -p udp -m udp --sport 53 -j ACCEPT; \
         -A FORWARD -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT; \
         -A FORWARD -m conntrack --ctstate ESTABLISHED --ctdir REPLY -j ACCEPT",
        false,
    ),
    (
        "rules that ask for the connection's mark",
        "*filter; :FORWARD ACCEPT; -A FORWARD -m connmark --mark 0x7 -j DROP; \
         -A FORWARD -m connmark ! --mark 0x1/0x1 -m conntrack --ctstate ESTABLISHED -j ACCEPT; \
         -A FORWARD -p udp -m connmark --mark 0x3 -j DROP; \
         -A FORWARD -p tcp -m connmark --mark 0x3 -j CONNMARK --set-mark 0x4",
        false,
    ),
    (
        "both ends",
        "*nat; -A PREROUTING -d ON_WAN -p tcp -m tcp --dport 8080 -j DNAT --to-destination INSIDE; \
         -A POSTROUTING -j MASQUERADE",
        true,
    ),
    ("masquerade", "*nat; -A POSTROUTING ! -o lan -j MASQUERADE", true),
    ("nat that does nothing", "*nat; -A POSTROUTING -o lan -p icmp -j ACCEPT", true),
    (
        "connection marks on every packet",
        "*mangle; -A PREROUTING -j CONNMARK --restore-mark; \
         -A FORWARD -m conntrack --ctstate NEW -p tcp -j CONNMARK --set-mark 0x5; \
         -A FORWARD -p udp -m conntrack --ctstate ESTABLISHED -j CONNMARK --set-mark 0x7; \
         -A POSTROUTING -j CONNMARK --save-mark",
        false,
    ),
    (
        "connection marks on new ones",
        "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
         -A FORWARD -m conntrack --ctstate NEW -j CONNMARK --set-mark 0x5; -A FORWARD -j ACCEPT",
        true,
    ),
    ("a zone for all", "*raw; -A PREROUTING -j CT --zone 5; -A OUTPUT -j CT --zone 5", false),
    ("a zone of one direction", "*raw; -A PREROUTING -i lan -j CT --zone-orig 5", false),
    ("such a zone for some", "*raw; -A PREROUTING -i lan -p udp -j CT --zone-orig 5", false),
    (
        "not tracked",
        "*raw; -A PREROUTING -p udp -j CT --notrack; -A OUTPUT -p udp -j CT --notrack",
        false,
    ),
    (
        "helpers for some",
        "*raw; -A PREROUTING -p tcp -m tcp --dport 443 -j CT --helper ftp; \
         -A PREROUTING -p udp -m udp --dport 443 -j CT --helper sip\
         *nat; -A POSTROUTING ! -o lan -j MASQUERADE\
         *filter; :FORWARD ACCEPT; -A FORWARD -m helper --helper ftp -j DROP; \
         -A FORWARD -m helper ! --helper ftp -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        false,
    ),
    (
        "rules that keep count",
        "*filter; :FORWARD DROP; -A FORWARD -m recent --name r --set; \
         -A FORWARD -p tcp -m connlimit --connlimit-above 3 --connlimit-mask 0 -j DROP; \
         -A FORWARD -p udp -m quota --quota 900 -j ACCEPT; \
         -A FORWARD -m statistic --mode nth --every 4 --packet 1 -j DROP; \
         -A FORWARD -m connlabel --label 9 --set; \
         -A FORWARD -m connbytes --connbytes 9 --connbytes-mode packets --connbytes-dir both -j DROP; \
         -A FORWARD -m recent --name r --update --seconds 3 --hitcount 2 -j ACCEPT",
        false,
    ),
    (
        "rules that keep count of what is new",
        "*filter; :FORWARD DROP; -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
         -A FORWARD -m hashlimit --hashlimit-above 1/sec --hashlimit-mode srcip --hashlimit-name h -j DROP; \
         -A FORWARD -m connlimit --connlimit-above 4 -j DROP; \
         -A FORWARD -m conntrack --ctstate NEW -m recent --set -j ACCEPT",
        true,
    ),
    (
        "targets that change headers",
        "*mangle; -A PREROUTING -p udp -j TOS --set-tos 0x10; -A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN \
         -j TCPMSS --set-mss 500; -A POSTROUTING -p tcp -j DSCP --set-dscp 3",
        false,
    ),
    (
        "what begins with a SYN is counted",
        "*filter; :FORWARD ACCEPT; -A FORWARD -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
        true,
    ),
    ("few events", "*raw; -A PREROUTING -p tcp -j CT --ctevents new,destroy", false),
];

const FIRST: &str = "*filter; :INPUT DROP; :FORWARD DROP; \
    -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
    -A INPUT -m conntrack --ctstate NEW -j ACCEPT; \
    -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
    -A FORWARD -m conntrack --ctstate INVALID -j DROP; \
    -A FORWARD -m conntrack --ctstate NEW -j ACCEPT";

/// All tables.
const TABLES: [&str; 4] = ["raw", "mangle", "nat", "filter"];

/// The rules of a line: `; ` ends a line, a table needs no COMMIT. Tables that are missing are
/// emptied, if need be.
pub(super) fn rules(family: Family, text: &str, empties: bool) -> Ruleset {
    let on_wan = address(family, ON_WAN).to_string();
    let inside = core::net::SocketAddr::new(address(family, OTHER_CLIENT), 80).to_string();
    let icmp = if family == Family::V4 { "-p icmp" } else { "-p ipv6-icmp" };
    let third = address(family, OTHER_CLIENT).to_string();
    let text = text
        .replace("10.0.1.3", &third)
        .replace("ON_WAN", &on_wan)
        .replace("INSIDE", &inside)
        .replace("-p icmp", icmp);
    let mut whole = String::new();
    for table in text.split('*').filter(|table| !table.is_empty()) {
        whole += &alloc::format!("*{}\nCOMMIT\n", table.replace("; ", "\n"));
    }
    for name in TABLES.iter().filter(|name| empties && !text.contains(&alloc::format!("*{name};")))
    {
        whole += &alloc::format!("*{name}\nCOMMIT\n");
    }
    parse(family, "row", &whole).unwrap_or_else(|errors| panic!("{whole}{errors:?}"))
}
