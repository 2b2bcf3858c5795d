//! For tests: a packet and all that rules may ask about it, with a small world around.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use tidegate_wire::packet::{Ipv4Repr, Ipv6Repr, MacAddr};
use tidegate_wire::{Family, Headers, dissect};

use super::super::ast::{
    Chain, Counters, Hook, Match, Policy, Protocol, Rule, Spec, Table, TableKind, Target, Term,
};
use super::super::compile::compile;
use super::super::conditions::Memory;
use super::super::matches::Fit;
use super::super::program::Program;
use super::{RuleContext, Ruling, Template, run};
use crate::fib::{AddrType, Fib, Port, PortId, Route, RouteQuery};
use crate::flow::{Flow, Status};
use crate::limits::Limits;
use crate::log::LogQueue;
use crate::packet::{CtInfo, LinkHeader};
use crate::rand::Rng;
use crate::table::FlowTable;
use crate::testkit;
use crate::time::{Instant, WallClock};
use crate::tuple::{Direction, Tuple};

/// A packet that came in by `lan0` and leaves by `wan0`.
pub(in crate::rules) struct Scene {
    pub(in crate::rules) bytes: Vec<u8>,
    pub(in crate::rules) headers: Headers,
    pub(in crate::rules) link: Option<LinkHeader>,
    pub(in crate::rules) mark: u32,
    pub(in crate::rules) in_port: Option<PortId>,
    pub(in crate::rules) out_port: Option<PortId>,
    pub(in crate::rules) info: CtInfo,
    pub(in crate::rules) flow: Option<Flow>,
    pub(in crate::rules) template: Option<Template>,
    pub(in crate::rules) untracked: bool,
    pub(in crate::rules) has_entry: bool,
    pub(in crate::rules) world: World,
    pub(in crate::rules) now: Instant,
    pub(in crate::rules) log: LogQueue,
    pub(in crate::rules) flows: FlowTable,
    pub(in crate::rules) rng: Rng,
    pub(in crate::rules) traced: bool,
}

impl Scene {
    pub(in crate::rules) fn of(bytes: Vec<u8>) -> Self {
        let headers = dissect(&bytes).unwrap();
        let [dst, src] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
        Self {
            bytes,
            headers,
            link: Some(LinkHeader { dst, src, ethertype: 0x0800 }),
            mark: 0,
            in_port: Some(LAN),
            out_port: Some(WAN),
            info: CtInfo::Invalid,
            flow: None,
            template: None,
            untracked: false,
            has_entry: false,
            world: World::default(),
            now: Instant::ZERO,
            log: LogQueue::default(),
            flows: FlowTable::new(&Limits::default(), &mut Rng::new(1), Instant::ZERO),
            rng: Rng::new(2),
            traced: false,
        }
    }

    /// The same packet, of a flow whose tuples are its own, with this much of its life left.
    pub(in crate::rules) fn tracked(mut self, info: CtInfo, status: Status, left: u64) -> Self {
        let orig = self.tuple();
        let mut flow = flow(orig, self.now + Duration::from_secs(left));
        flow.status = status;
        if info.direction() == Some(Direction::Reply) {
            core::mem::swap(&mut flow.orig, &mut flow.reply);
        }
        self.flow = Some(flow);
        self.info = info;
        self
    }

    fn tuple(&self) -> Tuple {
        let Headers { src, dst, proto, .. } = self.headers;
        let ports = self.headers.payload(&self.bytes);
        let [sport, dport] = [0, 2].map(|at| u16::from_be_bytes([ports[at], ports[at + 1]]));
        Tuple { src, dst, sport, dport, proto }
    }

    pub(in crate::rules) fn context(&mut self, hook: Hook) -> RuleContext<'_, World> {
        RuleContext {
            hook,
            bytes: &mut self.bytes,
            headers: &mut self.headers,
            plan: None,
            link: self.link,
            mark: &mut self.mark,
            in_port: self.in_port,
            out_port: self.out_port,
            info: self.info,
            flow: self.flow.as_mut(),
            template: &mut self.template,
            untracked: &mut self.untracked,
            has_entry: self.has_entry,
            fib: &self.world,
            now: self.now,
            log: &mut self.log,
            flows: &self.flows,
            rng: &mut self.rng,
            wall: WallClock::default(),
            owner: None,
            traced: &mut self.traced,
        }
    }

    pub(in crate::rules) fn run(&mut self, program: &mut Program, hook: Hook) -> Ruling {
        run(program, &mut Memory::default(), &mut self.context(hook), &mut ())
    }

    /// What one rule without target makes of it at FORWARD.
    pub(in crate::rules) fn fit(&mut self, rule: Rule) -> Fit {
        let mut program = forward(vec![rule]);
        match (self.run(&mut program, Hook::Forward), program.state.counters[0].packets) {
            (Ruling::Accept, 1) => Fit::Holds,
            (Ruling::Accept, 0) => Fit::Fails,
            (Ruling::Drop, 0) => Fit::Unreadable,
            other => panic!("impossible outcome {other:?}"),
        }
    }

    pub(in crate::rules) fn matches(&mut self, condition: Match) -> Fit {
        self.fit(rule(vec![condition], Target::None))
    }
}

/// A flow of two mirrored tuples that announces everything.
pub(in crate::rules) fn flow(orig: Tuple, deadline: Instant) -> Flow {
    Flow { status: Status::CONFIRMED, deadline, ..testkit::flow(orig) }
}

