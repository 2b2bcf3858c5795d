//! Matches on what connection tracking knows. Linux: `xt_conntrack`, `xt_connmark`.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::ast::{
    ConntrackMatch, CtAddresses, CtDirection, CtPorts, CtStates, MarkPattern, Network, PortRange,
    SecondsRange, Term,
};
use crate::flow::{Flow, Status};
use crate::helper::Helper;
use crate::packet::CtInfo;
use crate::time::Instant;
use crate::tuple::Direction;

/// A packet in the eyes of connection tracking.
pub(super) struct Tracking<'a> {
    /// Its state.
    pub(super) info: CtInfo,
    /// Its flow.
    pub(super) flow: Option<&'a Flow>,
    /// CT has given it a template, which is an empty flow to the rules behind it.
    pub(super) has_template: bool,
    /// The time.
    pub(super) now: Instant,
}

/// `--ctstate`: one of the states that the packet has is in the set.
pub(super) fn state(wanted: &Term<CtStates>, tracking: &Tracking<'_>) -> bool {
    wanted.holds(wanted.value.intersects(states(tracking)))
}

fn states(tracking: &Tracking<'_>) -> CtStates {
    let state = match tracking.info {
        CtInfo::Invalid => CtStates::INVALID,
        CtInfo::Untracked => CtStates::UNTRACKED,
        CtInfo::New => CtStates::NEW,
        CtInfo::Established(_) => CtStates::ESTABLISHED,
        CtInfo::Related(_) => CtStates::RELATED,
    };
    state.union(tracking.flow.map_or(CtStates::empty(), translations))
}

/// The states that tell how a flow is translated.
pub(in crate::rules) fn translations(flow: &Flow) -> CtStates {
    let mut states = CtStates::empty();
    states.set(CtStates::SNAT, flow.is(Status::SRC_NAT));
    states.set(CtStates::DNAT, flow.is(Status::DST_NAT));
    states
}

/// All conditions hold. Without a flow only the state is asked for, and it must be.
pub(super) fn conntrack(wanted: &ConntrackMatch, tracking: &Tracking<'_>) -> bool {
    if wanted.state.is_some_and(|term| !state(&term, tracking)) {
        return false;
    }
    match tracking.flow {
        Some(flow) => properties(wanted, flow, tracking),
        None if tracking.has_template => nothing(wanted),
        None => wanted.state.is_some(),
    }
}

fn properties(wanted: &ConntrackMatch, flow: &Flow, tracking: &Tracking<'_>) -> bool {
    wanted.direction.is_none_or(|wanted| direction(wanted, tracking.info))
        && addresses(&wanted.addresses, flow)
        && wanted.protocol.is_none_or(|term| term.holds(term.value.0 == flow.orig.proto))
        && ports(&wanted.ports, flow)
        // The empty set (NONE) intersects nothing and so never matches; negated it always does.
        && wanted.status.is_none_or(|term| {
            term.holds(flow.status.bits() & u32::from(term.value.bits()) != 0)
        })
        && wanted.expire.is_none_or(|term| expire(&term, flow, tracking.now))
}

/// The same of a template, in which all is zero but that it counts as confirmed.
fn nothing(wanted: &ConntrackMatch) -> bool {
    let (of, ports) = (&wanted.addresses, &wanted.ports);
    let addresses =
        [of.original_source, of.original_destination, of.reply_source, of.reply_destination];
    let is_unspecified = |term: Term<Network>| {
        let address = if term.value.address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        term.holds(term.value.contains(address))
    };
    let ports = [
        ports.original_source,
        ports.original_destination,
        ports.reply_source,
        ports.reply_destination,
    ];
    let confirmed = Status::CONFIRMED.bits();
    wanted.direction.is_none_or(|wanted| matches!(wanted, CtDirection::Original))
        && addresses.into_iter().flatten().all(is_unspecified)
        && wanted.protocol.is_none_or(|term| term.holds(term.value.0 == 0))
        && ports.into_iter().flatten().all(|term| term.holds(term.value.contains(0)))
        && wanted
            .status
            .is_none_or(|term| term.holds(confirmed & u32::from(term.value.bits()) != 0))
        && wanted.expire.is_none_or(|term| term.holds(term.value.contains(0)))
}

fn direction(wanted: CtDirection, info: CtInfo) -> bool {
    let wanted = match wanted {
        CtDirection::Original => Direction::Original,
        CtDirection::Reply => Direction::Reply,
    };
    info.direction() == Some(wanted)
}

/// `--ctorigsrc` and its like.
pub(in crate::rules) fn addresses(wanted: &CtAddresses, flow: &Flow) -> bool {
    let address = |term: &Option<Term<Network>>, address| {
        term.is_none_or(|term| term.holds(term.value.contains(address)))
    };
    address(&wanted.original_source, flow.orig.src)
        && address(&wanted.original_destination, flow.orig.dst)
        && address(&wanted.reply_source, flow.reply.src)
        && address(&wanted.reply_destination, flow.reply.dst)
}

/// `--ctorigsrcport` and its like.
pub(in crate::rules) fn ports(wanted: &CtPorts, flow: &Flow) -> bool {
    let port = |term: &Option<Term<PortRange>>, port| {
        term.is_none_or(|term| term.holds(term.value.contains(port)))
    };
    port(&wanted.original_source, flow.orig.sport)
        && port(&wanted.original_destination, flow.orig.dport)
        && port(&wanted.reply_source, flow.reply.sport)
        && port(&wanted.reply_destination, flow.reply.dport)
}

/// Whole seconds that are left. An unconfirmed flow has no deadline yet: the kernel sees 0.
fn expire(term: &Term<SecondsRange>, flow: &Flow, now: Instant) -> bool {
    let left = if flow.is(Status::CONFIRMED) { flow.remaining(now).as_secs() } else { 0 };
    term.holds(term.value.contains(u32::try_from(left).unwrap_or(u32::MAX)))
}

/// `-m helper`: the helper of the flow's master is one of these.
pub(super) fn helper(wanted: &Term<Vec<Helper>>, tracking: &Tracking<'_>) -> bool {
    wanted.holds(tracking.flow.is_some_and(|flow| has_helper(&wanted.value, flow)))
}

/// Whether the helper of a flow's master is one of these.
pub(in crate::rules) fn has_helper(wanted: &[Helper], flow: &Flow) -> bool {
    flow.master_helper.is_some_and(|helper| wanted.contains(&helper))
}

/// `-m connmark`; without a flow it fails, even negated.
pub(super) fn connmark(wanted: &Term<MarkPattern>, tracking: &Tracking<'_>) -> bool {
    let mark = match tracking.flow {
        Some(flow) => flow.mark,
        None if tracking.has_template => 0,
        None => return false,
    };
    wanted.holds(wanted.value.matches(mark))
}
