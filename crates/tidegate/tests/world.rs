//! The gateway's world against the kernel that it follows: random addresses, routes and policy rules in a network
//! namespace, and each question put to both.
//!
//! Takes namespaces; run by name: `cargo test -p tidegate --test world`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "not every test needs all of it")]
mod ends;
mod kernel_routes;
mod stage;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use ends::Host;
use kernel_routes::{Answer, Oracle, Question};
use stage::{call, new_network, play, until};
use tidegate_engine::fib::{AddrType, Fib, PortId, Route, RouteQuery};
use tidegate_gateway::fib::World;
use tidegate_gateway::fib::follow::{Change, Mirror};
use tidegate_gateway::fib::neighbour::Neighbour;
use tidegate_wire::Family;

fn main() -> ExitCode {
    play(
        &[
            ("routes_are_those_of_the_kernel", routes_are_those_of_the_kernel),
            ("several_ways_out_share_the_flows", several_ways_out_share_the_flows),
            ("what_was_lost_is_made_good", what_was_lost_is_made_good),
            ("changes_are_told", changes_are_told),
            ("a_neighbour_is_asked_for", a_neighbour_is_asked_for),
            ("what_is_not_served_is_told", what_is_not_served_is_told),
        ],
        new_network,
    )
}

/// Small, and the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len() as u64) as usize]
    }

    /// Mostly from the few networks in which there are routes.
    fn v4(&mut self) -> Ipv4Addr {
        match self.roll(20) {
            0 => Ipv4Addr::from_bits(self.roll(1 << 32) as u32),
            1 => self.one_of(&SPECIAL_V4),
            _ => {
                let [b, c] = [self.roll(3), self.roll(4)].map(|n| n as u8);
                let d = [0, 1, 2, 3, 63, 64, 127, 128, 254, 255][self.roll(10) as usize];
                Ipv4Addr::new(10, b, c, d)
            }
        }
    }

    fn v6(&mut self) -> Ipv6Addr {
        if self.roll(20) == 0 {
            return self.one_of(&SPECIAL_V6);
        }
        let [a, b] = [self.roll(3), self.roll(4)].map(|n| n as u16);
        Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, 0, [0, 1, 2, 0x100][self.roll(4) as usize])
    }
}

const SPECIAL_V4: [Ipv4Addr; 9] = [
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::new(127, 1, 2, 3),
    Ipv4Addr::new(224, 0, 0, 1),
    Ipv4Addr::new(224, 0, 0, 5),
    Ipv4Addr::new(239, 1, 2, 3),
    Ipv4Addr::new(0, 1, 2, 3),
    Ipv4Addr::new(250, 1, 2, 3),
];

const SPECIAL_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::LOCALHOST,
    Ipv6Addr::UNSPECIFIED,
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77),
    Ipv6Addr::new(0x2002, 1, 2, 3, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
];

const PORTS: [&str; 3] = ["a0", "b0", "c0"];

fn ip(line: &str) {
    call("ip", &line.split_whitespace().collect::<Vec<_>>());
}

/// Tries: a change may be one that the kernel refuses.
fn try_ip(line: &str) -> bool {
    let args: Vec<&str> = line.split_whitespace().collect();
    stage::command_of("ip", &args).output().unwrap().status.success()
}

fn set_up_links() {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/accept_dad", "0").unwrap();
    for (number, port) in PORTS.iter().enumerate() {
        let peer = port.replace('0', "1");
        ip(&format!("link add {port} address 02:00:00:00:00:0{number} type veth peer name {peer}"));
        ip(&format!("link set {port} up"));
        ip(&format!("link set {peer} up"));
        ip(&format!("addr add 10.{number}.0.1/24 brd + dev {port}"));
        ip(&format!("-6 addr add 2001:db8:{number}::1/64 dev {port} nodad"));
    }
    ip("addr add 10.0.1.2/26 brd + dev a0");
    ip("addr add 10.0.0.3/24 brd + dev a0");
}

