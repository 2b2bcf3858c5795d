//! Ways through chains, and random rulesets against a recursive evaluator over the AST.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::super::ast::{
    AddressRange, Chain, Counters, DnatTarget, Hook, IcmpReject, MarkTarget, MasqueradeTarget,
    Match, NatFlags, Network, Policy, PortRange, RedirectTarget, RejectWith, Rule, SnatTarget,
    Table, TableKind, Target, TcpMatch, Term, UdpMatch,
};
use super::super::conditions::Memory;
use super::super::program::Program;
use super::scene::{
    CLIENT, SERVER, Scene, builtin, forward, is, program, protocol, query, rule, tcp, user, v4,
    v4_addr,
};
use super::{NatAction, Ruling, run};
use crate::nat::{Manip, NatRange};
use crate::trace::{Step, Trace};

pub(in crate::rules) mod random;

/// `-p udp --dport first:last -j TARGET`
fn on_udp(first: u16, last: u16, target: Target) -> Rule {
    let destination = Some(is(PortRange { first, last }));
    let udp = Match::Udp(UdpMatch { source: None, destination });
    Rule { spec: protocol(17), ..rule(vec![udp], target) }
}

fn jump(chain: &str) -> Target {
    Target::Jump(chain.into())
}

fn goto(chain: &str) -> Target {
    Target::Goto(chain.into())
}

/// Jumps, gotos and returns, every way that they can be combined.
fn chains() -> Table {
    let main = vec![
        on_udp(0, 65535, jump("a")),
        on_udp(53, 53, Target::None),
        on_udp(5, 7, goto("b")),
        on_udp(8, 8, Target::Return),
        on_udp(53, 53, Target::Accept),
    ];
    let a = vec![
        on_udp(1, 1, Target::Accept),
        on_udp(2, 2, Target::Return),
        on_udp(3, 3, Target::Drop),
        on_udp(4, 4, jump("b")),
        on_udp(4, 4, goto("c")),
        on_udp(4, 4, Target::Drop),
    ];
    let b =
        vec![on_udp(4, 4, Target::Return), on_udp(5, 5, Target::Accept), on_udp(7, 7, jump("c"))];
    let c = vec![on_udp(7, 7, Target::Accept)];
    let chains =
        vec![builtin(Hook::Forward, Policy::Drop, main), user("a", a), user("b", b), user("c", c)];
    Table { kind: TableKind::Filter, chains }
}

/// The way of a packet as `CHAIN:NUMBER`, `CHAIN:policy` and `CHAIN:return`.
fn way(program: &mut Program, scene: &mut Scene, hook: Hook) -> (Ruling, String) {
    let mut trace = Trace::default();
    let ruling = run(program, &mut Memory::default(), &mut scene.context(hook), &mut trace);
    let steps = trace.steps.iter().map(|step| match step {
        Step::Rule { chain, number, .. } => alloc::format!("{chain}:{number}"),
        Step::ChainEnd { chain, policy: "RETURN", .. } => alloc::format!("{chain}:return"),
        Step::ChainEnd { chain, .. } => alloc::format!("{chain}:policy"),
        other => panic!("not a rule's step: {other:?}"),
    });
    (ruling, steps.collect::<Vec<_>>().join(" "))
}

#[test]
fn ways_through_chains() {
    let rows = [
        ("accepted in a chain", 1, Ruling::Accept, "FORWARD:1 a:1"),
        ("returned from it to the policy", 2, Ruling::Drop, "FORWARD:1 a:2 FORWARD:policy"),
        ("dropped in it", 3, Ruling::Drop, "FORWARD:1 a:3"),
        (
            "back from the second chain, then for good to a third, which returns to the first caller",
            4,
            Ruling::Drop,
            "FORWARD:1 a:4 b:1 a:5 c:return FORWARD:policy",
        ),
        ("goto from a built-in chain", 5, Ruling::Accept, "FORWARD:1 a:return FORWARD:3 b:2"),
        (
            "which ends in the policy",
            6,
            Ruling::Drop,
            "FORWARD:1 a:return FORWARD:3 b:return FORWARD:policy",
        ),
        ("a jump behind a goto", 7, Ruling::Accept, "FORWARD:1 a:return FORWARD:3 b:3 c:1"),
        (
            "a return in a built-in chain is its policy",
            8,
            Ruling::Drop,
            "FORWARD:1 a:return FORWARD:4 FORWARD:policy",
        ),
        (
            "a rule without target only counts",
            53,
            Ruling::Accept,
            "FORWARD:1 a:return FORWARD:2 FORWARD:5",
        ),
    ];
    let mut program = program(&chains());
    for (what, dport, ruling, expected) in rows {
        let (found, steps) = way(&mut program, &mut query(1, dport), Hook::Forward);
        assert_eq!((found, steps.as_str()), (ruling, expected), "{what}");
    }
    assert_eq!(program.state.counters[0], Counters { packets: 9, bytes: 9 * 28 }, "the first rule");
    let policy = program.code.base(Hook::Forward).unwrap().tail();
    assert_eq!(program.state.counters[policy].packets, 4, "the policy");
}

