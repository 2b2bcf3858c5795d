//! Which port or ICMP identifier, so that the reply is nobody else's.

use tidegate_wire::proto;

use super::bind::Binder;
use super::{Manip, NatRange};
use crate::flow::{Flow, Status};
use crate::track::{ProtoState, TcpState};
use crate::tuple::{Direction, Tuple};

/// How many ports are tried from one starting point.
const MAX_ATTEMPTS: u32 = 128;
/// In that many last attempts a SYN may take the port of a dead connection.
const HARDER_ATTEMPTS: u32 = 32;
/// No further rounds with fewer attempts than this.
const MIN_ATTEMPTS: u32 = 16;

/// Gives the tuple a port of the range that makes its reply unique. If none is
/// found the last candidate stays, and confirmation will refuse it. Linux:
/// `nf_nat_l4proto_unique_tuple`.
pub(super) fn choose(
    binder: &mut Binder<'_>,
    flow: &Flow,
    tuple: &mut Tuple,
    range: &NatRange,
    manip: Manip,
) {
    let call = gre_key(tuple, manip).filter(|_| flow.is(Status::EXPECTED));
    let Some(current) = key(tuple, manip).or(call) else { return };
    let Some((first, count)) = candidates(tuple, current, range, manip) else { return };
    let mut offset = match range.base_port {
        Some(base) => current.wrapping_sub(base),
        None if range.random || manip == Manip::Src => binder.rng.u16(),
        None => 0,
    };
    let mut attempts = count.min(MAX_ATTEMPTS);
    loop {
        for attempt in 0..attempts {
            let port = u32::from(first) + u32::from(offset) % count;
            set_key(tuple, manip, port as u16);
            if !is_taken(binder, flow, (tuple, manip), attempts - attempt) {
                return;
            }
            offset = offset.wrapping_add(1);
        }
        if attempts >= count || attempts < MIN_ATTEMPTS {
            return;
        }
        attempts /= 2;
        offset = binder.rng.u16();
    }
}

/// First port and number of ports to choose from. A destination keeps its port
/// unless the rule names some; a source keeps its class: privileged below 512,
/// privileged, or not.
fn candidates(tuple: &Tuple, current: u16, range: &NatRange, manip: Manip) -> Option<(u16, u32)> {
    let (first, last) = match range.ports {
        Some((a, b)) => (a.min(b), a.max(b)),
        None if is_icmp(tuple) => (0, u16::MAX),
        None if tuple.proto == proto::GRE => (1, u16::MAX),
        None if manip == Manip::Dst => return None,
        None if current < 512 => (1, 511),
        None if current < 1024 => (600, 1023),
        None => (1024, u16::MAX),
    };
    Some((first, u32::from(last) - u32::from(first) + 1))
}

/// The key of GRE, which may be changed only for a call that a control connection announced.
pub(super) fn gre_key(tuple: &Tuple, manip: Manip) -> Option<u16> {
    (tuple.proto == proto::GRE).then_some(match manip {
        Manip::Src => tuple.sport,
        Manip::Dst => tuple.dport,
    })
}

fn is_icmp(tuple: &Tuple) -> bool {
    matches!(tuple.proto, proto::ICMP | proto::ICMPV6)
}

/// The word that may be changed; an ICMP identifier is the same both ways.
pub(super) fn key(tuple: &Tuple, manip: Manip) -> Option<u16> {
    if is_icmp(tuple) {
        return Some(tuple.sport);
    }
    tuple.has_ports().then_some(match manip {
        Manip::Src => tuple.sport,
        Manip::Dst => tuple.dport,
    })
}

fn set_key(tuple: &mut Tuple, manip: Manip, value: u16) {
    if is_icmp(tuple) || manip == Manip::Src {
        tuple.sport = value;
    } else {
        tuple.dport = value;
    }
}

fn is_taken(
    binder: &mut Binder<'_>,
    flow: &Flow,
    (tuple, manip): (&Tuple, Manip),
    attempts_left: u32,
) -> bool {
    if attempts_left > HARDER_ATTEMPTS || !is_syn_sent(flow) {
        return binder.is_taken(flow, tuple, manip);
    }
    let Some(reply) = tuple.invert() else { return true };
    if !binder.is_at_home(flow, &reply, manip) {
        return true;
    }
    let Some((id, dir)) = binder.table.lookup_noted(binder.now, &reply, flow.zone) else {
        return false;
    };
    let evictable = binder.table.load(id).is_some_and(|old| may_evict(&old, flow));
    if dir == Direction::Original || !evictable {
        return true;
    }
    binder.table.kill(id, binder.now, binder.events);
    false
}

fn is_syn_sent(flow: &Flow) -> bool {
    matches!(&flow.proto, ProtoState::Tcp(tcp) if tcp.state == TcpState::SynSent)
}

/// A dead translated connection, whose sequence numbers the new one is past:
/// its late segments cannot be taken for the new one's.
fn may_evict(old: &Flow, new: &Flow) -> bool {
    let (ProtoState::Tcp(old_tcp), ProtoState::Tcp(new_tcp)) = (&old.proto, &new.proto) else {
        return false;
    };
    old_tcp.state >= TcpState::TimeWait
        && old.is(Status::SRC_NAT)
        && !old.status.intersects(Status::FIXED_TIMEOUT | Status::DYING)
        && new_tcp.seen[0].end.since(old_tcp.seen[0].end).cast_signed() > 0
}