/// Changes something; whether the kernel took it.
fn change(dice: &mut Dice) -> bool {
    let port = dice.one_of(&PORTS);
    let verb = dice.one_of(&["add", "add", "add", "append", "replace", "del"]);
    let table = dice.one_of(&["main", "main", "main", "100", "253"]);
    let metric = dice.roll(3) * 100 + 10;
    let place = format!("table {table} metric {metric}");
    match dice.roll(17) {
        0..6 => change_route4(dice, port, verb, &place),
        6..12 => change_route6(dice, port, verb, &place),
        12 => add_rule(dice, port),
        13 => {
            let done = try_ip(&format!("link set {port} down"));
            done && (dice.roll(3) == 0 || try_ip(&format!("link set {port} up")))
        }
        14 => {
            let (number, host) = (dice.roll(3), dice.roll(6) + 1);
            let verb = dice.one_of(&["add", "del"]);
            try_ip(&format!("addr {verb} 10.{number}.0.{host}/24 dev {port}"))
        }
        15 => {
            let setting = |key, value: u64| {
                let path = format!("/proc/sys/net/ipv4/conf/{port}/{key}");
                std::fs::write(path, value.to_string()).unwrap();
            };
            setting("accept_local", dice.roll(2));
            // The kernel tells of a change of this one only.
            let now = dice.roll(3);
            setting("rp_filter", (now + 1) % 3);
            setting("rp_filter", now);
            true
        }
        _ => {
            let (number, host) = (dice.roll(3), dice.roll(6) + 1);
            let verb = dice.one_of(&["add", "del"]);
            try_ip(&format!("-6 addr {verb} 2001:db8:{number}::{host}/64 dev {port} nodad"))
        }
    }
}

fn change_route4(dice: &mut Dice, port: &str, verb: &str, place: &str) -> bool {
    let (to, length) = (dice.v4(), dice.one_of(&[0, 8, 16, 20, 24, 26, 31, 32]));
    let net = Ipv4Addr::from_bits(to.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0));
    let gateway = format!("10.{}.0.{}", dice.roll(3), dice.roll(250) + 2);
    let way = way(dice, port, &gateway).replace("NET", &format!("{net}/{length}"));
    try_ip(&format!("route {verb} {way} {place}"))
}

fn change_route6(dice: &mut Dice, port: &str, verb: &str, place: &str) -> bool {
    let (to, length) = (dice.v6(), dice.one_of(&[0, 16, 32, 48, 64, 120, 128]));
    let net = Ipv6Addr::from_bits(to.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0));
    // What is appended to an IPv6 route shares its flows with it.
    let single = if verb == "append" { "add" } else { verb };
    let gateway = format!("2001:db8:{}::{:x}", dice.roll(3), dice.roll(9) + 2);
    let way = way(dice, port, &gateway).replace("NET", &format!("{net}/{length}"));
    try_ip(&format!("-6 route {single} {way} {place}"))
}

fn add_rule(dice: &mut Dice, port: &str) -> bool {
    let (family, from, to) = match dice.roll(2) {
        0 => ("-4", dice.v4().to_string(), dice.v4().to_string()),
        _ => ("-6", dice.v6().to_string(), dice.v6().to_string()),
    };
    let condition = match dice.roll(6) {
        0 => format!("from {from}"),
        1 => format!("to {to}"),
        2 => format!("not to {to}"),
        3 => format!("iif {port}"),
        4 => "fwmark 0x1/0x3".to_owned(),
        _ => "iif lo".to_owned(),
    };
    let action = dice.one_of(&[
        "table 100",
        "table 100",
        "table main suppress_prefixlength 8",
        "unreachable",
        "goto 32766",
        "nop",
    ]);
    let priority = 1000 + dice.roll(100);
    try_ip(&format!("{family} rule add {condition} priority {priority} {action}"))
}

fn way(dice: &mut Dice, port: &str, gateway: &str) -> String {
    match dice.roll(8) {
        0 => "blackhole NET".to_owned(),
        1 => "unreachable NET".to_owned(),
        2 => "prohibit NET".to_owned(),
        3 => "throw NET".to_owned(),
        4 => format!("NET dev {port}"),
        _ => format!("NET via {gateway} dev {port} onlink"),
    }
}

/// Other random worlds than the usual ones: `WORLD_SEED=7`.
fn routes_are_those_of_the_kernel() {
    let seeds = match std::env::var("WORLD_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => vec![1, 2, 10],
    };
    for seed in seeds {
        new_network();
        compare_with_kernel(seed);
    }
}

