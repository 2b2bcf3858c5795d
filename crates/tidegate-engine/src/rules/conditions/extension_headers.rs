//! IPv6 extension headers: how matches find one, and `-m ah`, which looks at the authentication header. Linux:
//! `ipv6_find_hdr`, `ip6t_ah`.

use core::fmt::{self, Formatter};

use tidegate_wire::packet::Ipv6;
use tidegate_wire::{Family, Fragment, proto};

use super::ipsec::indices;
use super::span::Span;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term};
use crate::rules::text::{Parsed, value};

/// The first extension header of a kind with at least `N` bytes, and all that follows; otherwise what that means for
/// a match: it fails if there is none, and a chain that can't be followed, or a header that is cut off, drops the
/// packet.
pub(super) fn find<const N: usize>(datagram: &[u8], kind: u8) -> Result<&[u8], Fit> {
    let ip = Ipv6::new(datagram).ok_or(Fit::Unreadable)?;
    let mut extensions = ip.extensions();
    for header in extensions.by_ref() {
        if header.kind == kind {
            let found = datagram.get(header.at..).unwrap_or_default();
            return if found.len() < N { Err(Fit::Unreadable) } else { Ok(found) };
        }
        let fragment = (header.kind == proto::IPV6_FRAGMENT)
            .then(|| Fragment::of_ipv6(datagram, header.at))
            .flatten();
        if fragment.is_some_and(|fragment| !fragment.is_first()) {
            return Err(Fit::Fails);
        }
    }
    let ends = extensions.next_header();
    let cut = proto::is_ipv6_extension(ends) && ends != proto::NO_NEXT_HEADER;
    Err(if cut { Fit::Unreadable } else { Fit::Fails })
}

/// The same where the header's own length must be within the packet, as options and routes are: their units are eight
/// bytes. The header without what follows it.
pub(super) fn find_whole(datagram: &[u8], kind: u8) -> Result<&[u8], Fit> {
    let found = find::<4>(datagram, kind)?;
    found.get(..(usize::from(found[1]) + 1) * 8).ok_or(Fit::Unreadable)
}

/// `-m ah` of IPv6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ah {
    index: Option<Term<Span>>,
    /// The header's length in bytes.
    length: Option<Term<u32>>,
    /// The reserved field is zero.
    reserved: bool,
}

impl Condition for Ah {
    type State = ();

    const OPTIONS: &'static [OptionSpec] =
        &[term(&["--ahspi"]), term(&["--ahlen"]), flag(&["--ahres"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(Self {
            index: indices(clause, "--ahspi")?,
            length: clause.term("--ahlen", |word| value::number(word, 0, u32::MAX))?,
            reserved: clause.flag("--ahres"),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print::term(f, "--ahspi", &self.index, |f, span| span.write(f))?;
        print::term(f, "--ahlen", &self.length, |f, length| write!(f, "{length}"))?;
        f.write_str(if self.reserved { " --ahres" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        match find::<12>(ctx.datagram(), proto::AH) {
            Ok(header) if header.len() < length(header) => Fit::Unreadable,
            Ok(header) => self.holds(header).into(),
            Err(fit) => fit,
        }
    }
}

/// What the header says that it is long, in bytes.
fn length(header: &[u8]) -> usize {
    (usize::from(header[1]) + 2) * 4
}

impl Ah {
    /// => at least 12 bytes
    fn holds(&self, header: &[u8]) -> bool {
        let index = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        // To the kernel a length of 0 is none given.
        let asked = self.length.filter(|term| term.value != 0);
        self.index.is_none_or(|term| term.holds(term.value.contains(index)))
            && asked.is_none_or(|term| term.holds(term.value as usize == length(header)))
            && !(self.reserved && header[2..4] != [0, 0])
    }
}
