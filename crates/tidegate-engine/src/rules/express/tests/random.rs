//! What was proven against what the rules do, packet by packet.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseResult, TestRunner};

use tidegate_wire::Family;

use super::super::super::eval::Ruling;
use super::super::super::eval::scene::{CLIENT, LAN, SERVER, Scene, WAN, tcp, udp, v4, v6};
use super::super::super::eval::tests::random::tables;
use super::super::super::{ExpressProto, ExpressRoute, Hook, Programs, Ruleset, TableKind};
use super::super::MOST;
use super::{ROUTES, ruleset};
use crate::flow::Status;
use crate::packet::CtInfo;
use crate::tuple::Direction::{self, Original, Reply};

/// An established packet, as much as proofs leave open.
#[derive(Clone, Debug)]
struct Recipe {
    proto: ExpressProto,
    dir: Direction,
    /// Indices of addresses.
    ends: (u8, u8),
    ports: (u16, u16),
    /// A TCP header's data offset and flags; it may lie.
    shape: (u8, u8),
    payload: usize,
    /// The packet's and the flow's.
    marks: (u32, u32),
    extra: Status,
    seconds_left: u64,
    /// Came in by LAN, with a link header.
    from_lan: bool,
    /// Its flow has other answers than its tuple's inverse.
    translated: bool,
}

impl Recipe {
    fn bytes(&self, family: Family) -> Vec<u8> {
        let (sport, dport) = self.ports;
        let (offset, flags) = self.shape;
        let mut payload = match self.proto {
            ExpressProto::Tcp => tcp(sport, dport, flags, &[]),
            ExpressProto::Udp => udp(sport, dport),
        };
        if self.proto == ExpressProto::Tcp {
            payload[12] = offset << 4;
        }
        payload.resize(payload.len() + self.payload, 2);
        let (src, dst) = self.ends;
        match family {
            Family::V4 => {
                let address =
                    |end: u8| [CLIENT, SERVER, [10, 0, 0, 3], [10, 0, 1, 1]][usize::from(end)];
                v4(address(src), address(dst), self.proto.number(), &payload)
            }
            Family::V6 => v6(src.into(), dst.into(), self.proto.number(), &payload),
        }
    }

    /// As a table's chain at a hook sees it.
    fn scene(&self, family: Family, hook: Hook, table: TableKind) -> Scene {
        let mut scene = Scene::of(self.bytes(family));
        if table != TableKind::Raw {
            let status = Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED | self.extra;
            scene = scene.tracked(CtInfo::Established(self.dir), status, self.seconds_left);
            scene.has_entry = true;
        }
        if let Some(flow) = &mut scene.flow {
            flow.mark = self.marks.1;
            flow.reply.dport ^= u16::from(self.translated);
        }
        scene.mark = self.marks.0;
        scene.in_port = Some(if self.from_lan { LAN } else { WAN });
        scene.link = scene.link.filter(|_| self.from_lan);
        scene.out_port = matches!(hook, Hook::Forward | Hook::Postrouting).then_some(WAN);
        scene
    }
}

fn packets() -> impl Strategy<Value = Recipe> {
    let extra = vec![
        Status::empty(),
        Status::EXPECTED,
        Status::SRC_NAT,
        Status::DST_NAT | Status::NAT_DONE,
        Status::FIXED_TIMEOUT,
    ];
    (
        (select(vec![ExpressProto::Tcp, ExpressProto::Udp]), select(vec![Original, Reply])),
        ((0u8..4, 0u8..4), (0u16..5, 0u16..5), (0u8..16, any::<u8>()), 0usize..20),
        ((0u32..4, 0u32..4), select(extra), 0u64..200),
        any::<(bool, bool)>(),
    )
        .prop_map(
            |((proto, dir), (ends, ports, shape, payload), rest, (from_lan, translated))| {
                let (marks, extra, seconds_left) = rest;
                Recipe {
                    proto,
                    dir,
                    ends,
                    ports,
                    shape,
                    payload,
                    marks,
                    extra,
                    seconds_left,
                    from_lan,
                    translated,
                }
            },
        )
}

/// Words of a rule, by what they are about.
struct Words {
    protocols: Vec<&'static str>,
    states: Vec<&'static str>,
    others: Vec<&'static str>,
    targets: Vec<&'static str>,
}

