//! From a table's rules, as the operator means them, to the [`Code`] that packets run through.
//!
//! Everything that doesn't depend on a packet is worked out here: names of chains become indices, patterns become
//! words and masks, conditions that hold for every packet vanish. The order of conditions stays, because a check may
//! end the packet on the spot and a limit counts only the packets that come as far.
//!
//! => the ruleset has passed the check that [`parse`](super::parse) does. A jump to a chain that doesn't exist would
//! drop the packet.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::ast::{
    Chain, ConntrackMatch, Counters, CtTarget, DnatTarget, Hook, Match, Multiport, NatFlags,
    PortRange, Rule, SnatTarget, Spec, Table, Target, Term,
};
use super::eval::{NatAction, Ruling};
use super::matches::Bucket;
use super::program::{Action, Change, Check, Code, Entry, Masked, Section, State};
use super::targets::CtTemplate;
use crate::helper::Helper;
use crate::nat::{Manip, NatRange};

/// Compiles one table; counters start from the rules' own.
pub(super) fn compile(table: &Table) -> Code {
    let mut compiler = Compiler { names: names(table), code: blank(table) };
    for (index, chain) in table.chains.iter().enumerate() {
        compiler.chain(index, chain);
    }
    compiler.code
}

fn names(table: &Table) -> BTreeMap<&str, usize> {
    table.chains.iter().enumerate().map(|(index, chain)| (chain.name.as_str(), index)).collect()
}

fn blank(table: &Table) -> Code {
    let mut bases = [None; Hook::ALL.len()];
    for (index, chain) in table.chains.iter().enumerate() {
        if let Some(hook) = chain.hook() {
            bases[hook as usize] = Some(index);
        }
    }
    let users = table.chains.iter().filter(|chain| chain.policy.is_none()).count();
    Code {
        kind: table.kind,
        chains: Vec::new(),
        bases,
        entries: Vec::new(),
        checks: Vec::new(),
        policies: Vec::new(),
        start: State::default(),
        asks_names: false,
        lengthens: false,
        proxies: false,
        depth: users,
    }
}

struct Compiler<'a> {
    names: BTreeMap<&'a str, usize>,
    code: Code,
}

impl Compiler<'_> {
    fn chain(&mut self, index: usize, chain: &Chain) {
        let start = self.code.entries.len();
        for rule in &chain.rules {
            self.rule(index, rule);
        }
        let entries = start..self.code.entries.len();
        self.code.chains.push(Section { name: chain.name.clone(), entries });
        let tail = Entry { chain: index, line: 0, checks: 0..0, action: Action::End(chain.policy) };
        self.entry(tail, chain.counters);
    }

    fn rule(&mut self, chain: usize, rule: &Rule) {
        let checks = self.checks(rule);
        let action = self.action(&rule.target);
        if let Action::Effect(effect) = &action {
            self.code.lengthens |= effect.lengthens();
            self.code.proxies |= effect.proxies();
        }
        self.entry(Entry { chain, line: rule.line, checks, action }, rule.counters);
    }

    fn entry(&mut self, entry: Entry, counters: Counters) {
        self.code.entries.push(entry);
        self.code.start.counters.push(counters);
    }

    fn checks(&mut self, rule: &Rule) -> Range<usize> {
        let start = self.code.checks.len();
        self.code.checks.extend(spec_checks(&rule.spec));
        for condition in &rule.matches {
            let check = self.check(condition);
            self.code.checks.extend(check);
        }
        let checks = &self.code.checks[start..];
        let asks = |check: &Check| matches!(check, Check::InInterface(_) | Check::OutInterface(_));
        self.code.asks_names |= checks.iter().any(asks);
        start..self.code.checks.len()
    }

    fn check(&mut self, condition: &Match) -> Option<Check> {
        Some(match condition {
            Match::Tcp(tcp) => Check::Tcp(*tcp),
            Match::Udp(udp) => Check::Udp(*udp),
            Match::Icmp(pattern) => Check::Icmp(*pattern),
            Match::Icmp6(pattern) => Check::Icmp6(*pattern),
            Match::State(state) => Check::State(*state),
            Match::Conntrack(wanted) => conntrack_check(wanted),
            Match::Mark(pattern) => Check::Mark(*pattern),
            Match::Connmark(pattern) => Check::Connmark(*pattern),
            Match::Helper(name) => helper_check(name),
            Match::Comment(_) => return None,
            Match::Multiport(list) => multiport_check(list),
            Match::Limit(limit) => Check::Limit(self.bucket(Bucket::new(limit))),
            Match::Addrtype(types) => Check::Addrtype(*types),
            Match::Mac(source) => Check::Mac(*source),
            Match::Iprange(ranges) => Check::Iprange(Box::new(*ranges)),
            Match::Extension(one) => {
                self.code.start.extensions.push(one.0.live());
                let at = self.code.start.extensions.len() - 1;
                Check::Extension { at, is_pure: one.0.is_pure() }
            }
        })
    }

    fn bucket(&mut self, bucket: Bucket) -> usize {
        self.code.start.buckets.push(bucket);
        self.code.start.buckets.len() - 1
    }

    fn action(&mut self, target: &Target) -> Action {
        match target {
            Target::None => Action::Count,
            Target::Jump(name) => self.to_chain(name, Action::Jump),
            Target::Goto(name) => self.to_chain(name, Action::Goto),
            Target::Return => Action::Return,
            Target::Accept => Action::Rule(Ruling::Accept),
            Target::Drop => Action::Rule(Ruling::Drop),
            Target::Reject(with) => Action::Rule(Ruling::Reject(*with)),
            Target::Log(log) => Action::Change(Change::Log(Box::new(log.clone()))),
            Target::Mark(mark) => Action::Change(Change::Mark(*mark)),
            Target::Connmark(mark) => Action::Change(Change::Connmark(*mark)),
            Target::Ct(ct) => Action::Track(self.template(ct)),
            Target::Notrack => Action::Track(CtTemplate::Notrack),
            Target::Snat(snat) => translate(NatAction::Range(Manip::Src, snat_range(snat))),
            Target::Dnat(dnat) => translate(NatAction::Range(Manip::Dst, dnat_range(dnat))),
            Target::Masquerade(target) => {
                translate(NatAction::Masquerade(port_range(target.ports, target.flags)))
            }
            Target::Redirect(target) => {
                translate(NatAction::Redirect(port_range(target.ports, target.flags)))
            }
            Target::Netmap(network) => translate(NatAction::Netmap(*network)),
            Target::Extension(one) => Action::Effect(Box::new(one.0.clone())),
        }
    }

    fn template(&mut self, ct: &CtTarget) -> CtTemplate {
        let policy = ct.timeout.as_ref().map(|name| {
            self.code.policies.push(name.clone());
            self.code.policies.len() - 1
        });
        CtTemplate::new(ct, policy)
    }

    fn to_chain(&self, name: &str, action: fn(usize) -> Action) -> Action {
        self.names.get(name).map_or(Action::Rule(Ruling::Drop), |chain| action(*chain))
    }
}

