//! The matches: does a condition hold for a packet?
//!
//! One function for each, in a file for each kind of knowledge that it needs: the transport header, the flow, the
//! network's addresses, time. They look at the packet as it is at that moment and change nothing, a limit's bucket
//! excepted.

pub(super) mod flow;
mod limit;
pub(super) mod network;
pub(super) mod transport;

use tidegate_wire::{Family, Headers, proto};

use super::ast::{Fragment, Protocol, Term};
use super::conditions::{Live, Memory};
use super::eval::RuleContext;
use super::program::{Check, address_word, name_word};
use crate::fib::Fib;
use crate::packet::CtInfo;

pub(super) use self::limit::Bucket;

use self::flow::Tracking;
use self::transport::Transport;

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The condition holds.
    Holds,
    /// It doesn't.
    Fails,
    /// What it is about should be in the packet and is not: no rule may judge such a packet, it is dropped. Linux:
    /// `hotdrop`.
    Unreadable,
}

impl From<bool> for Fit {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// What rules compare most often, made once for a packet and table.
pub(super) struct Words {
    source: u128,
    destination: u128,
    in_name: u128,
    out_name: u128,
}

impl Words {
    /// The packet's addresses, and its ports' names if anybody asks for names.
    pub(super) fn of<F: Fib>(ctx: &RuleContext<'_, F>, asks_names: bool) -> Self {
        let (in_name, out_name) = match asks_names {
            true => (name_word(ctx.in_name()), name_word(ctx.out_name())),
            false => (0, 0),
        };
        let (source, destination) = (address_word(ctx.headers.src), address_word(ctx.headers.dst));
        Self { source, destination, in_name, out_name }
    }
}

/// What checks remember from packet to packet.
pub(super) struct Remembered<'p> {
    pub(super) buckets: &'p mut [Bucket],
    pub(super) extensions: &'p mut [Live],
    /// What rules share.
    pub(super) memory: &'p mut Memory,
}

/// Whether a condition holds.
pub(super) fn check<F: Fib>(
    check: &Check,
    words: &Words,
    remembered: &mut Remembered<'_>,
    ctx: &mut RuleContext<'_, F>,
) -> Fit {
    match check {
        Check::Source(source) => source.holds(words.source).into(),
        Check::Destination(destination) => destination.holds(words.destination).into(),
        Check::InInterface(interface) => interface.holds(words.in_name).into(),
        Check::OutInterface(interface) => interface.holds(words.out_name).into(),
        Check::Protocol(wanted) => protocol(wanted, ctx.headers),
        Check::Fragment(wanted) => fragment(*wanted, ctx.headers).into(),
        Check::Tcp(wanted) => transport::tcp(wanted, Transport::of(ctx.headers, &*ctx.bytes)),
        Check::Udp(wanted) => transport::udp(wanted, Transport::of(ctx.headers, &*ctx.bytes)),
        Check::Icmp(wanted) => transport::icmp(wanted, Transport::of(ctx.headers, &*ctx.bytes)),
        Check::Icmp6(wanted) => transport::icmp6(wanted, Transport::of(ctx.headers, &*ctx.bytes)),
        Check::Multiport(wanted) => {
            transport::multiport(wanted, Transport::of(ctx.headers, &*ctx.bytes))
        }
        Check::State(wanted) => flow::state(wanted, &tracking(ctx)).into(),
        Check::Conntrack(wanted) => flow::conntrack(wanted, &tracking(ctx)).into(),
        Check::Mark(wanted) => wanted.holds(wanted.value.matches(*ctx.mark)).into(),
        Check::Connmark(wanted) => flow::connmark(wanted, &tracking(ctx)).into(),
        Check::Helper(wanted) => flow::helper(wanted, &tracking(ctx)).into(),
        Check::Limit(bucket) => remembered.buckets[*bucket].take(ctx.now).into(),
        Check::Addrtype(wanted) => network::addrtype(wanted, ctx).into(),
        Check::Mac(wanted) => network::mac(wanted, ctx.link).into(),
        Check::Iprange(wanted) => network::iprange(wanted, ctx.headers.src, ctx.headers.dst).into(),
        Check::Extension { at, .. } => remembered.extensions[*at].fit(remembered.memory, ctx),
    }
}

fn tracking<'c, F: Fib>(ctx: &'c RuleContext<'_, F>) -> Tracking<'c> {
    // Behind conntrack it is gone, and a packet is INVALID or has a flow.
    let has_template = ctx.template.is_some() && ctx.info == CtInfo::New;
    Tracking { info: ctx.info, flow: ctx.flow.as_deref(), has_template, now: ctx.now }
}

/// `-p`. IPv6 asks for it behind the extension headers, and drops the packet if they lead nowhere.
fn protocol(wanted: &Term<Protocol>, headers: &Headers) -> Fit {
    match upper_protocol(headers) {
        Some(number) => wanted.holds(number == wanted.value.0).into(),
        None => Fit::Unreadable,
    }
}

/// The upper layer's protocol, if the packet has one to tell. Linux: `ipv6_find_hdr`.
fn upper_protocol(headers: &Headers) -> Option<u8> {
    let known = match (headers.family, headers.l4) {
        (Family::V4, _) | (Family::V6, Some(_)) => true,
        (Family::V6, None) => {
            let ends = !proto::is_ipv6_extension(headers.proto);
            headers.proto == proto::NO_NEXT_HEADER || ends && is_later_fragment(headers)
        }
    };
    known.then_some(headers.proto)
}

fn fragment(wanted: Fragment, headers: &Headers) -> bool {
    match wanted {
        Fragment::Later => is_later_fragment(headers),
        Fragment::FirstOrWhole => !is_later_fragment(headers),
    }
}

fn is_later_fragment(headers: &Headers) -> bool {
    headers.fragment.is_some_and(|fragment| !fragment.is_first())
}

#[cfg(test)]
mod tests;
