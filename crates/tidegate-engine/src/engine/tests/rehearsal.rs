//! Explaining a packet, and then having it come: the same outcome, the same steps, the same bytes; and nothing of the
//! engine has changed in between. The random traffic of the express path's test is compared in this way, and the
//! helpers' conversations; here is what they don't have.

use alloc::collections::BTreeSet;

use super::*;
use crate::fib::Fib;

/// Everything that can be seen of an engine without changing it.
fn seen(engine: &Engine) -> String {
    let rules = Family::ALL.map(|family| engine.rules(family, true));
    let sets = engine.sets();
    let flows: Vec<_> = engine.flows().collect();
    let more: Vec<_> =
        flows.iter().map(|(id, _)| (engine.table.care(*id), engine.children_of(*id))).collect();
    let expected: Vec<_> = engine.expectations().collect();
    let waiting = (&engine.events, &engine.outputs, &engine.log);
    let (rng, stats) = (&engine.rng, engine.stats());
    let due = engine.next_deadline();
    alloc::format!(
        "{flows:?}{more:?}{expected:?}{rules:?}{sets:?}{waiting:?}{rng:?}{stats:?}{due:?}"
    )
}

/// Explains the packet, then has it come.
pub(super) fn rehearsed(
    engine: &mut Engine,
    now: Instant,
    packet: &mut Packet<'_>,
    fib: &impl Fib,
) -> Outcome {
    // What time brings about is no consequence of the packet.
    engine.give_up_fragments(now, fib);
    // All of a large table would take long to write down.
    let before = (engine.count() < 16).then(|| seen(engine));
    let told = engine.explain(now, packet, fib);
    if let Some(before) = before {
        assert_eq!(seen(engine), before, "explaining changes nothing");
    }
    let first = engine.outputs.len();
    let known: Vec<FlowId> = engine.flows().map(|(id, _)| id).collect();
    let mut trace = Trace::default();
    let outcome = engine.process_traced(now, packet, fib, &mut trace);
    if told.caveat == Some(Caveat::Fragment) {
        return outcome;
    }
    let flow = outcome.flow.filter(|id| known.contains(id));
    assert_eq!(told.trace.steps, trace.steps);
    assert_eq!(told.outcome, Outcome { flow, ..outcome });
    assert_eq!((told.datagram.as_slice(), told.caveat), (&*packet.bytes, None));
    assert!(engine.outputs.iter().skip(first).eq(&told.outputs));
    outcome
}

/// What an engine has, besides its rules.
#[derive(Clone, Copy, Debug)]
enum Table {
    Roomy,
    /// Room for 40 flows, in 16 buckets.
    Full,
    /// One bucket, whose chain becomes too long.
    OneBucket,
}

/// What shows that it mattered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Flows,
    Evictions,
    LongChains,
    OtherPorts,
    Clashes,
    Zones,
    Drops,
}

impl Sign {
    fn is_seen(self, engine: &Engine, drops: usize) -> bool {
        let stats = engine.stats();
        match self {
            Self::Flows => engine.count() > 10,
            Self::Evictions => stats.early_drop > 10,
            Self::LongChains => stats.chaintoolong > 10,
            Self::OtherPorts => engine.flows().any(|(_, flow)| flow.reply.dport > 10_000),
            Self::Clashes => stats.found > 10,
            Self::Zones => engine.flows().any(|(_, flow)| flow.zone.id == 3),
            Self::Drops => (20..PACKETS - 20).contains(&drops),
        }
    }
}

/// Packets of a row and family.
const PACKETS: usize = 400;

