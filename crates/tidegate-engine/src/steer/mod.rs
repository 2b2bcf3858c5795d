//! Which of several workers owns a packet's flow, and what workers have to tell each other.
//!
//! Every worker has an engine of its own, with the same rules, and shares nothing. A packet may enter at any of them.
//! The rules of this module make the outcome the same as with one engine:
//!
//! * Each tuple has a *home*, a pure function of the tuple that no message is needed for: a keyed hash of its protocol
//!   and its two ports, whichever of them is the source's. ICMP's identifier stands for both ports, and protocols
//!   without ports have one home for all their packets. An ICMP error is at home where the packet is that it quotes.
//! * A packet that meets conntrack elsewhere is handed to its home between the raw table and conntrack, with what the
//!   raw table has said ([`Parcel`]). Rules are asked once. Fragments go first to the worker that addresses and
//!   identification name, the same for all of a datagram; the whole is then a packet like any other.
//! * A flow is owned by its original tuple's home. Nobody else can begin it, so that there are no two.
//! * Its reply tuple is at home there, too. Without NAT it is the inverse, and has the same home. Addresses don't
//!   count, so that a translation which keeps the ports, as Linux prefers it, keeps the home. Where a port changes, or
//!   has to, the source's port is chosen so that the reply's home is the owner; that is the one difference to a lone
//!   engine, and where the rule leaves no such port the flow is refused. So whoever could give the same reply to
//!   somebody else has the flow in his own table, and two flows never get the same one.
//! * A flow that a helper expects is owned by its master's owner, who alone knows the expectation in full. The others
//!   know how such a flow looks ([`Notice`]), and the home of its first packet hands that over. If it is not expected
//!   any more it is handed back, once. The home decides, so that again there is one owner. Of a flow that is owned away
//!   from the home of one of its tuples that home is told, and hands its packets over.
//!   What remains is a tuple whose packets overtake each other while the announcement of it is taken back and made again:
//!   then master's owner and home may both begin it. Packets find the home's, and the other one ends by its timeout.
//! * A notice is told before the packet that brought it about leaves. Who looks for notices after he has taken
//!   packets, and before he works on them, has heard of everything that these packets can be an answer to.
//!
//! Hashing ports and not addresses costs balance where many hosts talk between the same two ports; it buys that NAT
//! chooses as one engine does, and that a client's port is seen alike by all its peers (RFC 4787 section 4.1).
//!
//! Nothing here knows rings or threads.

mod notice;
mod parcel;
mod post;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::net::IpAddr;

use tidegate_wire::dissect::dissect_quoted;
use tidegate_wire::packet::icmp;
use tidegate_wire::{Headers, dissect, proto};

pub use self::notice::Notice;
pub(crate) use self::notice::Wanted;
pub use self::parcel::Parcel;
pub(crate) use self::parcel::{Past, Progress};
pub(crate) use self::post::Post;
use crate::path::tuple_in;
use crate::table::hash::{SipKey, scale};
use crate::tuple::Tuple;

/// Who among how many workers this is, and what tuples' homes are found with.
#[derive(Clone, Copy, Debug)]
pub struct Steering {
    key: SipKey,
    workers: u16,
    own: u16,
}

impl Steering {
    /// The worker of number `own`, from 0, among `workers`. All of them have the same `secret`, and nobody else.
    /// `None` if there is no such worker.
    #[must_use]
    pub fn new(secret: u64, own: usize, workers: usize) -> Option<Self> {
        let key = SipKey([secret, !secret.rotate_left(32)]);
        let (own, workers) = (u16::try_from(own).ok()?, u16::try_from(workers).ok()?);
        (own < workers).then_some(Self { key, workers, own })
    }

    /// This worker's number.
    #[must_use]
    pub fn own(&self) -> usize {
        self.own.into()
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.into()
    }

    /// What this worker has of so many, if all have the same.
    pub(crate) fn equal_share(&self, all: usize) -> usize {
        all / self.workers() + usize::from(self.own() < all % self.workers())
    }

    /// The key of SipHash-1-3 that homes are found with: for whoever finds them before a packet is here.
    #[must_use]
    pub fn key(&self) -> [u64; 2] {
        self.key.0
    }

    /// The home of a tuple, and of every tuple that answers it.
    #[must_use]
    pub fn home(&self, tuple: &Tuple) -> usize {
        let (one, other) = match tuple.proto {
            proto::ICMP | proto::ICMPV6 => (tuple.sport, tuple.sport),
            _ if tuple.has_ports() => (tuple.sport, tuple.dport),
            _ => (0, 0),
        };
        self.of_ports(tuple.proto, one, other)
    }

