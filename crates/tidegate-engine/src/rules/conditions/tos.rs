//! `-m tos` and `-m dscp`: IPv4's type of service, IPv6's traffic class. Linux: `xt_dscp`.
//!
//! The names of values serve the targets TOS and DSCP as well.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::Term;
use crate::rules::error::{Expected, Fault};
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print::always;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};
use crate::rules::text::{Parsed, value};

/// `-m tos`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Tos(Term<TosBits>);

/// `VALUE/MASK` of the whole byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rules) struct TosBits {
    pub(in crate::rules) value: u8,
    pub(in crate::rules) mask: u8,
}

impl TosBits {
    /// By name, or `VALUE[/MASK]` with all bits for the mask.
    pub(in crate::rules) fn parse(word: &str) -> Parsed<Self> {
        let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        if let Some((_, value)) = named {
            return Ok(Self { value: *value, mask: 0x3f });
        }
        let (value, mask) = word.split_once('/').map_or((word, None), |(v, m)| (v, Some(m)));
        Ok(Self { value: byte(value)?, mask: mask.map_or(Ok(0xff), byte)? })
    }

    pub(in crate::rules) fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}/{:#04x}", self.value, self.mask)
    }
}

pub(in crate::rules) fn byte(word: &str) -> Parsed<u8> {
    Ok(value::number(word, 0, 255)? as u8)
}

impl Condition for Tos {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--tos"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.need("--tos", TosBits::parse).map(Self)
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--tos", &self.0, |f, bits| bits.write(f))
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let TosBits { value, mask } = self.0.value;
        self.0.holds(ctx.traffic_class() & mask == value).into()
    }
}

/// `-m dscp`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Dscp(Term<u8>);

impl Condition for Dscp {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[term(&["--dscp"]), term(&["--dscp-class"])];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        let given = clause.one_of(&["--dscp", "--dscp-class"])?;
        let given = given.ok_or_else(|| clause.missing("--dscp or --dscp-class"))?;
        let dscp = match given.name() {
            "--dscp" => codepoint(given.value()),
            _ => class(given.value()),
        };
        Ok(Self(given.term(dscp?)))
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        always(f, "--dscp", &self.0, |f, dscp| write!(f, "{dscp:#04x}"))
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        self.0.holds(ctx.traffic_class() >> 2 == self.0.value).into()
    }
}

/// A codepoint by its number.
pub(in crate::rules) fn codepoint(word: &str) -> Parsed<u8> {
    Ok(value::number(word, 0, 63)? as u8)
}

/// A codepoint by the name of its class (RFC 2474, 2597, 3246).
pub(in crate::rules) fn class(word: &str) -> Parsed<u8> {
    let found = CLASSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|(_, dscp)| *dscp).ok_or_else(|| Fault::expected(word, Expected::Form("a class")))
}

const NAMES: [(&str, u8); 5] = [
    ("Minimize-Delay", 0x10),
    ("Maximize-Throughput", 0x08),
    ("Maximize-Reliability", 0x04),
    ("Minimize-Cost", 0x02),
    ("Normal-Service", 0x00),
];

const CLASSES: [(&str, u8); 22] = [
    ("CS0", 0x00),
    ("CS1", 0x08),
    ("CS2", 0x10),
    ("CS3", 0x18),
    ("CS4", 0x20),
    ("CS5", 0x28),
    ("CS6", 0x30),
    ("CS7", 0x38),
    ("BE", 0x00),
    ("AF11", 0x0a),
    ("AF12", 0x0c),
    ("AF13", 0x0e),
    ("AF21", 0x12),
    ("AF22", 0x14),
    ("AF23", 0x16),
    ("AF31", 0x1a),
    ("AF32", 0x1c),
    ("AF33", 0x1e),
    ("AF41", 0x22),
    ("AF42", 0x24),
    ("AF43", 0x26),
    ("EF", 0x2e),
];