/// Each row: what a packet's way depends on, the rules, the table, and what must have come of it.
const ROWS: [(&str, &str, Table, Sign); 12] = [
    ("nothing", "", Table::Roomy, Sign::Flows),
    ("what can be thrown out", "", Table::Full, Sign::Evictions),
    ("how long a chain is", "", Table::OneBucket, Sign::LongChains),
    (
        "a random port",
        "*nat; -A POSTROUTING -o wan -j MASQUERADE --random",
        Table::Roomy,
        Sign::OtherPorts,
    ),
    (
        "which of a few ports is free",
        "*nat; -A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 7000-7005; \
         -A POSTROUTING -o wan -p tcp -j MASQUERADE --to-ports 7000-7019",
        Table::Roomy,
        Sign::Clashes,
    ),
    (
        "zones, of both directions or one",
        "*raw; -A PREROUTING -p udp -m udp --sport 5000:5003 -j CT --zone 7; \
         -A PREROUTING -i lan -p tcp -m tcp --sport 5000:5003 -j CT --zone-orig 3; \
         -A PREROUTING -p udp -m udp --sport 5004 -j CT --zone-reply 4\
         *nat; -A POSTROUTING -o wan -j MASQUERADE",
        Table::Roomy,
        Sign::Zones,
    ),
    (
        "how many flows there are",
        "*filter; -A FORWARD -m conntrack --ctstate NEW -m connlimit --connlimit-above 9 \
         --connlimit-mask 0 -j DROP",
        Table::Roomy,
        Sign::Drops,
    ),
    (
        "how many flows are left of a full table",
        "*filter; -A FORWARD -m conntrack --ctstate NEW -m connlimit --connlimit-above 9 \
         --connlimit-mask 0 -j DROP",
        Table::Full,
        Sign::Drops,
    ),
    (
        "what came before",
        "*filter; -A FORWARD -m recent --name r --rcheck --seconds 1 --hitcount 5 -j DROP; \
         -A FORWARD -m recent --name r --set -j ACCEPT",
        Table::Roomy,
        Sign::Drops,
    ),
    (
        "how much came before",
        "*filter; -A FORWARD -p udp -m quota --quota 2000 -j ACCEPT; \
         -A FORWARD -m limit --limit 1/sec --limit-burst 3 -j ACCEPT; \
         -A FORWARD -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst 5 --hashlimit-mode srcip \
         --hashlimit-name h -j ACCEPT; -A FORWARD -j DROP",
        Table::Roomy,
        Sign::Drops,
    ),
    (
        "chance",
        "*filter; -A FORWARD -m statistic --mode random --probability 0.5 -j DROP; \
         -A FORWARD -m statistic --mode nth --every 3 --packet 0 -j REJECT",
        Table::Roomy,
        Sign::Drops,
    ),
    (
        "sets",
        "*filter; -A FORWARD -m set --match-set s src,src -j DROP; \
         -A FORWARD -p tcp -j SET --add-set s src,src; -A FORWARD -p udp -j SET --del-set s src,src",
        Table::Roomy,
        Sign::Drops,
    ),
];

fn engine_of(family: Family, rules: &str, table: Table) -> Engine {
    let limits = match table {
        Table::Roomy => limits(),
        Table::Full => Limits { max: 40, buckets: 16, ..limits() },
        Table::OneBucket => Limits { buckets: 1, ..limits() },
    };
    let mut engine = engine(Limits { acct: true, ..limits });
    let inet = if family == Family::V4 { "inet" } else { "inet6" };
    let sets = alloc::format!("create s hash:ip,port family {inet}");
    engine.restore_sets(at(0), "sets", &sets).unwrap();
    let tables = rules.split('*').filter(|table| !table.is_empty());
    let text: String =
        tables.map(|table| alloc::format!("*{}\nCOMMIT\n", table.replace("; ", "\n"))).collect();
    engine.replace_rules(&crate::rules::parse(family, "row", &text).unwrap());
    engine
}

/// Packets of a few conversations in no order, some of which nobody has begun.
fn next(rng: &mut Rng) -> Datagram {
    let from = if rng.below(3) == 0 { Host::Server } else { Host::Client };
    let port = 5000 + rng.below(8) as u16;
    let (src, dst) = if from == Host::Client { (port, 80) } else { (80, port) };
    match rng.below(8) {
        0..2 => udp(from, 20).ports(src, dst),
        2..4 => udp(Host::Client, 20).ports(rng.u16() | 1, 80),
        4 => tcp(from, TcpFlags::SYN, 1000, 0).ports(src, dst),
        5 => tcp(from, TcpFlags::ACK, 1001, 5001).ports(src, dst),
        6 => ping(from, port),
        _ => unreachable(from, &udp(from.peer(), 20).ports(dst, src)),
    }
}

