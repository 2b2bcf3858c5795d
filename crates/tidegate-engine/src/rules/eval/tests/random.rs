//! The flat program against a second evaluator that walks the rules as they are written, one function call for each
//! chain, and asks the rules' own types what they mean.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::super::ast::{
    ConnmarkOperation, ConnmarkTarget, CtStates, Interface, MarkPattern, Multiport, PortSide,
    Protocol, Spec,
};
use super::*;
use crate::flow::Status;
use crate::packet::CtInfo;
use crate::tuple::Direction;

/// How many user chains there are; each jumps to later ones only.
const USERS: usize = 4;
const PORTS: u16 = 5;

/// The slow and obvious evaluator.
struct Reference<'a> {
    table: &'a mut Table,
    scene: &'a mut Scene,
}

impl Reference<'_> {
    fn run(&mut self) -> Ruling {
        if let Some(ruling) = self.chain("FORWARD") {
            return ruling;
        }
        let len = self.scene.headers.len;
        let base = &mut self.table.chains[0];
        count(&mut base.counters, len);
        match base.policy.unwrap() {
            Policy::Accept => Ruling::Accept,
            Policy::Drop => Ruling::Drop,
        }
    }

    /// `None` if the chain returns.
    fn chain(&mut self, name: &str) -> Option<Ruling> {
        let index = self.table.chains.iter().position(|chain| chain.name == name).unwrap();
        for number in 0..self.table.chains[index].rules.len() {
            let rule = self.table.chains[index].rules[number].clone();
            match self.rule(&rule) {
                None => return Some(Ruling::Drop),
                Some(false) => continue,
                Some(true) => {}
            }
            count(&mut self.table.chains[index].rules[number].counters, self.scene.headers.len);
            match &rule.target {
                Target::Jump(chain) => {
                    if let Some(ruling) = self.chain(chain) {
                        return Some(ruling);
                    }
                }
                Target::Goto(chain) => return self.chain(chain),
                Target::Return => return None,
                Target::Accept => return Some(Ruling::Accept),
                Target::Drop => return Some(Ruling::Drop),
                Target::Reject(with) => return Some(Ruling::Reject(*with)),
                target => self.change(target),
            }
        }
        None
    }

    fn change(&mut self, target: &Target) {
        match target {
            Target::Mark(mark) => {
                self.scene.mark = self.scene.mark & !mark.mask ^ mark.value;
            }
            Target::Connmark(ConnmarkTarget {
                operation: ConnmarkOperation::Set { value, mask },
                ..
            }) => {
                if let Some(flow) = &mut self.scene.flow {
                    flow.mark = flow.mark & !mask ^ value;
                }
            }
            _ => {}
        }
    }

    /// Whether the rule matches; `None` if the packet can't be read.
    fn rule(&self, rule: &Rule) -> Option<bool> {
        if !self.spec(&rule.spec) {
            return Some(false);
        }
        for condition in &rule.matches {
            if !self.condition(condition)? {
                return Some(false);
            }
        }
        Some(true)
    }

    fn spec(&self, spec: &Spec) -> bool {
        let Scene { headers, .. } = &*self.scene;
        let holds = |term: &Option<Term<Network>>, address| {
            term.as_ref().is_none_or(|term| term.holds(term.value.contains(address)))
        };
        let named = |term: &Option<Term<Interface>>, name| {
            term.as_ref().is_none_or(|term| term.holds(term.value.matches(name)))
        };
        holds(&spec.source, headers.src)
            && holds(&spec.destination, headers.dst)
            && named(&spec.in_interface, if self.scene.in_port.is_some() { "lan0" } else { "" })
            && named(&spec.out_interface, "wan0")
            && spec.protocol.is_none_or(|term| term.holds(term.value.0 == headers.proto))
    }

    fn condition(&self, condition: &Match) -> Option<bool> {
        let payload = self.scene.headers.payload(&self.scene.bytes);
        let port = |at: usize| Some(u16::from_be_bytes([*payload.get(at)?, *payload.get(at + 1)?]));
        let within = |term: &Option<Term<PortRange>>, port| {
            term.is_none_or(|term| term.holds(term.value.contains(port)))
        };
        let least = |len| (payload.len() >= len).then_some(());
        Some(match condition {
            Match::Udp(udp) => {
                least(8)?;
                within(&udp.source, port(0)?) && within(&udp.destination, port(2)?)
            }
            Match::Tcp(tcp) => {
                least(20)?;
                within(&tcp.source, port(0)?) && within(&tcp.destination, port(2)?)
            }
            Match::Multiport(term) => {
                let (source, destination) = (port(0)?, port(2)?);
                let ports: &[u16] = match term.value.side {
                    PortSide::Source => &[source],
                    PortSide::Destination => &[destination],
                    PortSide::Either => &[source, destination],
                };
                let hit = |port: &u16| term.value.ports.iter().any(|range| range.contains(*port));
                term.holds(ports.iter().any(hit))
            }
            Match::Mark(term) => term.holds(term.value.matches(self.scene.mark)),
            Match::Connmark(term) => match &self.scene.flow {
                Some(flow) => term.holds(term.value.matches(flow.mark)),
                None => false,
            },
            Match::State(term) => {
                let name = self.scene.info.name();
                let flag = CtStates::from_name(name).unwrap();
                term.holds(term.value.contains(flag))
            }
            _ => true,
        })
    }
}

