//! Would a kernel load it? What x_tables and the modules of matches and targets ask of a ruleset, and iptables before
//! them.
//!
//! Where a rule may stand depends on the hooks that can lead to it, through however many chains ([`reach`]). A rule
//! that nothing leads to may be anywhere, but for targets that belong in one table.
//!
//! The kernel stops at the first error; here each rule may have one. Nothing is changed.

mod reach;

use alloc::vec::Vec;

use tidegate_wire::Family;

use reach::{HookSet, Reach};

use super::ast::{
    AddressTypes, AddrtypeMatch, Chain, CtTarget, Hook, LimitIface, LimitMatch, Match, Protocol,
    RejectWith, Rule, Ruleset, Table, TableKind, Target, Term,
};
use super::error::{CheckError, Fault, RuleError};
use crate::helper::Helper;

/// Checks every rule; `file` names the text in errors.
pub(super) fn check(file: &str, ruleset: &Ruleset) -> Result<(), Vec<RuleError>> {
    let mut errors = Vec::new();
    for table in &ruleset.tables {
        check_table(file, ruleset.family, table, &mut errors);
    }
    errors.sort_by_key(|error| error.line);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn check_table(file: &str, family: Family, table: &Table, errors: &mut Vec<RuleError>) {
    let reach = Reach::of(table);
    for jump in reach.loops() {
        errors.push(Fault::new(jump.target.name(), CheckError::Loop).at(file, jump.line));
    }
    for (number, chain) in table.chains.iter().enumerate() {
        for (position, rule) in chain.rules.iter().enumerate() {
            let hooks = reach.hooks(number, position);
            if let Err(fault) =
                check_rule(Setting { family, table: table.kind, hooks }, chain, rule)
            {
                errors.push(fault.at(file, rule.line));
            }
        }
    }
}

/// Where a rule stands.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) family: Family,
    pub(super) table: TableKind,
    /// The hooks that lead to it.
    hooks: HookSet,
}

impl Setting {
    /// `word` must not be reached from hooks other than these.
    pub(super) fn only_from(self, word: &str, allowed: &[Hook]) -> Result<(), Fault> {
        let other = Hook::ALL
            .into_iter()
            .find(|hook| self.hooks.contains((*hook).into()) && !allowed.contains(hook));
        other.map_or(Ok(()), |hook| Err(Fault::new(word, CheckError::Hook { hook })))
    }
}

fn check_rule(setting: Setting, chain: &Chain, rule: &Rule) -> Result<(), Fault> {
    check_interfaces(chain, rule)?;
    rule.matches.iter().try_for_each(|one| check_match(setting, rule, one))?;
    check_target(setting, rule)
}

/// iptables looks at the rule's own chain only: in a user chain any interface may be named.
fn check_interfaces(chain: &Chain, rule: &Rule) -> Result<(), Fault> {
    let Some(hook) = chain.hook() else { return Ok(()) };
    let refused = match hook {
        Hook::Prerouting | Hook::Input => rule.spec.out_interface.as_ref().map(|_| "-o"),
        Hook::Output | Hook::Postrouting => rule.spec.in_interface.as_ref().map(|_| "-i"),
        Hook::Forward => None,
    };
    refused.map_or(Ok(()), |option| Err(Fault::new(option, CheckError::Hook { hook })))
}

fn check_match(setting: Setting, rule: &Rule, one: &Match) -> Result<(), Fault> {
    match one {
        Match::Tcp(_) => need_protocol(rule, &[Protocol::TCP], "tcp", "-p tcp"),
        Match::Udp(_) => need_protocol(rule, &[Protocol::UDP], "udp", "-p udp"),
        Match::Icmp(_) => need_protocol(rule, &[Protocol::ICMP], "icmp", "-p icmp"),
        Match::Icmp6(_) => need_protocol(rule, &[Protocol::ICMPV6], "icmp6", "-p ipv6-icmp"),
        Match::Multiport(_) => {
            const WITH_PORTS: [Protocol; 5] =
                [Protocol::TCP, Protocol::UDP, Protocol::UDPLITE, Protocol::SCTP, Protocol::DCCP];
            need_protocol(rule, &WITH_PORTS, "multiport", "-p tcp, udp, udplite, sctp or dccp")
        }
        Match::Limit(limit) => check_limit(limit),
        Match::Addrtype(addrtype) => check_addrtype(setting, addrtype),
        Match::Mac(_) => setting.only_from("mac", &[Hook::Prerouting, Hook::Input, Hook::Forward]),
        Match::State(_)
        | Match::Conntrack(_)
        | Match::Mark(_)
        | Match::Connmark(_)
        | Match::Helper(_)
        | Match::Comment(_)
        | Match::Iprange(_) => Ok(()),
        Match::Extension(one) => one.0.check(setting, rule),
    }
}

pub(super) fn need_protocol(
    rule: &Rule,
    fitting: &[Protocol],
    word: &str,
    needs: &'static str,
) -> Result<(), Fault> {
    match rule.spec.protocol {
        Some(Term { negated: false, value }) if fitting.contains(&value) => Ok(()),
        _ => Err(Fault::new(word, CheckError::Protocol { needs })),
    }
}

