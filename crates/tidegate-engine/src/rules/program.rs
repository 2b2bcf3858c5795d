//! The flat form of a table, as packets run through it.
//!
//! All rules of all chains lie in one list of entries, each chain a range that ends in a *tail*: the policy of a
//! built-in chain, the return of a user chain. A rule's conditions are a range in one list of checks, only those that
//! it has, in the order in which the kernel evaluates them. Jumps are indices. Counters and token buckets, which
//! packets change ([`State`]), lie apart from what they never change ([`Code`]), which all engines share.
//!
//! Made by [`compile`](super::compile()) and walked by [`run`](super::eval::run). Invariants: every index is in range,
//! control can't run in circles, and `returns` has room for the deepest chain of jumps, so that no packet allocates.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Range;

use super::ast::{
    AddrtypeMatch, ConnmarkTarget, ConntrackMatch, Counters, CtStates, Fragment, Hook, IcmpPattern,
    Interface, IprangeMatch, LogTarget, MarkPattern, MarkTarget, Multiport, Network, Policy,
    Protocol, TableKind, TcpMatch, Term, UdpMatch,
};
use super::conditions::Live;
use super::effects;
use super::eval::{Ruling, count};
use super::matches::Bucket;
use super::targets::CtTemplate;
use crate::helper::Helper;
use crate::limits::{Policies, PolicyId};
use crate::trace::Step;

/// One table, as an engine goes by it.
pub(super) struct Program {
    /// What it shares with other engines.
    pub(super) code: Arc<Code>,
    /// What its own packets have changed.
    pub(super) state: State,
    /// Where the chains that a packet is in will go on; empty between packets.
    pub(super) returns: Vec<usize>,
}

/// What packets never change.
pub(super) struct Code {
    /// Which table.
    pub(super) kind: TableKind,
    /// Its chains, in the order of the ruleset.
    pub(super) chains: Vec<Section>,
    /// The built-in chain of each hook, as an index into `chains`.
    pub(super) bases: [Option<usize>; Hook::ALL.len()],
    /// All rules and tails.
    pub(super) entries: Vec<Entry>,
    /// The conditions of all rules.
    pub(super) checks: Vec<Check>,
    /// The timeout policies that rules name.
    pub(super) policies: Vec<String>,
    /// What packets change, before the first of them.
    pub(super) start: State,
    /// Whether a rule asks for an interface's name.
    pub(super) asks_names: bool,
    /// Whether a rule may make a TCP SYN longer.
    pub(super) lengthens: bool,
    /// Whether a rule is SYNPROXY.
    pub(super) proxies: bool,
    /// The deepest that jumps can go: a chain that is being gone through is never jumped to again.
    pub(super) depth: usize,
}

/// What packets change, and what an engine has put in the place of names.
#[derive(Clone, Default)]
pub(super) struct State {
    /// How often each entry was met.
    pub(super) counters: Vec<Counters>,
    /// The state of all limits.
    pub(super) buckets: Vec<Bucket>,
    /// The matches beyond the usual ones, with what they remember.
    pub(super) extensions: Vec<Live>,
    /// The engine's numbers of the timeout policies that rules name, `None` for those that it doesn't have.
    pub(super) policies: Vec<Option<PolicyId>>,
}

impl Program {
    /// One that no packet has met.
    pub(super) fn new(code: Arc<Code>) -> Self {
        let state = code.start.clone();
        Self::of(code, state)
    }

    fn of(code: Arc<Code>, state: State) -> Self {
        let returns = Vec::with_capacity(code.depth);
        Self { code, state, returns }
    }

    /// Looks up the timeout policies that rules name.
    pub(super) fn find_policies(&mut self, policies: &Policies) {
        let found = self.code.policies.iter().map(|name| policies.find(name));
        self.state.policies = found.collect();
    }

