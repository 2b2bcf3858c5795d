//! `ECN`: take back or set the bits of explicit congestion notification (RFC 3168). Linux: `ipt_ECN`.

use core::fmt::{self, Formatter};

use tidegate_wire::{Family, proto};

use super::segment::{Look, look};
use super::{Effect, only_mangle};
use crate::fib::Fib;
use crate::rules::ast::{Protocol, Rule};
use crate::rules::check::{Setting, need_protocol};
use crate::rules::conditions::Memory;
use crate::rules::error::Fault;
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, flag, value};
use crate::rules::text::{Parsed, value as values};

/// `-j ECN`; IPv4, `mangle` only. What isn't given stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Ecn {
    echo: Option<bool>,
    reduced: Option<bool>,
    codepoint: Option<u8>,
}

const FLAGS: usize = 13;
const ECE: u8 = 0x40;
const CWR: u8 = 0x80;

impl Effect for Ecn {
    const OPTIONS: &'static [OptionSpec] = &[
        flag(&["--ecn-tcp-remove"]),
        value(&["--ecn-tcp-ece"]),
        value(&["--ecn-tcp-cwr"]),
        value(&["--ecn-ip-ect"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        for option in ["--ecn-tcp-ece", "--ecn-tcp-cwr"] {
            clause.one_of(&["--ecn-tcp-remove", option])?;
        }
        if clause.given().is_empty() {
            return Err(clause.missing("--ecn-tcp-remove or another option"));
        }
        let removed = clause.flag("--ecn-tcp-remove").then_some(false);
        let bit = |option| clause.value(option, |word| Ok(values::number(word, 0, 1)? == 1));
        let codepoint = |word: &str| Ok(values::number(word, 0, 3)? as u8);
        Ok(Self {
            echo: bit("--ecn-tcp-ece")?.or(removed),
            reduced: bit("--ecn-tcp-cwr")?.or(removed),
            codepoint: clause.value("--ecn-ip-ect", codepoint)?,
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if (self.echo, self.reduced) == (Some(false), Some(false)) {
            f.write_str(" --ecn-tcp-remove")?;
        } else {
            for (name, bit) in [("--ecn-tcp-ece", self.echo), ("--ecn-tcp-cwr", self.reduced)] {
                if let Some(bit) = bit {
                    write!(f, " {name} {}", u8::from(bit))?;
                }
            }
        }
        match self.codepoint {
            Some(codepoint) => write!(f, " --ecn-ip-ect {codepoint}"),
            None => Ok(()),
        }
    }

    fn check(&self, setting: Setting, rule: &Rule) -> Result<(), Fault> {
        only_mangle(setting, "ECN")?;
        if self.echo.is_none() && self.reduced.is_none() {
            return Ok(());
        }
        need_protocol(rule, &[Protocol::TCP], "ECN", "-p tcp")
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        if let Some(codepoint) = self.codepoint {
            ctx.set_traffic_class(ctx.traffic_class() & !3 | codepoint);
        }
        if (self.echo.is_none() && self.reduced.is_none()) || ctx.headers.proto != proto::TCP {
            return None;
        }
        match look(ctx) {
            Look::Elsewhere => None,
            Look::Damaged => Some(Ruling::Drop),
            Look::There(mut segment) => {
                let mut flags = segment.bytes[FLAGS];
                for (bit, wanted) in [(ECE, self.echo), (CWR, self.reduced)] {
                    match wanted {
                        Some(true) => flags |= bit,
                        Some(false) => flags &= !bit,
                        None => {}
                    }
                }
                segment.set_byte(FLAGS, flags);
                None
            }
        }
    }
}