#[test]
fn a_chain_without_rules_is_passed_as_it_would_be_run() {
    let empty = |policy| vec![builtin(Hook::Forward, policy, Vec::new())];
    let full = vec![builtin(Hook::Forward, Policy::Accept, vec![on_udp(9, 9, Target::Drop)])];
    let rows = [
        (empty(Policy::Accept), Hook::Forward, true),
        (empty(Policy::Accept), Hook::Input, true),
        (empty(Policy::Drop), Hook::Forward, false),
        (full, Hook::Forward, false),
    ];
    for (chains, hook, expected) in rows {
        let table = Table { kind: TableKind::Filter, chains };
        let (mut one, mut other) = (program(&table), program(&table));
        let mut scene = query(1, 53);
        let len = scene.context(hook).headers.len;
        assert_eq!(one.pass_bare(hook, len), expected, "{table:?}");
        let ruling = scene.run(&mut other, hook);
        if expected {
            assert_eq!(ruling, Ruling::Accept);
            assert_eq!(one.state.counters, other.state.counters);
        } else {
            assert_eq!(one.state.counters, program(&table).state.counters, "nothing was counted");
        }
    }
}

#[test]
fn no_packet_makes_the_return_stack_grow() {
    let mut program = program(&chains());
    let room = program.returns.capacity();
    for dport in 0..10 {
        query(1, dport).run(&mut program, Hook::Forward);
        assert_eq!(program.returns.capacity(), room);
    }
}

#[test]
fn a_hook_without_chain_accepts() {
    let mut program = forward(vec![rule(vec![], Target::Drop)]);
    assert_eq!(query(1, 2).run(&mut program, Hook::Input), Ruling::Accept);
    assert_eq!(query(1, 2).run(&mut program, Hook::Forward), Ruling::Drop);
}

#[test]
fn an_unreadable_packet_is_dropped_without_a_trace_in_the_counters() {
    let tcp_match = Match::Tcp(TcpMatch::default());
    let asked = Rule { spec: protocol(6), ..rule(vec![tcp_match], Target::Accept) };
    let mut program = forward(vec![rule(vec![], Target::None), asked]);
    let mut short = Scene::of(v4(CLIENT, SERVER, 6, &tcp(1, 2, 0, &[])[..12]));
    let (ruling, steps) = way(&mut program, &mut short, Hook::Forward);
    assert_eq!((ruling, steps.as_str()), (Ruling::Drop, "FORWARD:1"));
    let packets: Vec<u64> =
        program.state.counters.iter().map(|counters| counters.packets).collect();
    assert_eq!(packets, [1, 0, 0]);
}

#[test]
fn counters_start_from_the_rules_own_and_count_the_datagram_alone() {
    let mut table = chains();
    table.chains[0].counters = Counters { packets: 10, bytes: 1000 };
    table.chains[0].rules[0].counters = Counters { packets: 5, bytes: 50 };
    let mut program = program(&table);
    let mut padded = query(1, 6);
    padded.bytes.extend([0; 18]);
    padded.run(&mut program, Hook::Forward);
    assert_eq!(program.state.counters[0], Counters { packets: 6, bytes: 78 });
    let policy = program.code.base(Hook::Forward).unwrap().tail();
    assert_eq!(program.state.counters[policy], Counters { packets: 11, bytes: 1028 });
}

#[test]
fn a_changed_mark_is_seen_by_the_next_rule() {
    let set = Target::Mark(MarkTarget { value: 3, mask: u32::MAX });
    let pattern = super::super::ast::MarkPattern { value: 3, mask: u32::MAX };
    let asked = rule(vec![Match::Mark(is(pattern))], Target::Drop);
    let mut program = forward(vec![rule(vec![], set), asked]);
    assert_eq!(query(1, 2).run(&mut program, Hook::Forward), Ruling::Drop);
}

