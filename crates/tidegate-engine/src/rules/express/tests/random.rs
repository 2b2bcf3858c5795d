//! What was proven against what the rules do, packet by packet.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;
use core::net::IpAddr;
use core::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{TestCaseResult, TestRunner};

use tidegate_wire::Family;

use super::super::super::eval::Ruling;
use super::super::super::eval::scene::{CLIENT, LAN, SERVER, Scene, WAN, flow, tcp, udp, v4, v6};
use super::super::super::eval::tests::random::tables;
use super::super::super::{
    Clearance, ExpressProto, ExpressRoute, Hook, Programs, Ruleset, TableKind,
};
use super::super::MOST;
use super::{ROUTES, is_clear, ruleset};
use crate::flow::{Flow, Status};
use crate::packet::CtInfo;
use crate::time::Instant;
use crate::tuple::{
    Direction::{self, Original, Reply},
    Tuple,
};

/// An index of an address, and a port.
type End = (u8, u16);

/// Two hosts that talk, perhaps through translation.
#[derive(Clone, Debug)]
struct Talk {
    proto: ExpressProto,
    client: End,
    /// What the server takes the client for; itself if the source isn't translated.
    mask: End,
    server: End,
    /// What the client takes the server for, likewise.
    front: End,
    status: Status,
}

impl Talk {
    /// Sender and receiver of a packet, as it comes and after its destination was translated.
    fn ends(&self, dir: Direction) -> [(End, End); 2] {
        match dir {
            Original => [(self.client, self.front), (self.client, self.server)],
            Reply => [(self.server, self.mask), (self.server, self.client)],
        }
    }

    fn tuple(&self, family: Family, dir: Direction) -> Tuple {
        let [((src, sport), (dst, dport)), _] = self.ends(dir);
        let [src, dst] = [src, dst].map(|index| match family {
            Family::V4 => IpAddr::from(V4[usize::from(index)]),
            Family::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(index)]),
        });
        Tuple { src, dst, sport, dport, proto: self.proto.number() }
    }

    fn flow(&self, family: Family) -> Flow {
        let [orig, reply] = [Original, Reply].map(|dir| self.tuple(family, dir));
        Flow { reply, status: self.status, ..flow(orig, Instant::ZERO) }
    }
}

const V4: [[u8; 4]; 4] = [CLIENT, SERVER, [10, 0, 0, 3], [10, 0, 1, 1]];

/// What is not the same for all packets of a flow.
#[derive(Clone, Debug)]
struct Load {
    /// A TCP header's data offset and flags; it may lie.
    shape: (u8, u8),
    payload: usize,
    /// The packet's and the flow's.
    marks: (u32, u32),
    seconds_left: u64,
    /// Came in by LAN, with a link header.
    from_lan: bool,
}

/// An established packet.
#[derive(Clone, Debug)]
struct Recipe {
    talk: Talk,
    dir: Direction,
    load: Load,
}

impl Recipe {
    fn bytes(&self, family: Family, translated: bool) -> Vec<u8> {
        let ((src, sport), (dst, dport)) = self.talk.ends(self.dir)[usize::from(translated)];
        let (offset, flags) = self.load.shape;
        let mut payload = match self.talk.proto {
            ExpressProto::Tcp => tcp(sport, dport, flags, &[]),
            ExpressProto::Udp => udp(sport, dport),
        };
        if self.talk.proto == ExpressProto::Tcp {
            payload[12] = offset << 4;
        }
        payload.resize(payload.len() + self.load.payload, 2);
        let proto = self.talk.proto.number();
        match family {
            Family::V4 => v4(V4[usize::from(src)], V4[usize::from(dst)], proto, &payload),
            Family::V6 => v6(src.into(), dst.into(), proto, &payload),
        }
    }

