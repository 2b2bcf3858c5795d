//! `HMARK`: a mark that follows from addresses and ports, the same for both directions. Linux: `xt_HMARK`.
//!
//! The hash is Bob Jenkins' lookup3, seeded by the rule, so that marks are those of a Linux router with the same rule.

mod options;

use core::fmt::{self, Formatter};
use core::net::IpAddr;

use tidegate_wire::packet::{icmp, icmpv6};
use tidegate_wire::{Family, dissect_quoted, proto};

use super::Effect;
use crate::fib::Fib;
use crate::flow::Flow;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::Parsed;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::OptionSpec;

/// `-j HMARK`; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Hmark {
    family: Family,
    /// Prefix lengths; none counts nothing.
    source: Option<u32>,
    destination: Option<u32>,
    ports: Ports,
    proto_mask: u16,
    seed: u32,
    modulus: u32,
    offset: u32,
    /// By the flow's tuples instead of the packet's.
    by_flow: bool,
}

/// The ports, or the security parameters index in their place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ports {
    source_mask: Option<u16>,
    destination_mask: Option<u16>,
    index_mask: Option<u32>,
    source: Option<u16>,
    destination: Option<u16>,
    index: Option<u32>,
}

/// What is hashed.
#[derive(Clone, Copy, Default)]
struct Tuple {
    source: u32,
    destination: u32,
    ports: u32,
    proto: u8,
}

impl Effect for Hmark {
    const OPTIONS: &'static [OptionSpec] = options::OPTIONS;

    fn parse(family: Family, clause: &Clause<'_>) -> Parsed<Self> {
        options::parse(family, clause)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        options::write(self, f)
    }

    fn check(&self, _: Setting, _: &Rule) -> Result<(), Fault> {
        Ok(())
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let tuple = if self.by_flow {
            ctx.flow.as_deref().map(|flow| self.of_flow(flow))
        } else {
            self.of_packet(ctx)
        };
        if let Some(tuple) = tuple {
            *ctx.mark = self.mark(tuple);
        }
        None
    }
}

impl Hmark {
    fn of_flow(&self, flow: &Flow) -> Tuple {
        let proto = flow.orig.proto;
        let has_ports = proto != proto::ICMP;
        Tuple {
            source: masked(flow.orig.src, self.source),
            destination: masked(flow.reply.src, self.destination),
            ports: if has_ports { self.ports.of(flow.orig.sport, flow.reply.sport) } else { 0 },
            proto,
        }
    }

    /// An ICMP error goes with what it quotes.
    fn of_packet<F: Fib>(&self, ctx: &RuleContext<'_, F>) -> Option<Tuple> {
        let headers = &*ctx.headers;
        let message = ctx.upper_layer();
        let is_error = message.first_chunk::<{ icmp::HEADER_LEN }>().is_some_and(|[kind, ..]| {
            match headers.proto {
                proto::ICMP => icmp::is_error(*kind),
                // Type 0 is nobody's, and none to `get_inner6_hdr`.
                proto::ICMPV6 => icmpv6::is_error(*kind) && *kind != 0,
                _ => false,
            }
        });
        if !is_error {
            let is_fragment = headers.fragment.is_some();
            let ends = (headers.src, headers.dst);
            return Some(self.tuple(ends, headers.proto, message, is_fragment));
        }
        let quote = &message[icmp::HEADER_LEN..];
        let quoted = dissect_quoted(headers.family, quote)?;
        let payload = quoted.l4.and_then(|at| quote.get(at..)).unwrap_or_default();
        let is_fragment = quoted.fragment.is_some();
        Some(self.tuple((quoted.src, quoted.dst), quoted.proto, payload, is_fragment))
    }

    fn tuple(
        &self,
        (source, destination): (IpAddr, IpAddr),
        proto: u8,
        payload: &[u8],
        is_fragment: bool,
    ) -> Tuple {
        let at = match proto {
            proto::TCP | proto::UDP | proto::DCCP | proto::ESP | proto::SCTP | proto::UDPLITE => {
                Some(0)
            }
            proto::AH => Some(4),
            _ => None,
        };
        let bytes = at.filter(|_| !is_fragment).and_then(|at| payload.get(at..)?.first_chunk());
        let ports = bytes.map_or(0, |[a, b, c, d]| {
            self.ports.of(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))
        });
        Tuple {
            source: masked(source, self.source),
            destination: masked(destination, self.destination),
            ports,
            proto,
        }
    }

    fn mark(&self, tuple: Tuple) -> u32 {
        let (source, destination) = (tuple.source, tuple.destination);
        let words = [source.min(destination), source.max(destination), tuple.ports];
        let hash = lookup3(words, self.seed) ^ u32::from(u16::from(tuple.proto) & self.proto_mask);
        let scaled = (u64::from(hash) * u64::from(self.modulus)) >> 32;
        (scaled as u32).wrapping_add(self.offset)
    }
}

impl Ports {
    /// The greater one first, so that both directions give the same.
    fn of(&self, source: u16, destination: u16) -> u32 {
        let high = |high: Option<u16>, low: Option<u16>| {
            u32::from(high.unwrap_or(0)) << 16 | u32::from(low.unwrap_or(0))
        };
        let mask = self.index_mask.unwrap_or(high(self.source_mask, self.destination_mask));
        let set = self.index.unwrap_or(high(self.source, self.destination));
        let both = (u32::from(source) << 16 | u32::from(destination)) & mask | set;
        let (source, destination) = (both >> 16, both & 0xffff);
        source.max(destination) << 16 | source.min(destination)
    }
}

/// An IPv6 address counts by the exclusive or of its four words.
fn masked(address: IpAddr, length: Option<u32>) -> u32 {
    let Some(length) = length else { return 0 };
    match address {
        IpAddr::V4(address) => address.to_bits() & u32::MAX.checked_shl(32 - length).unwrap_or(0),
        IpAddr::V6(address) => {
            let bits = address.to_bits() & u128::MAX.checked_shl(128 - length).unwrap_or(0);
            (0..4).map(|word| (bits >> (32 * word)) as u32).fold(0, |all, word| all ^ word)
        }
    }
}

/// The hash of three words (B. Jenkins, lookup3.c, public domain).
fn lookup3(words: [u32; 3], seed: u32) -> u32 {
    let start = seed.wrapping_add(0xdead_beef).wrapping_add(12);
    let [mut a, mut b, mut c] = words.map(|word| word.wrapping_add(start));
    let mix = |into: &mut u32, from: u32, turn: u32| {
        *into = (*into ^ from).wrapping_sub(from.rotate_left(turn));
    };
    mix(&mut c, b, 14);
    mix(&mut a, c, 11);
    mix(&mut b, a, 25);
    mix(&mut c, b, 16);
    mix(&mut a, c, 4);
    mix(&mut b, a, 14);
    mix(&mut c, b, 24);
    c
}
