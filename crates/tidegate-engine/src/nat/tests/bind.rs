//! Bindings, by tables: each row is a flow's first packet, the rule that it meets, and what its
//! translated end becomes.
//!
//! Hosts have letters, so that each table runs for IPv4 and IPv6: `a`, `b`, `c`… are clients, `s`
//! and `t` servers, `n` and `m` addresses of the router. Behind the colon is a port, or the
//! identifier of a ping. The end that the rule is not about must stay as it is; both must be
//! decided afterwards; the status must tell what has changed.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use tidegate_wire::{Family, SeqNum, proto};

use crate::event::EventQueue;
use crate::flow::{Draft, Flow, FlowId, Status};
use crate::limits::Limits;
use crate::nat::bind::Binder;
use crate::nat::{Manip, NatRange};
use crate::rand::Rng;
use crate::table::{ConfirmError, FlowTable};
use crate::testkit::flow;
use crate::time::Instant;
use crate::track::{ProtoState, Tcp, TcpState};
use crate::tuple::{Tuple, Zone, ZoneScope};

/// What the translated end must be.
#[derive(Clone, Debug)]
enum Mapped {
    /// Exactly this.
    To(&'static str),
    /// This host, a port in there, and not the one it had.
    Within(&'static str, RangeInclusive<u16>),
    /// What it was in the row of that number, from 0.
    As(usize),
    /// Nothing: confirmation finds no room for it.
    Refused,
}

use Mapped::{As, Refused, To, Within};

/// A rule, for either family.
#[derive(Clone, Copy, Debug)]
struct Rule {
    manip: Manip,
    host: Option<&'static str>,
    range: NatRange,
}

/// No rule.
fn null() -> Rule {
    Rule { manip: Manip::Src, host: None, range: NatRange::default() }
}

fn snat(host: &'static str) -> Rule {
    Rule { host: Some(host), ..null() }
}

fn dnat(host: &'static str) -> Rule {
    Rule { manip: Manip::Dst, ..snat(host) }
}

impl Rule {
    fn ports(mut self, first: u16, last: u16) -> Self {
        self.range.ports = Some((first, last));
        self
    }

    fn base(mut self, port: u16) -> Self {
        self.range.base_port = Some(port);
        self
    }

    fn random(mut self) -> Self {
        self.range.random = true;
        self
    }

    fn range(&self, family: Family) -> Option<NatRange> {
        let addr = address(family, self.host?);
        Some(NatRange { addrs: Some((addr, addr)), ..self.range })
    }
}

type Row = (&'static str, &'static str, Rule, Mapped);

fn address(family: Family, letter: &str) -> IpAddr {
    let (net, host) = match letter.as_bytes() {
        [client @ b'a'..=b'i'] => (0, client - b'a' + 2),
        b"s" => (1, 2),
        b"t" => (1, 3),
        b"n" => (1, 1),
        b"m" => (1, 9),
        _ => panic!("no such host: {letter}"),
    };
    match (family, net) {
        (Family::V4, 0) => [10, 0, 1, host].into(),
        (Family::V4, _) => [203, 0, 113, host].into(),
        (Family::V6, 0) => [0xfd00, 1, 0, 0, 0, 0, 0, u16::from(host)].into(),
        (Family::V6, _) => [0x2001, 0xdb8, 1, 0, 0, 0, 0, u16::from(host)].into(),
    }
}

/// `a:5555`, or a host alone.
fn endpoint(family: Family, text: &str) -> (IpAddr, u16) {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    (address(family, host), port.parse().expect("a port"))
}

/// `udp a:5555 > s:53`, `ping a:42 > s`, `other a > s`.
fn tuple(family: Family, text: &str) -> Tuple {
    let (kind, ends) = text.split_once(' ').expect("a protocol");
    let (from, to) = ends.split_once(" > ").expect("two ends");
    let ((src, sport), (dst, dport)) = (endpoint(family, from), endpoint(family, to));
    let (proto, dport) = match (kind, family) {
        ("udp", _) => (proto::UDP, dport),
        ("tcp", _) => (proto::TCP, dport),
        ("other", _) => (89, dport),
        ("ping", Family::V4) => (proto::ICMP, Tuple::icmp_word(8, 0)),
        ("ping", Family::V6) => (proto::ICMPV6, Tuple::icmp_word(128, 0)),
        _ => panic!("no such protocol: {kind}"),
    };
    Tuple { src, dst, sport, dport, proto }
}

/// A table with NAT in front of it.
struct Translator {
    table: FlowTable,
    events: EventQueue,
    rng: Rng,
    found: u64,
    family: Family,
}

impl Translator {
    fn new(family: Family, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let table = FlowTable::new(&Limits::default(), &mut rng, Instant::ZERO);
        Self { table, events: EventQueue::new(100), rng, found: 0, family }
    }

    /// Decides both ends as the two hooks do; what the packet looks like then.
    fn bind(&mut self, flow: &mut Flow, rule: Rule) -> Tuple {
        for manip in [Manip::Dst, Manip::Src] {
            let range = rule.range(self.family).filter(|_| rule.manip == manip);
            let Self { table, events, rng, found, .. } = self;
            let mut binder =
                Binder { table, events, rng, found, now: Instant::ZERO, is_steered: true };
            match range {
                Some(range) => binder.bind(flow, &range, manip),
                None => binder.bind_null(flow, manip),
            }
        }
        assert!(flow.is(Status::NAT_DONE), "both ends are decided");
        flow.reply.invert().expect("it can be answered")
    }

    fn confirm(&mut self, flow: Flow) -> Result<FlowId, ConfirmError> {
        self.table.confirm(Instant::ZERO, &mut Draft(flow), &mut self.rng, None)
    }

    fn draft(&self, packet: &str) -> Flow {
        let deadline = Instant::ZERO + Duration::from_secs(30);
        Flow { deadline, ..flow(tuple(self.family, packet)) }
    }

    fn play(&mut self, rows: &[Row]) {
        let mut before = Vec::new();
        for (what, packet, rule, expected) in rows {
            let what = alloc::format!("{:?}: {what}: {packet}", self.family);
            let mut flow = self.draft(packet);
            let mapped = self.bind(&mut flow, *rule);
            check_status(&flow, &mapped, &what);
            let end = check_end(&flow.orig, &mapped, rule.manip, &what);
            let admitted = self.confirm(flow.clone()).is_ok();
            assert_eq!(admitted, !matches!(expected, Refused), "{what}");
            match expected {
                To(text) => assert_eq!(end, endpoint(self.family, text), "{what}"),
                Within(host, ports) => {
                    assert_eq!(end.0, address(self.family, host), "{what}");
                    assert!(ports.contains(&end.1), "{what}: port {}", end.1);
                    let was =
                        if rule.manip == Manip::Src { flow.orig.sport } else { flow.orig.dport };
                    assert_ne!(end.1, was, "{what}: the port stayed");
                }
                As(row) => assert_eq!(end, before[*row], "{what}"),
                Refused => {}
            }
            before.push(end);
        }
    }
}

/// The end that the rule is about; the other one has not changed.
fn check_end(orig: &Tuple, mapped: &Tuple, manip: Manip, what: &str) -> (IpAddr, u16) {
    let (source, target) = ((mapped.src, mapped.sport), (mapped.dst, mapped.dport));
    match manip {
        Manip::Src => {
            assert_eq!(target, (orig.dst, orig.dport), "{what}: the destination");
            source
        }
        Manip::Dst => {
            assert_eq!(source, (orig.src, orig.sport), "{what}: the source");
            target
        }
    }
}

fn check_status(flow: &Flow, mapped: &Tuple, what: &str) {
    let orig = &flow.orig;
    let source = (orig.src, orig.sport) != (mapped.src, mapped.sport);
    let target = (orig.dst, orig.dport) != (mapped.dst, mapped.dport);
    assert_eq!(flow.is(Status::SRC_NAT), source, "{what}: SRC_NAT");
    assert_eq!(flow.is(Status::DST_NAT), target, "{what}: DST_NAT");
}

fn play(rows: &[Row]) {
    for family in Family::ALL {
        Translator::new(family, 1).play(rows);
    }
}

#[test]
#[rustfmt::skip]
fn without_a_rule_only_a_collision_changes_the_port_and_keeps_its_class() {
    play(&[
        ("nothing in the way",              "udp a:5555 > s:53",  null(),    To("a:5555")),
        ("nor for the server's own",        "udp s:53 > b:5555",  null(),    To("s:53")),
        ("nor for protocols without ports", "other a > s",        null(),    To("a")),
    ]);
    for (port, class) in [
        ("1", 1..=511), ("511", 1..=511),
        ("512", 600..=1023), ("700", 600..=1023), ("1023", 600..=1023),
        ("1024", 1024..=65535), ("65535", 1024..=65535),
    ] {
        for family in Family::ALL {
            let mut nat = Translator::new(family, 1);
            // A flow whose answers look like those to the next one.
            let mut translated = nat.draft(&alloc::format!("udp a:{port} > n:53"));
            nat.bind(&mut translated, dnat("s"));
            nat.confirm(translated).expect("room");

            let mut collides = nat.draft(&alloc::format!("udp a:{port} > s:53"));
            let mapped = nat.bind(&mut collides, null());
            assert_eq!(mapped.src, collides.orig.src);
            assert!(class.contains(&mapped.sport) && mapped.sport != collides.orig.sport, "{mapped}");
            assert_eq!(nat.found, 3, "by the destination's binding, and twice by the source's");
            nat.confirm(collides).expect("room");
        }
    }
    play(&[
        ("translated to the same answers",  "other a > n",        dnat("s"), To("s")),
        ("there's no port to change",       "other a > s",        null(),    Refused),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_source_keeps_its_port_and_its_mapping() {
    play(&[
        ("a port that is free stays",       "udp a:5555 > s:53",  snat("n"), To("n:5555")),
        ("one that is taken does not",      "udp b:5555 > s:53",  snat("n"), Within("n", 1024..=65535)),
        ("towards another server either",   "udp b:5555 > t:53",  snat("n"), As(1)),
        ("the first has its own there too", "udp a:5555 > t:53",  snat("n"), To("n:5555")),
        ("another port of the server's",    "udp b:5555 > s:54",  snat("n"), As(1)),
        ("another protocol is another one", "tcp b:5555 > s:53",  snat("n"), To("n:5555")),
        ("below 512 it stays below",        "udp a:123 > s:53",   snat("n"), To("n:123")),
        ("",                                "udp b:123 > s:53",   snat("n"), Within("n", 1..=511)),
        ("below 1024 too",                  "udp a:1023 > s:53",  snat("n"), To("n:1023")),
        ("",                                "udp b:1023 > s:53",  snat("n"), Within("n", 600..=1023)),
        ("to itself is no translation",     "udp a:7777 > s:53",  snat("a"), To("a:7777")),
        ("port 0 stays, where it is free",  "udp a:0 > s:53",     snat("n"), To("n:0")),
        ("",                                "udp b:0 > s:53",     snat("n"), Within("n", 1..=511)),
    ]);
}

#[test]
fn the_newest_mapping_of_a_source_is_the_one_that_is_kept() {
    const FLOWS: u16 = 300;
    for family in Family::ALL {
        let mut nat = Translator::new(family, 1);
        let mut mappings = Vec::new();
        for n in 0..FLOWS {
            let mut flow = nat.draft(&alloc::format!("udp a:5555 > s:{}", 1000 + n));
            nat.bind(&mut flow, snat("n").ports(7000 + n, 7000 + n));
            mappings.push((7000 + n, nat.confirm(flow).expect("room")));
            // Another source of the same host's, which has nothing to do with it.
            let mut other = nat.draft(&alloc::format!("udp a:{} > t:53", 10_000 + n));
            nat.bind(&mut other, snat("m"));
            nat.confirm(other).expect("room");
        }
        let any = || snat("n").ports(7000, 7000 + FLOWS);
        let mut rng = Rng::new(5);
        while let Some((newest, _)) = mappings.last() {
            let mut next = nat.draft("udp a:5555 > t:53");
            let mapped = nat.bind(&mut next, any());
            assert_eq!((mapped.src, mapped.sport), (address(family, "n"), *newest));
            let nth = match rng.below(3) {
                0 => mappings.len() - 1,
                1 => rng.below(mappings.len() as u32) as usize,
                _ => 0,
            };
            let (_, gone) = mappings.remove(nth);
            nat.table.kill(gone, Instant::ZERO, &mut nat.events);
        }
        let mut next = nat.draft("udp a:5555 > t:53");
        assert_ne!(nat.bind(&mut next, any()).sport, 5555, "nothing is left to be kept");
    }
}

#[test]
#[rustfmt::skip]
fn a_source_gets_a_port_of_the_range() {
    let one = || snat("n").ports(7000, 7000);
    play(&[
        ("the only one",                    "udp a:5555 > s:53",  one(), To("n:7000")),
        ("is taken towards that server",    "udp b:5555 > s:53",  one(), Refused),
        ("but not towards another",         "udp b:5555 > t:53",  one(), To("n:7000")),
    ]);
    let four = || snat("n").ports(7000, 7003);
    play(&[
        ("its own is in the range",         "udp a:7002 > s:53",  four(), To("n:7002")),
        ("the others share the rest",       "udp b:5555 > s:53",  four(), Within("n", 7000..=7003)),
        ("",                                "udp c:5555 > s:53",  four(), Within("n", 7000..=7003)),
        ("",                                "udp d:5555 > s:53",  four(), Within("n", 7000..=7003)),
        ("until none is left",              "udp e:5555 > s:53",  four(), Refused),
        ("a mapping in the range stays",    "udp b:5555 > t:53",  four(), As(1)),
        ("one that isn't is no help",       "udp b:5555 > t:54",  snat("n").ports(8000, 8009), Within("n", 8000..=8009)),
        ("the ends may be swapped",         "udp a:9 > s:53",     snat("n").ports(8009, 8000), Within("n", 8000..=8009)),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_destination_keeps_its_port_or_gets_the_first_of_the_range() {
    let four = || dnat("b").ports(9000, 9003);
    play(&[
        ("without ports it stays",          "udp s:5000 > n:7000", dnat("b"), To("b:7000")),
        ("with them: the first",            "udp s:5001 > n:7000", four(),    To("b:9000")),
        ("for everybody",                   "udp s:5002 > n:7000", four(),    To("b:9000")),
        ("the next on a collision",         "udp s:5001 > n:7001", four(),    To("b:9001")),
        ("",                                "udp s:5001 > n:7002", four(),    To("b:9002")),
        ("one that is in the range stays",  "udp s:5003 > n:9002", four(),    To("b:9002")),
    ]);
    let shifted = || dnat("a").ports(2000, 2099).base(6000);
    play(&[
        ("the first to the first",          "tcp s:333 > n:6000", shifted(), To("a:2000")),
        ("the others follow",               "tcp s:333 > n:6042", shifted(), To("a:2042")),
        ("to the last",                     "tcp s:333 > n:6099", shifted(), To("a:2099")),
        ("though it is in the range",       "tcp s:334 > n:2050", dnat("a").ports(2000, 2099).base(2050), To("a:2000")),
        ("and round on a collision",        "tcp s:333 > m:6099", shifted(), To("a:2001")),
    ]);
}

#[test]
#[rustfmt::skip]
fn a_random_port_is_another_one_each_time() {
    play(&[
        ("though its own is free",          "udp a:5555 > s:53",  snat("n").random(), Within("n", 1024..=65535)),
        ("of the same class",               "udp a:123 > s:53",   snat("n").random(), Within("n", 1..=511)),
        ("in a range",                      "udp a:7002 > s:53",  snat("n").ports(8000, 8099).random(), Within("n", 8000..=8099)),
    ]);
    play(&[
        ("a destination's too",             "tcp s:5000 > n:80",  dnat("b").ports(9000, 9999).random(), Within("b", 9001..=9999)),
    ]);
    let choice = |seed, packet| {
        let mut nat = Translator::new(Family::V4, seed);
        let mut flow = nat.draft(packet);
        nat.bind(&mut flow, snat("n").random()).sport
    };
    assert_ne!(choice(1, "udp a:5555 > s:53"), choice(2, "udp a:5555 > s:53"), "by the seed");
    assert_eq!(choice(1, "udp a:5555 > s:53"), choice(1, "udp a:5555 > s:53"), "and nothing else");
}

#[test]
#[rustfmt::skip]
fn an_identifier_is_translated_like_a_port() {
    play(&[
        ("one that is free stays",          "ping a:42 > s",      snat("n"), To("n:42")),
        ("one that is taken does not",      "ping b:42 > s",      snat("n"), Within("n", 0..=65535)),
        ("towards another either",          "ping b:42 > t",      snat("n"), As(1)),
        ("in a range",                      "ping c:42 > s",      snat("n").ports(1000, 1009), Within("n", 1000..=1009)),
    ]);
}

#[test]
fn a_port_that_must_not_change_moves_the_other_end() {
    for family in Family::ALL {
        let mut nat = Translator::new(family, 1);
        nat.play(&[("the first", "udp s:5000 > n:7000", dnat("b"), To("b:7000"))]);
        let mut second = nat.draft("udp s:5000 > m:7000");
        let mapped = nat.bind(&mut second, dnat("b"));
        assert_eq!((mapped.dst, mapped.dport), endpoint(family, "b:7000"));
        assert_eq!(mapped.src, address(family, "s"));
        assert_ne!(mapped.sport, 5000, "the null binding of the source has to give way");
        assert!(second.is(Status::NAT));
        nat.confirm(second).expect("room");
    }
}

#[test]
fn the_same_conversation_is_no_collision() {
    let mut nat = Translator::new(Family::V4, 1);
    let rows = [("the first", "udp a:5555 > s:53", null(), To("a:5555"))];
    nat.play(&rows);
    let mut twin = nat.draft("udp a:5555 > s:53");
    assert_eq!(nat.bind(&mut twin, null()), twin.orig);
    assert_eq!(nat.found, 0);
    assert!(nat.confirm(twin).is_err(), "that is for confirmation to find out");
}

#[test]
fn an_answer_from_another_zone_keeps_its_port_unless_there_is_a_handshake() {
    for (from, back, is_left) in [
        ("udp a:5555 > s:53", "udp s:53 > a:5555", true),
        ("tcp a:5555 > s:53", "tcp s:53 > a:5555", false),
    ] {
        for family in Family::ALL {
            let mut nat = Translator::new(family, 1);
            let mut first = nat.draft(from);
            first.zone = Zone { id: 3, scope: ZoneScope::Reply };
            nat.bind(&mut first, null());
            nat.confirm(first).expect("room");

            let mut answer = nat.draft(back);
            let mapped = nat.bind(&mut answer, null());
            assert_eq!(mapped == answer.orig, is_left, "{back}: {mapped}");
            assert_eq!(nat.confirm(answer).is_err(), is_left, "confirmation finds no room for it");
        }
    }
}

/// A TCP flow in that state, whose client has sent up to that number.
fn connection(nat: &Translator, packet: &str, state: TcpState, end: u32) -> Flow {
    let mut tcp = Tcp { state, ..Tcp::default() };
    tcp.seen[0].end = SeqNum(end);
    Flow { proto: ProtoState::Tcp(tcp), ..nat.draft(packet) }
}

#[test]
fn a_dead_connection_leaves_its_port_to_a_higher_syn() {
    let rule = snat("n").ports(7000, 7000);
    let (dead, live) = (TcpState::TimeWait, TcpState::Established);
    for (what, rule, state, status, end, evicts) in [
        ("higher by one", rule, dead, Status::empty(), 1001, true),
        ("aborted ones too", rule, TcpState::Close, Status::empty(), 1001, true),
        ("over the wrap", rule, dead, Status::empty(), 1000 + 0x7fff_ffff, true),
        ("the same number", rule, dead, Status::empty(), 1000, false),
        ("a lower one", rule, dead, Status::empty(), 999, false),
        ("half the space away", rule, dead, Status::empty(), 1000 + 0x8000_0000, false),
        ("not dead yet", rule, TcpState::LastAck, Status::empty(), 1001, false),
        ("alive", rule, live, Status::empty(), 1001, false),
        ("kept on purpose", rule, dead, Status::FIXED_TIMEOUT, 1001, false),
    ] {
        for family in Family::ALL {
            let mut nat = Translator::new(family, 1);
            let mut old = connection(&nat, "tcp a:5555 > s:80", state, 1000);
            old.status |= status;
            nat.bind(&mut old, rule);
            let old = nat.confirm(old).expect("room");

            let mut new = connection(&nat, "tcp b:5555 > s:80", TcpState::SynSent, end);
            let mapped = nat.bind(&mut new, rule);
            assert_eq!((mapped.src, mapped.sport), endpoint(family, "n:7000"), "{what}");
            assert_eq!(!nat.table.has(old), evicts, "{what}");
            assert_eq!(nat.confirm(new).is_ok(), evicts, "{what}");
        }
    }
}

#[test]
fn only_a_translated_source_is_evicted_and_only_by_a_syn() {
    let rule = snat("n").ports(7000, 7000);
    let mut nat = Translator::new(Family::V4, 1);
    let mut own = connection(&nat, "tcp n:7000 > s:80", TcpState::TimeWait, 1000);
    nat.bind(&mut own, null());
    nat.confirm(own).expect("room");
    let mut new = connection(&nat, "tcp b:5555 > s:80", TcpState::SynSent, 2000);
    nat.bind(&mut new, rule);
    assert!(nat.confirm(new).is_err(), "the router's own connection stays");

    let mut old = connection(&nat, "tcp a:5555 > t:80", TcpState::TimeWait, 1000);
    nat.bind(&mut old, rule);
    nat.confirm(old).expect("room");
    let mut new = connection(&nat, "tcp b:5555 > t:80", TcpState::Established, 2000);
    nat.bind(&mut new, rule);
    assert!(nat.confirm(new).is_err(), "what was picked up is no SYN");

    let mut new = connection(&nat, "tcp b:7000 > t:80", TcpState::SynSent, 2000);
    nat.bind(&mut new, rule);
    assert!(nat.confirm(new).is_err(), "Linux asks no further where the only port is its own");
}

#[test]
fn eviction_is_for_the_last_32_attempts() {
    let rule = snat("n").ports(7000, 7063);
    let mut nat = Translator::new(Family::V4, 1);
    for n in 0..64 {
        let packet = alloc::format!("tcp a:{} > s:80", 7000 + n);
        let mut old = connection(&nat, &packet, TcpState::TimeWait, 1000);
        nat.bind(&mut old, rule);
        nat.confirm(old).expect("room");
    }
    nat.found = 0;
    let mut new = connection(&nat, "tcp b:5555 > s:80", TcpState::SynSent, 2000);
    nat.bind(&mut new, rule);
    assert_eq!(nat.found, 32, "so many ports were found taken before force was used");
    assert_eq!(nat.table.len(), 63, "one was evicted");
    nat.confirm(new).expect("its place is free");
}

#[test]
fn a_search_ends() {
    // With every port of the class taken: a look at its own, then 128 attempts, and 64, 32, 16 and 8
    // from new starting points.
    let mut nat = Translator::new(Family::V4, 1);
    for port in 1024..=u16::MAX {
        let mut flow = nat.draft(&alloc::format!("udp a:{port} > s:53"));
        nat.bind(&mut flow, snat("n"));
        nat.confirm(flow).expect("room");
    }
    nat.found = 0;
    let mut late = nat.draft("udp b:5555 > s:53");
    nat.bind(&mut late, snat("n"));
    assert_eq!(nat.found, 1 + 128 + 64 + 32 + 16 + 8);
    assert!(nat.confirm(late).is_err(), "confirmation refuses the last candidate");
}