    /// As a table's chain at a hook sees it; `nat`: there is a table that translates.
    fn scene(&self, family: Family, hook: Hook, table: TableKind, nat: bool) -> Scene {
        let to_come = if self.dir == Original { Status::DST_NAT } else { Status::SRC_NAT };
        let is_translated = nat && hook != Hook::Prerouting && self.talk.status.contains(to_come);
        let mut scene = Scene::of(self.bytes(family, is_translated));
        if table != TableKind::Raw {
            scene.info = CtInfo::Established(self.dir);
            scene.flow = Some(Flow {
                mark: self.load.marks.1,
                deadline: scene.now + Duration::from_secs(self.load.seconds_left),
                ..self.talk.flow(family)
            });
            scene.has_entry = true;
        }
        scene.mark = self.load.marks.0;
        scene.in_port = Some(if self.load.from_lan { LAN } else { WAN });
        scene.link = scene.link.filter(|_| self.load.from_lan);
        scene.out_port = matches!(hook, Hook::Forward | Hook::Postrouting).then_some(WAN);
        scene
    }
}

fn talks() -> impl Strategy<Value = Talk> {
    let protos = select(vec![ExpressProto::Tcp, ExpressProto::Udp]);
    let ends = || (0u8..4, 0u16..5);
    let extra = select(vec![Status::empty(), Status::EXPECTED, Status::NAT_DONE]);
    let nat = select(vec![Status::empty(), Status::SRC_NAT, Status::DST_NAT, Status::NAT]);
    (protos, (ends(), ends(), ends(), ends()), extra, nat).prop_map(|(proto, ends, extra, nat)| {
        let (client, mask, server, front) = ends;
        Talk {
            proto,
            client,
            mask: if nat.contains(Status::SRC_NAT) { mask } else { client },
            server,
            front: if nat.contains(Status::DST_NAT) { front } else { server },
            status: Status::CONFIRMED | Status::SEEN_REPLY | Status::ASSURED | extra | nat,
        }
    })
}

fn loads() -> impl Strategy<Value = Load> {
    let flags = any::<u8>().prop_map(|flags| flags & !0x17 | 0x10);
    ((0u8..16, flags), 0usize..20, (0u32..4, 0u32..4), 0u64..200, any::<bool>()).prop_map(
        |(shape, payload, marks, seconds_left, from_lan)| Load {
            shape,
            payload,
            marks,
            seconds_left,
            from_lan,
        },
    )
}

