//! `SNPT` and `DNPT`: replace an IPv6 prefix by another without state (RFC 6296). Linux: `ip6t_NPT`.
//!
//! A word of the address is changed so that checksums stay right. Where no word can be, Linux complains to the sender;
//! here the packet is only dropped.

use core::fmt::{self, Formatter};
use core::net::{IpAddr, Ipv6Addr};

use tidegate_wire::checksum::Sum;
use tidegate_wire::packet::{Ipv6, icmp, icmpv6};
use tidegate_wire::{Family, proto};

use super::{ARRIVALS, Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::{Hook, Network, Rule};
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::print::value as written;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

/// `-j SNPT`, of sources, or `-j DNPT`, of destinations; `mangle` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Npt<const SOURCE: bool> {
    from: Prefix,
    to: Prefix,
}

/// At most 64 bits, without any behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Prefix {
    address: Ipv6Addr,
    length: u32,
}

impl<const SOURCE: bool> Effect for Npt<SOURCE> {
    const OPTIONS: &'static [OptionSpec] = &[value(&["--src-pfx"]), value(&["--dst-pfx"])];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(Self {
            from: clause.need("--src-pfx", prefix)?.value,
            to: clause.need("--dst-pfx", prefix)?.value,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (option, prefix) in [("--src-pfx", self.from), ("--dst-pfx", self.to)] {
            write!(f, " {option} ")?;
            written::address(f, prefix.address.into())?;
            write!(f, "/{}", prefix.length)?;
        }
        Ok(())
    }

    fn check(&self, setting: Setting, _: &Rule) -> Result<(), Fault> {
        const DEPARTURES: [Hook; 2] = [Hook::Input, Hook::Postrouting];
        let word = if SOURCE { "SNPT" } else { "DNPT" };
        only_mangle(setting, word)?;
        setting.only_from(word, if SOURCE { &DEPARTURES } else { &ARRIVALS })
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let own = if SOURCE { ctx.headers.src } else { ctx.headers.dst };
        let IpAddr::V6(own) = own else { return None };
        let Some(mapped) = self.map(own) else { return Some(Ruling::Drop) };
        let mut ip = Ipv6::new(&mut *ctx.bytes)?;
        if SOURCE {
            ip.set_src(mapped);
            ctx.headers.src = mapped.into();
        } else {
            ip.set_dst(mapped);
            ctx.headers.dst = mapped.into();
        }
        self.map_quoted(ctx);
        None
    }
}

impl<const SOURCE: bool> Npt<SOURCE> {
    /// `None`: every word that could be changed is all ones.
    fn map(&self, address: Ipv6Addr) -> Option<Ipv6Addr> {
        let length = self.from.length.max(self.to.length);
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let bits = address.to_bits() & !mask | self.to.address.to_bits() & mask;
        let mut words = Ipv6Addr::from_bits(bits).segments();
        let at = match length {
            0..=48 => 3,
            _ => (4..8).find(|at| words[*at] != 0xffff)?,
        };
        let [from, to] = [self.from, self.to].map(|p| Sum::new().addr(p.address.into()).partial());
        let word = Sum::new().word(words[at]).word(from).word(!to).partial();
        words[at] = if word == 0xffff { 0 } else { word };
        Some(words.into())
    }

    /// In an ICMP error the address that the packet had on its way here.
    fn map_quoted<F: Fib>(&self, ctx: &mut RuleContext<'_, F>) {
        let Some(start) = ctx.headers.l4.filter(|_| ctx.headers.proto == proto::ICMPV6) else {
            return;
        };
        let end = ctx.headers.len.min(ctx.bytes.len());
        let Some(message) = ctx.bytes.get_mut(start..end) else { return };
        if !message.first().is_some_and(|kind| icmpv6::is_error(*kind)) {
            return;
        }
        let Some(mut quoted) = message.get_mut(icmp::HEADER_LEN..).and_then(Ipv6::new) else {
            return;
        };
        let other = if SOURCE { quoted.dst() } else { quoted.src() };
        let ours = Network { address: self.from.address.into(), mask: mask(self.from.length) };
        let mapped = self.map(other).filter(|_| ours.contains(other.into()));
        match mapped {
            Some(mapped) if SOURCE => quoted.set_dst(mapped),
            Some(mapped) => quoted.set_src(mapped),
            None => {}
        }
    }
}

fn mask(length: u32) -> IpAddr {
    Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - length).unwrap_or(0)).into()
}

fn prefix(word: &str) -> Parsed<Prefix> {
    let form = Expected::Form("an IPv6 prefix of at most 64 bits");
    let network = values::full_network(Family::V6, word)?;
    let length = network.prefix_len().filter(|length| *length <= 64);
    match (network.masked() == network, network.address, length) {
        (true, IpAddr::V6(address), Some(length)) => Ok(Prefix { address, length }),
        _ => Err(Fault::expected(word, form)),
    }
}
