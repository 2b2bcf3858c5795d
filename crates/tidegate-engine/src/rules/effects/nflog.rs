//! `NFLOG`: hand a copy of the packet to whoever listens. Linux: `xt_NFLOG`.

use alloc::string::String;
use core::fmt::{self, Formatter};

use tidegate_wire::Family;

use super::Effect;
use crate::fib::Fib;
use crate::log::PacketCopy;
use crate::rules::ast::Rule;
use crate::rules::check::Setting;
use crate::rules::conditions::Memory;
use crate::rules::error::{Fault, ValueError};
use crate::rules::eval::{RuleContext, Ruling};
use crate::rules::print::value as written;
use crate::rules::text::clause::Clause;
use crate::rules::text::options::{OptionSpec, value};
use crate::rules::text::{Parsed, value as values};

/// `-j NFLOG`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::rules) struct Nflog {
    group: u16,
    prefix: String,
    /// Bytes to copy; all without.
    size: Option<u32>,
    /// The older option for that, without effect in the kernel.
    range: Option<u32>,
    /// How many packets the kernel may gather before it tells of them. Ours wait until they are fetched.
    threshold: u16,
}

const PREFIX_MAX: usize = 63;

impl Effect for Nflog {
    const OPTIONS: &'static [OptionSpec] = &[
        value(&["--nflog-group"]),
        value(&["--nflog-prefix"]),
        value(&["--nflog-range"]),
        value(&["--nflog-size"]),
        value(&["--nflog-threshold"]),
    ];

    fn parse(_: Family, clause: &Clause<'_>) -> Parsed<Self> {
        clause.one_of(&["--nflog-range", "--nflog-size"])?;
        let short = |word: &str| Ok(values::number(word, 0, 65_535)? as u16);
        let long = |word: &str| values::number(word, 0, u32::MAX);
        Ok(Self {
            group: clause.value("--nflog-group", short)?.unwrap_or(0),
            prefix: clause.value("--nflog-prefix", prefix)?.unwrap_or_default(),
            size: clause.value("--nflog-size", long)?,
            range: clause.value("--nflog-range", long)?,
            threshold: clause.value("--nflog-threshold", short)?.unwrap_or(0),
        })
    }

    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            f.write_str(" --nflog-prefix ")?;
            written::text(f, &self.prefix)?;
        }
        if self.group != 0 {
            write!(f, " --nflog-group {}", self.group)?;
        }
        if let Some(size) = self.size {
            write!(f, " --nflog-size {size}")?;
        }
        if let Some(range) = self.range.filter(|range| *range != 0) {
            write!(f, " --nflog-range {range}")?;
        }
        if self.threshold != 0 {
            write!(f, " --nflog-threshold {}", self.threshold)?;
        }
        Ok(())
    }

    fn check(&self, _: Setting, _: &Rule) -> Result<(), Fault> {
        Ok(())
    }

    fn apply<F: Fib>(&self, _: &mut Memory, ctx: &mut RuleContext<'_, F>) -> Option<Ruling> {
        let datagram = ctx.datagram();
        let size = self.size.map_or(usize::MAX, |size| size as usize).min(datagram.len());
        let copy = PacketCopy {
            family: ctx.headers.family,
            group: self.group,
            prefix: self.prefix.clone(),
            hook: ctx.hook,
            in_port: ctx.in_port,
            out_port: ctx.out_port,
            mark: *ctx.mark,
            bytes: datagram[..size].to_vec(),
        };
        ctx.log.push_copy(copy);
        None
    }
}

fn prefix(word: &str) -> Parsed<String> {
    if word.len() > PREFIX_MAX {
        return Err(Fault::new(word, ValueError::TooLong { max: PREFIX_MAX }));
    }
    Ok(word.into())
}
