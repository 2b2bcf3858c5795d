//! The same calls give the same answers, and watching changes none.

use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

use super::*;

/// Packets of either family, in any order, and the milliseconds between them.
fn calls() -> impl Strategy<Value = Vec<(usize, bool, u64)>> {
    prop::collection::vec((0..15usize, any::<bool>(), 0..40_000u64), 1..60)
}

/// Plays the calls; every outcome and all bytes, and then everything.
fn play(calls: &[(usize, bool, u64)], traced: bool) -> (Vec<(Outcome, Vec<u8>)>, String) {
    let limits = Limits { max: 6, buckets: 4, acct: true, timestamp: true, ..limits() };
    let mut engine = engine(limits);
    let (samples, world, mut now) = (samples(), World::new(), Instant::ZERO);
    let mut outcomes = Vec::new();
    for (nth, v6, wait) in calls {
        now += Duration::from_millis(*wait);
        engine.handle_timeout(now, 2, &World::new());
        let family = if *v6 { Family::V6 } else { Family::V4 };
        let mut bytes = samples[*nth].bytes(family);
        let mut packet = Packet::received(&mut bytes, samples[*nth].from.ingress());
        let outcome = match traced {
            true => engine.process_traced(now, &mut packet, &world, &mut Trace::default()),
            false => engine.process(now, &mut packet, &world),
        };
        outcomes.push((outcome, bytes));
    }
    (outcomes, everything(&mut engine))
}

proptest! {
    #[test]
    fn the_same_calls_give_the_same_bytes_and_the_same_table(calls in calls()) {
        prop_assert_eq!(play(&calls, false), play(&calls, false));
    }

    #[test]
    fn a_trace_changes_nothing(calls in calls()) {
        prop_assert_eq!(play(&calls, true), play(&calls, false));
    }
}

#[test]
fn a_trace_tells_the_way() {
    let mut engine = engine(limits());
    let mut trace = Trace::default();
    let syn = tcp(Host::Client, TcpFlags::SYN, 1000, 0);
    let mut bytes = syn.bytes(Family::V4);
    let mut packet = Packet::received(&mut bytes, syn.from.ingress());
    engine.process_traced(at(0), &mut packet, &World::new(), &mut trace);
    let told: Vec<String> = trace.steps.iter().map(|step| alloc::format!("{step}")).collect();
    let expected = [
        "PREROUTING",
        "  conntrack: NEW, looked up src=10.0.1.2 dst=203.0.113.2 sport=40000 dport=80\n    \
         before: no entry\n    \
         after:  tcp 6 120 SYN_SENT src=10.0.1.2 dst=203.0.113.2 sport=40000 dport=80 \
         [UNREPLIED] src=203.0.113.2 dst=10.0.1.2 sport=80 dport=40000 mark=0",
        "  route: Forward { port: PortId(1), next_hop: 203.0.113.2 }",
        "FORWARD",
        "POSTROUTING",
        "  conntrack: confirmed",
        "verdict: forward via 203.0.113.2",
    ];
    assert_eq!(told, expected);
}