    /// Takes a packet of `len` bytes, from the IP header on, that nobody traces past a chain without rules, as
    /// [`run`](super::eval::run) would. `false`: there are some, or the policy is another one than ACCEPT.
    pub(super) fn pass_bare(&mut self, hook: Hook, len: usize) -> bool {
        let Some(base) = self.code.base(hook) else { return true };
        let tail = &self.code.entries[base.tail()];
        let is_bare =
            base.entries.is_empty() && matches!(tail.action, Action::End(Some(Policy::Accept)));
        if is_bare {
            count(&mut self.state.counters[base.tail()], len);
        }
        is_bare
    }
}

impl Clone for Program {
    /// With room of its own for returns, which that of a list wouldn't have.
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.code), self.state.clone())
    }
}

impl Code {
    /// The built-in chain that a hook calls.
    pub(super) fn base(&self, hook: Hook) -> Option<&Section> {
        self.bases[hook as usize].map(|chain| &self.chains[chain])
    }

    /// An entry's conditions.
    pub(super) fn checks_of(&self, at: usize) -> &[Check] {
        &self.checks[self.entries[at].checks.clone()]
    }

    /// What `explain` says of an entry that was met; `mark` is the packet's afterwards.
    pub(super) fn step(&self, at: usize, mark: u32) -> Step {
        let entry = &self.entries[at];
        let Section { name, entries } = &self.chains[entry.chain];
        let (table, chain) = (self.kind, name.clone());
        if let Action::End(policy) = entry.action {
            return Step::ChainEnd { table, chain, policy: policy_name(policy) };
        }
        let number = (at - entries.start + 1) as u32;
        Step::Rule { table, chain, number, line: entry.line, action: self.action(entry, mark) }
    }

    /// How the kernel's trace names an entry.
    pub(super) fn place(&self, at: usize) -> String {
        let entry = &self.entries[at];
        let Section { name, entries } = &self.chains[entry.chain];
        let number = at - entries.start + 1;
        let is_verdict = matches!(
            entry.action,
            Action::End(_) | Action::Return | Action::Rule(Ruling::Accept | Ruling::Drop)
        );
        // A verdict without a condition looks like a chain's end, and is told as one.
        let kind = match (
            is_verdict && entry.checks.is_empty(),
            self.bases.contains(&Some(entry.chain)),
        ) {
            (true, true) => "policy",
            (true, false) => "return",
            (false, _) => "rule",
        };
        alloc::format!("TRACE: {}:{name}:{kind}:{number} ", self.kind)
    }

    fn action(&self, entry: &Entry, mark: u32) -> String {
        match &entry.action {
            Action::Count => "counted".into(),
            Action::Jump(chain) => alloc::format!("-> {}", self.chains[*chain].name),
            Action::Goto(chain) => alloc::format!("-> {} (goto)", self.chains[*chain].name),
            Action::Return => "RETURN".into(),
            Action::End(policy) => policy_name(*policy).into(),
            Action::Rule(ruling) => alloc::format!("{ruling}"),
            Action::Track(template) => alloc::format!("{template}"),
            Action::Change(change) => change.describe(mark),
            Action::Effect(effect) => effect.describe(),
        }
    }
}

fn policy_name(policy: Option<Policy>) -> &'static str {
    match policy {
        Some(Policy::Accept) => "ACCEPT",
        Some(Policy::Drop) => "DROP",
        None => "RETURN",
    }
}

/// One chain.
#[derive(Clone)]
pub(super) struct Section {
    /// Its name.
    pub(super) name: String,
    /// Its rules, without the tail, which follows them.
    pub(super) entries: Range<usize>,
}

impl Section {
    /// The entry that stands for the chain's end.
    pub(super) fn tail(&self) -> usize {
        self.entries.end
    }
}

/// One rule, or a chain's tail.
#[derive(Clone)]
pub(super) struct Entry {
    /// Its chain.
    pub(super) chain: usize,
    /// Its line in the file; 0 for tails.
    pub(super) line: u32,
    /// Its conditions.
    pub(super) checks: Range<usize>,
    /// What it does.
    pub(super) action: Action,
}