/// The conditions that every rule can have, in the kernel's order.
fn spec_checks(spec: &Spec) -> impl Iterator<Item = Check> {
    let source = spec.source.as_ref().map(Masked::network).map(Check::Source);
    let destination = spec.destination.as_ref().map(Masked::network).map(Check::Destination);
    let input = spec.in_interface.as_ref().map(Masked::interface).map(Check::InInterface);
    let output = spec.out_interface.as_ref().map(Masked::interface).map(Check::OutInterface);
    let protocol = spec.protocol.map(Check::Protocol);
    let fragment = spec.fragment.map(Check::Fragment);
    [source, destination, input, output, protocol, fragment].into_iter().flatten()
}

/// The helpers whose name the wanted one begins with, as `ftp-2121` does with `ftp`.
fn helper_check(name: &Term<String>) -> Check {
    let is_wanted =
        |helper: &Helper| name.value.is_empty() || name.value.starts_with(helper.name());
    let value = Helper::ALL.into_iter().filter(is_wanted).collect();
    Check::Helper(Box::new(Term { negated: name.negated, value }))
}

/// `--ctstate` alone, by far the most frequent use, needs no more than the state.
fn conntrack_check(wanted: &ConntrackMatch) -> Check {
    match wanted.state {
        Some(state) if *wanted == (ConntrackMatch { state: Some(state), ..Default::default() }) => {
            Check::State(state)
        }
        _ => Check::Conntrack(Box::new(*wanted)),
    }
}

fn multiport_check(list: &Term<Multiport>) -> Check {
    Check::Multiport(Term { negated: list.negated, value: list.value.clone() })
}

fn translate(action: NatAction) -> Action {
    Action::Rule(Ruling::Translate(action))
}

fn snat_range(snat: &SnatTarget) -> NatRange {
    let addrs = snat.addresses.map(|range| (range.first, range.last));
    NatRange { addrs, ..port_range(snat.ports, snat.flags) }
}

fn dnat_range(dnat: &DnatTarget) -> NatRange {
    let addrs = dnat.addresses.map(|range| (range.first, range.last));
    NatRange { addrs, base_port: dnat.base_port, ..port_range(dnat.ports, dnat.flags) }
}

fn port_range(ports: Option<PortRange>, flags: NatFlags) -> NatRange {
    NatRange {
        addrs: None,
        ports: ports.map(|range| (range.first, range.last)),
        base_port: None,
        random: flags.intersects(NatFlags::RANDOM | NatFlags::RANDOM_FULLY),
        persistent: flags.contains(NatFlags::PERSISTENT),
    }
}