    /// The worker that a datagram should begin at; `None` if any will do. Wherever it begins, it comes to its owner.
    #[inline]
    #[must_use]
    pub fn home_of(&self, datagram: &[u8]) -> Option<usize> {
        if let Some((proto, [one, other])) = plain_ports(datagram) {
            return Some(self.of_ports(proto, one, other));
        }
        self.home_of_unusual(datagram)
    }

    #[cold]
    fn home_of_unusual(&self, datagram: &[u8]) -> Option<usize> {
        let headers = dissect(datagram).ok()?;
        if let Some(gatherer) = self.gatherer(&headers) {
            return Some(gatherer);
        }
        Some(self.home(&sought_in(datagram, &headers)?))
    }

    /// The worker that puts a datagram's fragments together, if this is one.
    pub(crate) fn gatherer(&self, headers: &Headers) -> Option<usize> {
        let fragment = headers.fragment.filter(|fragment| !fragment.is_atomic())?;
        let [one, other] = [headers.src, headers.dst].map(|address| match address {
            IpAddr::V4(address) => [0, u64::from(address.to_bits())],
            IpAddr::V6(address) => [(address.to_bits() >> 64) as u64, address.to_bits() as u64],
        });
        let words = [one[0], one[1], other[0], other[1], fragment.id.into()];
        Some(scale(self.key.hash_words(words), self.workers.into()) as usize)
    }

    #[inline]
    fn of_ports(&self, proto: u8, one: u16, other: u16) -> usize {
        let (low, high) = (one.min(other), one.max(other));
        let word = u64::from(proto) << 32 | u64::from(high) << 16 | u64::from(low);
        scale(self.key.hash_words([word]), self.workers.into()) as usize
    }

    /// Whether a helper of this worker may have a flow expected at a port of the router's: no other worker's may. A
    /// pair of ports belongs to one worker.
    pub(crate) fn announces_at(&self, port: u16) -> bool {
        let word = u64::from(port >> 1) << 40;
        scale(self.key.hash_words([word]), self.workers.into()) == u32::from(self.own)
    }
}

/// How many flows each worker may have, so that together they have no more than `max`: what it has, and an equal share
/// of what is free. If they have more already, as after the limit was lowered, each may have its part of `max`, and
/// nobody begins a flow before he has fewer. 0 is without limit, as `nf_conntrack_max` is.
#[must_use]
pub fn shares(max: u32, counts: &[usize]) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    if max > 0 && total > max as usize {
        let part = |count: &usize| *count as u128 * u128::from(max) / total as u128;
        return counts.iter().map(|count| part(count) as usize).collect();
    }
    let free = (max as usize).saturating_sub(total);
    let workers = counts.len().max(1);
    let extra = |number: usize| usize::from(number < free % workers);
    counts.iter().enumerate().map(|(n, count)| count + free / workers + extra(n)).collect()
}

/// Protocol and ports of a datagram that says them at the usual places.
#[inline]
fn plain_ports(datagram: &[u8]) -> Option<(u8, [u16; 2])> {
    let (proto, ports) = match datagram.first()? {
        0x45 if datagram.get(6)? & 0x3f == 0 && *datagram.get(7)? == 0 => {
            (*datagram.get(9)?, datagram.get(20..24)?)
        }
        first if first >> 4 == 6 => (*datagram.get(6)?, datagram.get(40..44)?),
        _ => return None,
    };
    let word = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    matches!(proto, proto::TCP | proto::UDP).then(|| (proto, [word(0), word(2)]))
}

/// The tuple that a datagram's flow is looked up by; of an ICMP error the answer to what it quotes.
pub(crate) fn tuple_of(datagram: &[u8]) -> Option<Tuple> {
    let headers = dissect(datagram).ok()?;
    let tuple = sought_in(datagram, &headers)?;
    if quote_in(datagram, &headers).is_some() { tuple.invert() } else { Some(tuple) }
}

/// A datagram's tuple; of an ICMP error that of what it quotes.
fn sought_in(datagram: &[u8], headers: &Headers) -> Option<Tuple> {
    match quote_in(datagram, headers) {
        Some(quote) => tuple_in(quote, &dissect_quoted(headers.family, quote)?),
        None => tuple_in(datagram, headers),
    }
}

/// The datagram that an ICMP error quotes.
fn quote_in<'a>(datagram: &'a [u8], headers: &Headers) -> Option<&'a [u8]> {
    const REDIRECT: u8 = 137;
    let message = headers.payload(datagram);
    let at = match (headers.proto, *message.first()?) {
        (proto::ICMP, kind) if icmp::is_error(kind) => 8,
        (proto::ICMPV6, 0..128) => 8,
        (proto::ICMPV6, REDIRECT) => 48,
        _ => return None,
    };
    message.get(at..)
}