fn count(counters: &mut Counters, len: usize) {
    counters.packets += 1;
    counters.bytes += len as u64;
}

fn term<T: core::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Term<T>> {
    (value, prop::bool::weighted(0.3)).prop_map(|(value, negated)| Term { negated, value })
}

fn ports() -> impl Strategy<Value = PortRange> {
    (0..PORTS, 0..PORTS).prop_map(|(first, last)| PortRange { first, last })
}

fn marks() -> impl Strategy<Value = (u32, u32)> {
    (0u32..4, 0u32..4)
}

fn networks() -> impl Strategy<Value = Network> {
    let addresses = select(vec![CLIENT, SERVER, [10, 0, 0, 3]]);
    let masks = select(vec![[255; 4], [255, 255, 255, 0], [0, 0, 0, 1], [0; 4]]);
    (addresses, masks).prop_map(|(address, mask)| {
        Network { address: v4_addr(address), mask: v4_addr(mask) }.masked()
    })
}

fn interfaces() -> impl Strategy<Value = Interface> {
    let names =
        select(vec![("lan0", false), ("lan", true), ("lan", false), ("wan0", true), ("", true)]);
    names.prop_map(|(name, wildcard)| Interface { name: name.into(), wildcard })
}

fn specs() -> impl Strategy<Value = Spec> {
    (
        prop::option::weighted(0.2, term(networks())),
        prop::option::weighted(0.2, term(networks())),
        prop::option::weighted(0.2, term(interfaces())),
        prop::option::weighted(0.2, term(interfaces())),
        prop::option::weighted(0.3, term(select(vec![Protocol::UDP, Protocol::TCP]))),
    )
        .prop_map(|(source, destination, in_interface, out_interface, protocol)| Spec {
            source,
            destination,
            in_interface,
            out_interface,
            protocol,
            fragment: None,
        })
}

/// A condition, with the protocol that it needs.
fn conditions() -> impl Strategy<Value = (Option<u8>, Match)> {
    let side = select(vec![PortSide::Source, PortSide::Destination, PortSide::Either]);
    let list = (side, prop::collection::vec(ports(), 1..3))
        .prop_map(|(side, ports)| Multiport { side, ports });
    let ends = || (prop::option::of(term(ports())), prop::option::of(term(ports())));
    let pattern = || marks().prop_map(|(value, mask)| MarkPattern { value, mask });
    prop_oneof![
        ends().prop_map(|(source, destination)| {
            (Some(17), Match::Udp(UdpMatch { source, destination }))
        }),
        ends().prop_map(|(source, destination)| {
            (Some(6), Match::Tcp(TcpMatch { source, destination, ..TcpMatch::default() }))
        }),
        term(list).prop_map(|list| (Some(17), Match::Multiport(list))),
        term(pattern()).prop_map(|term| (None, Match::Mark(term))),
        term(pattern()).prop_map(|term| (None, Match::Connmark(term))),
        term((0u8..32).prop_map(CtStates::from_bits_truncate))
            .prop_map(|t| (None, Match::State(t))),
        Just((None, Match::Comment("a comment".into()))),
    ]
}

/// What a rule of the chain before user chain `next` may do.
fn targets(next: usize) -> BoxedStrategy<Target> {
    let mark = marks().prop_map(|(value, mask)| Target::Mark(MarkTarget { value, mask }));
    let connmark = marks().prop_map(|(value, mask)| {
        let operation = ConnmarkOperation::Set { value, mask };
        Target::Connmark(ConnmarkTarget { operation, shift: None })
    });
    let ends = select(vec![
        Target::Accept,
        Target::Drop,
        Target::Reject(RejectWith::TcpReset),
        Target::Return,
    ]);
    let simple = prop_oneof![2 => Just(Target::None), 2 => mark, 1 => connmark, 3 => ends];
    if next == USERS {
        return simple.boxed();
    }
    let chain = (next..USERS, any::<bool>()).prop_map(|(chain, goes)| {
        let name = alloc::format!("u{chain}");
        if goes { Target::Goto(name) } else { Target::Jump(name) }
    });
    prop_oneof![simple, chain].boxed()
}