#[test]
fn targets_become_rulings() {
    let addresses = AddressRange { first: v4_addr([10, 0, 0, 1]), last: v4_addr([10, 0, 0, 9]) };
    let range = NatRange { addrs: Some((addresses.first, addresses.last)), ..NatRange::default() };
    let ports = Some(PortRange { first: 1000, last: 1999 });
    let port_range = NatRange { ports: Some((1000, 1999)), ..NatRange::default() };
    let network = Network { address: v4_addr([10, 9, 0, 0]), mask: v4_addr([255, 255, 0, 0]) };
    let port_unreachable = RejectWith::Icmp(IcmpReject::PortUnreachable);
    let translate = |action| Ruling::Translate(action);
    let rows = [
        ("reject", Target::Reject(port_unreachable), Ruling::Reject(port_unreachable)),
        (
            "SNAT to addresses, for good",
            Target::Snat(SnatTarget {
                addresses: Some(addresses),
                ports: None,
                flags: NatFlags::PERSISTENT,
            }),
            translate(NatAction::Range(Manip::Src, NatRange { persistent: true, ..range })),
        ),
        (
            "DNAT, ports in step",
            Target::Dnat(DnatTarget {
                addresses: Some(addresses),
                ports,
                base_port: Some(5000),
                flags: NatFlags::empty(),
            }),
            translate(NatAction::Range(
                Manip::Dst,
                NatRange { ports: Some((1000, 1999)), base_port: Some(5000), ..range },
            )),
        ),
        (
            "MASQUERADE, fully random",
            Target::Masquerade(MasqueradeTarget { ports, flags: NatFlags::RANDOM_FULLY }),
            translate(NatAction::Masquerade(NatRange { random: true, ..port_range })),
        ),
        (
            "REDIRECT, random",
            Target::Redirect(RedirectTarget { ports, flags: NatFlags::RANDOM }),
            translate(NatAction::Redirect(NatRange { random: true, ..port_range })),
        ),
        ("NETMAP", Target::Netmap(network), translate(NatAction::Netmap(network))),
    ];
    for (what, target, ruling) in rows {
        let found = query(1, 2).run(&mut forward(vec![rule(vec![], target)]), Hook::Forward);
        assert_eq!(found, ruling, "{what}");
    }
}

#[test]
fn a_trace_says_what_each_rule_did() {
    let mark = Target::Mark(MarkTarget { value: 5, mask: u32::MAX });
    let snat = SnatTarget {
        addresses: Some(AddressRange { first: v4_addr([1, 2, 3, 4]), last: v4_addr([1, 2, 3, 5]) }),
        ports: Some(PortRange { first: 7, last: 7 }),
        flags: NatFlags::empty(),
    };
    let rows: [(Target, &str); 8] = [
        (Target::None, "counted"),
        (jump("a"), "-> a"),
        (goto("a"), "-> a (goto)"),
        (Target::Accept, "ACCEPT"),
        (Target::Reject(RejectWith::TcpReset), "REJECT tcp-reset"),
        (mark, "MARK 0x5"),
        (Target::Notrack, "NOTRACK"),
        (Target::Snat(snat), "SNAT 1.2.3.4-1.2.3.5 port 7"),
    ];
    for (target, expected) in rows {
        let chains = vec![
            builtin(Hook::Forward, Policy::Accept, vec![rule(vec![], target)]),
            user("a", vec![]),
        ];
        let mut program = program(&Table { kind: TableKind::Filter, chains });
        let mut trace = Trace::default();
        let mut scene = query(1, 2);
        run(&mut program, &mut Memory::default(), &mut scene.context(Hook::Forward), &mut trace);
        let first = Step::Rule {
            table: TableKind::Filter,
            chain: "FORWARD".to_string(),
            number: 1,
            line: 7,
            action: expected.to_string(),
        };
        assert_eq!(trace.steps[0], first);
    }
}

/// A traced packet leaves a line for each rule and policy, in the kernel's words.
#[test]
fn a_traced_packet_tells_every_rule_that_it_meets() {
    let text = "*raw\n-A PREROUTING -p udp --dport 2 -j TRACE\n-A PREROUTING -p udp\nCOMMIT\n\
        *filter\n:u -\n-A FORWARD -j u\n-A FORWARD -p tcp\n-A FORWARD -p udp\n-A u -p tcp\nCOMMIT\n";
    let rules = crate::rules::parse(tidegate_wire::Family::V4, "row", text).unwrap();
    let mut scene = query(1, 2);
    for (table, hook) in [(0, Hook::Prerouting), (1, Hook::Forward)] {
        scene.run(&mut program(&rules.tables[table]), hook);
    }
    let lines = core::iter::from_fn(|| scene.log.pop());
    let places: Vec<String> =
        lines.map(|line| line.text.split(" IN=").next().unwrap_or_default().to_string()).collect();
    let expected = [
        "TRACE: raw:PREROUTING:rule:2",
        "TRACE: raw:PREROUTING:policy:3",
        "TRACE: filter:FORWARD:rule:1",
        "TRACE: filter:u:return:2",
        "TRACE: filter:FORWARD:rule:3",
        "TRACE: filter:FORWARD:policy:4",
    ];
    assert_eq!(places, expected);
}
