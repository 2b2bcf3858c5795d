//! `-m ipv6header`, which extension headers there are, and `-m hbh` and `-m dst`, the options in one of them. Linux:
//! `ip6t_ipv6header`, `ip6t_hbh`.

use alloc::vec::Vec;
use core::fmt::{self, Formatter};

use bitflags::bitflags;
use tidegate_wire::{Family, proto};

use super::extension_headers::find_whole;
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::{self, always};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, term, value};
use crate::rules::text::{Parsed, value as values};

/// `-m ipv6header`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct HeaderList {
    wanted: Term<Chain>,
    /// There may be others.
    soft: bool,
}

bitflags! {
    /// Headers behind IPv6's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Chain: u8 {
        const HOP_BY_HOP = 0x80;
        const DESTINATION = 0x40;
        const ROUTING = 0x20;
        const FRAGMENT = 0x10;
        const AH = 0x08;
        const ESP = 0x04;
        const NONE = 0x02;
        const UPPER = 0x01;
    }
}

/// Each header with the name that is printed and another one.
const HEADERS: [(Chain, &str, &str); 8] = [
    (Chain::HOP_BY_HOP, "hop-by-hop", "hop"),
    (Chain::DESTINATION, "ipv6-opts", "dst"),
    (Chain::ROUTING, "ipv6-route", "route"),
    (Chain::FRAGMENT, "ipv6-frag", "frag"),
    (Chain::AH, "ah", "auth"),
    (Chain::ESP, "esp", "esp"),
    (Chain::NONE, "ipv6-nonxt", "none"),
    (Chain::UPPER, "protocol", "prot"),
];

impl Condition for HeaderList {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--header"]), flag(&["--soft"])];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        Ok(Self { wanted: clause.need("--header", chain)?, soft: clause.flag("--soft") })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--header", &self.wanted, |f, wanted| {
            let listed = HEADERS.iter().filter(|(header, _, _)| wanted.contains(*header));
            for (number, (_, name, _)) in listed.enumerate() {
                f.write_str(if number == 0 { "" } else { "," })?;
                f.write_str(name)?;
            }
            Ok(())
        })?;
        f.write_str(if self.soft { " --soft" } else { "" })
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let wanted = self.wanted.value;
        match walk(ctx.datagram()) {
            Err(fit) => fit,
            // Negated, none of them may be there.
            Ok(found) if self.soft && self.wanted.negated => (!found.intersects(wanted)).into(),
            Ok(found) if self.soft => found.contains(wanted).into(),
            Ok(found) => self.wanted.holds(found == wanted).into(),
        }
    }
}

fn chain(word: &str) -> Parsed<Chain> {
    let mut chain = Chain::empty();
    for name in word.split(',') {
        let named = |(_, long, short): &&(Chain, &str, &str)| *long == name || *short == name;
        let found = HEADERS.iter().find(named).map(|(header, _, _)| *header);
        chain |= found
            .ok_or_else(|| Fault::expected(name, Expected::Form("the name of an IPv6 header")))?;
    }
    Ok(chain)
}

/// The headers of a datagram.
fn walk(datagram: &[u8]) -> Result<Chain, Fit> {
    let mut found = Chain::empty();
    let (mut next, mut at) = (datagram[6], 40);
    while let Some(header) = header(next) {
        if matches!(next, proto::NO_NEXT_HEADER | proto::ESP) {
            return match next {
                proto::ESP if datagram.len() < at + 2 => Err(Fit::Fails),
                _ => Ok(found | header),
            };
        }
        let [following, units] = *datagram.get(at..at + 2).ok_or(Fit::Fails)? else {
            return Err(Fit::Fails);
        };
        found |= header;
        at += match next {
            proto::IPV6_FRAGMENT => 8,
            proto::AH => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        next = following;
        if at > datagram.len() {
            break;
        }
    }
    let upper = !matches!(next, proto::NO_NEXT_HEADER | proto::ESP);
    Ok(if upper { found | Chain::UPPER } else { found })
}

fn header(number: u8) -> Option<Chain> {
    Some(match number {
        proto::HOP_BY_HOP => Chain::HOP_BY_HOP,
        proto::DESTINATION_OPTIONS => Chain::DESTINATION,
        proto::IPV6_ROUTING => Chain::ROUTING,
        proto::IPV6_FRAGMENT => Chain::FRAGMENT,
        proto::AH => Chain::AH,
        proto::ESP => Chain::ESP,
        proto::NO_NEXT_HEADER => Chain::NONE,
        _ => return None,
    })
}

/// `-m hbh` if `HOP`, else `-m dst`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Options<const HOP: bool> {
    /// The header's length in bytes.
    length: Option<Term<u32>>,
    /// The options that it begins with: type, and length of the data unless any will do.
    options: Vec<(u8, Option<u8>)>,
}

/// Options that a rule may list.
const OPTIONS_MAX: usize = 16;

const fn names(hop: bool) -> [&'static str; 2] {
    if hop { ["--hbh-len", "--hbh-opts"] } else { ["--dst-len", "--dst-opts"] }
}

impl<const HOP: bool> Condition for Options<HOP> {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = if HOP {
        &[term(&["--hbh-len"]), value(&["--hbh-opts"])]
    } else {
        &[term(&["--dst-len"]), value(&["--dst-opts"])]
    };

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let [length, list] = names(HOP);
        Ok(Self {
            length: clause.term(length, |word| values::number(word, 0, u32::MAX))?,
            options: clause.value(list, options)?.unwrap_or_default(),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [length, list] = names(HOP);
        print::term(f, length, &self.length, |f, length| write!(f, "{length}"))?;
        for (number, (kind, length)) in self.options.iter().enumerate() {
            match number {
                0 => write!(f, " {list} {kind}")?,
                _ => write!(f, ",{kind}")?,
            }
            if let Some(length) = length {
                write!(f, ":{length}")?;
            }
        }
        Ok(())
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let kind = if HOP { proto::HOP_BY_HOP } else { proto::DESTINATION_OPTIONS };
        let header = match find_whole(ctx.datagram(), kind) {
            Ok(header) => header,
            Err(fit) => return fit,
        };
        let length = self.length.is_none_or(|term| term.holds(term.value == header.len() as u32));
        (length && self.begins(&header[2..])).into()
    }
}

impl<const HOP: bool> Options<HOP> {
    fn begins(&self, mut data: &[u8]) -> bool {
        for (number, (kind, length)) in self.options.iter().enumerate() {
            let step = match data {
                [found, ..] if found != kind => return false,
                [0, ..] => 1,
                [_, found, ..] if length.is_some_and(|length| length != *found) => return false,
                [_, found, ..] => usize::from(*found) + 2,
                _ => return false,
            };
            let is_last = number + 1 == self.options.len();
            match data.get(step..) {
                Some(rest) => data = rest,
                None if is_last => {}
                None => return false,
            }
        }
        true
    }
}

/// `TYPE[:LENGTH],...`
fn options(word: &str) -> Parsed<Vec<(u8, Option<u8>)>> {
    let byte = |word: &str| values::number(word, 0, 255).map(|number| number as u8);
    let read = |item: &str| match item.split_once(':') {
        Some((kind, length)) => Ok((byte(kind)?, Some(byte(length)?))),
        None => Ok((byte(item)?, None)),
    };
    let options: Vec<_> = word.split(',').map(read).collect::<Parsed<_>>()?;
    if options.len() > OPTIONS_MAX {
        return Err(Fault::expected(word, Expected::Form("a list of at most 16 options")));
    }
    Ok(options)
}