fn rules(next: usize) -> impl Strategy<Value = Vec<Rule>> {
    let conditions = prop::collection::vec(conditions(), 0..3);
    let rule = (specs(), conditions, targets(next)).prop_map(|(mut spec, conditions, target)| {
        for (needed, _) in &conditions {
            spec.protocol = needed.map(|number| is(Protocol(number))).or(spec.protocol);
        }
        let fits = |needed: Option<u8>| {
            needed.is_none_or(|number| spec.protocol == Some(is(Protocol(number))))
        };
        let matches =
            conditions.into_iter().filter(|(needed, _)| fits(*needed)).map(|(_, m)| m).collect();
        Rule { spec, ..rule(matches, target) }
    });
    prop::collection::vec(rule, 0..6)
}

/// A filter table with rules at FORWARD.
pub(in crate::rules) fn tables() -> impl Strategy<Value = Table> {
    let policy = select(vec![Policy::Accept, Policy::Drop]);
    let users: Vec<_> = (0..USERS).map(|chain| rules(chain + 1)).collect();
    (policy, rules(0), users).prop_map(|(policy, main, users)| {
        let named =
            users.into_iter().enumerate().map(|(at, rules)| user(&alloc::format!("u{at}"), rules));
        let chains: Vec<Chain> =
            core::iter::once(builtin(Hook::Forward, policy, main)).chain(named).collect();
        Table { kind: TableKind::Filter, chains }
    })
}

/// What a packet is made from.
#[derive(Clone, Debug)]
struct Recipe {
    src: [u8; 4],
    dst: [u8; 4],
    udp: bool,
    ports: (u16, u16),
    /// Only so many bytes behind the IP header.
    cut: Option<usize>,
    mark: u32,
    info: CtInfo,
    named: bool,
}

fn packets() -> impl Strategy<Value = Recipe> {
    let address = || select(vec![CLIENT, SERVER, [10, 0, 0, 3], [10, 0, 1, 2]]);
    let infos = vec![
        CtInfo::Invalid,
        CtInfo::Untracked,
        CtInfo::New,
        CtInfo::Established(Direction::Original),
        CtInfo::Related(Direction::Original),
    ];
    (
        (address(), address(), any::<bool>(), (0..PORTS, 0..PORTS)),
        prop::option::weighted(0.1, 4usize..10),
        (0u32..4, select(infos), prop::bool::weighted(0.8)),
    )
        .prop_map(|((src, dst, udp, ports), cut, (mark, info, named))| Recipe {
            src,
            dst,
            udp,
            ports,
            cut,
            mark,
            info,
            named,
        })
}

fn scene(recipe: &Recipe) -> Scene {
    let (sport, dport) = recipe.ports;
    let mut payload = match recipe.udp {
        true => super::super::scene::udp(sport, dport),
        false => tcp(sport, dport, 0x10, &[]),
    };
    payload.truncate(recipe.cut.unwrap_or(usize::MAX));
    let number = if recipe.udp { 17 } else { 6 };
    let mut scene = Scene::of(v4(recipe.src, recipe.dst, number, &payload));
    if recipe.info.direction().is_some() {
        scene = scene.tracked(recipe.info, Status::CONFIRMED, 30);
    }
    scene.info = recipe.info;
    scene.mark = recipe.mark;
    scene.in_port = scene.in_port.filter(|_| recipe.named);
    scene
}

/// The counters of all rules and the policy, chain by chain.
fn counted(table: &Table) -> Vec<Vec<u64>> {
    let rules = |chain: &Chain| chain.rules.iter().map(|rule| rule.counters.bytes).collect();
    let mut counted: Vec<Vec<u64>> = table.chains.iter().map(rules).collect();
    counted.push(vec![table.chains[0].counters.packets]);
    counted
}

fn counted_by(program: &Program) -> Vec<Vec<u64>> {
    let bytes = |at: usize| program.state.counters[at].bytes;
    let mut counted: Vec<Vec<u64>> = program
        .code
        .chains
        .iter()
        .map(|chain| chain.entries.clone().map(bytes).collect())
        .collect();
    counted.push(vec![program.state.counters[program.code.chains[0].tail()].packets]);
    counted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_program_rules_as_the_rules_read(
        mut table in tables(),
        recipes in prop::collection::vec(packets(), 1..12),
    ) {
        let mut program = program(&table);
        for recipe in &recipes {
            let (mut ours, mut theirs) = (scene(recipe), scene(recipe));
            let found = ours.run(&mut program, Hook::Forward);
            let expected = Reference { table: &mut table, scene: &mut theirs }.run();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(ours.mark, theirs.mark);
            let marks = [ours, theirs].map(|scene| scene.flow.map(|flow| flow.mark));
            prop_assert_eq!(marks[0], marks[1]);
        }
        prop_assert_eq!(counted_by(&program), counted(&table));
    }
}