fn compare_with_kernel(seed: u64) {
    set_up_links();
    let mut mirror = Mirror::open().unwrap();
    let mut oracle = Oracle::open();
    let mut dice = Dice(seed);
    let (mut asked, mut taken, mut kinds) = (0, 0, std::collections::BTreeMap::new());
    for round in 0..40 {
        for _ in 0..8 {
            taken += u32::from(change(&mut dice));
        }
        // IPv6 addresses get their routes a moment later.
        std::thread::sleep(std::time::Duration::from_millis(20));
        mirror.catch_up(&mut Vec::new()).unwrap();
        let fresh = Mirror::open().unwrap();
        for number in 0..100 {
            let question = question(&mut dice, mirror.world());
            // The host's own groups have no router here.
            if question.in_port.is_none() && question.dst.is_multicast() {
                continue;
            }
            let port = |index| mirror.world().links().port(index).unwrap_or(PortId(999));
            let theirs = oracle.ask(&question, port);
            let what = || {
                let family = if question.dst.is_ipv4() { "-4" } else { "-6" };
                let rules = call("ip", &[family, "rule"]);
                let routes = call("ip", &[family, "route", "show", "table", "all"]);
                let settings = PORTS.map(|port| {
                    mirror
                        .world()
                        .links()
                        .named(port)
                        .map(|port| mirror.world().links().link(port).settings)
                });
                format!(
                    "round {round}, question {number}: {question:?} {settings:?}\n{rules}\n{routes}"
                )
            };
            for (name, world) in [("followed", mirror.world()), ("fresh", fresh.world())] {
                let ours = ours(world, &question);
                assert!(ours == theirs.way, "{name}: {ours:?}, {theirs:?}: {}", what());
                compare_source(world, &question, &theirs, &what);
            }
            // What is remembered from earlier questions is the same.
            assert_eq!(ours(&mirror, &question), theirs.way, "remembered: {}", what());
            *kinds.entry(kind_of(&theirs)).or_insert(0) += 1;
            asked += 1;
        }
    }
    println!("{asked} questions, {taken} changes: {kinds:?}");
    assert!(kinds.len() >= 5 && kinds.values().all(|count| *count >= 20), "{kinds:?}");
    assert_eq!(mirror.caveats(), []);
}

fn kind_of(answer: &Answer) -> &'static str {
    match answer.way {
        Route::Forward { .. } => "forward",
        Route::Local { broadcast: false } => "local",
        Route::Local { broadcast: true } => "broadcast",
        Route::Unreachable => "unreachable",
        Route::Blackhole => "blackhole",
    }
}

fn question(dice: &mut Dice, world: &World) -> Question {
    let in_port = (dice.roll(3) > 0).then(|| world.links().named(dice.one_of(&PORTS)).unwrap());
    // What is off gets no packets.
    let in_port = in_port.filter(|port| world.links().link(*port).is_up);
    let (src, dst): (IpAddr, IpAddr) = match dice.roll(2) {
        0 => (dice.v4().into(), dice.v4().into()),
        _ => loop {
            let (src, dst) = (dice.v6(), dice.v6());
            // Those are judged before and after routing, of which the kernel's answer tells nothing.
            let is_plain = |addr: Ipv6Addr| {
                !addr.is_loopback() && !addr.is_unspecified() && !addr.is_unicast_link_local()
            };
            if is_plain(src) && (is_plain(dst) || in_port.is_none() && dst.is_loopback()) {
                break (src.into(), dst.into());
            }
        },
    };
    let mark = dice.roll(4) as u32;
    let index = in_port.map(|port| world.links().link(port).index);
    Question { src, dst, in_port: in_port.zip(index), mark }
}

