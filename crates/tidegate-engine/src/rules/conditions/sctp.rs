//! `-m sctp`: ports, and which chunks a packet is made of. Linux: `xt_sctp`.

use alloc::collections::BTreeMap;
use core::fmt::{self, Formatter, Write};

use tidegate_wire::Family;

use super::super::ast::{PortRange, Protocol, Rule, Term};
use super::super::check::{Setting, need_protocol};
use super::super::error::{Expected, Fault};
use super::super::matches::transport::port;
use super::super::print;
use super::super::text::clause::Clause;
use super::super::text::options::{OptionSpec, term};
use super::super::text::{Parsed, value};
use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;

/// `-m sctp`; the rule has `-p sctp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Sctp {
    source: Option<Term<PortRange>>,
    destination: Option<Term<PortRange>>,
    chunks: Option<Term<Chunks>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chunks {
    how: How,
    /// The types, each with the flags that it must have.
    wanted: BTreeMap<u8, Flags>,
}

/// How many of the packet's chunks must be of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Each of the list is there.
    All,
    /// One of the list is there.
    Any,
    /// Nothing else is there.
    Only,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Flags {
    mask: u8,
    set: u8,
}

impl Condition for Sctp {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        term(&["--sport", "--source-port"]),
        term(&["--dport", "--destination-port"]),
        OptionSpec { names: &["--chunk-types"], negatable: true, values: 2 },
    ];

    const PURE: bool = false;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let ports = |option| -> Parsed<Option<Term<PortRange>>> {
            let ports = clause.term(option, value::port_range)?;
            Ok(ports.filter(|term| term.negated || term.value != PortRange::ANY))
        };
        let chunks = clause.find("--chunk-types");
        let chunks = chunks.map(|given| match given.values {
            [how, list] => Ok(given.term(Chunks { how: how_many(how)?, wanted: types(list)? })),
            _ => Err(clause.missing("--chunk-types")),
        });
        Ok(Self {
            source: ports("--sport")?,
            destination: ports("--dport")?,
            chunks: chunks.transpose()?,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print::term(f, "--sport", &self.source, print::value::ports)?;
        print::term(f, "--dport", &self.destination, print::value::ports)?;
        print::term(f, "--chunk-types", &self.chunks, |f, chunks| chunks.write(f))
    }

    fn check(&self, _: Setting, rule: &Rule) -> Result<(), Fault> {
        need_protocol(rule, &[Protocol::SCTP], "sctp", "-p sctp")
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        if ctx.headers.fragment.is_some_and(|fragment| !fragment.is_first()) {
            return Fit::Fails;
        }
        let packet = ctx.upper_layer();
        let Some(header) = packet.first_chunk::<12>() else { return Fit::Unreadable };
        let [source, destination] =
            [0, 2].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        if !(port(&self.source, source) && port(&self.destination, destination)) {
            return Fit::Fails;
        }
        let Some(term) = &self.chunks else { return Fit::Holds };
        match term.value.fit(&packet[12..]) {
            Some(matched) => term.holds(matched).into(),
            None => Fit::Unreadable,
        }
    }
}

impl Chunks {
    /// `None`: a chunk is cut off, or has no length.
    fn fit(&self, mut chunks: &[u8]) -> Option<bool> {
        let mut missing = self.wanted.len();
        let mut seen = [false; 256];
        loop {
            let [kind, flags, high, low] = *chunks.first_chunk()?;
            let length = usize::from(u16::from_be_bytes([high, low]));
            if length == 0 {
                return None;
            }
            let wanted = self.wanted.get(&kind).map(|wanted| flags & wanted.mask == wanted.set);
            match (self.how, wanted) {
                (How::Any, Some(true)) => return Some(true),
                (How::All, Some(true)) if !seen[usize::from(kind)] => {
                    seen[usize::from(kind)] = true;
                    missing -= 1;
                }
                (How::Only, None | Some(false)) => return Some(false),
                _ => {}
            }
            match chunks.get(length.next_multiple_of(4)..) {
                None | Some([]) => break,
                Some(rest) => chunks = rest,
            }
        }
        Some(match self.how {
            How::All => missing == 0,
            How::Any => false,
            How::Only => true,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.how {
            How::All => "all ",
            How::Any => "any ",
            How::Only => "only ",
        })?;
        match self.wanted.len() {
            0 => return f.write_str("NONE"),
            EVERY => return f.write_str("ALL"),
            _ => {}
        }
        for (number, (kind, flags)) in self.wanted.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "," })?;
            match TYPES.iter().find(|(known, _, _)| known == kind) {
                Some((_, name, letters)) => write_type(f, name, letters, *flags)?,
                None => write!(f, "{kind}")?,
            }
        }
        Ok(())
    }
}