/// Such as have one meaning for all packets of a sort.
fn settled() -> Words {
    Words {
        protocols: vec![
            "-p tcp",
            "-p udp",
            "! -p tcp",
            "-p ICMP",
            "-p tcp -m tcp",
            "-p udp -m udp",
        ],
        states: vec![
            "-m state --state ESTABLISHED",
            "-m state --state RELATED,ESTABLISHED",
            "-m state ! --state NEW",
            "-m state --state INVALID",
            "-m state --state INVALID,ESTABLISHED",
            "-m conntrack --ctstate UNTRACKED",
            "-m conntrack --ctdir REPLY",
            "-m conntrack --ctstate INVALID --ctdir ORIGINAL",
            "-m conntrack ! --ctstate INVALID --ctdir ORIGINAL",
            "-m conntrack --ctstatus ASSURED",
            "-m conntrack ! --ctstatus EXPECTED,CONFIRMED",
            "-m conntrack --ctstatus NONE",
            "-m conntrack --ctproto 6",
            "-m conntrack ! --ctproto 6 --ctdir ORIGINAL",
        ],
        others: vec!["-m comment --comment some"],
        targets: vec!["", "-j ACCEPT", "-j ACCEPT", "-j RETURN", "-j DROP", "-j USER", "-g USER"],
    }
}

/// Others besides.
fn mixed() -> Words {
    let mut words = settled();
    words.protocols.extend([
        "-p tcp -m tcp --dport 1:3",
        "-p tcp -m tcp --tcp-flags SYN,ACK SYN",
        "-p tcp -m tcp --tcp-option 2",
        "-p udp -m udp ! --sport 2",
        "-p udp -m multiport --ports 1,2",
    ]);
    words.states.extend([
        "-m conntrack --ctstate DNAT",
        "-m conntrack --ctstate NEW,SNAT",
        "-m conntrack ! --ctstate ESTABLISHED,SNAT",
        "-m conntrack --ctstatus EXPECTED",
        "-m conntrack --ctorigsrc NET",
        "-m conntrack --ctstate INVALID --ctrepldst NET",
        "-m conntrack --ctrepldstport 1:3",
        "-m conntrack --ctexpire 1:100",
        "-m connmark --mark 1",
        "-m connmark ! --mark 1",
    ]);
    words.others.extend([
        "-m limit --limit 1/hour --limit-burst 2",
        "-m mark --mark 1",
        "-m addrtype --dst-type LOCAL",
        "-s NET",
    ]);
    words.targets.extend(["-j LOG", "-j MARK --set-mark 9", "-j CONNMARK --set-mark 9"]);
    words
}

fn rules(words: &Words, chain: String, next: usize, raw: bool) -> BoxedStrategy<String> {
    let some = |words: &Vec<&'static str>| prop::option::weighted(0.4, select(words.clone()));
    let mut targets = words.targets.clone();
    targets.retain(|target| next < USERS || !target.contains("USER"));
    targets.extend(["-j NOTRACK", "-j CT --zone 1"].iter().filter(|_| raw));
    let rule = (
        some(&words.protocols),
        some(&words.states),
        some(&words.others),
        any::<bool>(),
        select(targets),
        next..USERS.max(next + 1),
    );
    let rule = rule.prop_map(move |(protocol, state, other, swapped, target, user)| {
        let [mut first, mut second] = [state, other].map(Option::unwrap_or_default);
        if swapped {
            core::mem::swap(&mut first, &mut second);
        }
        let target = target.replace("USER", &format!("u{user}"));
        let protocol = protocol.unwrap_or_default();
        format!("; -A {chain} {protocol} {first} {second} {target}")
    });
    prop::collection::vec(rule, 0..4).prop_map(|rules| rules.concat()).boxed()
}

/// A table with some user chains that jump to later ones.
fn table(words: &Words, kind: TableKind) -> impl Strategy<Value = String> + use<> {
    let raw = kind == TableKind::Raw;
    let bases = kind.hooks().iter().map(|hook| {
        let policy = select(vec!["ACCEPT", "ACCEPT", "ACCEPT", "ACCEPT", "DROP"]);
        let rules = rules(words, hook.name().into(), 0, raw);
        (policy, rules)
            .prop_map(move |(policy, rules)| format!("; :{hook} {policy}{rules}"))
            .boxed()
    });
    let users = (0..USERS).map(|user| rules(words, format!("u{user}"), user + 1, raw));
    let chains: Vec<_> = bases.chain(users).collect();
    let head = (0..USERS).fold(format!("*{kind}"), |head, user| format!("{head}; :u{user} -"));
    chains.prop_map(move |chains| format!("{head}{}", chains.concat()))
}