/// The kernel only refuses what wraps around to less than one packet.
fn check_limit(limit: &LimitMatch) -> Result<(), Fault> {
    if limit.capacity() < limit.cost() {
        return Err(Fault::new("limit", CheckError::LimitOverflow));
    }
    Ok(())
}

fn check_addrtype(setting: Setting, addrtype: &AddrtypeMatch) -> Result<(), Fault> {
    match addrtype.limit_iface {
        Some(LimitIface::In) => setting
            .only_from("--limit-iface-in", &[Hook::Prerouting, Hook::Input, Hook::Forward])?,
        Some(LimitIface::Out) => setting
            .only_from("--limit-iface-out", &[Hook::Forward, Hook::Output, Hook::Postrouting])?,
        None => {}
    }
    let missing = match setting.family {
        Family::V4 => AddressTypes::empty(),
        Family::V6 => {
            AddressTypes::BROADCAST
                | AddressTypes::BLACKHOLE
                | AddressTypes::PROHIBIT
                | AddressTypes::THROW
                | AddressTypes::NAT
                | AddressTypes::XRESOLVE
        }
    };
    let both = [addrtype.source, addrtype.destination];
    for types in both.into_iter().flatten() {
        if let Some((name, _)) = (types.value & missing).iter_names().next() {
            return Err(Fault::new(name, CheckError::AddressType));
        }
    }
    Ok(())
}

fn check_target(setting: Setting, rule: &Rule) -> Result<(), Fault> {
    let target = &rule.target;
    let here = |only, hooks| check_place(setting, target.name(), only, hooks);
    match target {
        Target::Drop if setting.table == TableKind::Nat => {
            Err(Fault::new("DROP", CheckError::NatDrop))
        }
        Target::Reject(with) => {
            here(TableKind::Filter, &[Hook::Input, Hook::Forward, Hook::Output])?;
            match with {
                RejectWith::TcpReset => {
                    need_protocol(rule, &[Protocol::TCP], "tcp-reset", "-p tcp")
                }
                RejectWith::Icmp(_) | RejectWith::Icmpv6(_) => Ok(()),
            }
        }
        Target::Snat(snat) => {
            here(TableKind::Nat, &[Hook::Postrouting, Hook::Input])?;
            check_ports(rule, snat.ports.is_some())
        }
        Target::Dnat(dnat) => {
            here(TableKind::Nat, &[Hook::Prerouting, Hook::Output])?;
            check_ports(rule, dnat.ports.is_some())
        }
        Target::Masquerade(to) => {
            here(TableKind::Nat, &[Hook::Postrouting])?;
            check_ports(rule, to.ports.is_some())
        }
        Target::Redirect(to) => {
            here(TableKind::Nat, &[Hook::Prerouting, Hook::Output])?;
            check_ports(rule, to.ports.is_some())
        }
        Target::Netmap(_) => here(TableKind::Nat, &Hook::ALL),
        Target::Ct(ct) => {
            here(TableKind::Raw, &Hook::ALL)?;
            check_ct(setting, rule, ct)
        }
        Target::Notrack => here(TableKind::Raw, &Hook::ALL),
        Target::Extension(one) => one.0.check(setting, rule),
        Target::None
        | Target::Jump(_)
        | Target::Goto(_)
        | Target::Accept
        | Target::Drop
        | Target::Return
        | Target::Log(_)
        | Target::Mark(_)
        | Target::Connmark(_) => Ok(()),
    }
}

fn check_place(
    setting: Setting,
    target: &str,
    only: TableKind,
    hooks: &[Hook],
) -> Result<(), Fault> {
    if setting.table != only {
        return Err(Fault::new(target, CheckError::Table { only }));
    }
    setting.only_from(target, hooks)
}

/// iptables asks for the protocol's number alone: `! -p tcp` will do, and so will ICMP, whose ids are ports here.
fn check_ports(rule: &Rule, ports: bool) -> Result<(), Fault> {
    const WITH_PORTS: [Protocol; 5] =
        [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::DCCP, Protocol::ICMP];
    if !ports || rule.spec.protocol.is_some_and(|term| WITH_PORTS.contains(&term.value)) {
        return Ok(());
    }
    let needs = "-p tcp, udp, sctp, dccp or icmp with a port specification";
    Err(Fault::new(rule.target.name(), CheckError::Protocol { needs }))
}

fn check_ct(setting: Setting, rule: &Rule, ct: &CtTarget) -> Result<(), Fault> {
    for (option, given) in [("--helper", &ct.helper), ("--timeout", &ct.timeout)] {
        let bare = !matches!(rule.spec.protocol, Some(Term { negated: false, .. }));
        if given.is_some() && bare {
            return Err(Fault::new(option, CheckError::Protocol { needs: "-p PROTOCOL" }));
        }
    }
    let proto = rule.spec.protocol.map_or(0, |term| term.value.0);
    match &ct.helper {
        Some(name)
            if !Helper::of_name(name).is_some_and(|one| one.reads(setting.family, proto)) =>
        {
            Err(Fault::new(name, CheckError::Helper))
        }
        _ => Ok(()),
    }
}