#[test]
fn whatever_a_packet_depends_on_is_on_the_stage() {
    for (what, rules, table, sign) in ROWS {
        for family in Family::ALL {
            let (mut engine, mut rng) = (engine_of(family, rules, table), Rng::new(7));
            let (mut now, mut drops) = (at(10), 0);
            for _ in 0..PACKETS {
                let datagram = next(&mut rng);
                let mut bytes = datagram.bytes(family);
                let mut packet = Packet::received(&mut bytes, datagram.from.ingress());
                let outcome = rehearsed(&mut engine, now, &mut packet, &World::new());
                drops += usize::from(matches!(outcome.verdict, Verdict::Drop(_)));
                now += Duration::from_millis(u64::from(rng.below(100)));
            }
            let stats = engine.stats();
            assert!(sign.is_seen(&engine, drops), "{what}: {drops} drops, {stats:?}");
        }
    }
}

/// A question costs no more than what the packet has to do with.
#[test]
fn of_a_large_table_little_is_copied() {
    let limits = Limits { max: 0, buckets: 1 << 14, ..limits() };
    let mut engine = engine(limits);
    for port in 1..20_000 {
        receive(&mut engine, at(1), Family::V4, &udp(Host::Client, 0).ports(port, 53));
    }
    let mut bytes = udp(Host::Client, 0).ports(700, 53).bytes(Family::V4);
    let packet = Packet::received(&mut bytes, Host::Client.ingress());
    let told = engine.explain(at(2), &packet, &World::new());
    assert!(told.outcome.flow.is_some() && told.caveat.is_none());
    let (_, met) = engine.rehearse(at(2), &packet, &World::new(), &BTreeSet::new());
    assert!((1..50).contains(&met.len()), "{} flows", met.len());
}

/// All ports but the last of a range are taken, and the search is as long as the kernel's.
#[test]
fn a_search_for_a_port_takes_few_rounds() {
    let family = Family::V4;
    let rules = "*nat; -A POSTROUTING -o wan -p udp -j MASQUERADE --to-ports 7000-7100";
    let mut engine = engine_of(family, rules, Table::Roomy);
    for port in 1..=101 {
        let mut bytes = udp(Host::Client, 0).ports(port, 53).bytes(family);
        let mut packet = Packet::received(&mut bytes, Host::Client.ingress());
        let told = engine.explain(at(1), &packet, &World::new());
        assert_eq!(told.caveat, None, "{port}");
        let outcome = engine.process(at(1), &mut packet, &World::new());
        assert_eq!((told.outcome.verdict, &told.datagram), (outcome.verdict, &bytes), "{port}");
    }
    assert!(engine.stats().found > 200);
}

/// The first fragment of a datagram.
fn fragment(to: Host) -> Vec<u8> {
    let mut bytes = udp(Host::Client, 64).to(to).bytes(Family::V4);
    bytes[6] |= 0x20;
    let sum = tidegate_wire::checksum::Sum::new().bytes(&bytes[..10]).bytes(&bytes[12..20]);
    let check = sum.finish().to_be_bytes();
    bytes[10..12].copy_from_slice(&check);
    bytes
}

/// That nobody waits for fragments any more is told to their sender when the next packet comes, of which that is no
/// consequence.
#[test]
fn what_time_brings_about_is_not_the_packet_s_doing() {
    let mut engine = engine(limits());
    receive_bytes(&mut engine, at(1), &mut fragment(Host::Router), Host::Client);
    let mut bytes = udp(Host::Client, 1).ports(1, 2).bytes(Family::V4);
    let mut packet = Packet::received(&mut bytes, Host::Client.ingress());
    rehearsed(&mut engine, at(100), &mut packet, &World::new());
    assert_eq!(engine.outputs.len(), 1);
}

/// What is told of a fragment is told with a caveat.
#[test]
fn fragments_are_told_apart() {
    let mut bytes = fragment(Host::Server);
    let engine = engine(limits());
    let packet = Packet::received(&mut bytes, Host::Client.ingress());
    let told = engine.explain(at(1), &packet, &World::new());
    assert_eq!(told.caveat, Some(Caveat::Fragment));
    assert_eq!(told.outcome.verdict, Verdict::Held);
}