fn rulesets(words: &Words) -> impl Strategy<Value = Ruleset> + use<> {
    let kinds = [TableKind::Raw, TableKind::Mangle, TableKind::Filter, TableKind::Security];
    let tables: Vec<_> =
        kinds.iter().map(|kind| prop::option::weighted(0.4, table(words, *kind))).collect();
    (select(vec![Family::V4, Family::V6]), tables).prop_map(|(family, tables)| {
        let text: String = tables.into_iter().flatten().collect();
        ruleset(family, &text)
    })
}

/// Takes a packet along a route by asking the rules. Whether all accept it, and whether it is as before.
fn ask(
    programs: &mut Programs,
    family: Family,
    recipe: &Recipe,
    route: ExpressRoute,
) -> (bool, bool) {
    let mut unchanged = true;
    for &(hook, table) in route.stages() {
        let mut scene = recipe.scene(family, hook, table);
        let before = state(&scene);
        let ruling = programs.run(family, table, &mut scene.context(hook), &mut ());
        unchanged &= state(&scene) == before;
        if ruling != Ruling::Accept {
            return (false, unchanged);
        }
    }
    (true, unchanged)
}

/// All that rules may change of a packet.
fn state(scene: &Scene) -> String {
    let Scene { mark, template, untracked, flow, log, .. } = scene;
    format!("{mark} {template:?} {untracked} {flow:?} {log:?}")
}

/// How many entries have counted how many packets, over all.
fn met(programs: &Programs, family: Family) -> u64 {
    let traces = programs.traces(family);
    traces.iter().flat_map(|(counters, _)| counters).map(|counters| counters.packets).sum()
}

/// Wherever the way is clear, all rules accept the packet as it is and count as it was foreseen. How often some counted.
fn check_clear(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let [mut asked, mut foreseen] = [Programs::default(), Programs::default()];
    asked.replace(rules);
    foreseen.replace(rules);
    let mut clear = 0;
    for recipe in recipes {
        for route in ROUTES {
            if foreseen.is_clear(family, recipe.proto, recipe.dir, route) {
                let before = met(&foreseen, family);
                let len = recipe.scene(family, Hook::Forward, TableKind::Filter).headers.len;
                prop_assert_eq!(ask(&mut asked, family, recipe, route), (true, true));
                foreseen.count_clear(family, recipe.proto, recipe.dir, route, len);
                clear += usize::from(met(&foreseen, family) > before);
            }
            prop_assert_eq!(asked.traces(family), foreseen.traces(family));
        }
    }
    Ok(clear)
}

/// If the packet's sort settles every check, the way is clear exactly where the rules accept. How often they did.
fn check_settled(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let mut programs = Programs::default();
    programs.replace(rules);
    let mut clear = 0;
    for recipe in recipes {
        for route in ROUTES {
            let before = met(&programs, family);
            let (accepted, unchanged) = ask(&mut programs, family, recipe, route);
            let few = met(&programs, family) - before <= MOST as u64;
            let expected = accepted && unchanged && few;
            let found = programs.is_clear(family, recipe.proto, recipe.dir, route);
            prop_assert_eq!(found, expected);
            clear += usize::from(found);
        }
    }
    Ok(clear)
}

type Check = fn(&Ruleset, &[Recipe]) -> Result<usize, TestCaseError>;

/// Runs a check on many rulesets; ways must have been clear often enough, and not clear often enough, to tell.
#[track_caller]
fn run(rulesets: impl Strategy<Value = Ruleset>, check: Check) {
    let config = ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() };
    let (clear, all) = (Cell::new(0), Cell::new(0));
    let strategy = (rulesets, prop::collection::vec(packets(), 1..8));
    let result = TestRunner::new(config).run(&strategy, |(rules, recipes)| -> TestCaseResult {
        clear.set(clear.get() + check(&rules, &recipes)?);
        all.set(all.get() + ROUTES.len() * recipes.len());
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let (clear, all) = (clear.get(), all.get());
    assert!((all / 25..all / 10 * 9).contains(&clear), "{clear} of {all} were clear");
}

#[test]
fn a_clear_way_is_as_the_rules_say() {
    run(rulesets(&mixed()), check_clear);
}

#[test]
fn a_clear_way_through_any_filter_is_as_the_rules_say() {
    let filters = tables().prop_map(|table| Ruleset { family: Family::V4, tables: vec![table] });
    run(filters, check_clear);
}

#[test]
fn a_way_is_clear_if_the_sort_of_packet_settles_it() {
    run(rulesets(&settled()), check_settled);
}

const USERS: usize = 3;