fn packets() -> impl Strategy<Value = Recipe> {
    (talks(), select(vec![Original, Reply]), loads()).prop_map(|(talk, dir, load)| Recipe {
        talk,
        dir,
        load,
    })
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
            "-p tcp -m tcp --syn",
            "-p tcp -m tcp ! --tcp-flags FIN,ACK ACK",
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

/// Such as have one meaning for all packets of a flow and direction.
fn constant() -> Words {
    let mut words = settled();
    words.protocols.extend([
        "-p tcp -m tcp --dport 1:3",
        "-p tcp -m tcp --sport 0:1 --dport 2:4",
        "-p udp -m udp ! --sport 2",
        "-p udp -m multiport --ports 1,2",
        "-p tcp -m multiport ! --sports 1:2,4",
    ]);
    words.states.extend([
        "-m conntrack --ctstate DNAT",
        "-m conntrack --ctstate NEW,SNAT",
        "-m conntrack ! --ctstate ESTABLISHED,SNAT",
        "-m conntrack --ctstatus EXPECTED",
        "-m conntrack --ctorigsrc HOST",
        "-m conntrack --ctstate INVALID --ctrepldst NET",
        "-m conntrack --ctrepldstport 1:3",
    ]);
    words.others.extend(["-s NET", "! -s HOST", "-d HOST", "-m iprange --dst-range RANGE"]);
    words.targets.extend(["-j MARK --set-mark 9", "-j DROP"]);
    words
}

/// Others besides.
fn mixed() -> Words {
    let mut words = constant();
    words.protocols.extend([
        "-p tcp -m tcp --tcp-flags PSH,ACK ACK",
        "-p tcp -m tcp --tcp-option 2",
        "-p tcp -m tcp --dport 1 --tcp-option 2",
    ]);
    words.states.extend([
        "-m conntrack --ctexpire 1:100",
        "-m conntrack --ctorigsrc HOST --ctexpire 1:100",
        "-m connmark --mark 1",
        "-m connmark ! --mark 1",
    ]);
    words.others.extend([
        "-m limit --limit 1/hour --limit-burst 2",
        "-m mark --mark 1",
        "-m addrtype --dst-type LOCAL",
        "-m recent --name a --set",
        "-m recent --name a --update --seconds 9 --hitcount 3",
        "-m hashlimit --hashlimit-upto 1/hour --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h",
        "-m connlimit --connlimit-above 1",
        "-m quota --quota 200",
        "-m statistic --mode nth --every 3 --packet 0",
        "-m statistic --mode random --probability 0.5",
        "-m connbytes --connbytes 2 --connbytes-mode packets --connbytes-dir both",
        "-m connlabel --label 3 --set",
        "-m length --length :60",
        "-m tos --tos 0x10",
        "-m string --string abc --algo bm",
    ]);
    words.targets.extend(["-j LOG", "-j CONNMARK --set-mark 9", "-j NFLOG", "-j NFQUEUE"]);
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
    let families = select(vec![Family::V4, Family::V6]);
    (families, tables, prop::bool::weighted(0.8)).prop_map(|(family, tables, nat)| {
        let text: String = tables.into_iter().flatten().collect();
        ruleset(family, &(text + if nat { "*nat" } else { "" }))
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
    let nat = programs.has(family, TableKind::Nat);
    for &(hook, table) in route.stages() {
        let mut scene = recipe.scene(family, hook, table, nat);
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

fn loaded(rules: &Ruleset) -> Programs {
    let mut programs = Programs::default();
    programs.replace(rules, &Default::default());
    programs
}

/// Counts a packet as it was foreseen; whether there was anything to count.
fn count(programs: &mut Programs, family: Family, recipe: &Recipe, route: ExpressRoute) -> bool {
    let before = met(programs, family);
    let len = Scene::of(recipe.bytes(family, false)).headers.len;
    programs.course(family, recipe.talk.proto, recipe.dir, route).count(len);
    met(programs, family) > before
}

/// Wherever the way is clear, all rules accept the packet as it is and count as it was foreseen. How often some counted.
fn check_clear(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let [mut asked, mut foreseen] = [loaded(rules), loaded(rules)];
    let mut clear = 0;
    for recipe in recipes {
        for route in ROUTES {
            if is_clear(&foreseen, family, (recipe.talk.proto, recipe.dir, route)) {
                prop_assert_eq!(ask(&mut asked, family, recipe, route), (true, true));
                clear += usize::from(count(&mut foreseen, family, recipe, route));
            }
            prop_assert_eq!(asked.traces(family), foreseen.traces(family));
        }
    }
    Ok(clear)
}

/// If the packet's sort settles every check, the way is clear exactly where the rules accept. How often they did.
fn check_settled(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let mut programs = loaded(rules);
    let mut clear = 0;
    for recipe in recipes {
        for route in ROUTES {
            let before = met(&programs, family);
            let (accepted, unchanged) = ask(&mut programs, family, recipe, route);
            let few = met(&programs, family) - before <= MOST as u64;
            let expected = accepted && unchanged && few;
            let found = is_clear(&programs, family, (recipe.talk.proto, recipe.dir, route));
            prop_assert_eq!(found, expected);
            clear += usize::from(found);
        }
    }
    Ok(clear)
}

/// The way's clearance, and what vetting says of the packet's flow.
fn vet(
    programs: &Programs,
    family: Family,
    recipe: &Recipe,
    route: ExpressRoute,
) -> (Clearance, bool) {
    let Recipe { talk, dir, .. } = recipe;
    let clearance = programs.clearance(family, talk.proto, *dir, route);
    (clearance, programs.vet(family, talk.proto, *dir, route, &talk.flow(family)))
}

/// Wherever a flow passes, all rules accept any of its packets as they are and count as it was foreseen. How often
/// vetting was needed and some counted.
fn check_vetted(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let [mut asked, mut foreseen] = [loaded(rules), loaded(rules)];
    let mut vetted = 0;
    for recipe in recipes {
        for route in ROUTES {
            let (clearance, passes) = vet(&foreseen, family, recipe, route);
            if clearance != Clearance::IfVetted {
                prop_assert_eq!(passes, clearance == Clearance::Clear);
            }
            let mut counted = false;
            for Recipe { load, .. } in recipes.iter().filter(|_| passes) {
                let packet = Recipe { load: load.clone(), ..recipe.clone() };
                prop_assert_eq!(ask(&mut asked, family, &packet, route), (true, true));
                counted |= count(&mut foreseen, family, &packet, route);
                prop_assert_eq!(asked.traces(family), foreseen.traces(family));
            }
            vetted += usize::from(counted && clearance == Clearance::IfVetted);
        }
    }
    Ok(vetted)
}

/// If flow and direction settle every check, a flow passes exactly where the rules accept its packets and count as it
/// was foreseen. How often vetting was needed and they did.
fn check_constant(rules: &Ruleset, recipes: &[Recipe]) -> Result<usize, TestCaseError> {
    let family = rules.family;
    let mut vetted = 0;
    for recipe in recipes {
        for route in ROUTES {
            let [mut asked, mut foreseen] = [loaded(rules), loaded(rules)];
            let (clearance, passes) = vet(&foreseen, family, recipe, route);
            if clearance == Clearance::IfVetted {
                let is_free = ask(&mut asked, family, recipe, route) == (true, true);
                count(&mut foreseen, family, recipe, route);
                let is_foreseen = asked.traces(family) == foreseen.traces(family);
                prop_assert_eq!(passes, is_free && is_foreseen);
                vetted += usize::from(passes);
            }
        }
    }
    Ok(vetted)
}

type Check = fn(&Ruleset, &[Recipe]) -> Result<usize, TestCaseError>;

/// Runs a check on many rulesets; to tell something it must have found what it looks for at least once in `rare` cases,
/// and often enough not.
#[track_caller]
fn run(rulesets: impl Strategy<Value = Ruleset>, check: Check, rare: usize) {
    let config = ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() };
    let (found, all) = (Cell::new(0), Cell::new(0));
    let strategy = (rulesets, prop::collection::vec(packets(), 1..8));
    let result = TestRunner::new(config).run(&strategy, |(rules, recipes)| -> TestCaseResult {
        found.set(found.get() + check(&rules, &recipes)?);
        all.set(all.get() + ROUTES.len() * recipes.len());
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    let (found, all) = (found.get(), all.get());
    assert!((all / rare..all / 10 * 9).contains(&found), "found in {found} of {all}");
}

#[test]
fn a_clear_way_is_as_the_rules_say() {
    run(rulesets(&mixed()), check_clear, 25);
}

#[test]
fn a_clear_way_through_any_filter_is_as_the_rules_say() {
    let filters = tables().prop_map(|table| Ruleset { family: Family::V4, tables: vec![table] });
    run(filters, check_clear, 25);
}

#[test]
fn a_way_is_clear_if_the_sort_of_packet_settles_it() {
    run(rulesets(&settled()), check_settled, 25);
}

#[test]
fn a_flow_that_was_vetted_fares_as_the_rules_say() {
    run(rulesets(&mixed()), check_vetted, 100);
}

#[test]
fn a_flow_that_was_vetted_fares_through_any_filter_as_the_rules_say() {
    let filters = tables().prop_map(|table| Ruleset { family: Family::V4, tables: vec![table] });
    run(filters, check_vetted, 100);
}

#[test]
fn a_flow_passes_if_its_constants_settle_it() {
    run(rulesets(&constant()), check_constant, 25);
}

const USERS: usize = 3;
