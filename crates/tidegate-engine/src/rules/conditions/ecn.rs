//! `-m ecn`: the bits of explicit congestion notification (RFC 3168). Linux: `xt_ecn`.

use core::fmt::{self, Formatter};

use tidegate_wire::Family;
use tidegate_wire::packet::tcp;

use super::{Condition, Memory};
use crate::fib::Fib;
use crate::rules::ast::{Protocol, Rule, Term};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::error::Fault;
use crate::rules::eval::RuleContext;
use crate::rules::matches::Fit;
use crate::rules::print;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, term};
use crate::rules::text::{Parsed, value};

/// `-m ecn`: of each bit given whether it is set, and the codepoint of the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ecn {
    echo: Option<bool>,
    reduced: Option<bool>,
    codepoint: Option<Term<u8>>,
}

const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

impl Condition for Ecn {
    type State = ();

    const OPTIONS: &'static [OptionSpec] = &[
        OptionSpec { names: &["--ecn-tcp-ece"], negatable: true, values: 0 },
        OptionSpec { names: &["--ecn-tcp-cwr"], negatable: true, values: 0 },
        term(&["--ecn-ip-ect"]),
    ];

    const PURE: bool = true;

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        if clause.given().is_empty() {
            return Err(clause.missing("--ecn-tcp-ece, --ecn-tcp-cwr or --ecn-ip-ect"));
        }
        let set = |name| clause.find(name).map(|given| !given.negated);
        Ok(Self {
            echo: set("--ecn-tcp-ece"),
            reduced: set("--ecn-tcp-cwr"),
            codepoint: clause.term("--ecn-ip-ect", |word| Ok(value::number(word, 0, 3)? as u8))?,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (set, name) in [(self.echo, "--ecn-tcp-ece"), (self.reduced, "--ecn-tcp-cwr")] {
            match set {
                Some(true) => write!(f, " {name}")?,
                Some(false) => write!(f, " ! {name}")?,
                None => {}
            }
        }
        print::term(f, "--ecn-ip-ect", &self.codepoint, |f, bits| write!(f, "{bits}"))
    }

    fn check(&self, _: Setting, rule: &Rule) -> Result<(), Fault> {
        if self.echo.is_none() && self.reduced.is_none() {
            return Ok(());
        }
        need_protocol(rule, &[Protocol::TCP], "ecn", "-p tcp")
    }

    fn start(&self) {}

    fn fit<F: Fib>(&self, (): &mut (), _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Fit {
        let codepoint = ctx.traffic_class() & 3;
        let ip = self.codepoint.is_none_or(|term| term.holds(term.value == codepoint));
        (ip && self.flags_fit(ctx.upper_layer())).into()
    }
}

impl Ecn {
    fn flags_fit(&self, segment: &[u8]) -> bool {
        if self.echo.is_none() && self.reduced.is_none() {
            return true;
        }
        let header = segment.first_chunk::<{ tcp::HEADER_LEN }>();
        header.is_some_and(|header| {
            let is =
                |wanted: Option<bool>, bit| wanted.is_none_or(|set| set == (header[13] & bit != 0));
            is(self.echo, ECE) && is(self.reduced, CWR)
        })
    }
}