/// Two ports, and types for a few addresses.
pub(in crate::rules) struct World([Port; 2]);

pub(in crate::rules) const LAN: PortId = PortId(0);
pub(in crate::rules) const WAN: PortId = PortId(1);

impl Default for World {
    fn default() -> Self {
        Self(["lan0", "wan0"].map(|name| Port {
            name: name.to_string(),
            mtu: 1500,
            loopback: false,
        }))
    }
}

impl Fib for World {
    fn route(&self, _: &RouteQuery) -> Route {
        Route::Unreachable
    }

    /// Addresses end in what they are: .1 is the host's on LAN, .255 a broadcast, and so on.
    fn addr_type(&self, addr: IpAddr, port: Option<PortId>) -> AddrType {
        let last = match addr {
            IpAddr::V4(addr) => addr.octets()[3],
            IpAddr::V6(addr) => addr.octets()[15],
        };
        match last {
            _ if addr.is_multicast() => AddrType::Multicast,
            1 if port.is_none_or(|port| port == LAN) => AddrType::Local,
            9 => AddrType::Anycast,
            66 => AddrType::Blackhole,
            255 => AddrType::Broadcast,
            _ => AddrType::Unicast,
        }
    }

    fn port(&self, port: PortId) -> &Port {
        &self.0[usize::from(port.0)]
    }

    fn source_for(&self, _: IpAddr, _: Option<PortId>) -> Option<IpAddr> {
        None
    }

    fn primary_address(&self, _: PortId, _: Family) -> Option<IpAddr> {
        None
    }
}

/// An IPv4 datagram.
pub(in crate::rules) fn v4(src: [u8; 4], dst: [u8; 4], proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    Ipv4Repr {
        src: src.into(),
        dst: dst.into(),
        proto,
        ttl: 64,
        tos: 0,
        id: 0,
        dont_fragment: false,
        payload_len: payload.len(),
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// An IPv4 fragment, by its offset in bytes; more follow.
pub(in crate::rules) fn v4_fragment(offset: u16, proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = v4(CLIENT, SERVER, proto, payload);
    let mut header = tidegate_wire::packet::Ipv4::new(&mut bytes[..]).unwrap();
    header.set_fragment(offset, true);
    bytes
}

/// An IPv6 datagram between `fd00::src` and `fd00::dst`.
pub(in crate::rules) fn v6(src: u16, dst: u16, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last| [0xfd00, 0, 0, 0, 0, 0, 0, last].into();
    let mut bytes = vec![0; 40];
    Ipv6Repr {
        src: address(src),
        dst: address(dst),
        next_header,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0,
        payload_len: payload.len(),
    }
    .emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

pub(in crate::rules) fn udp(sport: u16, dport: u16) -> Vec<u8> {
    let mut bytes = words(&[sport, dport, 8]);
    bytes.extend([0, 0]);
    bytes
}

pub(in crate::rules) fn tcp(sport: u16, dport: u16, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut bytes = words(&[sport, dport]);
    bytes.extend([0; 8]);
    bytes.extend([(((20 + options.len()) / 4) << 4) as u8, flags]);
    bytes.extend([0; 6]);
    bytes.extend_from_slice(options);
    bytes
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(in crate::rules) const CLIENT: [u8; 4] = [10, 0, 0, 2];
pub(in crate::rules) const SERVER: [u8; 4] = [192, 0, 2, 80];

pub(in crate::rules) fn v4_addr(octets: [u8; 4]) -> IpAddr {
    Ipv4Addr::from(octets).into()
}

/// A UDP datagram from [`CLIENT`] to [`SERVER`].
pub(in crate::rules) fn query(sport: u16, dport: u16) -> Scene {
    Scene::of(v4(CLIENT, SERVER, 17, &udp(sport, dport)))
}

pub(in crate::rules) fn is<T>(value: T) -> Term<T> {
    Term { negated: false, value }
}

pub(in crate::rules) fn not<T>(value: T) -> Term<T> {
    Term { negated: true, value }
}

pub(in crate::rules) fn rule(matches: Vec<Match>, target: Target) -> Rule {
    Rule { line: 7, counters: Counters::default(), spec: Spec::default(), matches, target }
}

pub(in crate::rules) fn spec_rule(spec: Spec, target: Target) -> Rule {
    Rule { spec, ..rule(Vec::new(), target) }
}

pub(in crate::rules) fn protocol(number: u8) -> Spec {
    Spec { protocol: Some(is(Protocol(number))), ..Spec::default() }
}

pub(in crate::rules) fn builtin(hook: Hook, policy: Policy, rules: Vec<Rule>) -> Chain {
    let name = hook.name().to_string();
    Chain { name, policy: Some(policy), counters: Counters::default(), rules }
}

pub(in crate::rules) fn user(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_string(), policy: None, counters: Counters::default(), rules }
}

/// A filter table whose FORWARD chain accepts what these rules leave.
pub(in crate::rules) fn forward(rules: Vec<Rule>) -> Program {
    let chains = vec![builtin(Hook::Forward, Policy::Accept, rules)];
    program(&Table { kind: TableKind::Filter, chains })
}

/// A table that no packet has met.
pub(in crate::rules) fn program(table: &Table) -> Program {
    Program::new(Arc::new(compile(table)))
}