/// What to do when all checks hold.
#[derive(Clone)]
pub(super) enum Action {
    /// Nothing but count.
    Count,
    /// Go through another chain, then on behind this entry.
    Jump(usize),
    /// Go to another chain for good.
    Goto(usize),
    /// End the chain.
    Return,
    /// The chain's tail; without policy as `Return`.
    End(Option<Policy>),
    /// End the table.
    Rule(Ruling),
    /// Say how the packet is to be tracked and go on.
    Track(CtTemplate),
    /// Change or tell something and go on.
    Change(Change),
    /// Any other target.
    Effect(Box<effects::Kind>),
}

/// What a target does to a packet or its flow, or tells about them.
#[derive(Clone)]
pub(super) enum Change {
    /// LOG.
    Log(Box<LogTarget>),
    /// MARK.
    Mark(MarkTarget),
    /// CONNMARK.
    Connmark(ConnmarkTarget),
}

/// One condition.
#[derive(Clone)]
pub(super) enum Check {
    /// `-s`
    Source(Masked),
    /// `-d`
    Destination(Masked),
    /// `-i`
    InInterface(Masked),
    /// `-o`
    OutInterface(Masked),
    /// `-p`
    Protocol(Term<Protocol>),
    /// `-f`
    Fragment(Fragment),
    /// `-m tcp`
    Tcp(TcpMatch),
    /// `-m udp`
    Udp(UdpMatch),
    /// `-m icmp`
    Icmp(Term<IcmpPattern>),
    /// `-m icmp6`
    Icmp6(Term<IcmpPattern>),
    /// `-m multiport`
    Multiport(Term<Multiport>),
    /// `-m state`, and `-m conntrack` with nothing but `--ctstate`.
    State(Term<CtStates>),
    /// `-m conntrack`
    Conntrack(Box<ConntrackMatch>),
    /// `-m mark`
    Mark(Term<MarkPattern>),
    /// `-m connmark`
    Connmark(Term<MarkPattern>),
    /// `-m helper`: one of these.
    Helper(Box<Term<Vec<Helper>>>),
    /// `-m limit`: an index into the buckets.
    Limit(usize),
    /// `-m addrtype`
    Addrtype(AddrtypeMatch),
    /// `-m mac`
    Mac(Term<[u8; 6]>),
    /// `-m iprange`
    Iprange(Box<IprangeMatch>),
    /// Any other.
    Extension {
        /// An index into the extensions.
        at: usize,
        /// Whether leaving it out leaves no trace.
        is_pure: bool,
    },
}

/// Addresses or interface names, as words, that agree with a value in the bits of a mask.
#[derive(Clone, Copy)]
pub(super) struct Masked {
    value: u128,
    mask: u128,
    negated: bool,
}

impl Masked {
    /// An address pattern.
    pub(super) fn network(term: &Term<Network>) -> Self {
        let Network { address, mask } = term.value;
        Self { value: address_word(address), mask: address_word(mask), negated: term.negated }
    }

    /// An interface pattern. The zero behind an exact name counts, the bytes behind a prefix don't.
    pub(super) fn interface(term: &Term<Interface>) -> Self {
        let Interface { name, wildcard } = &term.value;
        let beyond = if *wildcard { 8 * name.len() as u32 } else { u128::BITS };
        let mask = !u128::MAX.checked_shr(beyond).unwrap_or(0);
        Self { value: name_word(name), mask, negated: term.negated }
    }

    /// Whether the condition holds for a word.
    pub(super) fn holds(&self, word: u128) -> bool {
        ((word ^ self.value) & self.mask == 0) != self.negated
    }
}

/// An address as a number; families never mix in a table.
pub(super) fn address_word(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first 16 bytes of an interface's name, filled up with zeros; patterns have at most 15.
pub(super) fn name_word(name: &str) -> u128 {
    let mut bytes = [0; 16];
    let len = name.len().min(bytes.len());
    bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
    u128::from_be_bytes(bytes)
}