fn ours(world: &impl Fib, question: &Question) -> Route {
    let Question { src, dst, in_port, mark } = *question;
    let in_port = in_port.map(|(port, _)| port);
    // The kernel is asked without a source for the host's own packets, as it would have to be its own.
    let src = match (in_port, src) {
        (Some(_), src) => src,
        (None, IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
        (None, IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
    };
    world.route(&RouteQuery { dst, src, in_port, mark })
}

/// From which address the host speaks, and what kind of address this is.
fn compare_source(world: &World, question: &Question, theirs: &Answer, what: &dyn Fn() -> String) {
    if question.in_port.is_some() || question.mark != 0 {
        return;
    }
    if let Route::Forward { .. } = theirs.way
        && !question.dst.is_multicast()
    {
        let source = world.source_for(question.dst, None);
        assert!(source == theirs.source, "{source:?}, {theirs:?}: {}", what());
    }
    // To nobody is to the host, and yet a broadcast address.
    if question.dst.is_unspecified() {
        return;
    }
    let kind = world.addr_type(question.dst, None);
    match theirs.way {
        Route::Local { broadcast: false } if theirs.is_anycast => {
            assert_eq!(kind, AddrType::Anycast, "{}", what());
        }
        Route::Local { broadcast: false } => assert_eq!(kind, AddrType::Local, "{}", what()),
        Route::Local { broadcast: true } => {
            assert!(
                matches!(kind, AddrType::Broadcast | AddrType::Multicast),
                "{kind:?}: {}",
                what()
            );
        }
        Route::Forward { .. } => {
            assert!(
                matches!(kind, AddrType::Unicast | AddrType::Multicast),
                "{kind:?}: {}",
                what()
            );
        }
        Route::Unreachable | Route::Blackhole => {}
    }
}

fn several_ways_out_share_the_flows() {
    set_up_links();
    ip(
        "route add 10.9.0.0/16 nexthop via 10.0.0.9 dev a0 weight 1 nexthop via 10.1.0.9 dev b0 weight 3",
    );
    ip("-6 route add 2001:db8:9::/48 nexthop via 2001:db8:0::9 dev a0 weight 1 \
        nexthop via 2001:db8:1::9 dev b0 weight 3");
    let mirror = Mirror::open().unwrap();
    let world = mirror.world();
    let port = |name| world.links().named(name).unwrap();
    for v6 in [false, true] {
        let mut counts = [0; 2];
        for number in 0..4000_u32 {
            let (src, dst): (IpAddr, IpAddr) = if v6 {
                let dst = Ipv6Addr::from_bits(0x2001_0db8_0009_u128 << 80 | u128::from(number));
                ("2001:db8:2::5".parse().unwrap(), dst.into())
            } else {
                let dst = Ipv4Addr::from_bits(0x0a09_0000 | number);
                (Ipv4Addr::new(10, 2, 0, 5).into(), dst.into())
            };
            let query = RouteQuery { src, dst, in_port: Some(port("c0")), mark: 0 };
            let way = world.route(&query);
            assert_eq!(way, world.route(&query));
            let Route::Forward { port: out, .. } = way else { panic!("{way:?}") };
            counts[usize::from(out == port("b0"))] += 1;
        }
        assert_eq!(counts.iter().sum::<u32>(), 4000);
        assert!((800..1200).contains(&counts[0]), "one in four: {counts:?}");
    }
    ip("link set a0 down");
}

/// More notices than the kernel keeps for us.
fn what_was_lost_is_made_good() {
    set_up_links();
    let mut mirror = Mirror::open().unwrap();
    let lines = (0..20_000_u32).map(|number| {
        let [_, b, c, d] = number.to_be_bytes();
        format!(
            "route add 20.{b}.{c}.{d}/32 via 10.0.0.9\nroute add 2400:{number:x}::/32 via 2001:db8::9\n"
        )
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines.collect::<String>()).unwrap();
    call("ip", &["-batch", file.path().to_str().unwrap()]);
    mirror.catch_up(&mut Vec::new()).unwrap();
    assert!(mirror.losses() > 0, "the kernel keeps more than it did");
    let count = |mirror: &Mirror| {
        [Family::V4, Family::V6].map(|family| mirror.world().tables(family).len())
    };
    let after = count(&mirror);
    assert_eq!(after, count(&Mirror::open().unwrap()));
    assert!(after.iter().all(|count| *count > 20_000), "{after:?}");
    let src = Ipv4Addr::new(10, 1, 0, 5).into();
    let dst = Ipv4Addr::new(20, 0, 78, 31).into();
    let query = RouteQuery { src, dst, in_port: mirror.world().links().named("b0"), mark: 0 };
    let (port, next_hop) =
        (mirror.world().links().named("a0").unwrap(), "10.0.0.9".parse().unwrap());
    assert_eq!(mirror.world().route(&query), Route::Forward { port, next_hop });
    // And it goes on following.
    ip("route del 20.0.78.31/32");
    mirror.catch_up(&mut Vec::new()).unwrap();
    assert_eq!(mirror.world().route(&query), Route::Unreachable);
}

fn changes_are_told() {
    set_up_links();
    let mut mirror = Mirror::open().unwrap();
    let port = |mirror: &Mirror, name: &str| mirror.world().links().named(name).unwrap();
    let (a, b) = (port(&mirror, "a0"), port(&mirror, "b0"));
    let after = |line: &str, mirror: &mut Mirror| {
        ip(line);
        let mut changes = Vec::new();
        mirror.catch_up(&mut changes).unwrap();
        changes.retain(|change| !matches!(change, Change::Neighbour(..)));
        changes
    };
    let addr = |text: &str| text.parse::<IpAddr>().unwrap();
    let changes = after("addr del 10.1.0.1/24 dev b0", &mut mirror);
    assert_eq!(changes, [Change::AddressGone(b, addr("10.1.0.1"))]);
    let changes = after("-6 addr del 2001:db8:1::1/64 dev b0", &mut mirror);
    assert_eq!(changes, [Change::AddressGone(b, addr("2001:db8:1::1"))]);
    // IPv6 addresses go with the link, IPv4's stay.
    let changes = after("link set a0 down", &mut mirror);
    assert_eq!(changes[0], Change::Down(a));
    assert!(changes.contains(&Change::AddressGone(a, addr("2001:db8::1"))), "{changes:?}");
    assert!(!changes.contains(&Change::AddressGone(a, addr("10.0.0.1"))), "{changes:?}");
    assert!(after("link set a0 up", &mut mirror).contains(&Change::Up(a)));
    assert!(after("link set b0 mtu 1400", &mut mirror).contains(&Change::Altered(b)));
    assert_eq!(mirror.world().port(b).mtu, 1400);
    ip("link set c0 down");
    let c = port(&mirror, "c0");
    assert!(after("link set c0 name outside", &mut mirror).contains(&Change::Altered(c)));
    assert!(mirror.world().links().named("c0").is_none());
    // A moment without an address is told, though the address is back.
    ip("addr del 10.0.0.3/24 dev a0");
    let changes = after("addr add 10.0.0.3/24 dev a0", &mut mirror);
    assert_eq!(changes, [Change::AddressGone(a, addr("10.0.0.3"))]);
    ip("link add d0 type veth peer name d1");
    let mut changes = Vec::new();
    mirror.catch_up(&mut changes).unwrap();
    let d = port(&mirror, "d0");
    assert!(changes.contains(&Change::Added(d)), "{changes:?}");
    let changes = after("link del d0", &mut mirror);
    assert!(changes.contains(&Change::Removed(d)), "{changes:?}");
    assert!(mirror.world().links().named("d0").is_none());
    assert_eq!(mirror.world().port(PortId(999)).name, "");
}

fn a_neighbour_is_asked_for() {
    set_up_links();
    let there = Host::new();
    there.join("d0");
    there.dress("d0", ["10.5.0.77", "2001:db8:5::77"], ["10.5.0.1", "2001:db8:5::1"]);
    there.call("ip", &["link", "set", "eth0", "address", "02:00:00:00:07:77"]);
    let mut mirror = Mirror::open().unwrap();
    let d = mirror.world().links().named("d0").unwrap();
    for addr in ["10.5.0.77", "2001:db8:5::77"].map(|addr| addr.parse::<IpAddr>().unwrap()) {
        mirror.ask(d, addr).unwrap();
        assert_eq!(mirror.world().neighbours().find(d, addr), Some(Neighbour::Asked));
        let mac = until(|| {
            mirror.catch_up(&mut Vec::new()).unwrap();
            match mirror.world().neighbours().find(d, addr) {
                Some(Neighbour::At(mac)) => Some(mac),
                _ => None,
            }
        });
        assert_eq!(mac.0, [2, 0, 0, 0, 7, 0x77]);
    }
    let nobody = "10.5.0.78".parse().unwrap();
    mirror.ask(d, nobody).unwrap();
    until(|| {
        mirror.catch_up(&mut Vec::new()).unwrap();
        (mirror.world().neighbours().find(d, nobody) == Some(Neighbour::Failed)).then_some(())
    });
}

fn what_is_not_served_is_told() {
    set_up_links();
    ip("route add 10.7.0.0/16 tos 0x10 via 10.0.0.9");
    ip("rule add sport 80 priority 77 table 100");
    let told: Vec<String> =
        Mirror::open().unwrap().caveats().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("policy rule 77") && told[0].contains("ports"), "{told:?}");
    assert!(told[1].contains("type of service"), "{told:?}");
}