/// A flag that must be set is in upper case, one that must not in lower case.
fn write_type(f: &mut Formatter<'_>, name: &str, letters: &str, flags: Flags) -> fmt::Result {
    f.write_str(name)?;
    if flags.mask != 0 {
        f.write_char(':')?;
    }
    for (letter, bit) in letters.chars().zip((0..8).rev()) {
        match (flags.mask & 1 << bit != 0, flags.set & 1 << bit != 0) {
            (true, true) => f.write_char(letter)?,
            (true, false) => f.write_char(letter.to_ascii_lowercase())?,
            (false, _) => {}
        }
    }
    Ok(())
}

fn how_many(word: &str) -> Parsed<How> {
    match word.to_ascii_lowercase().as_str() {
        "all" => Ok(How::All),
        "any" => Ok(How::Any),
        "only" => Ok(How::Only),
        _ => Err(Fault::expected(word, Expected::Form("`all', `any' or `only'"))),
    }
}

fn types(word: &str) -> Parsed<BTreeMap<u8, Flags>> {
    match word {
        "NONE" => return Ok(BTreeMap::new()),
        "ALL" => return Ok((0..=255).map(|kind| (kind, Flags::default())).collect()),
        _ => {}
    }
    let wrong = || Fault::expected(word, Expected::Form("a list of SCTP chunk types"));
    word.split(',').map(|item| kind(item).ok_or_else(wrong)).collect()
}

fn kind(item: &str) -> Option<(u8, Flags)> {
    let (name, given) = item.split_once(':').unwrap_or((item, ""));
    let known = |(_, known, _): &&(u8, &str, &str)| known.eq_ignore_ascii_case(name);
    let (kind, _, letters) = TYPES.iter().find(known)?;
    let mut flags = Flags::default();
    for letter in given.chars() {
        let bit = letters.rfind(letter.to_ascii_uppercase()).filter(|_| letter != '-')?;
        let bit = 0x80 >> bit;
        flags.mask |= bit;
        flags.set |= if letter.is_ascii_uppercase() { bit } else { 0 };
    }
    Some((*kind, flags))
}

/// How many types there are.
const EVERY: usize = 256;

/// Number, name, and the letters of the flags from the highest bit on.
const TYPES: [(u8, &str, &str); 22] = [
    (0, "DATA", "----IUBE"),
    (1, "INIT", "--------"),
    (2, "INIT_ACK", "--------"),
    (3, "SACK", "--------"),
    (4, "HEARTBEAT", "--------"),
    (5, "HEARTBEAT_ACK", "--------"),
    (6, "ABORT", "-------T"),
    (7, "SHUTDOWN", "--------"),
    (8, "SHUTDOWN_ACK", "--------"),
    (9, "ERROR", "--------"),
    (10, "COOKIE_ECHO", "--------"),
    (11, "COOKIE_ACK", "--------"),
    (12, "ECN_ECNE", "--------"),
    (13, "ECN_CWR", "--------"),
    (14, "SHUTDOWN_COMPLETE", "-------T"),
    (64, "I_DATA", "--------"),
    (128, "ASCONF_ACK", "--------"),
    (130, "RE_CONFIG", "--------"),
    (132, "PAD", "--------"),
    (192, "FORWARD_TSN", "--------"),
    (193, "ASCONF", "--------"),
    (194, "I_FORWARD_TSN", "--------"),
];
