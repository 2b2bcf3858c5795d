//! `-m rt`: the IPv6 routing header. Linux: `ip6t_rt`.

use alloc::vec::Vec;
use core::fmt::{self, Formatter};
use core::net::Ipv6Addr;

use tidegate_wire::{Family, proto};

use super::extension_headers::find_whole;
use super::ipsec::indices;
use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault, GrammarError};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m rt`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Rt {
    kind: Option<Term<u32>>,
    left: Option<Term<Span>>,
    /// The header's length in bytes.
    length: Option<Term<u32>>,
    reserved: bool,
    /// Addresses of a type 0 header.
    hops: Vec<Ipv6Addr>,
    /// Others may stand between them.
    loose: bool,
}

/// Addresses that a rule may list.
const HOPS_MAX: usize = 16;

impl Condition for Rt {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        term(&["--rt-type"]),
        term(&["--rt-segsleft"]),
        term(&["--rt-len"]),
        flag(&["--rt-0-res"]),
        value(&["--rt-0-addrs"]),
        flag(&["--rt-0-not-strict"]),
    ];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let number = |word: &str| values::number(word, 0, u32::MAX);
        let rt = Self {
            kind: clause.term("--rt-type", number)?,
            left: indices(clause, "--rt-segsleft")?,
            length: clause.term("--rt-len", number)?,
            reserved: clause.flag("--rt-0-res"),
            hops: clause.value("--rt-0-addrs", hops)?.unwrap_or_default(),
            loose: clause.flag("--rt-0-not-strict"),
        };
        let of_type_0 = matches!(rt.kind, Some(Term { negated: false, value: 0 }));
        if (rt.reserved || rt.loose || !rt.hops.is_empty()) && !of_type_0 {
            return Err(clause.missing("--rt-type 0 before --rt-0-*"));
        }
        if rt.loose && rt.hops.is_empty() {
            return Err(Fault::new("rt", GrammarError::Missing { option: "--rt-0-addrs" }));
        }
        Ok(rt)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print::term(f, "--rt-type", &self.kind, |f, kind| write!(f, "{kind}"))?;
        print::term(f, "--rt-segsleft", &self.left, |f, span| span.write(f))?;
        print::term(f, "--rt-len", &self.length, |f, length| write!(f, "{length}"))?;
        f.write_str(if self.reserved { " --rt-0-res" } else { "" })?;
        for (number, hop) in self.hops.iter().enumerate() {
            f.write_str(if number == 0 { " --rt-0-addrs " } else { "," })?;
            print::value::address(f, (*hop).into())?;
        }
        f.write_str(if self.loose { " --rt-0-not-strict" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        match find_whole(ctx.datagram(), proto::IPV6_ROUTING) {
            Ok(header) => self.holds(header).into(),
            Err(fit) => fit,
        }
    }
}

impl Rt {
    /// => at least 8 bytes
    fn holds(&self, header: &[u8]) -> bool {
        let equal = |wanted: Option<Term<u32>>, number: u32| {
            wanted.is_none_or(|term| term.holds(term.value == number))
        };
        self.left.is_none_or(|term| term.holds(term.value.contains(header[3].into())))
            && equal(self.length, header.len() as u32)
            && equal(self.kind, header[2].into())
            && !(self.reserved && header[4..8] != [0; 4])
            && self.hops_fit(header[8..].as_chunks::<16>().0)
    }

    fn hops_fit(&self, found: &[[u8; 16]]) -> bool {
        if self.hops.is_empty() {
            return true;
        }
        let mut found = found.iter().map(|hop| Ipv6Addr::from_octets(*hop));
        if !self.loose {
            return found.eq(self.hops.iter().copied());
        }
        // In this order, others between them.
        self.hops.iter().all(|wanted| found.any(|hop| hop == *wanted))
    }
}

fn hops(word: &str) -> Parsed<Vec<Ipv6Addr>> {
    let read = |word: &str| word.parse().map_err(|_| Fault::expected(word, Expected::Address));
    let hops: Vec<Ipv6Addr> = word.split(',').map(read).collect::<Parsed<_>>()?;
    if hops.len() > HOPS_MAX {
        return Err(Fault::expected(word, Expected::Form("a list of at most 16 addresses")));
    }
    Ok(hops)
}
